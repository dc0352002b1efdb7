"""Checks that the layers over parents and children share."""

from collections.abc import Sequence


def check_groups(layer: str, groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return groups of child indices as lists, or say what is wrong with them."""
    groups = [[int(child) for child in own] for own in groups]
    children = {child for own in groups for child in own}
    if not groups or not all(groups) or children != set(range(len(children))):
        raise ValueError(
            f"{layer} needs a non-empty list of child indices for every parent, "
            f"together covering 0 .. children - 1. Received: groups={groups}"
        )
    return groups


def check_last_axis(
    layer: str, shape: Sequence[int | None], expected: int, what: str, source: str
) -> None:
    """Raise unless a (batch, n) input has n = `expected`; `source` says where from."""
    if len(shape) != 2 or shape[-1] != expected:
        raise ValueError(
            f"{layer} expects (batch, {expected}), one {what} for each of its "
            f"{source}. Received: shape={tuple(shape)}. Rebuild the layer with the "
            "taxonomy of the scores."
        )
