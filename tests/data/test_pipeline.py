"""Training batches: whole permutations, the same from any epoch, labels with clips."""

import numpy as np
import pytest
import tensorflow as tf

from tfhier.data.pipeline import (
    Features,
    scoring_batches,
    steps_per_epoch,
    training_batches,
)

NUM_CLIPS = 40
ROWS = np.arange(3, 33, 2)  # 15 training clips, scattered in the source


class Ramps:
    """A source whose sample i of clip c is 1000 c + i, and that records crops."""

    def __init__(self, num_samples=100):
        self.values = 1000 * np.arange(NUM_CLIPS)[:, None] + np.arange(num_samples)

    def fetch(self, indices, *, offsets=None, num_samples=None):
        if offsets is None:
            return self.values[indices].astype(np.float32)
        assert offsets.min() >= 0
        assert offsets.max() + num_samples <= self.values.shape[1]
        columns = offsets[:, None] + np.arange(num_samples)
        return self.values[indices[:, None], columns].astype(np.float32)


def labellings():
    """Two levels whose entries tell the clip they belong to."""
    clips = np.arange(NUM_CLIPS, dtype=np.float32)[:, None]
    observed = np.random.default_rng(0).random((NUM_CLIPS, 3)) < 0.5
    return {
        "fine": (clips + np.array([0.0, 0.1, 0.2], np.float32), observed),
        "coarse": (-clips, observed[:, :1]),
    }


def batches_of(source=None, rows=ROWS, **changes):
    settings = {
        "batch_size": 5, "seed": 0, "first_epoch": 0, "num_epochs": 4,
    }  # fmt: skip
    dataset = training_batches(
        source or Ramps(), rows, labellings(), **(settings | changes)
    )
    return list(dataset.as_numpy_iterator())


def clips_of(batches) -> np.ndarray:
    """Return the clips of each batch: (steps, batch)."""
    return np.stack([inputs[:, 0] // 1000 for inputs, _, _ in batches]).astype(int)


def test_every_epoch_is_a_permutation_and_no_two_are_alike():
    epochs = clips_of(batches_of()).reshape(4, -1)
    for clips in epochs:
        assert sorted(clips) == ROWS.tolist()
    assert len({tuple(clips) for clips in epochs}) == 4
    assert list(epochs[0]) != ROWS.tolist()


def test_seeds_decide_the_order():
    first, again, other = (clips_of(batches_of(seed=seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[:3], other[:3])


def test_no_epoch_of_one_seed_is_an_epoch_of_the_next():
    epochs = np.concatenate(
        [clips_of(batches_of(seed=seed)).reshape(4, -1) for seed in range(3)]
    )
    assert len({tuple(clips) for clips in epochs}) == 12


@pytest.mark.parametrize("crop_samples", [0, 30])
def test_beginning_later_gives_what_the_whole_gives_there(crop_samples):
    crops = {"crop_samples": crop_samples}
    whole, late = batches_of(**crops), batches_of(**crops, first_epoch=2)
    assert len(whole) == 12
    assert len(late) == 6
    for ours, theirs in zip(late, whole[6:], strict=True):
        assert np.array_equal(ours[0], theirs[0])
        for mine, its in zip(ours[1:], theirs[1:], strict=True):
            assert all(np.array_equal(mine[level], its[level]) for level in its)


def test_the_rest_that_fills_no_batch_is_another_one_in_every_epoch():
    epochs = clips_of(batches_of(batch_size=4, num_epochs=60)).reshape(60, -1)
    assert epochs.shape[1] == 12
    left_out = [frozenset(ROWS) - set(clips) for clips in epochs]
    assert all(len(rest) == 3 for rest in left_out)
    assert len(set(left_out)) > 30
    assert set().union(*left_out) == set(ROWS)


def test_labels_come_with_their_clips_and_weights_are_what_is_observed():
    expected = labellings()
    for inputs, targets, weights in batches_of():
        clips = (inputs[:, 0] // 1000).astype(int)
        for level, (known, observed) in expected.items():
            assert np.array_equal(targets[level], known[clips])
            assert weights[level].dtype == np.float32
            assert np.array_equal(weights[level], observed[clips].astype(np.float32))


def test_crops_lie_inside_their_clips_and_reach_both_ends():
    batches = batches_of(num_epochs=30, crop_samples=97)
    starts = np.concatenate([inputs[:, 0] % 1000 for inputs, _, _ in batches])
    assert {inputs.shape for inputs, _, _ in batches} == {(5, 97)}
    assert set(starts) == {0, 1, 2, 3}
    for inputs, _, _ in batches:
        assert np.array_equal(np.diff(inputs, axis=1), np.ones((5, 96)))


def test_crops_of_short_clips_lie_in_their_sound():
    lengths = np.full(max(ROWS) + 1, 100)
    short, shortest = ROWS[0], ROWS[1]
    lengths[short], lengths[shortest] = 40, 10
    batches = batches_of(num_epochs=60, crop_samples=30, lengths=lengths)
    first = np.concatenate([inputs[:, 0] for inputs, _, _ in batches])
    starts = {clip: set(first[first // 1000 == clip] % 1000) for clip in ROWS}
    assert max(starts[short]) <= 10
    assert len(starts[short]) > 3
    assert starts[shortest] == {0}
    assert max(starts[ROWS[2]]) > 40


def test_crops_differ_between_epochs_and_seeds():
    def starts(seed):
        batches = batches_of(seed=seed, crop_samples=20)
        return [inputs[:, 0] % 1000 for inputs, _, _ in batches]

    mine, other = starts(0), starts(1)
    assert not np.array_equal(mine[0], mine[3])
    assert not np.array_equal(mine[0], other[0])


def test_features_are_a_source(rng):
    values = rng.normal(size=(NUM_CLIPS, 4, 3))
    inputs, targets, _ = batches_of(Features(values))[0]
    clips = -targets["coarse"][:, 0].astype(int)
    assert inputs.dtype == np.float32
    assert np.array_equal(inputs, values[clips].astype(np.float32))


def test_a_batch_larger_than_the_data_is_all_of_them():
    (clips,) = clips_of(batches_of(batch_size=64, num_epochs=1))
    assert sorted(clips) == ROWS.tolist()


@pytest.mark.parametrize(
    ("num_clips", "batch_size", "expected"), [(15, 5, 3), (14, 5, 2), (4, 5, 1)]
)
def test_steps_of_an_epoch(num_clips, batch_size, expected):
    assert steps_per_epoch(num_clips, batch_size) == expected


def test_scoring_takes_whole_clips_in_order_with_the_last_small_batch():
    rows = np.array([7, 2, 39, 2, 0])
    batches = list(scoring_batches(Ramps(), rows, batch_size=2).as_numpy_iterator())
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert np.array_equal(np.concatenate(batches), Ramps().values[rows])


# -- Samplers, steps and noise ---------------------------------------------------------

NOISE_ROWS = np.array([1, 2, 36, 39])


def assert_equal(ours, theirs) -> None:
    """Compare nested tuples and dicts of arrays."""
    tf.nest.assert_same_structure(ours, theirs)
    for mine, its in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("sampling", ["uniform", "balanced", "importance"])
@pytest.mark.parametrize("first_epoch", [1, 3])
def test_any_sampler_with_noise_goes_on_at_any_epoch(sampling, first_epoch):
    settings = {
        "sampling": sampling, "steps": 4, "noise_rows": NOISE_ROWS, "crop_samples": 30,
    }  # fmt: skip
    whole, late = (
        batches_of(**settings),
        batches_of(**settings, first_epoch=first_epoch),
    )
    assert len(whole) == 16
    assert len(late) == 16 - 4 * first_epoch
    for ours, theirs in zip(late, whole[4 * first_epoch :], strict=True):
        assert_equal(ours, theirs)


@pytest.mark.parametrize("sampling", ["uniform", "balanced", "importance"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_epochs_of_other_lengths_go_on_through_one_order(sampling, steps):
    """14 batches, in whatever epochs they come; a pass is three."""
    usual = clips_of(batches_of(sampling=sampling, steps=14, num_epochs=1))
    cut = clips_of(batches_of(sampling=sampling, steps=steps, num_epochs=14 // steps))
    np.testing.assert_array_equal(cut, usual)
    if sampling == "uniform":
        for clips in usual[:12].reshape(4, -1):
            assert sorted(clips) == ROWS.tolist()


def test_balanced_batches_count_observed_positives_alone():
    """Of label 0 three clips are known, of label 1 one; the rest is no positive."""
    targets = np.ones((NUM_CLIPS, 3), np.float32)
    observed = np.zeros((NUM_CLIPS, 3), bool)
    observed[ROWS[:3], 0] = observed[ROWS[7], 1] = observed[ROWS, 2] = True
    targets[ROWS, 2] = 0
    observed[0, :] = True  # no training clip
    dataset = training_batches(
        Ramps(), ROWS, {"fine": (targets * observed, observed)}, batch_size=6, seed=0,
        first_epoch=0, num_epochs=1, steps=3, sampling="balanced",
    )  # fmt: skip
    clips, counts = np.unique(clips_of(dataset.as_numpy_iterator()), return_counts=True)
    assert dict(zip(clips, counts, strict=True)) == {
        ROWS[0]: 3, ROWS[1]: 3, ROWS[2]: 3, ROWS[7]: 9,
    }  # fmt: skip


@pytest.mark.parametrize("crop_samples", [0, 30])
def test_noise_comes_from_its_rows_alone_and_from_all_of_them(crop_samples):
    settings = {"crop_samples": crop_samples, "num_epochs": 20}
    batches = batches_of(noise_rows=NOISE_ROWS, **settings)
    for (clips, noise), _, _ in batches:
        assert clips.shape == noise.shape == (5, crop_samples or 100)
        np.testing.assert_array_equal(np.diff(noise, axis=1), 1)
    rows = np.stack([noise[:, 0] // 1000 for (_, noise), _, _ in batches])
    assert set(rows.ravel()) == set(NOISE_ROWS)
    counts = [np.count_nonzero(rows == row) for row in NOISE_ROWS]
    np.testing.assert_allclose(counts, 75, atol=5 * np.sqrt(75))
    assert len(np.unique(rows, axis=0)) > 50


def test_noise_changes_neither_clips_nor_crops_nor_labels():
    settings = {"crop_samples": 30}
    noisy, plain = batches_of(noise_rows=NOISE_ROWS, **settings), batches_of(**settings)
    for ((clips, _), *labels), (alone, *others) in zip(noisy, plain, strict=True):
        np.testing.assert_array_equal(clips, alone)
        assert_equal(labels, others)


def test_noise_of_another_seed_is_another():
    def noise(seed):
        batches = batches_of(seed=seed, noise_rows=NOISE_ROWS)
        return np.concatenate([pair[1][:, 0] for pair, _, _ in batches])

    assert np.mean(noise(0) == noise(1)) < 0.6
    np.testing.assert_array_equal(noise(1), noise(1))
