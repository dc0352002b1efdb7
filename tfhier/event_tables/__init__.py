"""Tables of detected events: one module a format.

    event_tables.write("events.csv", heard, tagger.contract)
    event_tables.write("night.selections.txt", heard, tagger.contract)
    heard = event_tables.read("events.csv")

Conventions: times are seconds from the start of a recording, to the millisecond; each
file is written whole or not at all; names and labels survive whatever they hold, as
`cells` says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfhier.errors import InputError, close_names
from tfhier.event_tables import (
    audacity,
    csv_table,
    dcase,
    json_lines,
    kaleidoscope,
    parquet,
    raven,
)
from tfhier.event_tables.content import Content, check_file
from tfhier.events import Heard

if TYPE_CHECKING:  # it needs NumPy
    from tfhier.contract import Contract


@dataclass(frozen=True)
class Format:
    """How events are written.

    Args:
        suffix: str. How its files end.
        sentence: str. What it is for.
        write: Function (path, content) that writes it.
        by_suffix: bool. Whether the suffix alone chooses it.
        check: Function (path, num_recordings) that raises an InputError for a table
            that could not be written.
    """

    suffix: str
    sentence: str
    write: Callable[[Path, Content], None]
    by_suffix: bool = True
    check: Callable[[Path, int], None] = check_file


FORMATS = {
    "csv": Format(
        ".csv",
        "A line an event, for spreadsheets and R; the review page reads it.",
        csv_table.write,
    ),
    "jsonl": Format(
        ".jsonl",
        "A JSON object an event and line, for programs.",
        json_lines.write,
    ),
    "parquet": Format(
        ".parquet",
        "The columns of the CSV table with their types, for data frames.",
        parquet.write,
        check=parquet.check,
    ),
    "raven": Format(
        ".selections.txt",
        "A selection table of all files, for Raven Pro and Raven Lite.",
        raven.write,
    ),
    "audacity": Format(
        ".txt",
        "Labels of one recording, or a folder with a file for each, for Audacity.",
        audacity.write,
        by_suffix=False,
        check=audacity.check,
    ),
    "kaleidoscope": Format(
        ".csv",
        "The layout of id.csv, for Wildlife Acoustics' Kaleidoscope.",
        kaleidoscope.write,
        by_suffix=False,
    ),
    "dcase": Format(
        ".tsv",
        "File, onset, offset and label, for sed_eval and DCASE's task 4.",
        dcase.write,
    ),
}


def format_of(path: str | Path, name: str = "") -> str:
    """Return the name of the format that a table is to have.

    Args:
        path: str or Path of the table. It counts only where `name` is "".
        name: str. One of `FORMATS`, or "" for what the path ends in.

    Raises:
        InputError: There is no such format, or the path does not tell which.
    """
    if name:
        if name not in FORMATS:
            raise InputError(
                f"There is no format '{name}' for tables of events."
                f"{close_names(name, FORMATS)}"
            )
        return name
    for own, each in FORMATS.items():
        if each.by_suffix and Path(path).name.lower().endswith(each.suffix):
            return own
    endings = ", ".join(
        f"{each.suffix} ({own})" for own, each in FORMATS.items() if each.by_suffix
    )
    raise InputError(
        f"{path} does not tell by its ending which table of events to write. End it in "
        f"{endings}, or name a format: {', '.join(FORMATS)}."
    )


def check(path: str | Path, num_recordings: int, *, format: str = "") -> None:
    """Tell before hours of work what `write` would tell after them.

    Args:
        path: str or Path. As of `write`.
        num_recordings: int >= 0. That the table is to be of.
        format: str. As of `write`.

    Raises:
        InputError: The path is a folder where the format has files, or several
            recordings are for a file of one; or a package is not installed.
    """
    FORMATS[format_of(path, format)].check(Path(path), num_recordings)


def write(
    path: str | Path,
    heard: Sequence[Heard],
    promised: "Contract",
    *,
    format: str = "",
) -> None:
    """Write a table of events, whole or not at all.

    Args:
        path: str or Path. The file; for Audacity it can be a folder, see `audacity`.
        heard: Sequence of Heard, one a recording, in the order of the table. Those
            without events count in Raven's times.
        promised: Contract of the model that heard it.
        format: str. One of `FORMATS`, or "" for what the path ends in.

    Raises:
        InputError: The format is not known or needs a package that is not installed, an
            event is of none of the model's levels, or the model hears no sound.
    """
    content = Content(
        heard=tuple(heard),
        levels=promised.taxonomy.levels,
        frequencies=promised.frequencies,
    )
    FORMATS[format_of(path, format)].write(Path(path), content)


def read(path: str | Path) -> list[Heard]:
    """Read a CSV table of `write`.

    Times come back to the millisecond, scores with six decimals, and what is derived of
    names of files is derived again.

    Args:
        path: str or Path of a file that ends in `.csv`.

    Returns:
        List of Heard, one for each recording that has events, in the order of the
        table.

    Raises:
        InputError: There is no such file, it is another table, or a line does not fit.
    """
    name = format_of(path)
    if name != "csv":
        raise InputError(
            f"{path} is a table of the format {name}, which is not read back. Give one "
            "of the format csv."
        )
    try:
        return csv_table.read(Path(path))
    except FileNotFoundError:
        raise InputError(f"There is no table of events {path}.") from None
