"""Means, spreads and paired intervals, against numbers worked out by hand."""

import math

import pytest

from tfhier import compare
from tfhier.metrics import MACRO

T_3 = 3.182446305284263  # 97.5 % quantile of Student's t with 3 degrees of freedom


def make_run(seed, value, *, fold=0):
    figures = dict.fromkeys(MACRO, value)
    return {"seed": seed, "fold": fold, "test": {"fine": figures}}


def make_summary(runs, *, num_folds=0):
    return {
        "runs": runs,
        "num_folds": num_folds,
        "test": compare.aggregate(runs, "test"),
    }


def test_mean_and_sample_standard_deviation():
    found = compare.mean_and_std([1.0, 2.0, 4.0])
    assert found["mean"] == pytest.approx(7 / 3)
    # Squares of -4/3, -1/3 and 5/3 sum to 14/3.
    assert found["std"] == pytest.approx(math.sqrt(7 / 3))


def test_one_value_has_no_spread():
    found = compare.mean_and_std([0.25])
    assert found["mean"] == 0.25
    assert math.isnan(found["std"])


def test_an_undefined_figure_makes_the_mean_undefined():
    found = compare.mean_and_std([0.25, None])
    assert math.isnan(found["mean"])
    assert math.isnan(found["std"])


def test_aggregates_are_per_level_and_metric():
    runs = [make_run(0, 0.2), make_run(1, 0.4)]
    runs[1]["test"]["fine"]["f1"] = 0.8
    found = compare.aggregate(runs, "test")
    assert list(found) == ["fine"]
    assert set(found["fine"]) == set(MACRO)
    assert found["fine"]["mAP"]["mean"] == pytest.approx(0.3)
    assert found["fine"]["mAP"]["std"] == pytest.approx(math.sqrt(0.02))
    assert found["fine"]["f1"]["mean"] == pytest.approx(0.5)


def test_the_interval_is_students():
    found = compare.paired_interval([1.0, 2.0, 3.0, 6.0])
    # Squares of -2, -1, 0 and 3 sum to 14.
    half = T_3 * math.sqrt(14 / 3) * math.sqrt(1 / 4)
    assert found["mean"] == 3.0
    assert found["low"] == pytest.approx(3 - half)
    assert found["high"] == pytest.approx(3 + half)
    assert found["num_pairs"] == 4


def test_shared_training_clips_widen_the_interval():
    found = compare.paired_interval([1.0, 2.0, 3.0, 6.0], test_share=0.25)
    half = T_3 * math.sqrt(14 / 3) * math.sqrt(1 / 4 + 1 / 4)
    assert found["high"] - found["mean"] == pytest.approx(half)
    assert found["mean"] - found["low"] == pytest.approx(half)


def test_one_pair_has_no_interval():
    found = compare.paired_interval([0.5])
    assert (found["mean"], found["num_pairs"]) == (0.5, 1)
    assert math.isnan(found["low"])
    assert math.isnan(found["high"])


def test_runs_are_paired_by_seed_and_fold_and_the_rest_left_out():
    mine = [make_run(2, 0.9), make_run(0, 0.5), make_run(1, 0.7), make_run(7, 0.1)]
    its = [make_run(0, 0.4), make_run(1, 0.5), make_run(2, 0.6), make_run(9, 0.99)]
    found = compare.paired_differences(make_summary(mine), make_summary(its))
    figure = found["fine"]["mAP"]
    assert figure["num_pairs"] == 3
    assert figure["mean"] == pytest.approx((0.3 + 0.1 + 0.2) / 3)
    # t with 2 degrees of freedom; a spread of 0.1.
    assert figure["high"] - figure["mean"] == pytest.approx(
        4.302652729911275 * 0.1 / math.sqrt(3)
    )


def test_equal_seeds_of_other_folds_are_no_pair():
    mine = make_summary([make_run(0, 0.5, fold=1)], num_folds=5)
    its = make_summary([make_run(0, 0.4, fold=2)], num_folds=5)
    assert compare.paired_differences(mine, its) == {}


def test_cross_validation_is_corrected_by_test_per_training_clip():
    values = {(s, f): 0.5 + 0.01 * (3 * s + f * f) for s in (0, 1) for f in range(5)}
    mine = [make_run(s, value, fold=f) for (s, f), value in values.items()]
    its = [make_run(s, 0.4, fold=f) for s, f in values]
    found = compare.paired_differences(
        make_summary(mine, num_folds=5), make_summary(its, num_folds=5)
    )
    expected = compare.paired_interval(
        [value - 0.4 for value in values.values()], test_share=1 / 4
    )
    assert found["fine"]["roc_auc"] == pytest.approx(expected)


def test_an_undefined_figure_makes_its_difference_undefined():
    mine, its = (make_summary([make_run(0, 0.5), make_run(1, 0.6)]) for _ in range(2))
    mine["runs"][1]["test"]["fine"]["f1"] = None
    found = compare.paired_differences(mine, its)
    assert math.isnan(found["fine"]["f1"]["mean"])
    assert math.isnan(found["fine"]["f1"]["low"])
    assert found["fine"]["mAP"]["mean"] == 0.0
