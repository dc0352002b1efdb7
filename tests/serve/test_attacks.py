"""Requests that are meant to do harm: each is refused, and the server goes on."""

import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from tensorflow_serving.apis import predict_pb2

from tests.serve.conftest import running

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
