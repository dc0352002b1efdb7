"""What lies at a path: class folders, a CSV table, or Raven's selection tables."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tfhier import audio
from tfhier.data.folder import raven, selections
from tfhier.data.folder.selections import Row
from tfhier.errors import InputError

LAYOUTS = (
    "Give a folder of class folders, a CSV table with the columns file and label, or "
    "Raven selection tables (.txt)."
)


class Found(NamedTuple):
    """What was found at a path.

    Args:
        layout: What lies there.
        rows: A row for every line of a table or file of a class folder.
        empty: Audio files whose selection table has no selection.
        notes: What was left out, in sentences.
    """

    layout: Literal["classes", "table", "raven"]
    rows: list[Row]
    empty: list[Path]
    notes: list[str]


def read(path: Path, *, label_column: str = "") -> Found:
    """Return the rows of any layout, and what was left out.

    Args:
        path: A folder of class folders, a CSV file, a Raven selection table, or a
            folder in which such tables lie.
        label_column: Name of a table's column of labels; "" for one of those known.

    Raises:
        InputError: The path is none of these, or what is there does not fit.
    """
    if not path.exists():
        raise InputError(f"There is no {path}. {LAYOUTS}")
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix in (".csv", ".tsv"):
            rows = selections.read_csv(path, label_column=label_column)
            return Found("table", rows, [], [])
        if suffix == ".txt":
            rows, empty = raven.read(
                [path], folder=path.parent, label_column=label_column
            )
            return Found("raven", rows, list(filter(os.path.isfile, empty)), [])
        raise InputError(f"{path} is not a table. {LAYOUTS}")
    files = list(_files(path))
    texts = [file for file in files if file.suffix.lower() == ".txt"]
    tables = [file for file in texts if raven.is_table(file)]
    if tables:
        found = _raven(path, tables, files, label_column)
        if len(tables) < len(texts):
            found.notes.append(
                f"{len(texts) - len(tables)} other .txt files are no selection tables "
                "and were ignored."
            )
        return found
    if label_column:
        raise InputError(
            f"label_column='{label_column}' names a column of a table, but {path} has "
            "no selection table; in class folders the folders are the labels. Leave "
            "it out, or give a table by its path."
        )
    rows, notes = _class_rows(path)
    return Found("classes", rows, [], notes)


def _raven(
    folder: Path, tables: Sequence[Path], files: Sequence[Path], label_column: str
) -> Found:
    """Read tables, and name what they leave out of the folder."""
    rows, empty = raven.read(tables, folder=folder, label_column=label_column)
    used = {os.path.realpath(file) for file in {row.file for row in rows}}
    empty = [file for file in empty if os.path.realpath(file) not in used]
    lost = [file for file in empty if not os.path.isfile(file)]
    empty = [file for file in empty if os.path.isfile(file)]
    listened = used | {os.path.realpath(file) for file in empty}
    unlisted = [
        file.relative_to(folder).as_posix()
        for file in files
        if audio.is_audio(file) and os.path.realpath(file) not in listened
    ]
    notes = [f"The labels come from {len(tables)} Raven selection tables."]
    if lost:
        notes.append(
            f"{len(lost)} tables without a selection have no recording of their name "
            f"beside them: {listed([file.stem for file in lost])}."
        )
    if unlisted:
        notes.append(
            f"{len(unlisted)} recordings have no selection table and are not used: "
            f"{listed(unlisted)}."
        )
    return Found("raven", rows, empty, notes)


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
            yield from (
                legible(Path(home, name)) for name in sorted(names) if name[0] != "."
            )


def legible(file: Path) -> Path:
    """Return a file; raise an InputError if its name is not UTF-8."""
    try:
        os.fspath(file).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"The name of {os.fsencode(file)!r} is not UTF-8, as names in old archives "
            "may be. Rename it, for instance with convmv -f latin1 -t utf8."
        ) from None
    return file


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
            f"{hint} {LAYOUTS}"
        )
    rows, empty, num_other = [], [], 0
    for home in classes:
        files = list(_files(home))
        sounds = [file for file in files if audio.is_audio(file)]
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
    num_stray = sum(map(audio.is_audio, outside))
    num_other += len(outside) - num_stray
    notes = []
    if num_stray:
        notes.append(f"{num_stray} audio files lie in no class folder: left out.")
    if num_other:
        notes.append(f"{num_other} files that are not audio were ignored.")
    return rows, notes


def listed(names: Sequence[str], most: int = 10) -> str:
    """Return names with commas between them, and the number of those beyond a few."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
