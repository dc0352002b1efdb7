"""Report pages: right figures, loud banners, escaped text, nothing from outside."""

import dataclasses
import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tests import tiny
from tfhier import compare
from tfhier.data.bundle import Bundle
from tfhier.data.clips import Clips
from tfhier.data.pipeline import Features
from tfhier.files import read_json, write_json, write_text
from tfhier.plots import style
from tfhier.report import comparison, decisions, page
from tfhier.report import experiment as report
from tfhier.taxonomy import Taxonomy
from tfhier.train import sweep
from tfhier.train.job import Job

TAXONOMY = Taxonomy.parse("fine,coarse\na,p\nb,p\nc,q\n", source="a test")
HOSTILE = '<script>alert("1 & 2")</script>'


def level_metrics(labels, value, undefined=()):
    per_label = {
        label: {
            "average_precision": None if label in undefined else value,
            "roc_auc": None if label in undefined else value,
            "f1": None if label in undefined else value,
            "threshold": 0.25,
            "num_positive": 0 if label in undefined else 7,
            "num_negative": 9,
        }
        for label in labels
    }
    figures = {"roc_auc": value, "mAP": value - 0.01, "f1": value - 0.02}
    counts = {"loss": 0.5, "num_clips": 16, "num_observed": 48}
    counts["num_undefined"] = len(undefined)
    return {**figures, **counts, "per_label": per_label}


def make_run(seed, value, undefined=()):
    levels = {
        level: level_metrics(TAXONOMY.labels_of(level), value + 0.1 * depth, undefined)
        for depth, level in enumerate(TAXONOMY.levels)
    }
    return {
        "seed": seed,
        "fold": 0,
        "folder": f"seed{seed}",
        "validation": levels,
        "test": levels,
        "test_truth": levels,
        "violation_rate": 0.125,
    }


def make_summary(name, values, *, kind="published", undefined=(), **more):
    runs = [make_run(seed, value, undefined) for seed, value in enumerate(values)]
    one = compare.aggregate(runs[:1], "test")
    return {
        "experiment": name,
        "row": f"Method {name}",
        "table": "A table",
        "baseline": "base",
        "command": "python experiments/run.py --exp x",
        "profile": "small",
        "settings": {
            "dataset": "openmic",
            "head": "flat",
            "epochs": 20,
            "fine_weight": 0.8,
            "num_folds": 0,
            "selection": "validation",
            "validation_fraction": 0.15,
            "features": "",
            "clip_seconds": 5.0,
        },
        "num_folds": 0,
        "paper_settings": {
            "dataset": "openmic",
            "head": "flat",
            "epochs": 30,
            "fine_weight": 0.8,
            "num_folds": 0,
            "selection": "validation",
            "validation_fraction": 0.15,
            "features": "",
            "clip_seconds": 5.0,
            "grid": {},
        },
        "data": {
            "name": "OpenMIC-2018",
            "kind": kind,
            "num_clips": 20,
            "num_train": 12,
            "num_test": 8,
            "observed_per_clip": 1.9,
            "positive_share": 0.4,
            "wrong_negatives": {"fine": 0.0, "coarse": 0.5183},
            "notes": ["3 clips are longer than 10 s: their rest is not heard"],
        },
        "machine": {
            "date": "2026-01-02",
            "processor": "x86_64",
            "num_cores": 2,
            "gpus": 0,
            "python": "3.11",
            "tensorflow": "2.21",
            "keras": "3.15",
            "tfhier": "0.1",
        },
        "choice": [{"setting": {}, "validation_fine_loss": 0.5}],
        "chosen": {},
        "best_run": "seed0",
        "runs": runs,
        "paper": {"test": {"fine": {"roc_auc": 91.7, "mAP": 85.6, "f1": 83.3}}},
        "yardsticks": {"logistic regression": {"test": one, "test_truth": one}},
        "test": compare.aggregate(runs, "test"),
        "test_truth": compare.aggregate(runs, "test_truth"),
        **more,
    }


def make_bundle():
    blank = np.zeros((4, 3), bool)
    clips = Clips(
        name="OpenMIC-2018",
        kind="published",
        labels=TAXONOMY.labels[0],
        keys=np.array(["k0", "k1", "k2", "k3"]),
        targets=blank.astype(np.float32),
        observed=blank,
        parts=np.array(["train", "train", "test", "test"]),
    )
    return Bundle(
        clips=clips,
        taxonomy=TAXONOMY,
        labellings=TAXONOMY.lift(clips.targets, clips.observed),
        truth=None,
        source=Features(np.zeros((4, 2), np.float32)),
        clip_samples=0,
        usable=np.ones(4, bool),
        notes=(),
    )


HISTORY = """epoch,loss,kept,val_fine_loss,val_fine_mAP,val_coarse_loss,val_coarse_mAP
0,0.9,1,0.7,0.4,0.6,0.5
1,0.8,1,0.5,0.5,0.5,0.6
2,0.7,0,0.6,nan,0.5,0.6
"""


def written(folder, summary):
    """Write an experiment's page; return its HTML."""
    write_json(folder / "metrics.json", summary)
    for run in summary["runs"]:
        write_text(folder / run["folder"] / "history.csv", HISTORY)
    path = report.write(folder, make_bundle())
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags with attributes, and the rows of all tables as lists of text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "small":
            self.rows[-1][-1] += "|"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def test_the_results_are_mean_and_spread_beside_the_papers_figures(tmp_path):
    rows = Page(written(tmp_path, make_summary("base", [0.5, 0.6]))).rows
    own = [row for row in rows if row[0] == "Method base|base"]
    assert own[0] == [
        "Method base|base",
        *("55.0 ± 7.1|paper 91.7", "54.0 ± 7.1|paper 85.6", "53.0 ± 7.1|paper 83.3"),
        *("65.0 ± 7.1", "64.0 ± 7.1", "63.0 ± 7.1"),
    ]
    # The paper knows no full truth: its figures stand at the observed labels alone.
    assert own[1][1] == "55.0 ± 7.1"
    (_, *yardstick), *_ = [row for row in rows if row[0].startswith("yardstick")]
    assert yardstick == ["50.0", "49.0", "48.0", "60.0", "59.0", "58.0"]
    assert ["base", "12.5"] in rows


def test_the_runs_have_their_best_epoch_and_the_best_run_is_marked(tmp_path):
    text = written(tmp_path, make_summary("base", [0.5, 0.6], best_run="seed1"))
    rows = [row for row in Page(text).rows if row[0] in ("seed0", "seed1")]
    assert rows[0][:5] == ["seed0", "0", "2 of 3", "0.5000", "50.0"]
    assert '<tr class="marked"><td>seed1</td>' in text
    assert '<tr class="marked"><td>seed0</td>' not in text


def test_settings_that_differ_from_the_papers_are_marked(tmp_path):
    text = written(tmp_path, make_summary("base", [0.5]))
    assert '<tr class="marked"><td>epochs</td><td>20</td><td>30</td></tr>' in text
    assert "<tr><td>head</td><td>flat</td><td>flat</td></tr>" in text
    assert "1 of 9 settings differ" in text


def test_a_grid_shows_what_was_tried_and_what_was_chosen(tmp_path):
    grid = [0.7, 0.8]
    choice = [
        {"setting": {"fine_weight": weight}, "validation_fine_loss": loss}
        for weight, loss in zip(grid, (None, 0.4), strict=True)
    ]
    summary = make_summary("base", [0.5], choice=choice, chosen={"fine_weight": 0.8})
    summary["paper_settings"]["grid"] = {"fine_weight": [*grid, 0.9]}
    text = written(tmp_path, summary)
    assert ["0.7", "undefined"] in Page(text).rows
    assert '<tr class="marked"><td>0.8</td><td>0.4000</td></tr>' in text
    assert '<tr class="marked"><td>fine_weight</td><td>0.8 (chosen from 0.7, ' in text
    summary["paper_settings"]["grid"] = {"fine_weight": grid}
    assert "<tr><td>fine_weight</td>" in written(tmp_path, summary)


def test_undefined_labels_are_called_so_and_counted(tmp_path):
    text = written(tmp_path, make_summary("base", [0.5, 0.6], undefined=("b",)))
    rows = Page(text).rows
    assert ["a", "55.0", "55.0", "55.0", "25.0", "7", "9"] in rows
    assert ["b", *["undefined"] * 3, "25.0", "0", "9"] in rows
    assert "Labels without a defined AP or ROC-AUC: 1 of 3." in text


def test_undefined_macro_figures_are_called_so(tmp_path):
    summary = make_summary("base", [0.5])
    summary["test"]["fine"]["mAP"] = {"mean": None, "std": None}
    rows = Page(written(tmp_path, summary)).rows
    own = next(row for row in rows if row[0] == "Method base|base")
    assert own[1:3] == ["50.0|paper 91.7", "undefined|paper 85.6"]


@pytest.mark.parametrize(
    ("kind", "name", "banner"),
    [
        (
            "embedded",
            "embedded orchestra",
            "Trained and tested on the embedded orchestra, SYNTHETIC clips: not "
            "comparable with published figures",
        ),
        (
            "other",
            "my clips",
            "Trained and tested on 'my clips', a data set in OpenMIC-2018's layout: "
            "not comparable with published figures",
        ),
        ("published", "OpenMIC-2018", None),
    ],
)
def test_stand_ins_are_said_loudly(tmp_path, kind, name, banner):
    summary = make_summary("base", [0.5], kind=kind)
    summary["data"]["name"] = name
    alone = written(tmp_path / "one", summary)
    path = comparison.write(tmp_path / "table", "A table", [summary])
    for text in (alone, path.read_text(encoding="utf-8")):
        assert ('class="banner"' in text) == (banner is not None)
        assert banner is None or banner in html.unescape(text)
    assert f"base on {name}" in html.unescape(alone)


def test_hostile_names_stay_text(tmp_path):
    summary = make_summary("base", [0.5, 0.6], row=HOSTILE, command=HOSTILE)
    summary["experiment"] = summary["data"]["name"] = summary["table"] = HOSTILE
    summary["data"].update(kind="other", notes=[HOSTILE])
    other = make_summary("base", [0.5])
    other["runs"][0]["folder"] = HOSTILE
    alone = written(tmp_path / "one", summary)
    path = comparison.write(tmp_path / "table", HOSTILE, [summary, other])
    for text in (alone, path.read_text(encoding="utf-8")):
        assert "<script" not in text
        assert html.escape(HOSTILE) in text
        assert "script" not in {tag for tag, _ in Page(text).tags}


def test_pages_are_whole_and_ask_for_nothing_outside(tmp_path):
    alone = written(tmp_path / "one", make_summary("base", [0.5, 0.6]))
    summaries = [make_summary("base", [0.5]), make_summary("ours", [0.6])]
    path = comparison.write(tmp_path / "table", "A table", summaries)
    for text in (alone, path.read_text(encoding="utf-8")):
        page = Page(text)
        assert not page.open  # every tag is closed
        assert not re.search(r"https?:|url\(|@import|<link|<script", text)
        images = [attributes for tag, attributes in page.tags if tag == "img"]
        assert images
        assert all(i["src"].startswith("data:image/png;base64,") for i in images)
        assert all(i["alt"] for i in images)


def test_plots_also_lie_beside_the_page(tmp_path):
    written(tmp_path, make_summary("base", [0.5]))
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "learning_curves.png",
        "labels_fine.png",
        "labels_coarse.png",
    }
    assert not list(tmp_path.glob(".*"))  # no temporary file is left


def test_the_page_is_the_same_when_written_again(tmp_path):
    summary = make_summary("base", [0.5, 0.6])
    assert written(tmp_path, summary) == written(tmp_path, summary)


def test_a_removed_history_leaves_its_section_out(tmp_path):
    summary = make_summary("base", [0.5])
    written(tmp_path, summary)
    (tmp_path / "seed0" / "history.csv").unlink()
    text = report.write(tmp_path, make_bundle()).read_text(encoding="utf-8")
    assert "Learning curves" not in text
    assert next(row for row in Page(text).rows if row[0] == "seed0")[2] == "-"


def test_comparison_numbers_are_those_of_compare(tmp_path):
    base = make_summary("base", [0.5, 0.6, 0.55])
    ours = make_summary("ours", [0.6, 0.65, 0.7])
    path = comparison.write(tmp_path, "A table", [base, ours])
    numbers = read_json(tmp_path / "comparison.json")
    assert numbers["baseline"] == "base"
    assert numbers["experiments"]["ours"]["test"] == ours["test"]
    assert numbers["experiments"]["ours"]["violation_rate"] == 0.125
    for part in ("test", "test_truth"):
        expected = compare.paired_differences(ours, base, part=part)
        assert numbers["differences"][part] == {
            "ours": json.loads(json.dumps(expected))
        }
    # Differences of 10, 5 and 15 points: 10 +- t(0.975, 2) * 5 / sqrt(3).
    own = next(row for row in Page(path.read_text()).rows if row[:2] == ["ours", "3"])
    assert own[2:] == ["+10.0|[-2.4, +22.4]"] * 6
    assert "nothing about other clips" in path.read_text(encoding="utf-8")


def test_one_pair_has_no_interval_and_no_pair_no_difference(tmp_path):
    base = make_summary("base", [0.5])
    ours, late = make_summary("ours", [0.6]), make_summary("late", [0.6])
    late["runs"][0]["seed"] = 7
    path = comparison.write(tmp_path, "A table", [base, ours, late])
    rows = Page(path.read_text(encoding="utf-8")).rows
    assert ["ours", "1", *["+10.0"] * 6] in rows
    assert ["late", "no run in common", *[""] * 6] in rows


def test_undefined_figures_are_compared_as_undefined(tmp_path):
    base, ours = make_summary("base", [0.5, 0.6]), make_summary("ours", [0.6, 0.7])
    for run in ours["runs"]:
        run["test"] = json.loads(json.dumps(run["test"]))
        run["test"]["fine"]["f1"] = None
    path = comparison.write(tmp_path, "A table", [base, ours])
    rows = Page(path.read_text(encoding="utf-8")).rows
    own = next(row for row in rows if row[:2] == ["ours", "2"])
    assert own[4] == "undefined"
    found = read_json(tmp_path / "comparison.json")["differences"]["test"]["ours"]
    assert found["fine"]["f1"]["mean"] is None


def test_without_the_baseline_there_are_no_differences(tmp_path):
    summaries = [make_summary("one", [0.5]), make_summary("two", [0.6])]
    path = comparison.write(tmp_path, "A table", summaries)
    assert "Differences" not in path.read_text(encoding="utf-8")
    numbers = read_json(tmp_path / "comparison.json")
    assert numbers["baseline"] is None and numbers["differences"] == {}


@pytest.mark.parametrize(
    ("num_folds", "words"), [(0, "one split"), (5, "folds share training clips")]
)
def test_the_interval_says_what_it_covers(num_folds, words):
    assert words in comparison.interval_meaning(num_folds)


# -- Labels that exclude each other ----------------------------------------------------


def decided_level(labels, value, *, parents):
    """Figures of a level of which all labels were decided."""
    found = level_metrics(labels, value)
    found |= {"uar": value + 0.02, "accuracy": value + 0.03}
    if parents:
        found["parent_error"] = value - 0.3
    found["confusion"] = [
        [8 if row == column else 1 for column in range(len(labels))]
        for row in range(len(labels))
    ]
    for number, each in enumerate(found["per_label"].values()):
        each["recall"] = value + 0.01 * number
        each["precision"] = value + 0.02 * number
    return found


def make_decided(name, values, **more):
    """A summary like `make_summary`'s of labels that exclude each other."""
    summary = make_summary(name, values, **more)
    for run, value in zip(summary["runs"], values, strict=True):
        for part in ("validation", "test", "test_truth"):
            run[part] = {
                level: decided_level(
                    TAXONOMY.labels_of(level), value + 0.1 * depth, parents=not depth
                )
                for depth, level in enumerate(TAXONOMY.levels)
            }
    one = compare.aggregate(summary["runs"][:1], "test")
    summary |= {
        "test": compare.aggregate(summary["runs"], "test"),
        "test_truth": compare.aggregate(summary["runs"], "test_truth"),
        "yardsticks": {"logistic regression": {"test": one, "test_truth": one}},
        "paper": {"test": {"fine": {"uar": 91.7}}},
    }
    return summary


def test_columns_are_those_of_what_was_computed():
    plain, decided = make_summary("x", [0.5])["test"], make_decided("x", [0.5])["test"]
    macro = ["roc_auc", "mAP", "f1"]
    expected = [(level, m) for level in ("fine", "coarse") for m in macro]
    assert page.columns_of(plain) == expected
    assert page.spans(expected) == [("fine", 3), ("coarse", 3)]
    single = ["mAP", "uar", "accuracy"]
    expected = [("fine", m) for m in (*single, "parent_error")]
    expected += [("coarse", m) for m in single]
    assert page.columns_of(decided) == expected
    assert page.spans(expected) == [("fine", 4), ("coarse", 3)]
    # A level may be decided and the next not.
    mixed = {"fine": plain["fine"], "coarse": decided["coarse"]}
    assert page.spans(page.columns_of(mixed)) == [("fine", 3), ("coarse", 3)]
    assert page.columns_of(mixed)[3:] == [("coarse", m) for m in single]


def test_decisions_are_explained_where_there_are_any():
    plain, decided = make_summary("x", [0.5]), make_decided("x", [0.5])
    fitted = page.THRESHOLDS.format("validation")
    expected = [*page.READING, fitted, *page.UPPER_LEVELS]
    assert page.reading([plain]) == expected
    assert page.reading([decided]) == [*expected, page.DECISIONS]


def test_what_does_not_hold_is_not_explained():
    alone = make_summary("x", [0.5])
    del alone["test"]["coarse"]
    alone["settings"]["selection"] = "last"
    words = page.reading([alone])
    assert words == [*page.READING, page.NO_THRESHOLDS]
    assert "Violation" not in "".join(page.results([alone]))


def test_single_labels_have_uar_and_parent_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "embeddings", lambda *_: [])  # there is no model
    text = written(tmp_path, make_decided("base", [0.5, 0.6]))
    rows = Page(text).rows
    header = next(row for row in rows if row[0] == "%")
    names = ["mAP", "UAR", "accuracy"]
    assert header == ["%", *names, "parent error", *names]
    own = next(row for row in rows if row[0] == "Method base|base")
    assert own[1:] == [
        "54.0 ± 7.1", "57.0 ± 7.1|paper 91.7", "58.0 ± 7.1", "25.0 ± 7.1",
        "64.0 ± 7.1", "67.0 ± 7.1", "68.0 ± 7.1",
    ]  # fmt: skip
    yardstick = next(row for row in rows if row[0].startswith("yardstick"))
    assert len(yardstick) == 8
    run = next(row for row in rows if row[0] == "seed1")
    assert run[4:] == ["59.0", "62.0", "63.0", "30.0", "69.0", "72.0", "73.0"]
    label = next(row for row in rows if row[0] == "b")
    shares = ["55.0", "55.0", "55.0", "25.0", "56.0", "57.0"]
    assert label == ["b", *shares, "7", "9"]
    assert html.escape(page.DECISIONS) in text


def decisions_of(folder, bundle, **fields):
    """Sections on decisions of a summary whose best run is the second."""
    summary = make_decided("base", [0.5, 0.6], best_run="seed1", **fields)
    summary["runs"][1]["test"]["fine"]["confusion"][0][0] = 77
    return summary, decisions.confusions(folder, summary)


def test_confusions_are_the_best_runs_on_every_decided_level(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        decisions.plots,
        "confusion_matrix",
        lambda counts, labels: drawn.append((counts, labels)) or style.new(1.0),
    )
    _, pieces = decisions_of(tmp_path, make_bundle())
    text = "".join(pieces)
    assert "Of the best run, seed1" in text
    assert text.index("Level fine") < text.index("Level coarse")
    (fine, fine_labels), (coarse, coarse_labels) = drawn
    assert fine.tolist() == [[77, 1, 1], [1, 8, 1], [1, 1, 8]]
    assert (fine_labels, coarse_labels) == (["a", "b", "c"], ["p", "q"])
    assert coarse.shape == (2, 2)
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"confusion_fine.png", "confusion_coarse.png"}
    assert decisions.confusions(tmp_path, make_summary("x", [0.5])) == []


def with_conditions(values):
    summary = make_decided("base", values)
    for run, value in zip(summary["runs"], values, strict=True):
        run["conditions"] = {
            name: {
                "fine": decided_level(["a", "b", "c"], value - lower, parents=True),
                "coarse": decided_level(["p", "q"], value - lower, parents=False),
            }
            for name, lower in (("20 dB", 0.0), ("0 dB", 0.25))
        }
    found = [run["conditions"] for run in summary["runs"]]
    summary["conditions"] = {n: compare.aggregate(found, n) for n in found[0]}
    return summary


def test_conditions_are_told_label_by_label(tmp_path):
    summary = with_conditions([0.5, 0.7])
    per_label = summary["runs"][1]["conditions"]["0 dB"]["fine"]["per_label"]
    per_label["b"]["average_precision"] = None
    for run in summary["runs"]:
        own = run["conditions"]["20 dB"]["fine"]["per_label"]["c"]
        own["average_precision"] = None
    bundle = make_bundle()
    told = np.array(["", "", "20 dB", "0 dB"])
    clips = dataclasses.replace(bundle.clips, conditions=told)
    bundle = dataclasses.replace(bundle, clips=clips)
    targets, observed = bundle.labellings["fine"]
    targets[[2, 3]], observed[[2, 3]] = [[1, 0, 0], [0, 1, 0]], True
    (tmp_path / "seed0").mkdir()
    write_json(tmp_path / "metrics.json", summary)
    scores = np.array([[0.9, 0.1, 0.2], [0.3, 0.2, 0.1]])
    np.savez(
        tmp_path / "seed0" / "scores.npz",
        sample_key=bundle.clips.keys[2:],
        scores_fine=scores,
    )
    text = "".join(decisions.conditions(tmp_path, summary, bundle))
    rows = Page(text).rows
    assert rows[0] == ["fine", "20 dB", "0 dB"]
    assert rows[1:] == [
        ["a", "60.0", "35.0"],
        ["b", "60.0", "25.0"],  # of the one run that knows
        ["c", "undefined", "35.0"],
    ]
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {f"precision_recall_{label}.png" for label in "abc"}
    assert decisions.conditions(tmp_path, make_decided("x", [0.5]), bundle) == []


def test_the_surest_errors_are_listed_first(tmp_path):
    lines = ["key,truth,decided,score_a,score_b"]
    lines += [f"right{i},a,a,0.9,0.1" for i in range(3)]
    lines += [f"wrong{i},a,b,0.1,{0.5 + i / 100}" for i in range(12)]
    write_text(tmp_path / "test_clips.csv", "\n".join(lines) + "\n")
    text = "".join(decisions._surest_errors(tmp_path))
    assert "10 of 12" in text and "right" not in text
    places = [text.index(f"wrong{i}<") for i in range(11, 1, -1)]
    assert places == sorted(places)
    assert "61.0" in text and "wrong1<" not in text
    write_text(tmp_path / "test_clips.csv", "\n".join(lines[:4]) + "\n")
    assert decisions._surest_errors(tmp_path) == []


def test_curves_are_of_the_observed_clips_of_each_condition(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        decisions.plots,
        "precision_recall",
        lambda curves, label: drawn.update({label: curves}) or style.new(1.0),
    )
    summary = with_conditions([0.5])
    bundle = make_bundle()
    told = np.array(["0 dB", "20 dB", "20 dB", "0 dB"])
    clips = dataclasses.replace(bundle.clips, conditions=told)
    bundle = dataclasses.replace(bundle, clips=clips)
    targets, observed = bundle.labellings["fine"]
    targets[[1, 2, 3]] = np.eye(3)
    observed[1:] = [[True, True, False]] * 3
    (tmp_path / "seed0").mkdir()
    write_json(tmp_path / "metrics.json", summary)
    scores = np.arange(9).reshape(3, 3) / 10
    np.savez(
        tmp_path / "seed0" / "scores.npz",
        sample_key=bundle.clips.keys[1:],
        scores_fine=scores,
    )
    decisions.conditions(tmp_path, summary, bundle)
    as_lists = {
        label: {name: (s.tolist(), p.tolist()) for name, (s, p) in curves.items()}
        for label, curves in drawn.items()
    }
    assert as_lists == {
        "a": {"20 dB": ([0.0, 0.3], [True, False]), "0 dB": ([0.6], [False])},
        "b": {"20 dB": ([0.1, 0.4], [False, True]), "0 dB": ([0.7], [False])},
        "c": {"20 dB": ([], []), "0 dB": ([], [])},
    }


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The page of a real sweep on the tiny single labels, with its summary."""
    folder = tmp_path_factory.mktemp("real")
    data = folder / "data"
    with tiny.data_set(data, single_label=True, with_audio=False) as single:
        experiment = tiny.on_features(
            single, selection="last", ema_decay=0.5, seeds=(4,), head="levelwise"
        )
        bundle = tiny.bundle(single, experiment)
        told = np.where(np.arange(48) % 2, "10 dB", "0 dB")
        clips = dataclasses.replace(bundle.clips, conditions=told)
        bundle = dataclasses.replace(bundle, clips=clips)
        job = Job(
            name="mine", profile="small", experiment=experiment, paper=experiment,
            bundle=bundle, folder=folder / "mine@tiny", command="a command",
        )  # fmt: skip
        summary = sweep.run(job)
        text = report.write(job.folder, bundle).read_text(encoding="utf-8")
    return job.folder, summary, text


def test_a_real_page_is_whole(real):
    folder, summary, text = real
    found = Page(text)
    assert not found.open
    sections = [html.unescape(t) for t in re.findall("<h2>(.*?)</h2>", text)]
    assert sections == [
        "Results", "How to read this", "What was run", "Settings",
        "How the setting was chosen", "Data", "Learning curves", "Labels",
        "Decisions", "Conditions", "Embeddings", "Runs",
    ]  # fmt: skip
    names = {path.stem for path in (folder / "plots").iterdir()}
    assert names == {
        "learning_curves", "labels_fine", "labels_coarse", "confusion_fine",
        "confusion_coarse", "embeddings",
        *(f"precision_recall_{label}" for label in tiny.LABELS),
    }  # fmt: skip
    assert len([tag for tag, _ in found.tags if tag == "img"]) == len(names)
    assert "12 test clips, laid on a plane by t-SNE" in text


def test_a_real_page_says_what_the_summary_does(real):
    _, summary, text = real
    rows = Page(text).rows

    def shown(part):
        return [
            f"{100 * summary[part][level][metric]['mean']:.1f}"
            for level, metric in page.columns_of(summary[part])
        ]

    own = [row[1:] for row in rows if row[0] == "a row|mine"]
    assert own == [shown("test"), shown("test_truth"), shown("test_live")]
    assert html.escape(page.PARTS["test_live"]) in text
    assert ["seed4", "4", "2 of 2", "none held out", *shown("test")] in rows
    assert "lowest validation loss" not in text.split("<h2>Runs</h2>")[1]
    assert ["training clips", "36 (none held out: the last epoch was kept)"] in rows
    conditions = next(row for row in rows if row[1:] == ["0 dB", "10 dB"])
    assert conditions[0] == "fine"
