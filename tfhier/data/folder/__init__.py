"""Your own recordings: a folder of class folders, a CSV table, or Raven's tables.

* What: any recordings, in one of three layouts:

      calls/                        a folder of class folders
        chimpanzee/*.wav            every file is a clip and counts as a recording,
        mandrill/forest-3/*.flac    or all files of a folder in it are one recording

      calls.csv                     a table (comma, semicolon or tab; UTF-8)
        file,label,start,end        and, if wanted: part, group, condition
        a/rec1.wav,chimpanzee,12.5,14.1
        a/rec2.wav,mandrill|rain,,  no times: the whole file; `|`: several labels;
        a/rec3.wav,,0,3             no label: none of the labels is there

      calls/                        a folder with Raven selection tables (*.txt) beside
        rec1.wav                    the recordings, or one such table
        rec1.Table.1.selections.txt

* Audio: WAV, FLAC, OGG, MP3, AIFF and what else `tfhier.audio` reads, at any rate.
* Clips: selections, or windows of one length where `clip_seconds` is given: shorter
  selections are widened, longer ones cut (`windows`). Where nothing was selected is no
  clip, or `background`, as one likes.
* Labels: a clip has its own labels, and those of selections that it shares enough with;
  what it shares less with is unobserved (`segments`); all others are absent.
* Parts: those of the table's column `part`, else about a fifth of the clips is set
  aside for the test. No group is then divided: clips of one file belong together, and
  so do those of one folder in a class folder (also under several classes) or of one
  name in the column `group`. A label of one group only stays in training.
* Licence: yours. There is nothing to download and no stand-in.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from tfhier.data.clips import Clips
from tfhier.data.folder import division, layouts, notes, segments, windows
from tfhier.data.folder.layouts import LAYOUTS, Found
from tfhier.data.folder.selections import Row
from tfhier.errors import InputError
from tfhier.files import data_folder
from tfhier.taxonomy import BACKGROUND

NAME = "your own recordings"
EMBEDDED_NAME = ""
EMBEDDED_FEATURES = ()
# Settings of an experiment that `load` takes: what a clip is depends on them.
SETTINGS = ("clip_seconds", "background", "label_column", "num_folds", "test_groups")

Background = Literal["none", "gaps"]


def load(
    path: str | Path,
    *,
    clip_seconds: float | None = None,
    background: Background = "none",
    label_column: str = "",
    num_folds: int = 0,
    test_groups: Sequence[str] = (),
) -> Clips:
    """Read one's own recordings and their labels.

    Args:
        path: str or Path. A folder of class folders, a CSV file (`.csv`, `.tsv`), a
            Raven selection table (`.txt`), or a folder in which such tables lie.
        clip_seconds: float > 0 or None. Length in seconds that selections are widened
            or cut to; None leaves them as they are.
        background: "gaps" adds clips of `clip_seconds` from between selections, at
            least 0.5 s away from any, and at most as many as there are clips of calls.
        label_column: str. Name of the tables' column of labels, in any case; "" for one
            of the names known.
        num_folds: int. Above 0 nothing is set aside for the test: folds take turns.
        test_groups: Sequence of str. Groups (sites, say) that are the test; none for
            about a fifth of the clips.

    Returns:
        Clips of kind "other", named after the folder or file, labels in alphabetical
        order. Keys are paths relative to the folder (with the span, where a file has
        several clips); `spans` is None if all clips are whole files. The same files
        give the same clips and the same division into parts.

    Raises:
        InputError: The path is none of these, or what is there does not fit; the
            message says where and what would.
    """
    _check_settings(clip_seconds, background)
    path = Path(path)
    root = path if path.is_dir() else path.parent
    found = layouts.read(path, label_column=label_column)
    selected, lengths = segments.fit(found.rows)
    selected, united = segments.unite(selected)
    rows, cut = windows.cut(selected, lengths, clip_seconds)
    between, taken = _between(path, found, background, selected, rows, clip_seconds)
    rows += between
    labels = _check_labels(path, rows)
    targets, observed, overlaps = segments.label(
        rows, labels, selections=selected, clip_seconds=clip_seconds
    )
    if between:
        # A sound of none of the labels is no call, and may be more than background.
        is_open = (targets == 0).all(axis=1)
        observed[is_open, labels.index(between[0].labels[0])] = False
    original = division.originals(dict.fromkeys(row.file for row in rows))
    if found.layout == "classes":
        division.refuse_copies(rows, original)
    groups = division.groups(rows, root, original)
    if num_folds and test_groups:
        raise InputError(
            "Folds take turns in being the test (num_folds), or sites are named for it "
            "(test_groups), not both."
        )
    rows = division.hold_out(path, rows, groups.tolist(), test_groups)
    if num_folds:
        parts, divided = division.take_turns(rows, groups, num_folds)
    else:
        parts, divided = division.divide(path, rows, targets, observed, groups)
    said = [*found.notes, *united, *cut, *taken, *overlaps]
    said += notes.on_whole_files(rows, targets, labels, selected, lengths)
    said += notes.on_background(rows, layout=found.layout)
    said += [*divided, *division.assumption(rows, layout=found.layout)]
    said += notes.on_labels(
        labels, targets, observed, parts, groups, word=division.word(rows)
    )
    spans, max_seconds = _spans(rows, lengths)
    conditions = np.array([row.condition for row in rows], np.str_)
    return Clips(
        name=root.resolve().name if path.is_dir() else path.name,
        kind="other",
        labels=labels,
        keys=np.array(division.keys(rows, root), np.str_),
        targets=targets,
        observed=observed,
        parts=parts,
        paths=tuple(row.file for row in rows),
        max_seconds=max_seconds,
        spans=spans,
        groups=groups,
        conditions=conditions if conditions.any() else None,
        notes=tuple(said),
    )


def prepare(folder: str | Path) -> Path:
    """Explain that there is nothing to download.

    Raises:
        InputError: Always.
    """
    raise InputError(
        f"There is nothing to download for {NAME}: put them into "
        f"{Path(folder) / 'recordings'}, or name another place with --data. {LAYOUTS}"
    )


def default_folder() -> Path:
    """Return where recordings are looked for: in `$TFHIER_DATA` or `~/tfhier-data`."""
    return data_folder("recordings")


def _check_settings(clip_seconds: float | None, background: str) -> None:
    if background not in get_args(Background):
        raise InputError(
            f"background is one of {', '.join(get_args(Background))}. Received: "
            f"'{background}'"
        )
    if clip_seconds is None:
        if background == "gaps":
            raise InputError(
                "background='gaps' needs clip_seconds, the length of the clips that "
                "are taken from between selections."
            )
    elif not 0 < clip_seconds < float("inf"):
        raise InputError(
            f"clip_seconds is a length in seconds above 0. Received: {clip_seconds}"
        )


def _between(
    path: Path,
    found: Found,
    background: Background,
    selected: Sequence[Row],
    rows: Sequence[Row],
    clip_seconds: float | None,
) -> tuple[list[Row], list[str]]:
    """Return clips from between selections, where they are wanted."""
    if background == "none":
        note = (
            f"{len(found.empty)} recordings have a table without a selection and are "
            "not used; --set background=gaps takes clips of them."
        )
        return [], [note] * bool(found.empty)
    names = sorted({label for row in rows for label in row.labels})
    same = (name for name in names if name.lower() == BACKGROUND)
    label = next(same, BACKGROUND)
    num_calls = sum(bool(set(row.labels) - {label}) for row in rows)
    if not num_calls:
        return [], []  # there is worse to say of such a table
    if not _has_times(rows):
        raise InputError(
            f"background=gaps takes what lies between selections, but {path} has none "
            f"with times. Give recordings labelled {BACKGROUND} instead."
        )
    taken, said = windows.gaps(
        selected, found.empty, seconds=clip_seconds, most=num_calls, label=label
    )
    if set(found.empty) & {row.file for row in taken} and any(r.group for r in rows):
        said.append(
            "A recording without a selection has no group in its table: each counts as "
            "a group of its own."
        )
    return taken, said


def _spans(
    rows: Sequence[Row], lengths: Mapping[Path, float | None]
) -> tuple[np.ndarray | None, float | None]:
    """Return spans (N, 2) or None for whole files, and the longest, if it is known."""
    if rows[0].span is None:
        # What cannot be read has no length, and no say.
        known = [length for row in rows if (length := lengths[row.file])]
        return None, max(known, default=None)
    spans = np.array([row.span for row in rows], np.float64)
    # The difference of two times is not quite the length of a window.
    return spans, round(float(np.ptp(spans, axis=1).max()), 6)


def _has_times(rows: Sequence[Row]) -> bool:
    return any(row.span is not None and not row.is_whole for row in rows)


def _check_labels(path: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the labels in alphabetical order, if there is something to tell apart."""
    labels = sorted({label for row in rows for label in row.labels})
    if len(labels) > 1 or (labels and not all(row.labels for row in rows)):
        return tuple(labels)
    gaps = ""
    if labels and _has_times(rows):
        gaps = (
            " What lies between the selections is such an absence: --set "
            "background=gaps takes clips of it."
        )
    raise InputError(
        f"{path} has "
        + (f"one label only, '{labels[0]}'" if labels else "no label at all")
        + ". At least two are needed, or one and rows without a label that stand for "
        f"its absence.{gaps}"
    )
