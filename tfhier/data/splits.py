"""Dividing clips so that every part has its share of every label.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification
of multi-label data"): the rarest label is dealt out first, each clip to the part that
lacks most of that label, so that what is scarce is divided while there is still choice.

Conventions: a label has two columns here, its observed positives and its observed
negatives, since a sparsely labelled clip may lack both. Clips without any observed
label form a last column, which is dealt out first. Sizes of parts are exact. The same
arguments give the same division on every machine.

With groups, whole groups are dealt out, and what parts have of every label is counted
in clips as before. What few groups have comes first: a label is rare if few groups have
it, and when as many groups with a label are left as parts still lack it, each of these
parts gets one. This is a rule of thumb: where several labels ask different things of
one group, a label can end up on one side although another division had it on both.
"""

import numpy as np

from tfhier.errors import InputError


def stratified(
    targets: np.ndarray,
    observed: np.ndarray,
    *,
    fraction: float,
    seed: int,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Choose the clips to hold out, with their share of every label.

    Args:
        targets: float array (N, L), 0 or 1.
        observed: bool array (N, L): which targets count.
        fraction: float in (0, 1). Share of the clips to hold out.
        seed: int >= 0. Another seed gives another choice.
        groups: array (N,) of any values that can be sorted, or None. Clips of equal
            values stay together. A group that alone has a label is never held out.

    Returns:
        bool array (N,): True for the clips held out: `round(fraction * N)` without
        groups. With groups their number differs from that by less than the clips of the
        largest group, or by as much as it takes to have every label of two groups or
        more on both sides and every label of one group on the side that is kept.

    Raises:
        InputError: `fraction` is outside (0, 1), `groups` has another length, or either
            side would be empty, also because no group can be held out.
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
    if groups is None:
        return _deal(columns, sizes, seed) == 1
    group = _numbers(groups, len(columns))
    if group.max() < 1:
        raise InputError(
            "All clips are of one group, so none can be held out. Give clips of at "
            "least two recordings."
        )
    dealing = _Dealing(columns, sizes, group)
    lone = dealing.has_lone_label()
    if lone.all():
        raise InputError(
            f"None of the {len(lone)} groups can be held out: each alone has some "
            "label. Give at least one label recordings of two groups."
        )
    for number in np.flatnonzero(lone):
        dealing.give(number, 0)
    return dealing.finish(seed)[group] == 1


def folds(
    targets: np.ndarray,
    observed: np.ndarray,
    *,
    num_folds: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Divide clips into folds of equal size, each with its share of every label.

    Args:
        targets: float array (N, L), 0 or 1.
        observed: bool array (N, L): which targets count.
        num_folds: int in [2, N], with groups at most their number.
        seed: int >= 0. Another seed gives another division.
        groups: array (N,) of any values that can be sorted, or None. Clips of equal
            values stay together.

    Returns:
        int array (N,): the fold of each clip, 0 to `num_folds - 1`. Without groups,
        sizes differ by one clip at most. With groups, no fold has as many as the clips
        of the largest group more than its N / `num_folds`, unless labels of few groups
        ask for it: such a label is in as many folds as it has groups.

    Raises:
        InputError: `num_folds` is below 2 or above the number of clips or groups, or
            `groups` has another length.
    """
    columns = _columns(targets, observed)
    if not 2 <= num_folds <= len(columns):
        raise InputError(
            f"{len(columns)} clips can be divided into 2 to {len(columns)} folds. "
            f"Received: num_folds={num_folds}"
        )
    sizes = np.full(num_folds, len(columns) // num_folds)
    sizes[: len(columns) % num_folds] += 1
    if groups is None:
        return _deal(columns, sizes, seed)
    group = _numbers(groups, len(columns))
    if num_folds > group.max() + 1:
        raise InputError(
            f"Clips of {group.max() + 1} groups cannot be divided into {num_folds} "
            "folds, as groups stay whole. Give fewer folds or more recordings."
        )
    return _Dealing(columns, sizes, group).finish(seed)[group]


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


def _numbers(groups: np.ndarray, num_clips: int) -> np.ndarray:
    """Number the groups from 0: int (N,)."""
    groups = np.asarray(groups)
    if groups.shape != (num_clips,):
        raise InputError(
            f"Groups must be one value a clip, shape ({num_clips},). Received: "
            f"shape={groups.shape}"
        )
    return np.unique(groups, return_inverse=True)[1]


class _Dealing:
    """Groups while they are dealt out to K parts.

    Args:
        columns: bool array (N, 2L + 1), as of `_columns`.
        sizes: int array (K,) whose sum is N.
        group: int array (N,). The group of each clip, 0 to G - 1.
    """

    def __init__(self, columns: np.ndarray, sizes: np.ndarray, group: np.ndarray):
        # A last column that every clip has, so that no part stays empty.
        columns = np.column_stack([columns, np.ones(len(columns), bool)])
        self.clips = np.bincount(group)  # (G,)
        self.counts = np.zeros((len(self.clips), columns.shape[1]), int)  # (G, C)
        np.add.at(self.counts, group, columns)
        self.has = self.counts > 0
        self.room = sizes.copy()  # (K,) clips that still fit
        self.lacking = np.outer(sizes / len(columns), self.counts.sum(axis=0))  # (K, C)
        self.heard = np.zeros(self.lacking.shape, bool)
        self.left = self.has.sum(axis=0)  # (C,) groups that are not dealt out
        self.part = np.full(len(self.clips), -1)
        # Clips without labels can be anywhere, but no part may be empty at all.
        num_columns = columns.shape[1]
        self.need = np.repeat([1, 0, num_columns], [num_columns - 2, 1, 1])  # (C,)

    def has_lone_label(self) -> np.ndarray:
        """Which groups alone have the positives of a label: bool (G,)."""
        positive = self.has[:, : self.has.shape[1] // 2 - 1]
        return positive[:, positive.sum(axis=0) == 1].any(axis=1)

    def give(self, group: int, part: int) -> None:
        """Deal one group to a part."""
        self.part[group] = part
        self.room[part] -= self.clips[group]
        self.lacking[part] -= self.counts[group]
        self.heard[part] |= self.has[group]
        self.left -= self.has[group]

    def finish(self, seed: int) -> np.ndarray:
        """Deal out all that is left, and return the part of each group: int (G,)."""
        order = np.random.default_rng(seed).permutation(len(self.clips))
        # Large groups first, so that small ones can even out the sizes.
        order = order[np.argsort(-self.clips[order], kind="stable")]
        waiting = [iter(order[self.has[order, c]]) for c in range(len(self.left))]
        while self.left[-1]:
            rarest = np.argmin(np.where(self.left > 0, self.left, len(order) + 1))
            group = next(g for g in waiting[rarest] if self.part[g] < 0)
            self.give(group, self._best_part(group, rarest))
        return self.part

    def _best_part(self, group: int, column: int) -> int:
        """Choose by what only few groups can still bring, by room, by shares."""
        missing = ~self.heard  # (K, C)
        pressing = self.has[group] & (self.left <= missing.sum(axis=0))
        demand = missing[:, pressing] @ self.need[pressing]  # (K,)
        if demand.max(initial=0) > 0:
            fits = demand == demand.max()
        else:
            fits = self.room >= min(self.clips[group], self.room.max())
        want = np.where(fits, self.lacking[:, column], -np.inf)
        ties = np.flatnonzero(want >= want.max() - 1e-9)
        return int(ties[np.argmax(self.room[ties])])
