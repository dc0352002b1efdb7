"""Effort: a line a recording that was heard, also of those without events.

It tells hours without a call from hours that nobody listened to, and has what events an
hour are computed of. Columns: file; site and date_time (ISO 8601, by the recorder's
clock) where the file's name tells them; duration in seconds; sample_rate in Hz; events,
their number. UTF-8, text as in the table of events (`csv_table`), so that both can be
joined by file.
"""

from collections.abc import Sequence
from pathlib import Path

from tfhier.event_tables.cells import csv_line, quotable
from tfhier.event_tables.content import began, iso
from tfhier.events import Heard
from tfhier.files import write_text

COLUMNS = ("file", "site", "date_time", "duration", "sample_rate", "events")


def write(path: Path, heard: Sequence[Heard]) -> None:
    """Write the table, whole or not at all; without recordings it has its header."""
    write_text(path, "".join(map(csv_line, [COLUMNS, *map(_cells, heard)])))


def _cells(heard: Heard) -> list[str]:
    site, date_time = began(str(heard.file))
    return [
        quotable(str(heard.file)),
        quotable(site),
        iso(date_time),
        f"{heard.seconds:.3f}",
        str(heard.sample_rate),
        str(len(heard.events)),
    ]
