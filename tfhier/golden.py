"""The golden clip: a sound inside a model's file and the scores that it must get.

Whoever has the file can replay it (`tfhier selftest MODEL`) and so tell whether model,
runtime and machine still answer as on the day it was saved. The clip is synthetic, so
that nobody's recording travels with a model: a rising tone, a voice of harmonics, a
burst of noise and a click.
"""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from tfhier import members
from tfhier.errors import InputError

SECONDS = 1.0
# Scores of the same floats on another processor differ by its order of summation.
TOLERANCE = 1e-4
_LARGEST = 0.1  # tolerance that means anything


@dataclass(frozen=True, eq=False)
class Golden:
    """A clip and the scores that a model must give it.

    Args:
        waveform: float array (samples,) in [-1, 1], at the model's sample rate.
        sample_rate: int > 0. In Hz.
        scores: Dict of level -> float array (labels,).
        labels: Dict of level -> names of the scores; empty if they are not known.
        tolerance: float > 0. Largest difference of a score that passes.
    """

    waveform: np.ndarray
    sample_rate: int
    scores: Mapping[str, np.ndarray]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tolerance: float = TOLERANCE

    def difference(self, scores: Mapping[str, np.ndarray]) -> float:
        """Return the largest absolute difference of scores from those expected.

        NaN, which is within no tolerance, if any score is NaN.
        """
        found = [
            np.abs(np.asarray(scores[level]) - expected).max()
            for level, expected in self.scores.items()
        ]
        return float(np.max(found))  # Python's max passes over NaN

    def to_members(self) -> dict[str, bytes]:
        """Return the clip (FLAC, 16 bits) and its scores (JSON) as files."""
        sound = io.BytesIO()
        soundfile.write(
            sound, self.waveform, self.sample_rate, format="FLAC", subtype="PCM_16"
        )
        content = {
            "tolerance": self.tolerance,
            "labels": {level: list(names) for level, names in self.labels.items()},
            "scores": {
                level: [float(value) for value in each]
                for level, each in self.scores.items()
            },
        }
        return {
            members.GOLDEN_CLIP: sound.getvalue(),
            members.GOLDEN_SCORES: json.dumps(content).encode(),
        }


def clip(sample_rate: int, *, seconds: float = SECONDS) -> np.ndarray:
    """Return the golden clip: float32 (samples,), peak 0.5, in steps of 16 bits.

    Args:
        sample_rate: int > 0. In Hz.
        seconds: float > 0. Its length.
    """
    time = np.arange(max(1, round(seconds * sample_rate))) / sample_rate
    share = time / seconds  # of the clip that has passed
    top = 0.45 * sample_rate
    octaves = math.log2(top / 100.0)
    # Phases of a tone that rises by the same number of octaves a second.
    rising = 100.0 * seconds / (octaves * math.log(2)) * (2 ** (octaves * share) - 1)
    sound = 0.3 * np.sin(2 * np.pi * rising)
    vibrato = 220.0 * time + 0.5 * np.sin(2 * np.pi * 5.0 * time)
    for harmonic in range(1, 9):
        if 230.0 * harmonic < top:
            sound += 0.2 / harmonic * np.sin(2 * np.pi * harmonic * vibrato)
    noise = np.random.default_rng(7).uniform(-1.0, 1.0, time.size)
    sound += 0.3 * noise * np.exp(-8 * np.abs(share - 0.6) * seconds)
    sound[time.size // 4] += 1.0
    sound *= 0.5 / np.abs(sound).max()
    return (np.round(sound * 2**15) / 2**15).astype(np.float32)


def read(path: str | Path) -> Golden:
    """Return the golden clip of a model.

    Raises:
        InputError: The model is missing or damaged, or has none.
    """
    try:
        sound = members.read(path, members.GOLDEN_CLIP)
        text = members.read(path, members.GOLDEN_SCORES)
    except KeyError as missing:
        raise InputError(
            f"{path} has no golden clip ({missing.args[0]} is not in it): it was saved "
            "by an earlier version of tfhier. Save or export it again."
        ) from None
    try:
        waveform, sample_rate = soundfile.read(io.BytesIO(sound), dtype="float32")
        content = json.loads(text)
        scores = {
            level: np.array(each, np.float32)
            for level, each in content["scores"].items()
        }
        labels = {
            level: tuple(names) for level, names in content.get("labels", {}).items()
        }
        found = Golden(
            waveform, sample_rate, scores, labels, float(content["tolerance"])
        )
        if waveform.ndim != 1 or not waveform.size or not found.tolerance <= _LARGEST:
            raise ValueError("its sound or its tolerance are none of ours")
        return found
    except (
        soundfile.LibsndfileError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise InputError(
            f"{path} has a golden clip that cannot be read ({error}). It may have been "
            "saved by another version of tfhier."
        ) from None
