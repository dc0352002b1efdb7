"""Plots: pure functions from numbers to matplotlib figures.

Conventions:

* Metrics and probabilities come in as shares in [0, 1] and are drawn in percent. None
  and NaN mean undefined: they are left out, or named where a label has nothing else.
* What a line or a dot stands for is also its `gid`: "runs", "median", "reference",
  "best". `tfhier.figures` has the style.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from tfhier import figures
from tfhier.taxonomy import Labelling

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
    figure = figures.new(1.2 + 0.42 * len(groups))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        figures.plain(panel)
        for row, (name, values) in enumerate(groups.items()):
            percents = _defined(values[metric])
            if percents.size:
                _box(panel, percents, row)
            if percents.size and name == reference:
                style = {
                    "color": figures.INK,
                    "linewidth": 1,
                    "linestyle": "--",
                    "zorder": 1,
                }
                panel.axvline(np.median(percents), gid="reference", **style)
        panel.set_xlabel(
            f"{level} {METRIC_NAMES.get(metric, metric)} (%)", size=figures.SIZE
        )
        panel.margins(x=0.12)
        panel.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    panels[0].set_yticks(range(len(groups)), list(groups), size=figures.SIZE)
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
            boxprops={"color": figures.GREY},
            whiskerprops={"color": figures.GREY},
            medianprops={"alpha": 0},  # drawn below, for any number of runs
        )
    median = [np.median(percents)] * 2
    axes.plot(
        median,
        [row - 0.3, row + 0.3],
        color=figures.ORANGE,
        linewidth=2.5,
        gid="median",
    )
    spread = np.linspace(-0.16, 0.16, len(percents)) if len(percents) > 1 else 0
    _dots(axes, percents, row + np.zeros(len(percents)) + spread)


def _dots(axes: Axes, percents: np.ndarray, rows: np.ndarray) -> None:
    style = {
        "color": figures.BLUE,
        "markersize": 4,
        "alpha": 0.75,
        "markeredgewidth": 0,
    }
    axes.plot(percents, rows, "o", gid="runs", zorder=4, **style)


def attention_map(
    attention: np.ndarray,
    fine_scores: np.ndarray,
    coarse_scores: np.ndarray,
    *,
    fine_labels: Sequence[str],
    coarse_labels: Sequence[str],
    fine_labelling: Labelling | None = None,
    coarse_labelling: Labelling | None = None,
    membership: np.ndarray | None = None,
    title: str = "",
) -> Figure:
    """Draw one clip's attention map with its scores (Zhong et al., Fig. 4).

    Args:
        attention: float array (fine, coarse), columns sum to 1.
        fine_scores: float array (fine,) in [0, 1], written at the side.
        coarse_scores: float array (coarse,) in [0, 1], written at the top.
        fine_labels: Names of the rows.
        coarse_labels: Names of the columns.
        fine_labelling: Targets and observed, both (fine,): observed positives get a
            tick, observed negatives a cross, unobserved labels nothing.
        coarse_labelling: The same for the columns.
        membership: bool array (fine, coarse). Cells to frame: labels and their parents.
        title: str.

    Returns:
        Figure.
    """
    figure = figures.new(1.5 + 0.24 * len(fine_labels))
    axes = figure.subplots()
    picture = axes.imshow(
        100 * attention, cmap="Blues", vmin=0, vmax=100, aspect="auto"
    )
    _cells(axes, attention, membership)
    sides = [
        f"{_spaced(n)}  {100 * s:.0f} %"
        for n, s in zip(fine_labels, fine_scores, strict=True)
    ]
    tops = [
        f"{_spaced(n, chr(10))}\n{100 * s:.0f} %"
        for n, s in zip(coarse_labels, coarse_scores, strict=True)
    ]
    axes.set_yticks(range(len(sides)), sides, size=figures.SIZE)
    axes.set_xticks(range(len(tops)), tops, size=figures.SIZE)
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False, pad=16)
    axes.spines[:].set_visible(False)
    _mark(axes, fine_labelling, across=False)
    _mark(axes, coarse_labelling, across=True)
    figures.colour_bar(figure, axes, picture, "attention (%)")
    figures.title(figure, title)
    return figure


def _cells(axes: Axes, attention: np.ndarray, membership: np.ndarray | None) -> None:
    """Write what is worth a number into the cells, and frame those of the taxonomy."""
    for row, column in np.argwhere(attention >= 0.1):
        text = f"{100 * attention[row, column]:.0f}"
        colour = "white" if attention[row, column] > 0.5 else figures.INK
        style = {"size": figures.SIZE - 1.5, "ha": "center", "va": "center"}
        axes.text(column, row, text, color=colour, **style)
    if membership is not None:
        for row, column in np.argwhere(membership):
            style = {"fill": False, "edgecolor": figures.ORANGE, "linewidth": 1.3}
            axes.add_patch(Rectangle((column - 0.46, row - 0.43), 0.92, 0.86, **style))


def _mark(axes: Axes, labelling: Labelling | None, *, across: bool) -> None:
    """Put ticks and crosses of observed labels between the names and the map."""
    if labelling is None:
        return
    targets, observed = labelling
    for index in np.flatnonzero(observed):
        positive = targets[index] > 0
        axes.annotate(
            "\N{CHECK MARK}" if positive else "\N{BALLOT X}",
            (index, 1) if across else (0, index),
            xycoords=("data", "axes fraction") if across else ("axes fraction", "data"),
            xytext=(0, 8) if across else (-8, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            size=figures.SIZE + 1,
            color=figures.GREEN if positive else figures.RED,
            annotation_clip=False,
        )


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
    figure = figures.new(3.0)
    panels = figure.subplots(1, len(titles), squeeze=False)[0]
    for panel, title in zip(panels, titles, strict=True):
        figures.plain(panel, grid="y")
        panel.set_title(title, size=figures.SIZE, loc="left")
        panel.set_xlabel("epoch", size=figures.SIZE)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    for number, history in enumerate(histories.values()):
        epochs = [int(row["epoch"]) + 1 for row in history]
        best = best_epoch(history)
        lines = [(panels[0], "loss", figures.GREY, None, 1)]
        for position, level in enumerate(levels if len(titles) > 1 else ()):
            colour = figures.COLOURS[position % len(figures.COLOURS)]
            name = level if number == 0 else None
            lines.append((panels[1], f"val_{level}_loss", colour, name, 1))
            lines.append((panels[2], f"val_{level}_{metric}", colour, name, 100))
        for panel, key, colour, name, scale in lines:
            values = scale * _numbers(row[key] for row in history)
            style = {"color": colour, "linewidth": 1.2, "alpha": 0.8}
            panel.plot(epochs, values, label=name, gid=key, **style)
            panel.plot(
                epochs[best], values[best], "o", color=colour, markersize=5, gid="best"
            )
    if len(titles) > 1:
        panels[1].legend(fontsize=figures.SIZE - 1, frameon=False)
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
    figure = figures.new(1.2 + 0.24 * len(labels))
    axes = figure.subplots()
    figures.plain(axes)
    for row, label in enumerate(labels):
        _bar(axes, [run[label] for run in runs], row)
    small = {"size": figures.SIZE - 1, "color": figures.GREY, "va": "center"}
    axes.text(101.5, -1.1, "positive + negative", **small)
    if yardstick is not None and not np.isnan(yardstick):
        name = f"{yardstick_name}, mAP {100 * yardstick:.1f} %"
        style = {"color": figures.ORANGE, "linewidth": 1.8, "linestyle": "--"}
        axes.axvline(100 * yardstick, gid="reference", label=name, **style)
    axes.plot([], [], color=figures.INK, label="share of positives (guessing)")
    axes.plot([], [], "o", color=figures.BLUE, markersize=4, label="a run")
    axes.set_yticks(
        range(len(labels)), [_spaced(label) for label in labels], size=figures.SIZE
    )
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"average precision (%), {level} labels", size=figures.SIZE)
    figure.legend(
        loc="outside lower center", ncols=3, fontsize=figures.SIZE - 1, frameon=False
    )
    return figure


def _bar(axes: Axes, own: Sequence[Mapping[str, float | None]], row: int) -> None:
    """Draw one label: its mean, its runs, what guessing gives, and its counts."""
    percents = _defined(values["average_precision"] for values in own)
    if percents.size:
        axes.barh(row, percents.mean(), height=0.66, color="#9ecae1")
        _dots(axes, percents, np.full(len(percents), row))
    else:
        axes.text(
            1, row, "undefined", va="center", size=figures.SIZE, color=figures.GREY
        )
    counts = [[run["num_positive"], run["num_negative"]] for run in own]
    positive, negative = np.mean(counts, axis=0)
    if positive:
        guess = [100 * positive / (positive + negative)] * 2
        axes.plot(guess, [row - 0.4, row + 0.4], color=figures.INK, gid="guess")
    small = {"size": figures.SIZE - 1, "color": figures.GREY, "va": "center"}
    axes.text(101.5, row, f"{positive:.0f} + {negative:.0f}", **small)


def log_mel(
    values: np.ndarray,
    *,
    hop_seconds: float,
    band_hertz: np.ndarray,
    title: str = "",
) -> Figure:
    """Draw the log-mel spectrogram of one clip.

    Args:
        values: float array (frames, mels) in dB.
        hop_seconds: float > 0. Seconds between frames.
        band_hertz: float array (mels,). Centre of every band in Hz, ascending.
        title: str.

    Returns:
        Figure. Its range ends 80 dB below the loudest value.
    """
    figure = figures.new(2.2)
    axes = figure.subplots()
    frames, mels = values.shape
    top = float(values.max())
    picture = axes.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=max(float(values.min()), top - 80),
        vmax=top,
        extent=(0, frames * hop_seconds, -0.5, mels - 0.5),
    )
    bands = np.unique(np.linspace(0, mels - 1, 5).round().astype(int))
    axes.set_yticks(bands, [f"{band_hertz[band]:,.0f}" for band in bands])
    axes.tick_params(labelsize=figures.SIZE - 1, colors=figures.INK)
    axes.set_xlabel("time (s)", size=figures.SIZE)
    axes.set_ylabel("mel band (Hz)", size=figures.SIZE)
    figures.colour_bar(figure, axes, picture, "level (dB)")
    figures.title(figure, title)
    return figure


def _numbers(values) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], np.float64)


def _defined(values) -> np.ndarray:
    """Shares as percents, undefined ones left out."""
    numbers = 100 * _numbers(values)
    return numbers[~np.isnan(numbers)]


def _spaced(label: str, space: str = " ") -> str:
    return label.replace("_", space)
