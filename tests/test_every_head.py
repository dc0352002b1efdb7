"""What every head promises, over taxonomies of any depth."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfhier.errors import InputError
from tfhier.heads import HEADS, describe
from tfhier.taxonomy import Taxonomy

UNITS = 6
TAXONOMIES = {
    "one level": Taxonomy.flat(["a", "b", "c"]),
    "two levels": Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\nd,y\ne,z\n"),
    "three levels": Taxonomy.parse(
        "leaf,branch,root\na,p,x\nb,p,x\nc,q,x\nd,r,y\ne,s,y\nf,s,y\n"
    ),
    # Levels whose alphabetical order is not theirs; `b` has two parents.
    "two parents": Taxonomy.parse("zebra,animal\na,x\nb,x\nb,y\nc,y\n"),
}
CASES = [
    (head, name)
    for head in HEADS
    for name in TAXONOMIES
    if (head, name) != ("sdt", "two parents")
]
every_case = pytest.mark.parametrize(
    ("head", "name"), CASES, ids=[f"{head}-{name}" for head, name in CASES]
)


@functools.cache
def model_of(head: str, name: str) -> keras.Model:
    keras.utils.set_random_seed(3)
    embedding = keras.Input((UNITS,))
    return keras.Model(embedding, HEADS[head](embedding, TAXONOMIES[name]))


def embeddings(rng, *, batch: int = 16, gain: float = 3.0) -> np.ndarray:
    return rng.normal(0, gain, (batch, UNITS)).astype(np.float32)


@every_case
def test_outputs_are_the_levels_in_order(head, name, rng):
    taxonomy = TAXONOMIES[name]
    outputs = HEADS[head](keras.Input((UNITS,)), taxonomy)
    assert list(outputs) == list(taxonomy.levels)
    answers = model_of(head, name)(embeddings(rng, batch=4))
    assert list(answers) == list(taxonomy.levels)
    shapes = {level: tuple(values.shape) for level, values in answers.items()}
    assert shapes == {level: (4, size) for level, size in taxonomy.sizes.items()}


@every_case
def test_outputs_are_probabilities_that_vary(head, name, rng):
    for values in model_of(head, name)(embeddings(rng)).values():
        values = values.numpy()
        assert values.min() >= 0
        assert values.max() <= 1
        assert values.std(axis=0).min() > 1e-3


@every_case
def test_gradients_of_every_level_are_finite(head, name, rng):
    model, inputs = model_of(head, name), embeddings(rng, gain=30.0)  # saturated
    for level in TAXONOMIES[name].levels:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model(inputs)[level])
        gradients = tape.gradient(total, model.trainable_weights)
        for gradient in gradients:
            assert gradient is None or np.isfinite(gradient).all()


@every_case
def test_saved_and_reloaded_answers_are_equal(head, name, rng, tmp_path):
    model, inputs = model_of(head, name), embeddings(rng)
    model.save(tmp_path / "head.keras")
    again = keras.saving.load_model(tmp_path / "head.keras")(inputs)
    assert list(again) == list(TAXONOMIES[name].levels)
    for level, values in model(inputs).items():
        np.testing.assert_array_equal(again[level], values)


@functools.cache
def softmax_model_of(head: str, name: str) -> keras.Model:
    """The same head for leaves that exclude each other, with the same weights."""
    embedding = keras.Input((UNITS,))
    model = keras.Model(
        embedding, HEADS[head](embedding, TAXONOMIES[name], softmax=True)
    )
    model.set_weights(model_of(head, name).get_weights())
    return model


@pytest.mark.parametrize(("head", "name"), [case for case in CASES if case[0] != "sdt"])
def test_with_softmax_the_leaves_share_one_and_upper_levels_follow(head, name, rng):
    """Leaves are the softmax of the same logits; the levels above read the leaves."""
    taxonomy, inputs = TAXONOMIES[name], embeddings(rng, gain=1.0)
    answers = softmax_model_of(head, name)(inputs)
    others = model_of(head, name)(inputs)
    assert list(answers) == list(taxonomy.levels)
    fine, sigmoid = (a[taxonomy.fine].numpy() for a in (answers, others))
    np.testing.assert_allclose(fine.sum(axis=1), 1, rtol=1e-5)
    odds = (sigmoid / (1 - sigmoid)).astype(np.float64)
    expected = odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fine, expected, rtol=1e-3)
    for level in taxonomy.levels[1:]:
        values, its = answers[level].numpy(), others[level].numpy()
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-6
        # What does not read the leaves is as before.
        assert np.array_equal(values, its) == (head == "levelwise")


@pytest.mark.parametrize("name", ["one level", "two levels", "three levels"])
def test_sdt_refuses_leaves_that_exclude_each_other(name):
    with pytest.raises(InputError, match=r"'sdt'.*cannot sum to 1.*--set loss=bce"):
        HEADS["sdt"](keras.Input((UNITS,)), TAXONOMIES[name], softmax=True)


@pytest.mark.parametrize("head", HEADS)
def test_a_few_steps_lower_the_loss(head, rng):
    taxonomy = TAXONOMIES["three levels"]
    model = keras.models.clone_model(model_of(head, "three levels"))
    inputs = embeddings(rng, batch=32, gain=1.0)
    on = (inputs[:, : len(taxonomy.labels[0])] > 0).astype(np.float32)
    targets = {
        level: (on @ taxonomy.membership(taxonomy.fine, level) > 0).astype(np.float32)
        for level in taxonomy.levels
    }
    model.compile(
        keras.optimizers.Adam(0.05),
        loss={level: keras.losses.BinaryCrossentropy() for level in taxonomy.levels},
    )
    before = model.test_on_batch(inputs, targets, return_dict=True)
    for _ in range(40):
        model.train_on_batch(inputs, targets)
    after = model.test_on_batch(inputs, targets, return_dict=True)
    assert after["loss"] < 0.8 * before["loss"]


def test_sdt_refuses_a_label_with_two_parents():
    with pytest.raises(InputError, match="'sdt'.*several parents.*another head: flat"):
        HEADS["sdt"](keras.Input((UNITS,)), TAXONOMIES["two parents"])


def test_every_head_is_described():
    sentences = describe()
    assert set(sentences) == set(HEADS)
    assert all(sentence.endswith(".") for sentence in sentences.values())
