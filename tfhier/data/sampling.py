"""Which clip is drawn when: orders of training as pure functions of a position.

Training draws clips one after the other, position 0, 1, 2 and so on without end. A
*sampler* maps positions to places among the training clips and keeps no state, so
training can begin at any step and draws what an uninterrupted run would have drawn.

* `uniform`: every pass is a fresh permutation of all clips.
* `balanced`: every label in turn, in a fresh order each round, and within a label its
  own permutation of clips: after n rounds each label was drawn exactly n times and each
  of its m clips n / m times, rounded down or up. What the queues of PANNs' balanced
  sampler do (Kong et al. 2020, Sec. IV-D), without the queues.
* `importance`: in every pass each clip is drawn in proportion to the sum of 1 / (100 +
  clips of the label) over its labels, rounded down or up (Koutini et al. 2022, Sec. 4.1
  of PaSST draws by these weights at random).
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfhier.errors import InputError

Sampler = Callable[[tf.Tensor], tf.Tensor]


def sampler(name: str, positive: np.ndarray, *, pass_length: int, seed: int) -> Sampler:
    """Return the sampler of a name for some clips.

    Args:
        name: "uniform", "balanced" or "importance".
        positive: bool array (n, labels). Which labels a clip is known to carry.
        pass_length: int in [1, n] for "uniform" (a pass leaves n - pass_length clips
            out, others each time), else >= 1. Draws of a pass.
        seed: int >= 0.

    Returns:
        Function from an int64 tensor of positions (batch,) to places in [0, n).

    Raises:
        InputError: No clip carries a label, or the name is unknown.
    """
    if name == "uniform":
        return _uniform(len(positive), pass_length, seed)
    if name not in ("balanced", "importance"):
        raise InputError(
            f"A sampling is one of uniform, balanced, importance. Received: '{name}'"
        )
    check_labels(name, positive)
    if name == "balanced":
        return _balanced(positive, seed)
    return _importance(positive, pass_length, seed)


def check_labels(name: str, positive: np.ndarray) -> None:
    """Raise an InputError if there is no label to draw clips by."""
    if not positive.any():
        raise InputError(
            f"{name} sampling draws clips by their labels, and no training clip has a "
            "positive one. Use --set sampling=uniform."
        )


def _uniform(num_clips: int, pass_length: int, seed: int) -> Sampler:
    def draw(positions):
        number = positions // pass_length
        # Rounds as in `index_shuffle`: of 1,000 clips some 150 keep their neighbour. It
        # stays so because every uniform run so far was drawn by it.
        return _shuffled(positions % pass_length, num_clips, seed, number, num_rounds=4)

    return draw


def _balanced(positive: np.ndarray, seed: int) -> Sampler:
    columns = [np.flatnonzero(column) for column in positive.T if column.any()]
    num_labels = len(columns)
    sizes = tf.constant([len(column) for column in columns], tf.int64)
    starts = tf.cumsum(sizes, exclusive=True)
    members = tf.constant(np.concatenate(columns), tf.int64)
    # Streams of random numbers: 0 orders the labels, 1 + i the clips of label i.
    num_streams = num_labels + 1

    def draw(positions):
        rounds = positions // num_labels
        label = _shuffled(
            positions % num_labels, num_labels, seed, rounds * num_streams
        )
        size = tf.gather(sizes, label)
        stream = rounds // size * num_streams + 1 + label
        place = _shuffled(rounds % size, size, seed, stream)
        return tf.gather(members, tf.gather(starts, label) + place)

    return draw


def _importance(positive: np.ndarray, pass_length: int, seed: int) -> Sampler:
    weights = (positive / (100.0 + positive.sum(axis=0))).sum(axis=1)
    edges = tf.constant(np.cumsum(weights) / weights.sum(), tf.float64)
    fineness, first_move = 2**32, np.random.default_rng(seed).integers(2**32)

    def draw(positions):
        number = positions // pass_length
        place = _shuffled(positions % pass_length, pass_length, seed, number)
        # Evenly spaced points, moved together by a share of their distance: a golden
        # section on in every pass, so that the shares of all passes are even as well.
        move = (first_move + 2_654_435_769 * number) % fineness
        points = tf.cast(place, tf.float64) + tf.cast(move, tf.float64) / fineness
        found = tf.searchsorted(
            edges, points / pass_length, side="right", out_type=tf.int64
        )
        return tf.minimum(found, len(positive) - 1)  # rounding may exceed the last edge

    return draw


def _shuffled(places, size, seed: int, stream, *, num_rounds: int = 8):
    """Return where places in [0, size) go in the permutation of a stream.

    `tf.random.experimental.index_shuffle` takes one seed for all places; its operation
    takes one each. The first number of a seed is the one that function puts there. Of
    every number the operation may read only the lowest 8 bits (measured, for sizes up
    to 65,536): what lies above them is added to the first, or else every 256 streams
    and every 256 seeds would repeat their permutations.
    """
    shape = tf.shape(places)
    stream = tf.broadcast_to(tf.cast(stream, tf.int64), shape)
    above = stream // 256 + 101 * (seed // 256) + seed // 65_536
    seeds = tf.stack(
        [498247692 + above, tf.fill(shape, tf.cast(seed, tf.int64)), stream], axis=1
    )
    last = tf.broadcast_to(tf.cast(size, tf.int64) - 1, shape)
    return tf.raw_ops.RandomIndexShuffle(
        index=places, seed=seeds, max_index=last, rounds=num_rounds
    )
