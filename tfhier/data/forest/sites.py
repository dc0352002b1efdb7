"""Places in the forest: their insects, weather, echoes, and the recorder on the tree.

Conventions: those of `tfhier.data.forest.voice`. A site is drawn once; every clip that
is recorded there has its own weather, in the site's habits.
"""

import dataclasses

import numpy as np

from tfhier.data.forest.voice import RATE, convolved, rms, smooth_noise
from tfhier.data.spectra import peaks, shaped


@dataclasses.dataclass(frozen=True)
class Site:
    """What recordings of one place have in common.

    Args:
        cicadas: float (bands, 3). Centre Hz, half width Hz, modulations a second.
        cricket: (Hz, chirps a second, pulses a second).
        levels: Dict of "cicadas", "crickets", "rain", "wind" to the usual dB over the
            recorder's own noise.
        floor_slope: float. The recorder's noise has the amplitude Hz ** floor_slope.
        decay_seconds: float. Time after which the forest's echo has lost 8.7 dB.
        low_cut: float. Hz below which the recorder loses 12 dB an octave.
        tilt: float. The recorder's gain is Hz ** tilt,
        resonances: times `peaks` of these.
    """

    cicadas: np.ndarray
    cricket: tuple[float, float, float]
    levels: dict[str, float]
    floor_slope: float
    decay_seconds: float
    low_cut: float
    tilt: float
    resonances: tuple[tuple[float, float, float], ...]


def random_site(rng: np.random.Generator) -> Site:
    num_bands = int(rng.integers(1, 4))
    centers = rng.uniform(2800.0, 7200.0, num_bands)
    return Site(
        cicadas=np.stack(
            [
                centers,
                centers * rng.uniform(0.02, 0.12, num_bands),
                rng.uniform(8.0, 120.0, num_bands),
            ],
            axis=1,
        ),
        cricket=(rng.uniform(2500, 6000), rng.uniform(0.8, 4.0), rng.uniform(15, 60)),
        levels={
            "cicadas": rng.uniform(-10.0, 20.0),
            "crickets": rng.uniform(-10.0, 12.0),
            "rain": rng.uniform(-20.0, 15.0),
            "wind": rng.uniform(-15.0, 18.0),
        },
        floor_slope=rng.uniform(-0.8, 0.0),
        decay_seconds=rng.uniform(0.06, 0.25),
        low_cut=rng.uniform(40.0, 140.0),
        tilt=rng.uniform(-0.2, 0.2),
        resonances=tuple(
            (
                150.0 * 40.0 ** rng.random(),
                rng.uniform(100.0, 1200.0),
                rng.uniform(-0.4, 0.7),
            )
            for _ in range(3)
        ),
    )


def weather(site: Site, *, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return what is always heard at a site: float32 (count,), the floor has RMS 1.

    Insects, rain and wind come and go: each is some dB from the site's habit, and is
    absent from about a third of the clips.
    """
    sound = _colored(count, rng, lambda hertz: hertz**site.floor_slope)
    makers = {
        "cicadas": _cicadas,
        "crickets": _crickets,
        "rain": _rain,
        "wind": _wind,
    }
    for name, make in makers.items():
        level = site.levels[name] + rng.normal(0.0, 4.0)
        if rng.random() < 0.65 and level > -20.0:
            wave = make(site, count, rng)
            sound += np.float32(10.0 ** (level / 20.0)) * wave / rms(wave)
    return sound


def _colored(count: int, rng: np.random.Generator, response) -> np.ndarray:
    white = rng.standard_normal(count, dtype=np.float32)
    wave = shaped(white, response, sample_rate=RATE)
    return wave / rms(wave)


def _cicadas(site: Site, count: int, rng: np.random.Generator) -> np.ndarray:
    sound = np.zeros(count, np.float32)
    times = np.arange(count, dtype=np.float32) / RATE
    for center, width, rate in site.cicadas * 2.0 ** rng.uniform(-0.03, 0.03):
        wave = _colored(
            count, rng, lambda hertz, c=center, w=width: peaks(hertz, (c, w, 30.0)) - 1
        )
        beat = np.sin(np.float32(2 * np.pi * rate) * times + rng.uniform(0, 6.3))
        slow = np.exp2(0.5 * smooth_noise(rng, count, 1.0))
        sound += rng.uniform(0.3, 1.0) * wave * (1.0 + 0.8 * beat) * slow
    return sound


def _crickets(site: Site, count: int, rng: np.random.Generator) -> np.ndarray:
    hertz, chirps, pulses = np.array(site.cricket) * 2.0 ** rng.uniform(-0.05, 0.05, 3)
    times = np.arange(count) / RATE
    tone = np.sin(2 * np.pi * hertz * times)
    chirp = (np.modf(times * chirps + rng.random())[0] < 0.4).astype(float)
    pulse = np.maximum(np.sin(2 * np.pi * pulses * times), 0.0)
    return (tone * chirp * pulse).astype(np.float32) + np.float32(1e-6)


def _rain(site: Site, count: int, rng: np.random.Generator) -> np.ndarray:
    """Hiss, and drops on leaves: short ringing clicks of many sizes."""
    hiss = _colored(count, rng, lambda hertz: hertz**0.2 / (1 + (hertz / 5000) ** 2))
    drops = np.zeros(count, np.float32)
    num_drops = rng.poisson(rng.uniform(5.0, 120.0) * count / RATE)
    drops[rng.integers(0, count, num_drops)] = rng.exponential(1.0, num_drops) ** 2
    times = np.arange(320, dtype=np.float32) / RATE
    ring = np.exp(-times / 0.002) * np.sin(2 * np.pi * rng.uniform(900, 4000) * times)
    drops = convolved(drops, ring)
    return hiss + np.float32(rng.uniform(0.2, 1.5)) * drops / rms(drops)


def _wind(site: Site, count: int, rng: np.random.Generator) -> np.ndarray:
    """Slow low noise, and a little of the leaves' rustle."""
    low = _colored(count, rng, lambda hertz: (hertz + 30.0) ** -1.4)
    rustle = _colored(count, rng, lambda hertz: hertz / (hertz + 1500.0))
    gusts = np.exp2(smooth_noise(rng, count, 0.7))
    return gusts * (low + np.float32(rng.uniform(0.05, 0.3)) * rustle)


def heard(
    wave: np.ndarray, site: Site, *, meters: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a sound as it arrives at the site's recorder from a distance.

    Leaves and air take high frequencies away, 1 dB more for each 10 m and octave above
    1 kHz, and the echo grows against the direct sound. The level is arbitrary.

    Args:
        wave: float32 (samples,). The sound near its source.
        site: Site.
        meters: float > 0.
        rng: Generator. The echo.

    Returns:
        float32 (samples,).
    """
    slope = meters / 60.0  # 1 dB for each 10 m and octave

    def leaves(hertz: np.ndarray) -> np.ndarray:
        return np.maximum(hertz / 1000.0, 1.0) ** -slope

    decay = site.decay_seconds
    tail = rng.standard_normal(round(5 * decay * RATE), dtype=np.float32)
    tail = shaped(tail, lambda hertz: 1 / (1 + hertz / 2500), sample_rate=RATE)
    tail *= np.exp(-np.arange(tail.size, dtype=np.float32) / (decay * RATE))
    tail *= np.float32(np.sqrt(meters / 60.0)) / np.sqrt(np.sum(tail**2))
    tail[0] += 1.0
    return convolved(shaped(wave, leaves, sample_rate=RATE), tail)


def recorded(wave: np.ndarray, site: Site) -> np.ndarray:
    """Return a sound through the site's recorder: float32 (samples,), linear."""

    def response(hertz: np.ndarray) -> np.ndarray:
        cut = 1.0 / (1.0 + (site.low_cut / hertz) ** 2)
        gain = np.maximum(peaks(hertz, *site.resonances), 0.2)
        return cut * (hertz / 1000.0) ** site.tilt * gain

    return shaped(wave, response, sample_rate=RATE)
