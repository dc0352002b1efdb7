"""Experiments as records: checked, changed and expanded."""

import dataclasses
import json

import pytest

from tfhier import experiment as experiment_module
from tfhier.errors import InputError
from tfhier.experiment import Experiment

BASE = Experiment(
    row="ResAtt",
    learning_rate=1e-3,
    epochs=10,
    grid={"fine_weight": (0.7, 0.8), "epochs": (1, 2, 3)},
    small={"epochs": 2, "width": 0.25, "grid": {"fine_weight": (0.5,)}},
)


# -- Changing --------------------------------------------------------------------------


def test_but_changes_a_copy():
    changed = BASE.but(head="gap", epochs=3)
    assert (changed.head, changed.epochs, changed.row) == ("gap", 3, "ResAtt")
    assert BASE.head == "resatt"


def test_but_refuses_a_misspelt_setting_and_offers_the_nearest():
    with pytest.raises(InputError, match=r"'learning_rat'.* Close: learning_rate"):
        BASE.but(learning_rat=1.0)


@pytest.mark.parametrize("name", ["grid", "small"])
def test_grid_and_small_name_settings(name):
    with pytest.raises(InputError, match=rf"{name} names 'epoch'.* Close: epochs"):
        Experiment(**{name: {"epoch": (1,)}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("validation_fraction", 0.0),
        ("validation_fraction", 0.95),
        ("num_folds", -1),
        ("clip_seconds", 0.0),
        ("width", 0.0),
        ("fine_weight", 1.5),
        ("batch_size", 0),
        ("epochs", 0),
        ("learning_rate", -1e-3),
        ("learning_rate", float("nan")),
        ("weight_decay", float("inf")),
        ("mixup_alpha", -0.1),
        ("seeds", ()),
    ],
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match="seed" if name == "seeds" else name):
        Experiment(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec_stripes": (2, 1)}, r"spec_stripes is a lowest and .*\(2, 1\)"),
        ({"spec_stripes": (1,)}, "spec_stripes is a lowest"),
        ({"spec_stripes": (0, 1, 2)}, "spec_stripes is a lowest"),
        ({"spec_stripes": (-1, 2)}, "spec_stripes must not be negative"),
        ({"spec_stripes": (0, 1.5)}, "spec_stripes is a lowest"),
        ({"spec_stripes": (False, True)}, "spec_stripes is a lowest"),
        ({"noise_snr_db": (10.0, 0.0)}, "noise_snr_db is a lowest"),
        ({"noise_snr_db": (0.0, float("nan"))}, "noise_snr_db is a lowest"),
        ({"noise_snr_db": ("a", "b")}, "noise_snr_db is a lowest"),
        ({"noise_rate": 0.5}, "noise_rate.* and noise_label.* are given together"),
        ({"noise_label": "rain"}, "noise_rate.* and noise_label.* are given together"),
        ({"frozen": True}, "frozen and fit='svm' need a trained backbone"),
        ({"fit": "svm"}, "frozen and fit='svm' need a trained backbone"),
        ({"pretrained": "a", "initial": ("b",)}, "pretrained weights or from initial"),
        (
            {"pretrained": "a", "features": "X"},
            "pretrained weights are of one backbone",
        ),
        ({"pretrained": "a", "backbone": "cnn6+cnn10"}, "are of one backbone on audio"),
        ({"initial_head": True}, "initial_head takes neck and head from initial"),
        ({"attention_prior": 1.0, "head": "gmp"}, "attention_prior is of the head"),
        ({"attention_scale": 0.1, "head": "gmp"}, "attention_scale is of the head"),
        (
            {"attention_prior": 1.0, "attention_scale": 0.1, "head": "gmp"},
            "attention_prior and attention_scale are of the head 'resatt'",
        ),
        ({"flat_pool": "noisy_or", "head": "gap"}, "flat_pool is of the head 'flat'"),
        (
            {"initial": ("a", "b"), "initial_head": True, "backbone": "cnn6+cnn10"},
            r"initial_head takes .* one tagger, .*'cnn6\+cnn10'",
        ),
        (
            {"pretrained": "a", "frozen": True, "backbone_rate": 0.1},
            "backbone_rate and layer_decay are of a backbone that is trained",
        ),
        (
            {"initial": ("a",), "fit": "svm", "head": "gmp", "layer_decay": 0.5},
            "backbone_rate and layer_decay are of a backbone that is trained",
        ),
        ({"grid": {"pretrained": ("a", "b")}}, "pretrained is no part of it"),
        ({"grid": {"initial": (("a",), ("b",))}}, "initial is no part of it"),
        ({"fit": "svm", "loss": "cce", "initial": ("a",)}, "Use loss='bce' with it"),
        ({"ema_reset_every": 200}, "ema_reset_every is of the average that ema_decay"),
        ({"initial": (1,)}, r"initial gives names of experiments. Received: \(1,\)"),
        ({"fit": "svm", "initial": ("a",), "head": "lp"}, "use --set head=flat, gap"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        Experiment(**changes)


def test_pairs_that_fit():
    for changes in (
        {"spec_stripes": (0, 0)},
        {"noise_snr_db": (-5, -5.0)},
        {"noise_rate": 0.0, "noise_label": ""},
        {"noise_rate": 1.0, "noise_label": "rain"},
        {"frozen": True, "fit": "svm", "head": "gmp", "initial": ("a",)},
    ):
        assert Experiment(**changes).but(head="gap").head == "gap"


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("coarse_negatives", ("observed", "certain")),
        ("selection", ("validation", "last", "test")),
        ("select_by", ("loss", "mAP", "uar")),
        ("loss", ("bce", "cce")),
        ("sampling", ("uniform", "balanced", "importance")),
        ("spec_per", ("clip", "batch")),
        ("mixup_per", ("clip", "batch")),
    ],
)
def test_choices_are_those_and_no_others(name, choices):
    for choice in choices:
        assert getattr(Experiment(**{name: choice}), name) == choice
    for other in ("", choices[0].upper(), None):
        with pytest.raises(InputError, match=f"{name} is one of {choices[0]}, "):
            Experiment(**{name: other})
    with pytest.raises(InputError, match=f"{name} is one of"):
        Experiment(grid={name: (choices[0], "x")})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps_per_epoch", -1),
        ("ema_decay", 1.0),
        ("ema_start", -1),
        ("ema_start", 0.5),
        ("ema_reset_every", -2),
        ("spec_time_width", 0),
        ("spec_mel_width", 0),
        ("time_stretch", 0.6),
        ("pitch_quarter_tones", 1.5),
        ("roll_seconds", -0.1),
        ("gain_db", float("inf")),
        ("noise_rate", 1.1),
        ("hidden_units", -1),
        ("hidden_dropout", 1.0),
        ("attention_prior", -1.0),
        ("attention_scale", 0.0),
        ("backbone_rate", -0.1),
        ("layer_decay", 0.0),
        ("layer_decay", 1.1),
    ],
)
def test_values_of_training_and_augmentation_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        Experiment(**{name: value})


def test_settings_survive_a_file():
    experiment = Experiment(
        initial=("a", "b"), spec_stripes=(0, 2), noise_snr_db=(-5.0, 5.0), frozen=True
    )
    settings = experiment.settings()
    assert settings["spec_stripes"] == [0, 2]
    assert json.loads(json.dumps(settings)) == settings
    named = {field.name for field in dataclasses.fields(Experiment)}
    told = {"row", "table", "baseline", "paper", "departures", "seeds", "grid", "small"}
    assert set(settings) == named - told


@pytest.mark.parametrize(
    "name", ["taxonomy", "coarse_negatives", "frontend", "backbone", "head", "dataset"]
)
def test_settings_are_plain_json(name):
    settings = BASE.settings()
    assert settings[name] == getattr(BASE, name)
    assert not {"row", "paper", "seeds", "grid", "small"} & set(settings)


FIXED = Experiment(pretrained="a", frozen=True, spec_augment=False, dropout_scale=0.0)


def test_embeddings_of_a_frozen_pretrained_backbone_are_computed_once():
    assert FIXED.embeds_once
    assert FIXED.but(mixup_alpha=0.3, hidden_units=8, hidden_dropout=0.5).embeds_once
    assert not FIXED.but(frozen=False).embeds_once
    assert not FIXED.but(pretrained="", initial=("a",)).embeds_once


@pytest.mark.parametrize(
    "changes",
    [
        {"spec_augment": True},
        {"dropout_scale": 0.1},
        {"crop_seconds": 1.0},
        {"time_stretch": 0.1},
        {"pitch_quarter_tones": 1},
        {"roll_seconds": 0.1},
        {"gain_db": 1.0},
        {"noise_rate": 0.1, "noise_label": "rain"},
    ],
)
def test_what_chance_changes_before_an_embedding_is_not_computed_once(changes):
    changed = FIXED.but(**changes)
    assert not changed.embeds_once
    assert {name for name, _ in changed.heard_anew} == set(changes)
    assert changed.but(**dict(changed.heard_anew)) == FIXED


def test_every_augmentation_is_heard_anew_but_for_mixup():
    """Those of the settings' own section, or what `trainer` draws on waveforms."""
    fields = [item.name for item in dataclasses.fields(Experiment)]
    section = fields[fields.index("spec_augment") : fields.index("seeds")]
    details = {"spec_time_width", "spec_mel_width", "spec_stripes", "spec_per"}
    own = {name for name, _ in experiment_module._HEARD_ANEW.items()}
    assert set(section) - details - {"mixup_alpha", "mixup_per", "noise_snr_db"} == (
        own - {"dropout_scale", "crop_seconds"}
    )


def test_profiles():
    assert BASE.profile("paper") is BASE
    small = BASE.profile("small")
    assert (small.epochs, small.width, small.learning_rate) == (2, 0.25, 1e-3)
    assert dict(small.grid) == {"fine_weight": (0.5,)}
    with pytest.raises(InputError, match="'paper' or 'small'. Received: 'tiny'"):
        BASE.profile("tiny")


def test_runs_are_every_point_of_the_grid():
    points = [(run.fine_weight, run.epochs) for run in BASE.runs()]
    assert points == [(w, e) for w in (0.7, 0.8) for e in (1, 2, 3)]
    assert all(run.grid == {} for run in BASE.runs())


def test_without_a_grid_there_is_one_run():
    assert list(Experiment().runs()) == [Experiment()]
