"""JSON in and out, without a server: exactness of numbers above all."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from tfhier.serve import json_answers, json_bodies, json_tensors
from tfhier.serve.signatures import Signature, plain
from tfhier.serve.status import StatusError


def signature(**types: tf.DType) -> Signature:
    definition = SignatureDef()
    for name, dtype in types.items():
        definition.inputs[name].dtype = dtype.as_datatype_enum
    return Signature("serving_default", definition, dict)


def read(values: object, dtype: tf.DType, *, is_row: bool = False) -> np.ndarray:
    body = json_bodies.PredictBody("", values, is_row)
    return json_tensors.inputs_of(body, signature(x=dtype))["x"]


def written(array: np.ndarray, name: str = "x", *, is_row: bool = False) -> object:
    found = json.loads(json_answers.to_json({name: array}, is_row=is_row))
    return found["predictions" if is_row else "outputs"]


def test_every_kind_of_float32_survives_both_ways(rng):
    bits = rng.integers(0, 2**32, 50_000, dtype=np.uint32)
    floats = bits.view(np.float32)  # subnormal, huge, NaN and all
    edges = np.float32([0.1, 1 / 3, 1e-45, 3.4028235e38, -0.0, 2**24, np.inf, -np.inf])
    floats = np.concatenate([floats, edges])
    again = read(written(floats), tf.float32)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, floats)
    np.testing.assert_array_equal(np.signbit(again[-8:]), np.signbit(edges))


@pytest.mark.parametrize("dtype", [tf.float64, tf.float16, tf.bfloat16])
def test_other_floats_survive(rng, dtype):
    floats = rng.normal(size=(3, 4)).astype(dtype.as_numpy_dtype)
    again = read(written(floats), dtype)
    assert again.dtype == floats.dtype
    np.testing.assert_array_equal(again, floats)


@pytest.mark.parametrize(
    "dtype", [tf.int8, tf.uint8, tf.int16, tf.int32, tf.uint32, tf.int64, tf.uint64]
)
def test_whole_numbers_survive_up_to_their_limits(dtype):
    limits = np.array([[dtype.min, dtype.max]], dtype.as_numpy_dtype)
    np.testing.assert_array_equal(read(written(limits), dtype), limits)
    for outside in (int(dtype.min) - 1, int(dtype.max) + 1):
        with pytest.raises(StatusError, match=f"{outside} Type: Number"):
            read([outside], dtype)


def test_short_numbers_stay_short():
    assert json_answers.to_json(
        {"x": np.float32([0.2, 1.0, 1e-7])}, is_row=False
    ) == '{"outputs": [0.2, 1.0, 1e-07]}'  # fmt: skip


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3), (0,), (2, 0)])
def test_shapes_survive(rng, shape):
    array = rng.normal(size=shape).astype(np.float32)
    assert np.shape(written(array)) == shape
    np.testing.assert_array_equal(np.float32(written(array)), array)
    if shape:
        np.testing.assert_array_equal(np.float32(written(array, is_row=True)), array)


def test_rows_of_several_inputs_are_stacked_by_name():
    rows = [{"a": [1, 2], "b": "x"}, {"b": {"b64": "//8"}, "a": [3, 4]}]
    body = json_bodies.PredictBody("", rows, is_row=True)
    found = json_tensors.inputs_of(body, signature(a=tf.float32, b=tf.string))
    np.testing.assert_array_equal(found["a"], [[1, 2], [3, 4]])
    assert found["b"].tolist() == [b"x", b"\xff\xff"]


def test_bytes_are_base64_by_name_or_where_they_are_no_text():
    array = np.array([b"\xc3\x9f", b"\xff"], dtype=object)
    assert written(array) == ["ß", {"b64": "/w=="}]
    assert written(array, "x_bytes") == [{"b64": "w58="}, {"b64": "/w=="}]


def test_whole_numbers_that_a_float_cannot_hold_are_refused():
    np.testing.assert_array_equal(
        read([2**24, -(2**24)], tf.float32), [2**24, -(2**24)]
    )
    with pytest.raises(StatusError, match="16777217 to float without loss"):
        read([2**24 + 1], tf.float32)
    with pytest.raises(StatusError, match="to double without loss"):
        read([2**53 + 1], tf.float64)


def test_types_without_json_are_refused():
    with pytest.raises(StatusError, match="type: complex64"):
        written(np.complex64([1]))
    with pytest.raises(StatusError, match="JSON cannot carry .* complex64"):
        read([1.0], tf.complex64)


def test_messages_repeat_no_more_than_the_beginning_of_a_value():
    with pytest.raises(
        StatusError, match=r"^JSON Value: \[0, 0, .*\.\.\. Is not"
    ) as found:
        json_bodies.parse(json.dumps([0] * 100_000).encode())
    assert len(found.value.message) < 150


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Graph execution error:\n\nDetected at node a/Assert defined at (most "
            "recent call last):\n<stack traces unavailable>\nassertion failed: [x]\n"
            "\t [[{{node a/Assert}}]] [Op:__inference_1]",
            "assertion failed: [x]",
        ),
        (
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT:  bad: [1]\n"
            "\t [[{{node a}}]]\n\t [[b/_2]]\n  (1) INVALID_ARGUMENT:  bad\n",
            "bad: [1]",
        ),
        ("plain [[1, 2]]", "plain [[1, 2]]"),
    ],
)
def test_messages_lose_their_trace_alone(message, expected):
    assert plain(message) == expected
