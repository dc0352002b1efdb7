"""Effort: what was heard and what could not be, a line a recording.

`heard.csv` has the recordings that were heard, also those without events. It tells
hours without a call from hours that nobody listened to, and has what events an hour are
computed of. Columns: file; site and date_time (ISO 8601, by the recorder's clock) where
the file's name tells them; duration in seconds; sample_rate in Hz; events, their
number. `failed.csv` has the others: file and reason.

Both lie beside the table of events, whose text they have (`csv_table`: UTF-8), so that
they can be joined by file; without recordings they have their header.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tfhier.event_tables.cells import csv_line, quotable
from tfhier.event_tables.content import began, iso
from tfhier.events import Heard
from tfhier.files import write_text

HEARD, FAILED = "heard.csv", "failed.csv"
COLUMNS = ("file", "site", "date_time", "duration", "sample_rate", "events")


def write(path: Path, heard: Sequence[Heard]) -> None:
    """Write the recordings that were heard, whole or not at all."""
    write_text(path, "".join(map(csv_line, [COLUMNS, *map(_cells, heard)])))


def write_failed(path: Path, failed: Mapping[Path, str]) -> None:
    """Write the recordings that could not be heard, and why."""
    rows = [("file", "reason"), *((str(file), why) for file, why in failed.items())]
    write_text(path, "".join(csv_line([*map(quotable, row)]) for row in rows))


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
