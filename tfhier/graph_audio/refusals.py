"""Errors that a TensorFlow graph raises by itself, far from Python.

A server that runs a saved graph answers its client with the message of the operation
that failed. A `tf.function` runs its checks in the order of their making, but other
operations as soon as their inputs are there: a reshape could fail before the check that
would have explained it. Hence a check hands on what was checked. Whatever is computed
from that waits for it, and the first thing that is wrong with an input is the one that
its sender reads.
"""

import tensorflow as tf


def passed(value, condition: tf.Tensor, *message: str | tf.Tensor):
    """Return a value that exists only if a condition holds.

    Args:
        value: tensor, or nested tuple of tensors. What the condition speaks of.
        condition: scalar bool tensor.
        message: str or scalar tensors of strings or numbers. The parts of what is said
            if it does not hold; floats are given to one decimal. No quotation marks,
            which the runtime would print with a backslash.

    Returns:
        `value`. Where the condition fails, the run of the graph ends with an
        `InvalidArgumentError` of this message.
    """
    text = tf.strings.join([_as_text(part) for part in message])
    check = tf.raw_ops.Assert(condition=condition, data=[text])
    # Outside of a graph the check has run by now and leaves nothing to wait for.
    with tf.control_dependencies([] if check is None else [check]):
        return tf.nest.map_structure(tf.identity, value)


def _as_text(part: str | tf.Tensor) -> tf.Tensor:
    part = tf.convert_to_tensor(part)
    if part.dtype == tf.string:
        return part
    return tf.strings.as_string(part, precision=1 if part.dtype.is_floating else -1)
