"""Bodies of REST requests: JSON, in the row or the columnar form of TensorFlow Serving.

JSON here also has the bare words NaN, Infinity and -Infinity, as TensorFlow Serving's
has. Messages follow the official server's, cut where it would repeat the whole input.
"""

import itertools
import json
from dataclasses import dataclass

from tfhier.serve.status import invalid

_SHORT = 80  # characters of a value that a message repeats


@dataclass(frozen=True)
class PredictBody:
    """A request as it was written.

    Args:
        signature_name: str. "" for the default.
        values: The value of "instances" or of "inputs".
        is_row: bool. Whether it was "instances".
    """

    signature_name: str
    values: object
    is_row: bool


def parse(body: bytes) -> dict:
    """Return the JSON object that a body holds.

    Raises:
        StatusError: INVALID_ARGUMENT, when it is not JSON or no object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        content = json.loads(body)
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: The document is nested too deeply") from None
    except ValueError as error:  # no UTF-8, or a number of thousands of digits
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(content, dict):
        raise invalid(f"JSON Value: {short(content)} Is not object")
    if not isinstance(content.get("signature_name", ""), str):
        raise invalid(
            f"JSON Value: {short(content)} not formatted correctly. 'signature_name' "
            "key must be a string value."
        )
    return content


def predict_body(body: bytes) -> PredictBody:
    """Return what a body asks for.

    Raises:
        StatusError: INVALID_ARGUMENT, when it is not of either form.
    """
    content = parse(body)
    has_row, has_columns = "instances" in content, "inputs" in content
    if has_row and has_columns:
        raise invalid(
            f"JSON Value: {short(content)} Not formatted correctly expecting only one "
            "of 'inputs' or 'instances' keys to exist"
        )
    if not has_row and not has_columns:
        raise invalid("Missing 'inputs' or 'instances' key")
    values = content["instances" if has_row else "inputs"]
    if has_row and not isinstance(values, list):
        raise invalid(
            f"JSON Value: {short(content)} Expecting 'instances' to be an list/array"
        )
    if has_row and not values:
        raise invalid(f"JSON Value: {short(content)} No values in 'instances' array")
    return PredictBody(content.get("signature_name", ""), values, has_row)


def short(value: object) -> str:
    """Return the beginning of a value as JSON."""
    # Piece by piece: the whole may be as long as the longest request.
    pieces = itertools.islice(json.JSONEncoder().iterencode(value), _SHORT)
    text = "".join(pieces)
    return text if len(text) < _SHORT else f"{text[:_SHORT]}..."
