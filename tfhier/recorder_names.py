"""What the names of autonomous recorders' files tell: where and when.

Conventions: a date and time is the recorder's own clock, without a time zone, whether
it was set to local time or to UTC. Known are

    SITE_20230102_030405.wav             Song Meter, and what follows its example
    SITE_20230102_030405_678.wav         with milliseconds (or six digits: microseconds)
    SITE_0+1_20230102_030405.wav         Song Meter, both channels
    SITE_20230102$030405.wav             Song Meter, clock set by GPS
    20230102_030405.WAV                  AudioMoth; with a T behind it if triggered
    5B2F1C40.WAV                         AudioMoth of old: seconds since 1970, UTC
    SITE_20230102T030405+0800.wav        with the offset of the clock from UTC
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath

_STAMP = re.compile(
    r"(?:(?P<site>.*?)(?:_0\+1)?_)?"
    r"(?P<date>(?:19[7-9]|20[0-9])[0-9]{5})[_T$](?P<time>[0-9]{6})"
    r"(?:_(?P<fraction>[0-9]{3}|[0-9]{6}))?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?"
    r"T?",
    re.DOTALL,
)
_HEX = re.compile(r"([0-9A-F]{8})T?", re.IGNORECASE)
# The first AudioMoths were sold in 2017; below lie serial numbers, and dates without a
# time read as hexadecimal. Above, seconds would not fit into 31 bits.
_HEX_TIMES = range(0x58684680, 0x80000000)


@dataclass(frozen=True)
class RecorderName:
    """Where and when a recording began.

    Args:
        site: str. What stands before the date: a site, a recorder or both; "" for
            nothing.
        date_time: datetime without a time zone, as the recorder's clock had it.
    """

    site: str
    date_time: datetime


def parse(name: str | PurePath) -> RecorderName | None:
    """Return what the name of a recording tells.

    Args:
        name: str or Path. A file's name or path; only its last part is read, without
            its suffix. An offset from UTC in it is passed over.

    Returns:
        RecorderName, or None where the name is not one of the known forms or no date:
        a day without a time, a 31st of June, a year before 1970 or after 2099.
    """
    stem = PurePath(name).stem
    if found := _HEX.fullmatch(stem):
        seconds = int(found[1], 16)
        if seconds not in _HEX_TIMES:
            return None
        return RecorderName(
            "", datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
        )
    found = _STAMP.fullmatch(stem)
    if not found:
        return None
    try:
        date_time = datetime.strptime(found["date"] + found["time"], "%Y%m%d%H%M%S")
    except ValueError:
        return None
    microseconds = int((found["fraction"] or "").ljust(6, "0"))
    return RecorderName(
        found["site"] or "", date_time.replace(microsecond=microseconds)
    )
