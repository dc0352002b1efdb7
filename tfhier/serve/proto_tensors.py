"""Tensors out of and into the messages of gRPC.

A few bytes can describe what fills a machine. So sizes are looked at before anything is
made: the dimensions, the bytes of the whole tensor, and how many strings came.
"""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from tfhier.serve.status import invalid

_HIGHEST_RANK = 32
_WHOLE = (np.int32, np.int16, np.int8, np.uint8, np.uint16)
# The official server answers in these fields, and clients read them by name.
_FIELDS = {
    np.dtype(np.float32): "float_val",
    np.dtype(np.float64): "double_val",
    np.dtype(np.int64): "int64_val",
    np.dtype(np.uint32): "uint32_val",
    np.dtype(np.uint64): "uint64_val",
    np.dtype(np.bool_): "bool_val",
    np.dtype(np.object_): "string_val",
    **{np.dtype(kind): "int_val" for kind in _WHOLE},
}


def from_proto(name: str, proto: TensorProto, *, max_bytes: int) -> np.ndarray:
    """Return the array that a message describes.

    Args:
        name: str. Of the input, for messages.
        proto: TensorProto. Full, or with few numbers, the last of which stands for all
            the others. Every string is to be there.
        max_bytes: int. The largest array that is made.

    Raises:
        StatusError: INVALID_ARGUMENT: the message contradicts itself, or a few bytes
            of it describe more than `max_bytes`.
    """
    try:
        dtype = tf.as_dtype(proto.dtype)
        num_places = _num_places(name, proto, dtype, max_bytes)
        if dtype == tf.string and len(proto.string_val) != num_places:
            raise invalid(
                f"tensor parsing error: {name} ({len(proto.string_val)} strings for "
                f"the {num_places} places of its shape; send one for each)"
            )
        return tf.make_ndarray(proto)
    # TensorFlow's own code says in all these ways that a value does not fit its type.
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise invalid(f"tensor parsing error: {name} ({error})") from None


def _num_places(name: str, proto: TensorProto, dtype: tf.DType, max_bytes: int) -> int:
    """Return how many values a shape has, and refuse one that is too large."""
    axes = proto.tensor_shape.dim
    if len(axes) > _HIGHEST_RANK:
        raise invalid(
            f"tensor parsing error: {name} (its shape has {len(axes)} axes; up to "
            f"{_HIGHEST_RANK} are accepted)"
        )
    sizes = [axis.size for axis in axes]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise invalid(f"tensor parsing error: {name} (its shape is not known)")
    num_bytes = dtype.size or 1
    for size in sizes:
        # An axis of size 0 hides none of the others: graphs may loop over those.
        num_bytes *= max(size, 1)
        if num_bytes > max_bytes:
            raise invalid(
                f"tensor parsing error: {name} (its shape takes more than the "
                f"{max_bytes} bytes of the limit as {dtype.name})"
            )
    return math.prod(sizes)


def to_proto(array: np.ndarray) -> TensorProto:
    """Return an array as a message, its values in the field of their type."""
    field = _FIELDS.get(array.dtype)
    if field is None:
        return tf.make_tensor_proto(array)
    proto = TensorProto(dtype=tf.as_dtype(array.dtype).as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, field).extend(array.ravel().tolist())
    return proto
