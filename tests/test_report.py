"""Report pages: right figures, loud banners, escaped text, nothing from outside."""

import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tfhier import compare
from tfhier.data.bundle import Bundle
from tfhier.data.clips import Clips
from tfhier.data.pipeline import Features
from tfhier.files import read_json, write_json, write_text
from tfhier.report import comparison
from tfhier.report import experiment as report
from tfhier.taxonomy import Taxonomy

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
        "paper": {"fine": {"roc_auc": 91.7, "mAP": 85.6, "f1": 83.3}},
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
    assert "1 of 8 settings differ" in text


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
            "comparable with the paper's figures",
        ),
        (
            "other",
            "my clips",
            "Trained and tested on 'my clips', a data set in OpenMIC-2018's layout: "
            "not comparable with the paper's figures",
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
