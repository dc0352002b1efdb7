"""Rows: what CSV, JSON Lines and Parquet say of an event, and back.

Conventions: a row is an event. Times are seconds from the start of the file, to the
millisecond; scores have six decimals. A recording without events is in no row.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tfhier.errors import InputError
from tfhier.event_tables.content import (
    Content,
    absolute_time,
    began,
    labels_of,
    span,
)
from tfhier.events import Event, Heard

BEFORE_LEVELS = ("file", "start", "end", "level", "label", "score", "remark")
AFTER_LEVELS = ("site", "date_time", "event_time", "duration", "sample_rate")


@dataclass(frozen=True, kw_only=True)
class Row:
    """An event and its recording.

    Args:
        file: str. Path of the recording, as it was found.
        start, end: float. Seconds, 0 <= start < end.
        level: str. Level of the label.
        label: str.
        score: float in [0, 1].
        remark: str. What is not known of it: "species uncertain".
        labels: dict of level -> label, finest first, "" where it is open.
        site: str. Of the recorder, from the file's name; "" if it does not tell.
        date_time: datetime. When the recording began, from the file's name; or None.
        event_time: datetime. When the event began; or None.
        duration: float. Of the recording, in seconds.
        sample_rate: int. Of the recording, in Hz.
    """

    file: str
    start: float
    end: float
    level: str
    label: str
    score: float
    remark: str
    labels: dict[str, str]
    site: str = ""
    date_time: datetime | None = None
    event_time: datetime | None = None
    duration: float
    sample_rate: int


def rows_of(content: Content) -> Iterator[Row]:
    """Give the row of every event, in order."""
    for heard in content.heard:
        site, date_time = began(heard)
        for event in heard.events:
            start, end = span(event)
            yield Row(
                file=str(heard.file),
                start=start,
                end=end,
                level=event.level,
                label=event.label,
                score=round(float(event.score), 6),
                remark=event.remark,
                labels=labels_of(event, content.levels),
                site=site,
                date_time=date_time,
                event_time=absolute_time(date_time, start),
                duration=round(float(heard.seconds), 3),
                sample_rate=int(heard.sample_rate),
            )


def column_names(levels: Sequence[str]) -> list[str]:
    """Return the names of all columns, those of levels in the middle.

    A level that is called as another column, `label` say, has `label (level)`.
    """
    taken = {*BEFORE_LEVELS, *AFTER_LEVELS}
    own = [f"{level} (level)" if level in taken else level for level in levels]
    return [*BEFORE_LEVELS, *own, *AFTER_LEVELS]


def levels_in(columns: Sequence[str]) -> list[str]:
    """Return the levels in the names of all columns; further ones may follow them.

    Raises:
        InputError: They are not those of a table of events.
    """
    first, count = len(BEFORE_LEVELS), len(AFTER_LEVELS)
    if tuple(columns[:first]) == BEFORE_LEVELS:
        for last in range(first + 1, len(columns)):
            if tuple(columns[last : last + count]) == AFTER_LEVELS:
                return [_level(name) for name in columns[first:last]]
    raise InputError(
        f"its columns are {', '.join(columns)}. A table of events has "
        f"{', '.join(BEFORE_LEVELS)}, a column a level, {', '.join(AFTER_LEVELS)}."
    )


def _level(column: str) -> str:
    name = column.removesuffix(" (level)")
    return name if name in {*BEFORE_LEVELS, *AFTER_LEVELS} else column


def check(row: Row) -> None:
    """Raise an InputError unless a row that was read can be an event."""
    if not 0 <= row.start < row.end < math.inf:
        raise InputError(
            "start and end are seconds, 0 <= start < end. Received: "
            f"{row.start:g}, {row.end:g}"
        )
    if not 0 <= row.score <= 1:
        raise InputError(f"a score lies in [0, 1]. Received: {row.score:g}")
    if not (row.file and row.label):
        raise InputError(f"there is no {'label' if row.file else 'file'} in it.")
    if row.level not in row.labels:
        raise InputError(
            f"the level is one of {', '.join(row.labels)}. Received: '{row.level}'"
        )
    if not (0 <= row.duration < math.inf and row.sample_rate > 0):
        raise InputError(
            "a recording has a duration in seconds and a sample rate in Hz. Received: "
            f"{row.duration:g}, {row.sample_rate}"
        )


def heard_in(rows: Iterable[Row]) -> list[Heard]:
    """Return what was heard in the files of rows, in the order of their first rows.

    Rows may be in any order; length and sample rate are those of a file's first row.
    """
    by_file: dict[str, list[Row]] = {}
    for row in rows:
        by_file.setdefault(row.file, []).append(row)
    return [
        Heard(
            file=Path(file),
            seconds=own[0].duration,
            sample_rate=own[0].sample_rate,
            events=tuple(
                sorted(map(_event, own), key=lambda e: (e.start, e.end, e.label))
            ),
        )
        for file, own in by_file.items()
    ]


def _event(row: Row) -> Event:
    return Event(
        start=row.start,
        end=row.end,
        level=row.level,
        label=row.label,
        score=row.score,
        labels=row.labels,
    )
