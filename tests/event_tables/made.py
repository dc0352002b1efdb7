"""What the tests of tables write: a night in a forest, and names that hurt."""

from pathlib import Path
from types import SimpleNamespace

from tfhier.events import Event, Heard

LEVELS = ("species", "family")
FREQUENCIES = (100.0, 14_000.0)


def promised(levels=LEVELS, frequencies=FREQUENCIES) -> SimpleNamespace:
    """What a table needs of a contract."""
    return SimpleNamespace(
        taxonomy=SimpleNamespace(levels=tuple(levels)), frequencies=frequencies
    )


def sure(start, end, label="lar", family="gibbon", score=0.9) -> Event:
    """An event of the finest level."""
    return Event(
        start=start,
        end=end,
        level="species",
        label=label,
        score=score,
        labels={"species": label, "family": family},
    )


def unsure(start, end, family="gibbon", score=0.93) -> Event:
    """An event whose species is open."""
    return Event(
        start=start,
        end=end,
        level="family",
        label=family,
        score=score,
        labels={"species": "", "family": family},
    )


def heard(file, *events, seconds=60.0, sample_rate=48_000) -> Heard:
    """What was heard in a recording."""
    return Heard(
        file=Path(file), seconds=seconds, sample_rate=sample_rate, events=events
    )


# Three recordings, one silent; times are chosen so that sums are seen at once.
NIGHT = (
    heard("n/KHAO_20230102_030405.wav", sure(1.5, 2.25), unsure(10, 12.0625)),
    heard("n/KHAO_20230102_040405.wav", seconds=100.25),
    heard("n/b.wav", unsure(0.5, 3.5, score=0.5), seconds=30.5, sample_rate=16_000),
)

# Of files and of labels.
HOSTILE = (
    "plain",
    "a, b; c",
    'said "x"',
    '"',
    "''",
    "it's",
    "'i'iwi",
    "line\nend",
    "line\r\nend",
    "\rreturn",
    "trailing\r",
    "tab\tstop",
    "\x0b\x0c\x1c\x85\u2028\u2029",
    "\x07\x7f",
    " spaces ",
    "größe \U0001f412\u200d\U0001f9ba 長臂猿",
    "latin\udce9\udcff",
    "\\udce9",
    "\\\\udce9",
    "\\\udce9",
    "\\\\\udce9\\udce9\udce9",
    "udce9",
    "\\",
    "\ufeffmark",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "'=1+1",
    "''=1+1",
    "' =1",
    " =1+1",
    "\t=1+1",
    "\r\n@x",
    "＝1+1",
    "NA",
    "null",
    "1e5",
    "|",
)
