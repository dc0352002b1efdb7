"""Calls of four Central African primates, as a sketch.

The sketch follows what is commonly said about these species, in its rough shape only.
All figures are ours: nothing was measured, and nothing here says anything about real
monkeys or apes. They are those of an average animal; `individuals` says how far others
are from it.

* Chimpanzee: low hoots (250 to 500 Hz) in series that speed up and climb, drawn-in
  breaths between them; harsh screams (700 to 1,600 Hz) with many harmonics; barks.
* Guenon, several species in one class: "pyows" that fall from about 1,300 to 650 Hz
  within 0.15 s, dry broad "hacks" of 50 ms, chirps that rise and fall at 2 to 4 kHz.
* Mandrill: grunts of 50 to 110 Hz in two phases, a short one and a longer one, or in
  even series; crows, 0.25 to 0.6 s with an abrupt start at 250 to 450 Hz.
* Red-capped mangabey: a whoop that rises through 350 to 550 Hz and then a gobble of 9
  to 13 pulses a second; screams of two phases, first clear, then rattling.

Conventions: those of `tfhier.data.forest.voice`. A call is float32 (samples,) and at an
arbitrary level.
"""

from collections.abc import Callable

import numpy as np

from tfhier.data.forest import chimpanzee, guenon, mandrill, mangabey
from tfhier.data.forest.individuals import Individual, Units
from tfhier.data.forest.voice import RATE, placed, rms

Caller = Callable[[Individual, float, np.random.Generator], Units]

CALLS: dict[str, tuple[Caller, ...]] = {
    "chimpanzee": (
        chimpanzee.hoots,
        chimpanzee.screams,
        chimpanzee.climax,
        chimpanzee.barks,
    ),
    "guenon": (guenon.pyows, guenon.hacks, guenon.chirps),
    "mandrill": (mandrill.two_phase_grunts, mandrill.grunt_series, mandrill.crows),
    "red_capped_mangabey": (mangabey.whoop_gobbles, mangabey.two_phase_screams),
}


def call(
    species: str, individual: Individual, *, seconds: float, rng: np.random.Generator
) -> np.ndarray:
    """Let an animal call.

    Args:
        species: str. A key of `CALLS`.
        individual: Individual.
        seconds: float >= 0.7. Length of the sound; a call that is longer is cut.
        rng: Generator. What it calls this time.

    Returns:
        float32 (round(seconds * RATE),), RMS 1.
    """
    kinds = CALLS[species]
    # Most animals favour one of their calls, so that few are heard in all of them.
    leaning = int(individual.manner * len(kinds))
    chosen = leaning if rng.random() < 0.5 else rng.integers(len(kinds))
    lead = rng.uniform(0.0, 0.1 + 0.3 * (seconds - 0.7))
    lasting = max(0.6, (seconds - lead) * rng.uniform(0.5, 1.0))
    units = kinds[chosen](individual, lasting, rng)
    wave = placed([(lead + at, g, w) for at, g, w in units], round(seconds * RATE))
    return wave / rms(wave)
