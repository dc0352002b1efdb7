"""What the columns of tables are called, in CSV tables and in Raven's alike.

Conventions: names are compared in lower case, without units, spaces and punctuation:
`Call type`, `call_type` and `CallType` are one name. Where several columns could be
meant, the plain name wins over its common other names, and these over rarer ones.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from tfhier.errors import InputError

LABELS = (
    "annotation", "label", "species", "class", "labels", "category", "tag", "tags",
)  # fmt: skip
RARE_LABELS = (
    "calltype", "call", "soundtype", "sound", "type", "speciescode", "sp", "spp",
    "commonname", "scientificname", "taxon", "vocalization", "vocalisation", "event",
)  # fmt: skip
GROUPS = ("group", "site", "location", "recording")

# Common other names of each column of a CSV table, and rarer ones.
_COLUMNS = {
    "file": (("filename", "filepath", "path", "audio"),),
    "label": (LABELS, RARE_LABELS),
    "start": (("begin", "onset", "starttime", "begintime"),),
    "end": (("offset", "stop", "endtime"),),
    "part": (("split", "subset", "partition"),),
    "group": (("recording", "site"), ("location",)),
    "condition": (),
}
KNOWN_LABELS = "Annotation, Label, Species, Class, Category, Tag, Call type, Sound, Sp"


def plain(name: str) -> str:
    """Return a name as names are compared: `Begin Time (s)` as `begintime`."""
    without_unit = re.sub(r"[ _(\[]+(s|sec|seconds)[)\]]?$", "", name.lower())
    return re.sub(r"[\W_]", "", without_unit)


def find(path: Path, header: Sequence[str], label_column: str = "") -> dict[str, int]:
    """Return the index of every column of a CSV table that is known and there.

    Args:
        path: Path to name in errors.
        header: Names of the columns.
        label_column: Name of the column of labels in any case; "" for a known name.

    Raises:
        InputError: No column, or more than one, is the file or the label, or only one
            of start and end is there.
    """
    names = [plain(name) for name in header]
    columns = {}
    for what, others in _COLUMNS.items():
        if what == "label" and label_column:
            found = named(header, label_column)
        else:
            tiers = ((what,), *others)
            hits = ([i for i, name in enumerate(names) if name in t] for t in tiers)
            found = next(filter(None, hits), [])
        if len(found) > 1:
            which = " or say which with --set label_column=NAME" * (what == "label")
            raise InputError(
                f"{path}: {' and '.join(repr(header[at]) for at in found)} may both "
                f"be the {what}. Call the right one '{what}'{which}."
            )
        if found:
            columns[what] = found[0]
    missing = [what for what in ("file", "label") if what not in columns]
    if missing:
        what = label_column if missing == ["label"] and label_column else missing[0]
        raise InputError(
            f"{path} has no column '{what}'. It has: {', '.join(header)}. Rename one, "
            "or name that of the labels with --set label_column=NAME; a table has the "
            "columns file and label, and may have start, end, part, group and "
            "condition."
        )
    if ("start" in columns) != ("end" in columns):
        there = "start" if "start" in columns else "end"
        raise InputError(
            f"{path} has the column '{header[columns[there]]}' alone. A table has both "
            "start and end (in seconds), or neither."
        )
    return columns


def named(header: Sequence[str], name: str) -> list[int]:
    """Return the first column of exactly this name, in any case, in a list; or []."""
    wanted = name.strip().lower()
    return [at for at, cell in enumerate(header) if cell.lower() == wanted][:1]


def in_order(header: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return the columns that are called one of the names, in the names' order."""
    own = [plain(name) for name in header]
    return [own.index(name) for name in names if name in own]
