"""Experiments as text and as files: changed, found, matched and described."""

import subprocess
import sys
from pathlib import Path

import pytest

from tfhier import catalogue
from tfhier.catalogue import find, match, override, parse_numbers
from tfhier.errors import InputError
from tfhier.experiment import Experiment

ROOT = Path(__file__).parents[1]
BASE = Experiment(
    row="ResAtt",
    learning_rate=1e-3,
    epochs=10,
    grid={"fine_weight": (0.7, 0.8), "epochs": (1, 2, 3)},
    small={"epochs": 2, "width": 0.25, "grid": {"fine_weight": (0.5,)}},
)


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
        ("initial=a", "initial", ("a",)),
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
        ("noise_rate=0.5", "are given together"),
        ("initial=(1,)", r"initial gives names of experiments. Received: \(1,\)"),
        ("initial=1.5", r"--set initial takes .*'1.5'"),
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
    assert parse_numbers(text) == seeds


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
        parse_numbers(text)


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
        "from tfhier import catalogue\n"
        "print(len(catalogue.find('experiments')))\n"
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
    assert catalogue.describe(folder) == {
        "x": "Our row on cnn6, openmic (T 1)",
        "y": "gap on cnn14, openmic",
    }


def test_a_card_has_both_profiles_and_every_departure():
    text = catalogue.card("name", BASE.but(departures=("half the clips",)))
    (epochs,) = (line for line in text.splitlines() if line.split()[:1] == ["epochs"])
    assert epochs.split() == ["epochs", "10", "2"]
    (head,) = (line for line in text.splitlines() if line.split()[:1] == ["head"])
    assert head.split() == ["head", "'resatt'"]
    assert "not as in the paper: half the clips" in text
