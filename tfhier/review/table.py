"""The table under review: its events by number, and what else its lines hold.

Conventions: an event is known by its recording, start, end, level and label (`key`), so
that verdicts stay with it when the table is written anew; its number is its place in
`Table.rows`. A line that is there twice counts once.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tfhier import event_tables
from tfhier.errors import InputError
from tfhier.event_tables import csv_table
from tfhier.event_tables.rows import Row, in_order

Key = tuple[str, str, str, str, str]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of events.

    Args:
        path: Path of the CSV file.
        levels: Tuple of str. The levels of the taxonomy, finest first.
        rows: Tuple of Row, by recording, then time; an event's number is its place.
        further: dict of key -> dict of name -> text. The columns behind those of a
            table of events: somebody's notes, or verdicts.
    """

    path: Path
    levels: tuple[str, ...]
    rows: tuple[Row, ...]
    further: dict[Key, dict[str, str]]

    @property
    def digest(self) -> str:
        """Return what tells the numbers of these events from those of others."""
        keys = json.dumps([key(row) for row in self.rows])
        return hashlib.sha256(keys.encode()).hexdigest()[:16]

    def above(self) -> dict[str, set[str]]:
        """Return each label with the labels above it, as far as the table tells."""
        found: dict[str, set[str]] = {}
        for row in self.rows:
            labels = [label for label in row.labels.values() if label]
            for place, label in enumerate(labels):
                found.setdefault(label, set()).update(labels[place + 1 :])
            found.setdefault(row.label, set())
        return found


def key(row: Row) -> Key:
    """Return what an event is known by."""
    return (row.file, f"{row.start:.3f}", f"{row.end:.3f}", row.level, row.label)


def read(path: Path) -> Table:
    """Read a table of events; one without events has no levels.

    Raises:
        InputError: There is no such file, or it is no CSV table of `tfhier detect`.
    """
    if event_tables.format_of(path) != "csv":
        raise InputError(
            f"{path} cannot be reviewed: the page reads the CSV table of events that "
            "tfhier detect MODEL recordings/ -o events.csv writes."
        )
    try:
        lines = csv_table.read_rows(path)
    except FileNotFoundError:
        raise InputError(
            f"There is no table of events {path}. tfhier detect MODEL recordings/ "
            f"-o {path} writes it."
        ) from None
    levels = tuple(lines[0][0].labels) if lines else ()
    rows = {key(row): row for row in in_order(row for row, _ in lines)}
    return Table(
        path=path,
        levels=levels,
        rows=tuple(rows.values()),
        further={key(row): further for row, further in lines},
    )
