"""The page of one experiment: what was run and what came out.

All figures come from `metrics.json` (a *summary*, see `train.sweep`), in percent. What
is undefined, null in JSON, is called so and never counted as 0.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfhier import explain
from tfhier.data.bundle import Bundle
from tfhier.files import read_json, write_text
from tfhier.plots.maps import attention_map, log_mel
from tfhier.plots.results import (
    METRIC_NAMES,
    best_epoch,
    learning_curves,
    per_label_bars,
)
from tfhier.report.decisions import conditions, confusions, embeddings
from tfhier.report.page import (
    columns_of,
    decimals,
    file_name,
    nan_for_none,
    page,
    percent,
    picture,
    plain,
    reading,
    results,
    section,
    spans,
    table,
    text,
)
from tfhier.taxonomy import Taxonomy


def write(folder: Path, bundle: Bundle) -> Path:
    """Write the page of one experiment, `report.html`, and its plots.

    Args:
        folder: Path of the experiment, with `metrics.json` and its runs.
        bundle: Bundle that it was trained on.

    Returns:
        Path of the page.

    Raises:
        InputError: A file of the experiment is missing or does not fit the bundle.
    """
    summary = read_json(folder / "metrics.json")
    histories = _histories(folder, summary)
    name, data = summary["experiment"], summary["data"]["name"]
    sections = [
        section("Results", *results([summary])),
        section("How to read this", *map(text, reading([summary]))),
        section("What was run", *_what_was_run(summary)),
        section("Settings", *_settings(summary)),
        section("How the setting was chosen", *_choice(summary, bundle.taxonomy.fine)),
        section("Data", *_data(summary, bundle)),
        section("Learning curves", *_curves(folder, histories, bundle.taxonomy.levels)),
        section("Labels", *_labels(folder, summary)),
        section("Decisions", *confusions(folder, summary)),
        section("Conditions", *conditions(folder, summary, bundle)),
        section("Embeddings", *embeddings(folder, summary, bundle)),
        section("Attention", *_attention(folder, summary, bundle)),
        section("Runs", *_runs(summary, histories, bundle.taxonomy.fine)),
    ]
    path = folder / "report.html"
    subtitle = f"{summary['row']} · {summary['table']}".strip(" ·")
    write_text(path, page(f"{name} on {data}", subtitle, [summary], sections))
    return path


def _what_was_run(summary: dict) -> list[str]:
    machine = summary["machine"]
    processor = f"{machine['processor']}, {machine['num_cores']} cores"
    gpus = f"{machine['gpus']} GPUs" if machine["gpus"] else "no GPU"
    versions = ", ".join(
        f"{name} {machine[name]}"
        for name in ("tfhier", "tensorflow", "keras", "python")
    )
    rows = [
        ("command", summary["command"]),
        ("date", machine["date"]),
        ("machine", f"{processor}, {gpus}"),
        ("versions", versions),
        ("code of the runs", ", ".join(_codes(summary))),
        ("profile", summary["profile"]),
        *(("not as in the paper", words) for words in summary.get("departures", ())),
    ]
    return [table(["", ""], rows, kind="text")]


def _codes(summary: dict) -> list[str]:
    """Digests of the code that trained the runs; those made before there were any."""
    return sorted({run.get("code") or "not recorded" for run in summary["runs"]})


def _settings(summary: dict) -> list[str]:
    """This experiment's settings beside the paper's, differing ones marked."""
    own, paper = summary["settings"], summary["paper_settings"]
    grid = paper.get("grid", {})
    rows, marked = [], []
    for name, value in own.items():
        tried = [choice["setting"].get(name, value) for choice in summary["choice"]]
        tried = list(dict.fromkeys(map(plain, tried)))
        theirs = list(map(plain, grid.get(name, [paper.get(name)])))
        if tried != theirs:
            marked.append(len(rows))
        mine = plain(value)
        if len(tried) > 1:
            mine += f" (chosen from {', '.join(tried)})"
        source = f"chosen from {', '.join(theirs)}" if len(theirs) > 1 else theirs[0]
        rows.append([name, mine, source])
    original = "paper" if summary["paper"] else "full profile"
    count = (
        f"All settings are the {original}'s."
        if not marked
        else f"{len(marked)} of {len(rows)} settings differ from the {original}'s "
        "(marked)."
    )
    header = ["setting", "this experiment", original]
    if not marked:  # twice the same says nothing
        header, rows = header[:2], [row[:2] for row in rows]
    return [text(count), table(header, rows, kind="text", marked=marked)]


def _choice(summary: dict, fine: str) -> list[str]:
    choice = summary["choice"]
    if len(choice) == 1:
        return [text("There was nothing to choose: one setting was trained.")]
    names = list(choice[0]["setting"])
    key = f"validation_{fine}_loss"
    rows = [
        [*(plain(entry["setting"][name]) for name in names), decimals(entry[key])]
        for entry in choice
    ]
    marked = [
        i for i, entry in enumerate(choice) if entry["setting"] == summary["chosen"]
    ]
    note = (
        f"{len(choice)} settings were trained, each with every seed. The one with the "
        f"lowest mean validation loss of the {fine} labels was chosen (marked); test "
        "clips had no say."
    )
    header = [*names, f"validation loss, {fine}"]
    return [text(note), table(header, rows, marked=marked)]


def _data(summary: dict, bundle: Bundle) -> list[str]:
    data, settings = summary["data"], summary["settings"]
    levels = ", ".join(
        f"{size} {level}" for level, size in bundle.taxonomy.sizes.items()
    )
    rows = [("data set", data["name"]), ("clips", f"{data['num_clips']:,}")]
    if not settings["features"]:
        rows.append(("clip length", f"{settings['clip_seconds']:g} s"))
    if summary["num_folds"]:
        words = f"cross-validation in {summary['num_folds']} folds"
        if summary.get("folds") is not None:
            words += f", of which {', '.join(map(str, summary['folds']))} was run"
        rows.append(("division", words))
    else:
        held = f"{100 * settings['validation_fraction']:.0f} % of them for validation"
        if settings["selection"] == "last":
            held = "none held out: the last epoch was kept"
        elif settings["selection"] == "test":
            held = "none held out: the epoch was chosen ON THE TEST CLIPS"
        elif (bundle.clips.parts == "validation").any():
            held = "validation clips are the data set's own"
        rows.append(("training clips", f"{data['num_train']:,} ({held})"))
        rows.append(("test clips", f"{data['num_test']:,}"))
    observed = f"{data['observed_per_clip']:.2f} of {len(bundle.taxonomy.labels[0])}"
    rows += [("labels", levels), ("observed labels a clip", observed)]
    rows.append(("positive among observed", f"{percent(data['positive_share'])} %"))
    rows += [
        (f"wrong among {level} negatives", f"{percent(share)} %")
        for level, share in data.get("wrong_negatives", {}).items()
    ]
    rows += [("note", note) for note in data["notes"]]
    return [table(["", ""], rows, kind="text")]


def _curves(folder: Path, histories: Mapping[str, list], levels) -> list[str]:
    if not histories:
        return []
    note = "A line a run. The dots mark the epoch that was kept."
    figure = learning_curves(histories, levels=levels)
    return [text(note), picture(figure, folder / "plots" / "learning_curves.png")]


def _labels(folder: Path, summary: dict) -> list[str]:
    """Plot and table of every level's labels, against the observed labels."""
    runs = summary["runs"]
    pieces = []
    for level in runs[0]["test"]:
        per_label = [run["test"][level]["per_label"] for run in runs]
        undefined = max(run["test"][level]["num_undefined"] for run in runs)
        yardstick, best = _better_yardstick(summary, level)
        figure = per_label_bars(
            per_label,
            level=level,
            yardstick=best,
            yardstick_name=yardstick,
        )
        is_decided = "uar" in runs[0]["test"][level]
        columns = ["average_precision", "roc_auc", "f1", "threshold"]
        if is_decided:
            columns += ["recall", "precision"]
        rows = [
            [
                label,
                *(
                    # Absent from runs that were evaluated before there was one.
                    _mean(run[label].get(column) for run in per_label)
                    for column in columns
                ),
                *(
                    f"{np.mean([run[label][count] for run in per_label]):.0f}"
                    for count in ("num_positive", "num_negative")
                ),
            ]
            for label in per_label[0]
        ]
        header = [
            level, "AP (%)", "ROC-AUC (%)", "F1 (%)", "threshold (%)",
            *(["recall (%)", "precision (%)"] if is_decided else []), "positive",
            "negative",
        ]  # fmt: skip
        pieces += [
            text(f"Level {level}", "h3"),
            text(
                ("One run" if len(runs) == 1 else f"Means over {len(runs)} runs")
                + ", on the observed labels of test clips. "
                f"Labels without a defined AP or ROC-AUC: {undefined} of {len(rows)}."
            ),
            picture(figure, folder / "plots" / f"labels_{file_name(level)}.png"),
            table(header, rows),
        ]
    return pieces


def _better_yardstick(summary: dict, level: str) -> tuple[str, float]:
    """Return name and mAP of the yardstick that is harder to pass on a level."""
    found = nan_for_none(summary["yardsticks"])
    figures = {name: each["test"][level]["mAP"]["mean"] for name, each in found.items()}
    return max(figures.items(), key=lambda item: np.nan_to_num(item[1]))


def _attention(folder: Path, summary: dict, bundle: Bundle) -> list[str]:
    """Shares and maps of taggers with residual attention, nothing for others."""
    examples = explain.attention_examples(folder, bundle)
    if not examples:
        return []
    taxonomy = bundle.taxonomy
    shares = explain.group_shares(explain.attention_on_test(folder, bundle), taxonomy)
    prior = summary["settings"].get("attention_prior", 0)  # older runs had none
    known = (
        "The head is not told which labels belong together."
        if not prior
        else f"With attention_prior={prior:g} the head begins at the taxonomy: "
        f"untrained it gives a child e^{prior:g} = {np.exp(prior):.3g} times the "
        "weight of any other label."
    )
    pieces = [
        text(
            f"{known} The table says how "
            "much of each label's attention lies on its own children (mean over all "
            "test clips, best run), beside what evenly spread attention would give."
        )
    ]
    for lower, upper in zip(taxonomy.levels[:-1], taxonomy.levels[1:], strict=True):
        own = zip(shares[upper].items(), taxonomy.groups(lower), strict=True)
        rows = [
            [name, percent(share), percent(len(group) / taxonomy.sizes[lower])]
            for (name, share), group in own
        ]
        header = [upper, "attention on own children (%)", "if even (%)"]
        pieces.append(table(header, rows))
    pieces.append(
        text(
            f"The clips below are {explain.SELECTION_RULE}. The percentage beside a "
            "name is its score. Frames mark a label and "
            "its parent, a tick an observed positive, a cross an observed negative; "
            "labels without either were not observed."
        )
    )
    for number, example in enumerate(examples, start=1):
        pieces += _example(folder / "plots", number, example, taxonomy)
    return pieces


def _example(folder: Path, number: int, example: dict, taxonomy: Taxonomy) -> list[str]:
    pieces = [text(f"Clip {example['key']}", "h3")]
    if "log_mel" in example:
        figure = log_mel(
            example["log_mel"],
            hop_seconds=example["hop_seconds"],
            band_hertz=example["band_hertz"],
        )
        # A spectrogram's pixels hardly compress: no finer than the screen.
        pieces.append(picture(figure, folder / f"log_mel_{number}.png", dpi=100))
    seen = {
        level: (example["targets"][level], example["observed"][level])
        for level in taxonomy.levels
    }
    for lower, upper in zip(taxonomy.levels[:-1], taxonomy.levels[1:], strict=True):
        figure = attention_map(
            example["attention"][upper],
            example["scores"][lower],
            example["scores"][upper],
            fine_labels=taxonomy.labels_of(lower),
            coarse_labels=taxonomy.labels_of(upper),
            fine_labelling=seen[lower],
            coarse_labelling=seen[upper],
            membership=taxonomy.membership(lower, upper),
        )
        path = folder / f"attention_{number}_{file_name(upper)}.png"
        pieces.append(picture(figure, path))
    return pieces


def _runs(summary: dict, histories: Mapping[str, list], fine: str) -> list[str]:
    columns = columns_of(summary["test"])
    rows = []
    for run in summary["runs"]:
        history = histories.get(run["folder"])
        epoch = "-"
        if history:
            epoch = f"{best_epoch(history) + 1} of {len(history)}"
        figures = [percent(run["test"][level][metric]) for level, metric in columns]
        held = run.get("validation")
        loss = decimals(held[fine]["loss"]) if held else "none held out"
        rows.append([run["folder"], str(run["seed"]), epoch, loss, *figures])
    metrics = [METRIC_NAMES[metric] for _, metric in columns]
    header = ["folder", "seed", "best epoch", f"validation loss, {fine}", *metrics]
    above = [("", 4), *((f"test, {level} (%)", n) for level, n in spans(columns))]
    best = [run["folder"] for run in summary["runs"]].index(summary["best_run"])
    note = "Marked: the run with the lowest validation loss."
    if "validation" not in summary["runs"][0]:
        note = "Marked: the first run, which stands for all where one is shown."
    return [text(note), table(header, rows, above=above, marked=[best])]


def _histories(folder: Path, summary: dict) -> dict[str, list[dict]]:
    """Rows of `history.csv` by run; runs whose history was removed are left out."""
    histories = {}
    for run in summary["runs"]:
        path = folder / run["folder"] / "history.csv"
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as lines:
                histories[run["folder"]] = [
                    {key: float(value or "nan") for key, value in row.items()}
                    for row in csv.DictReader(lines)
                ]
    return histories


def _mean(values) -> str:
    """Mean in percent over the runs that define it."""
    known = [value for value in values if value is not None and not np.isnan(value)]
    return percent(float(np.mean(known)) if known else None)
