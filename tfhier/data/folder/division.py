"""Which recording a clip belongs to, and what is set aside for the test.

Conventions: a group is what must not be divided: what a column of the table or a folder
says, else the file. That a file is a recording of its own is then an assumption, and is
called one.
"""

import dataclasses
import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfhier.data import splits
from tfhier.data.folder.layouts import listed
from tfhier.data.folder.selections import Row
from tfhier.errors import InputError, close_names

TEST_FRACTION = 0.2
_MAX_NAMED = 8  # groups of the test part that a note names

# rec_3, rec-12, rec (4): more digits are numbers of a collection, such as xeno-canto's.
_NUMBERED = re.compile(r"(.*[^\W_].*?)[\s_.-]+\(?\d{1,4}(?:\.\d+)?\)?")
_TIMED = re.compile(r"(.*[^\W_].*?)[\s_-]+(\d+(?:\.\d+)?)[\s_-]+(\d+(?:\.\d+)?)s?")
# A recorder's date and time are no number of a piece.
_STAMPED = re.compile(r".*(19|20)\d{6}[\sT_-]?\d{4,6}")


def keys(rows: Sequence[Row], root: Path) -> list[str]:
    """Return a unique name of every clip: its path below a folder, and its span."""
    files = [row.file for row in rows]
    repeated = {file for file, count in Counter(files).items() if count > 1}
    return [
        _key(row.file, root)
        + ("#{:.3f}-{:.3f}".format(*row.span) if row.file in repeated else "")
        for row in rows
    ]


def _key(file: Path, root: Path) -> str:
    return (file.relative_to(root) if file.is_relative_to(root) else file).as_posix()


def originals(files: Iterable[Path]) -> dict[Path, str]:
    """Return the real path of every file, the first one's for copies of it.

    A link or a copy is the same recording: it must not be trained on and tested too.
    Only files of equal size are read.
    """
    by_size: dict[int, list[str]] = defaultdict(list)
    real = {file: os.path.realpath(file) for file in files}
    for path in dict.fromkeys(real.values()):
        by_size[os.path.getsize(path)].append(path)
    first: dict[bytes, str] = {}
    original = {}
    for size, paths in by_size.items():
        for path in paths:
            if len(paths) == 1 or not size:
                original[path] = path
                continue
            with open(path, "rb") as content:
                digest = hashlib.file_digest(content, "sha256").digest()
            original[path] = first.setdefault(digest, path)
    return {file: original[path] for file, path in real.items()}


def refuse_copies(rows: Sequence[Row], original: Mapping[Path, str]) -> None:
    """Raise an InputError for a recording in two class folders: both cannot be right.

    Args:
        rows: A row for every file of class folders.
        original: Result of `originals`.
    """
    first: dict[str, Row] = {}
    for row in rows:
        earlier = first.setdefault(original[row.file], row)
        if row.labels != earlier.labels:
            raise InputError(
                f"{earlier.file} and {row.file} are the same recording in two class "
                "folders. Keep it in one, or give a table with both labels: a|b."
            )


def groups(rows: Sequence[Row], root: Path, original: Mapping[Path, str]) -> np.ndarray:
    """Return the group of every clip, its file's key where none is given: str (N,).

    Args:
        rows: N clips.
        root: Folder that keys are relative to.
        original: Result of `originals`.

    Raises:
        InputError: Clips of one file are of different groups.
    """
    first: dict[str, Row] = {}
    names = []
    for row in rows:
        earlier = first.setdefault(original[row.file], row)
        if row.group != earlier.group:
            raise InputError(
                f"{row.where}: {row.file} is of the group '{row.group}' here and of "
                f"'{earlier.group}' in {earlier.where}. All clips of a file belong to "
                "one group; correct one of them."
            )
        names.append(row.group or _key(earlier.file, root))
    return np.array(names, np.str_)


def divide(
    path: Path,
    rows: Sequence[Row],
    targets: np.ndarray,
    observed: np.ndarray,
    groups: np.ndarray,
) -> tuple[np.ndarray, list[str]]:
    """Return the part of every clip, and what must be known about the division.

    Args:
        path: Path to name in errors.
        rows: N clips.
        targets: float array (N, L).
        observed: bool array (N, L).
        groups: str array (N,), as of `groups`.

    Raises:
        InputError: Some rows give a part and some do not, or nothing can be set aside.
    """
    parts = np.array([row.part for row in rows], "<U10")
    if parts.any():
        return parts, _check_given(rows, parts, groups)
    try:
        held = splits.stratified(
            targets, observed, fraction=TEST_FRACTION, seed=0, groups=groups
        )
    except InputError as error:
        raise InputError(
            f"{path} cannot be divided into clips for training and for the test: "
            f"{error} Or say in a column 'part' what is what."
        ) from None
    parts[:] = np.where(held, "test", "train")
    tested = sorted(set(groups[held].tolist()))
    share = f"{len(tested)} of {len(set(groups.tolist()))} {word(rows)}"
    if any(row.group for row in rows):
        files = [os.path.realpath(row.file) for row in rows]
        in_test = {file for file, is_held in zip(files, held, strict=True) if is_held}
        share += f" ({len(in_test)} of {len(set(files))} recordings)"
    note = (
        f"{held.sum()} of {len(rows)} clips were set aside for the test, {share}: "
        f"{listed(tested, _MAX_NAMED)}."
    )
    return parts, [note]


def hold_out(
    path: Path, rows: Sequence[Row], sites: Sequence[str], wanted: Sequence[str]
) -> list[Row]:
    """Return rows of which those of some sites are the test and all others training.

    Args:
        path: Path to name in errors.
        rows: N clips.
        sites: N str. Where each was recorded: its group, or what else is given.
        wanted: Sites of the test; none leaves rows as they are.

    Raises:
        InputError: A site has no clip, all clips are of these sites, or the table gives
            parts too.
    """
    if not wanted:
        return list(rows)
    there = sorted(set(sites))
    for site in wanted:
        if site not in there:
            raise InputError(
                f"{path} has no clip of the site '{site}', which is to be the test."
                f"{close_names(site, there)} It has {listed(there)}; a column 'site' "
                "names others."
            )
    if set(there) <= set(wanted):
        raise InputError(
            f"All clips of {path} are of {listed(sorted(wanted))}, which are to be the "
            "test. Leave a site to train on."
        )
    if any(row.part for row in rows):
        raise InputError(
            f"{path} says in a column 'part' what the test is. Leave that out, or name "
            "no sites."
        )
    return [
        dataclasses.replace(row, part="test" if site in wanted else "train")
        for row, site in zip(rows, sites, strict=True)
    ]


def take_turns(
    rows: Sequence[Row], groups: np.ndarray, num_folds: int
) -> tuple[np.ndarray, list[str]]:
    """Return no part for any clip, and that folds of groups will take turns."""
    num_groups = len(set(groups.tolist()))
    note = (
        f"{num_groups} {word(rows)} are dealt to {num_folds} folds, each of which is "
        "the test in turn."
    )
    return np.full(len(rows), "", "<U10"), [note]


def _check_given(
    rows: Sequence[Row], parts: np.ndarray, groups: np.ndarray
) -> list[str]:
    """Check the parts that a table gives, and name recordings that they divide."""
    without = np.flatnonzero(parts == "")
    if without.size:
        raise InputError(
            f"{rows[without[0]].where}: no part is given here and in "
            f"{without.size - 1} other rows, but in {len(rows) - without.size} it "
            "is. Give a part for every row, or for none."
        )
    pairs = set(zip(groups.tolist(), parts.tolist(), strict=True))
    divided = Counter(group for group, _ in pairs)
    both = sorted(group for group, count in divided.items() if count > 1)
    note = (
        f"{len(both)} {word(rows)} have clips in more than one part, as the table "
        f"says: {listed(both)}. Figures may be better than on new recordings."
    )
    return [note] * bool(both)


def word(rows: Sequence[Row]) -> str:
    """Return what groups are called: recordings, where each is a file."""
    return "groups" if any(row.group for row in rows) else "recordings"


def assumption(rows: Sequence[Row], *, layout: str) -> list[str]:
    """Say that files count as recordings, where nothing says what they were cut from.

    Args:
        rows: Clips.
        layout: "classes", "table" or "raven".

    Returns:
        One note or none. It counts files whose names differ in a last number, or in two
        that may be start and end, and names two of them.
    """
    is_settled = {row.part for row in rows} == {"train", "validation", "test"}
    if is_settled or any(row.group for row in rows):
        return []
    remedy = {
        "classes": "put them into a folder together, or give a table with a column "
        "group",
        "table": "give a column group",
        "raven": "give the tables a column Group or Site",
    }[layout]
    note = (
        "Every file counts as a recording of its own; if some were cut from one longer "
        f"recording, {remedy}."
    )
    files = list({os.path.realpath(row.file): row.file for row in rows}.values())
    found = _alike(files, across_folders=layout == "classes")
    if found:
        first, second = (f"{f.parent.name}/{f.name}" for f in found[0][:2])
        note += (
            f" The names of {sum(map(len, found))} of {len(files)} files look like "
            f"pieces of {len(found)} recordings, such as {first} and {second}."
        )
    return [note]


def _alike(files: Sequence[Path], *, across_folders: bool) -> list[list[Path]]:
    """Return files whose names look like pieces of one recording, two or more each.

    Args:
        files: Paths.
        across_folders: Whether files of several folders can be of one recording.
    """
    guesses: dict[tuple, list[Path]] = defaultdict(list)
    for file in files:
        home = None if across_folders else file.parent
        for kind, beginning in enumerate(_beginnings(file.stem)):
            if beginning:
                guesses[kind, home, beginning].append(file)
    taken: set[Path] = set()
    found = []
    # What a last number tells apart goes before what two of them may.
    for _, members in sorted(guesses.items(), key=lambda item: item[0][0]):
        own = [file for file in members if file not in taken]
        if len(own) > 1:
            found.append(own)
            taken.update(own)
    return found


def _beginnings(stem: str) -> tuple[str, str]:
    """Return a name before a last number, and before a start and an end; "" for no."""
    if _STAMPED.fullmatch(stem):
        return "", ""
    numbered, timed = _NUMBERED.fullmatch(stem), _TIMED.fullmatch(stem)
    is_span = timed and float(timed[2]) < float(timed[3])
    return numbered[1] if numbered else "", timed[1] if is_span else ""
