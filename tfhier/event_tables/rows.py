"""Rows: what CSV, JSON Lines and Parquet say of an event, and back.

Conventions: a row is an event. Times are seconds from the start of the file, to the
millisecond; scores have six decimals. A recording without events is in no row.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tfhier.errors import InputError
from tfhier.event_tables.content import Content, absolute_time, began, span
from tfhier.events import Event, Heard

BEFORE_LEVELS = ("file", "start", "end", "level", "label", "score", "remark")
AFTER_LEVELS = ("site", "date_time", "event_time", "duration", "sample_rate")

_BEYOND_SECONDS = 1.0  # tables round, and a hand may draw an event to the end


@dataclass(frozen=True, kw_only=True)
class Row(Event):
    """An event and its recording.

    Args:
        file: str. Path of the recording, as it was found.
        duration: float. Of the recording, in seconds.
        sample_rate: int. Of the recording, in Hz.
    """

    file: str
    duration: float
    sample_rate: int

    @property
    def site(self) -> str:
        """Of the recorder, from the file's name; "" if it does not tell."""
        return began(self.file)[0]

    @property
    def date_time(self) -> datetime | None:
        """When the recording began, from the file's name."""
        return began(self.file)[1]

    @property
    def event_time(self) -> datetime | None:
        """When the event began."""
        return absolute_time(self.date_time, self.start)


def rows_of(content: Content) -> Iterator[Row]:
    """Give the row of every event, in order."""
    for heard in content.heard:
        for event in heard.events:
            start, end = span(event)
            yield Row(
                file=str(heard.file),
                start=start,
                end=end,
                level=event.level,
                label=event.label,
                score=round(float(event.score), 6),
                labels={level: event.label_on(level) for level in content.levels},
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


def checked(row: Row) -> Row:
    """Return a row that was read, as exact as rows are.

    Raises:
        InputError: It cannot be an event.
    """
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
    if row.end > row.duration + _BEYOND_SECONDS:
        raise InputError(
            f"the event ends at {row.end:g} s, but the recording lasts "
            f"{row.duration:g} s. Has a spreadsheet taken a decimal point for another?"
        )
    start, end = span(row)
    return dataclasses.replace(
        row,
        file=str(Path(row.file)),
        start=start,
        end=end,
        score=round(row.score, 6),
        duration=round(row.duration, 3),
    )


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return rows by recording, in the order of their first rows, then by event."""
    rows = list(rows)
    files = dict.fromkeys(row.file for row in rows)
    places = {file: place for place, file in enumerate(files)}
    return sorted(rows, key=lambda row: (places[row.file], row.order))


def heard_in(rows: Iterable[Row]) -> list[Heard]:
    """Return what was heard in the files of rows, in the order of their first rows.

    Rows may be in any order; length and sample rate are those of a file's first event.
    """
    heard = []
    for file, group in itertools.groupby(in_order(rows), lambda row: row.file):
        own = list(group)
        heard.append(
            Heard(
                file=Path(file),
                seconds=own[0].duration,
                sample_rate=own[0].sample_rate,
                events=tuple(map(_event, own)),
            )
        )
    return heard


def _event(row: Row) -> Event:
    names = (each.name for each in dataclasses.fields(Event))
    return Event(**{name: getattr(row, name) for name in names})
