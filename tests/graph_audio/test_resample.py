"""Resampling in a graph against its formula in NumPy, against tones, against soxr."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfhier import audio
from tfhier.errors import InputError
from tfhier.graph_audio.resample import resample

RATES = (
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200,
    96_000, 176_400, 192_000, 250_000, 256_000, 384_000,
)  # fmt: skip
TARGETS = (8_000, 16_000, 32_000)
PAIRS = [(rate, target) for target in TARGETS for rate in RATES if rate != target]


@functools.cache
def resampler(target: int) -> tf.types.experimental.PolymorphicFunction:
    """A graph for one wanted rate; the other is an input."""
    return tf.function(
        functools.partial(resample, target_rate=target),
        input_signature=[
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([], tf.int32),
        ],
    )


def resampled(waveform: np.ndarray, rate: int, target: int) -> np.ndarray:
    return resampler(target)(waveform.astype(np.float32), rate).numpy()


def length(num_samples: int, rate: int, target: int) -> int:
    return (2 * num_samples * target + rate) // (2 * rate)


def direct(waveform: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Every output as a sum over all inputs, in float64, without blocks."""
    lower = min(rate, target)
    outputs = np.arange(length(len(waveform), rate, target)) * lower / target
    inputs = np.arange(len(waveform)) * lower / rate
    time = outputs[:, None] - inputs
    inside = np.maximum(1 - (time / 94) ** 2, 0)
    window = np.where(inside > 0, np.exp(12.25 * (np.sqrt(inside) - 1)), 0)
    return (0.9575 * lower / rate * np.sinc(0.9575 * time) * window) @ waveform


def tone(rate: int, frequency: float, num_samples: int) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(num_samples) / rate + 0.3)


def decibels(error: np.ndarray, signal: np.ndarray) -> float:
    return 10 * np.log10(np.mean(error**2) / np.mean(signal**2))


@pytest.mark.parametrize(("rate", "target"), PAIRS)
def test_tones_stay_what_they_are(rate, target):
    """Three in the pass band, the highest at 0.45 of the lower rate."""
    lower = min(rate, target)
    num_samples = rate // 4 + 13
    num_outputs = length(num_samples, rate, target)
    inner = slice(100 * target // lower, -100 * target // lower)
    for share in (0.02, 0.25, 0.45):
        got = resampled(tone(rate, share * lower, num_samples), rate, target)
        expected = tone(target, share * lower, num_outputs)
        assert got.shape == (num_outputs,)
        assert decibels((got - expected)[inner], expected[inner]) < -110


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_above_half_the_wanted_rate_folds_down(target):
    for rate in (rate for rate in RATES if rate > target):
        highest = rate / 2
        for frequency in np.linspace(target / 2, highest, 5)[[0, 1, 3]] * 1.001:
            sound = tone(rate, frequency, rate // 4)
            got = resampled(sound, rate, target)
            assert decibels(got[100:-100], sound) < -105, (rate, frequency)


@pytest.mark.parametrize(("rate", "target"), PAIRS)
def test_it_is_soxr_to_what_soxr_is_true_to(rate, target):
    """Noise up to 0.45 of the lower rate; soxr's ends and length, too.

    Between rates of a less simple ratio, as 44,100 and 16,000 Hz, soxr weakens the top
    of its pass band by up to 0.01 dB, as tones show: that is an error of -60 dB.
    """
    lower = min(rate, target)
    rng = np.random.default_rng(rate)
    spectrum = np.fft.rfft(rng.standard_normal(rate // 2))
    frequencies = np.fft.rfftfreq(rate // 2, 1 / rate)

    def compared(highest: float) -> float:
        sound = np.fft.irfft(np.where(frequencies < highest, spectrum, 0))
        sound = (sound * np.hanning(len(sound))).astype(np.float32)
        expected = audio.resample(sound, source_rate=rate, target_rate=target)
        got = resampled(sound, rate, target)
        assert got.shape == expected.shape
        return decibels(got - expected, expected)

    assert compared(0.2 * lower) < -100
    is_flat_in_soxr = target // np.gcd(rate, target) <= 4
    assert compared(0.45 * lower) < (-90 if is_flat_in_soxr else -70)


@pytest.mark.parametrize(
    ("rate", "target"),
    [
        (44_100, 16_000),
        (48_000, 32_000),
        (384_000, 16_000),
        (8_000, 32_000),
        (11_025, 8_000),
        (22_050, 32_000),
        (250_000, 32_000),
        (1_000, 8_000),
        (400_000, 8_000),
    ],
)
@pytest.mark.parametrize("num_samples", [1, 2, 100, 1_003])
def test_it_is_its_formula_from_end_to_end(rate, target, num_samples, rng):
    waveform = rng.uniform(-1, 1, num_samples).astype(np.float32)
    got = resampled(waveform, rate, target)
    expected = direct(waveform, rate, target)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_lengths_are_soxr_s():
    for rate in (8_000, 11_025, 44_100, 48_000):
        for num_samples in [*range(12), 999, 1_000, 1_001]:
            waveform = np.ones(num_samples, np.float32)
            expected = audio.resample(waveform, source_rate=rate, target_rate=16_000)
            assert resampled(waveform, rate, 16_000).shape == expected.shape


def test_a_shift_by_whole_periods_shifts_the_result(rng):
    """441 samples at 44.1 kHz are 160 at 16 kHz, wherever blocks begin."""
    waveform = np.pad(rng.uniform(-1, 1, 1_000), 600)
    later = np.pad(waveform, (3 * 441, 0))
    expected = resampled(waveform, 44_100, 16_000)
    got = resampled(later, 44_100, 16_000)
    np.testing.assert_allclose(got[480:], expected, rtol=0, atol=1e-6)


def test_the_same_rate_returns_the_waveform(rng):
    waveform = rng.uniform(-9, 9, 100).astype(np.float32)
    np.testing.assert_array_equal(resampled(waveform, 16_000, 16_000), waveform)


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        (44_101, "of 44101 Hz, which cannot be resampled exactly to 16000 Hz here"),
        (15_999, "of 15999 Hz, which cannot be resampled exactly"),
        (399_999, "of 399999 Hz, which cannot be resampled exactly"),
        (999, "of 999 Hz; expected 1000 to 400000 Hz"),
        (400_001, "of 400001 Hz; expected 1000 to 400000 Hz"),
        (0, "of 0 Hz; expected"),
        (-16_000, "of -16000 Hz; expected"),
    ],
)
def test_rates_that_cannot_be_resampled_say_so(rate, reason):
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        resampled(np.zeros(100), rate, 16_000)


@pytest.mark.parametrize("target", [0, 16_000.0, True, None])
def test_the_wanted_rate_is_whole_and_within_limits(target):
    with pytest.raises(InputError, match="target_rate must be a whole number"):
        resample(np.zeros(9, np.float32), 8_000, target_rate=target)
