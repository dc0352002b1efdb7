"""What the labels mean: levels of labels from leaves to roots, and who belongs to whom.

Conventions:

* Levels are ordered from the leaves upward: `levels[0]` is the finest. One level is
  legal (a flat label set), and there is no upper bound.
* Every label has at least one parent on the next level; a label may have several where
  rows of the table say so. Parents and children are always of neighbouring levels.
* Targets are tri-state: a float array of 0 and 1 and a boolean array of the same shape
  that says which entries were observed. An unobserved target is 0 and means nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from tfhier import taxonomy_table
from tfhier.errors import InputError, close_names
from tfhier.files import write_text

FOLDER = Path(__file__).parent / "taxonomies"
# The label of what is heard where nothing is.
BACKGROUND = "background"

# Levels name arrays of answers and of archives, whose other arrays and arguments are
# called so; a level's labels are `labels_LEVEL` there.
RESERVED = (
    "log_mel", "embedding", "logits", "files", "num_frames", "file", "allow_pickle",
)  # fmt: skip

# Targets and the mask of what was observed, both (clips, labels).
Labelling = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Taxonomy:
    """Levels of labels, each label with its parents on the next level.

    Args:
        levels: Tuple of str. Names of the levels, finest first.
        labels: Tuple with one tuple of str a level. Names are unique within a level.
        parents: Tuple with one tuple a level but the last; for each label of the level
            the ascending indices of its parents on the next level.

    Raises:
        InputError: Names repeat, a level's is taken or no word, a label has no parent,
            or an upper label has no child.
    """

    levels: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    parents: tuple[tuple[tuple[int, ...], ...], ...]

    def __post_init__(self):
        if not self.levels or len(self.labels) != len(self.levels):
            raise InputError(
                "A taxonomy needs at least one level and labels for each. Received: "
                f"levels={self.levels}, {len(self.labels)} label lists"
            )
        if len(self.parents) != len(self.levels) - 1:
            raise InputError(
                f"A taxonomy of {len(self.levels)} levels needs parents for "
                f"{len(self.levels) - 1}. Received: {len(self.parents)}"
            )
        _refuse_repeats(self.levels, "level")
        for level in self.levels:
            # Levels name outputs, files and arguments; labels are free text.
            if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", level):
                raise InputError(
                    "The name of a level is made of letters, digits and '_', beginning "
                    f"with a letter, as in 'fine'. Received: '{level}'"
                )
            if level in RESERVED or level.startswith("labels_"):
                raise InputError(
                    f"A level cannot be called '{level}': answers hold an array of "
                    "that name. Rename it; taken are labels_... and "
                    f"{', '.join(RESERVED)}."
                )
        for level, labels in zip(self.levels, self.labels, strict=True):
            if not labels:
                raise InputError(f"Level '{level}' has no labels.")
            _refuse_repeats(labels, f"label on level '{level}'")
        for depth, parents in enumerate(self.parents):
            self._check_parents(depth, parents)

    def _check_parents(self, depth: int, parents: tuple[tuple[int, ...], ...]) -> None:
        num_parents = len(self.labels[depth + 1])
        if len(parents) != len(self.labels[depth]):
            raise InputError(
                f"Level '{self.levels[depth]}' has {len(self.labels[depth])} labels "
                f"but parents for {len(parents)}."
            )
        for label, own in zip(self.labels[depth], parents, strict=True):
            if not own or min(own) < 0 or max(own) >= num_parents:
                raise InputError(
                    f"Label '{label}' needs parents among the {num_parents} labels of "
                    f"level '{self.levels[depth + 1]}'. Received: {own}"
                )
        childless = set(range(num_parents)) - {
            index for own in parents for index in own
        }
        if childless:
            names = [self.labels[depth + 1][index] for index in sorted(childless)]
            raise InputError(
                f"Labels of level '{self.levels[depth + 1]}' without a child: "
                f"{', '.join(names)}. Remove them, or add a row for a child of theirs."
            )

    # -- Reading and writing ---------------------------------------------------------

    @classmethod
    def read(cls, source: str | Path) -> "Taxonomy":
        """Read a taxonomy from a CSV file, or one of the package's own by its name.

        Args:
            source: Path of a CSV file (see `taxonomy_table`), or a name such as
                "openmic".

        Raises:
            InputError: There is no such file or name, or a row does not fit.
        """
        path = Path(source)
        if path.suffix != ".csv" and path.name == str(source):
            path = FOLDER / f"{source}.csv"
            if not path.is_file():
                raise InputError(
                    "No taxonomy is called "
                    f"'{source}'.{close_names(path.stem, names())} A file of your own "
                    "is given by its path, ending in .csv."
                )
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise InputError(f"There is no taxonomy file {path}.") from None
        except UnicodeDecodeError:
            raise InputError(f"{path} is not a UTF-8 text file.") from None
        return cls.parse(text, source=str(path))

    @classmethod
    def parse(cls, text: str, *, source: str = "taxonomy") -> "Taxonomy":
        """Read a taxonomy from CSV text; `source` names it in error messages."""
        levels, labels, parents = taxonomy_table.parse(text, source=source)
        try:
            return cls(levels=levels, labels=labels, parents=parents)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None

    @classmethod
    def flat(cls, labels: Sequence[str], *, level: str = "label") -> "Taxonomy":
        """Return a taxonomy of one level."""
        return cls(levels=(level,), labels=(tuple(labels),), parents=())

    def to_csv(self) -> str:
        """Return the table as CSV text; `parse` gives an equal taxonomy back.

        Raises:
            InputError: No order of rows keeps the order of the labels on every level.
        """
        return taxonomy_table.write(self.levels, self.labels, self.parents)

    def write(self, path: str | Path) -> None:
        """Write the table as a CSV file."""
        write_text(path, self.to_csv())

    # -- Looking things up -----------------------------------------------------------

    @property
    def fine(self) -> str:
        """Name of the finest level."""
        return self.levels[0]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of labels of each level."""
        return dict(zip(self.levels, map(len, self.labels), strict=True))

    @property
    def is_tree(self) -> bool:
        """Whether every label has exactly one parent."""
        return all(len(own) == 1 for level in self.parents for own in level)

    def labels_of(self, level: str) -> tuple[str, ...]:
        """Return the labels of a level, in the order of its columns."""
        return self.labels[self.depth_of(level)]

    def depth_of(self, level: str) -> int:
        """Return the position of a level: 0 for the finest."""
        if level not in self.levels:
            raise InputError(
                f"The taxonomy has no level '{level}'.{close_names(level, self.levels)}"
            )
        return self.levels.index(level)

    def parents_of(self, level: str) -> tuple[tuple[int, ...], ...]:
        """Return each label's parents: indices into the next level."""
        return self.parents[self._below_top(level)]

    def groups(self, level: str) -> tuple[tuple[int, ...], ...]:
        """Return the children of every label of the next level.

        Args:
            level: str. The children's level; not the last.

        Returns:
            Tuple with one ascending tuple of indices into `level` for each label of the
            level above it.
        """
        depth = self._below_top(level)
        return tuple(
            tuple(i for i, own in enumerate(self.parents[depth]) if parent in own)
            for parent in range(len(self.labels[depth + 1]))
        )

    def _below_top(self, level: str) -> int:
        depth = self.depth_of(level)
        if depth == len(self.levels) - 1:
            raise InputError(f"Level '{level}' is the topmost: it has no parents.")
        return depth

    def membership(self, lower: str, upper: str) -> np.ndarray:
        """Return which labels of one level lie under which labels of a higher level.

        Args:
            lower: str. The finer level.
            upper: str. The coarser level; equal to `lower` gives the identity.

        Returns:
            bool array (labels of `lower`, labels of `upper`).
        """
        low, high = self.depth_of(lower), self.depth_of(upper)
        if low > high:
            raise InputError(f"Level '{lower}' lies above level '{upper}'.")
        under = np.eye(len(self.labels[low]), dtype=bool)
        for depth in range(low, high):
            step = np.zeros(
                (len(self.labels[depth]), len(self.labels[depth + 1])), bool
            )
            for child, own in enumerate(self.parents[depth]):
                step[child, list(own)] = True
            under = under @ step
        return under

    def lineage(self, level: str, label: str) -> dict[str, str]:
        """Return a label with those above it: level -> label, finest level first.

        Levels below the label's own have "". Of several parents, which no tree has, all
        are named, with "|" between them.
        """
        depth, column = self.depth_of(level), self.labels_of(level).index(label)
        found = dict.fromkeys(self.levels[:depth], "")
        for upper in self.levels[depth:]:
            above = self.membership(level, upper)[column]
            names = self.labels_of(upper)
            found[upper] = "|".join(names[at] for at in np.flatnonzero(above))
        return found

    # -- Targets of other levels -----------------------------------------------------

    def lift(
        self,
        targets: np.ndarray,
        observed: np.ndarray,
        *,
        coarse_negatives: Literal["observed", "certain"] = "observed",
    ) -> dict[str, Labelling]:
        """Carry targets of the finest level to every level above it.

        A coarse label is positive if an observed child is positive. It is negative

        * with `"observed"`: when every *observed* child is negative and there is one,
        * with `"certain"`: only when *all* children are observed and negative.

        Zhong et al. (2023, Sec. 4.1) mask coarse labels too but do not say how; the
        second is certain, the first gives OpenMIC's sparse labels more coarse
        negatives.

        Args:
            targets: float array (clips, labels of the finest level), 0 or 1.
            observed: bool array of the same shape.
            coarse_negatives: "observed" or "certain".

        Returns:
            Dict of level -> (targets float32, observed bool), each (clips, labels).
        """
        if coarse_negatives not in ("observed", "certain"):
            raise InputError(
                "coarse_negatives is 'observed' or 'certain'. Received: "
                f"{coarse_negatives!r}"
            )
        targets, observed = self._check_labelling(self.fine, targets, observed)
        lifted = {self.fine: (targets, observed)}
        for depth, level in enumerate(self.levels[:-1]):
            under = self.membership(level, self.levels[depth + 1])
            targets, observed = lifted[level]
            positive = (observed & (targets > 0)) @ under
            if coarse_negatives == "observed":
                known = observed @ under
            else:
                known = ~(~observed @ under)
            seen = positive | known
            lifted[self.levels[depth + 1]] = (positive.astype(np.float32), seen)
        return lifted

    def close(self, labellings: Mapping[str, Labelling]) -> dict[str, Labelling]:
        """Complete partly observed labels of any levels by what certainly follows.

        A positive label makes all its parents positive; a negative label makes all its
        children negative; a label is negative when all its children are. Closing twice
        changes nothing.

        Args:
            labellings: Dict of level -> (targets, observed). Levels left out count as
                unobserved.

        Returns:
            The same for every level.

        Raises:
            InputError: A label would have to be positive and negative at once.
        """
        given = {
            level: self._check_labelling(level, *pair)
            for level, pair in labellings.items()
        }
        if not given:
            raise InputError("There are no labels to close: give one level or more.")
        num_clips = len(next(iter(given.values()))[0])
        positive, negative = {}, {}
        for level, size in self.sizes.items():
            blank = np.zeros((num_clips, size), bool)
            targets, observed = given.get(level, (blank, blank))
            positive[level] = observed & (targets > 0)
            negative[level] = observed & ~(targets > 0)
        # With two parents a label may send what it learns from one up to the other, so
        # one pass is not enough; each pass only ever adds, so this ends.
        num_known = -1
        while num_known != (num_known := _count(positive) + _count(negative)):
            for lower, upper in zip(self.levels[:-1], self.levels[1:], strict=True):
                under = self.membership(lower, upper)
                positive[upper] = positive[upper] | positive[lower] @ under
                negative[upper] = negative[upper] | ~(~negative[lower] @ under)
                negative[lower] = negative[lower] | negative[upper] @ under.T
        for level in self.levels:
            clash = np.argwhere(positive[level] & negative[level])
            if clash.size:
                clip, label = clash[0]
                raise InputError(
                    f"Clip {clip}: label '{self.labels_of(level)[label]}' of level "
                    f"'{level}' follows to be both positive and negative. A label and "
                    "its children contradict each other."
                )
        return {
            level: (
                positive[level].astype(np.float32),
                positive[level] | negative[level],
            )
            for level in self.levels
        }

    def _check_labelling(
        self, level: str, targets: np.ndarray, observed: np.ndarray
    ) -> Labelling:
        targets = np.asarray(targets, np.float32)
        observed = np.asarray(observed, bool)
        size = len(self.labels_of(level))
        if targets.ndim != 2 or targets.shape[1] != size:
            raise InputError(
                f"Level '{level}' has {size} labels; targets of shape (clips, {size}) "
                f"were expected. Received: shape={targets.shape}"
            )
        if observed.shape != targets.shape:
            raise InputError(
                "Targets and observed must have one shape. Received: "
                f"{targets.shape} and {observed.shape}"
            )
        wrong = targets[observed & (targets != 0) & (targets != 1)]
        if wrong.size:
            raise InputError(
                f"Targets of level '{level}' must be 0 or 1 where they are observed. "
                f"Received: {wrong[0]:g}. A relevance such as OpenMIC's Y_true becomes "
                "a target by Y_true >= 0.5."
            )
        return np.where(observed, targets, 0).astype(np.float32), observed


def names() -> list[str]:
    """Return the names of the taxonomies that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def _count(masks: Mapping[str, np.ndarray]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def _refuse_repeats(names: Sequence[str], what: str) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise InputError(f"The {what} '{name}' appears twice.")
        seen.add(name)
