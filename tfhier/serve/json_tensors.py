"""Tensors out of JSON values, in the types of a signature.

Ragged lists, other types and numbers that would lose precision are refused, with the
official server's messages.
"""

import base64
import binascii
import itertools
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfhier.serve.json_bodies import PredictBody, short
from tfhier.serve.signatures import Signature, check_names
from tfhier.serve.status import invalid

BASE64 = "b64"
_HIGHEST_RANK = 32
# Beyond, neighbouring whole numbers become the same float.
_HIGHEST_WHOLE = {tf.float16: 2**11, tf.float32: 2**24, tf.float64: 2**53}


def inputs_of(request: PredictBody, signature: Signature) -> dict[str, np.ndarray]:
    """Return the tensors of a request, in the types of a signature.

    Raises:
        StatusError: INVALID_ARGUMENT: names, types or shapes do not fit.
    """
    types = {
        name: tf.as_dtype(info.dtype)
        for name, info in signature.definition.inputs.items()
    }
    if request.is_row:
        return _from_rows(request.values, types)
    return _from_columns(request.values, types, signature)


def _from_columns(
    values: object, types: Mapping[str, tf.DType], signature: Signature
) -> dict[str, np.ndarray]:
    if _is_named(values):
        for name in types:
            if name not in values:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
        check_names(signature, set(values))
        return {name: _tensor(values[name], dtype) for name, dtype in types.items()}
    if len(types) != 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple input "
            "tensors required as per tensorinfo_map"
        )
    ((name, dtype),) = types.items()
    return {name: _tensor(values, dtype)}


def _from_rows(rows: list, types: Mapping[str, tf.DType]) -> dict[str, np.ndarray]:
    is_named = _is_named(rows[0])
    if not is_named and len(types) != 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    columns: dict[str, list[np.ndarray]] = {name: [] for name in types}
    for at, row in enumerate(rows):
        if _is_named(row) != is_named:
            expected, got = ("object", "list") if is_named else ("value/list", "object")
            raise invalid(
                f"Expecting {expected} but got {got} at item {at} of input list"
            )
        named = row if is_named else {next(iter(types)): row}
        for name, value in named.items():
            place = f"Failed to process element: {at}"
            if is_named:
                place += f" key: {name}"
            place += " of 'instances' list. Error: INVALID_ARGUMENT: "
            if name not in types:
                raise invalid(f"{place}JSON object: does not have named input: {name}")
            tensor = _tensor(value, types[name], place=place)
            _check_same_shape(columns[name], tensor, place)
            columns[name].append(tensor)
        if named.keys() != types.keys():
            raise invalid(
                f"Failed to process element: {at} of 'instances' list. JSON object: "
                f"{short(row)} keys must be equal to: {','.join(sorted(types))}"
            )
    return {name: np.stack(tensors) for name, tensors in columns.items()}


def _check_same_shape(before: list[np.ndarray], tensor: np.ndarray, place: str) -> None:
    if not before or before[0].shape == tensor.shape:
        return
    if before[0].size != tensor.size:
        raise invalid(
            f"{place}Expecting tensor size: {before[0].size} but got: {tensor.size}"
        )
    raise invalid(
        f"{place}Expecting shape {_brackets(before[0].shape)} but got: "
        f"{_brackets(tensor.shape)}"
    )


def _tensor(value: object, dtype: tf.DType, *, place: str = "") -> np.ndarray:
    """Return nested lists as an array of a type, and refuse ragged ones."""
    shape, level = [], [value]
    while isinstance(level[0], list):
        size = len(level[0])
        for item in level:
            if not isinstance(item, list):
                raise invalid(
                    f"{place}JSON Value: {short(item)} found at incorrect level: "
                    f"{len(shape)} in the JSON DOM. Expected at level: {len(shape) + 1}"
                )
            if len(item) != size:
                raise invalid(
                    f"{place}Encountered list at unexpected size: {len(item)} at "
                    f"level: {len(shape)} expected size: {size}"
                )
        shape.append(size)
        if len(shape) > _HIGHEST_RANK:
            raise invalid(
                f"{place}Lists are nested deeper than {_HIGHEST_RANK} levels."
            )
        level = list(itertools.chain.from_iterable(level))
        if not level:
            break
    if list in set(map(type, level)):
        raise invalid(
            f"{place}Encountered list at unexpected level: {len(shape)} expected < "
            f"{len(shape)}"
        )
    if dtype == tf.string:
        flat = np.empty(len(level), dtype=object)
        flat[:] = [_bytes(item, place) for item in level]
    elif dtype == tf.bool:
        _check_types(level, {bool}, dtype, place)
        flat = np.array(level, dtype=bool)
    elif dtype.is_floating:
        flat = _floats(level, dtype, place)
    elif dtype.is_integer:
        flat = _integers(level, dtype, place)
    else:
        raise invalid(f"{place}JSON cannot carry tensors of the type {dtype.name}.")
    return flat.reshape(shape)


def _floats(values: list, dtype: tf.DType, place: str) -> np.ndarray:
    _check_types(values, {int, float}, dtype, place)
    highest = _HIGHEST_WHOLE.get(dtype, 2**8)
    for value in values:
        if type(value) is int and abs(value) > highest:
            raise _lossy(value, dtype, place)
    precise = np.array(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        array = precise.astype(dtype.as_numpy_dtype)
    lost = np.isinf(array) & np.isfinite(precise)
    if lost.any():
        raise _lossy(values[int(np.argmax(lost))], dtype, place)
    return array


def _integers(values: list, dtype: tf.DType, place: str) -> np.ndarray:
    _check_types(values, {int}, dtype, place)
    for value in values:
        if not dtype.min <= value <= dtype.max:
            raise _wrong_type(value, dtype, place)
    return np.array(values, dtype=dtype.as_numpy_dtype)


def _check_types(values: list, kinds: set[type], dtype: tf.DType, place: str) -> None:
    if set(map(type, values)) <= kinds:
        return
    raise _wrong_type(
        next(value for value in values if type(value) not in kinds), dtype, place
    )


def _bytes(value: object, place: str) -> bytes:
    """Return a string, or what {"b64": ...} stands for."""
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError:  # half a pair of surrogates, written as \\ud800
            raise invalid(
                f"{place}JSON Value: {short(value)} is no text that UTF-8 can hold"
            ) from None
    if not _is_base64(value):
        if isinstance(value, dict):
            raise invalid(
                f"{place}JSON Value: {short(value)} not formatted correctly for "
                "base64 data"
            )
        raise _wrong_type(value, tf.string, place)
    text = value[BASE64]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"{place}Unable to base64 decode") from None


def _is_base64(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {BASE64}
        and isinstance(value[BASE64], str)
    )


def _is_named(value: object) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _lossy(value: float, dtype: tf.DType, place: str) -> Exception:
    return invalid(
        f"{place}Cannot convert JSON value: {short(value)} to {_word(dtype)} without "
        "loss of precision."
    )


def _wrong_type(value: object, dtype: tf.DType, place: str) -> Exception:
    kinds = {type(None): "Null", dict: "Object", list: "Array", str: "String"}
    kind = kinds.get(type(value), "Number")
    if isinstance(value, bool):
        kind = str(value)
    return invalid(
        f"{place}JSON Value: {short(value)} Type: {kind} is not of expected type: "
        f"{_word(dtype)}"
    )


def _word(dtype: tf.DType) -> str:
    """Return a type's name as TensorFlow's C++ has it."""
    return {tf.float32: "float", tf.float64: "double"}.get(dtype, dtype.name)


def _brackets(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
