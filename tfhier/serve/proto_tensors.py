"""Tensors out of and into the messages of gRPC."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from tfhier.serve.status import invalid

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
        proto: TensorProto. Full, or with one value that stands for all.
        max_bytes: int. The largest array that is made.

    Raises:
        StatusError: INVALID_ARGUMENT: the message contradicts itself, or a few bytes
            of it describe more than `max_bytes`.
    """
    sizes = [axis.size for axis in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise invalid(f"tensor parsing error: {name} (its shape is not known)")
    try:
        dtype = tf.as_dtype(proto.dtype)
        item_bytes = dtype.size or 1
        if math.prod(sizes) * item_bytes > max_bytes:
            raise invalid(
                f"tensor parsing error: {name} (shape {sizes} of {dtype.name} takes "
                f"more than the {max_bytes} bytes of the limit)"
            )
        return tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise invalid(f"tensor parsing error: {name} ({error})") from None


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
