"""Sections on decisions: confusions, conditions of the test clips, embeddings."""

import csv
from pathlib import Path

import numpy as np

from tfhier import explain, metrics
from tfhier.data.bundle import Bundle
from tfhier.plots import decisions as plots
from tfhier.report.page import file_name, percent, picture, table, text

# More labels make neither a legible table of conditions nor a curve for each.
_MAX_CURVES = 6
_MAX_ERRORS = 10
# Labels on a plane of embeddings: with more, nobody tells their colours apart.
_MOST_COLOURS = 20


def confusions(folder: Path, summary: dict) -> list[str]:
    """Confusions of the best run on every level whose labels exclude each other."""
    best = _best(summary)
    pieces = []
    for level, found in best["test"].items():
        if "confusion" not in found:
            continue
        figure = plots.confusion_matrix(
            np.array(found["confusion"]), list(found["per_label"])
        )
        path = folder / "plots" / f"confusion_{file_name(level)}.png"
        pieces += [text(f"Level {level}", "h3"), picture(figure, path)]
    if not pieces:
        return []
    note = (
        f"Of the best run, {best['folder']}: which labels (rows) were taken for which "
        f"(columns), on the test clips. All of them: {best['folder']}/test_clips.csv."
    )
    pieces.insert(0, text(note))
    finest = next(iter(best["test"].values()))
    if "confusion" in finest:
        pieces += _surest_errors(folder / best["folder"])
    return pieces


def _surest_errors(folder: Path) -> list[str]:
    """The errors that a run was surest of, to be listened to."""
    path = folder / "test_clips.csv"
    if not path.is_file():
        return []  # evaluated before there was such a table
    with open(path, encoding="utf-8", newline="") as lines:
        wrong = [
            (float(row[f"score_{row['decided']}"]), row)
            for row in csv.DictReader(lines)
            # A label that was not observed has a question mark.
            if row["decided"] not in row["truth"].replace("?", "").split("|")
        ]
    wrong.sort(key=lambda pair: -pair[0])
    rows = [
        [row["key"], row["truth"], row["decided"], percent(score)]
        for score, row in wrong[:_MAX_ERRORS]
    ]
    if not rows:
        return []
    head = text(f"Surest errors, {len(rows)} of {len(wrong)}", "h3")
    return [head, table(["clip", "is", "taken for", "score (%)"], rows, kind="text")]


def conditions(folder: Path, summary: dict, bundle: Bundle) -> list[str]:
    """Figures and precision-recall curves for each condition of the test clips."""
    if "conditions" not in summary:
        return []
    level = bundle.taxonomy.fine
    labels = bundle.taxonomy.labels_of(level)
    runs = summary["runs"]
    names = list(summary["conditions"])
    rows = [
        [label, *(_mean_precision(runs, name, level, label) for name in names)]
        for label in labels
    ]
    pieces = [
        text(
            "The test clips, broken down. Average precision (%) of each label, mean "
            f"over {len(runs)} runs."
        ),
        table([level, *names], rows),
    ]
    if len(labels) > _MAX_CURVES:
        return pieces
    pieces.append(
        text(
            f"Precision and recall of the best run, {summary['best_run']}, over all "
            "thresholds. Thin lines: what guessing gives."
        )
    )
    clips = explain.test_rows(folder, bundle)
    with np.load(
        folder / summary["best_run"] / "scores.npz", allow_pickle=False
    ) as saved:
        scores = saved[f"scores_{level}"]
    targets, observed = (table[clips] for table in bundle.labellings[level])
    told = bundle.clips.conditions[clips]
    for number, label in enumerate(labels):
        curves = {}
        for name in names:
            seen = (told == name) & observed[:, number]
            curves[name] = scores[seen, number], targets[seen, number] > 0
        figure = plots.precision_recall(curves, label=label)
        path = folder / "plots" / f"precision_recall_{file_name(label)}.png"
        pieces.append(picture(figure, path))
    return pieces


def embeddings(folder: Path, summary: dict, bundle: Bundle) -> list[str]:
    """The best run's embeddings of test clips on a plane, for single labels."""
    exclusive = [name for name, found in summary["test"].items() if "uar" in found]
    if not exclusive:
        return []
    sizes = bundle.taxonomy.sizes
    legible = [name for name in exclusive if sizes[name] <= _MOST_COLOURS]
    level = (legible or exclusive)[0]
    rows, places = explain.embedding_plane(folder, bundle)
    targets, observed = (table[rows] for table in bundle.labellings[level])
    drawn = metrics.has_one_label(targets, observed)
    figure = plots.embedding_map(
        places[drawn], targets[drawn], bundle.taxonomy.labels_of(level)
    )
    note = (
        f"What the classifier of the best run, {summary['best_run']}, sees of "
        f"{drawn.sum()} test clips, laid on a plane by t-SNE: near dots are alike, "
        "distances between groups mean nothing."
        + f" Colours are those of the level '{level}'."
        * (len(exclusive) > 1)
    )
    return [text(note), picture(figure, folder / "plots" / "embeddings.png")]


def _best(summary: dict) -> dict:
    return next(r for r in summary["runs"] if r["folder"] == summary["best_run"])


def _mean_precision(runs: list[dict], name: str, level: str, label: str) -> str:
    """Mean average precision over the runs that define it, in percent."""
    found = [
        run["conditions"][name][level]["per_label"][label]["average_precision"]
        for run in runs
    ]
    known = [value for value in found if value is not None and not np.isnan(value)]
    return percent(float(np.mean(known)) if known else None)
