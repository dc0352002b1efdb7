"""Windows of one length from selections, and from the stretches between them.

Conventions: times are seconds. A window is what a tagger hears of a long recording when
it scores it, so a clip is made the same way: with the sound around a short call, not
zeros, and as many of them as it takes for a long one.
"""

import dataclasses
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfhier.data.folder.layouts import listed
from tfhier.data.folder.segments import (
    TOLERANCE_SECONDS,
    join,
    same_spans,
    seconds_of,
)
from tfhier.data.folder.selections import Row
from tfhier.errors import InputError
from tfhier.taxonomy import BACKGROUND

MARGIN_SECONDS = 0.5  # between a gap and a selection: who marks a call marks it tightly
_SHORTER_SECONDS = 1e-3  # less than this is a rounded time, not a shorter selection


def cut(
    selections: Sequence[Row],
    lengths: Mapping[Path, float | None],
    seconds: float | None,
) -> tuple[list[Row], list[str]]:
    """Return clips of one length where selections are.

    A shorter selection is widened: the window is centred on it, and moved where it
    would reach beyond the file; a shorter file is one window. A longer one is cut into
    windows side by side, of which the last ends where the selection ends. Rows without
    times stay whole. Windows that are the same are one, with the labels of all.

    Args:
        selections: Rows as of `segments.unite`.
        lengths: Length of each file; None where it is not known.
        seconds: Length of a window > 0; None leaves spans as they are.

    Returns:
        (clips, notes): rows, no two of one span; how many were widened, cut and united.

    Raises:
        InputError: Selections of one window disagree in part, group or condition.
    """
    if seconds is None:
        return list(selections), []
    windows, num_widened, num_cut, num_pieces = [], 0, 0, 0
    for row in selections:
        if row.span is None or row.is_whole:
            windows.append(row)
            continue
        spans = around(row.span, lengths[row.file], seconds)
        own = row.span[1] - row.span[0]
        num_widened += spans[0][1] - spans[0][0] > own + _SHORTER_SECONDS
        num_cut += len(spans) > 1
        num_pieces += len(spans) * (len(spans) > 1)
        windows += [dataclasses.replace(row, span=span) for span in spans]
    clips = [join(first, others) for first, *others in same_spans(windows)]
    num_same = len(windows) - len(clips)
    notes = {
        f"{num_widened} selections are shorter than {seconds:g} s and were widened "
        "with the sound around them.": num_widened,
        f"{num_cut} selections are longer than {seconds:g} s and were cut into "
        f"{num_pieces} clips.": num_cut,
        f"{num_same} selections lie in the same {seconds:g} s as another one: they "
        "are one clip with the labels of both.": num_same,
    }
    return clips, [note for note, count in notes.items() if count]


def around(
    span: tuple[float, float], length: float | None, seconds: float
) -> list[tuple[float, float]]:
    """Return the windows of a selection, see `cut`.

    Args:
        span: Start and end of the selection in seconds.
        length: Length of its file in seconds; None where it is not known.
        seconds: Length of a window > 0.
    """
    start, end = span
    count = max(1, math.ceil((end - start - TOLERANCE_SECONDS) / seconds))
    if count > 1:
        firsts = [start + number * seconds for number in range(count - 1)]
        return [(at, at + seconds) for at in (*firsts, end - seconds)]
    if length is not None and length <= seconds:
        return [(0.0, length)]
    first = (start + end - seconds) / 2
    if length is not None:
        first = min(first, length - seconds)
    first = max(0.0, first)
    return [(first, first + seconds)]


def gaps(
    selections: Sequence[Row],
    empty: Sequence[Path],
    *,
    seconds: float,
    most: int,
    label: str,
) -> tuple[list[Row], list[str]]:
    """Return clips of stretches in which nothing was selected.

    Every file gives as many as the others, as far as it has them, taken evenly from its
    stretches. Nothing is drawn by chance.

    Args:
        selections: Rows as of `segments.unite`, with spans.
        empty: Audio files of tables without a selection.
        seconds: Length of a window > 0.
        most: Number of windows at most.
        label: Their label.

    Returns:
        (clips, notes): rows with part, group and condition of the nearest selection of
        their file; how many, and which files were skipped.

    Raises:
        InputError: There is no such stretch.
    """
    by_file: dict[str, list[Row]] = defaultdict(list)  # two links are one file
    for row in selections:
        by_file[os.path.realpath(row.file)].append(row)
    names: dict[str, Path] = {}
    for file in (*(row.file for row in selections), *empty):
        names.setdefault(os.path.realpath(file), file)
    found, unknown = {}, []
    for real, file in names.items():
        if (length := seconds_of(file)) is None:
            unknown.append(file.name)
        else:
            found[real] = _free(by_file[real], length, seconds)
    if not any(found.values()):
        raise InputError(
            f"background=gaps: none of {len(names)} recordings has {seconds:g} s that "
            f"lie {MARGIN_SECONDS:g} s from every selection"
            + f" ({len(unknown)} are of unknown length)"
            * bool(unknown)
            + f". Give recordings labelled {BACKGROUND} instead, or a smaller "
            "--set clip_seconds."
        )
    shares = _shares([len(starts) for starts in found.values()], most)
    clips = []
    for (real, starts), share in zip(found.items(), shares, strict=True):
        for at in _spread(len(starts), share):
            span = (starts[at], starts[at] + seconds)
            clips.append(_gap(names[real], span, by_file[real], label))
    notes = [
        f"{len(clips)} clips of {seconds:g} s from between the selections of "
        f"{sum(share > 0 for share in shares)} recordings are labelled '{label}'."
    ]
    if unknown:
        notes.append(
            f"{len(unknown)} recordings are of unknown length and give none: "
            f"{listed(unknown)}."
        )
    return clips, notes


def _gap(
    file: Path, span: tuple[float, float], selections: Sequence[Row], label: str
) -> Row:
    clip = Row(f"between the selections of {file}", file, (label,), span)
    if not selections:
        return clip
    nearest = min(
        selections, key=lambda row: max(row.span[0] - span[1], span[0] - row.span[1])
    )
    return dataclasses.replace(
        clip,
        part=nearest.part,
        group=nearest.group,
        condition=nearest.condition,
    )


def _free(rows: Sequence[Row], length: float, seconds: float) -> list[float]:
    """Return the starts of the windows that fit between rows, spread in each gap."""
    busy = sorted(row.span for row in rows)
    starts, free_from = [], 0.0
    for start, end in (*busy, (length + MARGIN_SECONDS, math.inf)):
        room = start - MARGIN_SECONDS - free_from
        count = math.floor(room / seconds + 1e-9)
        # What is left over lies before, between and after them in equal parts.
        step = (room - count * seconds) / (count + 1) if count > 0 else 0.0
        starts += [
            free_from + step + number * (seconds + step) for number in range(count)
        ]
        free_from = max(free_from, end + MARGIN_SECONDS)
    return starts


def _shares(counts: Sequence[int], most: int) -> list[int]:
    """Divide `most` among those that have so many, as evenly as they have them."""
    shares = [0] * len(counts)
    left = min(most, sum(counts))
    while left:
        able = [at for at, count in enumerate(counts) if count > shares[at]]
        each = min(left // len(able), min(counts[at] - shares[at] for at in able))
        # Fewer than one each: not the first files, but files far from each other.
        chosen = able if each else [able[at] for at in _spread(len(able), left)]
        for at in chosen:
            shares[at] += each or 1
        left -= len(chosen) * (each or 1)
    return shares


def _spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` of `count` places, evenly spread: the middles of equal parts."""
    return [(2 * at + 1) * count // (2 * wanted) for at in range(wanted)]
