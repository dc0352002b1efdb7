"""Evaluation of a run: thresholds from validation, figures from test, by hand."""

import csv
import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tests import tiny
from tfhier import clip_table, contract, evaluate, metrics, saved, thresholds
from tfhier.contract import Contract
from tfhier.data.clips import Clips
from tfhier.errors import InputError
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
    promised = Contract(taxonomy=bundle.taxonomy, sample_rate=0)
    saved.write(folder / "best.keras", keras.Model(inputs, outputs), promised)
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


def test_the_model_carries_its_thresholds_and_figures(run):
    folder, _, _, result = run
    promised = contract.read(folder / "best.keras")
    fitted = thresholds.read(folder / "thresholds.json", promised.taxonomy)
    for level, values in promised.thresholds.items():
        np.testing.assert_array_equal(values, fitted[level])
        assert promised.results[level]["mAP"] == result["test"][level]["mAP"]
    assert list(promised.thresholds) == list(promised.taxonomy.levels)


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


def test_the_table_of_clips_is_the_scores_and_the_labels_as_text(run):
    folder, bundle, parts, _ = run
    expected = scores_of(run, "test")["fine"]
    fitted = read_json(folder / "thresholds.json")["fine"]
    with open(folder / "test_clips.csv", encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))
    labels = bundle.taxonomy.labels_of("fine")
    rows = np.flatnonzero(parts == "test")
    assert [row["key"] for row in table] == bundle.clips.keys[rows].tolist()
    targets, observed = bundle.labellings["fine"]
    for row, at, scores in zip(table, rows, expected, strict=True):
        found = [float(row[f"score_{label}"]) for label in labels]
        np.testing.assert_allclose(found, scores, atol=6e-5)
        on = [name for name in labels if scores[labels.index(name)] >= fitted[name]]
        assert row["decided"].split("|") == (on or [""])
        for label, target, known in zip(labels, targets[at], observed[at], strict=True):
            told = row["truth"].split("|")
            assert (label in told, f"{label}?" in told) == (target > 0, not known)


def test_single_labels_are_decided_for_the_highest_and_spans_are_told(tmp_path):
    taxonomy = Taxonomy.parse("call\nhoot\nbark\n")
    clips = Clips(
        name="x", kind="other", labels=("hoot", "bark"), keys=np.array(["a#1", "b"]),
        targets=np.eye(2, dtype=np.float32), observed=np.ones((2, 2), bool),
        parts=np.array(["test", "test"]), paths=(Path("a, b.wav"), Path("c.wav")),
        spans=np.array([[1.0, 2.5], [0.0, 3.0]]), groups=np.array(["dawn", "dusk"]),
        conditions=np.array(["10 dB", "0 dB"]),
    )  # fmt: skip
    bundle = SimpleNamespace(
        clips=clips,
        taxonomy=taxonomy,
        labellings={"call": (clips.targets, clips.observed)},
    )
    scores = np.array([[0.2, 0.1], [0.75, 0.25]])
    on = evaluate._decided(scores, np.array([0.5, 0.5]), True)
    clip_table.write(tmp_path / "t.csv", bundle, np.arange(2), scores, on)
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "key,file,start,end,group,condition,truth,decided,score_hoot,score_bark",
        'a#1,"a, b.wav",1.000,2.500,dawn,10 dB,hoot,hoot,0.2000,0.1000',
        "b,c.wav,0.000,3.000,dusk,0 dB,bark,hoot,0.7500,0.2500",
    ]


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


# -- What chooses ----------------------------------------------------------------------


def test_the_clips_that_choose():
    parts = np.array(["train", "validation", "test", "", "validation", "test"])
    for selection, expected in (("validation", [1, 4]), ("test", [2, 5]), ("last", [])):
        found = evaluate.selection_rows(Experiment(selection=selection), parts)
        assert found.tolist() == expected
        assert found.dtype.kind == "i"


def evaluated(run, folder, experiment, **fields):
    """Evaluate the run's model in another folder, with other fields of its clips."""
    source, bundle, parts, _ = run
    for name in ("best.keras", "taxonomy.csv"):
        shutil.copy(source / name, folder)
    clips = dataclasses.replace(bundle.clips, **fields)
    own = dataclasses.replace(bundle, clips=clips)
    return evaluate.evaluate_run(folder, own, parts, experiment)


def test_without_validation_decisions_are_at_one_half(run, tmp_path):
    _, bundle, parts, full = run
    result = evaluated(run, tmp_path, Experiment(selection="last"))
    assert set(result) == {"test", "test_truth", "violation_rate"}
    scores, rows = scores_of(run, "test"), parts == "test"
    for level, (targets, observed) in bundle.labellings.items():
        halves = np.full(targets.shape[1], 0.5)
        expected = metrics.f1(
            scores[level], targets[rows], observed[rows], thresholds=halves
        )
        found = result["test"][level]
        assert found["f1"] == pytest.approx(np.nanmean(expected))
        assert found["mAP"] == full["test"][level]["mAP"]
    fitted = read_json(tmp_path / "thresholds.json")
    assert set(np.concatenate([list(x.values()) for x in fitted.values()])) == {0.5}


def test_the_test_clips_fit_the_thresholds_where_they_choose(run, tmp_path):
    evaluated(run, tmp_path, Experiment(selection="test"))
    written = read_json(tmp_path / "metrics.json")
    assert written["validation"] == written["test"]


def test_live_weights_are_evaluated_beside_an_average(run, tmp_path):
    source, bundle, parts, _ = run
    live = keras.models.load_model(source / "best.keras")
    live.set_weights([-weight for weight in live.get_weights()])
    saved.write(tmp_path / "live.keras", live, contract.read(source / "best.keras"))
    evaluated(run, tmp_path, Experiment(ema_decay=0.9))
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(tmp_path / "live.keras", alone / "best.keras")
    shutil.copy(source / "taxonomy.csv", alone)
    evaluate.evaluate_run(alone, bundle, parts, Experiment())
    found, own, its = (
        read_json(folder / "metrics.json") for folder in (tmp_path, source, alone)
    )
    assert found["test"] == own["test"]
    assert found["test_live"] == its["test"] != own["test"]


def test_live_weights_that_are_the_average_are_not_told_apart(run, tmp_path):
    """Training may end before the average begins to lag behind."""
    shutil.copy(run[0] / "best.keras", tmp_path / "live.keras")
    result = evaluated(run, tmp_path, Experiment(ema_decay=0.9))
    assert "test_live" not in result


def test_live_weights_that_are_gone_are_named(run, tmp_path):
    with pytest.raises(InputError, match=r"no model .*live\.keras"):
        evaluated(run, tmp_path, Experiment(ema_decay=0.9))


def test_conditions_break_the_test_clips_down(run, tmp_path):
    _, bundle, parts, _ = run
    rows = np.flatnonzero(parts == "test")
    told = np.full(len(parts), "0 dB", "<U5")  # training clips have some, too
    told[rows] = np.array(["20 dB", "", "10 dB"])[np.arange(len(rows)) % 3]
    result = evaluated(run, tmp_path, Experiment(), conditions=told)
    assert list(result["conditions"]) == ["20 dB", "10 dB"]
    scores, validation = scores_of(run, "test"), scores_of(run, "validation")
    held = parts == "validation"
    for number, name in ((0, "20 dB"), (2, "10 dB")):
        for level, (targets, observed) in bundle.labellings.items():
            inside = rows[number::3]
            fitted = thresholds.fit(validation[level], targets[held], observed[held])
            expected = metrics.evaluate(
                scores[level][number::3], targets[inside], observed[inside],
                thresholds=fitted, labels=bundle.taxonomy.labels_of(level),
            )  # fmt: skip
            found = result["conditions"][name][level]
            assert found["num_clips"] == len(inside) == 4
            for metric in metrics.MACRO:
                same = pytest.approx(expected[metric], nan_ok=True)
                assert found[metric] == same


def test_test_clips_without_a_condition_are_not_broken_down(run, tmp_path):
    told = np.where(run[2] == "test", "", "0 dB")
    assert "conditions" not in evaluated(run, tmp_path, Experiment(), conditions=told)


def test_labels_that_exclude_each_other_are_decided(tmp_path):
    """By all clips: a part of them alone says too little."""
    taxonomy = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\n")
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    scores = np.array(
        [[0.9, 0.2, 0.1], [0.8, 0.7, 0.1], [0.1, 0.2, 0.3], [0.1, 0.2, 0.9]]
    )
    labellings = taxonomy.lift(targets, np.ones_like(targets, bool))
    levels = {"fine": scores, "coarse": scores[:, 1:]}
    fitted = {level: np.full(n, 0.5) for level, n in taxonomy.sizes.items()}
    rows = np.arange(4)
    found = evaluate.evaluate_levels(levels, labellings, rows, taxonomy, fitted)
    # a: one of two right; b: taken for a, of the same parent; c: right.
    assert found["fine"]["uar"] == pytest.approx(1 / 2)
    assert found["fine"]["accuracy"] == 0.5
    assert found["fine"]["parent_error"] == 0.25
    assert found["fine"]["confusion"] == [[1, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert "parent_error" not in found["coarse"]
    assert found["coarse"]["confusion"] == [[2, 1], [0, 1]]
    # Of all five clips four have one known label, of these four all.
    labellings["fine"][1][4, 0] = False
    again = evaluate.evaluate_levels(levels, labellings, rows, taxonomy, fitted)
    assert again["fine"]["confusion"] == found["fine"]["confusion"]
    labellings["fine"][1][3, 0] = False
    some = {level: values[:3] for level, values in levels.items()}
    found = evaluate.evaluate_levels(some, labellings, rows[:3], taxonomy, fitted)
    assert "uar" not in found["fine"]
    assert "uar" in found["coarse"]
