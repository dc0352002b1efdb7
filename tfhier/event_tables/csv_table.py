"""CSV: a line an event, for spreadsheets, R and tfhier itself.

Columns: file, start, end, level, label, score, remark; one a level, finest first, with
its label or nothing; site, date_time and event_time (ISO 8601, by the recorder's clock)
where the file's name tells them; duration and sample_rate of the recording. UTF-8,
separated by commas, quoted where needed; see `cells` for names that are no UTF-8 and
for text that looks like a formula.
"""

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

from tfhier.errors import InputError
from tfhier.event_tables.cells import csv_line, quotable, unquotable
from tfhier.event_tables.content import Content, iso
from tfhier.event_tables.rows import (
    AFTER_LEVELS,
    BEFORE_LEVELS,
    Row,
    checked,
    column_names,
    heard_in,
    levels_in,
    rows_of,
)
from tfhier.events import Heard
from tfhier.files import write_text


def write(path: Path, content: Content) -> None:
    """Write a table; without events it has its header."""
    lines = [csv_line([quotable(name) for name in column_names(content.levels)])]
    lines += [csv_line(cells_of(row)) for row in rows_of(content)]
    write_text(path, "".join(lines))


def cells_of(row: Row) -> list[str]:
    """Return the cells of an event's line."""
    return [
        quotable(row.file),
        f"{row.start:.3f}",
        f"{row.end:.3f}",
        quotable(row.level),
        quotable(row.label),
        f"{row.score:.6f}",
        quotable(row.remark),
        *(quotable(label) for label in row.labels.values()),
        quotable(row.site),
        iso(row.date_time),
        iso(row.event_time),
        f"{row.duration:.3f}",
        str(row.sample_rate),
    ]


def read(path: Path) -> list[Heard]:
    """Read a table of `write`, also after a spreadsheet saved it.

    Lines may be in any order and fewer, columns may follow the last; semicolons or tabs
    may separate them, and decimals then have a comma. What the name of a file and the
    labels tell is not read.

    Returns:
        List of Heard, of the files that have events.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is no such table, or a line does not fit.
    """
    return heard_in(row for row, _ in read_rows(path))


def read_rows(path: Path) -> list[tuple[Row, dict[str, str]]]:
    """Read a table as `read` does, with what is in the columns behind its own.

    Returns:
        List of (row, further), in the order of the lines: further is what the line
        holds in each of these columns, by name.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is no such table, or a line does not fit.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return list(_rows(path, file.read()))
    except UnicodeDecodeError:
        raise InputError(
            f"{path} is not UTF-8 text. Save it again as CSV in UTF-8."
        ) from None


def _rows(path: Path, text: str) -> Iterator[tuple[Row, dict[str, str]]]:
    header, _, _ = text.partition("\n")
    delimiter = max(",;\t", key=header.count)
    # Ends of lines stay as they are, for those within quotes.
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    levels = None
    try:
        for cells in lines:
            if levels is None:
                names = [unquotable(cell) for cell in cells]
                levels = levels_in(names)
                num_own = len(BEFORE_LEVELS) + len(levels) + len(AFTER_LEVELS)
            elif any(cells):
                row = checked(_row(cells, levels, has_comma=delimiter != ","))
                # A spreadsheet leaves out cells at the end, or adds columns unnamed.
                pairs = zip(names[num_own:], cells[num_own:], strict=False)
                yield row, {name: unquotable(cell) for name, cell in pairs if name}
    except (InputError, csv.Error) as error:
        raise InputError(
            f"{path}, line {lines.line_num}: {error} Mend or remove this line, or "
            "write the table again."
        ) from None
    if levels is None:
        raise InputError(f"{path} is empty. A table of events begins with its columns.")


def _row(cells: list[str], levels: list[str], *, has_comma: bool) -> Row:
    """Return what the cells of a line say.

    Raises:
        InputError: They are too few, or a number is none.
    """
    first, last = len(BEFORE_LEVELS), len(BEFORE_LEVELS) + len(levels)
    if len(cells) < last + len(AFTER_LEVELS):
        raise InputError(f"it has {len(cells)} of {last + len(AFTER_LEVELS)} cells.")
    file, start, end, level, label, score, _ = cells[:first]
    *_, duration, sample_rate = cells[last : last + len(AFTER_LEVELS)]
    return Row(
        file=unquotable(file),
        start=_number(start, has_comma),
        end=_number(end, has_comma),
        level=unquotable(level),
        label=unquotable(label),
        score=_number(score, has_comma),
        labels=dict(zip(levels, map(unquotable, cells[first:last]), strict=True)),
        duration=_number(duration, has_comma),
        sample_rate=int(_number(sample_rate, has_comma)),
    )


def _number(cell: str, has_comma: bool) -> float:
    try:
        number = float(cell.replace(",", ".") if has_comma else cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"'{cell}' is not a number.")
    return number
