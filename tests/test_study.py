"""A study from data to pages, on the tiny data set."""

import dataclasses
import json

import pytest

from tests import tiny
from tfhier import contract, study, tables
from tfhier.data import esc50, openmic
from tfhier.errors import InputError
from tfhier.files import read_json


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data")) as folder:
        yield folder


@pytest.fixture(scope="module")
def pair(data):
    """Two rows of one table."""
    paper = {"test": {"fine": {"mAP": 86.0}, "coarse": {"mAP": 90.5}}}
    base = tiny.on_features(
        data, baseline="flat", seeds=(0, 1), departures=("no paper at all",)
    )
    return {
        "flat": base.but(row="Flat", head="flat"),
        "gmp": base.but(row="Grouped", head="gmp", paper=paper),
    }


@pytest.fixture(scope="module")
def done(data, pair, tmp_path_factory):
    output = tmp_path_factory.mktemp("output")
    return output, study.run(pair, study.Options(data=str(data), output=output))


def again(pair, data, output, **changes):
    return study.run(pair, study.Options(data=str(data), output=output, **changes))


# -- A whole study ---------------------------------------------------------------------


def test_results_lie_in_folders_named_by_experiment_and_data(done):
    output, _ = done
    assert {path.name for path in output.iterdir()} == {
        "flat@tiny", "gmp@tiny", "a-tiny-table@tiny",
    }  # fmt: skip
    for folder in output.iterdir():
        assert (folder / "report.html").is_file()


def test_every_json_file_is_json(done):
    def refuse(token):
        raise AssertionError(token)

    paths = sorted(done[0].rglob("*.json"))
    assert len(paths) > 10
    for path in paths:
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_same_command_trains_nothing_and_says_the_same(
    done, pair, data, monkeypatch, capsys
):
    output, summaries = done

    def refuse(*_, **__):
        raise AssertionError("this must not train")

    monkeypatch.setattr(study.sweep.training, "train", refuse)
    assert again(pair, data, output) == summaries
    first = capsys.readouterr().out
    assert again(pair, data, output) == summaries
    assert capsys.readouterr().out == first


def test_the_console_tells_data_settings_and_results(done, pair, data, capsys):
    output, summaries = done
    again(pair, data, output)
    text = capsys.readouterr().out
    assert "tiny, 48 clips" in text
    assert "SYNTHETIC" not in text
    assert "not as in the paper: no paper at all" in text
    assert "profile  small: " in text
    table = text.split("A tiny table, on tiny\n\n")[1]
    lines = [line.split() for line in table.splitlines()]
    mean = 100 * summaries[1]["test"]["fine"]["mAP"]["mean"]
    row = next(line for line in lines if line[:1] == ["gmp"])
    assert row[1] == f"{mean:.1f}"
    assert row[-2:] == ["86.0", "90.5"]
    assert any(line[:2] == ["regression", "on"] for line in lines)
    assert "test, observed labels" in table
    assert "test, full truth" in table
    assert "minus flat" in table
    assert str(output / "a-tiny-table@tiny" / "report.html") in table


def test_a_flat_head_breaks_no_rule_of_the_hierarchy_at_equal_thresholds(done):
    for summary in done[1]:
        for run in summary["runs"]:
            assert 0 <= run["violation_rate"] <= 1


# -- Options ---------------------------------------------------------------------------


def test_changes_and_seeds_reach_the_run(pair, data, tmp_path):
    (summary,) = again(
        {"gmp": pair["gmp"]}, data, tmp_path, seeds=(5,), changes=("epochs=1",)
    )
    assert summary["settings"]["epochs"] == 1
    assert summary["settings"]["seeds"] == [5]
    assert (tmp_path / "gmp@tiny" / "seed5" / "best.keras").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("head=resat", r"no head 'resat'\. Close: resatt"),
        ("backbone=cnn41", r"no backbone 'cnn41'\. Close: cnn14"),
        ("frontend=panns", r"no frontend 'panns'"),
        ("taxonomy=openmik", r"No taxonomy is called 'openmik'\. Close: openmic"),
        ("taxonomy=gone.csv", r"no taxonomy file gone\.csv"),
        ("dataset=openmik", r"no dataset 'openmik'\. Close: openmic"),
        ("features=Z", r"no precomputed features 'Z'"),
    ],
)
def test_misspelt_values_stop_before_anything_is_written(
    pair, data, tmp_path, change, message
):
    with pytest.raises(InputError, match=message):
        again({"gmp": pair["gmp"]}, data, tmp_path / "output", changes=(change,))
    assert not (tmp_path / "output").exists()


def test_experiments_on_features_are_set_aside_with_a_word(
    pair, data, tmp_path, capsys
):
    other = pair["gmp"].but(features="absent")
    summaries = again({"gmp": pair["gmp"], "other": other}, data, tmp_path, seeds=(0,))
    assert [summary["experiment"] for summary in summaries] == ["gmp"]
    text = capsys.readouterr().out
    assert "left out other: tiny has no features 'absent'" in text
    assert not (tmp_path / "other@tiny").exists()


def test_experiments_without_a_table_are_compared_with_none(pair, data, tmp_path):
    lone = {name: each.but(table="", epochs=1) for name, each in pair.items()}
    again(lone, data, tmp_path, seeds=(0,))
    assert {path.name for path in tmp_path.iterdir()} == {"flat@tiny", "gmp@tiny"}


# -- What stands in for what -----------------------------------------------------------


def as_kind(monkeypatch, kind, name):
    """Give the tiny data out as the stand-in or as the published set."""
    load = openmic.load
    monkeypatch.setattr(
        openmic,
        "load",
        lambda path: dataclasses.replace(load(path), kind=kind, name=name),
    )


def test_the_stand_in_is_named_as_such(pair, data, tmp_path, monkeypatch, capsys):
    as_kind(monkeypatch, "embedded", "embedded orchestra")
    (summary,) = again({"gmp": pair["gmp"]}, data, tmp_path, seeds=(0,))
    text = capsys.readouterr().out
    assert "48 SYNTHETIC clips" in text
    assert summary["profile"] == "small"
    page = (tmp_path / "gmp@embedded" / "report.html").read_text(encoding="utf-8")
    assert 'class="banner"' in page
    # It goes along wherever the model goes.
    promised = contract.read(tmp_path / "gmp@embedded" / "seed0" / "best.keras")
    assert promised.source == (
        "trained on embedded orchestra (SYNTHETIC: figures on it say nothing of real "
        "sound)"
    )


def test_the_stand_in_is_announced_before_it_is_made(
    pair, tmp_path, monkeypatch, capsys
):
    def make():
        told = capsys.readouterr().out
        assert "the embedded orchestra stands in, SYNTHETIC clips" in told
        assert "tfhier prepare openmic" in told
        raise InputError("told first")

    monkeypatch.setenv("TFHIER_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(openmic, "embedded", make)
    with pytest.raises(InputError, match="told first"):
        again({"gmp": pair["gmp"]}, "auto", tmp_path)
    lacking = pair["gmp"].but(features="statistics")
    with pytest.raises(InputError, match=r"features statistics, which.*--data FILE"):
        again({"gmp": lacking}, "auto", tmp_path)


def test_the_published_set_takes_the_papers_settings(pair, data, tmp_path, monkeypatch):
    as_kind(monkeypatch, "published", "OpenMIC-2018")
    experiment = pair["gmp"].but(small={"epochs": 7})
    (summary,) = again({"gmp": experiment}, data, tmp_path, seeds=(0,))
    assert (summary["profile"], summary["settings"]["epochs"]) == ("paper", 2)
    assert (tmp_path / "gmp" / "report.html").is_file()


@pytest.mark.parametrize(
    ("name", "expected"), [("a b/../c", "@a-b-..-c"), ("Ä.x_y-z", "@Ä.x_y-z")]
)
def test_names_of_data_make_safe_folders(data, name, expected):
    clips = openmic.load(data)
    assert study.suffix(dataclasses.replace(clips, name=name)) == expected


def test_a_title_as_a_folder():
    assert study.slug("Zhong et al. 2023, Table 1") == "zhong-et-al-2023-table-1"


def test_a_model_of_the_study_can_be_found_by_the_summary(done):
    output, summaries = done
    for summary in summaries:
        folder = output / f"{summary['experiment']}@tiny"
        assert (folder / summary["best_run"] / "best.keras").is_file()
        assert read_json(folder / "metrics.json") == summary


def test_data_without_a_stand_in_are_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFHIER_DATA", str(tmp_path / "nothing"))
    experiment = tiny.on_features(tmp_path, dataset="esc50", taxonomy="", features="")
    for where in ("auto", "embedded"):
        with pytest.raises(InputError, match="stand-in for ESC-50: .*--data"):
            again({"esc": experiment}, where, tmp_path / "output")
    assert "stands in" not in capsys.readouterr().out
    assert not (tmp_path / "output").exists()
    assert esc50.EMBEDDED_NAME == ""


# -- One level, and labels that exclude each other -------------------------------------


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """An experiment without a taxonomy on single labels: folder and summary."""
    folder = tmp_path_factory.mktemp("single")
    with tiny.data_set(folder, single_label=True, with_audio=False) as single:
        experiment = tiny.on_features(
            single, taxonomy="", head="flat", epochs=1, ema_decay=0.5, table="T"
        )
        options = study.Options(data=str(single), output=folder / "output")
        (summary,) = study.run({"alone": experiment}, options)
    return folder / "output" / "alone@tiny", summary


def test_without_a_taxonomy_the_labels_stand_alone(decided):
    folder, summary = decided
    assert list(summary["test"]) == ["label"]
    assert set(summary["test"]["label"]) == {"mAP", "uar", "accuracy"}
    assert summary["settings"]["taxonomy"] == ""
    text = (folder / "seed0" / "taxonomy.csv").read_text(encoding="utf-8")
    assert text.split() == ["label", *tiny.LABELS]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Level label" in page
    assert "<h2>Decisions</h2>" in page


def rows_of(text):
    return [line.split() for line in text.splitlines()]


def test_a_table_of_single_labels_has_map_and_uar(decided):
    _, summary = decided
    for part, head in (("test", "test, observed"), ("test_live", "test, without the")):
        text = tables.result_table([summary], part)
        assert text.startswith(head)
        assert "label mAP" in text and "label UAR" in text
        assert "f1" not in text.lower()
        own = next(row for row in rows_of(text) if row[0] == "alone")
        figures = summary[part]["label"]
        expected = [f"{100 * figures[name]['mean']:.1f}" for name in ("mAP", "uar")]
        assert own[1:] == expected
    # Yardsticks have no weights that could be averaged.
    assert "regression" in tables.result_table([summary])
    assert "regression" not in tables.result_table([summary], "test_live")
