"""A red-capped mangabey: the whoop-gobble, and screams of two phases.

Conventions: those of `tfhier.data.forest.calls`.
"""

import numpy as np

from tfhier.data.forest.individuals import Individual, Units
from tfhier.data.forest.voice import RATE, sing


def whoop_gobbles(
    animal: Individual, seconds: float, rng: np.random.Generator
) -> Units:
    units, at = [], 0.0
    while at < seconds - 0.5:
        base, length = rng.uniform(360.0, 430.0), rng.uniform(0.18, 0.32)
        whoop = sing(
            animal.contour((0.95 * base, 1.05 * base, 1.3 * base), length),
            animal.formants((480, 120, 5.0), (1000, 200, 2.0)),
            rng=rng,
            tilt=1.7 + animal.dark,
            breath=0.08,
            attack=0.05,
        )
        units.append((at, 1.0, whoop))
        at += length + rng.uniform(0.08, 0.2)
        at += _gobble(units, at, 1.2 * base, animal, rng)
        at += rng.uniform(0.3, 0.8) / animal.tempo
    return units


def _gobble(
    units: Units, at: float, base: float, animal: Individual, rng: np.random.Generator
) -> float:
    """Add a gobble's pulses to `units`; returns how many seconds it takes."""
    # The whole call keeps its 9 to 13 pulses a second whatever the animal's tempo.
    rate, num_pulses = rng.uniform(9.0, 13.0), int(rng.integers(4, 9))
    for number in range(num_pulses):
        pulse = sing(
            animal.contour((1.3 * base, base, 0.75 * base), 0.06),
            animal.formants((800, 200, 4.0), (1600, 300, 3.0)),
            rng=rng,
            tilt=1.0 + animal.dark,
            jitter=0.02 + 0.03 * animal.rough,
            breath=0.15,
            attack=0.008,
            release=0.03,
        )
        fade = 1.0 - 0.5 * number / num_pulses
        units.append((at + number / rate, 1.1 * fade, pulse))
    return num_pulses / rate


def two_phase_screams(
    animal: Individual, seconds: float, rng: np.random.Generator
) -> Units:
    units, at = [], 0.0
    while at < seconds - 0.4:
        top = rng.uniform(1000.0, 1350.0)
        first, second = rng.uniform(0.2, 0.35), rng.uniform(0.25, 0.5)
        tract = animal.formants((1300, 250, 4.0), (2600, 400, 2.0))
        clear = sing(
            animal.contour((0.6 * top, 0.85 * top, top), first),
            tract,
            rng=rng,
            tilt=1.2 + animal.dark,
            breath=0.05,
            release=0.02,
        )
        harsh = sing(
            animal.contour((top, 0.9 * top, 0.8 * top), second),
            tract,
            rng=rng,
            tilt=0.7 + animal.dark,
            jitter=0.03 + 0.05 * animal.rough,
            doubling=0.5,
            breath=0.3,
        )
        times = np.arange(harsh.size) / RATE
        beats = np.cos(2 * np.pi * rng.uniform(22.0, 34.0) * times)
        rattle = (0.55 - 0.45 * beats).astype(np.float32)
        units += [(at, 0.9, clear), (at + first, 1.2, harsh * rattle)]
        at += first + second + rng.uniform(0.15, 0.5) / animal.tempo
    return units
