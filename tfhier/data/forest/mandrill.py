"""A mandrill: grunts and crows.

Conventions: those of `tfhier.data.forest.calls`.
"""

import numpy as np

from tfhier.data.forest.individuals import Individual, Units
from tfhier.data.forest.voice import sing


def _grunt(
    animal: Individual,
    values: tuple[float, ...],
    seconds: float,
    rng: np.random.Generator,
) -> np.ndarray:
    return sing(
        animal.contour(values, seconds),
        animal.formants((280, 80, 6.0), (850, 150, 4.0), (1900, 300, 1.5)),
        rng=rng,
        tilt=0.9 + animal.dark,
        jitter=0.03 + 0.06 * animal.rough,
        breath=0.2,
        attack=0.03,
        release=0.05,
    )


def two_phase_grunts(
    animal: Individual, seconds: float, rng: np.random.Generator
) -> Units:
    units, at = [], 0.0
    while at < seconds - 0.3:
        base = rng.uniform(65.0, 85.0)
        first, second = rng.uniform(0.09, 0.15), rng.uniform(0.22, 0.4)
        short = _grunt(animal, (base, 1.15 * base), first, rng)
        long = _grunt(animal, (1.2 * base, base, 0.75 * base), second, rng)
        units += [(at, 0.7, short), (at + first + 0.03, 1.0, long)]
        at += first + second + rng.uniform(0.2, 0.6) / animal.tempo
    return units


def grunt_series(animal: Individual, seconds: float, rng: np.random.Generator) -> Units:
    units, at = [], 0.0
    gap = rng.uniform(0.25, 0.42) / animal.tempo
    base = rng.uniform(65.0, 95.0)
    while at < seconds - 0.15:
        grunt = _grunt(animal, (base, 1.1 * base, 0.8 * base), 0.16, rng)
        units.append((at, rng.uniform(0.7, 1.0), grunt))
        at += gap * rng.uniform(0.9, 1.1)
    return units


def crows(animal: Individual, seconds: float, rng: np.random.Generator) -> Units:
    units, at = [], 0.0
    while at < seconds - 0.25:
        base, length = rng.uniform(260.0, 360.0), rng.uniform(0.25, 0.6)
        values = (1.1 * base, 1.25 * base, 1.15 * base, 0.8 * base)
        crow = sing(
            animal.contour(values, length),
            animal.formants((1050, 150, 5.0), (1850, 250, 3.5)),
            rng=rng,
            tilt=0.7 + animal.dark,
            jitter=0.01 + 0.03 * animal.rough,
            doubling=0.3 * animal.rough,
            breath=0.1,
            attack=0.01,
            release=0.12,
        )
        units.append((at, rng.uniform(0.8, 1.0), crow))
        at += length + rng.uniform(0.25, 0.7) / animal.tempo
    return units
