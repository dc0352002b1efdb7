"""Metrics: known answers, scikit-learn's on the observed subset, the undefined."""

import json

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


# Four clips of label 0, two of label 1, one of label 2, none of label 3.
TRUE = np.array([0, 0, 0, 0, 1, 1, 2])
DECIDED = np.array([0, 0, 1, 3, 1, 1, 0])
CONFUSED = np.array([[2, 1, 0, 1], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


def scores_for(decided: np.ndarray, rng, *, labels: int = 4) -> np.ndarray:
    """Random scores whose highest is that of the label decided for."""
    scores = rng.uniform(0, 0.5, (len(decided), labels))
    scores[np.arange(len(decided)), decided] = rng.uniform(0.5, 1, len(decided))
    return scores


def test_confusion_and_recall_by_hand(rng):
    confused = metrics.confusion(scores_for(DECIDED, rng), np.eye(4)[TRUE])
    np.testing.assert_array_equal(confused, CONFUSED)
    assert np.issubdtype(confused.dtype, np.integer)
    np.testing.assert_array_equal(metrics.recall(confused), [0.5, 1.0, 0.0, np.nan])


def test_of_equal_scores_the_first_decides():
    confused = metrics.confusion(np.full((3, 3), 0.2), np.eye(3))
    np.testing.assert_array_equal(confused, [[1, 0, 0]] * 3)


def test_parent_error_by_hand():
    """Wrong parent: 0 for 3 and 2 for 0; 0 for 1 is wrong, but in the family."""
    under = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool)
    assert metrics.parent_error(CONFUSED, under) == pytest.approx(2 / 7)
    assert metrics.parent_error(CONFUSED, np.eye(4, dtype=bool)) == pytest.approx(3 / 7)
    assert metrics.parent_error(CONFUSED, np.ones((4, 1), bool)) == 0
    # A parent in common is enough: label 3 has both.
    both = under | (np.arange(4) == 3)[:, None]
    assert metrics.parent_error(CONFUSED, both) == pytest.approx(1 / 7)


def test_shares_of_no_clips_are_undefined():
    nothing = np.zeros((2, 2), int)
    assert np.isnan(metrics.parent_error(nothing, np.eye(2, dtype=bool)))
    assert np.isnan(metrics.recall(nothing)).all()
    none = np.zeros((0, 2))
    got = metrics.evaluate(
        none, none, none > 0, single_label=True, membership=np.eye(2, dtype=bool)
    )
    assert np.isnan([got["uar"], got["accuracy"], got["parent_error"]]).all()


@pytest.mark.parametrize(
    ("targets", "observed", "expected"),
    [
        ([[1, 0], [0, 1]], [[1, 1], [1, 1]], True),
        ([[1, 0], [0, 1]], [[1, 1], [1, 0]], False),  # one is not known
        ([[1, 0], [1, 1]], [[1, 1], [1, 1]], False),  # both
        ([[1, 0], [0, 0]], [[1, 1], [1, 1]], False),  # neither
        ([[1], [1]], [[1], [1]], False),  # nothing to choose from
        (np.zeros((0, 2)), np.zeros((0, 2)), False),
    ],
)
def test_labels_exclude_each_other_where_each_clip_has_one(targets, observed, expected):
    got = metrics.is_single_label(np.array(targets, float), np.array(observed, bool))
    assert got is expected


def test_a_few_clips_with_two_labels_are_not_counted(rng):
    """Of 20 clips 16 have exactly one known label: decisions are counted on these."""
    scores = scores_for(np.tile(DECIDED, 3)[:20], rng)
    targets = np.eye(4)[np.tile(TRUE, 3)[:20]]
    observed = np.ones(targets.shape, bool)
    targets[0], targets[5, :2] = 0, 1
    observed[7, 0] = observed[9] = False
    counted = np.setdiff1d(np.arange(20), [0, 5, 7, 9])
    assert metrics.has_one_label(targets, observed).nonzero()[0].tolist() == [*counted]
    assert metrics.is_single_label(targets, observed)
    targets[11, :2] = 1
    assert not metrics.is_single_label(targets, observed)
    got = metrics.evaluate(scores, targets, observed, single_label=True)
    counted = np.setdiff1d(counted, [11])
    expected = metrics.confusion(scores[counted], targets[counted])
    assert got["confusion"] == expected.tolist()
    assert got["num_clips"] == 20


def test_tables_show_what_was_computed():
    figures = {"roc_auc": 0.5, "mAP": 0.5, "f1": 0.5, "loss": 1.0}
    assert metrics.shown(figures) == ("roc_auc", "mAP", "f1")
    figures |= {"accuracy": 0.5, "uar": 0.5}
    assert metrics.shown(figures) == ("mAP", "uar", "accuracy")
    figures["parent_error"] = 0.1
    assert metrics.shown(figures) == ("mAP", "uar", "accuracy", "parent_error")


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


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("labels", [2, 5, 9])
def test_decisions_are_counted_as_scikit_learn_counts_them(labels, rng):
    """The last label has no clip: neither average counts it."""
    true = rng.integers(0, labels - 1, 200) if labels > 2 else rng.integers(0, 2, 200)
    decided = np.where(rng.uniform(size=200) < 0.6, true, rng.integers(0, labels, 200))
    scores = scores_for(decided, rng, labels=labels)
    targets = np.eye(labels)[true]
    parent = np.arange(labels) // 2
    got = metrics.evaluate(
        scores, targets, np.ones(targets.shape, bool), single_label=True,
        membership=parent[:, None] == np.unique(parent),
    )  # fmt: skip
    assert got["uar"] == pytest.approx(sk.balanced_accuracy_score(true, decided))
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(true, decided))
    assert got["parent_error"] == pytest.approx(
        np.mean(parent[true] != parent[decided])
    )
    expected = sk.confusion_matrix(true, decided, labels=range(labels))
    assert got["confusion"] == expected.tolist()
    own = [values["recall"] for values in got["per_label"].values()]
    np.testing.assert_allclose(
        own[: true.max() + 1], sk.recall_score(true, decided, average=None,
                                               labels=range(true.max() + 1))
    )  # fmt: skip
    assert np.isnan(own[true.max() + 1 :]).all()
    own = [values["precision"] for values in got["per_label"].values()]
    known = np.unique(decided)
    np.testing.assert_allclose(
        np.array(own)[known], sk.precision_score(true, decided, average=None,
                                                 labels=known)
    )  # fmt: skip
    assert np.isnan(np.delete(own, known)).all()
    json.dumps(got)


def test_decisions_are_counted_only_where_they_are_asked_for(rng):
    scores, targets = scores_for(DECIDED, rng), np.eye(4)[TRUE]
    seen = np.ones(targets.shape, bool)
    plain = metrics.evaluate(scores, targets, seen)
    assert not {"uar", "accuracy", "confusion", "parent_error"} & set(plain)
    assert "recall" not in plain["per_label"]["0"]
    decided = metrics.evaluate(scores, targets, seen, single_label=True)
    assert "parent_error" not in decided
    for name, value in plain.items():
        if name != "per_label":
            assert decided[name] == pytest.approx(value, nan_ok=True)
    for label, values in plain["per_label"].items():
        for name, value in values.items():
            own = decided["per_label"][label][name]
            assert own == pytest.approx(value, nan_ok=True)


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
