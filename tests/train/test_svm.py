"""Support vector machines: scikit-learn's own decisions, as weights of the head."""

import keras
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests import tiny
from tests.train import test_run as runs
from tfhier import contract, evaluate, metrics, saved, tagger
from tfhier.errors import InputError
from tfhier.files import read_json
from tfhier.train import run as training
from tfhier.train import svm


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with tiny.data_set(folder, with_audio=False) as multi:
        yield multi


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    folder = tmp_path_factory.mktemp("single")
    with tiny.data_set(folder, single_label=True, with_audio=False) as one_each:
        yield one_each


def svm_of(folder, **changes):
    """An experiment of machines on embeddings of a backbone as it begins."""
    return tiny.on_features(
        folder,
        **({"head": "flat", "initial": ("start",), "frozen": True, "fit": "svm"}
           | changes),
    )  # fmt: skip


def body_of(experiment, bundle) -> keras.Model:
    keras.utils.clear_session()
    _, body = tagger.build(
        experiment, bundle.taxonomy, feature_shape=bundle.feature_shape
    )
    return body


def fitted(folder):
    """Experiment's bundle, training rows, fitted body, its embeddings and the loss."""
    experiment = svm_of(folder)
    bundle = tiny.bundle(folder, experiment)
    rows = np.flatnonzero(bundle.clips.parts == "train")
    body = body_of(experiment, bundle)
    embeddings = tagger.embedder(body, bundle.taxonomy)(bundle.source.values)
    loss = svm.fit(body, bundle, rows)
    return bundle, rows, body, np.asarray(embeddings), loss


def test_scores_rank_as_scikit_learns_pipeline_does(data):
    bundle, rows, body, embeddings, loss = fitted(data)
    targets, observed = bundle.labellings["fine"]
    scores = np.asarray(body(bundle.source.values)["fine"], np.float64)
    for label in range(6):
        # Only the clips where the label was observed take part.
        seen = rows[observed[rows, label]]
        assert 0 < len(seen) < len(rows)
        scaler = StandardScaler().fit(embeddings[rows])
        machine = LinearSVC(C=svm.COST, class_weight="balanced", random_state=0)
        pipeline = make_pipeline(scaler, machine)
        machine.fit(scaler.transform(embeddings[seen]), targets[seen, label] > 0)
        margins = pipeline.decision_function(embeddings)
        expected = 1 / (1 + np.exp(-margins))
        np.testing.assert_allclose(scores[:, label], expected, rtol=1e-4)
        clear = np.diff(np.sort(margins)) > 1e-4
        order = np.argsort(margins)
        assert (np.diff(scores[order, label])[clear] > 0).all()
    found = metrics.binary_crossentropy(scores[rows], targets[rows], observed[rows])
    assert loss == pytest.approx(found, rel=1e-5)


def test_unobserved_targets_and_other_clips_have_no_say(data):
    bundle, rows, body, _, _ = fitted(data)
    weights = body.get_layer("fine_classifier").get_weights()
    targets, observed = bundle.labellings["fine"]
    targets[~observed] = 1
    rest = np.setdiff1d(np.arange(len(targets)), rows)
    targets[rest] = 1 - targets[rest]
    body = body_of(svm_of(data), bundle)
    svm.fit(body, bundle, rows)
    again = body.get_layer("fine_classifier").get_weights()
    for mine, its in zip(again, weights, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_the_backbone_stays_as_it_was(data):
    experiment = svm_of(data)
    bundle = tiny.bundle(data, experiment)
    body = body_of(experiment, bundle)
    backbone = tagger.embedder(body, bundle.taxonomy)
    before = backbone.get_weights()
    svm.fit(body, bundle, np.arange(36))
    for mine, its in zip(backbone.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_label_without_both_kinds_is_refused(value, data):
    experiment = svm_of(data)
    bundle = tiny.bundle(data, experiment)
    bundle.labellings["fine"][0][:, 3] = value
    with pytest.raises(InputError, match="clips with and without 'd'.*fit='gradient'"):
        svm.fit(body_of(experiment, bundle), bundle, np.arange(36))


# -- As a run --------------------------------------------------------------------------


def go(experiment, bundle, folder, initial, progress=None):
    """Train and evaluate as a sweep does."""
    parts = bundle.deal(experiment, seed=0, fold=0)
    training.train(
        experiment,
        bundle,
        folder,
        seed=0,
        fold=0,
        parts=parts,
        progress=progress or runs.Recorder(),
        initial=initial,
    )
    return evaluate.evaluate_run(folder, bundle, parts, experiment)


@pytest.fixture(scope="module")
def start(single, tmp_path_factory):
    """A saved tagger whose classifier knows nothing of what its backbone does."""
    folder = tmp_path_factory.mktemp("start")
    experiment = tiny.on_features(single, epochs=12)
    runs.go(experiment, tiny.bundle(single, experiment), folder)
    path = folder / "best.keras"
    model = keras.models.load_model(path)
    classifier = model.get_layer("body").get_layer("fine_classifier")
    classifier.set_weights([0 * weight for weight in classifier.get_weights()])
    saved.write(path, model, contract.read(path))
    return path


@pytest.mark.parametrize("selection", ["validation", "last"])
def test_what_can_be_told_apart_is(selection, single, start, tmp_path):
    """Whatever the epochs are: the machines are fitted once."""
    experiment = svm_of(single, selection=selection, epochs=5)
    bundle = tiny.bundle(single, experiment)
    progress = runs.Recorder()
    result = go(experiment, bundle, tmp_path, [start], progress)
    assert [(row["epoch"], row["kept"]) for row in progress.rows] == [(0, 1)]
    assert result["test"]["fine"]["uar"] == 1.0
    blind = keras.models.load_model(start)
    rows = np.flatnonzero(bundle.clips.parts == "test")
    assert np.ptp(evaluate.score(blind, bundle, rows)["fine"]) == 0
    assert "initial_models" in read_json(tmp_path / "experiment.json")


def test_a_fit_that_was_stopped_is_not_fitted_again(single, start, tmp_path):
    experiment = svm_of(single, selection="last")
    bundle = tiny.bundle(single, experiment)
    with pytest.raises(runs.Interrupted):
        go(experiment, bundle, tmp_path / "a", [start], runs.Recorder(after_epoch=0))
    again = runs.Recorder()
    go(experiment, bundle, tmp_path / "a", [start], again)
    assert again.rows == []
    go(experiment, bundle, tmp_path / "b", [start])
    runs.assert_same_results(tmp_path / "a", tmp_path / "b")


def test_without_steps_there_is_no_average(single, start, tmp_path):
    """Where an experiment's base or profile asks for one."""
    experiment = svm_of(single, selection="last", ema_decay=0.9)
    bundle = tiny.bundle(single, experiment)
    result = go(experiment, bundle, tmp_path, [start])
    assert result["test"]["fine"]["uar"] == 1.0
    assert "test_live" not in result
    assert not (tmp_path / "live.keras").exists()
