"""One exported tagger through every door: the same scores, the same refusals."""

import base64
import io
import shutil

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

import tfhier
from tests.export import models
from tests.serve.conftest import running
from tests.serve.test_versions import wait_until
from tfhier import audio
from tfhier.errors import InputError
from tfhier.export import exporting

RATE = models.RATE
TOLERANCE = 1e-4
SOUND = models.clip(60.0, seed=3)
CLIPS = {
    "quiet": 1e-3 * SOUND[:RATE],
    "loud": 3 * SOUND[:RATE],
    "0.3 s": SOUND[: round(0.3 * RATE)],
    "60 s": SOUND,
}


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    path = models.write(tmp_path_factory.mktemp("model") / "model.keras")
    options = exporting.Options(test_clips=0, timed=False, output=path.parent)
    exporting.export(path, options)
    return tfhier.load(path)


@pytest.fixture(scope="module")
def served(tagger):
    with running({"zoo": tagger.path.parent / "serving"}) as clients:
        yield clients


def expected(tagger, waveforms) -> dict[str, np.ndarray]:
    """Keras's own scores, each clip alone."""
    found = [tagger.scores(each, sample_rate=RATE) for each in waveforms]
    return {level: np.stack([each[level] for each in found]) for level in found[0]}


def check(found: dict, wanted: dict) -> None:
    assert set(found) == set(wanted)
    for level, scores in wanted.items():
        np.testing.assert_allclose(found[level], scores, rtol=0, atol=TOLERANCE)


def over_rest(served, signature: str, inputs: list) -> dict[str, np.ndarray]:
    body = {"signature_name": signature, "inputs": inputs}
    status, answer = served.post(body, model="zoo")
    assert status == 200, answer
    return {level: np.float32(each) for level, each in answer["outputs"].items()}


def over_grpc(served, signature: str, name: str, value) -> dict[str, np.ndarray]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "zoo"
    request.model_spec.signature_name = signature
    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    answer = served.predictions.Predict(request, timeout=60)
    return {level: tf.make_ndarray(each) for level, each in answer.outputs.items()}


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_has_the_same_scores_through_every_door(tagger, served, name):
    clip = CLIPS[name]
    wanted = expected(tagger, [clip])
    check(over_rest(served, "serving_default", clip[None].tolist()), wanted)
    check(over_grpc(served, "serving_default", "waveform", clip[None]), wanted)
    url = f"http://{served.rest_address}/v1/models/zoo"
    folder = tagger.path.parent
    for place in (url, folder / "serving", folder / "model.tflite"):
        found = tfhier.load(place).scores(clip, sample_rate=RATE)
        check({level: each[None] for level, each in found.items()}, wanted)


def test_a_quiet_clip_beside_a_loud_one_is_answered_as_alone(tagger, served):
    pair = np.stack([CLIPS["quiet"], CLIPS["loud"]])
    wanted = expected(tagger, pair)
    check(over_rest(served, "serving_default", pair.tolist()), wanted)
    check(over_grpc(served, "serving_default", "waveform", pair), wanted)
    assert np.abs(wanted["zebra"][0] - wanted["zebra"][1]).max() > 0.01


def test_wav_files_of_other_lengths_are_answered_beside_each_other(tagger, served):
    clips = [np.clip(each, -1, 1) for each in CLIPS.values()]
    files = [audio.to_wav(each, sample_rate=RATE) for each in clips]
    heard = [soundfile.read(io.BytesIO(each), dtype="float32")[0] for each in files]
    wanted = expected(tagger, heard)
    in_text = [{"b64": base64.b64encode(each).decode()} for each in files]
    check(over_rest(served, "wav_bytes", in_text), wanted)
    check(over_grpc(served, "wav_bytes", "wav", files), wanted)


def test_the_client_of_this_library_has_embedding_and_contract(tagger, served):
    other = tfhier.load(f"http://{served.rest_address}/v1/models/zoo")
    assert other.contract.taxonomy == tagger.taxonomy
    assert other.contract.clip_seconds == 1.0
    found = other.embed(CLIPS["loud"], sample_rate=RATE)
    own = tagger.embed(CLIPS["loud"], sample_rate=RATE)
    np.testing.assert_allclose(found, own, rtol=1e-4, atol=1e-5)
    assert other.tag(CLIPS["loud"], sample_rate=RATE).keys() == {"zebra", "animal"}
    with pytest.raises(InputError, match="golden clip of http.* is in its files"):
        other.selftest()


def test_a_client_asks_only_the_version_whose_labels_it_knows(tagger, tmp_path):
    base = tmp_path / "zoo"
    shutil.copytree(tagger.path.parent / "serving", base)
    clip = {"clip": CLIPS["loud"], "sample_rate": RATE}
    with running({"zoo": base}, poll_seconds=0.05) as clients:
        url = f"http://{clients.rest_address}/v1/models/zoo"
        client = tfhier.load(url)
        before = client.scores(**clip)
        shutil.copytree(base / "1", base / ".2")
        (base / ".2").rename(base / "2")
        wait_until(lambda: clients.ask("GET", "/v1/models/zoo/versions/2")[0] == 200)
        wait_until(
            lambda: (
                clients.ask("GET", "/v1/models/zoo/metadata")[1]["model_spec"][
                    "version"
                ]
                == "2"
            )
        )
        with pytest.raises(InputError, match="Another version may be served now"):
            client.scores(**clip)
        check(tfhier.load(url).scores(**clip), before)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([[0.1, 0.2]], "The waveform has 2 samples. The model needs 129 or more at 8"),
        ([[float("nan")] * 500], "holds NaN or infinite samples"),
        ([[1e9] * 500], "samples up to 1000000000.0, where sound lies"),
        ([[]], "The waveform has 0 samples"),
    ],
)
def test_what_the_graph_refuses_is_a_bad_request(served, inputs, message):
    body = {"signature_name": "serving_default", "inputs": inputs}
    status, answer = served.post(body, model="zoo")
    assert (status, message in answer["error"]) == (400, True), answer
    # It lives.
    assert served.post({"inputs": [[0.1] * 500]}, model="zoo")[0] == 200
