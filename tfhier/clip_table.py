"""Test clips as a table: what each holds, what it was taken for, and how surely.

For spreadsheets, R and the ear: a row a clip, with its file and times, of the finest
level. Text, so that nothing but the table is needed to look an error up.
"""

import csv
import io
from pathlib import Path

import numpy as np

from tfhier.data.bundle import Bundle
from tfhier.files import write_text

HEADER = ("key", "file", "start", "end", "group", "condition", "truth", "decided")


def write(
    path: Path, bundle: Bundle, rows: np.ndarray, scores: np.ndarray, on: np.ndarray
) -> None:
    """Write the table of some clips.

    Args:
        path: Path of the CSV file. Its columns are `HEADER`, where `start` and `end`
            are seconds in the file and empty for whole files, `|` separates labels and
            `?` stands after one that was not observed; then a score for each label.
        bundle: Bundle of the clips.
        rows: int array (n,). The clips' rows in the bundle.
        scores: float array (n, labels) of the finest level.
        on: bool array (n, labels). What was decided.
    """
    clips, labels = bundle.clips, bundle.taxonomy.labels_of(bundle.taxonomy.fine)
    targets, observed = bundle.labellings[bundle.taxonomy.fine]
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow([*HEADER, *(f"score_{label}" for label in labels)])
    for row, own, is_on in zip(rows, scores, on, strict=True):
        truth = [
            label if known else f"{label}?"
            for label, value, known in zip(
                labels, targets[row], observed[row], strict=True
            )
            if value or not known
        ]
        span = ("", "") if clips.spans is None else clips.spans[row]
        writer.writerow(
            [
                clips.keys[row],
                "" if clips.paths is None else clips.paths[row],
                *(f"{time:.3f}" if isinstance(time, float) else time for time in span),
                "" if clips.groups is None else clips.groups[row],
                "" if clips.conditions is None else clips.conditions[row],
                "|".join(truth),
                "|".join(np.array(labels)[is_on]),
                *(f"{score:.4f}" for score in own),
            ]
        )
    write_text(path, output.getvalue())
