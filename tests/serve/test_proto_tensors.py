"""Messages that lie about their tensors, and small ones that describe large tensors."""

import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto

from tfhier.serve.proto_tensors import from_proto
from tfhier.serve.status import StatusError

LIMIT = 1 << 20


def proto(dtype: tf.DType, shape: list[int], **values: list) -> TensorProto:
    message = TensorProto(dtype=dtype.as_datatype_enum, **values)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


def refusal(message: TensorProto, *, max_bytes: int = LIMIT) -> str:
    with pytest.raises(StatusError) as found:
        from_proto("x", message, max_bytes=max_bytes)
    assert found.value.code.name == "INVALID_ARGUMENT"
    return found.value.message


@pytest.mark.parametrize("size", [0, 1, 2**62])
def test_many_axes_are_refused_before_they_are_multiplied(size):
    message = proto(tf.float32, [size] * 30_000)
    before = time.monotonic()
    assert refusal(message) == (
        "tensor parsing error: x (its shape has 30000 axes; up to 32 are accepted)"
    )
    assert time.monotonic() - before < 0.5


def test_the_highest_rank_is_accepted():
    message = proto(tf.float32, [1] * 32, float_val=[5.0])
    assert from_proto("x", message, max_bytes=LIMIT).shape == (1,) * 32
    assert "33 axes" in refusal(proto(tf.float32, [1] * 33, float_val=[5.0]))


@pytest.mark.parametrize(
    "shape", [[2**62] * 32, [LIMIT // 4 + 1], [LIMIT, 0], [0, 2**40]]
)
def test_large_shapes_are_refused_in_few_words(shape):
    said = refusal(proto(tf.float32, shape, float_val=[1.0]))
    assert "takes more than the 1048576 bytes of the limit as float32" in said
    assert len(said) < 120


def test_one_number_may_stand_for_all_within_the_limit():
    message = proto(tf.float32, [2, LIMIT // 8], float_val=[1.0, 2.0])
    array = from_proto("x", message, max_bytes=LIMIT)
    assert array.nbytes == LIMIT
    assert array[0, 0] == 1
    assert (array.ravel()[1:] == 2).all()
    assert "of the limit" in refusal(message, max_bytes=LIMIT - 1)


def test_every_string_is_to_be_there():
    for shape, values, expected in (
        ([100_000], [b""], "1 strings for the 100000 places"),
        ([2], [b"a", b"b", b"c"], "3 strings for the 2 places"),
        ([], [], "0 strings for the 1 places"),
        ([0, 2], [b"a"], "1 strings for the 0 places"),
    ):
        assert expected in refusal(proto(tf.string, shape, string_val=values))


@pytest.mark.parametrize("value", [[], b"a", [b"a"], [[b"a", b""], [b"c", b"\xff"]]])
def test_the_strings_of_tensorflows_own_clients_are_read(value):
    message = tf.make_tensor_proto(np.array(value, object), tf.string)
    array = from_proto("x", message, max_bytes=LIMIT)
    np.testing.assert_array_equal(array, np.array(value, object))


@pytest.mark.parametrize(
    "message",
    [
        proto(tf.float16, [1], half_val=[70_000]),
        proto(tf.uint8, [1], int_val=[700]),
        proto(tf.int8, [2, 2], int_val=[1, 2, 3, 4, 5]),
        proto(tf.resource, [1]),
        proto(tf.variant, [1]),
        proto(tf.string, [1], tensor_content=b"a", string_val=[b"a"]),
        TensorProto(dtype=987),
    ],
    ids=range(7),
)
def test_values_that_their_type_cannot_hold(message):
    assert refusal(message).startswith("tensor parsing error: x (")


@pytest.mark.parametrize("number", types_pb2.DataType.values())
def test_a_type_is_read_or_refused(number):
    """Nothing else may come of any type, whatever field its values are in."""
    for fields in ({}, {"tensor_content": b"\0" * 8}, {"int_val": [-1]}):
        message = TensorProto(dtype=number, **fields)
        try:
            array = from_proto("x", message, max_bytes=LIMIT)
        except StatusError as error:
            assert error.message.startswith("tensor parsing error: x (")
        else:
            assert array.shape == ()
