"""A model, recordings and what it hears in them, for every test of jobs."""

from pathlib import Path

import pytest

import tfhier
from tests.detect.made import OPTIONS, files, record
from tests.export import models
from tfhier.detect import job
from tfhier.export import exporting


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    path = models.write(tmp_path_factory.mktemp("model") / "model.keras")
    exporting.export(
        path,
        exporting.Options(
            formats=("tflite",), test_clips=0, timed=False, output=path.parent
        ),
    )
    return path.with_suffix(".tflite")


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Six recordings in folders of two sites, one of them at another rate."""
    folder = tmp_path_factory.mktemp("card")
    for seed in range(5):
        site = "north" if seed % 2 else "south"
        record(folder / site / f"{site}_2026120{seed}_060000.wav", 9.0, seed=seed)
    record(folder / "south" / "long.flac", 21.0, seed=9, rate=22_050)
    return folder


@pytest.fixture(scope="session")
def heard(model, folder) -> list:
    """What one process hears, without a job."""
    detector = job.Detector(tfhier.load(model), OPTIONS)
    found = [job.hear(detector, file) for file in files(folder)]
    assert sum(len(each.events) for each in found) > 15
    return found
