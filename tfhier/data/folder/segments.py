"""From rows of tables to labelled clips: one clip a span, with labels in three states.

Conventions: times are seconds; a clip is a span of one file, and rows with the same
span of the same file are one clip with the labels of all. Who marks one sound within
another leaves open how much of it the other holds. So of two clips that overlap, each
carries the other's labels where these cover at least half of it; where they cover less,
they are neither there nor absent but unobserved.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from tfhier.data.folder.selections import Row
from tfhier.errors import InputError

TOLERANCE_SECONDS = 0.05  # tables round, and files end between their last two digits
MIN_COVER = 0.5  # of a clip, for another selection's label to be its label too
_ROUNDING = 1e-6  # of a share: times are binary fractions
_TOUCH_SECONDS = 1e-3  # selections that share only a rounding error do not overlap


def seconds_of(path: Path) -> float | None:
    """Return an audio file's length; None where its header does not tell."""
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError):
        return None
    is_known = 0 < info.frames < 1 << 62  # FLAC of open length declares more
    return info.frames / info.samplerate if is_known else None


def fit(rows: Sequence[Row]) -> tuple[list[Row], dict[Path, float | None]]:
    """Check spans against their files, and give one to all rows if any has one.

    Args:
        rows: Rows whose files exist.

    Returns:
        (rows, lengths): the rows with ends at most at the ends of their files, and the
        length of every file in seconds, None where its header does not tell.

    Raises:
        InputError: A span lies beyond its file by more than 0.05 s, or a file of
            unknown length is used whole where others are used in part.
    """
    lengths = {file: seconds_of(file) for file in {row.file: None for row in rows}}
    if all(row.span is None for row in rows):
        return list(rows), lengths
    return [
        dataclasses.replace(row, span=_span(row, lengths[row.file])) for row in rows
    ], lengths


def _span(row: Row, length: float | None) -> tuple[float, float]:
    if row.span is None:
        if length is None:
            raise InputError(
                f"{row.where}: the length of {row.file} is not known from its header. "
                "Give start and end, or convert it to WAV or FLAC."
            )
        return 0.0, length
    start, end = row.span
    if length is None:
        return row.span
    if start >= length or end > length + TOLERANCE_SECONDS:
        raise InputError(
            f"{row.where}: the selection from {start:g} to {end:g} s reaches beyond "
            f"{row.file}, which is {length:.2f} s long. Correct its times, or check "
            "that this is the file they were measured in."
        )
    return start, min(end, length)


def unite(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Make rows of the same span of the same file one, with the labels of all.

    Args:
        rows: Rows as of `fit`. Spans that agree to a millisecond are the same.

    Returns:
        (rows, notes): no two rows of one span; what was dropped or united.

    Raises:
        InputError: Rows of one span disagree in part, group or condition, or one says
            that none of the labels is there and another names one.
    """
    same: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        same[row.file, row.span and tuple(np.round(row.span, 3).tolist())].append(row)
    num_dropped = num_united = 0
    united = []
    for first, *others in same.values():
        labels = set(first.labels)
        for other in others:
            _check_agreement(first, other)
            if other.labels == first.labels:
                num_dropped += 1
            else:
                num_united += 1
            labels |= set(other.labels)
        united.append(dataclasses.replace(first, labels=tuple(sorted(labels))))
    notes = []
    if num_dropped:
        notes.append(f"{num_dropped} rows repeat another one and were dropped.")
    if num_united:
        notes.append(
            f"{num_united} rows give another label to the same span as a row before; "
            "they are one clip with both labels."
        )
    return united, notes


def _check_agreement(first: Row, other: Row) -> None:
    for what in ("part", "group", "condition"):
        ours, theirs = getattr(first, what), getattr(other, what)
        if ours != theirs:
            raise InputError(
                f"{other.where} gives the {what} '{theirs}' to the same clip of "
                f"{first.file} as {first.where}, which says '{ours}'. A clip has one."
            )
    if bool(first.labels) != bool(other.labels):
        raise InputError(
            f"{other.where} and {first.where} are the same clip of {first.file}; one "
            "has a label and the other says that there is none. Remove one of them."
        )


def label(
    rows: Sequence[Row], labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return what is heard in every clip, and what is not known.

    A label that no selection brings near a clip is absent from it.

    Args:
        rows: N rows as of `unite`.
        labels: L names, the order of the columns.

    Returns:
        (targets, observed, notes): float32 (N, L) of 0 and 1, bool (N, L), and how many
        clips overlap others.
    """
    column = {name: at for at, name in enumerate(labels)}
    targets = np.zeros((len(rows), len(labels)), np.float32)
    observed = np.ones(targets.shape, bool)
    for at, row in enumerate(rows):
        targets[at, [column[name] for name in row.labels]] = 1
    own = targets.copy()
    for at, cover in _covers(rows):
        for name, share in cover.items():
            if share >= MIN_COVER - _ROUNDING:
                targets[at, column[name]] = 1
            else:
                observed[at, column[name]] = False
    notes = []
    more = (targets > own).any(axis=1)
    unknown = ~observed.all(axis=1)
    if (more | unknown).any():
        notes.append(
            f"{(more | unknown).sum()} clips overlap selections of other labels: "
            f"{more.sum()} carry such a label too, as it covers at least half of them, "
            f"and for {unknown.sum()} one counts as unobserved, as it covers less."
        )
    return targets, observed, notes


def _covers(rows: Sequence[Row]) -> list[tuple[int, dict[str, float]]]:
    """Find which other labels cover clips, and which share of them.

    Returns:
        Pairs (row, {label: share in (0, 1]}) for rows that others overlap.
    """
    by_file: dict[Path, list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        if row.span is not None:
            by_file[row.file].append(at)
    found = []
    for members in by_file.values():
        spans = np.array([rows[at].span for at in members])  # (members, 2)
        for at, (start, end) in zip(members, spans.tolist(), strict=True):
            shared = np.minimum(spans[:, 1], end) - np.maximum(spans[:, 0], start)
            pieces: dict[str, list[tuple[float, float]]] = defaultdict(list)
            for other in np.flatnonzero(shared > _TOUCH_SECONDS):
                first, last = spans[other].tolist()
                for name in set(rows[members[other]].labels) - set(rows[at].labels):
                    pieces[name].append((max(first, start), min(last, end)))
            if pieces:
                length = end - start
                found.append((at, {n: _length(p) / length for n, p in pieces.items()}))
    return found


def _length(pieces: list[tuple[float, float]]) -> float:
    """Return the length of the union of spans."""
    total, reached = 0.0, -np.inf
    for start, end in sorted(pieces):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
