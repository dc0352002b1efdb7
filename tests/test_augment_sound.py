"""Augmentation of waveforms and power spectra, against NumPy and truly changed sounds.

What was drawn is read off the results, and compared with what was asked for.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfhier import augment
from tfhier.layers import LogMel

RATE = 16_000


def seeds(number: int = 5) -> keras.random.SeedGenerator:
    return keras.random.SeedGenerator(number)


def uniform_within(values: np.ndarray, low: float, high: float) -> None:
    """Assert that values look uniform between two bounds: range, mean and spread."""
    width = high - low
    assert values.min() >= low - 1e-3 * width
    assert values.max() <= high + 1e-3 * width
    error = 5 / np.sqrt(len(values))
    assert abs(values.mean() - (low + high) / 2) < error * width / np.sqrt(12)
    quarters = np.histogram(values, bins=4, range=(low, high))[0] / len(values)
    np.testing.assert_allclose(quarters, 0.25, atol=error * np.sqrt(3) / 4)


ROLL = (augment.roll, {"max_samples": 30})
GAIN = (augment.gain, {"max_db": 6.0})
STRETCH = (augment.stretch_time, {"max_change": 0.2})
PITCH = (augment.shift_pitch, {"max_quarter_tones": 3, "first_bin": 4})
CASES = pytest.mark.parametrize(
    ("function", "settings"), [ROLL, GAIN, STRETCH, PITCH], ids=lambda x: "",
)  # fmt: skip


def inputs_of(function, rng, *, clips: int = 16) -> np.ndarray:
    """Equal clips of positive noise, waveforms or spectra."""
    shape = (1, 90) if function in (augment.roll, augment.gain) else (1, 25, 40)
    one = rng.uniform(0.1, 1, shape).astype(np.float32)
    return np.repeat(one, clips, axis=0)


# -- What all have in common -----------------------------------------------------------


@CASES
def test_every_clip_has_draws_of_its_own_and_seeds_repeat(function, settings, rng):
    clips = inputs_of(function, rng)
    generator = seeds()
    first = function(clips, seed=generator, **settings).numpy()
    then = function(clips, seed=generator, **settings).numpy()
    assert len(np.unique(first.round(4), axis=0)) > 4
    assert np.abs(first - then).max() > 0.01
    again = function(clips, seed=seeds(), **settings).numpy()
    np.testing.assert_array_equal(again, first)
    other = function(clips, seed=seeds(6), **settings).numpy()
    assert np.abs(first - other).max() > 0.01


@CASES
def test_a_graph_gives_what_eager_code_does(function, settings, rng):
    clips = inputs_of(function, rng)
    eager = function(clips, seed=seeds(), **settings)
    open_shape = tf.TensorSpec([None] * clips.ndim, tf.float32)
    generator = seeds()

    @tf.function(input_signature=[open_shape])
    def graph(batch):
        return function(batch, seed=generator, **settings)

    np.testing.assert_allclose(graph(clips), eager, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        (augment.roll, {"max_samples": 0}),
        (augment.gain, {"max_db": 0.0}),
        (augment.stretch_time, {"max_change": 0.0}),
        (augment.shift_pitch, {"max_quarter_tones": 0, "first_bin": 3}),
    ],
)
def test_no_change_at_most_is_the_identity(function, settings, rng):
    clips = inputs_of(function, rng)
    np.testing.assert_array_equal(function(clips, seed=seeds(), **settings), clips)


# -- Waveforms -------------------------------------------------------------------------


@pytest.mark.parametrize("max_samples", [3, 250])
def test_roll_is_numpys_by_every_number_of_samples(max_samples):
    """Also by more than a clip is long."""
    clips = np.tile(np.arange(100.0, dtype=np.float32), (600, 1))
    out = augment.roll(clips, max_samples=max_samples, seed=seeds()).numpy()
    moves = (100 - out[:, 0]).astype(int)
    for clip, move in zip(out, moves, strict=True):
        np.testing.assert_array_equal(clip, np.roll(clips[0], move))
    if max_samples == 3:
        counts = np.bincount((moves + 3) % 100, minlength=7)
        assert counts.sum() == counts[:7].sum()
        np.testing.assert_allclose(counts, 600 / 7, atol=5 * np.sqrt(600 / 7))
    else:
        assert len(set(moves)) > 90


def test_gain_is_uniform_in_decibels(rng):
    clips = rng.uniform(-1, 1, (3_000, 8)).astype(np.float32)
    ratio = augment.gain(clips, max_db=9.0, seed=seeds()).numpy() / clips
    np.testing.assert_allclose(ratio, np.tile(ratio[:, :1], 8), rtol=1e-5)
    uniform_within(20 * np.log10(ratio[:, 0]), -9.0, 9.0)


def power_of(sound: np.ndarray) -> np.ndarray:
    """Mean square over what is not 0, in float64."""
    sound = sound.astype(np.float64)
    return (sound**2).sum(axis=1) / np.maximum((sound != 0).sum(axis=1), 1)


@pytest.mark.parametrize("snr_db", [(10.0, 10.0), (-5.0, 20.0), (0.0, 0.0)])
def test_noise_is_mixed_at_the_ratio_asked_for(snr_db, rng):
    """Clips and noise of any loudness, some shorter than their row."""
    clips = rng.normal(size=(800, 64)) * 10 ** rng.uniform(-3, 0, (800, 1))
    noise = rng.normal(size=(800, 64)) * 10 ** rng.uniform(-3, 0, (800, 1))
    clips[::3, 40:] = 0
    noise[::4, 20:] = 0
    clips, noise = clips.astype(np.float32), noise.astype(np.float32)
    out = augment.add_noise(clips, noise, rate=1.0, snr_db=snr_db, seed=seeds())
    # The noise has a scale for each clip: the least-squares one, with nothing left.
    added = out.numpy().astype(np.float64) - clips
    scale = (added * noise).sum(axis=1) / (noise.astype(np.float64) ** 2).sum(axis=1)
    left = added - scale[:, None] * noise
    assert np.abs(left).max() < 1e-5 * max(np.abs(out).max(), 1)
    ratio = 10 * np.log10(power_of(clips) / (scale**2 * power_of(noise)))
    if snr_db[0] == snr_db[1]:
        np.testing.assert_allclose(ratio, snr_db[0], atol=0.01)
    else:
        uniform_within(ratio, *snr_db)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_noise_goes_to_the_share_of_clips_that_was_asked_for(rate, rng):
    clips, noise = rng.normal(size=(2, 2_000, 5)).astype(np.float32)
    settings = {"rate": rate, "snr_db": (0.0, 10.0)}
    out = augment.add_noise(clips, noise, seed=seeds(), **settings).numpy()
    is_noisy = (out != clips).all(axis=1)
    np.testing.assert_array_equal((out != clips).any(axis=1), is_noisy)
    assert is_noisy.mean() == pytest.approx(rate, abs=5 * np.sqrt(rate / 2_000))
    again = tf.function(augment.add_noise)(clips, noise, seed=seeds(), **settings)
    np.testing.assert_allclose(again, out, rtol=1e-5, atol=1e-6)


def test_silence_on_either_side_stays_what_it_is(rng):
    sound = rng.normal(size=(4, 30)).astype(np.float32)
    silence = np.zeros_like(sound)
    for clips, noise in ((sound, silence), (silence, sound), (silence, silence)):
        out = augment.add_noise(clips, noise, rate=1.0, snr_db=(0.0, 0.0), seed=seeds())
        np.testing.assert_array_equal(out, clips)


# -- Time ------------------------------------------------------------------------------


def test_clicks_stand_at_time_over_speed_and_speeds_are_uniform():
    """A ramp tells the speed, the first bin holds two clicks."""
    frames, clips = 200, 600
    power = np.zeros((clips, frames, 2), np.float32)
    power[:, [60, 120], 0] = 1
    power[:, :, 1] = np.arange(frames)
    out = augment.stretch_time(power, max_change=0.1, seed=seeds()).numpy()
    speed = out[:, 100, 1] / 100
    uniform_within(speed, 0.9, 1.1)
    for clip, own in zip(out, speed, strict=True):
        for click in (60, 120):
            at = click / own
            near = np.arange(round(at) - 3, round(at) + 4)
            weights = clip[near, 0]
            assert weights.sum() > 0.5
            assert abs((near * weights).sum() / weights.sum() - at) < 0.51
            assert weights[np.abs(near - at) > 1.2].max() == 0
        assert clip[:, 0].sum() == pytest.approx(2 / own, abs=1.1)


def test_a_faster_clip_ends_in_zeros_and_a_slower_one_loses_its_end():
    frames = 101
    ramp = np.arange(1.0, frames + 1, dtype=np.float32)
    power = np.tile(ramp[None, :, None], (200, 1, 3))
    out = augment.stretch_time(power, max_change=0.2, seed=seeds()).numpy()
    speeds = out[:, 50, 0] - 1
    for clip, speed in zip(out, speeds / 50, strict=True):
        places = speed * np.arange(frames)
        inside = places <= frames - 1
        safe = np.abs(places - (frames - 1)) > 1e-3
        expected = np.where(inside, np.interp(places, np.arange(frames), ramp), 0)
        for column in clip.T:
            np.testing.assert_allclose(column[safe], expected[safe], rtol=1e-5)
    assert (speeds > 51).any() and (speeds < 49).any()


# -- Pitch -----------------------------------------------------------------------------

FRONTEND = LogMel(
    sample_rate=RATE, num_fft=1_024, hop_length=320, num_mels=64,
    min_hertz=50.0, max_hertz=8_000.0,
)  # fmt: skip


def spectrum_of(hertz: float) -> np.ndarray:
    """The power of a tone (frames, bins)."""
    time = np.arange(RATE // 4) / RATE
    tone = np.sin(2 * np.pi * hertz * time)[None].astype(np.float32)
    return np.asarray(FRONTEND.power(tone))[0]


def shifted(power: np.ndarray, steps: int, *, first_bin: int) -> np.ndarray:
    """The power (frames, bins), shifted by a number of steps: waits for its draw."""
    draws = range(-abs(steps), abs(steps) + 1)
    clips = np.repeat(power[None], 8 * len(draws), axis=0)
    generator = seeds()
    twin = seeds()
    drawn = keras.random.randint(
        (len(clips), 1), -abs(steps), abs(steps) + 1, seed=twin
    )
    out = augment.shift_pitch(
        clips, max_quarter_tones=abs(steps), first_bin=first_bin, seed=generator
    )
    return np.asarray(out)[np.flatnonzero(np.asarray(drawn)[:, 0] == steps)[0]]


@pytest.mark.parametrize("steps", range(-3, 4))
@pytest.mark.parametrize("hertz", [450.0, 1_000.0, 3_100.0, 6_000.0])
def test_a_shifted_tone_peaks_where_the_higher_tone_does(steps, hertz):
    """Also against one step more or less, so that the scale is a quarter tone's."""
    got = shifted(spectrum_of(hertz), steps, first_bin=FRONTEND.first_bin)
    middle = len(got) // 2

    def peak(power):
        """Centre of the power around its largest bin."""
        at = power[middle].argmax()
        near = np.arange(at - 2, at + 3)
        return np.average(near, weights=power[middle, near])

    truth = [
        peak(spectrum_of(hertz * 2 ** (step / 24)))
        for step in (steps - 1, steps, steps + 1)
    ]
    errors = np.abs(peak(got) - truth)
    assert errors[1] < 0.25
    assert errors.argmin() == 1


def test_steps_are_whole_and_uniform():
    """A ramp over frequency keeps its shape: bin k tells k over the factor."""
    first_bin, bins = 10, 300
    ramp = np.arange(first_bin, first_bin + bins, dtype=np.float32)
    power = np.tile(ramp, (1_400, 2, 1))
    settings = {"max_quarter_tones": 3, "first_bin": first_bin}
    out = augment.shift_pitch(power, seed=seeds(), **settings).numpy()
    steps = 24 * np.log2(ramp[150] / out[:, 0, 150])
    np.testing.assert_allclose(steps, steps.round(), atol=1e-3)
    counts = np.bincount((steps.round() + 3).astype(int), minlength=7)
    np.testing.assert_allclose(counts, 200, atol=5 * np.sqrt(200))
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    for clip, step in zip(out[:60, 0], steps[:60].round(), strict=True):
        # Beyond either end the first or the last bin is repeated.
        expected = np.clip(ramp / 2 ** (step / 24), ramp[0], ramp[-1])
        np.testing.assert_allclose(clip, expected, rtol=1e-5)
