"""Kaleidoscope: the layout of id.csv, for Wildlife Acoustics' Kaleidoscope Viewer.

The columns up to MANUAL ID are those that Kaleidoscope Pro 5 writes, in its order;
SCORE, LEVEL and REMARK follow. A line is an event: INDIR is the deepest folder that all
recordings lie in, FOLDER the way from there to the file, CHANNEL 0, OFFSET the start
and DURATION the length in seconds. DATE, TIME and HOUR are when the event began, by the
recorder's clock and where the file's name tells; those with -12 are twelve hours
earlier, so that a night has one date. FILES is 1, to be summed. MANUAL ID is left to
people. What Kaleidoscope measures of the pulses of bats (PULSES to Qual; its MATCH
RATIO is no score) and the files that it cuts out are empty.

Spreadsheets open such tables, so text that looks like a formula is guarded (`cells`).
"""

from datetime import datetime, timedelta
from pathlib import Path

from tfhier.event_tables.cells import csv_line, quotable
from tfhier.event_tables.content import Content, absolute_time, began, span
from tfhier.files import write_text

COLUMNS = (
    "INDIR", "OUTDIR", "FOLDER", "IN FILE", "CHANNEL", "OFFSET", "DURATION",
    "OUT FILE FS", "OUT FILE ZC", "DATE", "TIME", "HOUR", "DATE-12", "TIME-12",
    "HOUR-12", "AUTO ID*", "PULSES", "MATCHING", "MATCH RATIO", "MARGIN", "ALTERNATE 1",
    "ALTERNATE 2", "N", "Fc", "Sc", "Dur", "Fmax", "Fmin", "Fmean", "TBC", "Fk", "Tk",
    "S1", "Tc", "Qual", "FILES", "MANUAL ID", "SCORE", "LEVEL", "REMARK",
)  # fmt: skip


def write(path: Path, content: Content) -> None:
    """Write a table; without events it has its header."""
    folder, places = content.places()
    lines = [csv_line(COLUMNS)]
    for heard, place in zip(content.heard, places, strict=True):
        _, date_time = began(str(heard.file))
        for event in heard.events:
            start, end = span(event)
            below = "" if place.parent == Path() else str(place.parent)
            cells = {
                "INDIR": quotable(str(folder)),
                "FOLDER": quotable(below),
                "IN FILE": quotable(place.name),
                "CHANNEL": "0",
                "OFFSET": f"{start:.3f}",
                "DURATION": f"{end - start:.3f}",
                **_times(absolute_time(date_time, start)),
                "AUTO ID*": quotable(event.label),
                "FILES": "1",
                "SCORE": f"{event.score:.6f}",
                "LEVEL": quotable(event.level),
                "REMARK": quotable(event.remark),
            }
            lines.append(csv_line([cells.get(name, "") for name in COLUMNS]))
    write_text(path, "".join(lines))


def _times(event_time: datetime | None) -> dict[str, str]:
    """Return the cells of a date and time; none where it is not known."""
    if event_time is None:
        return {}
    cells = {}
    for ending, at in (("", event_time), ("-12", event_time - timedelta(hours=12))):
        cells[f"DATE{ending}"] = f"{at:%Y-%m-%d}"
        cells[f"TIME{ending}"] = f"{at:%H:%M:%S}"
        cells[f"HOUR{ending}"] = str(at.hour)
    return cells
