"""Thresholds: the best F1 of all cuts, on observed clips alone, kept by name."""

import json

import numpy as np
import pytest

from tfhier import metrics, thresholds
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

TREE = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\n")


def labelled(rng, *, clips: int = 40, labels: int = 30):
    """Scores with many ties, targets that follow them a little, and a mask."""
    scores = rng.integers(0, 21, (clips, labels)) / 20
    targets = (scores + rng.normal(0, 0.4, scores.shape) > 0.5).astype(float)
    observed = rng.uniform(size=scores.shape) < 0.5
    return scores, targets, observed


def test_no_other_threshold_has_a_higher_f1(rng):
    scores, targets, observed = labelled(rng)
    fitted = thresholds.fit(scores, targets, observed)
    got = metrics.f1(scores, targets, observed, thresholds=fitted)
    cuts = np.linspace(-0.025, 1.025, 43)  # between, on, below and above all scores
    every = np.stack(
        [
            metrics.f1(scores, targets, observed, thresholds=np.full(30, cut))
            for cut in cuts
        ]
    )
    np.testing.assert_allclose(got, every.max(axis=0))


def test_thresholds_lie_between_scores(rng):
    scores, targets, observed = labelled(rng)
    fitted = thresholds.fit(scores, targets, observed)
    assert ((fitted > 0) & (fitted < 1)).all()
    assert np.abs(scores - fitted)[observed].min() > 1e-6


def test_thresholds_by_hand():
    # + + - +: cutting behind the second gives F1 4/5, behind the fourth 6/7.
    scores = np.array([[0.9], [0.8], [0.4], [0.3], [0.1]])
    targets = np.array([[1], [1], [0], [1], [0]])
    seen = np.ones((5, 1), bool)
    assert thresholds.fit(scores, targets, seen) == pytest.approx([0.2])
    targets[3] = 0
    assert thresholds.fit(scores, targets, seen) == pytest.approx([0.6])


def test_equal_scores_are_never_parted():
    """The best cut of the ranking would lie inside the tie."""
    scores = np.array([[0.7], [0.7], [0.2]])
    targets = np.array([[1], [0], [0]])
    assert thresholds.fit(scores, targets, np.ones((3, 1), bool)) == pytest.approx(
        [0.45]
    )


def test_what_was_not_observed_does_not_matter(rng):
    scores, targets, observed = labelled(rng)
    fitted = thresholds.fit(scores, targets, observed)
    other = np.where(observed, scores, rng.uniform(size=scores.shape))
    flipped = np.where(observed, targets, 1 - targets)
    np.testing.assert_array_equal(thresholds.fit(other, flipped, observed), fitted)


def test_order_of_clips_does_not_matter(rng):
    scores, targets, observed = labelled(rng)
    order = rng.permutation(len(scores))
    np.testing.assert_array_equal(
        thresholds.fit(scores[order], targets[order], observed[order]),
        thresholds.fit(scores, targets, observed),
    )


def test_labels_without_both_kinds_get_the_default():
    scores = np.array([[0.9, 0.9, 0.9, 0.0], [0.1, 0.1, 0.1, 0.0]])
    targets = np.array([[1, 0, 1, 1], [1, 0, 0, 0]])
    observed = np.array([[1, 1, 1, 1], [1, 1, 0, 1]], bool)
    # All positive, all negative, one clip alone, all scores zero.
    np.testing.assert_array_equal(thresholds.fit(scores, targets, observed), 0.5)


# -- Files ---------------------------------------------------------------------------


def test_thresholds_are_kept_by_name(tmp_path):
    path = tmp_path / "thresholds.json"
    values = {"fine": np.array([0.1, 0.2, 1 / 3]), "coarse": np.array([0.4, 0.5])}
    thresholds.write(path, values, TREE)
    assert json.loads(path.read_text())["fine"] == {"a": 0.1, "b": 0.2, "c": 1 / 3}
    again = thresholds.read(path, TREE)
    assert list(again) == ["fine", "coarse"]
    for level in values:
        np.testing.assert_array_equal(again[level], values[level])
    reordered = Taxonomy.parse("fine,coarse\nc,y\nb,x\na,x\n")
    turned = thresholds.read(path, reordered)
    np.testing.assert_array_equal(turned["fine"], [1 / 3, 0.2, 0.1])
    np.testing.assert_array_equal(turned["coarse"], [0.5, 0.4])


@pytest.mark.parametrize(
    "text",
    [
        "fine,coarse\na,x\nb,x\nd,y\n",
        "fine,coarse\na,x\nb,x\n",
        "fine,family\na,x\nb,x\nc,y\n",
        "fine\na\nb\nc\n",
    ],
)
def test_thresholds_of_another_taxonomy_are_refused(text, tmp_path):
    path = tmp_path / "thresholds.json"
    thresholds.write(path, {"fine": np.full(3, 0.5), "coarse": np.full(2, 0.5)}, TREE)
    with pytest.raises(InputError, match="thresholds.json holds thresholds of other"):
        thresholds.read(path, Taxonomy.parse(text))


@pytest.mark.parametrize("precision", [0.2, 0.5, 0.9, 1.0])
def test_the_lowest_threshold_of_a_precision(rng, precision):
    scores, targets, observed = labelled(rng)
    fitted = thresholds.at_precision(scores, targets, observed, precision=precision)
    for label, bound in enumerate(fitted):
        seen = observed[:, label]
        own, positive = scores[seen, label], targets[seen, label] > 0
        cuts = [c for c in np.linspace(0.025, 1.025, 41) if (own >= c).any()]
        precise = [c for c in cuts if positive[own >= c].mean() >= precision]
        if not precise:
            assert bound == np.inf
            continue
        # No lower one finds more.
        assert (own >= bound).sum() == (own >= min(precise)).sum()
        assert positive[own >= bound].mean() >= precision
    assert precision < 1 or np.isinf(fitted).any()


def test_precision_is_worked_out_by_hand():
    scores = np.array([[0.9], [0.8], [0.6], [0.4], [0.2]])
    targets = np.array([[1], [1], [0], [1], [0]])
    for precision, expected in [(1.0, 0.7), (0.75, 0.3), (0.6, 0.1), (0.7, 0.3)]:
        found = thresholds.at_precision(
            scores, targets, targets < 2, precision=precision
        )
        assert found == pytest.approx([expected])
    never = thresholds.at_precision(scores, 0 * targets, targets < 2, precision=0.5)
    assert never.tolist() == [np.inf]


def test_no_threshold_falls_below_an_earlier_one():
    scores = np.array([[0.1, 0.9, 0.9], [0.8, 0.8, 0.2], [0.2, 0.7, 0.3]])
    targets = np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    observed = np.ones(scores.shape, bool)
    alone = thresholds.fit(scores, targets, observed)
    assert alone[0] == pytest.approx(0.5) and alone[2] < 0.3
    # Higher where it was higher; as it was where a label has one kind alone.
    before = np.array([0.6, 0.35, 0.4])
    found = thresholds.fit(scores, targets, observed, before=before)
    assert found.tolist() == [0.6, 0.35, 0.4]
    assert thresholds.fit(scores, targets, observed, before=before / 10)[0] == alone[0]
    precise = thresholds.at_precision(
        scores, targets, observed, precision=0.5, before=before
    )
    assert precise.tolist() == [0.6, 0.35, 0.4]


def test_thresholds_of_a_contract_without_any_are_the_default():
    tree = Taxonomy.parse("fine,coarse\na,x\nb,x\n")
    found = thresholds.of({"fine": (0.2, 0.3)}, tree)
    assert found["fine"].tolist() == [0.2, 0.3]
    assert found["coarse"].tolist() == [thresholds.DEFAULT]
