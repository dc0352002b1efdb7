"""Requests that are meant to do harm: each is refused, and the server goes on."""

import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from tensorflow_serving.apis import predict_pb2

from tests.serve.conftest import running
from tfhier.serve.core import Core
from tfhier.serve.status import StatusError

CLIP = {"inputs": [[1, 2, 3, 4]]}
MAX_ROWS = 5


@pytest.fixture(scope="module")
def small(base):
    """Clients of a server with a low limit of rows."""
    with running({"tags": base}, max_rows=MAX_ROWS) as found:
        yield found


def request(signature: str, **inputs: np.ndarray) -> predict_pb2.PredictRequest:
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "tags", signature
    for name, value in inputs.items():
        asked.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return asked


def refusal(clients, asked: predict_pb2.PredictRequest) -> tuple[StatusCode, str]:
    with pytest.raises(grpc.RpcError) as found:
        clients.predictions.Predict(asked, timeout=20)
    return found.value.code(), found.value.details()


def test_few_bytes_do_not_become_millions_of_strings(small):
    """One string for four million took gigabytes before."""
    for signature, name in (("contract", "anything"), ("wav_bytes", "wav")):
        asked = request(signature, **{name: np.array([b""], object)})
        asked.inputs[name].tensor_shape.dim[0].size = 4_000_000
        before = time.monotonic()
        code, said = refusal(small, asked)
        assert time.monotonic() - before < 1
        assert code == StatusCode.INVALID_ARGUMENT
        assert "1 strings for the 4000000 places" in said


@pytest.mark.parametrize(
    ("signature", "name", "row"),
    [("contract", "anything", "a"), ("serving_default", "waveform", [0.0] * 4)],
)
def test_rows_beyond_the_limit_are_refused_at_both_doors(small, signature, name, row):
    for num_rows in (MAX_ROWS, MAX_ROWS + 1):
        rows = [row] * num_rows
        kind = object if row == "a" else np.float32
        asked = request(signature, **{name: np.array(rows, kind)})
        bodies = [
            {"signature_name": signature, form: rows}
            for form in ("inputs", "instances")
        ]
        if num_rows == MAX_ROWS:
            small.predictions.Predict(asked, timeout=20)
            assert [small.post(body)[0] for body in bodies] == [200, 200]
            continue
        expected = f"The request has {num_rows} rows, and {MAX_ROWS} are the limit."
        code, said = refusal(small, asked)
        assert (code, said.startswith(expected)) == (StatusCode.INVALID_ARGUMENT, True)
        for body in bodies:
            status, answer = small.post(body)
            assert (status, answer["error"].startswith(expected)) == (400, True)


def test_numbers_of_one_axis_may_be_one_waveform(small):
    seconds = np.zeros(MAX_ROWS + 1, np.float32)
    answer = small.predictions.Predict(request("wait", seconds=seconds), timeout=20)
    assert len(answer.outputs["waited"].float_val) == MAX_ROWS + 1
    body = {"signature_name": "wait", "inputs": seconds.tolist()}
    assert small.post(body)[0] == 200
    # Listed as rows they are rows.
    status, answer = small.post({"signature_name": "wait", "instances": [0.0] * 6})
    assert (status, "6 rows" in answer["error"]) == (400, True)


@pytest.mark.parametrize(
    "name", ["n" * 20_000, "\N{HONEYBEE}" * 20_000, "\n%" * 20_000]
)
def test_messages_do_not_repeat_long_names(small, name):
    code, said = refusal(small, request(name, x=np.zeros(1)))
    assert code == StatusCode.FAILED_PRECONDITION
    body = {"signature_name": name, "inputs": [1]}
    status, answer = small.post(body)
    assert status == 400
    for message in (said, answer["error"]):
        assert 900 < len(message.encode()) <= 1_000
        assert name[:100] in message
        assert message.endswith("...")


def test_messages_are_cut_at_a_thousand_bytes_of_whole_characters():
    for message, expected in (
        ("a" * 1_000, "a" * 1_000),
        ("a" * 1_001, "a" * 997 + "..."),
        ("\N{HONEYBEE}" * 251, "\N{HONEYBEE}" * 249 + "..."),
        ("\ud800", "\\ud800"),
    ):
        error = StatusError(StatusCode.INTERNAL, message)
        assert error.message == str(error) == expected


@pytest.mark.parametrize(
    "error", [TypeError("an odd\nthing"), MemoryError(), RuntimeError("x" * 5_000)]
)
def test_what_nobody_foresaw_is_one_line_and_an_internal_error(
    small, monkeypatch, capsys, error
):
    def stumble(*args, **kwargs):
        raise error

    expected = "The server met a fault of its own; its log says more."
    with monkeypatch.context() as patch:
        patch.setattr(Core, "predict", stumble)
        asked = request("", waveform=np.zeros((1, 4), np.float32))
        assert refusal(small, asked) == (StatusCode.INTERNAL, expected)
        assert small.post(CLIP) == (500, {"error": expected})
    said, complaints = capsys.readouterr()
    assert complaints == ""
    for line in said.splitlines():
        assert line.startswith(f"fault    {type(error).__name__}: ")
        assert "(test_attacks.py:" in line
        assert len(line) < 1_100
    assert len(said.splitlines()) == 2
    assert small.post(CLIP)[0] == 200
