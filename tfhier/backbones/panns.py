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

import math
from collections.abc import Callable, Sequence

from tfhier.backbones.blocks import conv_block, embed, enter, scaled


def cnn6(
    log_mel,
    *,
    width: float = 1.0,
    dropout_scale: float = 1.0,
    augment: Callable | None = None,
):
    """CNN6: four blocks of one 5 x 5 convolution; 512 units.

    Args:
        log_mel: Keras tensor (batch, frames, mels) with mels >= 16. Fewer than 16
            frames are padded with zeros behind `bn0`.
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

    Arguments as `cnn6`, with 32 frames and mels for its 16.
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
    """The common shape: entry, convolution blocks, pooled embedding."""
    x = enter(log_mel, min_frames=math.prod(pools), augment=augment)
    for number, (units, pool) in enumerate(zip(channels, pools, strict=True), start=1):
        x = conv_block(
            x,
            scaled(units, width),
            kernels,
            pool,
            0.2 * dropout_scale,
            name=f"conv_block{number}",
        )
    return embed(x, scaled(channels[-1], width), dropout_scale=dropout_scale)
