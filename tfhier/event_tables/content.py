"""What a table of events is written of, the same for every format."""

import functools
import math
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tfhier import recorder_names
from tfhier.errors import InputError
from tfhier.events import Event, Heard


@dataclass(frozen=True, kw_only=True)
class Content:
    """What was heard, by what.

    Args:
        heard: Tuple of Heard, in the order of the table.
        levels: Tuple of str. The levels of the taxonomy, finest first.
        frequencies: (low, high) in Hz, 0 <= low < high. What the model hears.

    Raises:
        InputError: An event is of another level, or the frequencies are none.
    """

    heard: tuple[Heard, ...]
    levels: tuple[str, ...]
    frequencies: tuple[float, float]

    def __post_init__(self):
        low, high = self.frequencies
        if not 0 <= low < high < math.inf:
            raise InputError(
                "The frequencies of a table are a lower and an upper end in Hz, "
                f"0 <= low < high. Received: {low:g}, {high:g}"
            )
        levels = {event.level for each in self.heard for event in each.events}
        if unknown := sorted(levels - {*self.levels}):
            raise InputError(
                f"The levels of a table are {', '.join(self.levels)}. Received an "
                f"event of the level '{unknown[0]}'."
            )

    def places(self) -> tuple[Path, list[Path]]:
        """Return the deepest folder that all files lie in, and their paths below it.

        Returns:
            (folder, paths): an absolute path, and a relative one for each of `heard`.
        """
        files = [os.path.abspath(each.file) for each in self.heard]
        folders = {os.path.dirname(file) for file in files}
        folder = os.path.commonpath(folders) if folders else os.getcwd()
        return Path(folder), [Path(os.path.relpath(file, folder)) for file in files]


def check_file(path: Path, num_recordings: int) -> None:
    """Raise an InputError for a path that no table can have: a folder."""
    if path.is_dir():
        raise InputError(
            f"{path} is a folder. Name the table that is to be written, for instance "
            f"{path / 'events.csv'}"
        )


def span(event: Event) -> tuple[float, float]:
    """Return start and end of an event in seconds, to the millisecond.

    Every table tells these, so that all tell the same; the end stays above the start.
    """
    start, end = round(float(event.start), 3), round(float(event.end), 3)
    return start, max(end, round(start + 0.001, 3))


@functools.lru_cache(64)
def began(file: str) -> tuple[str, datetime | None]:
    """Return site and begin of a recording as far as its name tells: ("", None)."""
    name = recorder_names.parse(file)
    return (name.site, name.date_time) if name else ("", None)


def absolute_time(date_time: datetime | None, seconds: float) -> datetime | None:
    """Return the date and time so many seconds into a recording; None if unknown."""
    return date_time and date_time + timedelta(seconds=seconds)


def iso(date_time: datetime | None) -> str:
    """Return a date and time as ISO 8601 has it, to the millisecond; "" if unknown."""
    return date_time.isoformat(timespec="milliseconds") if date_time else ""
