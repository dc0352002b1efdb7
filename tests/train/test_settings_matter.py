"""Every setting of training reaches the run: changed alone, it changes the weights."""

import json
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests import tiny
from tests.train import test_run as runs
from tfhier import tagger
from tfhier.backbones import BACKBONES
from tfhier.train import run as training

# What the others are compared with: where a default would hide a setting, another.
BASE = {"head": "levelwise", "epochs": 1, "warmup_epochs": 2, "weight_decay": 1e-3}
CHANGES = {
    "fine_weight": 0.3,
    "consistency_weight": 0.5,
    "mixup_alpha": 0.4,
    "weight_decay": 1e-2,
    "warmup_epochs": 1,
    "decay_epochs": 1,
    "learning_rate": 5e-3,
    "batch_size": 7,
    "coarse_negatives": "certain",
    "steps_per_epoch": 2,
    "selection": "last",
    "ema_decay": 0.5,
}
# What both sides have, and what one has beside it.
PAIRS = [
    ({}, {"sampling": "balanced"}),
    ({}, {"sampling": "importance"}),
    ({"sampling": "balanced"}, {"sampling": "importance"}),
    ({"learning_rate": 0.3}, {"amsgrad": True}),
    ({"ema_decay": 0.5}, {"ema_decay": 0.8}),
    ({"ema_decay": 0.5}, {"ema_start": 2}),
    ({"ema_decay": 0.5}, {"ema_reset_every": 2}),
    ({"ema_decay": 0.5}, {"ema_warmup": True}),
    ({"mixup_alpha": 0.5}, {"mixup_per": "batch"}),
    ({}, {"backbone_rate": 0.5}),
    ({}, {"layer_decay": 0.5}),
    ({"ema_decay": 0.5}, {"ema_statistics": True}),
    ({"hidden_units": 4}, {"hidden_dropout": 0.5}),
    ({"head": "resatt"}, {"attention_prior": 1.0}),
    ({"head": "resatt"}, {"attention_scale": 0.1}),
]
# Crops, SpecAugment, dropout and mixup at once.
ON_AUDIO = {"width": 0.02, "epochs": 2, "mixup_alpha": 0.5}
CHANGES_ON_AUDIO = {"spec_augment": False, "crop_seconds": 0.3, "dropout_scale": 0.5}
# With a backbone of one layer and two steps: what the front end and SpecAugment are
# told. Here, too, the first is what both sides have.
AT_ONCE = {
    "backbone": "one_layer",
    "epochs": 1,
    "steps_per_epoch": 2,
    "selection": "last",
    "crop_seconds": 0.0,
    "spec_augment": False,
}
SPEC = {"spec_augment": True, "spec_time_width": 20}
NOISE = {"noise_rate": 1.0, "noise_label": "f"}
HEARD = [
    ({}, {"roll_seconds": 0.2}),
    ({}, {"gain_db": 12.0}),
    ({}, {"time_stretch": 0.3}),
    ({}, {"pitch_quarter_tones": 6}),
    ({}, NOISE),
    (NOISE, {"noise_rate": 0.3}),
    (NOISE, {"noise_label": "e"}),
    (NOISE, {"noise_snr_db": (-10.0, -5.0)}),
    (SPEC, {"spec_time_width": 10}),
    (SPEC, {"spec_mel_width": 30}),
    (SPEC, {"spec_stripes": (0, 2)}),
    (SPEC, {"spec_per": "batch"}),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data")) as folder:
        yield folder


def trained(data, folder, experiment, **options) -> list[np.ndarray]:
    """Weights of the body, trained as a sweep trains it."""
    bundle = tiny.bundle(data, experiment)
    parts = bundle.deal(experiment, seed=0, fold=0)
    training.train(
        experiment,
        bundle,
        folder,
        seed=0,
        fold=0,
        parts=parts,
        progress=runs.Recorder(),
        **options,
    )
    return runs.weights_of(folder)


def untrained(data, experiment) -> list[np.ndarray]:
    """Weights that such a run begins with."""
    keras.utils.clear_session()
    bundle = tiny.bundle(data, experiment)
    _, body = tagger.build(
        experiment, bundle.taxonomy, feature_shape=bundle.feature_shape, seed=0
    )
    return body.get_weights()


def same(mine, its) -> bool:
    assert [a.shape for a in mine] == [b.shape for b in its]
    return all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))


@pytest.fixture(scope="module")
def base(data, tmp_path_factory):
    """The run on features that the others are compared with: experiment and weights."""
    experiment = tiny.on_features(data, **BASE)
    return experiment, trained(data, tmp_path_factory.mktemp("base"), experiment)


@pytest.fixture(scope="module")
def base_on_audio(data, tmp_path_factory):
    """An evaluated run on audio: experiment and folder."""
    experiment = tiny.on_audio(data, **ON_AUDIO)
    folder = tmp_path_factory.mktemp("audio")
    runs.go(experiment, tiny.bundle(data, experiment), folder)
    return experiment, folder


@pytest.mark.parametrize("setting", CHANGES)
def test_on_features(setting, base, data, tmp_path):
    experiment, weights = base
    changed = experiment.but(**{setting: CHANGES[setting]})
    assert changed != experiment
    assert not same(trained(data, tmp_path, changed), weights)


@pytest.fixture(scope="module")
def weights_after(data, tmp_path_factory):
    """A function that trains an experiment once and remembers the weights."""
    known = {}

    def train(experiment):
        key = json.dumps(experiment.settings())
        if key not in known:
            folder = tmp_path_factory.mktemp("remembered")
            known[key] = trained(data, folder, experiment)
        return known[key]

    return train


@pytest.mark.parametrize(("both", "changes"), PAIRS)
def test_beside_another(both, changes, weights_after, data):
    experiment = tiny.on_features(data, **BASE).but(**both, selection="last")
    changed = experiment.but(**changes)
    assert not same(weights_after(experiment), weights_after(changed))


@pytest.fixture
def one_layer(monkeypatch):
    def build(log_mel, *, width=1.0, dropout_scale=1.0, augment=None):
        x = keras.layers.Rescaling(0.01)(log_mel)
        x = x if augment is None else augment(x)
        x = keras.layers.Conv1D(4, 9, activation="relu", name="layer")(x)
        return keras.layers.GlobalMaxPooling1D()(x)

    monkeypatch.setitem(BACKBONES, "one_layer", build)


@pytest.mark.parametrize(("both", "changes"), HEARD)
def test_what_is_heard(both, changes, one_layer, weights_after, data):
    experiment = tiny.on_audio(data, **AT_ONCE).but(**both)
    changed = experiment.but(**changes)
    assert not same(weights_after(experiment), weights_after(changed))


def test_categorical_cross_entropy_is_another_loss(tmp_path):
    with tiny.data_set(tmp_path, single_label=True, with_audio=False) as single:
        experiment = tiny.on_features(single, **BASE)
        own = trained(single, tmp_path / "bce", experiment)
        other = trained(single, tmp_path / "cce", experiment.but(loss="cce"))
    assert not same(own, other)


def test_a_start_and_a_frozen_backbone_are_others(base, data, tmp_path):
    experiment, weights = base
    initial = tmp_path / "start"
    trained(data, initial, experiment.but(seeds=(1,), learning_rate=0.1))
    named = experiment.but(initial=("start",))
    start = {"initial": [initial / "best.keras"]}
    begun = trained(data, tmp_path / "begun", named, **start)
    frozen = trained(data, tmp_path / "frozen", named.but(frozen=True), **start)
    assert not same(begun, weights)
    assert not same(begun, frozen)
    stepped = named.but(frozen=True, head="gmp")
    fitted = stepped.but(fit="svm")
    assert not same(
        trained(data, tmp_path / "svm", fitted, **start),
        trained(data, tmp_path / "steps", stepped, **start),
    )


def test_a_start_with_the_head_is_another(base, data, tmp_path):
    experiment, _ = base
    named = experiment.but(initial=("start",))
    trained(data, tmp_path / "start", experiment.but(seeds=(1,), learning_rate=0.1))
    start = {"initial": [tmp_path / "start" / "best.keras"]}
    assert not same(
        trained(data, tmp_path / "whole", named.but(initial_head=True), **start),
        trained(data, tmp_path / "backbone", named, **start),
    )


def test_a_hidden_layer_is_there_and_is_trained(data, tmp_path):
    experiment = tiny.on_features(data, **BASE).but(hidden_units=5)
    after = trained(data, tmp_path, experiment)
    before = untrained(data, experiment)
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(after, before, strict=True)
        if 5 in a.shape
    ]
    assert len(moved) == 4  # two kernels of classifiers, kernel and bias of its own
    assert all(moved)


@pytest.mark.parametrize("features", ["X", ""])
def test_without_a_share_the_backbone_keeps_its_kernels(features, data, tmp_path):
    """The statistics of its normalisations still follow the clips."""
    make = tiny.on_features if features else tiny.on_audio
    experiment = make(data, **BASE).but(backbone_rate=0.0, hidden_units=4, width=0.05)
    trained(data, tmp_path, experiment)
    bundle = tiny.bundle(data, experiment)
    _, fresh = tagger.build(
        experiment, bundle.taxonomy, feature_shape=bundle.feature_shape
    )
    body = keras.models.load_model(tmp_path / "best.keras").get_layer("body")
    inside = {id(v) for v in tagger.backbone_of(body).trainable_variables}
    pairs = list(zip(body.weights, fresh.weights, strict=True))
    kept = [np.array_equal(a, b) for a, b in pairs if id(a) in inside]
    assert len(kept) == len(inside) >= 4
    assert all(kept)
    others = [(a, b) for a, b in pairs if id(a) not in inside and a.ndim]
    assert not any(np.array_equal(a, b) for a, b in others if "seed" not in a.path)


def test_decoupled_weight_decay_is_another_and_has_a_strength(base, data, tmp_path):
    experiment, weights = base
    decoupled = experiment.but(decoupled_weight_decay=True)
    weak = trained(data, tmp_path / "weak", decoupled)
    strong = trained(data, tmp_path / "strong", decoupled.but(weight_decay=0.1))
    assert not same(weak, weights)
    assert not same(weak, strong)


@pytest.mark.parametrize("setting", CHANGES_ON_AUDIO)
def test_on_audio(setting, base_on_audio, data, tmp_path):
    experiment, folder = base_on_audio
    changed = experiment.but(**{setting: CHANGES_ON_AUDIO[setting]})
    assert changed != experiment
    assert not same(trained(data, tmp_path, changed), runs.weights_of(folder))


def test_a_killed_run_on_audio_ends_with_the_same_bits(base_on_audio, data, tmp_path):
    experiment, expected = base_on_audio
    script = (
        "import sys; from pathlib import Path\n"
        "from tests import tiny; from tests.train import test_settings_matter as t\n"
        "data, folder = map(Path, sys.argv[1:])\n"
        "e = tiny.on_audio(data, **t.ON_AUDIO)\n"
        # Three steps an epoch: the fifth is the second of the second epoch.
        "killer = t.runs.Recorder(at_step=5, signal=t.signal.SIGKILL)\n"
        "t.runs.go(e, tiny.bundle(data, e), folder, killer)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, data, tmp_path],
        cwd=runs.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert runs.epochs_kept(tmp_path) == 1
    assert not (tmp_path / "best.keras").exists()
    bundle = tiny.bundle(data, experiment)
    assert runs.go(experiment, bundle, tmp_path).first_epoch == 1
    runs.assert_same_results(tmp_path, expected)


# -- Where a setting must lead ---------------------------------------------------------


def test_the_weight_is_the_finest_levels(data, tmp_path):
    """With all of it there, the other level's classifier stays as it was."""
    experiment = tiny.on_features(
        data, head="levelwise", epochs=1, weight_decay=0.0, fine_weight=1.0
    )
    trained(data, tmp_path, experiment)
    body = keras.models.load_model(tmp_path / "best.keras").get_layer("body")
    training_data = tiny.bundle(data, experiment)
    _, fresh = tagger.build(
        experiment,
        training_data.taxonomy,
        feature_shape=training_data.feature_shape,
        seed=0,
    )
    for level in ("fine", "coarse"):
        name = f"{level}_classifier"
        mine, its = (model.get_layer(name).get_weights() for model in (body, fresh))
        assert same(mine, its) == (level == "coarse")


def test_the_first_step_is_as_long_as_the_learning_rate(data, tmp_path):
    """Adam's first step moves every weight with a gradient by the rate itself."""
    experiment = tiny.on_features(
        data,
        epochs=1,
        batch_size=1_000,  # one step
        learning_rate=3e-3,
        warmup_epochs=4,
        weight_decay=0.0,
        dropout_scale=0.0,
    )
    before = untrained(data, experiment)
    after = trained(data, tmp_path, experiment)
    moved = [
        np.abs(a - b).max() for a, b in zip(after, before, strict=True) if a.ndim == 2
    ]
    np.testing.assert_allclose(moved, 3e-3 / 4, rtol=1e-3)


def test_the_learning_rate_rises_and_falls_by_epochs(data):
    experiment = tiny.on_features(
        data, learning_rate=0.1, epochs=4, warmup_epochs=1, decay_epochs=2
    )
    bundle = tiny.bundle(data, experiment)
    _, body = tagger.build(
        experiment, bundle.taxonomy, feature_shape=bundle.feature_shape
    )
    trainer = training._trainer(experiment, bundle, None, body, steps=2, seed=0)
    rates = []
    for step in range(8):
        trainer.optimizer.iterations.assign(step)
        rates.append(float(trainer.optimizer.learning_rate))
    shares = [
        1 / 2,
        1,
        1,
        1,
        1,
        *(0.01 + 0.99 * left for left in (3 / 4, 2 / 4, 1 / 4)),
    ]
    np.testing.assert_allclose(rates, 0.1 * np.array(shares), rtol=1e-5)
