"""What must be known of labels before their figures are believed, in sentences."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfhier import metrics
from tfhier.data.clips import PARTS
from tfhier.data.folder.layouts import listed
from tfhier.data.folder.segments import TOLERANCE_SECONDS
from tfhier.data.folder.selections import Row
from tfhier.taxonomy import BACKGROUND

_MAX_COUNTED = 12  # labels whose clips are counted


def on_labels(
    labels: Sequence[str],
    targets: np.ndarray,
    observed: np.ndarray,
    parts: np.ndarray,
    groups: np.ndarray,
    *,
    word: str,
) -> list[str]:
    """Count the clips of labels, and name labels that cannot be learned or tested.

    Args:
        labels: L names.
        targets: float array (N, L).
        observed: bool array (N, L).
        parts: str array (N,); "" throughout where folds take turns.
        groups: str array (N,).
        word: What groups are called, such as "recordings".
    """
    notes = [_counts(labels, targets, parts, groups, word)]
    same = defaultdict(list)
    for name in labels:
        same[re.sub(r"[\s_-]", "", name).casefold()].append(name)
    alike = [" / ".join(names) for names in same.values() if len(names) > 1]
    if alike:
        notes.append(
            "Labels that differ only in case, spaces, hyphens or underscores count as "
            f"different ones: {listed(alike)}. Rename them if they are one."
        )
    notes += _untested(labels, targets, observed, parts, groups, word)
    other = ~metrics.has_one_label(targets, observed)
    if other.any():
        is_rare = metrics.is_single_label(targets, observed)
        notes.append(
            f"{other.sum()} of {len(other)} clips have no, several or unknown labels: "
            "UAR, recalls by decision, confusion matrix and embeddings are "
            + ("of the others." if is_rare else "left out; they need one label a clip.")
        )
    return notes


def _counts(
    labels: Sequence[str],
    targets: np.ndarray,
    parts: np.ndarray,
    groups: np.ndarray,
    word: str,
) -> str:
    there = [part for part in PARTS if part != "validation" or part in parts]
    if not parts.any():
        there = [""]
    counted = []
    for at, name in enumerate(labels):
        own = [(targets[:, at] > 0) & (parts == part) for part in there]
        clips = "+".join(str(has.sum()) for has in own)
        distinct = "+".join(str(len(set(groups[has].tolist()))) for has in own)
        counted.append(f"{name} {clips} clips of {distinct} {word}")
    shown = {"train": "training", "": "all"}
    names = " + ".join(shown.get(part, part) for part in there)
    return f"{names[0].upper()}{names[1:]}: {listed(counted, _MAX_COUNTED)}."


def _untested(
    labels: Sequence[str],
    targets: np.ndarray,
    observed: np.ndarray,
    parts: np.ndarray,
    groups: np.ndarray,
    word: str,
) -> list[str]:
    """Name the labels that cannot be learned or tested as things are."""
    if not parts.any():
        lone = [
            name
            for at, name in enumerate(labels)
            if len(set(groups[targets[:, at] > 0].tolist())) == 1
        ]
        text = f"Labels of one {word[:-1]} only, never trained on when they are tested"
        return [f"{text}: {listed(lone)}."] * bool(lone)
    lone, untested, unlearned, everywhere = [], [], [], []
    in_test = parts == "test"
    for at, name in enumerate(labels):
        has = targets[:, at] > 0
        if not (has & in_test).any():
            is_lone = len(set(groups[has].tolist())) == 1
            (lone if is_lone else untested).append(name)
        elif not (observed[:, at] & ~has & in_test).any():
            everywhere.append(name)
        if not (has & (parts == "train")).any():
            unlearned.append(name)
    notes = {
        f"Labels of one {word[:-1]} only, so that their figures cannot be tested": lone,
        "Labels without a test clip, so that their figures cannot be tested": untested,
        "Labels of every test clip, so that their figures mean nothing": everywhere,
        "Labels without a training clip, so that they cannot be learned": unlearned,
    }
    return [f"{text}: {listed(names)}." for text, names in notes.items() if names]


def on_background(clips: Sequence[Row], *, layout: str) -> list[str]:
    """Say so where every clip is a call."""
    names = {label.lower() for row in clips for label in row.labels}
    if BACKGROUND in names or not all(row.labels for row in clips):
        return []
    remedy = f"give recordings labelled {BACKGROUND}"
    if layout == "classes":
        remedy = f"give a folder {BACKGROUND}"
    elif not all(row.span is None or row.is_whole for row in clips):
        remedy = (
            f"--set background=gaps takes what lies between the selections, or {remedy}"
        )
    return [
        "No clip is without a call, so the tagger tells calls apart and cannot say "
        f"that there is none: {remedy}."
    ]


def on_whole_files(
    clips: Sequence[Row],
    targets: np.ndarray,
    labels: Sequence[str],
    selections: Sequence[Row],
    lengths: Mapping[Path, float | None],
) -> list[str]:
    """Name labels that a selection of a whole file gave to the other clips of it.

    Args:
        clips: N clips.
        targets: float array (N, L) of the clips.
        labels: L names.
        selections: The rows that the clips were made of.
        lengths: Length of each file; None where it is not known.
    """
    over: dict[str, set[Path]] = defaultdict(set)
    for row in selections:
        length = lengths[row.file]
        if row.span is None or length is None:
            continue
        if max(row.span[0], length - row.span[1]) <= TOLERANCE_SECONDS:
            for name in row.labels:
                over[name].add(row.file)
    notes = []
    for at, name in enumerate(labels):
        given = sum(
            bool(targets[number, at]) and name not in row.labels
            for number, row in enumerate(clips)
            if row.file in over[name]
        )
        if given:
            notes.append(
                f"A selection of '{name}' covers the whole of {len(over[name])} "
                f"files, so that {given} other clips of them have that label too. "
                "Remove it where that is not meant."
            )
    return notes
