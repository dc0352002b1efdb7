"""Other sounds of a forest, many of them easily taken for a primate.

They are drawn anew for every clip, over wider ranges than any one species has: whoever
tells background from primates has to know the primates' shapes, not their pitches.

Conventions: those of `tfhier.data.forest.voice`. Each function returns units to be
placed, for a clip of so many seconds.
"""

from collections.abc import Callable

import numpy as np

from tfhier.data.forest.voice import RATE, burst, contour, placed, rms, sing

Units = list[tuple[float, float, np.ndarray]]
Maker = Callable[[float, np.random.Generator], Units]


def distractor(kind: str, *, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Return a sound of a kind in `DISTRACTORS`: float32 (samples,), RMS 1."""
    units = DISTRACTORS[kind](seconds, rng)
    lead = rng.uniform(0.0, 0.1 + 0.3 * (seconds - 0.7))
    wave = placed([(lead + at, g, w) for at, g, w in units], round(seconds * RATE))
    return wave / rms(wave)


def _tract(rng: np.random.Generator, low: float, high: float) -> list:
    """Two resonances, the lower one between `low` and `high` Hz."""
    first = low * (high / low) ** rng.random()
    second = first * rng.uniform(1.7, 2.6)
    return [
        (first, 0.2 * first, rng.uniform(2.0, 6.0)),
        (second, 0.2 * second, rng.uniform(1.0, 4.0)),
    ]


def _series(
    rng: np.random.Generator,
    seconds: float,
    gap: tuple[float, float],
    most: int,
    unit: Callable[[], np.ndarray],
) -> Units:
    """One to `most` units at even distances drawn from `gap`, while there is time."""
    step, units, at = rng.uniform(*gap), [], 0.0
    for _ in range(int(rng.integers(1, most + 1))):
        units.append((at, rng.uniform(0.6, 1.0), unit()))
        at += step * rng.uniform(0.9, 1.1)
        if at > seconds:
            break
    return units


def _whistles(seconds: float, rng: np.random.Generator) -> Units:
    base = 1500.0 * 3.3 ** rng.random()
    shape = base * 2.0 ** rng.uniform(-0.5, 0.5, 4)
    length = rng.uniform(0.08, 0.5)

    def whistle() -> np.ndarray:
        values = shape * 2.0 ** rng.uniform(-0.05, 0.05, 4)
        return sing(contour(values, length), [], rng=rng, tilt=3.0, breath=0.02)

    return _series(rng, seconds, (length + 0.05, length + 0.5), 6, whistle)


def _trill(seconds: float, rng: np.random.Generator) -> Units:
    top = rng.uniform(3000.0, 6500.0)
    drop = rng.uniform(0.5, 0.9)

    def chip() -> np.ndarray:
        return sing(contour((top, drop * top), 0.04), [], rng=rng, tilt=2.5)

    return _series(rng, seconds, (0.05, 0.12), 25, chip)


def _coos(seconds: float, rng: np.random.Generator) -> Units:
    """A dove, a turaco or an owl: like hoots and whoops."""
    base, length = 230.0 * 2.4 ** rng.random(), rng.uniform(0.12, 0.45)
    values = base * 2.0 ** rng.uniform(-0.2, 0.25, 4)
    tract, tilt = _tract(rng, 350.0, 700.0), rng.uniform(1.5, 2.8)
    breath = rng.uniform(0.03, 0.3)

    def coo() -> np.ndarray:
        pitch = contour(values, length)
        return sing(pitch, tract, rng=rng, tilt=tilt, breath=breath, attack=0.05)

    return _series(rng, seconds, (length + 0.05, length + 0.45), 8, coo)


def _honks(seconds: float, rng: np.random.Generator) -> Units:
    """A hornbill or a goose: like crows and barks."""
    base, length = rng.uniform(250.0, 750.0), rng.uniform(0.12, 0.55)
    values = base * 2.0 ** rng.uniform(-0.4, 0.3, 3)
    tract, tilt = _tract(rng, 800.0, 1600.0), rng.uniform(0.6, 1.2)

    def honk() -> np.ndarray:
        pitch = contour(values, length)
        return sing(pitch, tract, rng=rng, tilt=tilt, jitter=0.02, attack=0.01)

    return _series(rng, seconds, (length + 0.05, length + 0.6), 6, honk)


def _shrieks(seconds: float, rng: np.random.Generator) -> Units:
    """A hyrax, a galago, a parrot or an eagle: like screams."""
    base, length = rng.uniform(600.0, 2200.0), rng.uniform(0.15, 0.9)
    values = base * 2.0 ** rng.uniform(-0.5, 0.4, 4)
    tract, tilt = _tract(rng, 1000.0, 2500.0), rng.uniform(0.6, 1.6)
    rough = rng.random()

    def shriek() -> np.ndarray:
        return sing(
            contour(values, length),
            tract,
            rng=rng,
            tilt=tilt,
            jitter=0.01 + 0.1 * rough,
            doubling=0.6 * rough,
            breath=0.05 + 0.4 * rough,
        )

    return _series(rng, seconds, (length + 0.05, length + 0.5), 5, shriek)


def _croaks(seconds: float, rng: np.random.Generator) -> Units:
    """A frog, a colobus, a hog or a buffalo: like grunts and gobbles."""
    base, length = 45.0 * 7.0 ** rng.random(), rng.uniform(0.05, 0.5)
    values = base * 2.0 ** rng.uniform(-0.3, 0.3, 3)
    tract, tilt = _tract(rng, 250.0, 900.0), rng.uniform(0.6, 1.4)
    breath = rng.uniform(0.05, 0.4)

    def croak() -> np.ndarray:
        pitch = contour(values, length)
        return sing(pitch, tract, rng=rng, tilt=tilt, jitter=0.05, breath=breath)

    return _series(rng, seconds, (length + 0.03, length + 0.5), 12, croak)


def _squeaks(seconds: float, rng: np.random.Generator) -> Units:
    """A squirrel or a bat: like chirps and hacks."""
    top, length = 1200.0 * 4.0 ** rng.random(), rng.uniform(0.025, 0.15)
    values = top * 2.0 ** rng.uniform(-0.8, 0.2, 3)
    tract, tilt = _tract(rng, 1200.0, 3000.0), rng.uniform(0.8, 2.5)
    breath = rng.uniform(0.05, 0.8)

    def squeak() -> np.ndarray:
        pitch = contour(values, length)
        return sing(
            pitch, tract, rng=rng, tilt=tilt, breath=breath, attack=0.008, release=0.02
        )

    return _series(rng, seconds, (length + 0.05, length + 0.5), 10, squeak)


def _voices(seconds: float, rng: np.random.Generator) -> Units:
    """People: syllables of changing vowels."""
    base = 100.0 * 2.8 ** rng.random()

    def syllable() -> np.ndarray:
        values = base * 2.0 ** rng.uniform(-0.2, 0.3, 3)
        tract = _tract(rng, 300.0, 850.0)
        pitch = contour(values, rng.uniform(0.1, 0.3))
        return sing(pitch, tract, rng=rng, tilt=1.2, breath=0.1)

    return _series(rng, seconds, (0.18, 0.4), 8, syllable)


def _cracks(seconds: float, rng: np.random.Generator) -> Units:
    """Branches that break and fruit that falls."""

    def crack() -> np.ndarray:
        low = rng.uniform(100.0, 1500.0)
        high = low * rng.uniform(2.0, 6.0)
        return burst(rng, low=low, high=high, seconds=rng.uniform(0.01, 0.15))

    return [
        (at, rng.uniform(0.3, 1.0), crack())
        for at in rng.uniform(0.0, 0.6 * seconds, int(rng.integers(1, 9)))
    ]


def _booms(seconds: float, rng: np.random.Generator) -> Units:
    """Distant thunder, an elephant, or a bird that booms."""

    def boom() -> np.ndarray:
        if rng.random() < 0.5:
            length = rng.uniform(0.3, 1.5)
            return burst(rng, low=30.0, high=rng.uniform(80, 200), seconds=length)
        pitch = contour(rng.uniform(60.0, 160.0, 2), rng.uniform(0.15, 0.8))
        return sing(pitch, [], rng=rng, tilt=2.5, attack=0.08, release=0.1)

    return _series(rng, seconds, (0.3, 1.0), 4, boom)


DISTRACTORS: dict[str, Maker] = {
    "whistles": _whistles,
    "trill": _trill,
    "coos": _coos,
    "honks": _honks,
    "shrieks": _shrieks,
    "croaks": _croaks,
    "squeaks": _squeaks,
    "voices": _voices,
    "cracks": _cracks,
    "booms": _booms,
}
