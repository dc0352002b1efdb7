"""Signatures of a SavedModel: their inputs checked, computed, their errors made plain.

Tensors travel as NumPy arrays by name; strings as arrays of objects, each `bytes`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from tfhier.serve.status import StatusError, invalid

DEFAULT = "serving_default"

# TensorFlow numbers its errors as gRPC does.
_CODES = {code.value[0]: code for code in StatusCode}
_BEFORE = "<stack traces unavailable>\n"
_BEHIND = re.compile(r"\s*\[\[\{?\{?node |\s*\[Op:|\n\s*\[\[")
_ROOTS = re.compile(r"^\d+ root error\(s\) found\.\s*\(0\) [A-Z_]+:\s*")


@dataclass(frozen=True, eq=False)
class Signature:
    """A function of a SavedModel.

    Args:
        name: str.
        definition: SignatureDef. Its inputs and outputs by name.
        function: Function of tensors by name that returns tensors by name.
    """

    name: str
    definition: SignatureDef
    function: Callable[..., Mapping[str, tf.Tensor]]


def check_names(signature: Signature, names: set[str]) -> None:
    """Refuse inputs that are not those of the signature.

    Raises:
        StatusError: INVALID_ARGUMENT, with what is missing or too much.
    """
    expected = set(signature.definition.inputs)
    if names != expected:
        given, wanted, extra, missing = (
            ",".join(sorted(part))
            for part in (names, expected, names - expected, expected - names)
        )
        raise invalid(
            f"input size does not match signature: {len(names)}!={len(expected)} "
            f"len({{{given}}}) != len({{{wanted}}}). Sent extra: {{{extra}}}. "
            f"Missing but required: {{{missing}}}."
        )


def check(signature: Signature, inputs: Mapping[str, np.ndarray]) -> None:
    """Refuse inputs of other names, types or shapes than the signature's.

    Raises:
        StatusError: INVALID_ARGUMENT, with what was expected.
    """
    check_names(signature, set(inputs))
    for name, array in inputs.items():
        info = signature.definition.inputs[name]
        dtype, shape = tf.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape)
        received = tf.as_dtype(array.dtype)
        if dtype != received or not shape.is_compatible_with(array.shape):
            raise invalid(
                f'The input "{name}" of the signature "{signature.name}" is '
                f"{dtype.name} of shape {shape}; received {received.name} of shape "
                f"{array.shape}."
            )


def compute(
    signature: Signature, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Compute all outputs of a signature.

    Args:
        signature: Signature.
        inputs: Arrays by name, as `check` accepts them.

    Returns:
        Arrays by name.

    Raises:
        StatusError: The graph refused the inputs or could not be computed; code and
            message are TensorFlow's, without the trace of its nodes.
    """
    try:
        outputs = signature.function(
            **{name: tf.constant(array) for name, array in inputs.items()}
        )
        return {name: tensor.numpy() for name, tensor in outputs.items()}
    except tf.errors.OpError as error:
        code = _CODES.get(error.error_code, StatusCode.UNKNOWN)
        raise StatusError(code, plain(error.message)) from error
    except UnicodeDecodeError as error:
        # TensorFlow's message repeats bytes of a request that are no text.
        raise invalid(plain(error.object.decode("utf-8", "replace"))) from error


def plain(message: str) -> str:
    """Return a message of TensorFlow without where in the graph it arose."""
    text = _ROOTS.sub("", message.split(_BEFORE)[-1].strip())
    return _BEHIND.split(text)[0].strip()


def choose(
    signature: Signature, outputs: Mapping[str, np.ndarray], names: list[str]
) -> dict[str, np.ndarray]:
    """Return the outputs that a request asks for; all of them for no names."""
    return {name: outputs[name] for name in names or sorted(outputs)}


def check_filter(signature: Signature, names: list[str]) -> None:
    """Refuse an output filter with unknown or repeated names.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    known = sorted(signature.definition.outputs)
    for at, name in enumerate(names):
        if name not in known:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected "
                f"to be in the set {{{','.join(known)}}}."
            )
        if name in names[:at]:
            raise invalid(f"duplicate output tensor alias: {name}")
