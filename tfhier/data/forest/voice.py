"""A voice: harmonics of a moving pitch, coloured by a vocal tract, more or less rough.

Conventions: sound is float32 (samples,) at `RATE`, frequencies are in Hz, times in
seconds. Chance comes only from the generator that is passed.
"""

from collections.abc import Sequence

import numpy as np

from tfhier.data.spectra import fast_length, peaks, shaped

RATE = 16_000
HIGHEST = 7_600.0  # Hz; no harmonic lies above, so none is folded back
MOST_HARMONICS = 48

Formants = Sequence[tuple[float, float, float]]  # centre Hz, half width Hz, gain


def smooth_noise(rng: np.random.Generator, count: int, hertz: float) -> np.ndarray:
    """Noise of about standard deviation 1 that moves no faster than `hertz`.

    Returns:
        float32 (count,): straight lines between normal values drawn `2 * hertz` times a
        second.
    """
    knots = rng.standard_normal(int(2 * hertz * count / RATE) + 3)
    places = rng.random() + np.arange(count) * (2 * hertz / RATE)
    return np.interp(places, np.arange(knots.size), knots).astype(np.float32)


def contour(values: Sequence[float], seconds: float) -> np.ndarray:
    """A pitch that passes through equally spaced values, evenly in octaves.

    Args:
        values: Hz at equal distances from the start to the end, two or more.
        seconds: float > 0.

    Returns:
        float64 (samples,).
    """
    count = max(2, round(seconds * RATE))
    places = np.linspace(0.0, len(values) - 1.0, count)
    return np.exp2(np.interp(places, np.arange(len(values)), np.log2(values)))


def swell(count: int, *, attack: float, release: float) -> np.ndarray:
    """An envelope from 0 to 1 and back: float32 (count,)."""
    times = np.arange(count, dtype=np.float32) / np.float32(RATE)
    rise = np.minimum(times / np.float32(attack), 1.0)
    fall = np.minimum((times[-1] - times) / np.float32(release), 1.0)
    # A raised cosine has no corner that would click.
    return 0.5 - 0.5 * np.cos(np.float32(np.pi) * np.minimum(rise, fall))


def sing(
    pitch: np.ndarray,
    formants: Formants,
    *,
    rng: np.random.Generator,
    tilt: float = 1.0,
    jitter: float = 0.01,
    doubling: float = 0.0,
    breath: float = 0.05,
    attack: float = 0.02,
    release: float = 0.04,
) -> np.ndarray:
    """Sing one unit of a call.

    Args:
        pitch: float (samples,). Hz.
        formants: Resonances of the vocal tract, over a gain of 1 elsewhere.
        rng: Generator.
        tilt: float. The source's harmonic k has the amplitude k ** -tilt.
        jitter: float. Octaves by which the pitch wavers, up to 60 times a second.
        doubling: float in [0, 1]. Depth of the period doubling that roughens screams.
        breath: float. RMS of the noise through the same tract, of the voice's.
        attack, release: float. Seconds.

    Returns:
        float32 (samples,), RMS 1.
    """
    count = pitch.size
    pitch = pitch * np.exp2(jitter * smooth_noise(rng, count, 60.0))
    hertz = pitch.astype(np.float32)
    phase = np.cumsum(pitch) / RATE
    turn = np.exp(2j * np.pi * (phase - np.floor(phase))).astype(np.complex64)
    # The tract's gain is looked up, 4 Hz apart, and is 0 where harmonics would fold.
    steps = np.arange(0.0, HIGHEST + 4.0, 4.0)
    tract = np.append(peaks(steps, *formants), 0.0).astype(np.float32)
    wave, spin = np.zeros(count, np.float32), turn.copy()
    orders = min(MOST_HARMONICS, max(1, int(HIGHEST / hertz.min())))
    for order in range(1, 1 + orders):
        place = np.minimum(hertz * np.float32(order / 4.0), tract.size - 1)
        wave += tract[place.astype(np.int32)] * np.float32(order**-tilt) * spin.real
        spin *= turn
    if doubling:
        wave *= 1.0 + np.float32(doubling) * np.cos(np.pi * phase).astype(np.float32)
    wave /= rms(wave)
    if breath:
        hiss = rng.standard_normal(count, dtype=np.float32)
        hiss = shaped(
            hiss,
            lambda bins: peaks(bins, *formants) / (1.0 + bins / 1500.0),
            sample_rate=RATE,
        )
        wave += np.float32(breath) * hiss / rms(hiss)
    wave *= swell(count, attack=attack, release=release)
    return wave / rms(wave)


def burst(
    rng: np.random.Generator, *, low: float, high: float, seconds: float
) -> np.ndarray:
    """A burst of noise between two frequencies that dies away: float32, RMS 1.

    Args:
        rng: Generator.
        low, high: float. Hz of the lower and the upper edge, where 3 dB are lost.
        seconds: float. Time after which it has lost 26 dB.
    """
    count = max(64, round(1.5 * seconds * RATE))
    noise = rng.standard_normal(count, dtype=np.float32)
    noise = shaped(
        noise,
        lambda hertz: 1.0 / np.hypot(1.0, (hertz / high) ** 3 + (low / hertz) ** 3),
        sample_rate=RATE,
    )
    fade = np.exp(-3.0 * np.arange(count, dtype=np.float32) / (seconds * RATE))
    wave = noise * fade * swell(count, attack=0.002, release=0.005)
    return wave / rms(wave)


def placed(units: Sequence[tuple[float, float, np.ndarray]], count: int) -> np.ndarray:
    """Add units, each (start in seconds, gain, sound), into one sound: (count,).

    What a unit has after the end is lost.
    """
    sound = np.zeros(count, np.float32)
    for start, gain, wave in units:
        first = round(start * RATE)
        part = wave[: max(0, count - first)]
        sound[first : first + part.size] += np.float32(gain) * part
    return sound


def convolved(wave: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The wave through an impulse response, as long as the wave."""
    size = fast_length(wave.size + response.size)
    spectrum = np.fft.rfft(wave, size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[: wave.size]


def rms(wave: np.ndarray) -> np.float32:
    return np.sqrt(np.mean(wave**2)) + np.float32(1e-9)
