"""What the tests of jobs hear: recordings, and the words of the command."""

from pathlib import Path

import numpy as np
import soundfile

from tests.export import models
from tfhier.detect.options import Options

ROOT = Path(__file__).parents[2]
OPTIONS = Options(threshold=0.55)


def record(path: Path, seconds: float, *, seed: int, rate: int = models.RATE) -> Path:
    """A recording in which tones and noise take turns, so that there are events."""
    parts = [
        models.clip(0.7, rate=rate, seed=100 * seed + number)
        for number in range(round(seconds / 0.7))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate(parts), rate)
    return path


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def command(model: Path, folder: Path, output: Path, *more) -> list[str]:
    words = ["detect", model, folder, "-o", output, "--threshold", "0.55", *more]
    return [str(word) for word in words]
