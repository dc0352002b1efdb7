"""Your own recordings: a folder of class folders, a CSV table, or Raven's tables.

* What: any recordings, in one of three layouts:

      calls/                        a folder of class folders
        chimpanzee/*.wav            every file is a clip and a recording of its own,
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
* Labels: a clip has its own labels, and those of selections that cover at least half of
  it; a label that covers less of it is unobserved; all others are absent. Where nothing
  was selected is no clip.
* Parts: those of the table's column `part`, else about a fifth of the clips is set
  aside for the test. No recording is then divided: clips of one file belong together,
  and so do those of one folder in a class folder (also under several classes) or of one
  name in the column `group`. A label of one recording only stays in training.
* Licence: yours. There is nothing to download and no stand-in.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tfhier.data import splits
from tfhier.data.clips import Clips
from tfhier.data.folder import raven, segments, selections
from tfhier.data.folder.selections import Row
from tfhier.errors import InputError
from tfhier.files import data_folder

NAME = "your own recordings"
EMBEDDED_NAME = ""
EMBEDDED_FEATURES = ()
TEST_FRACTION = 0.2

_LAYOUTS = (
    "Give a folder of class folders, a CSV table with the columns file and label, or "
    "Raven selection tables (.txt)."
)


def load(path: str | Path) -> Clips:
    """Read one's own recordings and their labels.

    Args:
        path: str or Path. A folder of class folders, a CSV file (`.csv`, `.tsv`), a
            Raven selection table (`.txt`), or a folder in which such tables lie.

    Returns:
        Clips of kind "other", named after the folder or file, labels in alphabetical
        order. Keys are paths relative to the folder (with the span, where a file has
        several clips); `spans` is None if all clips are whole files. The same files
        give the same division into parts.

    Raises:
        InputError: The path is none of these, or what is there does not fit; the
            message says where and what would.
    """
    path = Path(path)
    root = path if path.is_dir() else path.parent
    rows, notes = _read(path)
    rows, lengths = segments.fit(rows)
    rows, united = segments.unite(rows)
    labels = _check_labels(path, rows)
    targets, observed, overlaps = segments.label(rows, labels)
    groups = _groups(rows, root)
    parts, divided = _parts(path, rows, targets, observed, groups)
    divided += _label_notes(labels, targets, observed, parts, groups)
    is_whole = rows[0].span is None
    spans = None if is_whole else np.array([row.span for row in rows], np.float64)
    seconds = [lengths[r.file] for r in rows] if is_whole else np.ptp(spans, axis=1)
    conditions = np.array([row.condition for row in rows], np.str_)
    return Clips(
        name=root.resolve().name if path.is_dir() else path.stem,
        kind="other",
        labels=labels,
        keys=np.array(_keys(rows, root), np.str_),
        targets=targets,
        observed=observed,
        parts=parts,
        paths=tuple(row.file for row in rows),
        max_seconds=None if None in list(seconds) else float(max(seconds)),
        spans=spans,
        groups=groups,
        conditions=conditions if conditions.any() else None,
        notes=(*notes, *united, *overlaps, *divided),
    )


def prepare(folder: str | Path) -> Path:
    """Explain that there is nothing to download.

    Raises:
        InputError: Always.
    """
    raise InputError(
        f"There is nothing to download for {NAME}: put them into "
        f"{Path(folder) / 'recordings'}, or name another place with --data. {_LAYOUTS}"
    )


def default_folder() -> Path:
    """Return where recordings are looked for: in `$TFHIER_DATA` or `~/tfhier-data`."""
    return data_folder("recordings")


def _read(path: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of any layout, and what was left out."""
    if not path.exists():
        raise InputError(f"There is no {path}. {_LAYOUTS}")
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix in (".csv", ".tsv"):
            return selections.read_csv(path), []
        if suffix == ".txt":
            return raven.read([path], folder=path.parent), []
        raise InputError(f"{path} is not a table. {_LAYOUTS}")
    texts = (file for file in _files(path) if file.suffix.lower() == ".txt")
    tables = [file for file in texts if raven.is_table(file)]
    if tables:
        rows = raven.read(tables, folder=path)
        note = f"The labels come from {len(tables)} Raven selection tables."
        return rows, [note]
    return _class_rows(path)


def _files(folder: Path) -> Iterator[Path]:
    """List the files below a folder in order; links are followed, hidden names not."""
    seen = set()
    for home, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        # A link to a folder above would be followed for ever.
        real = os.path.realpath(home)
        is_new = real not in seen
        seen.add(real)
        folders[:] = [f for f in sorted(folders) if is_new and f[0] != "."]
        if is_new:
            yield from (Path(home, name) for name in sorted(names) if name[0] != ".")


def _refuse(error: OSError) -> None:
    """Stop at a folder that cannot be listed, which `os.walk` would pass over."""
    raise error


def _class_rows(folder: Path) -> tuple[list[Row], list[str]]:
    """Return a row for every audio file of every class folder."""
    entries = sorted(entry for entry in folder.iterdir() if entry.name[0] != ".")
    classes = [entry for entry in entries if entry.is_dir()]
    outside = [entry for entry in entries if entry.is_file()]
    if len(classes) < 2:
        tables = [file.name for file in outside if file.suffix.lower() == ".csv"]
        hint = f" It has {', '.join(tables)}: give a table by its path." * bool(tables)
        raise InputError(
            f"{folder} has {len(classes)} class folder(s); at least two are needed."
            f"{hint} {_LAYOUTS}"
        )
    rows, empty, num_other = [], [], 0
    for home in classes:
        files = list(_files(home))
        sounds = [file for file in files if selections.is_audio(file)]
        num_other += len(files) - len(sounds)
        if not sounds:
            empty.append(home)
        for file in sounds:
            inside = file.relative_to(home).parts
            group = inside[0] if len(inside) > 1 else ""
            rows.append(Row(str(file), file, (home.name,), group=group))
    if empty:
        more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
        raise InputError(
            f"The class folder {empty[0]}{more} has no audio file. Put recordings into "
            "it, or remove it."
        )
    num_stray = sum(map(selections.is_audio, outside))
    num_other += len(outside) - num_stray
    notes = []
    if num_stray:
        notes.append(f"{num_stray} audio files lie in no class folder: left out.")
    if num_other:
        notes.append(f"{num_other} files that are not audio were ignored.")
    return rows, notes


def _check_labels(path: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the labels in alphabetical order, if there is something to tell apart."""
    labels = sorted({label for row in rows for label in row.labels})
    if len(labels) > 1 or (labels and not all(row.labels for row in rows)):
        return tuple(labels)
    raise InputError(
        f"{path} has "
        + (f"one label only, '{labels[0]}'" if labels else "no label at all")
        + ". At least two are needed, or one and rows without a label that stand for "
        "its absence."
    )


def _key(file: Path, root: Path) -> str:
    return (file.relative_to(root) if file.is_relative_to(root) else file).as_posix()


def _keys(rows: Sequence[Row], root: Path) -> list[str]:
    files = [row.file for row in rows]
    repeated = {file for file, count in Counter(files).items() if count > 1}
    return [
        _key(row.file, root)
        + ("#{:.3f}-{:.3f}".format(*row.span) if row.file in repeated else "")
        for row in rows
    ]


def _groups(rows: Sequence[Row], root: Path) -> np.ndarray:
    """Return the recording of every clip: str (N,)."""
    first: dict[str, Row] = {}  # by real file: two links are one recording
    names = []
    for row in rows:
        earlier = first.setdefault(os.path.realpath(row.file), row)
        if row.group != earlier.group:
            raise InputError(
                f"{row.where}: {row.file} is of the group '{row.group}' here and of "
                f"'{earlier.group}' in {earlier.where}. All clips of a file belong to "
                "one group; correct one of them."
            )
        names.append(row.group or _key(earlier.file, root))
    return np.array(names, np.str_)


def _parts(
    path: Path,
    rows: Sequence[Row],
    targets: np.ndarray,
    observed: np.ndarray,
    groups: np.ndarray,
) -> tuple[np.ndarray, list[str]]:
    """Return the part of every clip, and what must be known about the division."""
    parts = np.array([row.part for row in rows], "<U10")
    if parts.any():
        without = np.flatnonzero(parts == "")
        if without.size:
            raise InputError(
                f"{rows[without[0]].where}: no part is given here and in "
                f"{without.size - 1} other rows, but in {len(rows) - without.size} it "
                "is. Give a part for every row, or for none."
            )
        pairs = set(zip(groups.tolist(), parts.tolist(), strict=True))
        divided = Counter(group for group, _ in pairs)
        both = sorted(group for group, count in divided.items() if count > 1)
        note = (
            f"{len(both)} recordings have clips in more than one part, as the table "
            f"says: {_list(both)}. Figures may be better than on new recordings."
        )
        return parts, [note] * bool(both)
    try:
        held = splits.stratified(
            targets, observed, fraction=TEST_FRACTION, seed=0, groups=groups
        )
    except InputError as error:
        raise InputError(
            f"{path} cannot be divided into clips for training and for the test: "
            f"{error} Or say in a column 'part' what is what."
        ) from None
    parts[:] = np.where(held, "test", "train")
    note = (
        f"{held.sum()} of {len(rows)} clips ({len(set(groups[held].tolist()))} of "
        f"{len(set(groups.tolist()))} recordings) were set aside for the test; no "
        "recording is divided."
    )
    return parts, [note]


def _label_notes(
    labels: Sequence[str],
    targets: np.ndarray,
    observed: np.ndarray,
    parts: np.ndarray,
    groups: np.ndarray,
) -> list[str]:
    """Name the labels that cannot be learned or tested as things are."""
    lone, untested, unlearned, everywhere = [], [], [], []
    in_test = parts == "test"
    for at, name in enumerate(labels):
        has = targets[:, at] > 0
        if not (has & in_test).any():
            is_lone = len(set(groups[has].tolist())) == 1
            (lone if is_lone else untested).append(name)
        elif not (observed[:, at] & ~has & in_test).any():
            everywhere.append(name)
        if not (has & (parts == "train")).any():
            unlearned.append(name)
    notes = {
        "Labels of one recording only, so that their figures cannot be tested": lone,
        "Labels without a test clip, so that their figures cannot be tested": untested,
        "Labels of every test clip, so that their figures mean nothing": everywhere,
        "Labels without a training clip, so that they cannot be learned": unlearned,
    }
    return [f"{text}: {_list(names)}." for text, names in notes.items() if names]


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
