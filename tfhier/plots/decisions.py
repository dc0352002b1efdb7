"""Plots of decisions: confusions, embeddings on a plane, precision against recall."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from tfhier.plots import style


def confusion_matrix(counts: np.ndarray, labels: Sequence[str]) -> Figure:
    """Draw which labels were taken for which (Pellegrini 2021, Fig. 1).

    Args:
        counts: int array (labels, labels). Rows are the true labels, columns the
            decisions, see `metrics.confusion`.
        labels: Names of the labels.

    Returns:
        Figure: each row in percent of its clips, with counts below up to 12 labels.
    """
    counts = np.asarray(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    size = len(labels)
    figure = style.new(min(9.0, 1.6 + max(0.16 * size, 0.55 * min(size, 12))))
    axes = figure.subplots()
    picture = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    if size <= 12:
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.5 else style.INK
            axes.text(
                column,
                row,
                f"{100 * shares[row, column]:.1f}\n{counts[row, column]}",
                ha="center",
                va="center",
                size=style.SIZE - 1,
                color=colour,
            )
    names = [label.replace("_", " ") for label in labels]
    text_size = style.SIZE if size <= 20 else style.SIZE - 3.5
    axes.set_yticks(
        range(size),
        [f"{n} ({t})" for n, t in zip(names, totals[:, 0], strict=True)],
        size=text_size,
    )
    is_crowded = size > 6 or max(map(len, names)) > 12
    axes.set_xticks(range(size), names, size=text_size, rotation=90 * is_crowded)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("decided", size=style.SIZE)
    axes.set_ylabel("true (clips)", size=style.SIZE)
    style.colour_bar(figure, axes, picture, "of the row (%)")
    return figure


def embedding_map(
    places: np.ndarray, targets: np.ndarray, labels: Sequence[str]
) -> Figure:
    """Draw clips as dots on a plane, coloured by label (Pellegrini 2021, Fig. 2).

    Args:
        places: float array (clips, 2), such as t-SNE gives.
        targets: float array (clips, labels), one 1 in each row.
        labels: Names of the labels.

    Returns:
        Figure. Frequent labels are drawn first, so that rare ones stay visible.
    """
    figure = style.new(5.2)
    axes = figure.subplots()
    true = np.argmax(targets, axis=1)
    sizes = np.bincount(true, minlength=len(labels))
    for label in np.argsort(-sizes, kind="stable"):
        inside = true == label
        axes.plot(
            *places[inside].T,
            "o^sDv"[label // len(style.COLOURS) % 5],
            color=style.COLOURS[label % len(style.COLOURS)],
            markersize=3.5,
            alpha=0.7,
            markeredgewidth=0,
            label=f"{labels[label].replace('_', ' ')} ({sizes[label]})",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(style.PALE)
    figure.legend(
        loc="outside right upper",
        fontsize=style.SIZE - (1 if len(labels) <= 20 else 3),
        frameon=False,
        markerscale=1.8,
        ncols=1 + len(labels) // 30,
    )
    return figure


def precision_recall(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], *, label: str
) -> Figure:
    """Draw precision against recall of one label, a line a condition.

    Args:
        curves: Dict of condition -> (scores, positive), float and bool (clips,).
        label: str. Name of the label.

    Returns:
        Figure. Thin lines mark the share of positives: the precision of guessing.
    """
    figure = style.new(3.6)
    axes = figure.subplots()
    style.plain(axes, grid="both")
    for number, (name, (scores, positive)) in enumerate(curves.items()):
        if not positive.any():
            continue
        colour = style.COLOURS[number % len(style.COLOURS)]
        precision, recall, _ = precision_recall_curve(positive, scores)
        axes.step(
            100 * recall,
            100 * precision,
            where="post",
            color=colour,
            linewidth=1.6,
            label=f"{name} ({positive.sum()} of {positive.size})",
        )
        axes.axhline(100 * positive.mean(), color=colour, linewidth=0.6)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    axes.set_xlabel(f"recall (%), {label.replace('_', ' ')}", size=style.SIZE)
    axes.set_ylabel("precision (%)", size=style.SIZE)
    if axes.lines:
        axes.legend(fontsize=style.SIZE - 1, frameon=False, loc="lower left")
    return figure
