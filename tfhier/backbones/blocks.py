"""What the convolutional networks share: entry, convolution block, pooled embedding.

Constants are PANNs': batch normalisation with epsilon 1e-5 and momentum 0.9, Glorot
uniform kernels, no bias in convolutions.
"""

from collections.abc import Callable, Sequence

from keras import layers, ops

from tfhier.layers import MatmulConv2D, PadFrames

INITIALIZER = "glorot_uniform"
# Channels from which `MatmulConv2D` is the faster convolution on a CPU.
_MANY_CHANNELS = 1_024


def scaled(units: int, width: float) -> int:
    """Return a channel count times the width, at least one."""
    return max(1, round(units * width))


def batch_norm(name: str, **more) -> layers.BatchNormalization:
    """Return a batch normalisation with PANNs' constants."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name, **more)


def convolution(
    units: int,
    kernel: int,
    *,
    name: str,
    stride: int = 1,
    padding: str = "same",
    initializer=INITIALIZER,
) -> layers.Conv2D:
    """Return a convolution without bias."""
    settings = {
        "padding": padding,
        "use_bias": False,
        "kernel_initializer": initializer,
        "name": name,
    }
    if units >= _MANY_CHANNELS and kernel > 1 and stride == 1:
        return MatmulConv2D(units, kernel, **settings)
    return layers.Conv2D(units, kernel, strides=stride, **settings)


def enter(log_mel, *, min_frames: int, augment: Callable | None):
    """Normalise each mel band, augment, pad short clips and open a channel axis.

    Args:
        log_mel: Keras tensor (batch, frames, mels).
        min_frames: int >= 1. What the poolings need; 1 pads nothing.
        augment: Layer applied to the normalised map; None for none.

    Returns:
        Keras tensor (batch, max(frames, min_frames), mels, 1).
    """
    x = batch_norm("bn0")(log_mel)  # the last axis are the mel bands
    if augment is not None:
        x = augment(x)
    if min_frames > 1:
        x = PadFrames(min_frames, name="pad_frames")(x)
    return ops.expand_dims(x, -1)  # (batch, frames, mels, 1)


def conv_block(
    x, units: int, kernels: Sequence[int], pool: int, dropout: float, *, name: str
):
    """Convolution, normalisation and ReLU a kernel; average pooling; dropout."""
    for number, kernel in enumerate(kernels, start=1):
        x = convolution(units, kernel, name=f"{name}_conv{number}")(x)
        x = batch_norm(f"{name}_bn{number}")(x)
        x = layers.Activation("relu", name=f"{name}_relu{number}")(x)
    if pool > 1:
        x = layers.AveragePooling2D(pool, name=f"{name}_pool")(x)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x)


def embed(x, units: int, *, dropout_scale: float):
    """Mean over mels, maximum plus mean over time, dropout 0.5 and `fc1` with ReLU.

    Args:
        x: Keras tensor (batch, frames, mels, channels).
        units: int. Of `fc1`.
        dropout_scale: float >= 0. Multiplies the dropout rate.

    Returns:
        Keras tensor (batch, units), non-negative.
    """
    x = ops.mean(x, axis=2)  # (batch, frames, channels)
    x = ops.max(x, axis=1) + ops.mean(x, axis=1)  # (batch, channels)
    x = layers.Dropout(0.5 * dropout_scale, name="dropout")(x)
    return layers.Dense(
        units, activation="relu", kernel_initializer=INITIALIZER, name="fc1"
    )(x)
