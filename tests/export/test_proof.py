"""What proves an export equal passes over nothing."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tfhier.errors import InputError
from tfhier.export import proof
from tfhier.taxonomy import Taxonomy

TREE = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\n")
CLIPS = {name: np.full(4, value) for value, name in enumerate(("one", "two", "three"))}


def answering(scores: dict[int, dict[str, list[float]]]) -> SimpleNamespace:
    """A tagger that answers to each of the clips with scores of choice."""
    usual = {"fine": [0.1, 0.2, 0.9], "coarse": [0.3, 0.4]}

    def answer(waveform, sample_rate):
        found = usual | scores.get(int(waveform[0]), {})
        return {level: np.float32(each) for level, each in found.items()}

    return SimpleNamespace(taxonomy=TREE, sample_rate=8_000, scores=answer)


@pytest.mark.parametrize("clip", range(3))
@pytest.mark.parametrize(
    ("scores", "difference", "top1"),
    [
        ({}, 0.0, 1.0),
        ({"fine": [0.1, 0.2, 0.4]}, 0.5, 1.0),
        ({"fine": [0.1, 0.95, 0.9]}, 0.75, 2 / 3),
        ({"coarse": [0.5, 0.4]}, 0.2, 1.0),
        ({"coarse": [0.3, np.nan]}, np.nan, 1.0),
        ({"fine": [0.1, 0.2, np.nan]}, np.nan, 1.0),
    ],
)
def test_the_worst_score_of_any_clip_and_level_counts(clip, scores, difference, top1):
    found = proof.compare(answering({}), answering({clip: scores}), CLIPS)
    assert found.num_clips == 3
    assert found.max_difference == pytest.approx(difference, nan_ok=True, abs=1e-6)
    assert found.top1 == pytest.approx(top1)
    if difference == 0:
        proof.require_equal(Path("a.tflite"), found, weights="float32")
        return
    with pytest.raises(InputError, match=r"^a\.tflite does not answer as the model"):
        proof.require_equal(Path("a.tflite"), found, weights="float32")
