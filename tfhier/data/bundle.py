"""A data set made ready for one experiment: clips, targets of every level, a source.

This is where a taxonomy meets a data set's columns, where audio is decoded once into
the cache, and where clips are dealt out to training, validation and test.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfhier.data import splits
from tfhier.data.clips import Clips
from tfhier.data.pipeline import Features, Source
from tfhier.data.waveforms import decode
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.files import cache_folder
from tfhier.taxonomy import Labelling, Taxonomy


@dataclass(frozen=True, eq=False, kw_only=True)
class Bundle:
    """What training and evaluation need to know of a data set.

    Args:
        clips: The clip table, label columns in the taxonomy's order.
        taxonomy: Taxonomy of the labels.
        labellings: Dict of level -> (targets, observed), each (clips, labels).
        truth: The same with full knowledge, for data sets that have it; else None.
        source: Where inputs are fetched from, one row a clip.
        clip_samples: int. Samples of a clip; 0 for precomputed features.
        usable: bool array (clips,). False where a clip's file could not be read.
        notes: What was cut, padded or left out on the way, in sentences.
        embedded: Embeddings of the clips by a frozen backbone, one row a clip, where
            they take the place of the waveforms; else None.
    """

    clips: Clips
    taxonomy: Taxonomy
    labellings: dict[str, Labelling]
    truth: dict[str, Labelling] | None
    source: Source
    clip_samples: int
    usable: np.ndarray
    notes: tuple[str, ...]
    embedded: Source | None = None

    @property
    def feature_shape(self) -> tuple[int, ...] | None:
        """Shape of one clip's precomputed features; None for audio."""
        return None if self.clip_samples else self.source.values.shape[1:]

    @property
    def lengths(self) -> np.ndarray | None:
        """Samples of sound of every clip (clips,); None for precomputed features."""
        return self.source.lengths if self.clip_samples else None

    def on_embeddings(self) -> "Bundle":
        """Return the same clips with their embeddings as the source."""
        return dataclasses.replace(
            self, source=self.embedded, clip_samples=0, embedded=None
        )

    @cached_property
    def fingerprint(self) -> str:
        """A short digest of taxonomy, clips, labels and inputs.

        Of audio the decoded samples count, not the names or dates of files, so that a
        copied data set is the same one and a changed one is not.
        """
        digest = hashlib.sha256(self.taxonomy.to_csv().encode())
        if self.clip_samples:
            digest.update(self.source.digest.encode())
        else:
            digest.update(np.ascontiguousarray(self.source.values).tobytes())
        digest.update(self.usable.tobytes())
        digest.update("\n".join([*self.clips.keys, *self.clips.parts]).encode())
        for targets, observed in self.labellings.values():
            digest.update(targets.tobytes() + observed.tobytes())
        for origin in (self.clips.groups, self.clips.folds):
            if origin is not None:
                digest.update("\n".join(map(str, origin)).encode())
        return digest.hexdigest()[:16]

    def num_folds(self, experiment: Experiment) -> int:
        """Return the folds of the cross-validation, 0 for one split.

        The experiment's number, or the data set's own folds where it has no other
        split.
        """
        if experiment.num_folds or self.clips.folds is None:
            return experiment.num_folds
        return len(np.unique(self.clips.folds))

    def deal(self, experiment: Experiment, *, seed: int, fold: int) -> np.ndarray:
        """Return each clip's part: "train", "validation", "test" or "" for none.

        With the data set's own split, validation clips are taken from the training
        clips, the same for every seed, so that settings are compared on equal terms;
        with `selection` "last" or "test" none are taken, and the data set's own go to
        training. With folds, fold number `fold` of the data set's own, or of `seed`'s
        division, is the test part. Clips of one group stay together.

        Raises:
            InputError: The data set has no split and the experiment no folds.
        """
        usable = np.flatnonzero(self.usable)
        parts = np.where(self.usable, self.clips.parts, "").astype("<U10")
        if self.num_folds(experiment):
            number = self._fold_numbers(experiment, usable, seed=seed)
            parts[usable] = np.where(number == fold, "test", "train")
        self._check_part(parts, "train")
        if experiment.selection != "validation":
            parts[parts == "validation"] = "train"
        elif not (parts == "validation").any():
            training = np.flatnonzero(parts == "train")
            try:
                held_out = splits.stratified(
                    *self._fine(training),
                    fraction=experiment.validation_fraction,
                    seed=seed if self.num_folds(experiment) else 0,
                    groups=self._groups(training),
                )
            except InputError as error:
                raise InputError(
                    f"No training clips of {self.clips.name} can be held out for "
                    f"validation: {error} Or train without: --set selection=last"
                ) from None
            parts[training[held_out]] = "validation"
        needed = {"train", "test", experiment.selection} - {"last"}
        for part in sorted(needed):
            self._check_part(parts, part)
        return parts

    def positive(self, rows: np.ndarray) -> np.ndarray:
        """Return which labels of the finest level some clips are known to carry.

        Args:
            rows: int array (n,), or bool array (clips,).

        Returns:
            bool array (n, labels).
        """
        targets, observed = self.labellings[self.taxonomy.fine]
        return observed[rows] & (targets[rows] > 0)

    def without_clips(self, inside: np.ndarray) -> list[str]:
        """Return the labels of the finest level without a positive in some clips."""
        there = self.positive(inside).any(axis=0)
        names = self.taxonomy.labels_of(self.taxonomy.fine)
        return [
            name for name, is_there in zip(names, there, strict=True) if not is_there
        ]

    def _fold_numbers(
        self, experiment: Experiment, rows: np.ndarray, *, seed: int
    ) -> np.ndarray:
        """Return the fold of some clips, counted from 0."""
        if not experiment.num_folds:
            return np.unique(self.clips.folds, return_inverse=True)[1][rows]
        return splits.folds(
            *self._fine(rows),
            num_folds=experiment.num_folds,
            seed=seed,
            groups=self._groups(rows),
        )

    def _fine(self, rows: np.ndarray) -> Labelling:
        """Return targets and observed of the finest level for some clips."""
        targets, observed = self.labellings[self.taxonomy.fine]
        return targets[rows], observed[rows]

    def _groups(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self.clips.groups is None else self.clips.groups[rows]

    def _check_part(self, parts: np.ndarray, part: str) -> None:
        """Raise an InputError for a part without clips or without observed labels."""
        inside = parts == part
        if not inside.any():
            lost = int(((self.clips.parts == part) & ~self.usable).sum())
            raise InputError(
                f"All {lost} {part} clips of {self.clips.name} are unreadable."
                if lost
                else f"{self.clips.name} has no {part} clips of its own. For "
                "cross-validation use --set num_folds=5."
            )
        if not self.labellings[self.taxonomy.fine][1][inside].any():
            raise InputError(
                f"No label was observed in the {part} clips of {self.clips.name}: is "
                "the mask (Y_mask) right?"
            )


def build(
    clips: Clips,
    experiment: Experiment,
    taxonomy: Taxonomy,
    *,
    sample_rate: int,
    skip_bad: bool = False,
) -> Bundle:
    """Make clips ready for an experiment.

    Args:
        clips: Clips with labels in any order.
        experiment: Experiment.
        taxonomy: Taxonomy whose leaves are exactly the clips' labels.
        sample_rate: int. Of the front end, in Hz.
        skip_bad: bool. Whether unreadable files are left out (and named) or an error.

    Raises:
        InputError: The taxonomy has other leaves, the features are missing, or a file
            cannot be read.
    """
    clips = _in_order(clips, taxonomy)
    notes = list(clips.notes)
    if experiment.features:
        source: Source = Features(_features(clips, experiment.features))
        clip_samples = 0
        if clips.kind == "embedded":
            notes.append(
                f"features {experiment.features} are a stand-in too: log-mel "
                "statistics in the shape of the real ones"
            )
        usable = np.ones(len(clips), bool)
    else:
        if clips.paths is None:
            raise InputError(
                f"{clips.name} has no audio, and the experiment needs it. Use an "
                "experiment on precomputed features, or give the folder with the audio."
            )
        seconds = experiment.clip_seconds
        source = decode(
            clips.paths,
            keys=clips.keys,
            sample_rate=sample_rate,
            seconds=seconds,
            folder=cache_folder("waveforms"),
            spans=clips.spans,
            may_be_silent=clips.may_be_silent,
            skip_bad=skip_bad,
        )
        clip_samples = source.samples.shape[1]
        notes += _notes(source, seconds)
        usable = ~np.isin(clips.keys, list(source.bad))
    lift = {"coarse_negatives": experiment.coarse_negatives}
    truth = None
    if clips.truth is not None:
        everything = np.ones_like(clips.observed)
        truth = taxonomy.lift(clips.truth, everything, **lift)
    return Bundle(
        clips=clips,
        taxonomy=taxonomy,
        labellings={
            **taxonomy.lift(clips.targets, clips.observed, **lift),
            **_upper(clips, taxonomy),
        },
        truth=truth,
        source=source,
        clip_samples=clip_samples,
        usable=usable,
        notes=tuple(notes),
    )


def _in_order(clips: Clips, taxonomy: Taxonomy) -> Clips:
    """Put the label columns into the order of the taxonomy's leaves."""
    leaves = taxonomy.labels[0]
    if set(leaves) != set(clips.labels):
        missing = sorted(set(clips.labels) - set(leaves))
        foreign = sorted(set(leaves) - set(clips.labels))
        raise InputError(
            f"The taxonomy does not fit {clips.name}: it "
            + " and ".join(
                f"{verb} {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}"
                for verb, names in (("lacks", missing), ("also has", foreign))
                if names
            )
            + f". Its leaves must be the data's {len(clips.labels)} labels. "
            "Choose another with --set taxonomy=NAME-or-CSV."
        )
    return clips.reorder([clips.labels.index(leaf) for leaf in leaves], leaves)


def _upper(clips: Clips, taxonomy: Taxonomy) -> dict[str, Labelling]:
    """Return what clips themselves know of the levels above the leaves."""
    upper = dict(clips.upper or {})
    sizes = {level: targets.shape[1] for level, (targets, _) in upper.items()}
    if not sizes.items() <= taxonomy.sizes.items():
        raise InputError(
            f"{clips.name} has labels of the levels {sizes}, and the taxonomy "
            f"{taxonomy.sizes}. Leave --set taxonomy out."
        )
    return upper


def _features(clips: Clips, name: str) -> np.ndarray:
    if name not in clips.features:
        there = ", ".join(sorted(clips.features)) or "none"
        raise InputError(
            f"{clips.name} has no precomputed features '{name}' (there: {there}). "
            "Choose others with --set features=NAME."
        )
    values = clips.features[name]
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise InputError(
            f"The features '{name}' of {clips.name} must be (clips, units) or (clips, "
            f"frames, units). Received: shape={values.shape}"
        )
    if not np.isfinite(values).all():
        raise InputError(f"The features '{name}' of {clips.name} hold NaN or infinity.")
    return values


def _notes(waveforms, seconds: float) -> list[str]:
    notes = []
    if waveforms.num_longer:
        notes.append(
            f"{waveforms.num_longer} clips are longer than {seconds:g} s: their rest "
            "is not heard"
        )
    if waveforms.num_shorter:
        notes.append(
            f"{waveforms.num_shorter} clips are shorter than {seconds:g} s: zeros "
            "follow (where all are, --set clip_seconds=... fits better)"
        )
    if waveforms.bad:
        key, reason = next(iter(waveforms.bad.items()))
        notes.append(
            f"unreadable files left out (--skip-bad): {len(waveforms.bad)}; first: "
            f"{key}: {reason}"
        )
    return notes
