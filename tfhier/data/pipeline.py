"""Batches for training and scoring, as tf.data.

Training order is a pure function of (seed, step): every epoch is a fresh permutation,
made without state by `tf.random.experimental.index_shuffle`. Training can therefore
begin at any epoch and see exactly what an uninterrupted run would have seen.

A *source* gives one array a clip: decoded waveforms (`Waveforms`) or precomputed
features (`Features`). Both have `fetch(indices, offsets=, num_samples=)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf

from tfhier.taxonomy import Labelling


class Source(Protocol):
    """What the pipeline reads clips from."""

    def fetch(
        self,
        indices: np.ndarray,
        *,
        offsets: np.ndarray | None = None,
        num_samples: int | None = None,
    ) -> np.ndarray:
        """Return float32 (len(indices), ...): whole clips, or their crops."""


@dataclass(frozen=True, eq=False)
class Features:
    """Precomputed features as a source: (clips, ...), given as float32."""

    values: np.ndarray

    def fetch(self, indices, *, offsets=None, num_samples=None) -> np.ndarray:
        """Return float32 (len(indices), ...); features are never cropped."""
        return self.values[indices].astype(np.float32)


def training_batches(
    source: Source,
    rows: np.ndarray,
    labellings: Mapping[str, Labelling],
    *,
    batch_size: int,
    seed: int,
    first_epoch: int,
    num_epochs: int,
    crop_samples: int = 0,
    lengths: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Return shuffled batches of (inputs, targets, weights) for some epochs.

    Args:
        source: Source of waveforms or features.
        rows: int array (n,). The training clips' rows in the source.
        labellings: Dict of level -> (targets, observed), both (clips of the source,
            labels).
        batch_size: int. An epoch has `steps_per_epoch(n, batch_size)` batches; the rest
            of the permutation is left out, another rest in every epoch.
        seed: int. Decides order and crops.
        first_epoch: int >= 0. Epoch to begin with.
        num_epochs: int. Epoch to stop before.
        crop_samples: int > 0 to take random crops of that length.
        lengths: int array (clips of the source,). Samples of sound of every clip: a
            crop is taken from these and not from the zeros after them, unless the sound
            is shorter than the crop. Defaults to None: all clips are full.

    Returns:
        Dataset of tuples (inputs float32, {level: targets}, {level: weights}); weights
        are 1.0 where observed and 0.0 elsewhere.
    """
    steps = steps_per_epoch(len(rows), batch_size)
    batch_size = min(batch_size, len(rows))
    rows_in_graph = tf.constant(rows, tf.int64)
    shape = source.fetch(rows[:1]).shape[1:]
    if crop_samples:
        if lengths is None:
            lengths = np.full(max(rows) + 1, shape[0])
        num_starts = tf.constant(np.maximum(lengths - crop_samples, 0) + 1, tf.int64)

    def draw(step):
        epoch, position = step // steps, step % steps
        places = position * batch_size + tf.range(batch_size, dtype=tf.int64)
        shuffled = tf.random.experimental.index_shuffle(
            places,
            seed=tf.stack([tf.cast(seed, tf.int64), epoch]),
            max_index=len(rows) - 1,
        )
        indices = tf.gather(rows_in_graph, shuffled)
        if not crop_samples:
            return indices, tf.zeros((batch_size,), tf.int64)
        drawn = tf.random.stateless_uniform(
            (batch_size,),
            seed=tf.stack([tf.cast(seed, tf.int64), step]),
            maxval=shape[0] - crop_samples + 1,
            dtype=tf.int64,
        )
        return indices, drawn % tf.gather(num_starts, indices)

    def read(indices, offsets):
        if crop_samples:
            return source.fetch(indices, offsets=offsets, num_samples=crop_samples)
        return source.fetch(indices)

    batch_shape = (batch_size, crop_samples) if crop_samples else (batch_size, *shape)
    targets = {level: tf.constant(pair[0]) for level, pair in labellings.items()}
    weights = {
        level: tf.constant(pair[1].astype(np.float32))
        for level, pair in labellings.items()
    }

    def assemble(step):
        indices, offsets = draw(step)
        inputs = tf.numpy_function(read, [indices, offsets], tf.float32, stateful=False)
        inputs = tf.ensure_shape(inputs, batch_shape)
        return (
            inputs,
            {level: tf.gather(table, indices) for level, table in targets.items()},
            {level: tf.gather(table, indices) for level, table in weights.items()},
        )

    return (
        tf.data.Dataset.range(first_epoch * steps, num_epochs * steps)
        .map(assemble, num_parallel_calls=2, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def steps_per_epoch(num_clips: int, batch_size: int) -> int:
    """Return the batches of an epoch: whole ones only, but at least one."""
    return max(1, num_clips // batch_size)


def scoring_batches(
    source: Source, rows: np.ndarray, *, batch_size: int
) -> tf.data.Dataset:
    """Return the whole clips of some rows in order, in batches of float32 inputs."""
    shape = source.fetch(rows[:1]).shape[1:]

    def read(indices):
        batch = tf.numpy_function(source.fetch, [indices], tf.float32, stateful=False)
        return tf.ensure_shape(batch, (None, *shape))

    return (
        tf.data.Dataset.from_tensor_slices(np.asarray(rows, np.int64))
        .batch(batch_size)
        .map(read, num_parallel_calls=2, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )
