"""Raven's selection tables (tab-separated text, a line for each view of a selection).

Raven Pro and Raven Lite (K. Lisa Yang Center for Conservation Bioacoustics, Cornell
Lab of Ornithology) save where somebody marked a sound: begin and end in seconds, and in
columns that the user adds, what it is and in which file.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from tfhier.data.folder.selections import (
    Row,
    Table,
    check_files,
    check_span,
    is_audio,
    read_table,
    split_labels,
)
from tfhier.errors import InputError

_TIMES = ("Begin Time (s)", "End Time (s)")
_OFFSET = "File Offset (s)"
_LABELS = ("Annotation", "Label", "Species", "Class")
# Raven saves the first table of rec.wav as rec.Table.1.selections.txt.
_ENDING = re.compile(r"(\.Table\.\d+)?\.selections$", re.IGNORECASE)


def is_table(path: Path) -> bool:
    """Return whether a file begins like a Raven selection table."""
    try:
        with open(path, "rb") as file:
            first = file.readline(1 << 16).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return False
    return _TIMES[0].lower() in [cell.strip().lower() for cell in first.split("\t")]


def read(tables: Iterable[Path], *, folder: Path) -> list[Row]:
    """Read Raven selection tables.

    The label is in the first of the columns Annotation, Label, Species and Class that
    holds any text. The audio file is the one of Begin File or Begin Path, with the
    start in File Offset (s) if that is there; else the file beside the table with the
    table's name up to `.Table.1.selections` or `.selections`. Raven lists a selection
    once for each view; it becomes one row.

    Args:
        tables: Paths of the tables, tab-separated text.
        folder: Path to name where audio files are missing.

    Raises:
        InputError: A table has no times or labels, a line does not fit, or audio files
            are missing.
    """
    rows = [row for table in tables for row in _rows(table)]
    check_files(rows, source=folder, folder=folder)
    return rows


def _rows(path: Path) -> list[Row]:
    table = read_table(path, "\t")
    # The first of several columns of one name counts.
    columns = {name.lower(): at for at, name in reversed([*enumerate(table.header)])}
    column = _find_labels(path, table, columns)
    files: dict[tuple[str, str], Path] = {}
    rows = {}
    for number, cells in table.lines:
        where = f"{path}, line {number}"
        cell = {name: cells[at] for name, at in columns.items()}
        start, end = (table.seconds(cell[name.lower()], where) for name in _TIMES)
        span = check_span(start, end, where)
        if text := cell.get(_OFFSET.lower()):
            offset = table.seconds(text, where)
            span = check_span(offset, offset + end - start, where)
        named = cell.get("begin file", ""), cell.get("begin path", "")
        if named not in files:
            files[named] = _find_audio(path, *named)
        row = Row(where, files[named], split_labels(cells[column]), span)
        # The views of a selection have its number and times.
        rows.setdefault((cell.get("selection", number), row.file, span), row)
    return list(rows.values())


def _find_labels(path: Path, table: Table, columns: dict[str, int]) -> int:
    """Return the column of labels, where all columns are there that are needed."""
    absent = [name for name in _TIMES if name.lower() not in columns]
    labels = [columns[n.lower()] for n in _LABELS if n.lower() in columns]
    if absent or not labels:
        what = f"'{absent[0]}'" if absent else f"of labels: {', '.join(_LABELS)}"
        raise InputError(
            f"{path} has no column {what}. It has: {', '.join(table.header)}. Add it "
            "in Raven and save the table again."
        )
    if "begin file" in columns and _OFFSET.lower() not in columns:
        files = {cells[columns["begin file"]] for _, cells in table.lines}
        if len(files) > 1:
            raise InputError(
                f"{path} has selections in {len(files)} files, but no column "
                f"'{_OFFSET}' to tell where in them. Add it in Raven and save "
                "the table again."
            )
    filled = (at for at in labels if any(cells[at] for _, cells in table.lines))
    return next(filled, labels[0])


def _find_audio(table: Path, begin_file: str, begin_path: str) -> Path:
    """Return the audio file of a selection, whether it is there or not."""
    named = [table.parent / begin_file] if begin_file else []
    if begin_path:
        # Tables made on another machine name folders of that machine.
        beside = table.parent / PureWindowsPath(begin_path).name
        named += [Path(begin_path), beside]
    if named:
        return next((file for file in named if os.path.isfile(file)), named[0])
    stem = _ENDING.sub("", table.stem)
    beside = [
        file
        for file in sorted(table.parent.iterdir())
        if file.stem == stem and is_audio(file)
    ]
    if len(beside) > 1:
        raise InputError(
            f"{table} may belong to {' or '.join(file.name for file in beside)}. Leave "
            "one in the folder, or save the table with the column 'Begin File'."
        )
    return beside[0] if beside else table.parent / f"{stem}.*"
