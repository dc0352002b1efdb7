"""What the commands print: aligned lines, tables and progress bars."""

import sys
from collections.abc import Sequence

from tqdm import tqdm


def line(topic: str, text: str) -> None:
    """Print `topic   text` with the text in a column of its own."""
    print(f"{topic:<8} {text}", flush=True)


def percent(value: float | None) -> str:
    """Return a share in percent with one decimal; `-` for None and NaN."""
    return "-" if value is None or value != value else f"{100 * value:.1f}"


def percent_with_std(figure: dict) -> str:
    """Return `mean +- std` in percent."""
    if percent(figure["std"]) == "-":
        return percent(figure["mean"])
    return f"{percent(figure['mean'])} +- {percent(figure['std'])}"


def interval(figure: dict) -> str:
    """Return a paired difference in points: `+1.1 [+0.2, +2.0]`."""
    low, high = figure["low"], figure["high"]
    if low is None or low != low:
        return f"{100 * figure['mean']:+.1f}"
    return f"{100 * figure['mean']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned text, first column left, the others right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


class TrainingBar:
    """A bar over the steps of one run; on no terminal a line every tenth of it.

    Args:
        title: str. Which run: "seed 0".
        num_epochs: int.
        steps_per_epoch: int.
        levels: Names of the levels, to show their validation mAP.
    """

    def __init__(
        self,
        title: str,
        *,
        num_epochs: int,
        steps_per_epoch: int,
        levels: Sequence[str],
    ):
        self.title = title
        self.num_epochs = num_epochs
        self.levels = levels
        self.shown = ""
        self._bar = tqdm(
            total=num_epochs * steps_per_epoch,
            desc=title,
            disable=None,
            leave=False,
            ascii=" ━",
            bar_format="{desc} {bar:24} {n_fmt}/{total_fmt}{postfix}  {remaining} left",
        )

    def begin(self, epoch: int) -> None:
        """Start at an epoch, and say so if it is not the first."""
        if epoch:
            self._bar.write(f"{self.title}: going on after epoch {epoch}")
            done = epoch * self._bar.total // self.num_epochs
            self._bar.initial = self._bar.n = done
            self._bar.refresh()

    def step(self, epoch: int, loss: float) -> None:
        """Count one training step."""
        self._bar.set_description_str(
            f"{self.title}  epoch {epoch + 1}/{self.num_epochs}", refresh=False
        )
        self._bar.set_postfix_str(f"loss {loss:.3f}  {self.shown}", refresh=False)
        self._bar.update()

    def epoch(self, row: dict) -> None:
        """Show the validation results of an epoch."""
        self.shown = "  ".join(
            f"{level} mAP {percent(row[f'val_{level}_mAP'])}" for level in self.levels
        )
        done = row["epoch"] + 1
        tenth = max(1, self.num_epochs // 10)
        if self._bar.disable and (done % tenth == 0 or done == self.num_epochs):
            print(
                f"{self.title}  epoch {done}/{self.num_epochs}  loss {row['loss']:.3f} "
                " "
                f"validation: {self.shown}",
                flush=True,
            )

    def close(self) -> None:
        """Take the bar off the screen."""
        self._bar.close()


def fail(program: str, message: str) -> int:
    """Print an error as one line on standard error; return the exit status 2."""
    print(f"{program}: {message}", file=sys.stderr)
    return 2
