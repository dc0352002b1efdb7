"""Stratified division: exact sizes, even labels, the same on every run."""

import time

import numpy as np
import pytest

from tfhier.data import splits
from tfhier.errors import InputError

NUM_LABELS = 20


def sparse_labels(num_clips, seed=0):
    """Labels like OpenMIC's: two observed a clip, 41 % of them positive."""
    rng = np.random.default_rng(seed)
    rates = 0.1 * rng.uniform(0.5, 1.5, NUM_LABELS)
    observed = rng.random((num_clips, NUM_LABELS)) < rates
    targets = observed & (rng.random(observed.shape) < 0.41)
    return targets.astype(np.float32), observed


def deviation(targets, observed, chosen, fraction):
    """Mean relative deviation of the counts of observed positives and negatives."""
    columns = np.hstack([observed & (targets > 0), observed & (targets == 0)])
    expected = fraction * columns.sum(axis=0)
    return np.mean(np.abs(columns[chosen].sum(axis=0) / expected - 1))


@pytest.mark.parametrize("fraction", [0.15, 0.5])
@pytest.mark.parametrize("num_clips", [3000, 14915])
def test_labels_are_at_least_five_times_more_even_than_by_chance(num_clips, fraction):
    targets, observed = sparse_labels(num_clips)
    rng = np.random.default_rng(1)
    ours = splits.stratified(targets, observed, fraction=fraction, seed=0)
    by_chance = [
        deviation(targets, observed, rng.permutation(ours), fraction) for _ in range(10)
    ]
    assert deviation(targets, observed, ours, fraction) < np.mean(by_chance) / 5


@pytest.mark.parametrize(
    ("num_clips", "fraction"), [(14915, 0.15), (101, 0.333), (7, 0.5), (2, 0.5)]
)
def test_the_share_is_exact(num_clips, fraction):
    targets, observed = sparse_labels(num_clips)
    held = splits.stratified(targets, observed, fraction=fraction, seed=3)
    assert held.dtype == bool
    assert held.sum() == round(fraction * num_clips)


def test_clips_without_an_observed_label_are_spread():
    targets, observed = sparse_labels(5000)
    blank = ~observed.any(axis=1)
    held = splits.stratified(targets, observed, fraction=0.2, seed=0)
    assert blank.sum() > 300
    assert abs(held[blank].sum() - 0.2 * blank.sum()) <= 1


def test_the_seed_decides_and_nothing_else():
    targets, observed = sparse_labels(800)
    first, again, other = (
        splits.stratified(targets, observed, fraction=0.2, seed=seed)
        for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_was_not_observed_changes_nothing():
    targets, observed = sparse_labels(800)
    noisy = np.where(observed, targets, 1.0)
    assert np.array_equal(
        splits.stratified(targets, observed, fraction=0.2, seed=0),
        splits.stratified(noisy, observed, fraction=0.2, seed=0),
    )


def test_a_rare_label_is_divided_exactly():
    targets = np.zeros((100, 2), np.float32)
    targets[:4, 0] = 1
    targets[:50, 1] = 1
    observed = np.ones((100, 2), bool)
    held = splits.stratified(targets, observed, fraction=0.5, seed=0)
    assert targets[held].sum(axis=0).tolist() == [2, 25]


@pytest.mark.parametrize(("num_clips", "num_folds"), [(103, 5), (10, 10), (3000, 4)])
def test_folds_have_equal_sizes(num_clips, num_folds):
    targets, observed = sparse_labels(num_clips)
    fold = splits.folds(targets, observed, num_folds=num_folds, seed=0)
    sizes = np.bincount(fold, minlength=num_folds)
    assert len(sizes) == num_folds
    assert sizes.max() - sizes.min() <= 1


def test_every_fold_is_even():
    targets, observed = sparse_labels(3000)
    rng = np.random.default_rng(1)
    fold = splits.folds(targets, observed, num_folds=5, seed=0)
    shuffled = rng.permutation(fold)
    ours, by_chance = (
        np.mean([deviation(targets, observed, given == k, 0.2) for k in range(5)])
        for given in (fold, shuffled)
    )
    assert ours < by_chance / 5


def test_twenty_thousand_clips_take_seconds():
    targets, observed = sparse_labels(20_000)
    start = time.perf_counter()
    splits.stratified(targets, observed, fraction=0.15, seed=0)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(fraction):
    targets, observed = sparse_labels(20)
    with pytest.raises(InputError, match="between 0 and 1"):
        splits.stratified(targets, observed, fraction=fraction, seed=0)


@pytest.mark.parametrize(("num_clips", "fraction"), [(1, 0.5), (0, 0.5), (20, 0.01)])
def test_too_few_clips_are_refused(num_clips, fraction):
    targets, observed = sparse_labels(num_clips)
    with pytest.raises(InputError, match=f"{num_clips} clips are too few"):
        splits.stratified(targets, observed, fraction=fraction, seed=0)


@pytest.mark.parametrize("num_folds", [1, 21])
def test_impossible_numbers_of_folds_are_refused(num_folds):
    targets, observed = sparse_labels(20)
    with pytest.raises(InputError, match="2 to 20 folds"):
        splits.folds(targets, observed, num_folds=num_folds, seed=0)


def test_shapes_must_agree():
    targets, observed = sparse_labels(20)
    with pytest.raises(InputError, match="one shape"):
        splits.stratified(targets[:10], observed, fraction=0.5, seed=0)
