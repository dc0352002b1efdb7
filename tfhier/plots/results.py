"""Plots of results: methods side by side, learning curves, bars of labels."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfhier.plots import style

METRIC_NAMES = {
    "roc_auc": "ROC-AUC",
    "mAP": "mAP",
    "f1": "F1",
    "uar": "UAR",
    "accuracy": "accuracy",
    "parent_error": "parent error",
}

# Fewer runs have no quartiles worth a box.
_MIN_BOX = 4


def box_plots(
    groups: Mapping[str, Mapping[str, Sequence[float | None]]],
    *,
    level: str,
    metrics: Sequence[str] = ("roc_auc", "mAP", "f1"),
    reference: str | None = None,
) -> Figure:
    """Draw the spread over runs: a panel a metric, a box a method (as Fig. 3 of Zhong).

    Boxes hold the middle half of the runs and whiskers all of them; with fewer than
    four runs there is no box. Every run is a dot, from the first (top) to the last.

    Args:
        groups: Dict of method -> metric -> one value a run, in [0, 1].
        level: str. Name of the level, for the axes.
        metrics: Names of the metrics.
        reference: Method whose median is drawn as a dashed line through its panel.

    Returns:
        Figure.
    """
    figure = style.new(1.2 + 0.42 * len(groups))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        style.plain(panel)
        for row, (name, values) in enumerate(groups.items()):
            percents = _defined(values[metric])
            if percents.size:
                _box(panel, percents, row)
            if percents.size and name == reference:
                look = {
                    "color": style.INK,
                    "linewidth": 1,
                    "linestyle": "--",
                    "zorder": 1,
                }
                panel.axvline(np.median(percents), gid="reference", **look)
        panel.set_xlabel(
            f"{level} {METRIC_NAMES.get(metric, metric)} (%)", size=style.SIZE
        )
        panel.margins(x=0.12)
        panel.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    panels[0].set_yticks(range(len(groups)), list(groups), size=style.SIZE)
    panels[0].set_ylim(len(groups) - 0.4, -0.6)
    return figure


def _box(axes: Axes, percents: np.ndarray, row: int) -> None:
    """Draw box, median and runs of one method."""
    if len(percents) >= _MIN_BOX:
        axes.boxplot(
            percents,
            positions=[row],
            orientation="horizontal",
            widths=0.55,
            whis=(0, 100),
            showcaps=False,
            manage_ticks=False,
            boxprops={"color": style.GREY},
            whiskerprops={"color": style.GREY},
            medianprops={"alpha": 0},  # drawn below, for any number of runs
        )
    median = [np.median(percents)] * 2
    axes.plot(
        median,
        [row - 0.3, row + 0.3],
        color=style.ORANGE,
        linewidth=2.5,
        gid="median",
    )
    spread = np.linspace(-0.16, 0.16, len(percents)) if len(percents) > 1 else 0
    _dots(axes, percents, row + np.zeros(len(percents)) + spread)


def _dots(axes: Axes, percents: np.ndarray, rows: np.ndarray) -> None:
    look = {
        "color": style.BLUE,
        "markersize": 4,
        "alpha": 0.75,
        "markeredgewidth": 0,
    }
    axes.plot(percents, rows, "o", gid="runs", zorder=4, **look)


def best_epoch(history: Sequence[Mapping[str, float | None]]) -> int:
    """Return the epoch (from 0) that a run kept: the last that was the best so far."""
    return max(number for number, row in enumerate(history) if row["kept"])


def learning_curves(
    histories: Mapping[str, Sequence[Mapping[str, float | None]]],
    *,
    levels: Sequence[str],
) -> Figure:
    """Draw training loss, validation loss and validation mAP over epochs.

    A thin line a run; a dot on it marks the epoch that was kept. Where labels exclude
    each other the validation UAR stands in the mAP's place. Runs without validation
    clips have the training loss alone.

    Args:
        histories: Dict of run -> rows with `epoch` (from 0), `loss`, `kept` (0 or 1)
            and, where clips were held out, `val_{level}_loss` and `val_{level}_mAP` or
            `val_{level}_uar`, as in `history.csv`.
        levels: Names of the levels, finest first.

    Returns:
        Figure with three panels, or one; epochs count from 1.
    """
    first = next(iter(histories.values()))[0]
    metric = "uar" if f"val_{levels[0]}_uar" in first else "mAP"
    titles = ["training loss"]
    if f"val_{levels[0]}_loss" in first:
        titles += ["validation loss", f"validation {METRIC_NAMES[metric]} (%)"]
    figure = style.new(3.0)
    panels = figure.subplots(1, len(titles), squeeze=False)[0]
    for panel, title in zip(panels, titles, strict=True):
        style.plain(panel, grid="y")
        panel.set_title(title, size=style.SIZE, loc="left")
        panel.set_xlabel("epoch", size=style.SIZE)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    for number, history in enumerate(histories.values()):
        epochs = [int(row["epoch"]) + 1 for row in history]
        best = best_epoch(history)
        lines = [(panels[0], "loss", style.GREY, None, 1)]
        for position, level in enumerate(levels if len(titles) > 1 else ()):
            colour = style.COLOURS[position % len(style.COLOURS)]
            name = level if number == 0 else None
            lines.append((panels[1], f"val_{level}_loss", colour, name, 1))
            lines.append((panels[2], f"val_{level}_{metric}", colour, name, 100))
        for panel, key, colour, name, scale in lines:
            values = scale * _numbers(row[key] for row in history)
            look = {"color": colour, "linewidth": 1.2, "alpha": 0.8}
            panel.plot(epochs, values, label=name, gid=key, **look)
            panel.plot(
                epochs[best], values[best], "o", color=colour, markersize=5, gid="best"
            )
    if len(titles) > 1:
        panels[1].legend(fontsize=style.SIZE - 1, frameon=False)
    return figure


def per_label_bars(
    runs: Sequence[Mapping[str, Mapping[str, float | None]]],
    *,
    level: str,
    yardstick: float | None = None,
    yardstick_name: str = "yardstick",
) -> Figure:
    """Draw the average precision of every label, with the number of labelled clips.

    Args:
        runs: One `per_label` of `metrics.evaluate` a run, with equal labels.
        level: str. Name of the level, for the axis.
        yardstick: float in [0, 1]. The yardstick's mAP, drawn as a dashed line.
        yardstick_name: str. What it is called.

    Returns:
        Figure: bars are means over runs, dots the runs, small lines the share of
        positives (what guessing gives), numbers at the right the observed positives and
        negatives. A label without a defined value is called so.
    """
    labels = list(runs[0])
    figure = style.new(1.2 + 0.24 * len(labels))
    axes = figure.subplots()
    style.plain(axes)
    for row, label in enumerate(labels):
        _bar(axes, [run[label] for run in runs], row)
    small = {"size": style.SIZE - 1, "color": style.GREY, "va": "center"}
    axes.text(101.5, -1.1, "positive + negative", **small)
    if yardstick is not None and not np.isnan(yardstick):
        name = f"{yardstick_name}, mAP {100 * yardstick:.1f} %"
        look = {"color": style.ORANGE, "linewidth": 1.8, "linestyle": "--"}
        axes.axvline(100 * yardstick, gid="reference", label=name, **look)
    axes.plot([], [], color=style.INK, label="share of positives (guessing)")
    axes.plot([], [], "o", color=style.BLUE, markersize=4, label="a run")
    axes.set_yticks(
        range(len(labels)), [style.spaced(label) for label in labels], size=style.SIZE
    )
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    words = "labels" if level == "label" else f"{level} labels"
    axes.set_xlabel(f"average precision (%), {words}", size=style.SIZE)
    figure.legend(
        loc="outside lower center", ncols=3, fontsize=style.SIZE - 1, frameon=False
    )
    return figure


def _bar(axes: Axes, own: Sequence[Mapping[str, float | None]], row: int) -> None:
    """Draw one label: its mean, its runs, what guessing gives, and its counts."""
    percents = _defined(values["average_precision"] for values in own)
    if percents.size:
        axes.barh(row, percents.mean(), height=0.66, color="#9ecae1")
        _dots(axes, percents, np.full(len(percents), row))
    else:
        axes.text(1, row, "undefined", va="center", size=style.SIZE, color=style.GREY)
    counts = [[run["num_positive"], run["num_negative"]] for run in own]
    positive, negative = np.mean(counts, axis=0)
    if positive:
        guess = [100 * positive / (positive + negative)] * 2
        axes.plot(guess, [row - 0.4, row + 0.4], color=style.INK, gid="guess")
    small = {"size": style.SIZE - 1, "color": style.GREY, "va": "center"}
    axes.text(101.5, row, f"{positive:.0f} + {negative:.0f}", **small)


def _numbers(values) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], np.float64)


def _defined(values) -> np.ndarray:
    """Shares as percents, undefined ones left out."""
    numbers = 100 * _numbers(values)
    return numbers[~np.isnan(numbers)]
