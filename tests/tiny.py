"""A tiny data set in OpenMIC's published layout, and settings that train on it at once.

48 clips of 0.6 s at 16 kHz: 36 to train, 12 to test. Six instruments in three families,
each a pure tone of its own pitch, so that everything can be learned. About half of the
labels are observed; the features `X` (clips, 4, 8) show the full truth under noise.
As single labels every clip has exactly one of the six in turn, and all are observed.
"""

import contextlib
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tfhier import frontends
from tfhier.data import bundle as bundles
from tfhier.data import openmic
from tfhier.data.bundle import Bundle
from tfhier.experiment import Experiment
from tfhier.files import write_text
from tfhier.taxonomy import Taxonomy

TAXONOMY = "fine,coarse\na,x\nb,x\nc,y\nd,y\ne,z\nf,z\n"
LABELS = ("a", "b", "c", "d", "e", "f")
HERTZ = (300.0, 500.0, 900.0, 1_500.0, 2_500.0, 4_500.0)
SAMPLE_RATE = 16_000
SECONDS = 0.6
NUM_TRAIN, NUM_TEST = 36, 12
KEYS = tuple(f"{clip:06d}_0" for clip in range(NUM_TRAIN + NUM_TEST))


def write(
    folder: Path,
    *,
    columns: Sequence[str] = LABELS,
    suffix: str = ".wav",
    with_audio: bool = True,
    with_features: bool = True,
    with_truth: bool = True,
    single_label: bool = False,
    seed: int = 0,
) -> Path:
    """Write the data set and, beside its arrays, `taxonomy.csv`; return the folder.

    `columns` is the order of the labels in the arrays. It changes nothing else.
    """
    rng = np.random.default_rng(seed)
    truth = rng.random((len(KEYS), len(LABELS))) < 0.35
    observed = rng.random(truth.shape) < 0.5
    if single_label:
        truth = np.arange(len(KEYS))[:, None] % len(LABELS) == np.arange(len(LABELS))
        observed = np.ones_like(truth)
    noise = rng.normal(0.0, 0.3, (len(KEYS), 4, 8))
    order = [LABELS.index(label) for label in columns]
    arrays = {
        "Y_true": np.where(observed, truth, 0.5)[:, order].astype(float),
        "Y_mask": observed[:, order],
        "sample_key": np.array(KEYS),
    }
    if with_features:
        shown = np.zeros((len(KEYS), 1, 8))
        shown[:, 0, : len(LABELS)] = truth
        arrays["X"] = (shown + noise).astype(np.float32)
    (folder / "partitions").mkdir(parents=True)
    np.savez(folder / "openmic-2018.npz", **arrays)
    class_map = {label: column for column, label in enumerate(columns)}
    write_text(folder / "class-map.json", json.dumps(class_map))
    write_text(folder / "taxonomy.csv", TAXONOMY)
    for part, keys in (("train", KEYS[:NUM_TRAIN]), ("test", KEYS[NUM_TRAIN:])):
        text = "".join(f"{key}\n" for key in keys)
        write_text(folder / "partitions" / f"split01_{part}.csv", text)
    if with_truth:
        with (folder / "all-labels.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["sample_key", *LABELS])
            rows.writerows(
                [key, *map(int, row)] for key, row in zip(KEYS, truth, strict=True)
            )
    if with_audio:
        _write_audio(folder, truth, suffix, rng)
    return folder


def _write_audio(
    folder: Path, truth: np.ndarray, suffix: str, rng: np.random.Generator
) -> None:
    seconds = np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    tones = np.sin(2 * np.pi * np.outer(HERTZ, seconds))
    for key, row in zip(KEYS, truth, strict=True):
        sound = 0.1 * row @ tones + rng.normal(0.0, 0.01, seconds.size)
        path = audio_path(folder, key, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, SAMPLE_RATE)


def audio_path(folder: Path, key: str, suffix: str = ".wav") -> Path:
    """Return where the audio of a clip lies."""
    return folder / "audio" / key[:3] / (key + suffix)


@contextlib.contextmanager
def data_set(folder: Path, **options) -> Iterator[Path]:
    """Write the data set into a folder and keep the cache beside it meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHIER_CACHE", str(folder / "cache"))
        yield write(folder / "tiny", **options)


def on_features(folder: Path, **changes) -> Experiment:
    """Return an experiment that trains on the features within a second or two."""
    settings = {
        "row": "a row",
        "table": "A tiny table",
        "taxonomy": str(folder / "taxonomy.csv"),
        "features": "X",
        "backbone": "mlp",
        "width": 0.1,
        "head": "gmp",
        "spec_augment": False,
        "batch_size": 8,
        "epochs": 2,
        "learning_rate": 1e-2,
        "warmup_epochs": 0,
        "seeds": (0,),
    }
    return Experiment(**(settings | changes))


def on_audio(folder: Path, **changes) -> Experiment:
    """Return an experiment that trains a very narrow CNN6 on random crops."""
    settings = {
        "features": "",
        "backbone": "cnn6",
        "width": 0.05,
        "spec_augment": True,
        "clip_seconds": SECONDS,
        "crop_seconds": 0.4,
    }
    return on_features(folder, **(settings | changes))


def bundle(folder: Path, experiment: Experiment, **options) -> Bundle:
    """Return the data set of a folder made ready for an experiment."""
    return bundles.build(
        openmic.load(folder),
        experiment,
        Taxonomy.read(experiment.taxonomy),
        sample_rate=frontends.FRONTENDS[experiment.frontend]["sample_rate"],
        **options,
    )
