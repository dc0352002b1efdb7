"""Proof that an exported file answers as the model that it was made from.

The clips are made here: quiet and loud, short and long, tones, noise, a click and
silence. Nothing is told from one average: what counts is the worst score of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfhier import golden
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.runtime import LoadedTagger

# Of scores, in float32; other orders of summation make 1e-6 of it, seldom 1e-5.
TOLERANCE = 1e-4
_SHORT_SECONDS = 0.3
_LONG_SECONDS = 12.3


@dataclass(frozen=True)
class Proof:
    """How alike two models answered.

    Args:
        num_clips: int. Clips that both were given.
        max_difference: float. Of any score of any clip.
        top1: float in [0, 1]. Share of clips whose likeliest label of the finest level
            is the same.
    """

    num_clips: int
    max_difference: float
    top1: float


def clips(promised: Contract) -> dict[str, np.ndarray]:
    """Return clips to compare models on: name -> waveform (samples,), float32."""
    rate = promised.sample_rate
    own = promised.window_seconds or promised.clip_seconds or golden.SECONDS
    sound = golden.clip(rate)
    noise = np.random.default_rng(11).uniform(-1.0, 1.0, round(own * rate))
    noise = noise.astype(np.float32)
    short = max(round(_SHORT_SECONDS * rate), promised.min_samples)
    click = np.zeros(round(own * rate), np.float32)
    click[len(click) // 2] = 1.0
    found = {
        "golden": sound,
        "quiet": 1e-3 * sound,
        "loud": 2.0 * sound,
        "short": sound[:short],
        "long": np.resize(sound, round(_LONG_SECONDS * rate))
        * np.linspace(0.1, 1.0, round(_LONG_SECONDS * rate), dtype=np.float32),
        "noise": noise,
        "faint noise": 1e-4 * noise,
        "click": click,
        "silence": np.zeros(round(own * rate), np.float32),
    }
    least = promised.min_samples
    return {name: each for name, each in found.items() if len(each) >= least}


def compare(
    reference: LoadedTagger, other: LoadedTagger, waveforms: Mapping[str, np.ndarray]
) -> Proof:
    """Return how alike two models answer to waveforms at their rate."""
    differences, same = [], []
    fine = reference.taxonomy.fine
    for waveform in waveforms.values():
        expected = reference.scores(waveform, sample_rate=reference.sample_rate)
        found = other.scores(waveform, sample_rate=other.sample_rate)
        differences += [
            np.abs(found[level] - each).max() for level, each in expected.items()
        ]
        same.append(expected[fine].argmax() == found[fine].argmax())
    # Python's max passes over NaN.
    return Proof(len(waveforms), float(np.max(differences)), float(np.mean(same)))


def require_equal(path: Path, proof: Proof) -> None:
    """Raise an InputError for an export that does not answer as its model."""
    # Also of NaN.
    if not proof.max_difference <= TOLERANCE:
        raise InputError(
            f"{path.name} does not answer as the model that it was made from: scores "
            f"differ by up to {proof.max_difference:.2g}, and {TOLERANCE:g} was "
            "expected. It was not kept. Please report this with the model's card."
        )
