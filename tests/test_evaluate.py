"""Evaluation of a run: thresholds from validation, figures from test, by hand."""

import shutil

import keras
import numpy as np
import pytest

from tests import tiny
from tfhier import evaluate, metrics, thresholds
from tfhier.experiment import Experiment
from tfhier.files import read_json
from tfhier.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data"), with_audio=False) as folder:
        yield folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run whose tagger knows nothing: folder, bundle, parts, result."""
    folder = tmp_path_factory.mktemp("run")
    experiment = tiny.on_features(data, validation_fraction=0.3)
    bundle = tiny.bundle(data, experiment)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 8))
    flat = keras.layers.Flatten()(inputs)
    outputs = {
        level: keras.layers.Dense(size, activation="sigmoid")(flat)
        for level, size in bundle.taxonomy.sizes.items()
    }
    keras.Model(inputs, outputs).save(folder / "best.keras")
    (folder / "taxonomy.csv").write_text(bundle.taxonomy.to_csv())
    parts = bundle.deal(experiment, seed=0, fold=0)
    result = evaluate.evaluate_run(folder, bundle, parts, experiment)
    return folder, bundle, parts, result


def scores_of(run, part):
    folder, bundle, parts, _ = run
    model = keras.models.load_model(folder / "best.keras")
    found = model(bundle.source.values[parts == part])
    return {level: np.asarray(values) for level, values in found.items()}


def test_figures_are_those_of_the_test_clips_at_thresholds_of_validation(run):
    _, bundle, parts, result = run
    validation, test = scores_of(run, "validation"), scores_of(run, "test")
    for level, (targets, observed) in bundle.labellings.items():
        held, rows = parts == "validation", parts == "test"
        fitted = thresholds.fit(validation[level], targets[held], observed[held])
        expected = metrics.evaluate(
            test[level], targets[rows], observed[rows], thresholds=fitted,
            labels=bundle.taxonomy.labels_of(level),
        )  # fmt: skip
        truth = metrics.evaluate(
            test[level], bundle.truth[level][0][rows], np.ones_like(observed[rows]),
            thresholds=fitted, labels=bundle.taxonomy.labels_of(level),
        )  # fmt: skip
        for metric in metrics.MACRO:
            assert result["test"][level][metric] == pytest.approx(expected[metric])
            assert result["test_truth"][level][metric] == pytest.approx(truth[metric])
        assert result["test_truth"][level]["num_observed"] == observed[rows].size


def test_test_labels_never_decide_thresholds(run, tmp_path):
    folder, bundle, parts, result = run
    for name in ("best.keras", "taxonomy.csv"):
        shutil.copy(folder / name, tmp_path)
    kept = {level: pair[0].copy() for level, pair in bundle.labellings.items()}
    for targets, observed in bundle.labellings.values():
        test = (parts == "test")[:, None] & observed
        targets[test] = 1 - targets[test]
    try:
        again = evaluate.evaluate_run(tmp_path, bundle, parts, Experiment())
    finally:
        for level, targets in kept.items():
            bundle.labellings[level][0][:] = targets
    name = "thresholds.json"
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert again["validation"] == result["validation"]
    assert again["test"] != result["test"]


def test_scores_are_kept_with_the_keys_of_their_clips(run):
    folder, bundle, parts, _ = run
    expected = scores_of(run, "test")
    with np.load(folder / "scores.npz", allow_pickle=False) as scores:
        assert (
            scores["sample_key"].tolist() == bundle.clips.keys[parts == "test"].tolist()
        )
        for level, values in expected.items():
            np.testing.assert_allclose(scores[f"scores_{level}"], values, atol=1e-6)


def test_what_is_written_is_what_is_returned(run):
    folder, _, _, result = run
    written = read_json(folder / "metrics.json")
    assert set(written) == {"validation", "test", "test_truth", "violation_rate"}
    assert written["test"]["fine"]["mAP"] == result["test"]["fine"]["mAP"]
    assert "NaN" not in (folder / "metrics.json").read_text()


def test_violations_by_hand():
    taxonomy = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\n")
    scores = {
        "fine": np.array([[0.9, 0.1, 0.9], [0.9, 0.9, 0.1]]),
        "coarse": np.array([[0.9, 0.1], [0.4, 0.9]]),
    }
    fitted = {"fine": np.full(3, 0.5), "coarse": np.full(2, 0.5)}
    # On: a (x on), c (y off), then a and b (x off): 3 of 4.
    assert evaluate.violations(scores, fitted, taxonomy) == 0.75
    # A score at its threshold is on.
    fitted["coarse"][0] = 0.4
    assert evaluate.violations(scores, fitted, taxonomy) == 0.25
    one = Taxonomy.flat(("a", "b"), level="fine")
    assert evaluate.violations(scores, fitted, one) == 0.0


def test_a_full_disk_leaves_no_half_of_a_result(run, tmp_path, monkeypatch):
    folder, bundle, parts, _ = run
    for name in ("best.keras", "taxonomy.csv"):
        shutil.copy(folder / name, tmp_path)

    def full(file, **_):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluate.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        evaluate.evaluate_run(tmp_path, bundle, parts, Experiment())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"best.keras", "taxonomy.csv", "thresholds.json"}
