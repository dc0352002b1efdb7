"""From rows of tables to labelled clips: one clip a span, with labels in three states.

Conventions: times are seconds; a clip is a span of one file, and rows with the same
span of the same file are one clip with the labels of all.

Where clips are the selections themselves: who marks one sound within another leaves
open how much of it the other holds. So of two clips that overlap, each carries the
other's labels where these cover at least half of it; where they cover less, they are
neither there nor absent but unobserved.

Where clips are windows of one length (`windows`): a selection is a label of its own
window however little of that it fills, so what holds for it holds for a neighbour. A
window also carries the labels of a selection that lies in it by at least half of
itself, and those that cover at least half of the window, as a long call does of which
the window holds a part. What reaches into it with less of both is cut off there: one
can neither say that the call is heard nor that it is not, so it is unobserved. A file
that is used whole and is longer than a window is no window: half of it counts.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from tfhier import audio
from tfhier.data.folder.selections import Row
from tfhier.errors import InputError

TOLERANCE_SECONDS = 0.05  # tables round, and files end between their last two digits
# Of a clip, or of a selection in a window, for the one to have the other's label.
MIN_COVER = 0.5
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
        (rows, lengths): the rows with ends at most at the ends of their files, those
        without times marked as whole, and the length of every file in seconds, None
        where its header does not tell.

    Raises:
        InputError: A span lies beyond its file by more than 0.05 s, or a file of
            unknown length is used whole where others are used in part.
    """
    lengths = {file: seconds_of(file) for file in {row.file: None for row in rows}}
    if all(row.span is None for row in rows):
        return list(rows), lengths
    return [
        dataclasses.replace(
            row, span=_span(row, lengths[row.file]), is_whole=row.span is None
        )
        for row in rows
    ], lengths


def _span(row: Row, length: float | None) -> tuple[float, float]:
    if row.span is None:
        if length is None and _problem(row.file):
            return 0.0, TOLERANCE_SECONDS
        if length is None:
            raise InputError(
                f"{row.where}: the length of {row.file} is not known from its header. "
                "Give start and end, or convert it to WAV or FLAC."
            )
        return 0.0, length
    start, end = row.span
    if length is None:
        return row.span
    beyond = end > length + TOLERANCE_SECONDS
    if beyond and _problem(row.file):
        return row.span
    if start >= length or end > length + TOLERANCE_SECONDS:
        raise InputError(
            f"{row.where}: the selection from {start:g} to {end:g} s reaches beyond "
            f"{row.file}, which is {length:.2f} s long. Correct its times, or check "
            "that this is the file they were measured in."
        )
    return start, min(end, length)


def _problem(path: Path) -> bool:
    """Return whether a file cannot be used, which decoding names or leaves out."""
    try:
        audio.read(path)
    except audio.AudioError:
        return True
    return False


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
    num_dropped = num_united = 0
    united = []
    for first, *others in same_spans(rows):
        for other in others:
            if bool(first.labels) != bool(other.labels):
                raise InputError(
                    f"{other.where} and {first.where} are the same clip of "
                    f"{first.file}; one has a label and the other says that there is "
                    "none. Remove one of them."
                )
            if other.labels == first.labels:
                num_dropped += 1
            else:
                num_united += 1
        united.append(join(first, others))
    notes = []
    if num_dropped:
        notes.append(f"{num_dropped} rows repeat another one and were dropped.")
    if num_united:
        notes.append(
            f"{num_united} rows give another label to the same span as a row before; "
            "they are one clip with both labels."
        )
    return united, notes


def same_spans(rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows of the same span of the same file together, in the order of rows."""
    same: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        same[row.file, row.span and tuple(np.round(row.span, 3).tolist())].append(row)
    return list(same.values())


def join(first: Row, others: Sequence[Row]) -> Row:
    """Return one row of one span with the labels of all.

    Raises:
        InputError: They disagree in part, group or condition.
    """
    labels = set(first.labels)
    for other in others:
        for what in ("part", "group", "condition"):
            ours, theirs = getattr(first, what), getattr(other, what)
            if ours != theirs:
                raise InputError(
                    f"{other.where} gives the {what} '{theirs}' to the same clip of "
                    f"{first.file} as {first.where}, which says '{ours}'. A clip has "
                    "one."
                )
        labels |= set(other.labels)
    is_whole = any(row.is_whole for row in (first, *others))
    return dataclasses.replace(first, labels=tuple(sorted(labels)), is_whole=is_whole)


def label(
    clips: Sequence[Row],
    labels: Sequence[str],
    *,
    selections: Sequence[Row] | None = None,
    clip_seconds: float | None = None,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return what is heard in every clip, and what is not known.

    A label that no selection brings near a clip is absent from it.

    Args:
        clips: N rows, no two of one span.
        labels: L names, the order of the columns.
        selections: Rows as of `unite`, in which the clips' labels were heard. Defaults
            to None: the clips themselves.
        clip_seconds: float. Length of the windows, where clips are windows; None where
            they are the selections.

    Returns:
        (targets, observed, notes): float32 (N, L) of 0 and 1, bool (N, L), and how many
        clips overlap others.
    """
    column = {name: at for at, name in enumerate(labels)}
    targets = np.zeros((len(clips), len(labels)), np.float32)
    observed = np.ones(targets.shape, bool)
    for at, row in enumerate(clips):
        targets[at, [column[name] for name in row.labels]] = 1
    own = targets.copy()
    heard = clips if selections is None else selections
    for at, cover in _covers(clips, heard, clip_seconds):
        for name, share in cover.items():
            if share >= MIN_COVER - _ROUNDING:
                targets[at, column[name]] = 1
            else:
                observed[at, column[name]] = False
    notes = []
    more = (targets > own).any(axis=1)
    unknown = ~observed.all(axis=1)
    if (more | unknown).any():
        half = (
            "at least half of it lies in the clip or it covers half of the clip"
            if clip_seconds
            else "it covers at least half of them"
        )
        notes.append(
            f"{(more | unknown).sum()} clips overlap selections of other labels: "
            f"{more.sum()} carry such a label too, as {half}, "
            f"and for {unknown.sum()} one counts as unobserved, as it covers less."
        )
    return targets, observed, notes


def _covers(
    clips: Sequence[Row], selections: Sequence[Row], clip_seconds: float | None
) -> list[tuple[int, dict[str, float]]]:
    """Find which other labels reach into clips, and how far.

    Returns:
        Pairs (clip, {label: share in (0, 1]}) for clips that others overlap: the share
        of the clip that the label covers or, if larger and the clip is a window, of a
        selection that lies in it.
    """
    by_file: dict[Path, list[Row]] = defaultdict(list)
    for row in selections:
        if row.span is not None:
            by_file[row.file].append(row)
    spans = {
        file: np.array([row.span for row in rows]) for file, rows in by_file.items()
    }
    found = []
    for at, clip in enumerate(clips):
        if clip.span is None or clip.file not in by_file:
            continue
        start, end = clip.span
        length = end - start
        is_window = clip_seconds and length <= clip_seconds + TOLERANCE_SECONDS
        firsts, lasts = spans[clip.file].T  # (selections of the file,)
        shared = np.minimum(lasts, end) - np.maximum(firsts, start)
        pieces: dict[str, list[tuple[float, float]]] = defaultdict(list)
        inside: dict[str, float] = defaultdict(float)
        for other in np.flatnonzero(shared > _TOUCH_SECONDS):
            first, last = float(firsts[other]), float(lasts[other])
            for name in set(by_file[clip.file][other].labels) - set(clip.labels):
                pieces[name].append((max(first, start), min(last, end)))
                if is_window:
                    share = float(shared[other]) / (last - first)
                    inside[name] = max(inside[name], share)
        if pieces:
            cover = {n: max(_length(p) / length, inside[n]) for n, p in pieces.items()}
            found.append((at, cover))
    return found


def _length(pieces: list[tuple[float, float]]) -> float:
    """Return the length of the union of spans."""
    total, reached = 0.0, -np.inf
    for start, end in sorted(pieces):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
