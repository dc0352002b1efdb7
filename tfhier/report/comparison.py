"""The page of the experiments of one table: differences, spreads, and their numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfhier import compare, console
from tfhier.files import write_json, write_text
from tfhier.metrics import shown
from tfhier.plots.results import METRIC_NAMES, box_plots
from tfhier.report.page import (
    PARTS,
    Cell,
    columns_of,
    file_name,
    nan_for_none,
    page,
    picture,
    plain,
    reading,
    results,
    section,
    spans,
    table,
    text,
    violations,
)


def write(folder: Path, title: str, summaries: Sequence[dict]) -> Path:
    """Write the page of the experiments of one table, and `comparison.json`.

    Args:
        folder: Path of the folder to write to.
        title: str. Of the table.
        summaries: The experiments' summaries, all on one data set.

    Returns:
        Path of the page, `report.html`.
    """
    numbers = numbers_of(title, summaries)
    write_json(folder / "comparison.json", numbers)
    sections = [section("Results", *results(summaries))]
    if numbers["differences"]:
        sections.append(section("Differences", *_differences(numbers)))
    sections += [
        section("Spread over runs", *_spread(folder, summaries)),
        section("How to read this", *map(text, reading(summaries))),
        section("What was run", *_listed(summaries)),
    ]
    path = folder / "report.html"
    subtitle = f"{len(summaries)} experiments on {summaries[0]['data']['name']}"
    write_text(path, page(title, subtitle, summaries, sections))
    return path


def numbers_of(title: str, summaries: Sequence[dict]) -> dict:
    """Return the numbers of a comparison, as written to `comparison.json`.

    Args:
        title: str. Of the table.
        summaries: The experiments' summaries.

    Returns:
        Dict of `title`, `data`, `baseline` (None if it is not among them), `interval`
        (what the intervals cover), `yardsticks`, `experiments` (name -> its figures and
        the paper's) and `differences` (part -> name -> `compare.paired_differences`).
    """
    by_name = {summary["experiment"]: nan_for_none(summary) for summary in summaries}
    reference = by_name.get(summaries[0]["baseline"])
    others = {
        name: summary
        for name, summary in by_name.items()
        if reference is not None and name != reference["experiment"]
    }
    kept = ("row", "paper", "test", "test_truth", "test_live", "conditions")
    return {
        "title": title,
        "data": summaries[0]["data"],
        "baseline": None if reference is None else reference["experiment"],
        "interval": interval_meaning(summaries[0]["num_folds"]),
        "yardsticks": summaries[0]["yardsticks"],
        "experiments": {
            name: {
                **{key: summary[key] for key in kept if key in summary},
                "violation_rate": violations(summary),
                "runs": [run["folder"] for run in summary["runs"]],
            }
            for name, summary in by_name.items()
        },
        "differences": {
            part: {
                name: compare.paired_differences(summary, reference, part=part)
                for name, summary in others.items()
            }
            for part in PARTS
            if others and all(part in summary for summary in summaries)
        },
    }


def interval_meaning(num_folds: int) -> str:
    """Return what the 95 % intervals of paired differences cover, as a sentence."""
    if num_folds:
        return (
            "95 % t intervals of the mean difference over equal seeds and folds, wider "
            "than usual because folds share training clips (Nadeau and Bengio, 2003): "
            "what other clips and seeds of this kind may give."
        )
    return (
        "95 % t intervals of the mean difference over equal seeds, all on one split: "
        "what other seeds may give on these very test clips. They say nothing about "
        "other clips."
    )


def _differences(numbers: dict) -> list[str]:
    """Paired differences to the baseline in points, a table a part."""
    pieces = [text(f"In points, minus {numbers['baseline']}. {numbers['interval']}")]
    for part, by_name in numbers["differences"].items():
        columns = columns_of(numbers["experiments"][numbers["baseline"]][part])
        rows = []
        for name, found in by_name.items():
            figures = [found[level][metric] for level, metric in columns if found]
            cells = [_difference(figure) for figure in figures]
            pairs = str(figures[0]["num_pairs"]) if figures else "no run in common"
            rows.append([name, pairs, *(cells or [""] * len(columns))])
        metrics = [METRIC_NAMES[metric] for _, metric in columns]
        above = [("", 2), *spans(columns)]
        pieces.append(text(PARTS[part], "h3"))
        pieces.append(table(["experiment", "pairs", *metrics], rows, above=above))
    return pieces


def _difference(figure: dict) -> Cell:
    if np.isnan(figure["mean"]):
        return "undefined"
    mean, _, interval = console.interval(figure).partition(" ")
    return (mean, interval) if interval else mean


def _spread(folder: Path, summaries: Sequence[dict]) -> list[str]:
    """Box plots of the runs, a figure a level."""
    rows = [summary["row"] for summary in summaries]
    # The paper's words for a method, where they tell the experiments apart.
    key = "row" if len(set(rows)) == len(rows) and "" not in rows else "experiment"
    baseline = summaries[0]["baseline"]
    reference = [s[key] for s in summaries if s["experiment"] == baseline]
    pieces = [
        text(
            "A dot is a run, an orange line the median of the runs, a dashed line the "
            "baseline's median. Boxes hold the middle half; fewer than four runs have "
            "none. Against the observed labels."
        )
    ]
    for level, figures in summaries[0]["test"].items():
        metrics = shown(figures)
        groups = {
            summary[key]: {
                metric: [run["test"][level][metric] for run in summary["runs"]]
                for metric in metrics
            }
            for summary in summaries
        }
        figure = box_plots(
            groups, level=level, metrics=metrics, reference=(reference or [None])[0]
        )
        path = folder / "plots" / f"runs_{file_name(level)}.png"
        pieces.append(picture(figure, path))
    return pieces


def _listed(summaries: Sequence[dict]) -> list[str]:
    """The experiments of a comparison: chosen setting, runs, date and command."""
    rows = []
    for summary in summaries:
        chosen = ", ".join(f"{k} = {plain(v)}" for k, v in summary["chosen"].items())
        runs = ", ".join(run["folder"] for run in summary["runs"])
        rows.append(
            [
                summary["experiment"],
                chosen or "nothing to choose",
                runs,
                summary["profile"],
                summary["machine"]["date"],
                summary["command"],
            ]
        )
    header = [
        "experiment",
        "chosen by validation",
        "runs",
        "profile",
        "date",
        "command",
    ]
    return [table(header, rows, kind="text")]
