"""A chimpanzee: hoots that build up, screams and barks.

Conventions: those of `tfhier.data.forest.calls`.
"""

import numpy as np

from tfhier.data.forest.individuals import Individual, Units
from tfhier.data.forest.voice import sing


def hoots(animal: Individual, seconds: float, rng: np.random.Generator) -> Units:
    """A pant-hoot's introduction and build-up: faster, higher and louder hoots."""
    units, at = [], 0.0
    rate = animal.tempo * rng.uniform(2.2, 3.5)
    base = 300.0 * 2.0 ** rng.uniform(-0.2, 0.2)
    growth, climb = rng.uniform(1.05, 1.2), rng.uniform(1.02, 1.1)
    while at < seconds - 0.1:
        length = min(0.28, 0.6 / rate)
        tract = animal.formants((420, 130, 6.0), (900, 180, 3.0), (2500, 400, 1.0))
        values = (0.85 * base, 1.1 * base, 1.05 * base, 0.9 * base)
        out = sing(
            animal.contour(values, length),
            tract,
            rng=rng,
            tilt=1.5 + animal.dark,
            jitter=0.01 + 0.03 * animal.rough,
            breath=0.1,
            attack=0.05,
            release=0.06,
        )
        units.append((at, rng.uniform(0.8, 1.0), out))
        if rate > 2.6:
            drawn_in = sing(
                animal.contour((1.35 * base, 1.5 * base), 0.3 / rate),
                tract,
                rng=rng,
                tilt=1.8 + animal.dark,
                breath=0.6,
            )
            units.append((at + 0.62 / rate, 0.4, drawn_in))
        at += rng.uniform(0.95, 1.05) / rate
        rate, base = min(rate * growth, 6.5), min(base * climb, 500.0)
    return units


def screams(animal: Individual, seconds: float, rng: np.random.Generator) -> Units:
    units, at = [], 0.0
    while at < seconds - 0.25:
        length = rng.uniform(0.35, 1.0) / animal.tempo
        top = rng.uniform(950.0, 1500.0)
        values = (0.7 * top, top, rng.uniform(0.85, 1.0) * top, 0.75 * top)
        scream = sing(
            animal.contour(values, length),
            animal.formants((1500, 350, 3.0), (3000, 500, 2.5)),
            rng=rng,
            tilt=0.7 + animal.dark,
            jitter=0.02 + 0.1 * animal.rough * rng.random(),
            doubling=0.8 * animal.rough * rng.random(),
            breath=0.1 + 0.3 * animal.rough,
            attack=0.05,
            release=0.1,
        )
        units.append((at, rng.uniform(0.6, 1.0), scream))
        at += length + rng.uniform(0.1, 0.35) / animal.tempo
    return units


def climax(animal: Individual, seconds: float, rng: np.random.Generator) -> Units:
    """The end of a pant-hoot: quick hoots, then a scream."""
    turn = rng.uniform(0.35, 0.6) * seconds
    units = [unit for unit in hoots(animal, turn, rng) if unit[0] < turn]
    for at, gain, wave in screams(animal, seconds - turn, rng):
        units.append((turn + at, 1.3 * gain, wave))
    return units


def barks(animal: Individual, seconds: float, rng: np.random.Generator) -> Units:
    units, at = [], 0.0
    while at < seconds - 0.15:
        length = rng.uniform(0.18, 0.4)
        top = rng.uniform(700.0, 1000.0)
        bark = sing(
            animal.contour((0.5 * top, top, 0.9 * top, 0.5 * top), length),
            animal.formants((900, 200, 4.0), (1700, 300, 2.5)),
            rng=rng,
            tilt=1.0 + animal.dark,
            jitter=0.02 + 0.06 * animal.rough,
            doubling=0.4 * animal.rough,
            breath=0.15,
        )
        units.append((at, rng.uniform(0.7, 1.0), bark))
        at += length + rng.uniform(0.2, 0.5) / animal.tempo
    return units
