"""The gRPC door, asked by the official stubs."""

import concurrent.futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.serve import saved_models
from tests.serve.conftest import LIMIT, running
from tfhier.serve.proto_tensors import from_proto, to_proto
from tfhier.serve.status import StatusError

SECONDS = 20  # for any answer


def request(signature: str = "", *, model: str = "tags", **inputs):
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name = model
    asked.model_spec.signature_name = signature
    for name, value in inputs.items():
        asked.inputs[name].CopyFrom(value)
    return asked


def tensor(value: object, dtype=np.float32) -> tensor_pb2.TensorProto:
    return tf.make_tensor_proto(np.array(value, dtype))


def refusal(call, asked) -> tuple[StatusCode, str]:
    with pytest.raises(grpc.RpcError) as found:
        call(asked, timeout=SECONDS)
    return found.value.code(), found.value.details()


def test_predictions_are_the_models_own_numbers(clients, base, rng):
    waveform = rng.normal(size=(3, 100)).astype(np.float32)
    expected = saved_models.direct(base / "3", "serving_default", waveform=waveform)
    asked = request(waveform=tf.make_tensor_proto(waveform))
    answer = clients.predictions.Predict(asked, timeout=SECONDS)
    assert answer.model_spec.name == "tags"
    assert answer.model_spec.version.value == 3
    assert answer.model_spec.signature_name == "serving_default"
    assert set(answer.outputs) == {"fine", "coarse"}
    for level, proto in answer.outputs.items():
        np.testing.assert_array_equal(tf.make_ndarray(proto), expected[level])
        # Clients read this field without TensorFlow.
        np.testing.assert_array_equal(
            np.float32(proto.float_val), expected[level].ravel()
        )


def test_strings_and_other_types(clients, base):
    files = [saved_models.wav_bytes(seed=seed) for seed in (1, 2)]
    expected = saved_models.direct(base / "3", "wav_bytes", wav=files)
    asked = request("wav_bytes", wav=tf.make_tensor_proto(files))
    answer = clients.predictions.Predict(asked, timeout=SECONDS)
    np.testing.assert_array_equal(
        tf.make_ndarray(answer.outputs["fine"]), expected["fine"]
    )
    asked = request(
        "mix",
        count=tensor([5], np.int32),
        pair=tensor([[1, 2]], np.float64),
        is_on=tensor([True], bool),
    )
    outputs = clients.predictions.Predict(asked, timeout=SECONDS).outputs
    assert list(outputs["count"].int64_val) == [6]
    assert list(outputs["pair"].double_val) == [-1, -2]
    assert list(outputs["is_on"].bool_val) == [False]
    assert list(outputs["raw_bytes"].string_val) == [b"5"]
    assert list(outputs["total"].int_val) == [5]
    assert not outputs["total"].tensor_shape.dim


def test_the_output_filter_is_honoured(clients):
    asked = request(waveform=tensor([[1, 2, 3, 4]]))
    asked.output_filter.append("coarse")
    answer = clients.predictions.Predict(asked, timeout=SECONDS)
    assert list(answer.outputs) == ["coarse"]
    asked.output_filter.append("coarse")
    code, details = refusal(clients.predictions.Predict, asked)
    assert code == StatusCode.INVALID_ARGUMENT
    assert details == "duplicate output tensor alias: coarse"
    asked.output_filter[1] = "medium"
    assert (
        "not found in signature: medium"
        in refusal(clients.predictions.Predict, asked)[1]
    )


def _versioned(version: int):
    asked = request(waveform=tensor([[1, 2, 3, 4]]))
    asked.model_spec.version.value = version
    return asked


def _labelled():
    asked = request(waveform=tensor([[1, 2, 3, 4]]))
    asked.model_spec.version_label = "stable"
    return asked


def _bomb() -> tensor_pb2.TensorProto:
    """A few bytes that describe terabytes."""
    proto = tensor([[1]])
    for axis in proto.tensor_shape.dim:
        axis.size = 1_000_000
    return proto


def _unknown_shape() -> tensor_pb2.TensorProto:
    proto = tensor([[1]])
    proto.tensor_shape.dim[0].size = -1
    return proto


def _short_content() -> tensor_pb2.TensorProto:
    proto = tensor([[1, 2, 3, 4]])
    proto.tensor_content = proto.tensor_content[:-3]
    return proto


@pytest.mark.parametrize(
    ("asked", "code", "details"),
    [
        (request(model="none"), "NOT_FOUND", "Latest(none)"),
        (_versioned(2), "NOT_FOUND", "Specific(tags, 2)"),
        (_labelled(), "INVALID_ARGUMENT", "version label: stable"),
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (request("none"), "FAILED_PRECONDITION", 'key "none" not found'),
        (request(), "INVALID_ARGUMENT", "Missing but required: {waveform}"),
        (request(wave=tensor([[1]])), "INVALID_ARGUMENT", "Sent extra: {wave}"),
        (request(waveform=tensor([1])), "INVALID_ARGUMENT", "of shape (1,)"),
        (request(waveform=tensor([["a"]], object)), "INVALID_ARGUMENT", "string"),
        (request(waveform=tensor([[1]], int)), "INVALID_ARGUMENT", "int64 of shape"),
        (request(waveform=_bomb()), "INVALID_ARGUMENT", "bytes of the limit"),
        (request(waveform=_unknown_shape()), "INVALID_ARGUMENT", "shape is not known"),
        (request(waveform=_short_content()), "INVALID_ARGUMENT", "parsing error"),
        (
            request(waveform=tensor_pb2.TensorProto()),
            "INVALID_ARGUMENT",
            "parsing error: waveform",
        ),
    ],
    ids=range(14),
)
def test_bad_requests(clients, asked, code, details):
    found = refusal(clients.predictions.Predict, asked)
    assert found[0].name == code
    assert details in found[1]


def test_errors_of_the_graph_come_without_its_nodes(clients):
    asked = request(waveform=tensor([[99, 0, 0, 0]]))
    assert refusal(clients.predictions.Predict, asked) == (
        StatusCode.INVALID_ARGUMENT,
        "assertion failed: [The first sample is 99.]",
    )


def test_messages_over_the_limit_are_refused(clients):
    asked = request(waveform=tensor(np.zeros((1, LIMIT // 4 + 1))))
    code, details = refusal(clients.predictions.Predict, asked)
    assert code == StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in details


def test_answers_may_be_longer_than_requests(base):
    """Ten thousand rows of strings come back longer than they went in."""
    asked = request("contract", anything=tf.make_tensor_proto(["ab"] * 10_000))
    size = asked.ByteSize() + 100
    options = {"max_request_bytes": size, "max_rows": 10_000}
    with running({"tags": base}, **options) as clients:
        answer = clients.predictions.Predict(asked, timeout=SECONDS)
    assert answer.ByteSize() > size
    assert answer.outputs["contract"].string_val[-1] == b"{}: ab"


def test_metadata_and_status(clients):
    asked = get_model_metadata_pb2.GetModelMetadataRequest()
    asked.model_spec.name = "tags"
    assert refusal(clients.predictions.GetModelMetadata, asked)[1] == (
        "GetModelMetadataRequest must specify at least one metadata_field"
    )
    asked.metadata_field.append("signature_def")
    answer = clients.predictions.GetModelMetadata(asked, timeout=SECONDS)
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(definitions)
    wav = definitions.signature_def["wav_bytes"].inputs["wav"]
    assert tf.as_dtype(wav.dtype) == tf.string
    assert answer.model_spec.version.value == 3
    asked.metadata_field.append("other")
    found = refusal(clients.predictions.GetModelMetadata, asked)
    assert found == (
        StatusCode.INVALID_ARGUMENT,
        "Metadata field other is not supported",
    )

    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "tags"
    (state,) = clients.status.GetModelStatus(
        asked, timeout=SECONDS
    ).model_version_status
    assert state.version == 3
    assert state.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    asked.model_spec.version.value = 2
    found = refusal(clients.status.GetModelStatus, asked)
    assert found == (StatusCode.NOT_FOUND, "Could not find version 2 of model tags")


def test_methods_that_are_not_answered(clients):
    for call, asked, word in (
        (
            clients.predictions.Classify,
            classification_pb2.ClassificationRequest(),
            "class",
        ),
        (clients.predictions.Regress, regression_pb2.RegressionRequest(), "regress"),
    ):
        asked.model_spec.name = "none"
        assert refusal(call, asked)[0] == StatusCode.NOT_FOUND
        asked.model_spec.name = "tags"
        code, details = refusal(call, asked)
        assert code == StatusCode.INVALID_ARGUMENT
        assert details.startswith(f"Expected {word}")
        assert "Was: tensorflow/serving/predict" in details
    several = inference_pb2.MultiInferenceRequest()
    assert refusal(clients.predictions.MultiInference, several)[0].name == (
        "INVALID_ARGUMENT"
    )
    task = several.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.name = "tags"
    assert (
        "regression signature"
        in refusal(clients.predictions.MultiInference, several)[1]
    )
    task.method_name = "tensorflow/serving/predict"
    assert (
        refusal(clients.predictions.MultiInference, several)[0].name == "UNIMPLEMENTED"
    )
    reload = model_management_pb2.ReloadConfigRequest()
    found = refusal(clients.status.HandleReloadConfigRequest, reload)
    assert found[0] == StatusCode.UNIMPLEMENTED


def test_many_clients_at_once_get_their_own_answers(clients, base, rng):
    clips = [rng.normal(size=(1, 50 + at)).astype(np.float32) for at in range(60)]
    expected = [
        saved_models.direct(base / "3", "serving_default", waveform=clip)["fine"]
        for clip in clips
    ]

    def ask(at: int) -> np.ndarray:
        if at % 2:
            _, answer = clients.post({"inputs": clips[at].astype(float).tolist()})
            return np.float32(answer["outputs"]["fine"])
        asked = request(waveform=tf.make_tensor_proto(clips[at]))
        answer = clients.predictions.Predict(asked, timeout=SECONDS)
        return tf.make_ndarray(answer.outputs["fine"])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found, right in zip(pool.map(ask, range(60)), expected, strict=True):
            np.testing.assert_array_equal(found, right)


TYPES = (
    "float16 bfloat16 float32 float64 int8 uint8 int16 uint16 int32 uint32 int64 "
    "uint64 bool complex64"
)


@pytest.mark.parametrize("dtype", TYPES.split())
def test_tensors_survive_as_messages(rng, dtype):
    array = rng.integers(0, 2, (2, 3)).astype(tf.as_dtype(dtype).as_numpy_dtype)
    again = from_proto("x", to_proto(array), max_bytes=1_000)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)
    with pytest.raises(StatusError, match="more than the 5 bytes"):
        from_proto("x", to_proto(array), max_bytes=5)
