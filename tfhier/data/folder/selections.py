"""Tables of what is heard where, read as rows; CSV tables of one's own.

Conventions: a row is one line of a table, whichever program wrote it: an audio file, a
span of it in seconds (or none: the whole file) and what is heard there. Names of labels
are taken as they are, spaces around them cut. What a line says is checked here; whether
lines agree with each other and with their audio is checked in `segments`.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tfhier.data import csv_rows
from tfhier.data.folder import columns
from tfhier.errors import InputError

_PARTS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What one line of a table says.

    Args:
        where: str. The place to name in messages: "calls.csv, line 3".
        file: Path of the audio file.
        labels: Sorted tuple of str; empty for a sound of none of the labels.
        span: (start, end) in seconds, 0 <= start < end; None for the whole file.
        part: "train", "validation" or "test"; "" where the table does not say.
        group: str. What the sound was recorded in or cut from; "" for its file.
        condition: str. What figures are also broken down by; "" for none.
        is_whole: bool. Whether the span is the whole file's because the table gives no
            times.
    """

    where: str
    file: Path
    labels: tuple[str, ...]
    span: tuple[float, float] | None = None
    part: str = ""
    group: str = ""
    condition: str = ""
    is_whole: bool = False


def read_csv(path: Path, *, label_column: str = "") -> list[Row]:
    """Read a table of file, label and more, separated by commas, semicolons or tabs.

    Columns are known by name, in any case and order: `file` and `label`; if wanted
    `start` and `end` (seconds; both cells of a line or none), `part` (train, validation
    or test), `group` (what must stay together) and `condition`; common other names of
    these are known too. Several labels of a cell are joined by `|`; an empty cell means
    none of the labels. Times may have a decimal comma where commas do not separate
    columns. Relative paths start from the table's folder.

    Args:
        path: Path of the table.
        label_column: str. Name of the column of labels, in any case; "" for one of the
            names known.

    Raises:
        InputError: The file is no such table, a line does not fit, or audio files are
            missing.
    """
    table = read_table(path)
    found = columns.find(path, table.header, label_column)
    rows = []
    for number, cells in table.lines:
        cell = {what: cells[at] for what, at in found.items()}
        rows.append(_csv_row(table, cell, f"{path}, line {number}"))
    check_files(rows, source=path, folder=path.parent)
    return rows


class Table(NamedTuple):
    """A table as text.

    Args:
        path: Path of its file.
        header: List of str. The names of the columns.
        lines: List of (line number in the file, list of cells), a cell for each column.
        delimiter: str. What separates cells.
    """

    path: Path
    header: list[str]
    lines: list[tuple[int, list[str]]]
    delimiter: str

    def seconds(self, cell: str, where: str) -> float:
        """Read a time; a decimal comma is one where commas do not separate cells."""
        try:
            return float(cell if self.delimiter == "," else cell.replace(",", "."))
        except ValueError:
            raise InputError(f"{where}: '{cell}' is not a time in seconds.") from None


def read_table(path: Path, delimiter: str | None = None) -> Table:
    """Read a table of text in UTF-8 with a line of column names.

    Args:
        path: Path of the file.
        delimiter: str. What separates cells; quotes then mean nothing. By default what
            is most frequent in the first line of comma, semicolon and tab.

    Raises:
        InputError: The file is no table, a quote is not closed, or a line has more
            cells than columns.
    """
    has_quotes = delimiter is None
    if delimiter is None:
        with open(path, "rb") as file:
            first = file.readline(1 << 16).decode("utf-8", "replace")
        delimiter = max(",;\t", key=first.count)
    lines = csv_rows.read_csv(path, delimiter=delimiter, has_quotes=has_quotes)
    if not lines:
        raise InputError(f"{path} is empty. A table begins with names of columns.")
    (_, header), *lines = lines
    for number, cells in lines:
        if any(cells[len(header) :]):
            raise InputError(
                f"{path}, line {number} has {len(cells)} cells, but there are "
                f"{len(header)} columns. Put quotes around text that holds a separator."
            )
        cells.extend([""] * (len(header) - len(cells)))
    return Table(path, header, lines, delimiter)


def _csv_row(table: Table, cell: dict[str, str], where: str) -> Row:
    if not cell["file"]:
        raise InputError(f"{where} names no file.")
    span = None
    if cell.get("start") or cell.get("end"):
        if not (cell["start"] and cell["end"]):
            raise InputError(
                f"{where} has only one of start and end. Give both, or none for the "
                "whole file."
            )
        start, end = (table.seconds(cell[what], where) for what in ("start", "end"))
        span = check_span(start, end, where)
    part = cell.get("part", "")
    if part and part.lower() not in _PARTS:
        raise InputError(
            f"{where}: the part is train, validation or test. Received: '{part}'"
        )
    return Row(
        where=where,
        file=_resolve(table.path.parent, cell["file"]),
        labels=split_labels(cell["label"]),
        span=span,
        part=_PARTS.get(part.lower(), ""),
        group=cell.get("group", ""),
        condition=cell.get("condition", ""),
    )


def split_labels(cell: str) -> tuple[str, ...]:
    """Return the labels of a cell, in alphabetical order, each once."""
    return tuple(sorted({label.strip() for label in cell.split("|")} - {""}))


def check_span(start: float, end: float, where: str) -> tuple[float, float]:
    """Return (start, end); raise an InputError unless 0 <= start < end < infinity."""
    if not (start >= 0 and math.isfinite(end)):
        raise InputError(
            f"{where}: times are seconds from the start of the file, 0 or more. "
            f"Received: {start:g} to {end:g}"
        )
    if not end > start:
        raise InputError(
            f"{where}: the end must be after the start. Received: {start:g} to {end:g}"
        )
    return start, end


def _resolve(folder: Path, name: str) -> Path:
    """Return the path of a cell, also where Windows wrote it."""
    path = Path(os.path.normpath(folder / name))
    if "\\" in name and not os.path.isfile(path):
        return Path(os.path.normpath(folder / name.replace("\\", "/")))
    return path


def check_files(rows: Sequence[Row], *, source: Path, folder: Path) -> None:
    """Raise an InputError if audio files of rows are not there.

    Args:
        rows: Rows.
        source: Path of what names the files.
        folder: Path of where they were looked for.
    """
    first: dict[Path, Row] = {}
    for row in rows:
        first.setdefault(row.file, row)
    missing = [row for row in first.values() if not os.path.isfile(row.file)]
    if missing:
        row = missing[0]
        raise InputError(
            f"{source} names {len(missing)} audio file(s) of {len(first)} that are not "
            f"there. The first: {row.file} ({row.where}). Relative paths are looked "
            f"for in {folder}. Put the files there, or correct the paths."
        )
