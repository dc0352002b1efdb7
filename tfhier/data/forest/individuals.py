"""What makes one animal sound different from others of its kind."""

import dataclasses

import numpy as np

from tfhier.data.forest.voice import contour

# What is called: for each unit its start in seconds, its gain and its sound.
Units = list[tuple[float, float, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Individual:
    """One animal.

    Args:
        pitch: float. Factor on every pitch.
        tract: float. Factor on every resonance: small animals have high ones.
        tempo: float. Factor on how fast units follow each other.
        rough: float in [0, 1]. From clear to harsh.
        dark: float. Added to the exponent by which harmonics fall.
        manner: float in [0, 1]. Leaning towards one or another of its calls.
    """

    pitch: float
    tract: float
    tempo: float
    rough: float
    dark: float
    manner: float

    def formants(
        self, *resonances: tuple[float, float, float]
    ) -> list[tuple[float, float, float]]:
        return [(c * self.tract, w * self.tract, g) for c, w, g in resonances]

    def contour(self, values: tuple[float, ...], seconds: float) -> np.ndarray:
        return contour([self.pitch * value for value in values], seconds)


def random_individual(rng: np.random.Generator) -> Individual:
    """Draw an animal; its pitch lies within 0.2 octaves of the average one's."""
    return Individual(
        pitch=2.0 ** rng.uniform(-0.2, 0.2),
        tract=2.0 ** rng.uniform(-0.15, 0.15),
        tempo=2.0 ** rng.uniform(-0.3, 0.3),
        rough=rng.random(),
        dark=rng.uniform(-0.3, 0.4),
        manner=rng.random(),
    )
