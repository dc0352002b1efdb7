"""Verdicts of people on events, kept at once.

    events-reviewed.csv      the table, with verdict, reviewed_label and reviewed_at
    events-reviewed.journal  verdicts since that was written, a JSON object a line

A verdict is on disk in the journal before it counts as given. `merge` writes the table
anew, whole or not at all, and then empties the journal; a kill at any moment loses
nothing, since what is in both is the same. A line that a kill cut was never confirmed,
and is passed over.
"""

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping

from tfhier.errors import InputError
from tfhier.event_tables import csv_table
from tfhier.event_tables.cells import csv_line, quotable
from tfhier.event_tables.rows import Row, column_names
from tfhier.event_tables.verdict import COLUMNS, Verdict, of_columns, reviewed_path
from tfhier.files import write_text
from tfhier.review import table as tables
from tfhier.review.table import Key, Table, key

_QUIET_SECONDS = 2.0  # without a verdict, before the table is written anew


class Verdicts:
    """All verdicts on a table, those of earlier sessions too.

    Args:
        table: Table.

    Attributes:
        path: Path of the reviewed table.
        journal: Path.
        given: dict of key -> Verdict, of events of the table.
        num_elsewhere: int. Verdicts on events that the table does not hold (any more).
            They stay where they are.

    Raises:
        InputError: The reviewed table is of other levels, or holds another verdict.
    """

    def __init__(self, table: Table):
        self.path = reviewed_path(table.path)
        self.journal = self.path.with_suffix(".journal")
        self.given: dict[Key, Verdict] = {}
        self._table = table
        self._lock = threading.Lock()
        self._changed_at: float | None = None
        self._further = dict(table.further)
        self._others: list[tuple[Row, Verdict]] = []
        self._stranded: list[str] = []  # lines of the journal
        self._known = {key(row) for row in table.rows}
        if self.path.is_file():
            self._take_over(tables.read(self.path))
        if self.journal.is_file():
            self._replay()
        self._columns = _names(self._further.values())

    @property
    def num_elsewhere(self) -> int:
        return len(self._others) + len(self._stranded)

    def give(self, given: Mapping[Key, Verdict]) -> None:
        """Keep verdicts; they are on disk when this returns.

        Raises:
            OSError: They cannot be written, and are not given.
        """
        lines = "".join(f"\n{_as_line(*each)}\n" for each in given.items())
        with self._lock:
            # An end of a line before it, too: what a full disk cut ends there.
            with open(self.journal, "ab", buffering=0) as file:
                content = lines.encode("ascii")
                if file.write(content) < len(content):
                    raise OSError("The disk is full.")
                os.fsync(file.fileno())
            self._apply(given)
            self._changed_at = time.monotonic()

    def merge(self, *, only_when_quiet: bool = False) -> None:
        """Write the reviewed table, if there are verdicts that it lacks.

        Args:
            only_when_quiet: bool. Whether to wait until nobody gave one for 2 seconds.
        """
        with self._lock:
            if self._changed_at is None:
                return
            since = time.monotonic() - self._changed_at
            if only_when_quiet and since < _QUIET_SECONDS:
                return
            write_text(self.path, self._text())
            if self._stranded:
                write_text(self.journal, "".join(self._stranded))
            else:
                self.journal.unlink(missing_ok=True)
            self._changed_at = None

    def header(self) -> str:
        """Return the first line of the reviewed table."""
        names = [*column_names(self._table.levels), *self._columns, *COLUMNS]
        return csv_line([quotable(name) for name in names])

    def line_start(self, row: Row) -> str:
        """Return the line of an event up to its verdict, without a comma behind it."""
        further = self._further.get(key(row), {})
        notes = [quotable(further.get(name, "")) for name in self._columns]
        return csv_line([*csv_table.cells_of(row), *notes]).removesuffix("\n")

    def other_lines(self) -> str:
        """Return the lines of verdicts on events that the table does not hold."""
        return "".join(
            f"{self.line_start(row)},{_line_end(verdict)}"
            for row, verdict in self._others
        )

    def _text(self) -> str:
        none = Verdict("", "", "")
        lines = [
            f"{self.line_start(row)},{_line_end(self.given.get(key(row), none))}"
            for row in self._table.rows
        ]
        return "".join([self.header(), *lines, self.other_lines()])

    def _apply(self, given: Mapping[Key, Verdict]) -> None:
        for event, verdict in given.items():
            if verdict.verdict:
                self.given[event] = verdict
            else:
                self.given.pop(event, None)

    def _take_over(self, reviewed: Table) -> None:
        """Take verdicts and notes from the table of earlier sessions."""
        if reviewed.rows and reviewed.levels != self._table.levels:
            raise InputError(
                f"{self.path} holds verdicts on events of the levels "
                f"{', '.join(reviewed.levels)}; {self._table.path} has "
                f"{', '.join(self._table.levels)}. Move it away, or give the table "
                "another name."
            )
        for row in reviewed.rows:
            further = reviewed.further[key(row)]
            verdict = of_columns(further, self.path)
            if key(row) in self._known:
                self._apply({key(row): verdict})
            elif verdict.verdict:
                self._others.append((row, verdict))
            else:
                continue
            self._further[key(row)] = {**self._further.get(key(row), {}), **further}

    def _replay(self) -> None:
        """Take the verdicts that were given since the reviewed table was written."""
        for line in self.journal.read_text("ascii", "replace").splitlines(
            keepends=True
        ):
            found = _in_line(line)
            if found is None:
                continue
            event, verdict = found
            if event in self._known:
                self._apply({event: verdict})
                self._changed_at = time.monotonic()
            else:
                self._stranded.append(line)


def _names(further: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Return the names of further columns that are no verdicts."""
    names = dict.fromkeys(name for each in further for name in each)
    return tuple(name for name in names if name not in COLUMNS)


def _line_end(verdict: Verdict) -> str:
    return csv_line([verdict.verdict, quotable(verdict.label), quotable(verdict.at)])


def _as_line(event: Key, verdict: Verdict) -> str:
    # As ASCII: names that are no UTF-8 come back as they were.
    return json.dumps({"event": event, **vars(verdict)})


def _in_line(line: str) -> tuple[Key, Verdict] | None:
    """Return what a line of the journal says; None of an empty or a cut one."""
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return None
    return tuple(found.pop("event")), Verdict(**found)
