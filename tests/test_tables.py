"""Tables of the console: right figures in right columns."""

import pytest

from tests.test_report import make_decided, make_summary, with_conditions
from tfhier import compare, tables


def test_parent_errors_and_the_papers_uar_have_columns():
    summaries = [make_decided("base", [0.5, 0.6]), make_summary("other", [0.5])]
    header, yardstick, own = tables.result_table(summaries[:1]).splitlines()
    names = [
        "fine mAP", "fine UAR", "fine parent error", "coarse mAP", "coarse UAR",
        "paper fine UAR",
    ]  # fmt: skip
    assert header.split("  ")[0] == tables.PARTS["test"]
    places = [header.index(name) for name in names]
    assert places == sorted(places)
    assert own.split()[-1] == "91.7"
    assert "91.7" not in yardstick
    assert "paper" not in tables.result_table(summaries[:1], "test_truth")
    assert "UAR" not in tables.result_table(summaries[1:])
    assert "paper fine mAP" in tables.result_table(summaries[1:])


def test_conditions_are_of_the_finest_level_beside_the_papers():
    summary = with_conditions([0.5, 0.7])
    header, own = tables.condition_table([summary]).splitlines()
    assert header.startswith("test, fine (%)")
    names = [word.strip() for word in header.split("(%)")[1].split("  ") if word]
    assert names == ["20 dB mAP", "20 dB UAR", "0 dB mAP", "0 dB UAR"]
    for name, value in (("20 dB", 59.0), ("0 dB", 34.0)):
        mean = summary["conditions"][name]["fine"]["mAP"]["mean"]
        assert 100 * mean == pytest.approx(value)
    figures = own.split()
    assert figures[0] == "base"
    assert [x for x in figures if x in ("59.0", "34.0")] == ["59.0", "34.0"]


def test_figures_of_a_condition_stand_beside_the_papers_and_not_beside_all():
    summary = with_conditions([0.5, 0.7])
    at_zero = {"fine": {"mAP": 12.3}}
    summary["paper"] = {
        "test": {"fine": {"mAP": 45.6}},
        "conditions": {"0 dB": at_zero},
    }
    header, own = tables.condition_table([summary]).splitlines()
    assert "paper 0 dB mAP" in header and "paper 20 dB" not in header
    assert own.split().count("12.3") == 1
    assert "45.6" not in tables.result_table([summary])
    del summary["conditions"]
    assert "45.6" in tables.result_table([summary])


def test_what_the_average_adds_is_paired_by_run():
    summary = make_decided("base", [0.5, 0.7])
    live = make_decided("base", [0.4, 0.6])
    for run, other in zip(summary["runs"], live["runs"], strict=True):
        run["test_live"] = other["test"]
    summary["test_live"] = live["test"]
    header, own = tables.average_table([summary]).splitlines()
    assert header.split("  ")[0] == "EMA minus live weights"
    assert own.split()[:2] == ["base", "+10.0"]


def test_differences_of_single_labels_are_of_uar():
    base, ours = make_decided("base", [0.5, 0.6, 0.7]), make_decided("ours", [0.6] * 3)
    text = tables.difference_table([base, ours], base)
    header, own = text.splitlines()
    assert header.startswith("minus base")
    names = ["fine mAP", "fine UAR", "fine parent error", "coarse mAP", "coarse UAR"]
    assert [header.index(name) for name in names] == sorted(
        header.index(name) for name in names
    )
    found = compare.paired_differences(ours, base)
    assert found["fine"]["parent_error"]["mean"] == pytest.approx(0.0)
    assert own.split()[0] == "ours"
    assert "f1" in tables.difference_table(
        [make_summary("base", [0.5]), make_summary("ours", [0.6])],
        make_summary("base", [0.5]),
    )
    late = make_decided("late", [0.5])
    late["runs"][0]["seed"] = 9
    assert "late" not in tables.difference_table([base, late], base)


def test_conditions_and_live_weights_are_told(capsys):
    one = with_conditions([0.5, 0.7])
    two = make_decided("other", [0.5, 0.6])
    one["test_live"] = one["test"]
    for run in one["runs"]:
        run["test_live"] = run["test"]
    tables.show([one])
    text = capsys.readouterr().out
    assert tables.PARTS["test_live"] in text
    assert "20 dB" in text
    # Only what all of them have stands side by side.
    tables.show([one, two])
    text = capsys.readouterr().out
    assert tables.PARTS["test_live"] not in text
    assert "20 dB" not in text
