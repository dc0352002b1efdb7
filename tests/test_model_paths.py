"""Where a model is: every kind of place, what it is called, what is said if none."""

import re
from pathlib import Path

import pytest

from tfhier import model_paths
from tfhier.errors import InputError
from tfhier.files import write_json


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def saved_model(folder: Path) -> Path:
    file(folder / "saved_model.pb")
    return folder


def experiment(folder: Path, *, best: str, runs: tuple[str, ...]) -> Path:
    """A finished experiment of some runs, whose models are empty files."""
    for run in runs:
        file(folder / run / "best.keras")
    write_json(folder / "metrics.json", {"best_run": best})
    return folder


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The folder `saved_models`, empty, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved_models").mkdir()
    return Path("saved_models")


def message(name: str | Path) -> str:
    with pytest.raises(InputError) as caught:
        model_paths.find(name)
    return str(caught.value)


# -- What is found ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.keras", "a.tflite", "no suffix"])
def test_a_file_is_itself(models, name):
    path = file(models / name)
    assert model_paths.find(path) == path
    assert model_paths.find(str(path)) == path


def test_a_saved_model_is_itself_whatever_else_is_in_it(models):
    folder = saved_model(models / "exported")
    saved_model(folder / "1")
    file(folder / "best.keras")
    assert model_paths.find(folder) == folder


@pytest.mark.parametrize("run", ["seed3", "seed3/fold2", "fine_weight=0.85/seed3"])
def test_a_run_is_its_best_epoch(models, run):
    best = file(models / "gmp" / run / "best.keras")
    file(best.with_name("live.keras"))
    assert model_paths.find(models / "gmp" / run) == best


@pytest.mark.parametrize("best", ["seed0", "seed3", "fine_weight=0.85/seed3/fold1"])
def test_an_experiment_is_its_best_run(models, best):
    runs = ("seed0", "seed3", "fine_weight=0.85/seed3/fold1")
    folder = experiment(models / "gmp", best=best, runs=runs)
    assert model_paths.find(folder) == folder / best / "best.keras"


def test_an_experiment_that_was_exported_is_still_its_best_run(models):
    folder = experiment(models / "gmp", best="seed1", runs=("seed1",))
    saved_model(folder / "serving" / "1")
    file(folder / "gmp.tflite")
    assert model_paths.find(folder) == folder / "seed1" / "best.keras"


def test_of_versions_the_highest_number_is_taken(models):
    serving = models / "gmp" / "serving"
    for name in ("1", "2", "10", "best", "-11", "11a", "1.5", "٣٣"):
        saved_model(serving / name)
    (serving / "12").mkdir()  # not finished
    file(serving / "13")
    assert model_paths.find(serving) == serving / "10"
    assert model_paths.versions(serving) == {
        number: serving / str(number) for number in (1, 2, 10)
    }


def test_results_on_the_stand_in_are_taken_and_said(models, capsys):
    folder = experiment(models / "gmp@embedded", best="seed0", runs=("seed0",))
    assert model_paths.find(models / "gmp") == folder / "seed0" / "best.keras"
    assert capsys.readouterr().out == (
        "model    saved_models/gmp was not trained; taking saved_models/gmp@embedded, "
        "trained on a stand-in\n"
    )
    assert model_paths.existing(models / "gmp") == folder
    capsys.readouterr()
    experiment(models / "gmp", best="seed1", runs=("seed1",))
    assert model_paths.find(models / "gmp") == models / "gmp/seed1/best.keras"
    assert capsys.readouterr().out == ""


def test_results_on_other_data_are_not_taken(models):
    experiment(models / "gmp@mine", best="seed0", runs=("seed0",))
    text = message(models / "gmp")
    assert text == "There is no model saved_models/gmp. There are: gmp@mine."


# -- What is said ----------------------------------------------------------------------


def test_close_names_of_models_are_offered_and_nothing_else(models):
    for name in ("openmic_gmp", "openmic_resatt", "openmic_notes"):
        (models / name).mkdir()
    file(models / "openmic_gmp" / "metrics.json")
    file(models / "openmic_resatt" / "best.keras")
    for name in ("openmic_gmp.tflite", "openmic_gm.csv", ".openmic_gm"):
        file(models / name)
    text = message(models / "openmic_gm")
    assert text == (
        "There is no model saved_models/openmic_gm. Close: openmic_gmp, "
        "openmic_gmp.tflite, openmic_resatt."
    )
    text = message(models / "zzz")
    assert text.endswith("There are: openmic_gmp, openmic_gmp.tflite, openmic_resatt.")


def test_where_there_is_no_model_none_are_offered(models):
    for name in ("saved_models/a", "no/such/place", "a.keras/b"):
        (models / "notes.txt").write_text("")
        assert message(name) == f"There is no model {name}."


def test_a_folder_without_a_model_says_how_to_get_one(models, monkeypatch):
    (models / "gmp@mine" / "seed0" / "checkpoint").mkdir(parents=True)
    text = message(models / "gmp@mine")
    assert text.startswith("saved_models/gmp@mine holds no model: neither best.keras")
    assert text.endswith("Train it first: python experiments/run.py --exp gmp")
    monkeypatch.chdir(models / "gmp@mine")
    assert message(".").endswith("--exp gmp")
    (Path("serving") / "latest").mkdir(parents=True)
    assert "nor exported versions" in message("serving")


def test_a_best_run_that_is_gone_is_named(models):
    folder = experiment(models / "gmp", best="seed3", runs=("seed0",))
    assert message(folder) == (
        "There is no saved_models/gmp/seed3/best.keras, which "
        "saved_models/gmp/metrics.json calls the best run. Give another run's folder."
    )


@pytest.mark.parametrize("url", ["http://localhost:8501/v1/models/a", "https://a/b"])
def test_a_model_on_a_server_is_no_file(models, url):
    assert message(url).startswith(f"{url} is on a server. Give the file or the folder")


# -- What it is called -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("saved_models/gmp/seed3/best.keras", "gmp"),
        ("saved_models/gmp/seed3/fold2/best.keras", "gmp"),
        ("saved_models/gmp/fine_weight=0.85/head=sdt/seed0/best.keras", "gmp"),
        ("saved_models/gmp@embedded/seed0/best.keras", "gmp"),
        ("saved_models/gmp@mine/seed0/best.keras", "gmp@mine"),
        ("saved_models/gmp/seed3/live.keras", "live"),
        ("saved_models/gmp/gmp-int8.tflite", "gmp-int8"),
        ("elsewhere/cnn14 16k.keras", "cnn14 16k"),
        ("saved_models/seedling/seed0/best.keras", "seedling"),
    ],
)
def test_a_file_is_called_by_its_experiment_or_itself(models, place, name):
    assert model_paths.model_name(file(Path(place))) == name


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("saved_models/gmp/serving/2", "gmp"),
        ("saved_models/gmp/serving", "gmp"),
        ("saved_models/gmp/seed3/fold0/serving/1", "gmp"),
        ("saved_models/gmp@embedded/serving/1", "gmp"),
        ("bats/1", "bats"),
    ],
)
def test_a_folder_is_called_by_its_experiment(models, monkeypatch, place, name):
    Path(place).mkdir(parents=True)
    assert model_paths.model_name(Path(place)) == name
    monkeypatch.chdir(place)
    assert model_paths.model_name(Path()) == name


# -- What is served --------------------------------------------------------------------


@pytest.mark.parametrize("given", ["saved_models/gmp", "saved_models/gmp/serving"])
def test_versions_are_served_by_the_name_of_their_experiment(models, given):
    saved_model(models / "gmp" / "serving" / "7")
    assert model_paths.serving_folder(given) == ("gmp", models / "gmp" / "serving")


def test_versions_are_served_by_another_name_if_one_is_given(models):
    saved_model(models / "gmp" / "serving" / "1")
    found = model_paths.serving_folder("bats=saved_models/gmp")
    assert found == ("bats", models / "gmp" / "serving")


@pytest.mark.parametrize(("prefix", "name"), [("", "gmp"), ("bats=", "bats")])
def test_the_folder_of_a_grid_keeps_its_sign(models, prefix, name):
    run = models / "gmp" / "fine_weight=0.85" / "seed3"
    saved_model(run / "serving" / "1")
    found = model_paths.serving_folder(f"{prefix}{run}")
    assert found == (name, run / "serving")


def test_versions_made_on_the_stand_in_are_served_and_that_is_said(models, capsys):
    saved_model(models / "gmp@embedded" / "serving" / "1")
    found = model_paths.serving_folder("saved_models/gmp")
    assert found == ("gmp", models / "gmp@embedded" / "serving")
    assert "taking saved_models/gmp@embedded" in capsys.readouterr().out


@pytest.mark.parametrize("prefix", ["", "bats="])
def test_nothing_to_serve_says_how_to_export(models, prefix):
    experiment(models / "gmp", best="seed0", runs=("seed0",))
    saved_model(models / "gmp" / "serving" / "latest")
    expected = (
        "saved_models/gmp holds no exported versions (serving/1, ...). Export first: "
        "tfhier export saved_models/gmp --to savedmodel"
    )
    with pytest.raises(InputError, match=re.escape(expected)):
        model_paths.serving_folder(f"{prefix}saved_models/gmp")
    with pytest.raises(InputError, match=r"There is no model nowhere\."):
        model_paths.serving_folder(f"{prefix}nowhere")


def test_what_is_exported_already_is_not_to_be_exported_again(models):
    file(models / "gmp.tflite")
    with pytest.raises(InputError, match="cannot be served. Give the folder"):
        model_paths.serving_folder("saved_models/gmp.tflite")
