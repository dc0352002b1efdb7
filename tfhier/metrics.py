"""How well scores agree with partly observed targets.

Conventions
-----------
Scores are probabilities (clips, labels), targets 0 or 1 and `observed` a boolean mask
of the same shape. Every metric of a label looks at the clips where that label was
observed and at no others, as OpenMIC-2018's mask asks. The computations are
scikit-learn's, as in Zhong et al. (2023, Sec. 4.3).

Where labels exclude each other (`is_single_label`), a clip is also *decided* for the
label with the highest score, and these decisions are counted: recalls, accuracy,
confusions. The few clips with none, several or unknown labels do not count there.

A metric of a label that is not defined (average precision without a positive, ROC-AUC
without both kinds) is NaN. Macro averages run over the defined labels and say how many
they left out: they never replace NaN by 0 or 1.

Metrics
-------
* `average_precision`: area under the precision-recall curve. Its macro mean is the mAP.
* `roc_auc`: area under the ROC curve.
* `f1`: F1 of the positive class at a threshold for each label.
* `binary_crossentropy`: mean over the observed entries.
* `confusion`: how many clips of each label were decided for which.
* `uar`: unweighted average recall, the mean of the labels' recalls (ComParE's measure).
* `accuracy`: the share of clips that were decided right.
* `parent_error`: the share of clips that were decided for a label of another parent.
* `violation_rate`: how often a label is on while its parent is off.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

# The figures of a level, in the order of the columns of Zhong et al.'s Table 1 ...
MACRO = ("roc_auc", "mAP", "f1")
# ... and of a level whose labels exclude each other, as in Pellegrini's Table 2. The
# last is there where the level has parents.
SINGLE = ("mAP", "uar", "accuracy", "parent_error")


def shown(figures: Mapping[str, object]) -> tuple[str, ...]:
    """Return which figures of a level tables show, by what was computed."""
    if "uar" not in figures:
        return MACRO
    return tuple(name for name in SINGLE if name in figures)


# Share of clips with exactly one label from which on labels are said to exclude each
# other: in the field now and then two calls overlap.
MOST = 0.8


def has_one_label(targets: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return which clips have exactly one label, all others known absent: (clips,).

    Args:
        targets: float array (clips, labels), 0 or 1 where observed.
        observed: bool array of the same shape.
    """
    return observed.all(axis=1) & (np.sum(targets > 0, axis=1) == 1)


def is_single_label(targets: np.ndarray, observed: np.ndarray) -> bool:
    """Return whether labels exclude each other, in at least `MOST` of the clips.

    Args:
        targets: float array (clips, labels), 0 or 1 where observed.
        observed: bool array of the same shape.
    """
    if targets.shape[1] < 2 or not len(targets):
        return False
    return bool(has_one_label(targets, observed).mean() >= MOST)


def validate(scores: np.ndarray, targets: np.ndarray, observed: np.ndarray) -> None:
    """Check that scores, targets and mask fit together.

    Raises:
        ValueError: Shapes differ, a score is NaN or outside [0, 1], or an observed
            target is neither 0 nor 1.
    """
    if not (scores.ndim == 2 and scores.shape == targets.shape == observed.shape):
        raise ValueError(
            "Scores, targets and observed must share one shape (clips, labels). "
            f"Received: {scores.shape}, {targets.shape}, {observed.shape}"
        )
    if observed.dtype != bool:
        raise ValueError(f"observed must be boolean. Received: dtype={observed.dtype}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} scores are NaN or infinite.")
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(
            "Scores must be probabilities in [0, 1] (did you pass logits?). Received: "
            f"range [{scores.min():.3g}, {scores.max():.3g}]"
        )
    if not np.isin(targets[observed], (0, 1)).all():
        raise ValueError("Observed targets must be 0 or 1 (did you pass soft labels?).")


def average_precision(
    scores: np.ndarray, targets: np.ndarray, observed: np.ndarray
) -> np.ndarray:
    """Return the average precision of every label (labels,), NaN without a positive."""

    def of_label(label_scores: np.ndarray, label_targets: np.ndarray) -> float:
        if not label_targets.any():
            return np.nan
        return average_precision_score(label_targets, label_scores)

    return _per_label(of_label, scores, targets, observed)


def roc_auc(
    scores: np.ndarray, targets: np.ndarray, observed: np.ndarray
) -> np.ndarray:
    """Return the ROC-AUC of every label (labels,), NaN unless both kinds are there."""

    def of_label(label_scores: np.ndarray, label_targets: np.ndarray) -> float:
        if label_targets.all() or not label_targets.any():
            return np.nan
        return roc_auc_score(label_targets, label_scores)

    return _per_label(of_label, scores, targets, observed)


def f1(
    scores: np.ndarray,
    targets: np.ndarray,
    observed: np.ndarray,
    *,
    thresholds: np.ndarray,
) -> np.ndarray:
    """Return the F1 of every label (labels,); a score at its threshold is on.

    2 TP / (2 TP + FP + FN); NaN where no positive was observed. (The sheet of
    AttentionMIC instead averages the F1 of presence and of absence.)
    """
    on = scores >= thresholds
    positive = targets > 0
    hits = (on & positive & observed).sum(axis=0)
    errors = ((on != positive) & observed).sum(axis=0)
    defined = (positive & observed).any(axis=0)
    return np.where(defined, 2 * hits / np.maximum(2 * hits + errors, 1), np.nan)


def confusion(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return how many clips of each label (rows) were decided for which (columns).

    Args:
        scores: float array (clips, labels). The highest decides; of equal ones the
            first.
        targets: float array of the same shape, one 1 in each row.

    Returns:
        int array (labels, labels).
    """
    num_labels = targets.shape[1]
    true, decided = np.argmax(targets, axis=1), np.argmax(scores, axis=1)
    counts = np.bincount(true * num_labels + decided, minlength=num_labels**2)
    return counts.reshape(num_labels, num_labels)


def recall(confused: np.ndarray) -> np.ndarray:
    """Return the recall of every label (labels,) from `confusion`.

    NaN where no clip has the label.
    """
    totals = confused.sum(axis=1)
    return np.where(totals > 0, np.diag(confused) / np.maximum(totals, 1), np.nan)


def precision(confused: np.ndarray) -> np.ndarray:
    """Return the precision of every label (labels,) from `confusion`.

    NaN where no clip was decided for the label.
    """
    totals = confused.sum(axis=0)
    return np.where(totals > 0, np.diag(confused) / np.maximum(totals, 1), np.nan)


def parent_error(confused: np.ndarray, membership: np.ndarray) -> float:
    """Return the share of clips decided for a label of another parent.

    Args:
        confused: int array (labels, labels), see `confusion`.
        membership: bool array (labels, parents), see `Taxonomy.membership`.

    Returns:
        float in [0, 1]: for species under "primate" and "background" the share of
        clips that lie on the wrong side of that border. NaN without clips.
    """
    related = membership.astype(int) @ membership.T.astype(int) > 0
    return _share(confused[~related].sum(), confused.sum())


def binary_crossentropy(
    scores: np.ndarray, targets: np.ndarray, observed: np.ndarray
) -> float:
    """Return the mean binary cross-entropy of the observed entries, NaN if none."""
    if not observed.any():
        return float("nan")
    # The clip of keras.ops.binary_crossentropy, so that both tell the same loss.
    inside = np.clip(scores[observed].astype(np.float64), 1e-7, 1 - 1e-7)
    known = targets[observed]
    return float(-np.mean(known * np.log(inside) + (1 - known) * np.log1p(-inside)))


def violation_rate(
    lower_on: np.ndarray, upper_on: np.ndarray, membership: np.ndarray
) -> float:
    """Return the share of children that are on under a parent that is off.

    Args:
        lower_on: bool array (clips, children).
        upper_on: bool array (clips, parents).
        membership: bool array (children, parents), see `Taxonomy.membership`.

    Returns:
        float in [0, 1], over all children that are on; 0.0 when none is.
    """
    all_parents_on = ~(~upper_on @ membership.T)
    return float(np.mean(~all_parents_on[lower_on])) if lower_on.any() else 0.0


def evaluate(
    scores: np.ndarray,
    targets: np.ndarray,
    observed: np.ndarray,
    *,
    thresholds: np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    single_label: bool = False,
    membership: np.ndarray | None = None,
) -> dict:
    """Return every metric of one level.

    Args:
        scores: float array (clips, labels) in [0, 1].
        targets: float array of the same shape, 0 or 1 where observed.
        observed: bool array of the same shape.
        thresholds: float array (labels,), fitted on validation clips (never on these).
            Defaults to 0.5 for all.
        labels: Names of the labels. Defaults to their numbers.
        single_label: bool. Whether labels exclude each other, see `is_single_label`.
        membership: bool array (labels, parents) for `parent_error`, if there are any.

    Returns:
        Dict of floats `roc_auc`, `mAP`, `f1` (macro means over the labels for which
        they are defined), `loss` (binary cross-entropy), ints `num_clips`,
        `num_observed`, `num_undefined` (labels without a defined AP or ROC-AUC) and
        `per_label`: dict of label -> its `average_precision`, `roc_auc`, `f1`,
        `threshold`, `num_positive`, `num_negative`. With `single_label` also the floats
        `uar`, `accuracy` and `parent_error`, the list of lists `confusion` and for
        every label its `recall` and `precision`.

    Raises:
        ValueError: See `validate`.
    """
    validate(scores, targets, observed)
    num_labels = scores.shape[1]
    thresholds = np.full(num_labels, 0.5) if thresholds is None else thresholds
    labels = [str(i) for i in range(num_labels)] if labels is None else labels
    columns = {
        "average_precision": average_precision(scores, targets, observed),
        "roc_auc": roc_auc(scores, targets, observed),
        "f1": f1(scores, targets, observed, thresholds=thresholds),
        "threshold": np.asarray(thresholds, np.float64),
    }
    positive = ((targets > 0) & observed).sum(axis=0)
    negative = observed.sum(axis=0) - positive
    undefined = np.isnan(columns["average_precision"]) | np.isnan(columns["roc_auc"])
    decided = {}
    if single_label:
        counted = has_one_label(targets, observed)
        confused = confusion(scores[counted], targets[counted])
        columns["recall"] = recall(confused)
        columns["precision"] = precision(confused)
        decided = {
            "uar": _macro(columns["recall"]),
            "accuracy": _share(np.trace(confused), confused.sum()),
            "confusion": confused.tolist(),
        }
        if membership is not None:
            decided["parent_error"] = parent_error(confused, membership)
    return {
        "roc_auc": _macro(columns["roc_auc"]),
        "mAP": _macro(columns["average_precision"]),
        "f1": _macro(columns["f1"]),
        **decided,
        "loss": binary_crossentropy(scores, targets, observed),
        "num_clips": int(len(scores)),
        "num_observed": int(observed.sum()),
        "num_undefined": int(undefined.sum()),
        "per_label": {
            label: {
                **{name: float(values[i]) for name, values in columns.items()},
                "num_positive": int(positive[i]),
                "num_negative": int(negative[i]),
            }
            for i, label in enumerate(labels)
        },
    }


def _per_label(of_label, scores, targets, observed) -> np.ndarray:
    """Apply a metric of two vectors to every label's observed clips."""
    return np.array(
        [
            of_label(scores[seen, i], targets[seen, i] > 0)
            for i, seen in enumerate(observed.T)
        ]
    )


def _share(count: int, total: int) -> float:
    """Return a part of a number of clips; NaN where there are none."""
    return float(count / total) if total else float("nan")


def _macro(values: np.ndarray) -> float:
    """Mean over the defined labels; NaN when there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
