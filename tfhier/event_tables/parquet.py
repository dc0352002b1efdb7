"""Parquet: the columns of the CSV table with their types, for data frames.

`date_time` and `event_time` are timestamps without a time zone, null where a file's
name does not tell; text is never null. It needs pyarrow, which is imported only here.
"""

import importlib.util
from pathlib import Path

from tfhier.errors import InputError
from tfhier.event_tables.cells import spelled
from tfhier.event_tables.content import Content, check_file
from tfhier.event_tables.rows import column_names, rows_of
from tfhier.files import replacing


def check(path: Path, num_recordings: int) -> None:
    """Raise an InputError if pyarrow is not installed, or the path is a folder."""
    check_file(path, num_recordings)
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError(
            "To write Parquet pyarrow is needed: pip install pyarrow, or write CSV."
        )


def write(path: Path, content: Content) -> None:
    """Write a table; without events it has its columns.

    Raises:
        InputError: As of `check`.
    """
    check(path, len(content.heard))
    import pyarrow
    from pyarrow import parquet

    text, number = pyarrow.string(), pyarrow.float64()
    timestamp = pyarrow.timestamp("us")
    types = [
        *(text, number, number, text, text, number, text),
        *(text for _ in content.levels),
        *(text, timestamp, timestamp, number, pyarrow.int32()),
    ]
    names = [spelled(name) for name in column_names(content.levels)]
    values = [
        [
            *(spelled(row.file), row.start, row.end, spelled(row.level)),
            *(spelled(row.label), row.score, spelled(row.remark)),
            *(spelled(label) for label in row.labels.values()),
            *(spelled(row.site), row.date_time, row.event_time),
            *(row.duration, row.sample_rate),
        ]
        for row in rows_of(content)
    ]
    # Columns of a table without rows, too.
    columns = zip(*values, strict=True) if values else [()] * len(names)
    arrays = [
        pyarrow.array(column, type=own)
        for column, own in zip(columns, types, strict=True)
    ]
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(arrays, names=names), temporary)
