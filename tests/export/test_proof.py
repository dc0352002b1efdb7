"""What proves an export equal passes over nothing."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tfhier.contract import Contract
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


@pytest.mark.parametrize("weights", proof.TOLERANCES)
def test_no_constant_answer_passes_however_weights_are_rounded(weights):
    """Scores lie in [0, 1]: the middle is within a half of all of them."""
    sure = {"fine": [0.01, 0.02, 0.97], "coarse": [0.02, 0.98]}
    same = {"fine": [0.5, 0.5, 0.5], "coarse": [0.5, 0.5]}
    reference = answering(dict.fromkeys(range(3), sure))
    found = proof.compare(reference, answering(dict.fromkeys(range(3), same)), CLIPS)
    assert found.mean_difference == pytest.approx(0.48, abs=0.005)
    with pytest.raises(InputError, match="differ by .* expected. It was not kept"):
        proof.require_equal(Path("a.tflite"), found, weights=weights)


def test_clips_are_quiet_and_loud_short_and_long():
    """What the documents promise of them, and no two of them alike."""
    promised = Contract(taxonomy=TREE, sample_rate=8_000, clip_seconds=2.0)
    clips = proof.clips(promised)
    assert len(clips) == 9
    assert all(each.dtype == np.float32 for each in clips.values())
    seconds = {name: len(each) / 8_000 for name, each in clips.items()}
    assert (seconds["short"], seconds["long"]) == (0.3, 12.3)
    assert seconds["noise"] == seconds["click"] == seconds["silence"] == 2.0
    peaks = {name: np.abs(each).max() for name, each in clips.items()}
    assert peaks["silence"] == 0 and peaks["quiet"] < 1e-3
    assert peaks["loud"] == 1.0 and peaks["faint noise"] <= 1e-4
    assert np.count_nonzero(clips["click"]) == 1
    contents = {each.tobytes() for each in clips.values()}
    assert len(contents) == 9
