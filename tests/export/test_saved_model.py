"""A SavedModel answers as Keras does, in any process, and every version stays whole."""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import tfhier
from tests.export import models
from tfhier import audio, contract, golden, members, tagger
from tfhier.contract import Contract
from tfhier.engines.saved_model import SavedModelEngine
from tfhier.errors import InputError
from tfhier.export import exporting, proof, saved_model

ROOT = Path(__file__).parents[2]
WARM_UP = "assets.extra/tf_serving_warmup_requests"
QUIET = exporting.Options(formats=("savedmodel",), test_clips=0, timed=False)


def exported(folder: Path, model=None, **promises) -> SimpleNamespace:
    """A saved tagger, its export and the export as TensorFlow alone loads it."""
    path = models.write(folder / "model.keras", model, name="model", **promises)
    found = SimpleNamespace(path=path, keras=tfhier.load(path))
    found.folder = write_again(found, folder / "serving")
    found.loaded = tf.saved_model.load(str(found.folder))
    found.rate = found.keras.sample_rate
    return found


def write_again(model, folder: Path, prove=lambda _: None) -> Path:
    return saved_model.write(
        folder, model.keras.model, model.keras.contract, card="# Card", prove=prove
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Of clips of any length, with attention."""
    return exported(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def windowed(tmp_path_factory):
    """YAMNet, which hears 0.96 s at a time."""
    experiment = models.SMALL.but(
        backbone="yamnet", head="levelwise", frontend="yamnet_16k"
    )
    return exported(
        tmp_path_factory.mktemp("windowed"),
        models.build(experiment),
        sample_rate=16_000,
        window_seconds=0.96,
        hop_seconds=0.48,
    )


@pytest.fixture(params=["whole", "windowed"])
def either(request):
    return request.getfixturevalue(request.param)


def asked(model, signature: str, values) -> dict[str, np.ndarray]:
    """The answers to waveforms, or to bytes of WAV files."""
    name = "wav" if signature == "wav_bytes" else "waveform"
    found = model.loaded.signatures[signature](**{name: tf.constant(values)})
    return {key: each.numpy() for key, each in found.items()}


def assert_alike(found: dict, expected: dict, *, within: float) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name], values, rtol=0, atol=within)


def first(found: dict) -> dict:
    return {name: each[0] for name, each in found.items()}


def sound(model, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    return models.clip(seconds, rate=model.rate, seed=seed)


# -- What it answers ------------------------------------------------------------------


def test_there_are_the_signatures_that_the_tagger_can_answer(whole, windowed):
    always = {"serving_default", "wav_bytes", "embedding", "contract"}
    assert set(whole.loaded.signatures) == always | {"attention"}
    assert set(windowed.loaded.signatures) == always | {"frames"}
    for name, function in whole.loaded.signatures.items():
        (taken,) = function.structured_input_signature[1].values()
        kind = tf.string if name in ("wav_bytes", "contract") else tf.float32
        shape = [None] if kind == tf.string else [None, None]
        assert (taken.dtype, taken.shape.as_list()) == (kind, shape)


ALONE = """
import sys

sys.modules["keras"] = None  # which importing it would end with an error
import numpy as np
import tensorflow as tf
import tfhier

folder, sounds, out = sys.argv[1:]
waveforms = np.load(sounds)
loaded = tf.saved_model.load(folder)
found = {}
for name in ("serving_default", "embedding", "attention"):
    found |= loaded.signatures[name](waveform=tf.constant(waveforms))
clip = tfhier.load(folder).answer(waveforms[0], sample_rate=8_000)
found |= {"clip_" + name: values for name, values in clip.items()}
np.savez(out, **found)
import keras
"""


def test_a_process_without_keras_answers_with_the_same_bits(whole, tmp_path):
    waveforms = np.stack([sound(whole, seed=seed) for seed in range(3)])
    np.save(tmp_path / "sounds.npy", waveforms)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, whole.folder, tmp_path / "sounds.npy",
         tmp_path / "found.npz"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    # Its last line shows that it had none.
    assert "import of keras halted" in done.stderr.splitlines()[-1], done.stderr
    here = {}
    for signature in ("serving_default", "embedding", "attention"):
        here |= asked(whole, signature, waveforms)
    expected = tagger.answers(whole.keras.model, models.TREE)(waveforms)
    with np.load(tmp_path / "found.npz") as found:
        assert len(found) == 4 + 3
        for name, values in here.items():
            np.testing.assert_array_equal(found[name], values)
        for name in ("zebra", "animal", "embedding"):
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
            np.testing.assert_allclose(found[f"clip_{name}"], found[name][0], atol=1e-5)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 12.0])
def test_every_signature_answers_as_keras_does(whole, seconds):
    waveforms = np.stack([sound(whole, seconds, seed) for seed in range(2)])
    model = whole.keras.model
    answers = tagger.answers(model, models.TREE).predict_on_batch(waveforms)
    maps = tagger.attention_maps(model).predict_on_batch(waveforms)
    for signature, names, expected in [
        ("serving_default", ("zebra", "animal"), answers),
        ("embedding", ("embedding",), answers),
        ("attention", ("animal_attention",), maps),
    ]:
        assert_alike(
            asked(whole, signature, waveforms),
            {name: expected[name] for name in names},
            within=1e-5,
        )
    (found,) = asked(whole, "attention", waveforms).values()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)
    assert np.abs(answers["zebra"][0] - answers["zebra"][1]).max() > 1e-3


@pytest.mark.parametrize("seconds", [0.5, 3.1])
def test_frames_are_what_the_head_says_of_each(windowed, seconds):
    """Of the clip as a whole, while scores are means over windows."""
    waveforms = np.stack([sound(windowed, seconds, seed) for seed in range(2)])
    found = asked(windowed, "frames", waveforms)
    model = windowed.keras.model
    log_mel = tagger.frontend_of(model)(waveforms)
    embedding = tagger.backbone_of(tagger.body_of(model))(log_mel)
    head = tagger.head_of(model)
    assert found["zebra"].shape == (2, embedding.shape[1], 5)
    assert found["zebra"].shape[1] == max(1, round(seconds / 0.48 - 0.5))
    for frame in range(embedding.shape[1]):
        expected = head(embedding[:, frame : frame + 1])
        for level, values in expected.items():
            np.testing.assert_allclose(found[level][:, frame], values, atol=1e-5)


def test_loud_neighbours_change_nothing(either):
    waveforms = np.stack([sound(either, seed=seed) for seed in range(4)])
    waveforms *= np.float32([[1e-3], [1.0], [2.0], [0.0]])
    for signature in ("serving_default", "embedding"):
        together = asked(either, signature, waveforms)
        for row, waveform in enumerate(waveforms):
            alone = asked(either, signature, waveform[None])
            scale = max(1.0, np.abs(next(iter(alone.values()))).max())
            assert_alike(
                {name: each[row : row + 1] for name, each in together.items()},
                alone,
                within=1e-6 * scale,
            )


@pytest.mark.parametrize("samples", [1, 15_360, 15_361, 52_800])
def test_windows_are_averaged_inside_as_they_are_outside(windowed, samples):
    """Less than a window, one, a sample more, and 3.3 s."""
    waveform = sound(windowed, 4.0)[:samples]
    expected = windowed.keras.answer(waveform, sample_rate=16_000, with_log_mel=False)
    found = asked(windowed, "serving_default", waveform[None])
    found |= asked(windowed, "embedding", waveform[None])
    assert_alike(first(found), {name: expected[name] for name in found}, within=1e-5)


def test_the_contract_comes_as_text(either):
    function = either.loaded.signatures["contract"]
    texts = function(request=tf.constant(["", "a", "b"]))["contract"].numpy()
    assert len(set(texts)) == 1 and len(texts) == 3
    assert json.loads(texts[0])["name"] == "model"
    found = Contract.from_json(texts[0].decode())
    assert found == contract.read(either.folder)
    assert found.taxonomy.to_csv() == models.TREE.to_csv()
    assert found.frontend == either.keras.contract.frontend


# -- WAV files ------------------------------------------------------------------------


def stored(path: Path, waveform: np.ndarray, rate: int, subtype: str) -> bytes:
    soundfile.write(path, waveform, rate, subtype=subtype)
    return path.read_bytes()


def test_a_wav_file_at_the_model_s_rate_is_its_samples(either, tmp_path):
    waveform = sound(either, 1.3)
    steps = np.round(waveform * 2**15).astype(np.int16)
    content = stored(tmp_path / "a.wav", steps, either.rate, "PCM_16")
    assert_alike(
        asked(either, "wav_bytes", [content]),
        asked(either, "serving_default", np.float32(steps / 2**15)[None]),
        within=1e-6,
    )


def test_wav_files_of_a_batch_are_answered_as_files_alone(either, tmp_path):
    """Of other lengths, rates and bits; resampled as `tag` does it."""
    contents, expected = [], []
    for seed, (seconds, rate, subtype) in enumerate(
        [(0.4, 44_100, "PCM_24"), (2.5, 48_000, "FLOAT"), (1.1, 22_050, "PCM_16")]
    ):
        path = tmp_path / f"{seed}.wav"
        # Tones below half of either rate, as recordings have them.
        waveform = audio.resample(
            models.clip(seconds, seed=seed), source_rate=models.RATE, target_rate=rate
        )
        contents.append(stored(path, waveform, rate, subtype))
        expected.append(either.keras.tag(path))
    together = asked(either, "wav_bytes", contents)
    for row, tags in enumerate(expected):
        alone = asked(either, "wav_bytes", contents[row : row + 1])
        found = {level: each[row : row + 1] for level, each in together.items()}
        assert_alike(found, alone, within=1e-6)
        scores = {level: np.array([*each.values()]) for level, each in tags.items()}
        assert_alike(first(alone), scores, within=2e-3)
    assert np.abs(together["zebra"][0] - together["zebra"][1]).max() > 2e-3


# -- What it refuses ------------------------------------------------------------------


def said(model, signature: str, values) -> str:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        asked(model, signature, values)
    return str(caught.value)


def changed(model, value: float) -> np.ndarray:
    waveforms = np.stack([sound(model, seed=seed) for seed in range(2)])
    waveforms[1, 700] = value
    return waveforms


def test_what_cannot_be_answered_is_refused_with_a_reason(either):
    not_finite = r"\[The waveform holds NaN or infinite samples\.\]"
    too_loud = (
        r"\[The waveform has samples up to [0-9.]+, where sound lies in \[-1, 1\]\. "
        r"Scale it: 16-bit samples are divided by 32768\.\]"
    )
    for signature in ("serving_default", "embedding"):
        for value, reason in [
            (np.nan, not_finite),
            (np.inf, not_finite),
            (-np.inf, not_finite),
            (65.0, too_loud),
            (-1e30, too_loud),
        ]:
            assert re.search(reason, said(either, signature, changed(either, value)))
        for value in (60.0, -60.0):
            found = asked(either, signature, changed(either, value))
            assert all(np.isfinite(each).all() for each in found.values())


def test_sound_that_is_too_short_is_refused(whole, windowed):
    """Less than half a DFT and a sample; a window is filled up instead."""
    least = whole.keras.min_samples
    assert least == 129
    reason = r"The waveform has 128 samples\. The model needs 129 or more at 8000 Hz"
    for signature in ("serving_default", "embedding", "attention"):
        message = said(whole, signature, np.zeros((2, least - 1), np.float32))
        assert re.search(rf"\[{reason}\.\]", message)
        asked(whole, signature, sound(whole)[None, :least])
    content = audio.to_wav(sound(whole)[: least - 1], sample_rate=models.RATE)
    assert re.search(reason, said(whole, "wav_bytes", [content]))
    message = said(windowed, "serving_default", np.zeros((1, 0), np.float32))
    assert "has 0 samples. The model needs 1 or more at 16000 Hz." in message


def test_bytes_that_are_no_wav_file_are_refused(either):
    good = audio.to_wav(sound(either), sample_rate=either.rate)
    for content, reason in [
        (b"", r"\[The clip is empty \(0 bytes\)\."),
        (b"fLaC" + good, r"\[The clip is not a WAV file"),
        (good[:-2], r"\[The clip is cut short"),
    ]:
        assert re.search(reason, said(either, "wav_bytes", [good, content]))
    # One sample more than ten minutes, of the lowest rate.
    long = audio.to_wav(np.zeros(600_001, np.float32), sample_rate=1_000)
    assert "at most 600 s are accepted" in said(either, "wav_bytes", [long])


# -- What is on disk ------------------------------------------------------------------


def test_warm_up_requests_run_and_give_the_golden_scores(either):
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(either.folder / WARM_UP))
    ]
    kept = golden.read(either.folder)
    asked_for = []
    for log in logs:
        request = log.predict_log.request
        signature = request.model_spec.signature_name
        ((name, proto),) = request.inputs.items()
        assert proto.tensor_shape.dim[0].size == 1
        found = either.loaded.signatures[signature](
            **{name: tf.make_ndarray(proto)}
            if signature != "wav_bytes"
            else {name: tf.constant(list(proto.string_val))}
        )
        asked_for.append(signature)
        if signature != "embedding":
            assert kept.difference(first(found)) < 1e-5
    assert asked_for == ["serving_default", "wav_bytes", "embedding"]


def test_variables_are_written_once(either):
    """The attention's twin has weights of its own, a few."""
    (data,) = (either.folder / "variables").glob("variables.data*")
    model = either.keras.model
    expected = 4 * model.count_params()
    assert expected <= data.stat().st_size < 1.1 * expected
    assert len(tf.train.list_variables(str(either.folder / "variables/variables"))) > 5


def contents(folder: Path) -> dict[str, str]:
    return {
        str(item.relative_to(folder)): hashlib.sha256(item.read_bytes()).hexdigest()
        for item in folder.rglob("*")
        if item.is_file()
    }


def test_versions_count_on_and_leave_others_alone(whole, tmp_path, monkeypatch):
    serving = tmp_path / "serving"
    shutil.copytree(whole.folder, serving / "1")
    before = contents(serving / "1")
    assert write_again(whole, serving) == serving / "2"
    assert contents(serving / "1") == before
    (serving / "7").mkdir()
    (serving / "7/notes.txt").write_text("ours")
    (serving / "latest").mkdir()

    def prove(folder: Path) -> None:
        """What is proved is whole, and has no number yet."""
        assert tfhier.load(folder).selftest()[0] < 1e-5
        assert not folder.name.isdecimal()

    def rename(source: Path, target: Path) -> None:
        """Another export is quicker by a moment."""
        monkeypatch.undo()
        assert target == serving / "8"
        target.mkdir()
        (target / "theirs").write_text("theirs")
        os.rename(source, target)

    monkeypatch.setattr(os, "rename", rename)
    assert write_again(whole, serving, prove) == serving / "9"
    assert contents(serving / "7").keys() == {"notes.txt"}
    assert contents(serving / "8").keys() == {"theirs"}
    assert {item.name for item in serving.iterdir()} == set("12789") | {"latest"}
    # Beside what another export gives, and readable to a server of another user.
    assert contents(serving / "9").keys() == before.keys()
    assert os.stat(serving / "9").st_mode & 0o055 == 0o055
    assert tfhier.load(serving).selftest()[0] < 1e-5


def test_an_export_that_is_not_proved_is_not_kept(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "compare", lambda *_: proof.Proof(9, 0.02, 1.0, 0.0))
    shutil.copy(whole.path, tmp_path)
    with pytest.raises(
        InputError,
        match=r"^serving does not answer as the model that it was made from: scores "
        r"differ by up to 0\.02, and 0\.0001 was expected\. It was not kept\.",
    ):
        exporting.export(tmp_path / "model.keras", QUIET)
    assert {item.name for item in tmp_path.iterdir()} == {"model.keras"}


class _Astray:
    """A SavedModel whose answers to one signature are off."""

    def __init__(self, folder: Path, signature: str, off=lambda **_: 0.01):
        self._engine, self._signature = SavedModelEngine(folder), signature
        self._off = off
        self.signatures = self._engine.signatures

    def ask(self, signature: str, **inputs) -> dict:
        found = self._engine.ask(signature, **inputs)
        off = self._off(**inputs) if signature == self._signature else 0.0
        return {name: each + off for name, each in found.items()}


@pytest.mark.parametrize("signature", ["wav_bytes", "embedding", "attention", "frames"])
def test_every_signature_is_compared_with_keras(whole, windowed, signature):
    model = windowed if signature == "frames" else whole
    proof.require_signatures(model.keras, _Astray(model.folder, "none"))
    with pytest.raises(InputError, match=f"signature {signature} .* is off by 0.0"):
        proof.require_signatures(model.keras, _Astray(model.folder, signature))


def test_files_of_another_rate_are_compared_too(whole):
    """Within what two ways of resampling differ by, and no more."""

    def off_at_44_100(wav):
        rate = soundfile.info(io.BytesIO(wav[0])).samplerate
        return 0.03 * (rate == 44_100)

    with pytest.raises(InputError, match=r"wav_bytes at 44100 Hz .* off by 0\.03"):
        proof.require_signatures(
            whole.keras, _Astray(whole.folder, "wav_bytes", off_at_44_100)
        )


def test_an_interrupted_export_leaves_nothing(whole, tmp_path):
    def prove(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_again(whole, tmp_path, prove)
    assert list(tmp_path.iterdir()) == []


def altered(content: bytes, name: str) -> list[tuple[int, int]]:
    """Places and bits to alter: a few of a file, all ends of lines of checksums."""
    rng = np.random.default_rng(len(content))
    places = {0, len(content) - 1, *rng.integers(0, len(content), 3).tolist()}
    found = [(place, int(rng.integers(8))) for place in places]
    if name == members.CHECKSUMS:
        ends = [place for place, byte in enumerate(content) if byte == ord("\n")]
        found += [(place, bit) for place in ends for bit in range(8)]
    return found


def test_every_altered_byte_is_one_error(whole, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(whole.folder, folder)
    files = sorted(item for item in folder.rglob("*") if item.is_file())
    assert len(files) == 10
    for file in files:
        content = file.read_bytes()
        for place, bit in altered(content, file.name):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            file.write_bytes(damaged)
            with pytest.raises(
                InputError, match=r"^[^\n]*/1 is no SavedModel, or it is damaged "
            ):
                tfhier.load(folder)
        file.unlink()
        with pytest.raises(InputError, match="is damaged|no model|list of checksums"):
            tfhier.load(folder)
        file.write_bytes(content)
    (folder / "variables/more").write_text("")
    with pytest.raises(InputError, match=r"damaged \(variables/more is not as it was"):
        tfhier.load(folder)
    (folder / "variables/more").unlink()
    assert tfhier.load(folder).selftest()[0] < 1e-5
