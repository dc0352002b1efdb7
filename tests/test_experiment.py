"""Experiments as records: changed, expanded, matched, read from text and from files."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tfhier import experiment as module
from tfhier.errors import InputError
from tfhier.experiment import Experiment, find, match, override, parse_seeds

ROOT = Path(__file__).parents[1]
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
        ({"noise_rate": 0.5}, "noise_rate needs noise_label"),
        ({"frozen": True}, "frozen and fit='svm' need initial"),
        ({"fit": "svm"}, "frozen and fit='svm' need initial"),
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


# -- Text from the command line --------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("head=gap", "head", "gap"),
        ("learning_rate=1e-2", "learning_rate", 0.01),
        ("learning_rate=1", "learning_rate", 1.0),
        ("epochs=7", "epochs", 7),
        ("spec_augment=False", "spec_augment", False),
        ("seeds=3", "seeds", (3,)),
        ("seeds=[1, 2]", "seeds", (1, 2)),
        ("taxonomy=a=b.csv", "taxonomy", "a=b.csv"),
        ("features=3", "features", "3"),
        ("features=", "features", ""),
        ("taxonomy=", "taxonomy", ""),
        ("spec_stripes=(0,2)", "spec_stripes", (0, 2)),
        ("spec_stripes=[1, 1]", "spec_stripes", (1, 1)),
        ("noise_snr_db=(-5, 10)", "noise_snr_db", (-5, 10)),
        ("initial=('a', 'b')", "initial", ("a", "b")),
        ("initial=['a']", "initial", ("a",)),
        ("ema_decay=0", "ema_decay", 0.0),
        ("spec_per=batch", "spec_per", "batch"),
    ],
)
def test_override_reads_values_in_the_type_of_the_setting(text, name, value):
    found = getattr(override(BASE, [text]), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs", "takes field=value. Received: 'epochs'"),
        ("epoch=3", r"no setting 'epoch'.* Close: epochs"),
        ("zzz=3", r"no setting 'zzz'.*All settings: --print"),
        ("epochs=three", r"--set epochs takes a value like 10 \(int\).*'three'"),
        ("epochs=1.5", r"--set epochs takes .*'1.5'"),
        ("epochs=True", r"--set epochs takes .*'True'"),
        ("learning_rate=fast", r"--set learning_rate takes .*'fast'"),
        ("learning_rate=nan", r"--set learning_rate takes .*'nan'"),
        ("spec_augment=1", r"--set spec_augment takes .*'1'"),
        ("seeds=0-7", r"--set seeds takes .*'0-7'"),
        ("spec_stripes=2", "spec_stripes is a lowest and a highest value"),
        ("spec_stripes=two", r"--set spec_stripes takes .*\(2, 2\) \(tuple\).*'two'"),
        ("noise_snr_db=('a', 'b')", "noise_snr_db is a lowest and a highest"),
        ("noise_rate=0.5", "noise_rate needs noise_label"),
        ("initial=a", r"--set initial takes .*'a'"),
        ("epochs=0", r"epochs must lie between 1 and"),
        ("grid={'epoch': (1,)}", r"no setting 'epoch'"),
    ],
)
def test_override_refuses(text, message):
    with pytest.raises(InputError, match=message):
        override(BASE, [text])


@pytest.mark.parametrize(
    "text",
    [
        "seeds=-1",
        "seeds=(0, 0)",
        "seeds=('a',)",
        "seeds=(0.5,)",
        "grid={'epochs': 3}",
        "grid={'epochs': ()}",
        "grid={'epochs': ('a',)}",
        "coarse_negatives=obsrved",
    ],
)
def test_override_refuses_what_no_run_could_use(text):
    with pytest.raises(InputError):
        list(override(BASE, [text]).runs())


def test_an_overridden_setting_holds_in_grid_and_profile():
    changed = override(BASE, ["epochs=5"])
    assert {run.epochs for run in changed.runs()} == {5}
    assert len(list(changed.runs())) == 2
    assert changed.profile("small").epochs == 5
    assert changed.profile("small").width == 0.25
    small = override(BASE, ["fine_weight=0.9"]).profile("small")
    assert small.grid == {}
    assert small.fine_weight == 0.9


def test_an_overridden_grid_holds_in_the_small_profile():
    changed = override(BASE, ["grid={'width': (0.1, 0.2)}"]).profile("small")
    assert dict(changed.grid) == {"width": (0.1, 0.2)}


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3", (3,)), ("0-7", tuple(range(8))), ("0,2,5-6", (0, 2, 5, 6)),
        (" 1 , 2 ", (1, 2)), ("4-4", (4,)),
    ],
)  # fmt: skip
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5-2", "5-2 runs backwards"),
        ("a", "takes numbers like 0-7 or 0,2,5. Received: 'a'"),
        ("", "takes numbers"),
        ("1,", "takes numbers"),
        ("-3", "takes numbers"),
        ("1-", "takes numbers"),
        ("1.5", "takes numbers"),
        ("²", "takes numbers"),
        ("0-3,2", "twice"),
    ],
)
def test_seeds_that_are_none(text, message):
    with pytest.raises(InputError, match=message):
        parse_seeds(text)


# -- Finding ---------------------------------------------------------------------------


def write_experiments(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, body in files.items():
        text = f"from tfhier.experiment import Experiment\n{body}\n"
        (folder / f"{name}.py").write_text(text)
    return folder


def test_find_takes_public_experiments_of_every_file_but_run(tmp_path):
    folder = write_experiments(
        tmp_path,
        b="two = Experiment(head='gap')\none = two.but(head='lp')\n_base = two",
        a="three = Experiment()\nnumber = 3",
        run="raise RuntimeError('run.py is not imported')",
    )
    found = find(folder)
    assert list(found) == ["three", "two", "one"]
    assert found["one"].head == "lp"


def test_two_files_with_one_name_are_refused(tmp_path):
    folder = write_experiments(tmp_path, a="x = Experiment()", b="x = Experiment()")
    with pytest.raises(InputError, match=r"called 'x': one in .*a\.py.*b\.py"):
        find(folder)


def test_a_folder_without_experiments_is_refused(tmp_path):
    with pytest.raises(InputError, match="no experiments in"):
        find(tmp_path)
    with pytest.raises(InputError, match="no experiments in .*gone"):
        find(tmp_path / "gone")


def test_find_needs_no_tensorflow():
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('tensorflow', 'keras', 'numpy'):\n"
        "            raise ImportError('blocked: ' + name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from tfhier import experiment\n"
        "print(len(experiment.find('experiments')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 24


NAMES = dict.fromkeys(("gap_small", "gap_large", "gmp_small", "flat"), BASE)


def test_match_takes_patterns_without_repeats_in_the_order_asked():
    assert match(["flat", "gap_*", "*_small"], NAMES) == [
        "flat", "gap_small", "gap_large", "gmp_small",
    ]  # fmt: skip


def test_match_offers_close_names():
    message = r"'gap_smal'\. Close: gap_small.*tfhier list"
    with pytest.raises(InputError, match=message):
        match(["flat", "gap_smal"], NAMES)
    with pytest.raises(InputError, match=r"'x\*'"):
        match(["x*"], NAMES)


def test_case_counts():
    with pytest.raises(InputError, match="FLAT"):
        match(["FLAT"], NAMES)


# -- Telling ---------------------------------------------------------------------------


def test_descriptions_say_row_backbone_data_and_table(tmp_path):
    folder = write_experiments(
        tmp_path,
        a="x = Experiment(row='Our row', table='T 1', backbone='cnn6')\n"
        "y = Experiment(head='gap')",
    )
    assert module.describe(folder) == {
        "x": "Our row on cnn6, openmic (T 1)",
        "y": "gap on cnn14, openmic",
    }


def test_a_card_has_both_profiles_and_every_departure():
    text = module.card("name", BASE.but(departures=("half the clips",)))
    (epochs,) = (line for line in text.splitlines() if line.split()[:1] == ["epochs"])
    assert epochs.split() == ["epochs", "10", "2"]
    (head,) = (line for line in text.splitlines() if line.split()[:1] == ["head"])
    assert head.split() == ["head", "'resatt'"]
    assert "not as in the paper: half the clips" in text
