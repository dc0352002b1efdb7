"""Every backbone and head, exported: SavedModel and TFLite answer as Keras does."""

import itertools

import numpy as np
import pytest

import tfhier
from tests.export import models
from tfhier.backbones import BACKBONES
from tfhier.export import exporting
from tfhier.heads import HEADS

WIDTHS = {"wide_resnet28": 1 / 8}
ALL = list(itertools.product(BACKBONES, HEADS))
ONE_OF_EACH = [
    ("cnn10", "levelwise"),
    ("mobilenet_v1", "gmp"),
    ("resnet22", "lp"),
    ("wide_resnet28", "sdt"),
    ("yamnet", "resatt"),
]
LONG = [pair for pair in ALL if pair not in ONE_OF_EACH]


def check(backbone: str, head: str, folder) -> None:
    experiment = models.SMALL.but(
        backbone=backbone,
        head=head,
        width=WIDTHS.get(backbone, 1 / 16),
        frontend="yamnet_16k" if backbone == "yamnet" else "panns_8k",
    )
    rate = 16_000 if backbone == "yamnet" else 8_000
    path = models.write(
        folder / "model.keras", models.build(experiment), sample_rate=rate
    )
    # What it exports it proves, or raises: within 1e-4 on nine clips.
    report = exporting.export(path, exporting.Options(test_clips=0, timed=False))
    assert [each.path.name for each in report.files] == ["1", "model.tflite"]
    assert all(each.proof.max_difference <= 1e-4 for each in report.files)
    assert all(each.proof.num_clips == 9 for each in report.files)
    kinds = set(report.files[1].operations)
    assert not {kind for kind in kinds if "CUSTOM" in kind or "FLEX" in kind.upper()}
    # Proved of scores that differ, and by this test's own eyes.
    tagger = tfhier.load(path)
    sounds = [models.clip(1.3, rate=rate, seed=seed) for seed in range(2)]
    expected = [tagger.scores(each, sample_rate=rate) for each in sounds]
    assert np.abs(expected[0]["zebra"] - expected[1]["zebra"]).max() > 1e-3
    for each in report.files:
        other = tfhier.load(each.path)
        for sound, scores in zip(sounds, expected, strict=True):
            found = other.scores(sound, sample_rate=rate)
            for level, values in scores.items():
                np.testing.assert_allclose(found[level], values, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("backbone", "head"), ONE_OF_EACH)
def test_one_of_each_family_is_exported_equal(backbone, head, tmp_path):
    check(backbone, head, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "head"), LONG)
def test_every_backbone_with_every_head_is_exported_equal(backbone, head, tmp_path):
    check(backbone, head, tmp_path)
