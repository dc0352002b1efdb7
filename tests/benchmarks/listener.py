"""A listener who never errs: judges events as on the review page, by the truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tfhier import event_metrics
from tfhier.event_tables import csv_table
from tfhier.event_tables.cells import csv_line, quotable
from tfhier.event_tables.rows import column_names
from tfhier.event_tables.verdict import COLUMNS, reviewed_path
from tfhier.events import Event
from tfhier.files import write_text


def judge(table: Path, truths: Mapping[str, Sequence[Event]]) -> dict[str, int]:
    """Write the reviewed table of a table of events.

    An event is right if a call of its label overlaps it; else it is what does, or
    background.

    Args:
        table: Path of the table, CSV.
        truths: The calls in each recording, by the name of its file.

    Returns:
        Verdict -> how many.
    """
    lines, counts = [], {"accepted": 0, "rejected": 0}
    for row, _ in csv_table.read_rows(table):
        calls = truths[Path(row.file).name]
        heard = [c.label for c in calls if c.start < row.end and row.start < c.end]
        verdict = ("rejected", heard[0] if heard else "background")
        if event_metrics.matched([row], calls, level=row.level)[1].any():
            verdict = ("accepted", row.label)
        counts[verdict[0]] += 1
        if not lines:
            names = [*column_names(tuple(row.labels)), *COLUMNS]
            lines.append(csv_line([quotable(name) for name in names]))
        lines.append(csv_line([*csv_table.cells_of(row), *verdict, ""]))
    write_text(reviewed_path(table), "".join(lines))
    return counts
