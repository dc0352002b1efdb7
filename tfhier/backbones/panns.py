"""PANNs' convolutional networks CNN6, CNN10 and CNN14: log-mel in, embedding out.

Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern
Recognition", TASLP 2020, Table III. Where the paper is silent the published code
counts:

* `bn0` normalises each mel band; SpecAugment comes behind it, so a masked value is a
  mean.
* Convolutions have no bias; poolings drop an odd last row; every block ends in dropout
  0.2.
* Batch normalisation uses epsilon 1e-5 and momentum 0.9. Running variances are updated
  with the biased batch variance (PyTorch: unbiased), a difference of 1 / values per
  channel.
* The embedding is the output of `fc1`. PANNs' own classifier reads it without the
  second dropout of the published code, and so do the heads here.

Layers are named after the published ones (`conv_block1_conv1`, `fc1`), so that weights
can be carried over by name.
"""

from collections.abc import Callable, Sequence

from keras import layers, ops

INITIALIZER = "glorot_uniform"


def batch_norm(name: str) -> layers.BatchNormalization:
    """Return a batch normalisation with PANNs' constants."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)


def cnn6(
    log_mel,
    *,
    width: float = 1.0,
    dropout_scale: float = 1.0,
    augment: Callable | None = None,
):
    """CNN6: four blocks of one 5 x 5 convolution; 512 units.

    Args:
        log_mel: Keras tensor (batch, frames, mels) with frames and mels >= 16.
        width: float > 0. Multiplies every channel count.
        dropout_scale: float >= 0. Multiplies every dropout rate: a narrow network has
            little to drop.
        augment: Layer applied behind `bn0`, such as SpecAugment; None for none.

    Returns:
        Keras tensor (batch, round(512 * width)), non-negative.
    """
    return _network(
        log_mel,
        channels=(64, 128, 256, 512),
        kernels=(5,),
        pools=(2, 2, 2, 2),
        width=width,
        dropout_scale=dropout_scale,
        augment=augment,
    )


def cnn10(
    log_mel,
    *,
    width: float = 1.0,
    dropout_scale: float = 1.0,
    augment: Callable | None = None,
):
    """CNN10: four blocks of two 3 x 3 convolutions; 512 units. Arguments as `cnn6`."""
    return _network(
        log_mel,
        channels=(64, 128, 256, 512),
        kernels=(3, 3),
        pools=(2, 2, 2, 2),
        width=width,
        dropout_scale=dropout_scale,
        augment=augment,
    )


def cnn14(
    log_mel,
    *,
    width: float = 1.0,
    dropout_scale: float = 1.0,
    augment: Callable | None = None,
):
    """CNN14: six blocks of two 3 x 3 convolutions, the last not pooled; 2048 units.

    Arguments as `cnn6`, with frames and mels >= 32.
    """
    return _network(
        log_mel,
        channels=(64, 128, 256, 512, 1024, 2048),
        kernels=(3, 3),
        pools=(2, 2, 2, 2, 2, 1),
        width=width,
        dropout_scale=dropout_scale,
        augment=augment,
    )


def _network(
    log_mel,
    *,
    channels: Sequence[int],
    kernels: Sequence[int],
    pools: Sequence[int],
    width: float,
    dropout_scale: float,
    augment: Callable | None,
):
    """The common shape: bn0, blocks, pooling over the map, one linear layer."""
    x = batch_norm("bn0")(log_mel)  # the last axis are the mel bands
    if augment is not None:
        x = augment(x)
    x = ops.expand_dims(x, -1)  # (batch, frames, mels, 1)
    for number, (units, pool) in enumerate(zip(channels, pools, strict=True), start=1):
        x = _conv_block(
            x,
            max(1, round(units * width)),
            kernels,
            pool,
            0.2 * dropout_scale,
            name=f"conv_block{number}",
        )
    x = ops.mean(x, axis=2)  # (batch, frames, channels)
    x = ops.max(x, axis=1) + ops.mean(x, axis=1)  # (batch, channels)
    x = layers.Dropout(0.5 * dropout_scale, name="dropout")(x)
    units = max(1, round(channels[-1] * width))
    return layers.Dense(
        units, activation="relu", kernel_initializer=INITIALIZER, name="fc1"
    )(x)


def _conv_block(
    x, units: int, kernels: Sequence[int], pool: int, dropout: float, *, name: str
):
    for number, kernel in enumerate(kernels, start=1):
        x = layers.Conv2D(
            units,
            kernel,
            padding="same",
            use_bias=False,
            kernel_initializer=INITIALIZER,
            name=f"{name}_conv{number}",
        )(x)
        x = batch_norm(f"{name}_bn{number}")(x)
        x = layers.Activation("relu", name=f"{name}_relu{number}")(x)
    if pool > 1:
        x = layers.AveragePooling2D(pool, name=f"{name}_pool")(x)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x)
