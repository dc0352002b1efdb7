"""Guenons: pyows, hacks and chirps.

Conventions: those of `tfhier.data.forest.calls`.
"""

import numpy as np

from tfhier.data.forest.individuals import Individual, Units
from tfhier.data.forest.voice import sing


def pyows(animal: Individual, seconds: float, rng: np.random.Generator) -> Units:
    units, at = [], 0.0
    while at < seconds - 0.2:
        top = rng.uniform(1150.0, 1450.0)
        pyow = sing(
            animal.contour((0.9 * top, top, 0.7 * top, 0.5 * top), 0.15),
            animal.formants((1100, 200, 4.0), (2300, 400, 2.0)),
            rng=rng,
            tilt=1.3 + animal.dark,
            breath=0.1 + 0.2 * animal.rough,
            attack=0.01,
            release=0.05,
        )
        units.append((at, rng.uniform(0.8, 1.0), pyow))
        at += rng.uniform(0.4, 0.9) / animal.tempo
    return units


def hacks(animal: Individual, seconds: float, rng: np.random.Generator) -> Units:
    units, at = [], 0.0
    gap = rng.uniform(0.17, 0.35) / animal.tempo
    while at < seconds - 0.1:
        top = rng.uniform(600.0, 800.0)
        hack = sing(
            animal.contour((top, 0.7 * top), 0.055),
            animal.formants((1300, 400, 3.0), (2600, 500, 3.0)),
            rng=rng,
            tilt=0.6 + animal.dark,
            jitter=0.05,
            breath=0.5 + 0.5 * animal.rough,
            attack=0.004,
            release=0.03,
        )
        units.append((at, rng.uniform(0.7, 1.0), hack))
        at += gap * rng.uniform(0.85, 1.15)
    return units


def chirps(animal: Individual, seconds: float, rng: np.random.Generator) -> Units:
    units, at = [], 0.0
    top = rng.uniform(2800.0, 3600.0)
    gap = rng.uniform(0.12, 0.4) / animal.tempo
    while at < seconds - 0.1:
        values = (0.75 * top, top, 0.65 * top)
        chirp = sing(
            animal.contour(values, rng.uniform(0.05, 0.09)),
            animal.formants((3000, 900, 1.0)),
            rng=rng,
            tilt=2.0 + animal.dark,
            breath=0.1 + 0.2 * animal.rough,
            attack=0.01,
            release=0.02,
        )
        units.append((at, rng.uniform(0.6, 1.0), chirp))
        at += gap * rng.uniform(0.8, 1.2)
    return units
