"""Tag-wise thresholds: fitted on validation clips, applied everywhere the same.

A score at or above its label's threshold means that the tag is given.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfhier.errors import InputError
from tfhier.files import read_json, write_json
from tfhier.taxonomy import Taxonomy

# What a label gets that has no observed positive or no observed negative to fit on.
DEFAULT = 0.5
# Shares of right tags that a saved model has thresholds of too.
PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def fit(
    scores: np.ndarray,
    targets: np.ndarray,
    observed: np.ndarray,
    *,
    before: np.ndarray | None = None,
) -> np.ndarray:
    """Return for every label the threshold with the highest F1.

    Candidates are the midpoints between neighbouring scores of the label's observed
    clips, so that a threshold never lies on a score. Of equally good ones the median is
    taken.

    Args:
        scores: float array (clips, labels) in [0, 1], of validation clips.
        targets: float array of the same shape, 0 or 1.
        observed: bool array of the same shape.
        before: float array (labels,). Thresholds of a model that found these clips, of
            which nothing is known below them: no label gets a lower one, and labels
            that were not observed as both positive and negative keep theirs. Defaults
            to None: there was none, and such labels get 0.5.

    Returns:
        float array (labels,) in (0, 1).
    """
    found = [
        _best(scores[seen, i], targets[seen, i] > 0)
        for i, seen in enumerate(observed.T)
    ]
    return _not_below(before, found, targets, observed)


def at_precision(
    scores: np.ndarray,
    targets: np.ndarray,
    observed: np.ndarray,
    *,
    precision: float,
    before: np.ndarray | None = None,
) -> np.ndarray:
    """Return for every label the lowest threshold whose tags are right so often.

    Candidates are those of `fit`. The precision is that of the clips given, in which a
    label may be far more frequent than where the model is used.

    Args:
        scores: float array (clips, labels) in [0, 1], of validation clips.
        targets: float array of the same shape, 0 or 1.
        observed: bool array of the same shape.
        precision: float in (0, 1]. Share of tags that are right.
        before: As of `fit`. Defaults to None: there was none.

    Returns:
        float array (labels,); infinite where no threshold is so precise.
    """
    found = [
        _lowest(scores[seen, i], targets[seen, i] > 0, precision)
        for i, seen in enumerate(observed.T)
    ]
    return _not_below(before, found, targets, observed)


def _not_below(
    before: np.ndarray | None,
    found: list[float],
    targets: np.ndarray,
    observed: np.ndarray,
) -> np.ndarray:
    """Return thresholds that an earlier model's hold for, see `fit`."""
    if before is None:
        return np.array(found)
    positive = observed & (targets > 0)
    has_both = positive.any(axis=0) & (observed & ~positive).any(axis=0)
    return np.where(has_both, np.maximum(found, before), before)


def _lowest(scores: np.ndarray, positive: np.ndarray, precision: float) -> float:
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order].astype(np.float64), positive[order]
    right = np.cumsum(positive) / np.arange(1, len(scores) + 1)
    below = np.append(scores[1:], 0.0)
    fit = np.flatnonzero((scores > below) & (right >= precision - 1e-12))
    return float((scores[fit[-1]] + below[fit[-1]]) / 2) if fit.size else np.inf


def _best(scores: np.ndarray, positive: np.ndarray) -> float:
    if positive.all() or not positive.any():
        return DEFAULT
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order].astype(np.float64), positive[order]
    num_on = np.arange(1, len(scores) + 1)
    f1 = 2 * np.cumsum(positive) / (num_on + positive.sum())
    # Below the last of equal scores there is a gap to put a threshold into.
    below = np.append(scores[1:], 0.0)
    gap = scores > below
    if not gap.any():
        return DEFAULT
    best = np.flatnonzero(gap & (f1 >= f1[gap].max() - 1e-12))
    middle = best[(len(best) - 1) // 2]
    return float((scores[middle] + below[middle]) / 2)


def of(kept: Mapping[str, Sequence[float]], taxonomy: Taxonomy) -> dict:
    """Return a contract's thresholds as arrays; 0.5 on levels that it has none of.

    Args:
        kept: Dict of level -> thresholds (labels,).
        taxonomy: Taxonomy of the levels.

    Returns:
        Dict of level -> float array (labels,).
    """
    return {
        level: np.array(kept.get(level, [DEFAULT] * size), np.float64)
        for level, size in taxonomy.sizes.items()
    }


def write(
    path: str | Path, thresholds: dict[str, np.ndarray], taxonomy: Taxonomy
) -> None:
    """Write thresholds as JSON: level -> label -> threshold."""
    table = {
        level: dict(
            zip(taxonomy.labels_of(level), map(float, thresholds[level]), strict=True)
        )
        for level in taxonomy.levels
    }
    write_json(path, table)


def read(path: str | Path, taxonomy: Taxonomy) -> dict[str, np.ndarray]:
    """Read thresholds written by `write`; labels are matched by name.

    Raises:
        InputError: The file does not hold exactly the levels and labels of the
        taxonomy.
    """
    table = read_json(path)
    expected = {level: set(taxonomy.labels_of(level)) for level in taxonomy.levels}
    if {level: set(labels) for level, labels in table.items()} != expected:
        raise InputError(
            f"{path} holds thresholds of other levels or labels than the taxonomy's "
            f"({', '.join(taxonomy.levels)}). Evaluate the model again with "
            "--test-only."
        )
    return {
        level: np.array([table[level][label] for label in taxonomy.labels_of(level)])
        for level in taxonomy.levels
    }
