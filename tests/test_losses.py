"""Losses see the observed entries and no others."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfhier import losses, metrics
from tfhier.errors import InputError
from tfhier.heads import HEADS
from tfhier.taxonomy import Taxonomy

PARITY = Path(
    os.environ.get("TFHIER_PARITY") or Path(__file__).parents[1] / "../shared/parity"
)
FLAT = Taxonomy.flat(["a", "b"])
TREE = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\n")
TALL = Taxonomy.parse("leaf,branch,root\na,p,x\nb,p,x\nc,q,x\nd,r,y\n")


def labelled(rng, *, clips: int = 12, labels: int = 7, share: float = 0.3):
    """Random probabilities, targets and mask; unobserved targets are rubbish."""
    scores = rng.uniform(0.02, 0.98, (clips, labels)).astype(np.float32)
    targets = rng.integers(0, 2, (clips, labels)).astype(np.float32)
    observed = rng.uniform(size=(clips, labels)) < share
    targets[~observed] = rng.uniform(size=int((~observed).sum()))
    return scores, targets, observed


def crossentropy(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Elementwise binary cross-entropy in NumPy."""
    scores = scores.astype(np.float64)
    return -targets * np.log(scores) - (1 - targets) * np.log1p(-scores)


# -- Masked binary cross-entropy -----------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_masked_loss_is_the_loss_of_the_observed_subset(share, rng):
    scores, targets, observed = labelled(rng, share=share)
    observed[0, 0] = True
    targets[0, 0] = 1.0
    loss = losses.MaskedBinaryCrossentropy()
    got = float(loss(targets, scores, sample_weight=observed.astype(np.float32)))
    expected = crossentropy(scores[observed], targets[observed]).mean()
    assert got == pytest.approx(expected, rel=1e-5)
    assert got == pytest.approx(
        metrics.binary_crossentropy(scores, targets, observed), rel=1e-5
    )


def test_unweighted_loss_is_the_plain_mean(rng):
    scores, targets, _ = labelled(rng, share=1.0)
    got = float(losses.MaskedBinaryCrossentropy()(targets, scores))
    assert got == pytest.approx(crossentropy(scores, targets).mean(), rel=1e-5)


def test_soft_weights_average(rng):
    scores, targets, _ = labelled(rng, share=1.0)
    weights = rng.uniform(0, 1, scores.shape).astype(np.float32)
    got = float(losses.MaskedBinaryCrossentropy()(targets, scores, weights))
    expected = np.average(crossentropy(scores, targets), weights=weights)
    assert got == pytest.approx(expected, rel=1e-5)


def test_masked_loss_by_hand():
    scores = np.array([[0.5, 0.9], [0.2, 0.1]], np.float32)
    targets = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    observed = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    got = losses.MaskedBinaryCrossentropy()(targets, scores, observed)
    assert float(got) == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2, rel=1e-6)


def test_where_nothing_is_observed_the_loss_and_its_gradient_are_zero(rng):
    scores, targets, _ = labelled(rng)
    scores = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = losses.MaskedBinaryCrossentropy()(
            targets, scores, np.zeros(scores.shape, np.float32)
        )
    assert float(loss) == 0.0
    assert not np.any(tape.gradient(loss, scores))


def test_unobserved_entries_get_no_gradient(rng):
    scores, targets, observed = labelled(rng)
    scores = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = losses.MaskedBinaryCrossentropy()(
            targets, scores, observed.astype(np.float32)
        )
    np.testing.assert_array_equal(tape.gradient(loss, scores).numpy() != 0, observed)


def test_certain_but_wrong_is_finite():
    scores = np.array([[0.0, 1.0]], np.float32)
    loss = losses.MaskedBinaryCrossentropy()(1 - scores, scores)
    assert 10 < float(loss) < 20  # Keras clips probabilities at 1e-7


def test_masked_loss_gives_the_reference_number():
    path = PARITY / "misc" / "masked_bce.json"
    if not path.is_file():
        pytest.skip(f"no reference numbers at {path}; set TFHIER_PARITY")
    case = json.loads(path.read_text(encoding="utf-8"))
    scores = 1 / (1 + np.exp(-np.array(case["logits"])))
    got = losses.MaskedBinaryCrossentropy()(
        np.array(case["labels"], np.float32),
        scores.astype(np.float32),
        np.array(case["mask"], np.float32),
    )
    assert float(got) == pytest.approx(
        case["mean_over_observed"], abs=case["tolerance"]
    )


# -- Masked categorical cross-entropy --------------------------------------------------


def exclusive(rng, *, clips: int = 12, labels: int = 5, soft: bool = False):
    """Probabilities and targets that sum to 1."""
    scores = rng.dirichlet(np.ones(labels), clips).astype(np.float32)
    if soft:
        return scores, rng.dirichlet(np.ones(labels), clips).astype(np.float32)
    return scores, np.eye(labels, dtype=np.float32)[rng.integers(0, labels, clips)]


@pytest.mark.parametrize("soft", [False, True])
def test_categorical_loss_is_keras_and_numpys(soft, rng):
    scores, targets = exclusive(rng, soft=soft)
    got = float(losses.MaskedCategoricalCrossentropy()(targets, scores))
    assert got == pytest.approx(
        float(keras.losses.CategoricalCrossentropy()(targets, scores)), rel=1e-5
    )
    expected = -(targets * np.log(scores.astype(np.float64))).sum(axis=1).mean()
    assert got == pytest.approx(expected, rel=1e-5)
    ones = np.ones_like(targets)
    weighted = losses.MaskedCategoricalCrossentropy()(targets, scores, ones)
    assert float(weighted) == pytest.approx(got, rel=1e-6)


def test_categorical_loss_by_hand():
    scores = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]], np.float32)
    targets = np.array([[0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]], np.float32)
    weights = np.array([[1, 1, 1], [1, 1, 0], [0.2, 0.2, 0.2]], np.float32)
    got = losses.MaskedCategoricalCrossentropy()(targets, scores, weights)
    expected = (np.log(4) + 0.2 * np.log(5)) / 1.2  # the second clip is half known
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_clips_not_wholly_known_leave_no_trace_in_value_or_gradient(rng):
    scores, targets = exclusive(rng)
    observed = np.ones(targets.shape, np.float32)
    observed[[1, 4, 7], [0, 2, 4]] = 0
    observed[9] = 0
    known = observed.all(axis=1)
    targets[~known] = rng.uniform(size=(4, 5))  # rubbish
    loss = losses.MaskedCategoricalCrossentropy()

    def value_and_gradient(rows):
        kept = tf.constant(scores[rows])
        with tf.GradientTape() as tape:
            tape.watch(kept)
            value = loss(targets[rows], kept, observed[rows])
        return float(value), tape.gradient(value, kept).numpy()

    value, gradient = value_and_gradient(np.arange(12))
    alone, its_gradient = value_and_gradient(np.flatnonzero(known))
    assert value == pytest.approx(alone, rel=1e-6)
    np.testing.assert_allclose(gradient[known], its_gradient, rtol=1e-5)
    np.testing.assert_array_equal(gradient[~known], 0)
    value, gradient = value_and_gradient(np.flatnonzero(~known))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("in_graph", [False, True])
def test_a_hopelessly_wrong_softmax_still_learns(in_graph):
    """Where the probability rounds to 0 the gradient is that of the logits."""
    logits = keras.Input((3,))
    model = keras.Model(logits, keras.layers.Activation("softmax")(logits))
    loss = losses.MaskedCategoricalCrossentropy()

    def gradient(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            told = loss(tf.constant([[0.0, 1.0, 0.0]]), model(values), tf.ones((1, 3)))
        return tape.gradient(told, values)

    gradient = tf.function(gradient) if in_graph else gradient
    got = gradient(tf.constant([[200.0, 0.0, 0.0]]))
    np.testing.assert_allclose(got, [[1.0, -1.0, 0.0]], atol=1e-5)


def test_softmax_changes_the_loss_of_the_leaves_alone():
    found = losses.masked(TALL, softmax=True)
    assert list(found) == ["leaf", "branch", "root"]
    assert type(found["leaf"]) is losses.MaskedCategoricalCrossentropy
    for level in ("branch", "root"):
        assert type(found[level]) is losses.MaskedBinaryCrossentropy
    plain = losses.masked(TALL)
    assert all(type(loss) is losses.MaskedBinaryCrossentropy for loss in plain.values())


def test_categorical_loss_survives_saving(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, HEADS["gmp"](inputs, TREE, softmax=True))
    model.compile("sgd", loss=losses.masked(TREE, softmax=True))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.loss["fine"]) is losses.MaskedCategoricalCrossentropy
    assert again.loss["fine"].reduction == "mean_with_sample_weight"


def test_loss_survives_saving(rng, tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, HEADS["gmp"](inputs, TREE))
    model.compile("sgd", loss=losses.masked(TREE))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.loss["fine"]) is losses.MaskedBinaryCrossentropy
    assert again.loss["fine"].reduction == "mean_with_sample_weight"


# -- Weights of the levels -----------------------------------------------------------


def test_level_weights():
    def weights(taxonomy: Taxonomy) -> dict[str, float]:
        return losses.level_weights(taxonomy, fine_weight=0.8)

    assert weights(FLAT) == {"label": 1.0}
    assert weights(TREE) == pytest.approx({"fine": 0.8, "coarse": 0.2})
    assert weights(TALL) == pytest.approx({"leaf": 0.8, "branch": 0.1, "root": 0.1})


@pytest.mark.parametrize("fine_weight", [-0.1, 1.1, float("nan")])
def test_level_weights_refuse_what_is_no_share(fine_weight):
    with pytest.raises(InputError, match=r"fine_weight must lie in \[0, 1\]"):
        losses.level_weights(TREE, fine_weight=fine_weight)


@pytest.mark.parametrize("taxonomy", [FLAT, TREE, TALL], ids=lambda t: t.levels)
def test_a_training_step_tells_the_weighted_masked_loss(taxonomy, rng):
    keras.utils.set_random_seed(2)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, HEADS["levelwise"](inputs, taxonomy))
    model.compile(
        "sgd",
        loss=losses.masked(taxonomy),
        loss_weights=losses.level_weights(taxonomy, fine_weight=0.7),
    )
    clips = rng.normal(size=(12, 4)).astype(np.float32)
    leaves = len(taxonomy.labels[0])
    _, targets, observed = labelled(rng, labels=leaves, share=0.5)
    lifted = taxonomy.lift(targets, observed)
    scores = {level: values.numpy() for level, values in model(clips).items()}
    expected = sum(
        weight * crossentropy(scores[level], lifted[level][0])[lifted[level][1]].mean()
        for level, weight in losses.level_weights(taxonomy, fine_weight=0.7).items()
    )
    told = model.train_on_batch(
        clips,
        {level: pair[0] for level, pair in lifted.items()},
        sample_weight={
            level: pair[1].astype(np.float32) for level, pair in lifted.items()
        },
        return_dict=True,
    )
    assert told["loss"] == pytest.approx(expected, rel=1e-5)


# -- Consistency of levels -----------------------------------------------------------


def test_consistency_by_hand():
    fine = np.array([[0.2, 0.6, 0.5], [0.0, 0.0, 0.0]], np.float32)
    coarse = np.array([[0.4, 0.7], [0.0, 0.3]], np.float32)
    # Children above parents: 0.2 of 6 edges; parents above children: 0.2 + 0.3 of 4.
    got = losses.consistency({"fine": fine, "coarse": coarse}, TREE)
    assert float(got) == pytest.approx(0.2 / 6 + 0.5 / 4, rel=1e-5)


def test_consistency_adds_up_over_levels(rng):
    scores = {
        level: rng.uniform(size=(5, size)).astype(np.float32)
        for level, size in TALL.sizes.items()
    }
    expected = 0.0
    for lower, upper in (("leaf", "branch"), ("branch", "root")):
        under = TALL.membership(lower, upper)
        for_edge = np.maximum(scores[lower][:, :, None] - scores[upper][:, None], 0)
        expected += for_edge[:, under].mean()
        largest = np.where(under, scores[lower][:, :, None], 0).max(axis=1)
        expected += np.maximum(scores[upper] - largest, 0).mean()
    assert float(losses.consistency(scores, TALL)) == pytest.approx(expected, rel=1e-5)


def test_consistency_is_zero_if_and_only_if_parents_equal_their_largest_child(rng):
    leaves = rng.uniform(0.1, 0.9, (4, 4)).astype(np.float32)
    scores = {"leaf": leaves}
    for lower, upper in (("leaf", "branch"), ("branch", "root")):
        scores[upper] = np.stack(
            [scores[lower][:, list(own)].max(axis=1) for own in TALL.groups(lower)],
            axis=1,
        )
    assert float(losses.consistency(scores, TALL)) == 0.0
    for level in ("branch", "root"):
        for shift in (-0.05, 0.05):
            moved = {**scores, level: scores[level].copy()}
            moved[level][2, 0] += shift
            assert float(losses.consistency(moved, TALL)) > 1e-4
