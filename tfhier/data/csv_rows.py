"""CSV files read strictly: a stray quote is an error, not a table with fewer rows."""

import csv
from pathlib import Path

from tfhier.errors import InputError


def read_csv(
    path: Path, *, delimiter: str = ",", has_quotes: bool = True
) -> list[tuple[int, list[str]]]:
    """Read the lines of a table that are not empty.

    Args:
        path: Path of a file in UTF-8, with or without a byte-order mark.
        delimiter: str. What separates cells.
        has_quotes: bool. Whether quotes mark text that holds a delimiter.

    Returns:
        List of (number of the line, its cells without spaces around them).

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is not text in UTF-8, or a quote is opened and not closed.
    """
    quoting = csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE
    rows, number = [], 1
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(
                file, delimiter=delimiter, quoting=quoting, strict=has_quotes
            )
            for cells in reader:
                if any("\n" in cell or "\r" in cell for cell in cells):
                    raise InputError(
                        f"{path}, line {number}: a quote is opened and not closed in "
                        "this line. Remove it, or close it."
                    )
                cells = [cell.strip() for cell in cells]
                if any(cells):
                    rows.append((reader.line_num, cells))
                number = reader.line_num + 1
    except UnicodeDecodeError:
        raise InputError(
            f"{path} is not UTF-8 text. Save it again as CSV or text in UTF-8."
        ) from None
    except csv.Error as error:
        raise InputError(
            f"{path}, line {number} is not a line of a CSV table ({error}). Look for a "
            "quote that does not belong there."
        ) from None
    return rows
