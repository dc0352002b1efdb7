"""Orders of training: exact quotas, no memory, no repetition."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfhier.data.sampling import sampler
from tfhier.errors import InputError

NAMES = ("uniform", "balanced", "importance")
# Six clips; label 1 has no clip, clip 0 three labels, clip 5 none.
POSITIVE = np.array(
    [
        [1, 0, 1, 1],
        [1, 0, 0, 0],
        [1, 0, 1, 0],
        [1, 0, 0, 0],
        [1, 0, 1, 0],
        [0, 0, 0, 0],
    ],
    bool,
)


def exclusive(*sizes: int) -> np.ndarray:
    """Positives of clips with one label each: so many of every label, in turn."""
    return np.repeat(np.eye(len(sizes), dtype=bool), sizes, axis=0)


def draw(name: str, positive: np.ndarray, count: int, *, first=0, seed=0, **settings):
    settings = {"pass_length": len(positive), **settings}
    order = sampler(name, positive, seed=seed, **settings)
    return order(tf.range(first, first + count, dtype=tf.int64)).numpy()


# -- What all have in common -----------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_place_depends_on_its_position_alone(name, rng):
    whole = draw(name, POSITIVE, 500)
    order = sampler(name, POSITIVE, pass_length=len(POSITIVE), seed=0)
    positions = rng.permutation(500)
    np.testing.assert_array_equal(order(tf.constant(positions)), whole[positions])
    np.testing.assert_array_equal(draw(name, POSITIVE, 50, first=321), whole[321:371])
    for position in (0, 17, 499):
        one = order(tf.constant([position], tf.int64))
        np.testing.assert_array_equal(one, whole[position : position + 1])


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_draws_what_eager_code_does(name):
    order = sampler(name, POSITIVE, pass_length=len(POSITIVE), seed=0)
    batches = tf.data.Dataset.range(40).map(
        lambda step: order(step * 5 + tf.range(5, dtype=tf.int64))
    )
    drawn = np.concatenate(list(batches.as_numpy_iterator()))
    np.testing.assert_array_equal(drawn, draw(name, POSITIVE, 200))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", [1, 256, 65_536])
def test_seeds_give_other_orders(name, other):
    positive = np.ones((50, 1), bool)
    first, again = (draw(name, positive, 500) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first == draw(name, positive, 500, seed=other)) < 0.15


@pytest.mark.parametrize("name", NAMES)
def test_places_far_on_are_still_places(name):
    """A hundred million draws, as of a training that is never to end."""
    drawn = draw(name, POSITIVE, 600, first=10**8)
    assert drawn.min() >= 0
    assert drawn.max() < len(POSITIVE)
    assert len(set(drawn)) == (6 if name == "uniform" else 5)


# -- Uniform ---------------------------------------------------------------------------


@pytest.mark.parametrize("num_clips", [1, 2, 7, 100])
def test_a_uniform_pass_is_a_permutation(num_clips):
    drawn = draw("uniform", np.zeros((num_clips, 1), bool), 30 * num_clips)
    passes = drawn.reshape(30, num_clips)
    np.testing.assert_array_equal(
        np.sort(passes, axis=1), np.tile(range(num_clips), (30, 1))
    )
    if num_clips == 100:
        assert len(np.unique(passes, axis=0)) == 30


def test_a_shorter_pass_leaves_others_out_each_time():
    passes = draw("uniform", POSITIVE, 4 * 100, pass_length=4).reshape(100, 4)
    assert all(len(set(clips)) == 4 for clips in passes)
    left_out = {frozenset(range(6)) - set(clips) for clips in passes}
    assert len(left_out) == 15  # all pairs of six


def test_permutations_do_not_repeat_in_a_long_training():
    """The operation behind knows 256 permutations for a seed if it is asked naively."""
    passes = draw("uniform", np.zeros((20, 1), bool), 20 * 1_000).reshape(1_000, 20)
    assert len(np.unique(passes, axis=0)) > 990


def test_every_clip_is_as_often_at_every_place_of_a_pass():
    num_passes = 2_000
    passes = draw("uniform", np.zeros((8, 1), bool), 8 * num_passes).reshape(-1, 8)
    for clip in range(8):
        counts = (passes == clip).sum(axis=0)
        expected = num_passes / 8
        np.testing.assert_allclose(counts, expected, atol=6 * np.sqrt(expected))


# -- Balanced --------------------------------------------------------------------------


def test_every_round_has_every_label_once():
    positive = exclusive(3, 1, 5, 2)
    rounds = positive.argmax(axis=1)[draw("balanced", positive, 4 * 200)]
    rounds = rounds.reshape(200, 4)
    np.testing.assert_array_equal(np.sort(rounds, axis=1), np.tile(range(4), (200, 1)))
    assert len(np.unique(rounds, axis=0)) == 24  # all orders


@pytest.mark.parametrize("num_rounds", [1, 7, 10, 33, 60])
def test_clips_of_a_label_take_equal_turns(num_rounds):
    sizes = (3, 1, 5, 20)
    drawn = draw("balanced", exclusive(*sizes), 4 * num_rounds)
    counts = np.bincount(drawn, minlength=sum(sizes))
    for own in np.split(counts, np.cumsum(sizes)[:-1]):
        assert own.sum() == num_rounds
        assert own.min() >= num_rounds // len(own)
        assert own.max() <= -(-num_rounds // len(own))


def test_a_clip_of_several_labels_is_drawn_for_each_of_them():
    """Labels of 5, 3 and 1 clips: after 15 rounds 3, 5 and 15 turns for each clip."""
    counts = np.bincount(draw("balanced", POSITIVE, 3 * 15), minlength=6)
    assert counts.tolist() == [3 + 5 + 15, 3, 3 + 5, 3, 3 + 5, 0]


def test_balanced_knows_no_length_of_a_pass():
    np.testing.assert_array_equal(
        draw("balanced", POSITIVE, 90, pass_length=1), draw("balanced", POSITIVE, 90)
    )


NUM_ROUNDS = 2_000


@pytest.fixture(scope="module")
def long_draw() -> np.ndarray:
    """Balanced draws of many rounds, of three labels with five clips each."""
    return draw("balanced", exclusive(5, 5, 5), 3 * NUM_ROUNDS)


def test_what_is_drawn_of_a_label_says_nothing_of_another(long_draw):
    """All pairs of clips, of one round and of the next, are equally frequent."""
    own = np.stack([long_draw[long_draw // 5 == label] % 5 for label in range(3)])
    for (i, j), later in itertools.product([(0, 1), (0, 2), (1, 2)], (0, 1, 7)):
        pairs = np.zeros((5, 5))
        np.add.at(pairs, (own[i, : NUM_ROUNDS - later], own[j, later:]), 1)
        expected = (NUM_ROUNDS - later) / 25
        np.testing.assert_allclose(pairs, expected, atol=6 * np.sqrt(expected))


def test_places_in_a_round_say_nothing_of_the_clip(long_draw):
    places = np.arange(len(long_draw)) % 3
    table = np.zeros((3, 15))
    np.add.at(table, (places, long_draw), 1)
    expected = NUM_ROUNDS / 15
    np.testing.assert_allclose(table, expected, atol=6 * np.sqrt(expected))


# -- Importance ------------------------------------------------------------------------


@pytest.mark.parametrize("pass_length", [1, 40, 100])
def test_a_pass_has_each_clip_in_proportion_to_its_weight(pass_length):
    positive = np.concatenate([exclusive(30, 2), np.ones((1, 2), bool)])
    weights = (positive / (100 + np.array([31, 3]))).sum(axis=1)
    quotas = pass_length * weights / weights.sum()
    drawn = draw("importance", positive, 50 * pass_length, pass_length=pass_length)
    counts = np.stack(
        [np.bincount(own, minlength=33) for own in drawn.reshape(50, pass_length)]
    )
    assert (counts >= np.floor(quotas)).all()
    assert (counts <= np.ceil(quotas)).all()
    np.testing.assert_allclose(counts.mean(axis=0), quotas, atol=3 / 50)
    assert len(np.unique(counts, axis=0)) > 10


def test_importance_orders_its_pass_anew_and_leaves_unlabelled_clips_out():
    passes = draw("importance", POSITIVE, 6 * 300).reshape(300, 6)
    assert 5 not in passes
    assert len(np.unique(passes, axis=0)) > 100
    first = np.bincount(passes[:, 0], minlength=5)
    assert first.min() > 20


# -- Errors ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["balanced", "importance"])
def test_without_a_positive_label_there_is_nothing_to_draw_by(name):
    with pytest.raises(InputError, match=f"{name} sampling .*--set sampling=uniform"):
        sampler(name, np.zeros((4, 2), bool), pass_length=4, seed=0)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="uniform, balanced, importance.*'random'"):
        sampler("random", POSITIVE, pass_length=4, seed=0)
