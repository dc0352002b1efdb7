"""The yardstick: averages by hand, scikit-learn's regression, nothing from the test."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from tests import tiny
from tfhier import frontends, yardstick
from tfhier.data.pipeline import Features
from tfhier.experiment import Experiment


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data")) as folder:
        yield folder


def prepared(data):
    experiment = tiny.on_features(data, validation_fraction=0.2)
    bundle = tiny.bundle(data, experiment)
    return bundle, bundle.deal(experiment, seed=0, fold=0)


def test_averages_of_features_are_means_over_time(data):
    bundle, _ = prepared(data)
    found = yardstick.time_averages(bundle, None)
    values = bundle.source.values
    np.testing.assert_allclose(found[yardstick.MEANS], values.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(
        found[yardstick.DEVIATIONS],
        np.concatenate([values.mean(axis=1), values.std(axis=1)], axis=1),
        rtol=1e-6,
    )


def test_features_without_time_stay_as_they_are(data):
    bundle, _ = prepared(data)
    values = bundle.source.values[:, 2]
    still = dataclasses.replace(bundle, source=Features(values))
    found = yardstick.time_averages(still, None)
    assert list(found) == [yardstick.MEANS]
    assert np.array_equal(found[yardstick.MEANS], values)


def test_averages_of_audio_are_of_its_log_mel(data):
    bundle = tiny.bundle(data, tiny.on_audio(data))
    frontend = frontends.build("panns_16k")
    found = yardstick.time_averages(bundle, frontend)[yardstick.MEANS]
    assert found.shape == (48, 64)
    log_mel = np.asarray(frontend(bundle.source.fetch(np.array([40]))))[0]
    np.testing.assert_allclose(found[40], log_mel.mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("shape", [(6,), (3, 6)])
def test_averages_of_embeddings_are_means_over_their_frames(data, shape, rng):
    bundle, _ = prepared(data)
    values = rng.normal(size=(len(bundle.clips), *shape)).astype(np.float32)
    embedded = dataclasses.replace(bundle, embedded=Features(values))
    found = yardstick.time_averages(embedded, None)
    assert list(found) == [yardstick.MEANS, yardstick.DEVIATIONS, yardstick.EMBEDDINGS]
    expected = values.reshape(len(values), -1, 6).mean(axis=1)
    np.testing.assert_allclose(found[yardstick.EMBEDDINGS], expected, rtol=1e-6)


@pytest.mark.parametrize("of_embeddings", [False, True])
def test_each_label_is_a_regression_on_its_observed_training_clips(
    data, of_embeddings, monkeypatch
):
    strength = 0.3 if of_embeddings else 1.0
    monkeypatch.setattr(yardstick, "_choose_strength", lambda *_: strength)
    bundle, parts = prepared(data)
    averages = yardstick.time_averages(bundle, None)[yardstick.MEANS]
    averages = averages * np.linspace(0.1, 1.0, averages.shape[1])
    found = yardstick.logistic_regression(
        bundle, parts, averages, Experiment(), of_embeddings=of_embeddings
    )
    targets, observed = bundle.labellings["fine"]
    for column, label in enumerate(tiny.LABELS):
        train = (parts == "train") & observed[:, column]
        test = (parts == "test") & observed[:, column]
        scaler = StandardScaler().fit(averages[train])
        if of_embeddings:
            scaler.scale_ = np.full_like(scaler.scale_, np.sqrt(scaler.var_.mean()))
        model = LogisticRegression(C=strength, max_iter=1000)
        model.fit(scaler.transform(averages[train]), targets[train, column] > 0)
        scores = model.predict_proba(scaler.transform(averages[test]))[:, 1]
        got = found["test"]["fine"]["per_label"][label]["average_precision"]
        if targets[test, column].any():
            expected = average_precision_score(targets[test, column], scores)
            assert got == pytest.approx(expected)
        else:
            assert got is None or np.isnan(got)


def test_features_that_show_the_truth_are_used(data):
    bundle, parts = prepared(data)
    averages = yardstick.time_averages(bundle, None)[yardstick.MEANS]
    found = yardstick.logistic_regression(bundle, parts, averages, Experiment())
    assert set(found) == {"test", "test_truth"}
    assert found["test_truth"]["fine"]["mAP"] > 0.75
    noise = np.random.default_rng(0).normal(size=averages.shape)
    blind = yardstick.logistic_regression(bundle, parts, noise, Experiment())
    assert blind["test_truth"]["fine"]["mAP"] < found["test_truth"]["fine"]["mAP"] - 0.1


@pytest.mark.parametrize(("noise", "chosen"), [(0.1, (1.0,)), (30.0, (0.01, 0.001))])
def test_embeddings_that_tell_little_are_regularised_strongly(noise, chosen, rng):
    targets = (rng.random((200, 3)) < 0.5) * 1.0
    inputs = np.repeat(targets, 20, axis=1)
    inputs = inputs + noise * rng.normal(size=inputs.shape)
    observed = rng.random(targets.shape) < 0.9
    assert yardstick._choose_strength(inputs, (targets, observed)) in chosen


def test_a_label_seen_one_way_only_gets_its_share(data):
    bundle, parts = prepared(data)
    targets, observed = bundle.labellings["fine"]
    train = parts == "train"
    targets[train & observed[:, 0], 0] = 1.0
    observed[train, 1] = False
    averages = yardstick.time_averages(bundle, None)[yardstick.MEANS]
    labelling = targets[train], observed[train]
    models = yardstick._fit(averages[train], labelling, one_scale=False, strength=1.0)
    assert models[0](averages[:3]).tolist() == [1.0] * 3
    assert models[1](averages[:3]).tolist() == [0.5] * 3
    assert 0 < models[2](averages[:3]).min() < 1
