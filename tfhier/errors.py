"""The one error that a user is meant to read.

Whatever a user gives (a path, a name, a setting, a file's content) is checked where it
enters, and what cannot be used raises `InputError`. The doors (`experiments/run.py` and
`tfhier`) print its message as one line and exit with status 2. Any other exception is a
fault of the library and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What was given cannot be used: what happened, what was expected, the remedy."""


def close_names(name: str, names: Iterable[str]) -> str:
    """Return a sentence that offers the names nearest to a misspelt one.

    Args:
        name: str. What the user wrote.
        names: Iterable of str. What exists.

    Returns:
        `" Close: a, b."`, or all names if none is close and they are few, else `""`.
    """
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f" Close: {', '.join(close)}."
    if 0 < len(names) <= 12:
        return f" There are: {', '.join(names)}."
    return ""
