"""One tagger in every format: equal answers, equal refusals, and what is not to be had.

A small server of the standard library stands in for TF Serving.
"""

import dataclasses
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tfhier
from tests import stand_in_server
from tests.export import models
from tfhier import members
from tfhier.engines import server
from tfhier.errors import InputError
from tfhier.export import exporting
from tfhier.files import write_json
from tfhier.graph_audio import wav
from tfhier.taxonomy import Taxonomy

ROOT = Path(__file__).parents[1]
RATE = models.RATE
# The places of one tagger below the folder of the fixture `places`.
PLACES = {
    "file": "saved_models/bats/seed1/best.keras",
    "run": "saved_models/bats/seed1",
    "experiment": "saved_models/bats",
    "saved_model": "saved_models/bats/serving/1",
    "serving": "saved_models/bats/serving",
    "tflite": "saved_models/bats/bats.tflite",
}
EXPORTED = ("saved_model", "serving", "tflite")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A tagger of an experiment's best run, exported to both formats."""
    folder = tmp_path_factory.mktemp("places")
    home = folder / "saved_models" / "bats"
    models.write(home / "seed1" / "best.keras")
    write_json(home / "metrics.json", {"best_run": "seed1"})
    exporting.export(home, exporting.Options(test_clips=0, timed=False))
    return {name: folder / place for name, place in PLACES.items()}


@pytest.fixture(scope="module")
def loaded(places):
    """The tagger by place, and behind a server."""
    taggers = {name: tfhier.load(place) for name, place in places.items()}
    with stand_in_server.running(stand_in_server.serving(taggers["file"])) as address:
        yield taggers | {"server": tfhier.load(f"{address}/v1/models/bats")}


every_format = pytest.mark.parametrize("name", [*PLACES, "server"])


def assert_close(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for level, values in expected.items():
        assert found[level].dtype == np.float32
        np.testing.assert_allclose(found[level], values, rtol=0, atol=1e-5)


# -- Answers ---------------------------------------------------------------------------


@every_format
def test_every_place_of_a_tagger_gives_the_same_scores(loaded, name):
    tagger = loaded[name]
    for seconds, seed in ((1.0, 0), (0.3, 1), (2.2, 2)):
        clip = models.clip(seconds, seed=seed)
        expected = loaded["file"].scores(clip, sample_rate=RATE)
        assert_close(tagger.scores(clip, sample_rate=RATE), expected)
        tags = tagger.tag(clip, sample_rate=RATE)
        np.testing.assert_allclose(
            list(tags["zebra"].values()), expected["zebra"], rtol=0, atol=1e-5
        )
    other = loaded["file"].scores(models.clip(seed=3), sample_rate=RATE)
    assert np.abs(other["zebra"] - expected["zebra"]).max() > 1e-2


@every_format
def test_every_place_of_a_tagger_makes_the_same_promises(loaded, name):
    tagger, own = loaded[name], loaded["file"]
    assert tagger.levels == {"zebra": ("a", "b", "c", "d", "e"), "animal": tuple("xyz")}
    assert (tagger.sample_rate, tagger.min_samples) == (RATE, 129)
    called = "bats" if name in EXPORTED else ""
    assert tagger.contract == dataclasses.replace(own.contract, name=called)


@pytest.mark.parametrize("names", [["zebra", "animal"], ["animal", "zebra"]])
def test_levels_come_in_their_own_order_whatever_a_signature_gives(
    loaded, monkeypatch, names
):
    """A signature of TensorFlow has another order in every process."""
    engine = loaded["saved_model"]._engine
    own = engine._signatures["serving_default"]

    def ordered(waveform):
        found = own(waveform=waveform)
        return {name: found[name] for name in names}

    signatures = {**engine._signatures, "serving_default": ordered}
    monkeypatch.setattr(engine, "_signatures", signatures)
    clip = models.clip()
    assert list(loaded["saved_model"].scores(clip, sample_rate=RATE)) == [
        "zebra", "animal"
    ]  # fmt: skip
    found = loaded["saved_model"].answer(clip, sample_rate=RATE)
    assert list(found) == ["zebra", "animal", "embedding"]


@pytest.mark.parametrize("name", ["saved_model", "serving", "server"])
def test_embeddings_are_those_of_keras(loaded, name):
    clip = models.clip(1.3)
    expected = loaded["file"].embed(clip, sample_rate=RATE)
    assert np.ptp(expected) > 0.1
    found = loaded[name].embed(clip, sample_rate=RATE)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["file", "saved_model", "tflite", "server"])
def test_a_window_of_choice_is_heard_by_every_format(places, loaded, name):
    """The mean over pieces, each by itself; the last is filled up with zeros."""
    place = loaded[name].path if name == "server" else places[name]
    chosen = tfhier.load(place, window_seconds=0.25)
    clip = models.clip(0.9)
    pieces = np.pad(clip, (0, 800)).reshape(4, 2_000)
    by_hand = [loaded["file"].scores(piece, sample_rate=RATE) for piece in pieces]
    expected = {
        level: np.mean([each[level] for each in by_hand], axis=0)
        for level in by_hand[0]
    }
    assert_close(chosen.scores(clip, sample_rate=RATE), expected)


def test_a_clip_in_a_tflite_file_is_answered_as_if_alone(places):
    tagger = tfhier.load(places["tflite"], window_seconds=0.25)
    piece = models.clip(0.25)
    once = tagger.scores(piece, sample_rate=RATE)
    twice = tagger.scores(np.tile(piece, 2), sample_rate=RATE)
    for level, values in once.items():
        np.testing.assert_array_equal(twice[level], values)


# -- What a format does not have -------------------------------------------------------


def test_a_tflite_file_has_no_embedding(loaded, places):
    answer = loaded["tflite"].answer(models.clip(), sample_rate=RATE)
    assert set(answer) == {"zebra", "animal"}
    expected = (
        f"{places['tflite']} answers with scores only. For embeddings load the .keras "
        "file or the SavedModel."
    )
    with pytest.raises(InputError, match=re.escape(expected)):
        loaded["tflite"].embed(models.clip(), sample_rate=RATE)


@pytest.mark.parametrize("name", [*EXPORTED, "server"])
def test_only_a_keras_file_has_layers(loaded, name):
    expected = f"{loaded[name].path} is no .keras file: its layers are not to be had"
    with pytest.raises(InputError, match=re.escape(expected)):
        _ = loaded[name].model
    assert loaded[name].frontend is None
    assert loaded["run"].model.name
    assert loaded["run"].frontend.sample_rate == RATE


def test_an_engine_without_tensorflow_is_not_there_without_its_package(
    places, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    expected = "To run .tflite files LiteRT is needed: pip install 'tfhier[detect]'"
    with pytest.raises(InputError, match=re.escape(expected)):
        tfhier.load(places["tflite"])


# -- Refusals --------------------------------------------------------------------------


@every_format
@pytest.mark.parametrize(
    ("clip", "rate", "message"),
    [
        (np.zeros(128), RATE, "The array: is too short, 128 samples at 8000 Hz; the"),
        (np.zeros((2, 9_000)), RATE, r"one channel. Received: shape=\(2, 9000\)"),
        (np.zeros(9_000, np.int16), RATE, r"floats in \[-1, 1\].*dtype=int16"),
        (np.full(9_000, np.nan), RATE, "NaN or infinite samples"),
        (np.full(9_000, 32_767.0), RATE, "16-bit samples are divided by 32,768"),
        (np.zeros(9_000), None, r"needs its sample rate: .* own is 8000 Hz"),
        ("missing.wav", None, r"missing\.wav: there is no such file"),
    ],
    ids=range(7),
)
def test_every_format_refuses_the_same_clips(loaded, name, clip, rate, message):
    tagger = loaded[name]
    for ask in (tagger.scores, tagger.tag, tagger.answer, tagger.embed):
        with pytest.raises(InputError, match=message):
            ask(clip, sample_rate=rate)


# -- The golden clip -------------------------------------------------------------------


@pytest.mark.parametrize("name", PLACES)
def test_every_place_replays_its_golden_clip(loaded, name):
    difference, tolerance = loaded[name].selftest()
    assert 0 <= difference < 1e-5 < tolerance == 1e-4


def test_a_server_keeps_its_golden_clip(loaded):
    expected = f"The golden clip of {loaded['server'].path} is in its files: test them"
    with pytest.raises(InputError, match=re.escape(expected)):
        loaded["server"].selftest()


def test_a_golden_clip_of_other_levels_is_a_contradiction(places, tmp_path):
    path = tmp_path / "a.keras"
    shutil.copy(places["file"], path)
    members.attach(
        path, {members.GOLDEN_SCORES: b'{"scores": {"a": [1]}, "tolerance": 0.01}'}
    )
    with pytest.raises(InputError, match="golden clip has scores of other levels"):
        tfhier.load(path).selftest()


def test_published_weights_replay_the_golden_clip_of_their_file(places, monkeypatch):
    from tfhier.pretrained import porting

    monkeypatch.setattr(porting, "find", lambda name, frontend: places["file"])
    difference, tolerance = tfhier.load("panns_cnn14").selftest()
    assert difference <= tolerance


# -- Damage ----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["file", "tflite"])
def test_a_file_that_was_altered_is_refused(places, tmp_path, name, share):
    path = tmp_path / places[name].name
    content = bytearray(places[name].read_bytes())
    start = int(share * len(content))
    changed = np.frombuffer(content[start : start + 300], np.uint8) ^ 255
    content[start : start + 300] = changed.tobytes()
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path.name} is no .* copy or download it"):
        tfhier.load(path)


def test_a_saved_model_that_was_altered_is_refused(places, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(places["saved_model"], folder)
    data = next(folder.glob("variables/variables.data*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    expected = rf"1 is no SavedModel, or it is damaged \(variables/{data.name} is not"
    with pytest.raises(InputError, match=expected):
        tfhier.load(folder)


def test_what_is_no_model_at_all_is_refused(tmp_path):
    for name, kind in (("a.wav", ".keras file"), ("a.tflite", ".tflite file")):
        (tmp_path / name).write_text("no model")
        with pytest.raises(InputError, match=rf"{name} is no {kind}, or it is dama"):
            tfhier.load(tmp_path / name)
    (tmp_path / "saved_model.pb").write_text("no model")
    with pytest.raises(InputError, match="has no list of checksums"):
        tfhier.load(tmp_path)


# -- What is imported ------------------------------------------------------------------


def imported_by(code: str) -> tuple[set[str], str]:
    """Run code in a fresh process: the packages it imported, and what it printed."""
    code += "\nprint(*sys.modules, sep='\\n', file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", "import sys\n" + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line.split(".")[0] for line in done.stderr.split()}, done.stdout


def test_a_tflite_file_needs_no_tensorflow(places):
    packages, printed = imported_by(
        "import numpy, tfhier\n"
        f"tagger = tfhier.load({str(places['tflite'])!r})\n"
        "tagger.tag(numpy.zeros(8_000), sample_rate=8_000)\n"
        "print(tagger.selftest()[0] < 1e-5)"
    )
    assert printed == "True\n"
    assert "ai_edge_litert" in packages
    assert not packages & {"tensorflow", "keras", "sklearn", "matplotlib", "h5py"}


@pytest.mark.parametrize("name", ["tflite", "saved_model", "file"])
def test_a_model_is_described_without_computing(places, name):
    packages, printed = imported_by(
        "from tfhier import __main__\n"
        f"status = __main__.main(['describe', {str(places[name])!r}])\n"
        "print(status)"
    )
    assert printed.endswith("\n0\n")
    assert "level    zebra: 5 labels: a, b, c, d, e" in printed
    heavy = {"tensorflow", "keras", "sklearn", "matplotlib", "ai_edge_litert"}
    assert not packages & heavy


# -- A server --------------------------------------------------------------------------


def test_a_model_of_one_level_on_a_server_answers_with_a_list(places, tmp_path):
    """TF Serving leaves the only output's name out."""
    taxonomy = Taxonomy.flat(["a", "b", "c"])
    path = models.write(
        tmp_path / "flat.keras",
        models.build(models.SMALL.but(head="flat"), taxonomy),
        taxonomy=taxonomy,
    )
    local, clip = tfhier.load(path), models.clip()
    answer = stand_in_server.serving(local)
    _, body = answer(
        "/v1/models/bats:predict",
        {"signature_name": "serving_default", "inputs": [clip.tolist()]},
    )
    assert body.startswith(b'{"outputs": [[')
    with stand_in_server.running(answer) as address:
        tagger = tfhier.load(f"{address}/v1/models/bats/")
        assert tagger.levels == {"label": ("a", "b", "c")}
        expected = local.scores(clip, sample_rate=RATE)
        assert_close(tagger.scores(clip, sample_rate=RATE), expected)
        found = tagger.embed(clip, sample_rate=RATE)
    np.testing.assert_allclose(found, local.embed(clip, sample_rate=RATE), atol=1e-5)


def test_one_version_may_be_asked_for():
    asked = []

    def answer(path, request):
        asked.append((path, request))
        return 500, b""

    with (
        stand_in_server.running(answer) as address,
        pytest.raises(InputError, match=r"versions/2 refused \(500\): $"),
    ):
        tfhier.load(f"{address}/v1/models/bats/versions/2")
    expected = {"signature_name": "contract", "inputs": [""]}
    assert asked == [("/v1/models/bats/versions/2:predict", expected)]


def test_a_server_is_sent_files_for_scores_and_numbers_for_the_embedding(loaded):
    """Each once, and nothing of any sample is lost on the way."""
    asked, serve = [], stand_in_server.serving(loaded["file"])
    # Among them what decimal digits and other widths of samples would not carry.
    clip = np.float32([1.5, -3e-12, 50.0, 2**-149, 0.1, np.pi / 7])
    clip = np.concatenate([clip, models.clip()]).astype(np.float32)

    def answer(path, request):
        asked.append(request)
        return serve(path, request)

    with stand_in_server.running(answer) as address:
        tagger = tfhier.load(f"{address}/v1/models/bats")
        tagger.scores(clip, sample_rate=RATE)
        assert [each["signature_name"] for each in asked[1:]] == ["wav_bytes"]
        tagger.embed(clip, sample_rate=RATE)
    names = [each["signature_name"] for each in asked[2:]]
    assert names == ["wav_bytes", "embedding"]
    (sent,) = asked[1]["inputs"]
    np.testing.assert_array_equal(stand_in_server.waveform_of(sent), clip)
    (numbers,) = asked[3]["inputs"]
    np.testing.assert_array_equal(np.float32(numbers), clip)


def test_a_file_for_a_server_is_decoded_bit_by_bit_in_its_graph(rng):
    bits = rng.integers(0, 2**32, 4_000, dtype=np.uint32)
    waveform = bits.view(np.float32)[np.isfinite(bits.view(np.float32))]
    found, rate = wav.decode(server._wav(waveform, 22_050))
    assert int(rate) == 22_050
    np.testing.assert_array_equal(found.numpy().view(np.uint32), waveform.view("u4"))


def test_numbers_for_a_server_are_short(rng):
    waveform = rng.uniform(-1, 1, (2, 5_000)).astype(np.float32)
    text = server._as_numbers(waveform)
    np.testing.assert_array_equal(np.float32(json.loads(text)), waveform)
    assert len(text) < 14 * waveform.size
    assert len(server._as_files(waveform, RATE)) < 5.5 * waveform.size


@pytest.mark.parametrize(
    ("user", "token", "expected"),
    [
        ("", "", None),
        ("me:se%40cret@", "", "Basic bWU6c2VAY3JldA=="),
        ("", " abc.def ", "Bearer abc.def"),
        ("me:se%40cret@", "abc", "Basic bWU6c2VAY3JldA=="),
    ],
)
def test_a_proxy_is_told_who_asks(loaded, monkeypatch, user, token, expected):
    monkeypatch.setenv("TFHIER_SERVER_TOKEN", token)
    serve, headers = stand_in_server.serving(loaded["file"]), []

    def behind(path, request):
        assert path.startswith("/birds/api/v1/")
        return serve(path.removeprefix("/birds/api"), request)

    with stand_in_server.running(behind, headers=headers) as address:
        place = address.replace("http://", f"http://{user}")
        tagger = tfhier.load(f"{place}/birds/api/v1/models/bats")
        tagger.scores(models.clip(), sample_rate=RATE)
    assert [each.get("Authorization") for each in headers] == [expected, expected]


def test_a_password_is_repeated_by_no_message():
    with stand_in_server.running(lambda *_: (401, b"{}")) as address:
        place = address.replace("http://", "http://me:secret@")
        text = refusal(f"{place}/v1/models/bats")
    assert text == (
        f"The server at {address}/v1/models/bats refused (401): {{}} Give "
        "http://USER:PASSWORD@HOST/... or set TFHIER_SERVER_TOKEN."
    )
    assert "secret" not in refusal(f"{place}/v1/models/bats")
    assert refusal("http://me:secret@a/models").endswith("Received: http://a/models")


def test_a_password_goes_along_to_no_other_server(monkeypatch):
    asked = []

    def urlopen(request, timeout):
        asked.append(request)
        raise OSError

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    refusal("http://me:secret@127.0.0.1:1/v1/models/bats")
    assert len(asked) == 2  # for its version, and for its contract
    for request in asked:
        assert request.get_header("Authorization") == "Basic bWU6c2VjcmV0"
        # Where a server sends us elsewhere these are repeated there.
        assert "Authorization" not in request.headers


def test_a_token_of_several_lines_is_refused_and_not_repeated(monkeypatch):
    monkeypatch.setenv("TFHIER_SERVER_TOKEN", "one\ntwo")
    text = refusal("http://127.0.0.1:1/v1/models/bats")
    assert text.startswith("TFHIER_SERVER_TOKEN holds spaces or")
    assert "two" not in text


def refusal(url: str) -> str:
    """The message of a server's model that cannot be loaded, which is one line."""
    with pytest.raises(InputError) as caught:
        tfhier.load(url)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            400,
            b'{"error": "no\\n signature  contract"}',
            "(400): no signature contract",
        ),
        (404, b"<html>\n<h1>not\n here</h1>", "(404): <html> <h1>not here</h1>"),
        (503, b"[]", "(503): []"),
        (502, b"\xff\xfe", "(502): \ufffd\ufffd"),
    ],
)
def test_what_a_server_refuses_is_told_in_its_words(status, body, message):
    with stand_in_server.running(lambda *_: (status, body)) as address:
        url = f"{address}/v1/models/bats"
        assert refusal(url) == f"The server at {url} refused {message}"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>no JSON</html>", b"", b"[]", b"3", b'"outputs"', b'{"predictions": []}',
        b"\xff",
    ],
)  # fmt: skip
def test_what_does_not_answer_as_tf_serving_is_told(body):
    with stand_in_server.running(lambda *_: (200, body)) as address:
        text = refusal(f"{address}/v1/models/bats")
    assert text.startswith(f"The server at {address}/v1/models/bats does not answer as")
    assert text.endswith("Is it running, and is the address right?")


@pytest.mark.parametrize(
    "outputs", [b"[]", b"{}", b'["{}"]', b"[3]", b"[null]", b'"text"', b'["no JSON"]']
)
def test_a_model_of_others_on_a_server_is_told(outputs):
    body = b'{"outputs": ' + outputs + b"}"
    with stand_in_server.running(lambda *_: (200, body)) as address:
        text = refusal(f"{address}/v1/models/bats")
    assert text.startswith(f"The model at {address}/v1/models/bats has a contract that")


def test_where_nobody_listens_it_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        text = refusal(f"http://127.0.0.1:{taken.getsockname()[1]}/v1/models/bats")
    assert "refused" in text
    assert text.endswith("Is it running, and is the address right?")


def test_a_server_of_another_protocol_is_told():
    """As the port of gRPC is, which is easily taken for the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            for _ in range(2):  # asked for the version in use, then for the contract
                with listener.accept()[0] as connection:
                    connection.recv(1_000)
                    connection.sendall(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        text = refusal(f"http://127.0.0.1:{listener.getsockname()[1]}/v1/models/bats")
        thread.join()
    assert "does not answer as TF Serving does" in text


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8501",
        "http://127.0.0.1:8501/v1/models",
        "http://127.0.0.1:8501/v1/models/bats:predict",
        "http://127.0.0.1:8501/v1/models/bats/metadata",
        "http://127.0.0.1:8501/v1/models/bats/versions/new",
        "https:///v1/models/bats",
    ],
)
def test_a_wrong_address_is_told_before_anybody_is_asked(url, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", None)
    expected = "A model on a server is named http://HOST:PORT/v1/models/NAME. Received"
    assert refusal(url) == f"{expected}: {url}"


def test_a_port_that_is_no_number_is_told():
    assert "nonnumeric port: 'x'" in refusal("http://127.0.0.1:x/v1/models/bats")


def test_a_server_that_goes_away_is_told(loaded):
    with stand_in_server.running(stand_in_server.serving(loaded["file"])) as address:
        tagger = tfhier.load(f"{address}/v1/models/bats")
    with pytest.raises(InputError, match="Is it running, and is the address right"):
        tagger.tag(models.clip(), sample_rate=RATE)


def test_a_clip_that_a_server_refuses_is_told_in_its_words(loaded):
    text = loaded["file"].contract.to_json()

    def answer(path, request):
        if request["signature_name"] == "contract":
            return 200, stand_in_server.outputs([text])
        return 400, b'{"error": "The waveform is too long."}'

    with stand_in_server.running(answer) as address:
        tagger = tfhier.load(f"{address}/v1/models/bats")
        with pytest.raises(InputError, match=r"\(400\): The waveform is too long\.$"):
            tagger.tag(models.clip(), sample_rate=RATE)


@pytest.mark.parametrize("scores", ["[[0.1]]", '{"animal": [[0.1]]}', '{"zebra": "a"}'])
def test_scores_that_do_not_fit_the_contract_are_told(loaded, scores):
    text = loaded["file"].contract.to_json()

    def answer(path, request):
        if request["signature_name"] == "contract":
            return 200, stand_in_server.outputs([text])
        return 200, b'{"outputs": ' + scores.encode() + b"}"

    with stand_in_server.running(answer) as address:
        tagger = tfhier.load(f"{address}/v1/models/bats")
        with pytest.raises(InputError, match="does not answer as TF Serving does"):
            tagger.scores(models.clip(), sample_rate=RATE)
