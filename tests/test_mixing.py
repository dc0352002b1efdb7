"""Mixing at a signal-to-noise ratio: known answers and properties."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tfhier.errors import InputError
from tfhier.mixing import gain_at_snr, mix_at_snr

DATA = Path(
    os.environ.get("TFHIER_DATA") or Path(__file__).parents[1] / "../shared/data"
)
PUBLISHED = DATA.parent / "parity" / "misc" / "snr_mixing.json"
SIGNAL, NOISE = np.array([1.0, -1.0]), np.array([3.0, -3.0, 3.0, -3.0, 3.0])


def decibels(signal, noise):
    return 10 * np.log10(np.mean(signal**2) / np.mean(noise**2))


@pytest.mark.parametrize(("snr_db", "gain"), [(0, 3.0), (20, 30.0), (-20, 0.3)])
def test_gains_worked_out_by_hand(snr_db, gain):
    assert gain_at_snr(SIGNAL, NOISE, snr_db) == pytest.approx(gain)


def test_a_mixture_worked_out_by_hand():
    made = mix_at_snr(SIGNAL, NOISE, 0, onset=2, peak=100)
    np.testing.assert_allclose(made.signal, [0, 0, 3, -3, 0])
    np.testing.assert_allclose(made.noise, NOISE)
    np.testing.assert_allclose(made.mixture, [3, -3, 6, -6, 3])


def test_a_peak_scales_all_three_by_one_factor():
    made = mix_at_snr(SIGNAL, NOISE, 0, onset=2, peak=0.9)
    np.testing.assert_allclose(made.mixture, 0.15 * np.array([3, -3, 6, -6, 3]))
    np.testing.assert_allclose(made.signal, 0.15 * np.array([0, 0, 3, -3, 0]))
    np.testing.assert_allclose(made.noise, 0.15 * NOISE)


@pytest.mark.parametrize("snr_db", [-7.5, 0.0, 13.0])
@pytest.mark.parametrize("peak", [0.01, 1e9])
def test_the_ratio_holds_whatever_the_peak(rng, snr_db, peak):
    signal, noise = rng.standard_normal(300), 0.2 * rng.standard_normal(1000)
    made = mix_at_snr(signal, noise, snr_db, onset=700, peak=peak)
    assert decibels(made.signal[700:], made.noise) == pytest.approx(snr_db)
    assert np.abs(made.mixture).max() <= peak * (1 + 1e-12)
    np.testing.assert_allclose(made.mixture, made.signal + made.noise)
    if peak > 1:
        np.testing.assert_array_equal(made.noise, noise)


def test_pauses_do_not_count_where_the_active_part_is_given(rng):
    noise, call = rng.standard_normal(400), rng.standard_normal(100)
    signal = np.concatenate([np.zeros(150), call, np.zeros(150)])
    active = signal != 0
    made = mix_at_snr(signal, noise, 6.0, active=active, peak=1e9)
    assert decibels(made.signal[active], noise) == pytest.approx(6.0)
    without = mix_at_snr(signal, noise, 6.0, peak=1e9)
    assert decibels(without.signal[active], noise) == pytest.approx(
        6.0 + 10 * np.log10(4)
    )


def test_the_noise_can_be_measured_on_a_part_of_it(rng):
    signal, part = rng.standard_normal(50), 0.1 * rng.standard_normal(50)
    noise = part + 5 * np.sin(np.arange(50))
    made = mix_at_snr(signal, noise, 3.0, reference=part, peak=1e9)
    assert decibels(made.signal, part) == pytest.approx(3.0)
    np.testing.assert_allclose(made.noise, noise)


def test_inputs_are_left_alone():
    signal, noise = SIGNAL.copy(), NOISE.copy()
    mix_at_snr(signal, noise, 10.0, peak=0.1)
    np.testing.assert_array_equal(signal, SIGNAL)
    np.testing.assert_array_equal(noise, NOISE)


def test_integers_are_no_trap():
    # int16 squares overflow; powers must not.
    loud = np.array([30_000, -30_000], np.int16)
    assert gain_at_snr(loud, loud, 0.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signal": np.zeros(2)}, "signal is silent"),
        ({"noise": np.zeros(5)}, "noise is silent"),
        ({"reference": np.zeros(5)}, "noise is silent"),
        ({"signal": np.zeros(0)}, r"signal must be finite .* shape \(0,\)"),
        ({"signal": np.ones((2, 2))}, r"shape \(2, 2\)"),
        ({"noise": np.array([1.0, np.nan])}, "noise must be finite"),
        ({"snr_db": np.inf}, "is a number of dB"),
        ({"active": np.zeros(2, bool)}, "0 True"),
        ({"active": np.ones(3, bool)}, r"bool array \(2,\)"),
        ({"active": np.ones(2)}, "Got: float64"),
        ({"onset": 4}, "2 samples from sample 4 on does not fit"),
        ({"onset": -1}, "does not fit"),
        ({"peak": 0.0}, "must be above 0"),
    ],
)
def test_what_cannot_be_mixed_is_refused(changes, message):
    arguments = {"signal": SIGNAL, "noise": NOISE, "snr_db": 0.0} | changes
    with pytest.raises(InputError, match=message):
        mix_at_snr(**arguments)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="no ../shared/parity")
def test_another_papers_mixtures_come_from_the_same_gain():
    """2APAE: power over the whole event, then a cut; joint peak; mean of both."""
    case = json.loads(PUBLISHED.read_text())
    scene, rate = np.array(case["scene"]), case["sample_rate"]
    for result in case["results"]:
        events = np.zeros_like(scene)
        for item in case["plan"]:
            event = np.array(case["events"][item["event"]])
            onset = int(item["onset_s"] * rate)
            cut = event[: int(item["offset_s"] * rate) - onset]
            gain = gain_at_snr(event, scene, result["snr_db"])
            events[onset : onset + len(cut)] = gain * cut
        peak = max(np.abs(events).max(), np.abs(scene).max())
        np.testing.assert_allclose(events / peak, result["events_channel"], atol=1e-12)
        np.testing.assert_allclose(scene / peak, result["scene_channel"], atol=1e-12)
        mixture = (events + scene) / 2 / peak
        np.testing.assert_allclose(mixture, result["mixture"], atol=1e-12)
