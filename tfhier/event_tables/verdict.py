"""What people said of an event: three columns behind those of a table of events.

`verdict` is of the detector's label: accepted, rejected or unsure. `reviewed_label` is
what people heard: the same label, another, or "" where they did not say. `reviewed_at`
is when.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tfhier.errors import InputError

VERDICTS = ("accepted", "rejected", "unsure")
COLUMNS = ("verdict", "reviewed_label", "reviewed_at")
_REVIEWED = "-reviewed"


@dataclass(frozen=True)
class Verdict:
    """What somebody said of an event.

    Args:
        verdict: str. One of `VERDICTS`; "" where it was taken back.
        label: str. What was heard; "" where that was not said.
        at: str. When, ISO 8601.
    """

    verdict: str
    label: str
    at: str


def reviewed_path(path: Path) -> Path:
    """Return where the verdicts on a table are written; a reviewed table is its own."""
    if path.stem.endswith(_REVIEWED):
        return path
    return path.with_name(f"{path.stem}{_REVIEWED}.csv")


def detected_path(path: Path) -> Path:
    """Return the table of events that a reviewed table is of."""
    return path.with_name(f"{path.stem.removesuffix(_REVIEWED)}{path.suffix}")


def of_columns(further: Mapping[str, str], path: Path) -> Verdict:
    """Return what the columns of a reviewed table say of an event.

    Args:
        further: dict of name -> text. The columns behind those of a table of events;
            names and verdicts in any case, as spreadsheets correct them.
        path: Path of the table, to name in errors.

    Raises:
        InputError: It is no verdict.
    """
    known = {name.strip().lower(): cell for name, cell in further.items()}
    verdict, label, at = (known.get(name, "").strip() for name in COLUMNS)
    verdict = verdict.lower()
    if verdict not in ("", *VERDICTS):
        raise InputError(
            f"{path}: a verdict is {', '.join(VERDICTS)} or empty. Received: "
            f"'{verdict}'"
        )
    return Verdict(verdict, label, at)
