"""Raven's selection tables (tab-separated text, a line for each view of a selection).

Raven Pro and Raven Lite (K. Lisa Yang Center for Conservation Bioacoustics, Cornell
Lab of Ornithology) save where somebody marked a sound: begin and end in seconds, and in
columns that the user adds, what it is and in which file.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

from tfhier import audio
from tfhier.data.folder import columns
from tfhier.data.folder.selections import (
    Row,
    Table,
    check_files,
    check_span,
    read_table,
    split_labels,
)
from tfhier.errors import InputError

_TIMES = ("Begin Time (s)", "End Time (s)")
_OFFSET = "File Offset (s)"
# Raven saves the first table of rec.wav as rec.Table.1.selections.txt.
_ENDING = re.compile(r"(\.Table\.\d+)?\.selections$", re.IGNORECASE)


def is_table(path: Path) -> bool:
    """Return whether a file is named, or begins, like a Raven selection table.

    One that is named so and cannot be read is a table: it is named in an error then.
    """
    if _ENDING.search(path.stem):
        return True
    try:
        with open(path, "rb") as file:
            first = file.readline(1 << 16).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return False
    return _TIMES[0].lower() in [cell.strip().lower() for cell in first.split("\t")]


def read(
    tables: Iterable[Path], *, folder: Path, label_column: str = ""
) -> tuple[list[Row], list[Path]]:
    """Read Raven selection tables.

    The label is in the first of the columns Annotation, Label, Species, Class and
    further names (`columns`) that holds any text; the group in the first of Group,
    Site, Location and Recording that does. The audio file is the one of Begin File or
    Begin Path, with the start in File Offset (s) if that is there; else the file beside
    the table with the table's name up to `.Table.1.selections` or `.selections`. Raven
    lists a selection once for each view; it becomes one row.

    Args:
        tables: Paths of the tables, tab-separated text.
        folder: Path to name where audio files are missing.
        label_column: str. Name of the column of labels, in any case; "" for one of the
            names known.

    Returns:
        (rows, empty): a row for every selection, and the audio files of tables without
        one, whether they are there or not.

    Raises:
        InputError: A table has no times or labels, a line does not fit, or audio files
            are missing.
    """
    rows, empty, lacking = [], [], []
    for path in tables:
        table = read_table(path, "\t")
        _check_times(table)
        labels = (
            columns.named(table.header, label_column)
            if label_column
            else columns.in_order(table.header, columns.LABELS + columns.RARE_LABELS)
        )
        if not table.lines:
            # Who saves an empty table may not have added columns yet.
            empty.append(_find_audio(path, "", ""))
        elif not labels:
            lacking.append(table)
        else:
            rows += _rows(table, _first_filled(table, labels))
    if lacking:
        raise _without_labels(lacking, label_column)
    check_files(rows, source=folder, folder=folder)
    return rows, list(dict.fromkeys(empty))


def _rows(table: Table, label: int) -> list[Row]:
    # The first of several columns of one name counts.
    names = {name.lower(): at for at, name in reversed([*enumerate(table.header)])}
    in_groups = columns.in_order(table.header, columns.GROUPS)
    group = _first_filled(table, in_groups) if in_groups else None
    files: dict[tuple[str, str], Path] = {}
    rows = {}
    for number, cells in table.lines:
        where = f"{table.path}, line {number}"
        cell = {name: cells[at] for name, at in names.items()}
        start, end = (table.seconds(cell[name.lower()], where) for name in _TIMES)
        span = check_span(start, end, where)
        if text := cell.get(_OFFSET.lower()):
            offset = table.seconds(text, where)
            span = check_span(offset, offset + end - start, where)
        named = cell.get("begin file", ""), cell.get("begin path", "")
        if named not in files:
            files[named] = _find_audio(table.path, *named)
        row = Row(
            where=where,
            file=files[named],
            labels=split_labels(cells[label]),
            span=span,
            group="" if group is None else cells[group],
        )
        # The views of a selection have its number and times.
        rows.setdefault((cell.get("selection", number), row.file, span), row)
    return list(rows.values())


def _first_filled(table: Table, candidates: Sequence[int]) -> int:
    """Return the first column that holds any text, else the first."""
    filled = (at for at in candidates if any(cells[at] for _, cells in table.lines))
    return next(filled, candidates[0])


def _check_times(table: Table) -> None:
    """Raise an InputError unless the table says where in which file."""
    names = [name.lower() for name in table.header]
    absent = [name for name in _TIMES if name.lower() not in names]
    if absent:
        raise InputError(
            f"{table.path} has no column '{absent[0]}'. It has: "
            f"{', '.join(table.header)}. Add it in Raven and save the table again."
        )
    if "begin file" in names and _OFFSET.lower() not in names:
        at = names.index("begin file")
        files = {cells[at] for _, cells in table.lines}
        if len(files) > 1:
            raise InputError(
                f"{table.path} has selections in {len(files)} files, but no column "
                f"'{_OFFSET}' to tell where in them. Add it in Raven and save "
                "the table again."
            )


def _without_labels(tables: Sequence[Table], label_column: str) -> InputError:
    first = tables[0]
    what = f"'{label_column}'" if label_column else "of labels"
    known = "" if label_column else f" (known are {columns.KNOWN_LABELS})"
    others = f" (and {len(tables) - 1} more tables)" if len(tables) > 1 else ""
    return InputError(
        f"{first.path}{others} has no column {what}{known}. It has: "
        f"{', '.join(first.header)}. Name the one that holds the labels with --set "
        "label_column=NAME, or add it in Raven and save again."
    )


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
        if file.stem == stem and audio.is_audio(file)
    ]
    if len(beside) > 1:
        raise InputError(
            f"{table} may belong to {' or '.join(file.name for file in beside)}. Leave "
            "one in the folder, or save the table with the column 'Begin File'."
        )
    return beside[0] if beside else table.parent / f"{stem}.*"
