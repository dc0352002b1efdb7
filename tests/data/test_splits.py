"""Stratified division: exact sizes, even labels, the same on every run."""

import hashlib
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


def test_divisions_without_groups_are_the_ones_of_the_first_release():
    """Runs on saved divisions must find them again."""
    targets, observed = sparse_labels(40)
    held = splits.stratified(targets, observed, fraction=0.25, seed=0)
    assert np.flatnonzero(held).tolist() == [3, 5, 11, 13, 18, 30, 34, 35, 36, 39]
    targets, observed = sparse_labels(3000)
    fold = splits.folds(targets, observed, num_folds=5, seed=3).astype(np.uint8)
    assert hashlib.sha256(fold.tobytes()).hexdigest().startswith("d4b1c177464731a1")


# -- Groups ----------------------------------------------------------------------------


def grouped(seed):
    """A small random data set of recordings: targets, observed, groups."""
    rng = np.random.default_rng(seed)
    num_groups, num_labels = rng.integers(3, 10), rng.integers(2, 6)
    group = np.repeat(np.arange(num_groups), rng.integers(1, 8, num_groups))
    rng.shuffle(group)
    shape = (len(group), num_labels)
    if seed % 3 == 0:  # one label a recording
        targets = np.eye(num_labels)[rng.integers(0, num_labels, num_groups)][group]
    elif seed % 3 == 1:  # one label a clip
        targets = np.eye(num_labels)[rng.integers(0, num_labels, len(group))]
    else:
        targets = (rng.random(shape) < rng.uniform(0.05, 0.3)).astype(float)
    observed = rng.random(shape) < 0.8 if seed % 2 else np.ones(shape, bool)
    return targets * observed, observed, group


def labels_of_groups(targets, group):
    """bool (groups, labels)"""
    return np.array([targets[group == g].any(axis=0) for g in range(group.max() + 1)])


def on_both_sides(has, held):
    """How many labels are on both sides; `held` is a bool (groups,)."""
    return int((has[held].any(axis=0) & has[~held].any(axis=0)).sum())


def best_division(has, free):
    """The most labels that any division has on both sides, by trying them all."""
    best = 0
    for choice in range(1, 2 ** len(free)):
        held = np.zeros(len(has), bool)
        held[free] = choice >> np.arange(len(free)) & 1
        best = max(best, on_both_sides(has, held) if not held.all() else 0)
    return best


def test_groups_stay_whole_and_labels_of_two_groups_are_on_both_sides():
    num_divided = num_larger = num_best = 0
    for seed in range(300):
        targets, observed, group = grouped(seed)
        has = labels_of_groups(targets, group)
        lone = has[:, has.sum(axis=0) == 1].any(axis=1)
        target = round(0.25 * len(group))
        if lone.all() or target == 0:
            continue
        held = splits.stratified(
            targets, observed, fraction=0.25, seed=seed, groups=group
        )
        held_groups = np.array([held[group == g].all() for g in range(len(has))])
        assert np.array_equal(held_groups[group], held)
        assert 0 < held.sum() < len(held)
        assert not held_groups[lone].any()
        best = best_division(has, np.flatnonzero(~lone))
        num_best += on_both_sides(has, held_groups) == best
        num_larger += abs(held.sum() - target) >= np.bincount(group).max()
        num_divided += 1
    assert num_divided > 200
    # Dealing is a rule of thumb; the best division is a hard problem in general.
    assert num_best > 0.99 * num_divided
    # Few divisions needed more than a group's difference for their labels.
    assert num_larger < 0.05 * num_divided


def test_groups_of_one_clip_are_as_even_as_clips():
    targets, observed = sparse_labels(3000)
    rng = np.random.default_rng(1)
    held = splits.stratified(
        targets, observed, fraction=0.15, seed=0, groups=rng.permutation(3000)
    )
    assert held.sum() == 450
    by_chance = [
        deviation(targets, observed, rng.permutation(held), 0.15) for _ in range(10)
    ]
    assert deviation(targets, observed, held, 0.15) < np.mean(by_chance) / 5


def test_clips_without_an_observed_label_are_spread_with_their_groups():
    targets, observed = sparse_labels(5000)
    group = np.repeat(np.arange(2500), 2)
    blank = ~observed.any(axis=1)
    held = splits.stratified(targets, observed, fraction=0.2, seed=0, groups=group)
    assert blank.sum() > 300
    assert abs(held[blank].sum() - 0.2 * blank.sum()) <= 2


def test_large_groups_leave_the_size_within_one_of_them():
    rng = np.random.default_rng(0)
    for seed in range(20):
        group = np.repeat(np.arange(60), rng.integers(1, 40, 60))
        targets = np.eye(4)[rng.integers(0, 4, len(group))]
        observed = np.ones(targets.shape, bool)
        held = splits.stratified(
            targets, observed, fraction=0.2, seed=seed, groups=group
        )
        assert abs(held.sum() - round(0.2 * len(group))) < np.bincount(group).max()
        fold = splits.folds(targets, observed, num_folds=4, seed=seed, groups=group)
        assert np.bincount(fold).max() < len(group) / 4 + np.bincount(group).max()


def test_a_label_is_in_as_many_folds_as_it_has_groups():
    label = np.repeat([0, 1, 2], [3, 5, 20])  # of each of 28 groups
    group = np.repeat(np.arange(28), 3)
    targets = np.eye(3)[label][group]
    fold = splits.folds(
        targets, np.ones((84, 3), bool), num_folds=4, seed=0, groups=group
    )
    numbers = [len(set(fold[targets[:, k] > 0].tolist())) for k in range(3)]
    assert numbers == [3, 4, 4]
    assert np.bincount(fold).tolist() == [21, 21, 21, 21]


def test_small_groups_make_up_for_large_ones():
    group = np.r_[np.zeros(10, int), np.arange(1, 31)]
    targets, observed = np.ones((40, 1)), np.ones((40, 1), bool)
    for seed in range(10):
        fold = splits.folds(targets, observed, num_folds=4, seed=seed, groups=group)
        assert np.bincount(fold).tolist() == [10, 10, 10, 10]


def test_no_side_is_empty_though_the_other_has_more_room():
    blank = np.zeros((100, 2))
    group = np.repeat([0, 1], 50)
    held = splits.stratified(
        blank, blank.astype(bool), fraction=0.1, seed=0, groups=group
    )
    assert held.sum() == 50


def test_what_is_not_the_label_is_on_both_sides_too():
    group = np.repeat(np.arange(8), 4)
    targets = np.ones((32, 1))
    targets[[0, 20]] = 0  # one clip in each of two groups
    for seed in range(20):
        held = splits.stratified(
            targets, np.ones((32, 1), bool), fraction=0.25, seed=seed, groups=group
        )
        assert held[0] != held[20]


def test_names_of_groups_and_order_of_seeds_decide_nothing_else():
    targets, observed, group = grouped(7)
    names = np.array([f"recording {9 - number}" for number in group])
    first, again, named = (
        splits.folds(targets, observed, num_folds=2, seed=1, groups=groups)
        for groups in (group, group, np.unique(names, return_inverse=True)[1])
    )
    assert np.array_equal(first, again)
    by_name = splits.folds(targets, observed, num_folds=2, seed=1, groups=names)
    assert np.array_equal(named, by_name)


def test_too_few_groups_are_refused():
    targets, observed = np.eye(2)[[0, 1] * 10], np.ones((20, 2), bool)
    one, two = np.zeros(20), np.repeat([0, 1], 10)
    with pytest.raises(InputError, match="one group, so none can be held out"):
        splits.stratified(targets, observed, fraction=0.2, seed=0, groups=one)
    with pytest.raises(InputError, match="2 groups cannot be divided into 3 folds"):
        splits.folds(targets, observed, num_folds=3, seed=0, groups=two)
    with pytest.raises(InputError, match="None of the 2 groups can be held out"):
        splits.stratified(
            np.repeat(np.eye(2), 10, axis=0), observed, fraction=0.2, seed=0, groups=two
        )
    with pytest.raises(InputError, match=r"shape \(20,\)\. Received: shape=\(3,\)"):
        splits.folds(targets, observed, num_folds=2, seed=0, groups=two[:3])
