"""One plain style for all plots: size, colours, axes, and figures as PNG.

Nothing here touches pyplot or any other global state. Colours are Okabe and Ito's,
which colour-blind readers can tell apart.
"""

import io

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

WIDTH = 9.0  # inches; 900 pixels at 100 dots per inch
SIZE = 9.5  # points
BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
GREY, PALE, INK = "#767676", "#dddddd", "#222222"
COLOURS = (BLUE, RED, GREEN, "#cc79a7", ORANGE, "#56b4e9", "#f0e442", INK)


def new(height: float) -> Figure:
    """Return an empty figure of the common width; `height` is in inches."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def to_png(figure: Figure, *, dpi: int = 150) -> bytes:
    """Return a figure as PNG, the same bytes every time (no date, no version).

    Args:
        figure: Figure.
        dpi: int > 0. Dots per inch; figures are 9 inches wide.
    """
    output = io.BytesIO()
    figure.savefig(output, format="png", dpi=dpi, metadata={"Software": None})
    return output.getvalue()


def plain(axes: Axes, *, grid: str = "x") -> None:
    """Take frame and ticks off axes and give them a light grid."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.grid(axis=grid, color=PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SIZE - 1, length=0, colors=INK)


def title(figure: Figure, words: str) -> None:
    """Put a title over a figure, none if it is empty."""
    if words:
        # File names may hold what matplotlib takes for formulas.
        figure.suptitle(words, size=SIZE + 0.5, x=0.01, ha="left", parse_math=False)


def colour_bar(figure: Figure, axes: Axes, picture: ScalarMappable, name: str) -> None:
    """Draw the scale of a picture beside it."""
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, pad=0.01, aspect=25)
    bar.set_label(name, size=SIZE)
    bar.ax.tick_params(labelsize=SIZE - 1, length=0)
    bar.outline.set_visible(False)


def spaced(label: str, space: str = " ") -> str:
    """Return a label as words."""
    return label.replace("_", space)
