"""Dividing clips so that every part has its share of every label.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification
of multi-label data"): the rarest label is dealt out first, each clip to the part that
lacks most of that label, so that what is scarce is divided while there is still choice.

Conventions: a label has two columns here, its observed positives and its observed
negatives, since a sparsely labelled clip may lack both. Clips without any observed
label form a last column, which is dealt out first. Sizes of parts are exact. The same
arguments give the same division on every machine.
"""

import numpy as np

from tfhier.errors import InputError


def stratified(
    targets: np.ndarray, observed: np.ndarray, *, fraction: float, seed: int
) -> np.ndarray:
    """Choose the clips to hold out, with their share of every label.

    Args:
        targets: float array (N, L), 0 or 1.
        observed: bool array (N, L): which targets count.
        fraction: float in (0, 1). Share of the clips to hold out.
        seed: int >= 0. Another seed gives another choice.

    Returns:
        bool array (N,): True for the `round(fraction * N)` clips held out.

    Raises:
        InputError: `fraction` is outside (0, 1), or either side would be empty.
    """
    if not 0 < fraction < 1:
        raise InputError(
            "The fraction of clips to hold out lies between 0 and 1, both excluded. "
            f"Received: fraction={fraction}"
        )
    columns = _columns(targets, observed)
    num_held = round(fraction * len(columns))
    if not 0 < num_held < len(columns):
        raise InputError(
            f"{len(columns)} clips are too few to hold out a fraction of {fraction}: "
            f"{num_held} would be held out and {len(columns) - num_held} kept. Give "
            "more clips or another fraction."
        )
    sizes = np.array([len(columns) - num_held, num_held])
    return _deal(columns, sizes, seed) == 1


def folds(
    targets: np.ndarray, observed: np.ndarray, *, num_folds: int, seed: int
) -> np.ndarray:
    """Divide clips into folds of equal size, each with its share of every label.

    Args:
        targets: float array (N, L), 0 or 1.
        observed: bool array (N, L): which targets count.
        num_folds: int in [2, N]. Sizes of folds differ by one clip at most.
        seed: int >= 0. Another seed gives another division.

    Returns:
        int array (N,): the fold of each clip, 0 to `num_folds - 1`.

    Raises:
        InputError: `num_folds` is below 2 or above the number of clips.
    """
    columns = _columns(targets, observed)
    if not 2 <= num_folds <= len(columns):
        raise InputError(
            f"{len(columns)} clips can be divided into 2 to {len(columns)} folds. "
            f"Received: num_folds={num_folds}"
        )
    sizes = np.full(num_folds, len(columns) // num_folds)
    sizes[: len(columns) % num_folds] += 1
    return _deal(columns, sizes, seed)


def _columns(targets: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Observed positives, observed negatives, nothing observed: bool (N, 2L + 1)."""
    targets, observed = np.asarray(targets), np.asarray(observed, bool)
    if targets.ndim != 2 or targets.shape != observed.shape:
        raise InputError(
            "Targets and observed must have one shape (clips, labels). Received: "
            f"{targets.shape} and {observed.shape}"
        )
    positive, negative = observed & (targets > 0), observed & (targets <= 0)
    return np.column_stack([positive, negative, ~observed.any(axis=1)])


def _deal(columns: np.ndarray, sizes: np.ndarray, seed: int) -> np.ndarray:
    """Deal N clips out to K parts of exact sizes.

    Args:
        columns: bool array (N, C). No row is all False, and rows that are True in the
            last column are so in no other.
        sizes: int array (K,) whose sum is N.
        seed: int. Decides the order of clips and nothing else.

    Returns:
        int array (N,): the part of each clip.
    """
    order = np.random.default_rng(seed).permutation(len(columns))
    columns = columns[order]
    room = sizes.copy()  # (K,) clips that still fit
    lacking = np.outer(sizes / len(columns), columns.sum(axis=0))  # (K, C)
    part = np.full(len(columns), -1)
    members = [np.flatnonzero(row) for row in columns]
    while (open_clips := part < 0).any():
        left = columns[open_clips].sum(axis=0)
        # Dealt out last, clips without labels would only fill what room is left.
        rarest = -1 if left[-1] else np.argmin(np.where(left > 0, left, len(columns)))
        for clip in np.flatnonzero(open_clips & columns[:, rarest]):
            want = np.where(room > 0, lacking[:, rarest], -np.inf)
            # Sums of shares differ in their last bits: almost equal counts as equal.
            ties = np.flatnonzero(want >= want.max() - 1e-9)
            chosen = ties[np.argmax(room[ties])]
            part[clip] = chosen
            room[chosen] -= 1
            lacking[chosen, members[clip]] -= 1
    result = np.empty(len(columns), int)
    result[order] = part
    return result
