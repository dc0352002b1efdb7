"""The clip table: what every data set's `load` returns.

Conventions:

* One row a clip, one column a leaf label; all arrays share the order of `keys`.
* Labels are tri-state: `targets` holds 0 and 1 and `observed` says which entries were
  seen by an annotator. An unobserved target is 0 and means nothing.
* A clip belongs to one part of the data set, "train", "validation" or "test", or to
  none (""), when the data set's own split does not name it.
* A table is never changed: `select` and `with_parts` return new ones.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from tfhier.errors import InputError
from tfhier.taxonomy import Labelling

Kind = Literal["published", "embedded", "other"]

PARTS = ("train", "validation", "test")

# Optional columns of one value a clip.
_ORIGIN = {"groups": np.str_, "folds": np.integer, "conditions": np.str_}


@dataclass(frozen=True, eq=False, kw_only=True)
class Clips:
    """Labels, parts and files of N clips with L leaf labels.

    Args:
        name: str. How reports call the data set, such as "OpenMIC-2018".
        kind: "published" for the data set itself, "embedded" for our synthetic
            stand-in, "other" for anything else in its layout.
        labels: Tuple of L unique str. The leaf labels, in the order of the columns.
        keys: str array (N,). Unique names of the clips.
        targets: float32 array (N, L) of 0 and 1; 0 where not observed.
        observed: bool array (N, L).
        parts: str array (N,): "train", "validation", "test" or "".
        paths: Tuple of N paths of audio files, or None for a table without audio.
        features: Dict of arrays made by others, by name, each (N, ...).
        truth: Array (N, L) of 0 and 1 with the full labels, where the data set has
            them, or None. For evaluation only.
        max_seconds: float or None. Length of the longest clip, where it is known, so
            that no more than that is padded.
        spans: float array (N, 2), start and end of every clip in its file in seconds,
            0 <= start < end; or None where a clip is a whole file.
        groups: str array (N,) or None. What a clip was cut or recorded from: clips of
            one group are never divided between training, validation and test.
        folds: int array (N,) or None. The data set's own cross-validation folds.
        conditions: str array (N,) or None. What figures of test clips are also broken
            down by, such as "10 dB"; "" for none.
        upper: Dict of level -> (targets, observed), each (N, labels of the level), of
            levels above the leaves, in the order of the taxonomy's labels: where more
            is known of them than what follows from the leaves. None where it is not.
        may_be_silent: bool. Whether clips of spans without any sound are in order, as
            stretches of a long recording may be; else they are an error.
        notes: Tuple of str. What the loader left out or decided, in sentences.

    Raises:
        InputError: A field's shape, type or content does not fit; the message names the
            field.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    keys: np.ndarray
    targets: np.ndarray
    observed: np.ndarray
    parts: np.ndarray
    paths: tuple[Path, ...] | None = None
    features: dict[str, np.ndarray] = field(default_factory=dict)
    truth: np.ndarray | None = None
    max_seconds: float | None = None
    spans: np.ndarray | None = None
    groups: np.ndarray | None = None
    folds: np.ndarray | None = None
    conditions: np.ndarray | None = None
    upper: Mapping[str, Labelling] | None = None
    may_be_silent: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.kind not in get_args(Kind):
            raise self._fault("kind", f"one of {get_args(Kind)}", repr(self.kind))
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise self._fault("labels", "unique names, at least one", str(self.labels))
        self._check_keys()
        size = (len(self.keys), len(self.labels))
        self._check_array("targets", self.targets, size, np.float32)
        self._check_array("observed", self.observed, size, np.bool_)
        self._check_binary("targets", self.targets)
        if np.any(self.targets[~self.observed]):
            raise self._fault("targets", "0 wherever observed is false", "1")
        self._check_array("parts", self.parts, size[:1], np.str_)
        unknown = sorted(set(self.parts.tolist()) - {*PARTS, ""})
        if unknown:
            raise self._fault("parts", f"{PARTS} or ''", str(unknown[:3]))
        if self.paths is not None and len(self.paths) != size[0]:
            raise self._fault("paths", f"{size[0]} files", f"{len(self.paths)}")
        for name, values in self.features.items():
            if values.shape[:1] != size[:1]:
                raise self._fault(
                    f"features['{name}']", f"{size[0]} rows", f"shape={values.shape}"
                )
        if self.truth is not None:
            self._check_array("truth", self.truth, size, None)
            self._check_binary("truth", self.truth)
        for level, (targets, observed) in (self.upper or {}).items():
            own = (size[0], *targets.shape[1:])
            self._check_array(f"upper['{level}']", targets, own, np.float32)
            self._check_array(f"upper['{level}']", observed, own, np.bool_)
        self._check_origin(size[0])

    def _check_origin(self, num_clips: int) -> None:
        """Check what says where clips come from."""
        if self.spans is not None:
            self._check_array("spans", self.spans, (num_clips, 2), np.floating)
            start, end = self.spans.T
            wrong = np.flatnonzero(~((start >= 0) & (end > start) & np.isfinite(end)))
            if wrong.size:
                raise self._fault(
                    "spans",
                    "0 <= start < end, in seconds",
                    f"{self.spans[wrong[0]].tolist()} for {self.keys[wrong[0]]}",
                )
        for name, kind in _ORIGIN.items():
            values = getattr(self, name)
            if values is not None:
                self._check_array(name, values, (num_clips,), kind)

    def _check_keys(self) -> None:
        self._check_array("keys", self.keys, (len(self.keys),), np.str_)
        unique, counts = np.unique(self.keys, return_counts=True)
        if len(unique) != len(self.keys):
            repeated = ", ".join(unique[counts > 1][:3].tolist())
            raise self._fault("keys", "each clip once", f"more than once: {repeated}")

    def _check_array(
        self,
        what: str,
        values: np.ndarray,
        shape: tuple[int, ...],
        kind: type[np.generic] | None,
    ) -> None:
        if values.shape != shape:
            raise self._fault(what, f"shape {shape}", f"shape={values.shape}")
        if kind is not None and not np.issubdtype(values.dtype, kind):
            raise self._fault(what, kind.__name__, f"dtype={values.dtype}")

    def _check_binary(self, what: str, values: np.ndarray) -> None:
        strange = values[(values != 0) & (values != 1)]
        if strange.size:
            raise self._fault(what, "0 or 1", str(strange[0]))

    def _fault(self, what: str, expected: str, received: str) -> InputError:
        return InputError(
            f"Clips of '{self.name}': {what} must be {expected}. Received: {received}"
        )

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, which: np.ndarray | Sequence[int]) -> "Clips":
        """Return the table of some clips, in the order given.

        Args:
            which: Integer indices in [-N, N), or a bool mask (N,).

        Raises:
            InputError: A mask of another length, or an index outside the table.
        """
        which = np.asarray(which)
        if which.dtype == bool:
            if which.shape != (len(self),):
                raise self._fault(
                    "a mask", f"shape ({len(self)},)", f"shape={which.shape}"
                )
            which = np.flatnonzero(which)
        elif which.size == 0:
            which = np.zeros(0, int)
        if which.ndim != 1 or not np.issubdtype(which.dtype, np.integer):
            raise self._fault(
                "a selection",
                "a list of integers or a bool mask",
                f"dtype={which.dtype}, shape={which.shape}",
            )
        if which.size and not -len(self) <= which.min() <= which.max() < len(self):
            raise self._fault(
                "indices", f"below {len(self)}", f"{which.min()} to {which.max()}"
            )
        return dataclasses.replace(
            self,
            keys=self.keys[which],
            targets=self.targets[which],
            observed=self.observed[which],
            parts=self.parts[which],
            paths=None if self.paths is None else tuple(self.paths[i] for i in which),
            features={name: values[which] for name, values in self.features.items()},
            truth=None if self.truth is None else self.truth[which],
            spans=None if self.spans is None else self.spans[which],
            upper=self.upper
            and {
                level: (targets[which], observed[which])
                for level, (targets, observed) in self.upper.items()
            },
            **{
                name: None if values is None else values[which]
                for name, values in ((n, getattr(self, n)) for n in _ORIGIN)
            },
        )

    def indices(self, part: str) -> np.ndarray:
        """Return the ascending indices of the clips of a part; "" for those of none."""
        if part not in {*PARTS, ""}:
            raise self._fault("a part", f"one of {PARTS} or ''", repr(part))
        return np.flatnonzero(self.parts == part)

    def with_parts(self, parts: np.ndarray | Sequence[str]) -> "Clips":
        """Return the same clips, divided in another way.

        Args:
            parts: N str: "train", "validation", "test" or "".
        """
        return dataclasses.replace(self, parts=np.asarray(parts, np.str_))

    def reorder(self, columns: Sequence[int], labels: Sequence[str]) -> "Clips":
        """Return the same clips with the label columns in another order.

        Args:
            columns: The old index of every new column.
            labels: The names of the new columns.
        """
        columns = list(columns)
        return dataclasses.replace(
            self,
            labels=tuple(labels),
            targets=self.targets[:, columns],
            observed=self.observed[:, columns],
            truth=None if self.truth is None else self.truth[:, columns],
        )
