"""Change of sample rate inside a TensorFlow graph, of rates known when it runs.

`tfhier.audio.resample` (soxr) cannot be part of a saved graph; this is its stand-in,
with the same length, the same alignment and nearly the same filter. With `up` and
`down` the target and the source rate without their common divisor, `up` outputs take
as much time as `down` inputs, and every such group weighs its inputs alike. So the
waveform is cut into blocks of whole groups, and one convolution over blocks, the
samples of a block as its channels, gives all outputs.

A weight is a low-pass response at the distance between an input and an output: a sinc
that cuts off at 0.9575 of the lower rate's Nyquist frequency, under the window
exp(12.25 (sqrt(1 - u^2) - 1)) of 94 samples of the lower rate to either side. Up to
0.9 of that frequency it passes tones to -114 dB, and from 1.0 on it stops them by as
much. The window (Barnett, Magland and af Klinteberg, SISC 2019) is 7 dB short of a
Kaiser window of that length and needs no Bessel function.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tfhier.errors import InputError
from tfhier.graph_audio import refusals
from tfhier.graph_audio.wav_header import HIGHEST_RATE, LOWEST_RATE, checked_rate

_CUTOFF = 0.9575  # of the lower rate's Nyquist frequency
_HALF_WIDTH = 94  # samples of the lower rate
_WINDOW_SHAPE = 12.25
# Weights of all outputs of a block: 32 MB, and as much for where they are taken from.
_MOST_WEIGHTS = 8_000_000


class _Blocks(NamedTuple):
    """How a waveform is cut: int64 scalars."""

    up: tf.Tensor  # outputs of a group
    down: tf.Tensor  # source samples of a group
    reach: tf.Tensor  # source samples from the middle of the filter to its end
    size: tf.Tensor  # source samples of a block
    num_spanned: tf.Tensor  # blocks that the outputs of one block are made of
    num_phases: tf.Tensor  # outputs of a block


def resample(
    waveform: tf.Tensor, source_rate: tf.Tensor, *, target_rate: int
) -> tf.Tensor:
    """Change the sample rate of a waveform, in a graph or outside.

    Outside its ends the waveform counts as zero. Of sounds below 0.9 of the lower
    rate's Nyquist frequency it differs from soxr (HQ) by less than -90 dB, or, between
    rates of a less simple ratio such as 44,100 and 16,000 Hz, by the 0.01 dB by which
    soxr weakens the highest of them.

    Args:
        waveform: float32 tensor of shape (samples,).
        source_rate: int scalar tensor in [1000, 400000]. Its rate in Hz.
        target_rate: int in [1000, 400000]. The wanted rate in Hz.

    Returns:
        float32 tensor of shape (samples * target_rate / source_rate,), halves rounded
        up; the waveform itself if the rates agree. With 16,000 Hz wanted, beside the
        waveform and its own size it takes up to twice the waveform, and up to 100 MB
        for weights.

    Raises:
        InputError: `target_rate` is none.
        tf.errors.InvalidArgumentError: When it runs: the source rate is out of range,
            or the ratio of the rates has terms too large for a table of weights (8
            million of them), as that of 44,101 and 16,000 Hz.
    """
    check_target_rate(target_rate)
    # On a GPU convolutions of float32 round their inputs to 10 bits (TF32).
    with tf.device("/CPU:0"):
        waveform = tf.convert_to_tensor(waveform, tf.float32)
        source_rate = checked_rate(tf.cast(source_rate, tf.int64))

        def unchanged():
            return waveform

        def converted():
            return _convert(waveform, source_rate, target_rate)

        return tf.cond(source_rate == target_rate, unchanged, converted)


def check_target_rate(rate: int) -> None:
    """Raise an InputError unless a rate is a whole number of Hz within the limits."""
    whole = isinstance(rate, int) and not isinstance(rate, bool)
    if not whole or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise InputError(
            f"target_rate must be a whole number of Hz from {LOWEST_RATE} to"
            f" {HIGHEST_RATE}; got {rate!r}."
        )


def _convert(
    waveform: tf.Tensor, source_rate: tf.Tensor, target_rate: int
) -> tf.Tensor:
    """Resample between different rates."""
    blocks = _checked_blocks(source_rate, target_rate)
    num_samples = tf.size(waveform, tf.int64)
    length = (2 * num_samples * blocks.up + blocks.down) // (2 * blocks.down)
    num_outputs = tf.maximum(-(-length // blocks.num_phases), 1)  # in blocks
    num_inputs = num_outputs + blocks.num_spanned - 1
    num_behind = num_inputs * blocks.size - blocks.reach - num_samples
    padded = tf.pad(waveform, [[blocks.reach, num_behind]])
    outputs = tf.nn.conv1d(
        tf.reshape(padded, [1, num_inputs, blocks.size]),
        _kernel(blocks),
        stride=1,
        padding="VALID",
    )  # (1, blocks, phases)
    return tf.reshape(outputs, [-1])[:length]


def _checked_blocks(source_rate: tf.Tensor, target_rate: int) -> _Blocks:
    """Return blocks for two rates whose weights fit into a table."""
    divisor = _common_divisor(source_rate, target_rate)
    up, down = target_rate // divisor, source_rate // divisor
    # A sample of the lower rate lasts `max(up, down) / up` source samples.
    reach = -(-_HALF_WIDTH * tf.maximum(up, down) // up)
    # Long blocks waste taps on the zeros around the filter, short ones are slow.
    num_groups = tf.maximum(reach // (2 * down), 1)
    size = num_groups * down
    num_taps = size + 2 * reach + 1 - down // up
    blocks = _Blocks(up, down, reach, size, -(-num_taps // size), num_groups * up)
    return refusals.passed(
        blocks,
        blocks.num_spanned * blocks.size * blocks.num_phases <= _MOST_WEIGHTS,
        "The clip has a sample rate of ",
        source_rate,
        f" Hz, which cannot be resampled exactly to {target_rate} Hz here. Resample it"
        " before sending, or record at a common rate such as 44100 or 48000 Hz.",
    )


def _common_divisor(source_rate: tf.Tensor, target_rate: int) -> tf.Tensor:
    """Return the greatest whole number that divides both rates (Euclid)."""

    def is_going_on(larger, smaller):
        return smaller > 0

    def step(larger, smaller):
        return smaller, larger % smaller

    larger = tf.constant(target_rate, tf.int64)
    return tf.while_loop(is_going_on, step, (larger, source_rate))[0]


def _kernel(blocks: _Blocks) -> tf.Tensor:
    """Return the weights (spanned blocks, samples of a block, phases).

    Input `tap` lies `tap - reach` source samples behind the block's start, and output
    `phase` at `phase * down / up`. Distances are counted in `1 / up` source samples.
    """
    up, down, reach, size, num_spanned, num_phases = (
        tf.cast(number, tf.int32) for number in blocks
    )
    taps = up * (tf.range(num_spanned * size) - reach)
    phases = down * tf.range(num_phases)
    distances = tf.abs(phases - taps[:, None])  # (taps, phases)
    farthest = reach * up
    kernel = tf.gather(_response(farthest, up, down), tf.minimum(distances, farthest))
    return tf.reshape(kernel, [num_spanned, size, num_phases])


def _response(farthest: tf.Tensor, up: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
    """Return the low-pass response at distances 0 to `farthest`, where it is zero."""
    # Distances in samples of the lower rate.
    num_per_sample = tf.cast(tf.maximum(up, down), tf.float64)
    time = tf.cast(tf.range(farthest + 1), tf.float64) / num_per_sample
    angle = math.pi * _CUTOFF * time
    sinc = tf.where(time > 0, tf.math.divide_no_nan(tf.sin(angle), angle), 1.0)
    inside = 1 - tf.square(time / _HALF_WIDTH)
    window = tf.exp(_WINDOW_SHAPE * (tf.sqrt(tf.maximum(inside, 0.0)) - 1))
    window = tf.where(inside > 0, window, 0.0)
    gain = _CUTOFF * tf.cast(up, tf.float64) / num_per_sample
    return tf.cast(gain * sinc * window, tf.float32)
