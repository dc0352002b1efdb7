"""What the commands print: aligned lines, tables and progress bars."""

import contextlib
import logging
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence

from tqdm import tqdm

from tfhier.errors import InputError

# What the extra `train` of setup.cfg installs, by the names they are imported by.
TRAIN_PACKAGES = (
    "tensorflow",
    "keras",
    "sklearn",
    "scipy",
    "matplotlib",
    "tensorboard",
    "ai_edge_litert",
    "ai_edge_quantizer",
    "flatbuffers",
    "tensorflow_serving",
)


@contextlib.contextmanager
def without_native_messages() -> Iterator[None]:
    """Silence what native libraries write to standard error while they are loaded.

    TensorFlow greets every start with lines on oneDNN and missing GPU drivers that no
    setting turns off. If loading fails the lines are shown. Its later warnings are
    silenced too: they take a new model for every run for careless retracing.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            messages.seek(0)
            os.write(kept, messages.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def line(topic: str, text: str) -> None:
    """Print `topic   text` with the text in a column of its own.

    On a terminal the text is wrapped into that column; elsewhere it stays one line.
    """
    if sys.stdout.isatty():
        width = max(40, shutil.get_terminal_size().columns)
        text = textwrap.fill(
            text,
            width,
            initial_indent=" " * 9,
            subsequent_indent=" " * 9,
            break_long_words=False,
            break_on_hyphens=False,
        ).strip()
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
    """Return a paired difference in points: `+1.1 [+0.2, +2.0]`; `-` if undefined."""
    mean, low, high = figure["mean"], figure["low"], figure["high"]
    if percent(mean) == "-":
        return "-"
    if percent(low) == "-":
        return f"{100 * mean:+.1f}"
    return f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


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
            smoothing=0,
            bar_format="{desc} {bar:10} {remaining} left{postfix}",
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
        shown = f", validation {self.shown}" if self.shown else ""
        self._bar.set_postfix_str(f"loss {loss:.3f}{shown}", refresh=False)
        self._bar.update()

    def epoch(self, row: dict) -> None:
        """Show the validation results of an epoch."""
        self.shown = "  ".join(
            f"{level} {name} {percent(row[key])}"
            for level in self.levels
            for key, name in ((f"val_{level}_mAP", "mAP"), (f"val_{level}_uar", "UAR"))
            if key in row
        )
        done = row["epoch"] + 1
        tenth = max(1, self.num_epochs // 10)
        is_told = self._bar.disable and done % tenth == 0
        if is_told or done == self.num_epochs:
            self._bar.write(
                f"{self.title}  epoch {done}/{self.num_epochs}  loss {row['loss']:.3f}"
                + (f"  validation: {self.shown}" if self.shown else "")
            )
            sys.stdout.flush()

    def close(self) -> None:
        """Take the bar off the screen."""
        self._bar.close()


def door(program: str, work: Callable[[], int | None]) -> int:
    """Run a command; print an error that a user can mend as one line.

    Args:
        program: str. Its name, which begins the line.
        work: Function without arguments. What it returns is the exit status, None is 0.

    Returns:
        The exit status: 0 or the command's own, or 2 after an `InputError` or an error
        of the operating system (a full disk, a missing permission), or 130 when the
        user stopped it.
    """
    status = 0
    # A name that is no UTF-8, or a terminal that is not, ends no work.
    if sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = work() or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has seen enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except InputError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"{program}: {where}{error.strerror or error}. What is finished is kept: "
            "mend this and give the same command again.",
            file=sys.stderr,
        )
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in TRAIN_PACKAGES:
            raise
        print(
            f"{program}: this needs {error.name}, which the plain installation leaves "
            "out: pip install 'tfhier[train]' (in a checkout: pip install -e "
            "'.[train]')",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"\n{program}: stopped; the same command goes on here", file=sys.stderr)
        return 130
    return status
