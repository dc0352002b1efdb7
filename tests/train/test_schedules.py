"""The learning rate of every step, by hand."""

import keras
import numpy as np
import pytest

from tfhier.train.schedules import WarmupHoldDecay


def rates(schedule: WarmupHoldDecay) -> np.ndarray:
    return np.array([float(schedule(step)) for step in range(schedule.total_steps)])


def test_the_rate_rises_stays_and_falls():
    schedule = WarmupHoldDecay(2.0, 10, warmup_steps=4, decay_steps=3)
    expected = [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0, 2 * 0.67, 2 * 0.34]
    np.testing.assert_allclose(rates(schedule), expected, rtol=1e-6)


def test_without_warmup_and_decay_it_stays():
    assert rates(WarmupHoldDecay(0.5, 7)).tolist() == [0.5] * 7


def test_the_paper_rises_over_five_epochs_and_then_stays():
    steps = 30
    schedule = WarmupHoldDecay(1e-4, 30 * steps, warmup_steps=5 * steps)
    found = rates(schedule)
    np.testing.assert_allclose(
        found[: 5 * steps], 1e-4 * np.arange(1, 5 * steps + 1) / (5 * steps), rtol=1e-5
    )
    np.testing.assert_allclose(found[5 * steps :], 1e-4, rtol=1e-6)


def test_it_ends_at_a_hundredth_and_never_below():
    schedule = WarmupHoldDecay(1.0, 20, decay_steps=10)
    assert float(schedule(20)) == pytest.approx(0.01)
    assert float(schedule(500)) == pytest.approx(0.01)
    assert np.all(np.diff(rates(schedule)) <= 0)


def test_rise_and_fall_that_overlap_take_the_lower():
    schedule = WarmupHoldDecay(1.0, 10, warmup_steps=10, decay_steps=10)
    rise = np.arange(1, 11) / 10
    fall = 0.01 + 0.99 * np.arange(10, 0, -1) / 10
    np.testing.assert_allclose(rates(schedule), np.minimum(rise, fall), rtol=1e-6)


def test_its_settings_survive_a_round_trip():
    schedule = WarmupHoldDecay(0.3, 9, warmup_steps=2, decay_steps=4)
    again = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(schedule)
    )
    assert rates(again).tolist() == rates(schedule).tolist()
