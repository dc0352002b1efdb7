"""Batches for training and scoring, as tf.data.

Training order is a pure function of (seed, step), see `tfhier.data.sampling`. Training
can therefore begin at any epoch and see exactly what an uninterrupted run would have
seen.

A *source* gives one array a clip: decoded waveforms (`Waveforms`) or precomputed
features (`Features`). Both have `fetch(indices, offsets=, num_samples=)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf

from tfhier.data.sampling import sampler
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
    sampling: str = "uniform",
    steps: int = 0,
    noise_rows: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Return shuffled batches of (inputs, targets, weights) for some epochs.

    Args:
        source: Source of waveforms or features.
        rows: int array (n,). The training clips' rows in the source.
        labellings: Dict of level -> (targets, observed), both (clips of the source,
            labels).
        batch_size: int. A pass over the clips has `steps_per_epoch(n, batch_size)`
            batches; the rest of the permutation is left out, another in every pass.
        seed: int. Decides order, crops and noise.
        first_epoch: int >= 0. Epoch to begin with.
        num_epochs: int. Epoch to stop before.
        crop_samples: int > 0 to take random crops of that length.
        lengths: int array (clips of the source,). Samples of sound of every clip: a
            crop is taken from these and not from the zeros after them, unless the sound
            is shorter than the crop. Defaults to None: all clips are full.
        sampling: Name of a sampler; labels count on the finest level, where observed.
        steps: int. Batches of an epoch. Defaults to 0: a pass.
        noise_rows: int array (m,). Rows of the source to draw noise from. Defaults to
            None: no noise.

    Returns:
        Dataset of tuples (inputs float32, {level: targets}, {level: weights}); weights
        are 1.0 where observed and 0.0 elsewhere. With noise, inputs are a pair of
        (clips, noise) of one shape.
    """
    steps_of_pass = steps_per_epoch(len(rows), batch_size)
    steps = steps or steps_of_pass
    batch_size = min(batch_size, len(rows))
    finest, known = next(iter(labellings.values()))
    order = sampler(
        sampling,
        known[rows] & (finest[rows] > 0),
        pass_length=steps_of_pass * batch_size,
        seed=seed,
    )
    rows_in_graph = tf.constant(rows, tf.int64)
    shape = source.fetch(rows[:1]).shape[1:]
    if crop_samples:
        if lengths is None:
            lengths = np.full(len(finest), shape[0])
        num_starts = tf.constant(np.maximum(lengths - crop_samples, 0) + 1, tf.int64)

    def draw(step):
        """Return the rows of a step's clips."""
        places = order(step * batch_size + tf.range(batch_size, dtype=tf.int64))
        return tf.gather(rows_in_graph, places)

    def uniform(limit, stream):
        """Return whole numbers in [0, limit), one a clip."""
        return tf.random.stateless_uniform(
            (batch_size,),
            seed=tf.stack([tf.cast(seed, tf.int64), stream]),
            maxval=limit,
            dtype=tf.int64,
        )

    def crop(indices, stream):
        """Return where the crops of some clips begin."""
        if not crop_samples:
            return tf.zeros((batch_size,), tf.int64)
        most = shape[0] - crop_samples + 1
        return uniform(most, stream) * tf.gather(num_starts, indices) // most

    def draw_noise(step):
        """Return the rows of a step's noise, any of them at any time."""
        drawn = uniform(len(noise_rows), -1 - 2 * step)
        return tf.gather(tf.constant(noise_rows, tf.int64), drawn)

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

    def sound(indices, stream):
        inputs = tf.numpy_function(
            read, [indices, crop(indices, stream)], tf.float32, stateful=False
        )
        return tf.ensure_shape(inputs, batch_shape)

    def assemble(step):
        indices = draw(step)
        inputs = sound(indices, step)
        if noise_rows is not None:
            # Streams of the noise are below 0, those of the clips' crops are not.
            inputs = (inputs, sound(draw_noise(step), -2 - 2 * step))
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
    """Return the batches of a pass over clips: whole ones only, but at least one."""
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
