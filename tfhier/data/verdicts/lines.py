"""The lines of a reviewed table, read as what they say of the labels of a model."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfhier.data.folder.layouts import listed
from tfhier.data.verdicts.said import Said, agrees, is_possible, of_verdict
from tfhier.errors import InputError
from tfhier.event_tables import csv_table, verdict
from tfhier.event_tables.rows import Row
from tfhier.event_tables.verdict import Verdict
from tfhier.taxonomy import BACKGROUND, Taxonomy

Lines = Sequence[tuple[Row, Verdict]]


@dataclass(frozen=True)
class Event:
    """An event with what people said of it."""

    row: Row
    said: Said


def judged_in(path: Path, lines: Lines, taxonomy: Taxonomy) -> Iterator[Event]:
    """Give the events that were judged; what was not said of an event is open.

    Raises:
        InputError: A label or a verdict does not fit the model.
    """
    names = {name for labels in taxonomy.labels for name in labels}
    earlier: dict[tuple, Verdict] = {}
    for row, given in lines:
        if not given.verdict:
            continue
        place = f"{path}: the event of {row.file} at {row.start:g} s"
        event = (row.file, row.start, row.end, row.level, row.label)
        before = earlier.setdefault(event, given)
        if (before.verdict, before.label) != (given.verdict, given.label):
            raise InputError(
                f"{place} is there twice, {before.verdict} and {given.verdict}. Leave "
                "one of both lines."
            )
        if before is not given:
            continue
        _check_spelling(place, given.label, names)
        is_known = row.level in taxonomy.levels and row.label in taxonomy.labels_of(
            row.level
        )
        if not is_known:
            raise InputError(
                f"{path}: {row.level} '{row.label}' is no label of the model. Give the "
                "model that found these events: --model"
            )
        said = of_verdict(row, given, taxonomy)
        if not agrees(row, given, taxonomy) or not is_possible(said, taxonomy):
            raise InputError(
                f"{place} is {given.verdict} as '{row.label}', but was heard as "
                f"'{given.label}'. Judge it again."
            )
        yield Event(row, said)


def _check_spelling(place: str, label: str, names: Collection[str]) -> None:
    """Raise an InputError for a label that differs from one of the model in case."""
    alike = [name for name in names if name.lower() == label.lower()]
    if alike and label not in names:
        raise InputError(
            f"{place} was heard as '{label}', which the model calls '{alike[0]}'. "
            "Write it so."
        )


def unknown(lines: Lines, taxonomy: Taxonomy) -> list[str]:
    """Name what was heard that is none of the model's labels."""
    names = {name for labels in taxonomy.labels for name in labels}
    heard = {given.label for _, given in lines}
    foreign = sorted(heard - names - {"", BACKGROUND})
    note = (
        f"The model has no {listed(foreign)}: what was heard so is only none of its "
        "labels. To learn a new one train on recordings."
    )
    return [note] * bool(foreign)


def read(path: Path) -> Lines:
    """Return the lines of a reviewed table.

    Raises:
        InputError: There is none, or no verdict in it, or not all that were given.
    """
    if not path.is_file():
        raise InputError(
            f"There is no {path}. tfhier review writes it beside the table of events."
        )
    journal = path.with_suffix(".journal")
    if journal.is_file() and journal.stat().st_size:
        raise InputError(
            f"{journal} holds verdicts that are not in {path.name} yet. Wait for the "
            "review page, or open it once more and stop it: tfhier review "
            f"{path}"
        )
    lines = [
        (row, verdict.of_columns(further, path))
        for row, further in csv_table.read_rows(path)
    ]
    if not any(given.verdict for _, given in lines):
        reviewed = verdict.reviewed_path(path)
        hint = f"; {reviewed} may" if reviewed != path and reviewed.is_file() else ""
        raise InputError(
            f"{path} holds no verdict{hint}. Judge events first: tfhier review {path}"
        )
    return lines
