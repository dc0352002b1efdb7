"""Attention of a tiny ResAtt tagger whose maps are set by hand."""

import numpy as np
import pytest

from tfhier import evaluate, explain, saved, tagger
from tfhier.data.bundle import Bundle
from tfhier.data.clips import Clips
from tfhier.data.pipeline import Features
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.files import write_json
from tfhier.taxonomy import Taxonomy

TAXONOMY = Taxonomy.parse(
    "leaf,branch,root\na,p,x\nb,p,x\nc,q,x\nd,r,y\n", source="a test"
)
KEYS = np.array(["k3", "k1", "k5", "k2", "k4", "k0"])
TEST = np.array([True, True, True, True, True, False])
#                       k3 k1 k5 k2 k4 k0
OBSERVED_COUNTS = np.array([1, 2, 4, 2, 0, 4])


@pytest.fixture
def bundle():
    rng = np.random.default_rng(0)
    observed = np.arange(4) < OBSERVED_COUNTS[:, None]
    targets = (observed & (rng.random(observed.shape) < 0.5)).astype(np.float32)
    clips = Clips(
        name="tiny",
        kind="other",
        labels=TAXONOMY.labels[0],
        keys=KEYS,
        targets=targets,
        observed=observed,
        parts=np.where(TEST, "test", "train"),
        features={"f": rng.normal(size=(6, 6)).astype(np.float32)},
    )
    return Bundle(
        clips=clips,
        taxonomy=TAXONOMY,
        labellings=TAXONOMY.lift(targets, observed),
        truth=None,
        source=Features(clips.features["f"]),
        clip_samples=0,
        usable=np.ones(6, bool),
        notes=(),
    )


def settle(folder, *, head="resatt", biases=None, keys=KEYS[TEST]):
    """Save an untrained tagger as an experiment's only run."""
    experiment = Experiment(backbone="mlp", width=0.05, head=head, features="f")
    frontend, body = tagger.build(experiment, TAXONOMY, feature_shape=(6,))
    for level, bias in (biases or {}).items():
        layer = body.get_layer(f"{level}_attention")
        kernel, _ = layer.get_weights()
        layer.set_weights([np.zeros_like(kernel), np.ravel(bias)])
    run = folder / "seed3"
    run.mkdir(parents=True)
    tagger.end_to_end(frontend, body).save(run / "best.keras")
    np.savez(run / "scores.npz", sample_key=keys)
    summary = {"settings": experiment.settings(), "best_run": "seed3"}
    write_json(folder / "metrics.json", summary)
    return folder


def test_clips_are_those_with_most_observed_labels_then_by_key(tmp_path, bundle):
    folder = settle(tmp_path)
    chosen = [e["key"] for e in explain.attention_examples(folder, bundle)]
    assert chosen == ["k5", "k1", "k2", "k3"]  # k0 is no test clip, k4 comes last
    fewer = explain.attention_examples(folder, bundle, num_examples=2)
    assert [e["key"] for e in fewer] == chosen[:2]
    assert explain.attention_examples(folder, bundle, num_examples=0) == []


def test_an_example_tells_what_the_tagger_itself_says(tmp_path, bundle):
    folder = settle(tmp_path)
    model = saved.load(folder / "seed3" / "best.keras", TAXONOMY)
    for example in explain.attention_examples(folder, bundle):
        row = np.flatnonzero(example["key"] == KEYS)
        expected = evaluate.score(model, bundle, row)
        for level in TAXONOMY.levels:
            np.testing.assert_allclose(
                example["scores"][level], expected[level][0], atol=1e-6
            )
            targets, observed = bundle.labellings[level]
            np.testing.assert_array_equal(example["targets"][level], targets[row[0]])
            np.testing.assert_array_equal(example["observed"][level], observed[row[0]])
        assert "log_mel" not in example  # features have none


def test_columns_sum_to_one_and_carry_the_scores_upward(tmp_path, bundle):
    example = explain.attention_examples(settle(tmp_path), bundle)[0]
    for lower, upper in (("leaf", "branch"), ("branch", "root")):
        attention = example["attention"][upper]
        assert attention.shape == (TAXONOMY.sizes[lower], TAXONOMY.sizes[upper])
        np.testing.assert_allclose(attention.sum(axis=0), 1, atol=1e-6)
        # Eq. 1 of Zhong et al.
        np.testing.assert_allclose(
            attention.T @ example["scores"][lower], example["scores"][upper], atol=1e-6
        )


def test_shares_are_those_of_attention_set_by_hand(tmp_path, bundle):
    even = np.zeros((4, 3))
    towards = np.log(np.where(TAXONOMY.membership("branch", "root"), 3.0, 1.0))
    folder = settle(tmp_path, biases={"branch": even, "root": towards})
    attention = explain.attention_on_test(folder, bundle)
    assert {level: len(maps) for level, maps in attention.items()} == {
        "branch": 5,
        "root": 5,
    }
    shares = explain.group_shares(attention, TAXONOMY)
    assert shares["branch"] == pytest.approx({"p": 2 / 4, "q": 1 / 4, "r": 1 / 4})
    # x has two of three branches: 3 + 3 of 3 + 3 + 1; y has one: 3 of 1 + 1 + 3.
    assert shares["root"] == pytest.approx({"x": 6 / 7, "y": 3 / 5})


def test_shares_are_means_over_clips():
    maps = np.zeros((2, 4, 3))
    maps[0] = TAXONOMY.membership("leaf", "branch") / [2, 1, 1]
    maps[1, 3] = 1  # all on d, a child of r alone
    found = explain.group_shares({"branch": maps}, TAXONOMY)
    assert found == {"branch": pytest.approx({"p": 0.5, "q": 0.5, "r": 1.0})}


@pytest.mark.parametrize("head", ["flat", "gmp", "levelwise"])
def test_other_heads_have_nothing_to_show(tmp_path, bundle, head):
    folder = settle(tmp_path, head=head)
    assert explain.attention_examples(folder, bundle) == []
    assert explain.attention_on_test(folder, bundle) == {}


def test_other_data_than_the_runs_is_refused(tmp_path, bundle):
    folder = settle(tmp_path, keys=np.array(["k3", "elsewhere"]))
    with pytest.raises(InputError, match="2 test clips, but tiny has only 1"):
        explain.attention_examples(folder, bundle)


def test_missing_scores_name_the_file_and_the_remedy(tmp_path, bundle):
    folder = settle(tmp_path)
    (folder / "seed3" / "scores.npz").unlink()
    with pytest.raises(InputError, match=r"scores\.npz.*--test-only"):
        explain.attention_on_test(folder, bundle)


def test_audio_clips_come_with_their_log_mel(tmp_path, bundle):
    experiment = Experiment(backbone="cnn6", width=0.05, clip_seconds=0.3)
    frontend, body = tagger.build(experiment, TAXONOMY)
    folder = settle(tmp_path)
    tagger.end_to_end(frontend, body).save(folder / "seed3" / "best.keras")
    time = np.arange(4800) / 16_000
    tones = np.sin(2 * np.pi * 1000 * np.arange(1, 7)[:, None] * time)
    source = Features(0.5 * tones.astype(np.float32))
    heard = Bundle(**{**vars(bundle), "source": source, "clip_samples": 4800})
    for example in explain.attention_examples(folder, heard):
        hertz = 1000 * (1 + np.flatnonzero(example["key"] == KEYS)[0])
        assert example["log_mel"].shape == (31, 64)
        assert example["hop_seconds"] == 0.01
        assert np.all(np.diff(example["band_hertz"]) > 0)
        loudest = example["band_hertz"][example["log_mel"].mean(axis=0).argmax()]
        assert loudest == pytest.approx(hertz, rel=0.06)


# -- Embeddings on a plane -------------------------------------------------------------


def crowd(num_clips, *, features=None):
    """A bundle of test clips alone, in two groups of features far from each other."""
    rng = np.random.default_rng(1)
    if features is None:
        features = rng.normal(size=(num_clips, 6)) + 20 * (np.arange(num_clips) % 2)[
            :, None
        ] * [1, -1, 1, -1, 1, -1]
    everything = np.zeros((num_clips, 4), bool)
    clips = Clips(
        name="tiny",
        kind="other",
        labels=TAXONOMY.labels[0],
        keys=np.array([f"k{i:04d}" for i in range(num_clips)]),
        targets=everything.astype(np.float32),
        observed=everything,
        parts=np.full(num_clips, "test"),
    )
    return Bundle(
        clips=clips,
        taxonomy=TAXONOMY,
        labellings=TAXONOMY.lift(clips.targets, clips.observed),
        truth=None,
        source=Features(np.asarray(features, np.float32)),
        clip_samples=0,
        usable=np.ones(num_clips, bool),
        notes=(),
    )


def test_clips_that_are_alike_lie_together_on_the_plane(tmp_path):
    own = crowd(40)
    folder = settle(tmp_path, head="flat", keys=own.clips.keys)
    rows, places = explain.embedding_plane(folder, own)
    assert rows.tolist() == list(range(40))
    assert places.shape == (40, 2)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    assert (nearest % 2 == rows % 2).all()
    again = explain.embedding_plane(folder, own)[1]
    np.testing.assert_array_equal(again, places)


def test_of_many_clips_some_are_drawn_the_same_every_time(tmp_path):
    own = crowd(40)
    folder = settle(tmp_path, keys=own.clips.keys[5:])
    rows, places = explain.embedding_plane(folder, own, max_clips=12)
    assert len(places) == 12
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 5
    assert rows.tolist() != list(range(5, 17))
    assert explain.embedding_plane(folder, own, max_clips=12)[0].tolist() == (
        rows.tolist()
    )


@pytest.mark.parametrize("num_clips", [1, 2, 5])
@pytest.mark.parametrize("alike", [False, True])
def test_few_clips_and_clips_all_alike_have_a_place(num_clips, alike, tmp_path):
    own = crowd(num_clips, features=np.ones((num_clips, 6)) if alike else None)
    folder = settle(tmp_path, keys=own.clips.keys)
    rows, places = explain.embedding_plane(folder, own)
    assert places.shape == (num_clips, 2)
    assert np.isfinite(places).all()
