"""Clips as a table: where each is, what it holds, what it was taken for, how surely.

For spreadsheets, R and the ear: a row a clip, with its file and times, of the finest
level. Text, so that nothing but the table is needed to look an error up; and so that
what is made of a model later, on its own, is tried on the same clips.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfhier import audio
from tfhier.data.bundle import Bundle
from tfhier.errors import InputError
from tfhier.files import write_text
from tfhier.taxonomy import Labelling, Taxonomy

HEADER = ("key", "file", "start", "end", "group", "condition", "truth", "decided")
# Enough for the ranges of activations, and to be drawn from every kind of clip.
_NUM_SOUNDS = 100


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
        writer.writerow(
            [
                *_place(bundle, row),
                "" if clips.groups is None else clips.groups[row],
                "" if clips.conditions is None else clips.conditions[row],
                _joined(truth),
                _joined(np.array(labels)[is_on]),
                *(f"{score:.4f}" for score in own),
            ]
        )
    write_text(path, output.getvalue())


def write_sounds(path: Path, bundle: Bundle, rows: np.ndarray, *, seed: int) -> None:
    """Write where some clips are, at most a hundred of them, drawn at random.

    For what has to hear typical sounds and no labels, such as quantisation.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.choice(rows, min(_NUM_SOUNDS, len(rows)), replace=False)
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(HEADER[:4])
    writer.writerows(_place(bundle, row) for row in np.sort(drawn))
    write_text(path, output.getvalue())


def _joined(labels: Sequence[str]) -> str:
    """Return labels in one cell, quoted where one has the separator in it."""
    output = io.StringIO()
    csv.writer(output, delimiter="|", lineterminator="").writerow(labels)
    return output.getvalue()


def _place(bundle: Bundle, row: int) -> list[str]:
    """Return key, file, start and end of a clip."""
    clips = bundle.clips
    span = ("", "") if clips.spans is None else [f"{t:.3f}" for t in clips.spans[row]]
    return [clips.keys[row], "" if clips.paths is None else clips.paths[row], *span]


@dataclass(frozen=True)
class Listed:
    """Clips of a table, to be heard again.

    Args:
        files: Paths of their files.
        spans: (start, end) of each in its file in seconds; None for whole files.
        truth: Text of their labels, see `write`; "" where the table has none.
    """

    files: tuple[Path, ...]
    spans: tuple[tuple[float, float] | None, ...]
    truth: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    def some(self, count: int) -> "Listed":
        """Return at most so many of the clips, evenly spread over the table."""
        places = np.unique(
            np.linspace(0, len(self) - 1, min(count, len(self)), dtype=int)
        )

        def drawn(values: Sequence) -> tuple:
            return tuple(values[place] for place in places)

        return Listed(drawn(self.files), drawn(self.spans), drawn(self.truth))

    def waveform(self, place: int, *, sample_rate: int) -> np.ndarray:
        """Return a clip (samples,) at a rate.

        Raises:
            AudioError: Its file cannot be read.
        """
        waveform, _ = audio.read(
            self.files[place], sample_rate=sample_rate, allow_silent=True
        )
        span = self.spans[place]
        if span is None:
            return waveform
        start, end = (round(time * sample_rate) for time in span)
        return waveform[start:end]

    def labelling(self, taxonomy: Taxonomy) -> Labelling:
        """Return targets and observed (clips, labels) of the finest level.

        Raises:
            InputError: A label is not in the taxonomy.
        """
        labels = {name: i for i, name in enumerate(taxonomy.labels_of(taxonomy.fine))}
        targets = np.zeros((len(self), len(labels)))
        observed = np.ones(targets.shape, bool)
        for row, text in enumerate(self.truth):
            for said in next(csv.reader([text], delimiter="|"), []):
                # A label may itself end in a question mark.
                name = said if said in labels else said.removesuffix("?")
                if name not in labels:
                    raise InputError(
                        f"The table of test clips has the label '{name}', which the "
                        "model does not know. Evaluate the run again: --test-only"
                    )
                if said == name:
                    targets[row, labels[name]] = 1
                else:
                    observed[row, labels[name]] = False
        return targets, observed


def read(path: Path) -> Listed:
    """Return the clips of a table of `write` or `write_sounds`.

    Raises:
        InputError: It has other columns, no clips, clips without files, or times that
            are no seconds.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if (
        not rows
        or not {*HEADER[:4]} <= rows[0].keys()
        or not all(r["file"] for r in rows)
    ):
        raise InputError(
            f"{path} lists no audio files of clips (columns {', '.join(HEADER[:4])})."
        )
    return Listed(
        tuple(Path(row["file"]) for row in rows),
        tuple(_span(path, row) for row in rows),
        tuple(row.get("truth") or "" for row in rows),
    )


def _span(path: Path, row: dict[str, str | None]) -> tuple[float, float] | None:
    if not row["start"]:
        return None
    try:
        start, end = float(row["start"]), float(row["end"] or "")
    except ValueError:
        start, end = 0.0, 0.0
    if not 0 <= start < end < math.inf:
        raise InputError(
            f"{path}: {row['key']} has no start and end in seconds. Received: "
            f"{row['start']}, {row['end']}"
        )
    return start, end
