"""Metrics: known answers, scikit-learn's on the observed subset, the undefined."""

import numpy as np
import pytest
from sklearn import metrics as sk

from tfhier import metrics


def labelled(rng, *, clips: int = 120, labels: int = 6, share: float = 0.4):
    """Scores with ties, targets that follow them a little, and a mask."""
    scores = rng.uniform(size=(clips, labels)).round(2)
    targets = (scores + rng.normal(0, 0.5, scores.shape) > 0.5).astype(float)
    observed = rng.uniform(size=scores.shape) < share
    return scores, targets, observed


def everything(columns: list[list[float]]) -> np.ndarray:
    return np.array(columns, float).T


# -- Known answers -------------------------------------------------------------------


def test_average_precision_and_auc_by_hand():
    # Ranked + - + -: precision 1 at recall 1/2, 2/3 at recall 1; 3 of 4 pairs in order.
    scores = everything([[0.9, 0.8, 0.7, 0.1]])
    targets = everything([[1, 0, 1, 0]])
    seen = np.ones((4, 1), bool)
    assert metrics.average_precision(scores, targets, seen) == pytest.approx([5 / 6])
    assert metrics.roc_auc(scores, targets, seen) == pytest.approx([3 / 4])


def test_f1_by_hand():
    # At 0.5 two hits, a false alarm, a miss; at 0.05 three hits, two false alarms.
    scores = everything([[0.9, 0.8, 0.5, 0.4, 0.1]] * 2)
    targets = everything([[1, 0, 1, 1, 0]] * 2)
    got = metrics.f1(
        scores, targets, np.ones((5, 2), bool), thresholds=np.array([0.5, 0.05])
    )
    assert got == pytest.approx([4 / 6, 6 / 8])


def test_binary_crossentropy_by_hand():
    scores = np.array([[0.5, 0.2], [1.0, 0.9]])
    targets = np.array([[1.0, 0.0], [1.0, 0.0]])
    observed = np.array([[True, True], [True, False]])
    got = metrics.binary_crossentropy(scores, targets, observed)
    assert got == pytest.approx((np.log(2) - np.log(0.8)) / 3, abs=1e-6)
    assert np.isnan(metrics.binary_crossentropy(scores, targets, observed & False))


def test_violation_rate_by_hand():
    under = np.array([[1, 0], [1, 1], [0, 1]], bool)  # the second child has two parents
    lower = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    upper = np.array([[1, 0], [0, 1], [0, 0]], bool)
    # Of the three that are on, only the second child of the first clip lacks a parent.
    assert metrics.violation_rate(lower, upper, under) == pytest.approx(1 / 3)
    assert metrics.violation_rate(lower, np.ones_like(upper), under) == 0
    assert metrics.violation_rate(lower, np.zeros_like(upper), under) == 1
    assert metrics.violation_rate(np.zeros_like(lower), upper, under) == 0


def test_perfect_scores_give_one(rng):
    _, targets, observed = labelled(rng)
    scores = 0.2 + 0.6 * targets
    got = metrics.evaluate(scores, targets, observed)
    assert (got["mAP"], got["roc_auc"], got["f1"]) == (1.0, 1.0, 1.0)
    worst = metrics.evaluate(1 - scores, targets, observed)
    assert (worst["roc_auc"], worst["f1"]) == (0.0, 0.0)


# -- Against scikit-learn ------------------------------------------------------------


def test_every_metric_is_scikit_learns_on_the_observed_clips(rng):
    scores, targets, observed = labelled(rng)
    thresholds = np.array([0.2, 0.5, 0.5, 0.7, 0.31, 0.9])
    got = metrics.evaluate(scores, targets, observed, thresholds=thresholds)
    for label in range(6):
        seen = observed[:, label]
        truth, score = targets[seen, label], scores[seen, label]
        own = got["per_label"][str(label)]
        assert own["average_precision"] == pytest.approx(
            sk.average_precision_score(truth, score)
        )
        assert own["roc_auc"] == pytest.approx(sk.roc_auc_score(truth, score))
        on = score >= thresholds[label]
        assert own["f1"] == pytest.approx(sk.f1_score(truth, on))
        assert own["threshold"] == thresholds[label]
        assert own["num_positive"] == truth.sum()
        assert own["num_negative"] == (1 - truth).sum()
    assert got["loss"] == pytest.approx(
        sk.log_loss(targets[observed], np.clip(scores[observed], 1e-7, 1 - 1e-7))
    )
    assert got["num_clips"] == 120
    assert got["num_observed"] == observed.sum()
    for name, column in (("mAP", "average_precision"), ("roc_auc",) * 2, ("f1",) * 2):
        own = [values[column] for values in got["per_label"].values()]
        assert got[name] == pytest.approx(np.mean(own))
    assert set(metrics.MACRO) <= set(got)


def test_what_was_not_observed_does_not_matter(rng):
    scores, targets, observed = labelled(rng)
    noise = rng.uniform(size=scores.shape)
    other_scores = np.where(observed, scores, noise)
    other_targets = np.where(observed, targets, noise.round())
    first = metrics.evaluate(scores, targets, observed)
    assert metrics.evaluate(other_scores, other_targets, observed) == first


# -- Undefined -----------------------------------------------------------------------


def test_undefined_metrics_are_nan_and_counted():
    scores = everything([[0.9, 0.1, 0.6]] * 4)
    #                     both        no positive  no negative  nothing observed
    targets = everything([[1, 0, 0], [0, 0, 0], [1, 1, 1], [1, 0, 1]])
    observed = np.ones((3, 4), bool)
    observed[:, 3] = False
    got = metrics.evaluate(scores, targets, observed, labels=list("abcd"))
    own = got["per_label"]
    assert own["a"]["average_precision"] == own["a"]["roc_auc"] == 1.0
    assert np.isnan(own["b"]["average_precision"])
    assert np.isnan(own["b"]["f1"])
    assert np.isnan([own[label]["roc_auc"] for label in "bcd"]).all()
    assert np.isnan([own["d"][m] for m in ("average_precision", "f1")]).all()
    assert own["c"]["average_precision"] == 1.0
    assert got["num_undefined"] == 3
    assert got["mAP"] == 1.0  # of a and c alone
    assert got["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_nothing_observed_at_all_is_nan_and_not_an_error():
    zeros = np.zeros((2, 2))
    got = metrics.evaluate(zeros, zeros, np.zeros((2, 2), bool))
    assert np.isnan([got["mAP"], got["roc_auc"], got["f1"], got["loss"]]).all()
    assert got["num_undefined"] == 2


# -- Errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"scores": np.zeros((2, 3))},
            r"share one shape.*\(2, 3\), \(2, 2\), \(2, 2\)",
        ),
        ({"observed": np.ones((2, 2))}, "must be boolean. Received: dtype=float64"),
        ({"scores": np.array([[0, np.nan], [0, 0]])}, "1 scores are NaN or infinite"),
        ({"scores": np.full((2, 2), 1.5)}, r"did you pass logits.*\[1.5, 1.5\]"),
        ({"scores": np.full((2, 2), -0.1)}, "did you pass logits"),
        ({"targets": np.full((2, 2), 0.5)}, "did you pass soft labels"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    given = {
        "scores": np.zeros((2, 2)),
        "targets": np.zeros((2, 2)),
        "observed": np.ones((2, 2), bool),
    }
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(**{**given, **change})


def test_unobserved_targets_may_be_anything():
    targets = np.array([[1.0, 0.5], [0.0, np.nan]])
    observed = np.array([[True, False], [True, False]])
    metrics.validate(np.zeros((2, 2)), targets, observed)
