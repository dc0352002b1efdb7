"""Tensors as JSON, in the row and the columnar form of TensorFlow Serving.

A float is written with the fewest digits that still give the same float of its type;
what is not finite as the bare words NaN, Infinity and -Infinity.
"""

import base64
import json
import math
from collections.abc import Mapping

import numpy as np

from tfhier.serve.status import invalid

_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def to_json(outputs: Mapping[str, np.ndarray], *, is_row: bool) -> str:
    """Return outputs in the form in which they were asked for.

    Args:
        outputs: Arrays by name.
        is_row: bool. Whether as "predictions", a value or object a row, or else as
            "outputs", a tensor or an object of tensors.

    Returns:
        str. Names are left out where there is one output.

    Raises:
        StatusError: INVALID_ARGUMENT: a type has no JSON, or rows were asked for and
            the outputs do not have one for each.
    """
    if not is_row:
        texts = {
            name: _nested(_tokens(name, array), array.shape)
            for name, array in outputs.items()
        }
        return f'{{"outputs": {_one_or_object(texts)}}}'
    rows = {name: _rows(name, array) for name, array in outputs.items()}
    sizes = {name: len(texts) for name, texts in rows.items()}
    expected = next(iter(sizes.values()))
    for name, size in sizes.items():
        if size != expected:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {size} expecting: "
                f"{expected}"
            )
    lines = [
        _one_or_object({name: texts[at] for name, texts in rows.items()})
        for at in range(expected)
    ]
    return f'{{"predictions": [{", ".join(lines)}]}}'


def _one_or_object(texts: Mapping[str, str]) -> str:
    if len(texts) == 1:
        return next(iter(texts.values()))
    members = (f"{json.dumps(name)}: {text}" for name, text in texts.items())
    return f"{{{', '.join(members)}}}"


def _rows(name: str, array: np.ndarray) -> list[str]:
    """Return the JSON of every row."""
    if not array.ndim:
        raise invalid(f"Tensor name: {name} has no shape information")
    tokens, width = _tokens(name, array), math.prod(array.shape[1:])
    return [
        _nested(tokens[at * width : (at + 1) * width], array.shape[1:])
        for at in range(len(array))
    ]


def _nested(tokens: list[str], shape: tuple[int, ...]) -> str:
    """Return values in their order as lists of lists."""
    for axis in reversed(range(len(shape))):
        size = shape[axis]
        tokens = [
            f"[{', '.join(tokens[at * size : (at + 1) * size])}]"
            for at in range(math.prod(shape[:axis]))
        ]
    return tokens[0]


def _tokens(name: str, array: np.ndarray) -> list[str]:
    """Return every value as JSON."""
    kind, flat = array.dtype.kind, array.ravel()
    if kind == "O":
        return [_text(value, as_bytes=name.endswith("_bytes")) for value in flat]
    if kind == "b":
        return ["true" if value else "false" for value in flat.tolist()]
    if kind in "iu":
        return [str(value) for value in flat.tolist()]
    if array.dtype.name == "bfloat16":
        flat, kind = flat.astype(np.float32), "f"
    if kind == "f":
        return [_WORDS.get(text, text) for text in flat.astype(str).tolist()]
    raise invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")


def _text(value: bytes, *, as_bytes: bool) -> str:
    """Return a string as JSON; as base64 where asked for or where it is no text."""
    if not as_bytes:
        try:
            return json.dumps(value.decode("utf-8"), ensure_ascii=False)
        except UnicodeDecodeError:
            pass  # written raw, as the official server does, it would be no JSON
    return json.dumps({"b64": base64.b64encode(value).decode("ascii")})
