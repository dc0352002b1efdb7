"""Events that people judged: the table of `tfhier review`, clips to train further on.

* What: `events-reviewed.csv`, the events that a model found in recordings, with what
  people said of each (`tfhier.event_tables.verdict`), and the recordings.
* Layout: the table of events with its columns and, behind them, `verdict`,
  `reviewed_label` and `reviewed_at`; recordings where it says, or below `recordings`.
* Clips: windows of the model's length around events that were judged; a longer event
  is cut into several, as by the data set `folder`, as far as the review page plays it.
* Labels, on every level: what was accepted is there, and with it all above it; what was
  rejected is not, and nothing below it; what people heard instead is there. Of all else
  nothing is known. Only `background` is more: it is nothing else, and nothing else is
  background. What an event's window shares with another that was accepted is no longer
  said to be absent from it.
  With `background="gaps"` windows from between events, as many as there are clips of
  events, are background too: the model heard none of its labels there. Without them
  nothing holds it to that.
* Parts: about a fifth of the clips is set aside for the test. Clips of one recording
  stay together; where there are fewer than 5, those of 10 minutes of one do (or of 1
  minute, or 10 s, where that makes fewer than 5).
* Licence: yours. There is nothing to download and no stand-in.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tfhier import contract, recorder_names
from tfhier.contract import Contract
from tfhier.data.clips import Clips
from tfhier.data.folder import division, segments, selections, windows
from tfhier.data.folder.layouts import legible
from tfhier.data.verdicts.lines import Event, Lines, judged_in, read, unknown
from tfhier.data.verdicts.said import (
    Said,
    beside,
    complete,
    is_possible,
    labellings,
    there,
)
from tfhier.errors import InputError
from tfhier.event_tables import places
from tfhier.event_tables.rows import Row
from tfhier.files import data_folder
from tfhier.taxonomy import BACKGROUND

NAME = "events that people judged"
EMBEDDED_NAME = ""
EMBEDDED_FEATURES = ()
SETTINGS = ("clip_seconds", "pretrained", "background", "recordings", "test_groups")

HEARD_SECONDS = 60.0  # of an event that the review page shows and plays
MIN_RECORDINGS = 5  # of which one can be set aside for the test and one to choose by
# That stay together where there are fewer: the longest of which there are enough.
BLOCK_SECONDS = (600.0, 60.0, 10.0)
_LENGTH_TOLERANCE = 0.05  # of some formats headers tell a length only about


def load(
    path: str | Path,
    *,
    clip_seconds: float = 3.0,
    pretrained: str = "",
    background: Literal["none", "gaps"] = "none",
    recordings: str = "",
    test_groups: Sequence[str] = (),
) -> Clips:
    """Read the verdicts on events that a model found.

    Args:
        path: str or Path. The reviewed table, CSV.
        clip_seconds: float > 0. Length of the windows.
        pretrained: str. Path of the saved tagger whose labels the events have.
        background: "gaps" adds windows from between events, at least 0.5 s away from
            any, and at most as many as there are clips of events.
        recordings: str. Folder where the recordings lie now, if they were moved.
        test_groups: Sequence of str. Sites, by recorders' file names or else the names
            of recordings' folders, whose clips are the test.

    Returns:
        Clips of kind "other", with labels of all of the model's levels.

    Raises:
        InputError: The table has no verdict or says what cannot be, its labels are not
            the model's, recordings are missing, or a site is not in it.
    """
    path = Path(path)
    lines = read(path)
    if not pretrained:
        raise InputError(
            "Verdicts are on the events of a model: name it with --set pretrained=FILE"
            ".keras, or use tfhier train --from."
        )
    promised = contract.read(Path(pretrained).expanduser())
    judged = list(judged_in(path, lines, promised.taxonomy))
    where = Path(recordings).expanduser() if recordings else None
    files = _find(path, judged, where)
    clips, notes = _cut(judged, files, clip_seconds, promised)
    if not clips:
        raise InputError(f"{path} leaves no clip to train on. {' '.join(notes)}")
    if background == "gaps":
        between, taken = _between(lines, files, clip_seconds, len(clips), promised)
        clips, notes = clips + between, notes + taken
        clips.sort(key=lambda clip: (clip.file, clip.span))
    rows = [
        selections.Row(
            where=f"{path}: {clip.file} at {clip.span[0]:.1f} s",
            file=clip.file,
            labels=(),  # they are known on all levels, see below
            span=clip.span,
        )
        for clip in clips
    ]
    rows = division.hold_out(path, rows, [clip.site for clip in clips], test_groups)
    said = [clip.said for clip in clips]
    known = promised.taxonomy.close(labellings(said, promised.taxonomy))
    targets, observed = (
        np.concatenate([pair[at] for pair in known.values()], axis=1) for at in (0, 1)
    )
    groups, grouped = _groups(rows, path.parent)
    try:
        parts, divided = division.divide(path, rows, targets, observed, groups)
    except InputError:
        raise InputError(
            f"The {len(rows)} clips of {path} are too few, or too close together, to "
            "set some aside for a test. Judge more events, of several recordings or "
            "hours."
        ) from None
    fine = promised.taxonomy.fine
    return Clips(
        name=path.name,
        kind="other",
        labels=promised.taxonomy.labels_of(fine),
        keys=np.array([f"{clip.name}#{clip.span[0]:.3f}" for clip in clips], np.str_),
        targets=known[fine][0],
        observed=known[fine][1],
        upper={level: own for level, own in known.items() if level != fine},
        parts=parts,
        paths=tuple(row.file for row in rows),
        max_seconds=clip_seconds,
        spans=np.array([row.span for row in rows], np.float64),
        groups=groups,
        may_be_silent=True,
        notes=(*notes, *unknown(lines, promised.taxonomy), *grouped, *divided),
    )


def prepare(folder: str | Path) -> Path:
    """Explain that there is nothing to download.

    Raises:
        InputError: Always.
    """
    raise InputError(
        "Verdicts on events are yours: tfhier detect MODEL recordings/ -o events.csv, "
        "then tfhier review events.csv."
    )


def default_folder() -> Path:
    """Return where a table is looked for: in `$TFHIER_DATA` or `~/tfhier-data`."""
    return data_folder("events-reviewed.csv")


@dataclass(frozen=True)
class _Clip:
    """A window of a recording, which the table calls `name`."""

    name: str
    file: Path
    site: str
    span: tuple[float, float]
    said: Said


def _find(
    path: Path, judged: Sequence[Event], recordings: Path | None
) -> dict[str, Path]:
    """Return where the recordings of events lie.

    Raises:
        InputError: Some are nowhere.
    """
    names = dict.fromkeys(event.row.file for event in judged)
    found = {
        name: places.find(name, folder=path.parent, recordings=recordings)
        for name in names
    }
    missing = [name for name, file in found.items() if not file.is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(found)} recordings of {path} are not there. The "
            f"first: {missing[0]}. Say where they lie now: --recordings FOLDER"
        )
    taken: dict[str, str] = {}
    for name, file in found.items():
        other = taken.setdefault(os.path.realpath(file), name)
        if other != name:
            raise InputError(
                f"{name} and {other} of {path} would both be {file}. Keep the folders "
                "of recordings of equal names below --recordings FOLDER."
            )
    rows = {event.row.file: event.row for event in judged}
    for name, file in found.items():
        _check_recording(rows[name], legible(file))
    return found


def _check_recording(row: Row, file: Path) -> None:
    """Raise an InputError for a recording that is not the one that was judged."""
    length = segments.seconds_of(file)
    if length is not None and abs(length - row.duration) > max(
        1.0, _LENGTH_TOLERANCE * row.duration
    ):
        raise InputError(
            f"{file} lasts {length:.1f} s, but the recording that was judged lasts "
            f"{row.duration:.1f} s. Another file has its name now; say where the "
            "recordings lie: --recordings FOLDER"
        )


def _cut(
    judged: Sequence[Event],
    files: dict[str, Path],
    seconds: float,
    promised: Contract,
) -> tuple[list[_Clip], list[str]]:
    """Return the windows of events, each once, with what is known of it."""
    by_file: dict[str, list[Event]] = defaultdict(list)
    for event in judged:
        by_file[event.row.file].append(event)
    clips, num_open = [], 0
    for name, events in by_file.items():
        heard = [there(event.said, promised.taxonomy) for event in events]
        starts, ends = np.array([(e.row.start, e.row.end) for e in events]).T
        found: dict[tuple[float, float], Said] = defaultdict(dict)
        for event in events:
            row = event.row
            # Of a longer event people heard the beginning.
            end = min(row.end, row.start + HEARD_SECONDS)
            for span in windows.around((row.start, end), row.duration, seconds):
                inside = np.flatnonzero((starts < span[1]) & (ends > span[0]))
                near = set().union(*(heard[other] for other in inside))
                span = round(span[0], 3), round(span[1], 3)
                found[span].update(beside(event.said, near))
        for span, said in sorted(found.items()):
            if not is_possible(said, promised.taxonomy):
                # Events that were judged apart and contradict each other together.
                said = {place: True for place, is_so in said.items() if is_so}
            known = complete(said, promised)
            if known is None:
                num_open += 1
            else:
                clips.append(_Clip(name, files[name], _site(name), span, known))
    calls = sum(
        any(is_so and name != BACKGROUND for (_, name), is_so in e.said.items())
        for e in judged
    )
    notes = [
        f"{len(judged)} verdicts, {calls} of them on sounds of the model's labels, "
        f"make {len(clips)} clips of {seconds:g} s."
    ]
    if num_open:
        notes.append(
            f"{num_open} clips say too little to be trained on: of a sound that is "
            "none of the model's labels, or several, where it knows one at a time"
            if promised.softmax
            else f"{num_open} clips say nothing of the model's labels: unsure, or "
            "denied where another event has the same label."
        )
    return clips, notes


def _between(
    lines: Lines,
    files: dict[str, Path],
    seconds: float,
    most: int,
    promised: Contract,
) -> tuple[list[_Clip], list[str]]:
    """Return windows in which the model heard none of its labels, as background."""
    taxonomy = promised.taxonomy
    leaves = taxonomy.labels_of(taxonomy.fine)
    if promised.softmax and BACKGROUND not in leaves:
        return [], []  # one of its labels is always there
    names = {file: name for name, file in files.items()}
    events = [
        selections.Row("", files[row.file], (), (row.start, row.end))
        for row, _ in lines
        if row.file in files
    ]
    try:
        rows, _ = windows.gaps(events, [], seconds=seconds, most=most, label="")
    except InputError:
        return [], [
            f"No {seconds:g} s lie between events: nothing says what is none of the "
            "labels but verdicts."
        ]
    said = {(taxonomy.fine, leaf): leaf == BACKGROUND for leaf in leaves}
    note = (
        f"{len(rows)} clips from between events count as background, as the model "
        "heard nothing there."
    )
    return [
        _Clip(names[row.file], row.file, _site(names[row.file]), row.span, said)
        for row in rows
    ], [note]


def _site(name: str) -> str:
    """Return where a recording was made: by its name, or else by its folder's."""
    found = recorder_names.parse(name)
    return (found.site if found else "") or Path(name).parent.name


def _groups(rows: Sequence[selections.Row], root: Path) -> tuple[np.ndarray, list[str]]:
    """Return what must not be divided: recordings, or stretches of few of them."""
    original = division.originals(dict.fromkeys(row.file for row in rows))
    groups = division.groups(rows, root, original)
    num_recordings = len(set(groups.tolist()))
    if num_recordings >= MIN_RECORDINGS or any(row.part for row in rows):
        return groups, []
    for seconds in BLOCK_SECONDS:
        stretches = _stretches(rows, groups.tolist(), seconds)
        if len(set(stretches)) >= MIN_RECORDINGS:
            break
    note = (
        f"{num_recordings} recordings are too few to set one aside: stretches of "
        f"{seconds:g} s are divided instead. Figures of other days and sites are "
        "likely to be lower."
    )
    return np.array(stretches, np.str_), [note]


def _stretches(
    rows: Sequence[selections.Row], groups: Sequence[str], seconds: float
) -> list[str]:
    """Return the stretch of its recording that each clip, in order, lies in."""
    found, last = [], ("", -1, 0.0)
    for row, group in zip(rows, groups, strict=True):
        number = int(row.span[0] // seconds)
        # What overlaps stays together, also where a stretch ends.
        if group == last[0] and row.span[0] < last[2]:
            number = last[1]
        last = group, number, row.span[1]
        found.append(f"{group}#{number * seconds:g}")
    return found
