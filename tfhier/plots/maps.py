"""Plots of what a tagger hears and attends to: log-mels and attention maps."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tfhier.plots import style
from tfhier.taxonomy import Labelling


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
    figure = style.new(1.5 + 0.24 * len(fine_labels))
    axes = figure.subplots()
    picture = axes.imshow(
        100 * attention, cmap="Blues", vmin=0, vmax=100, aspect="auto"
    )
    _cells(axes, attention, membership)
    sides = [
        f"{style.spaced(n)}  {100 * s:.0f} %"
        for n, s in zip(fine_labels, fine_scores, strict=True)
    ]
    tops = [
        f"{style.spaced(n, chr(10))}\n{100 * s:.0f} %"
        for n, s in zip(coarse_labels, coarse_scores, strict=True)
    ]
    axes.set_yticks(range(len(sides)), sides, size=style.SIZE)
    axes.set_xticks(range(len(tops)), tops, size=style.SIZE)
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False, pad=16)
    axes.spines[:].set_visible(False)
    _mark(axes, fine_labelling, across=False)
    _mark(axes, coarse_labelling, across=True)
    style.colour_bar(figure, axes, picture, "attention (%)")
    style.title(figure, title)
    return figure


def _cells(axes: Axes, attention: np.ndarray, membership: np.ndarray | None) -> None:
    """Write what is worth a number into the cells, and frame those of the taxonomy."""
    for row, column in np.argwhere(attention >= 0.1):
        text = f"{100 * attention[row, column]:.0f}"
        colour = "white" if attention[row, column] > 0.5 else style.INK
        look = {"size": style.SIZE - 1.5, "ha": "center", "va": "center"}
        axes.text(column, row, text, color=colour, **look)
    if membership is not None:
        for row, column in np.argwhere(membership):
            look = {"fill": False, "edgecolor": style.ORANGE, "linewidth": 1.3}
            axes.add_patch(Rectangle((column - 0.46, row - 0.43), 0.92, 0.86, **look))


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
            size=style.SIZE + 1,
            color=style.GREEN if positive else style.RED,
            annotation_clip=False,
        )


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
    figure = style.new(2.2)
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
    axes.tick_params(labelsize=style.SIZE - 1, colors=style.INK)
    axes.set_xlabel("time (s)", size=style.SIZE)
    axes.set_ylabel("mel band (Hz)", size=style.SIZE)
    style.colour_bar(figure, axes, picture, "level (dB)")
    style.title(figure, title)
    return figure
