"""MobileNetV1 of PANNs: log-mel in, embedding out.

Howard et al., "MobileNets", arXiv:1704.04861, as Kong et al. changed it ("PANNs", TASLP
2020) and Pellegrini 2021 used it (Sec. 2.2). Where the papers are silent the published
code counts:

* No convolution has a stride. Average pooling between convolution and normalisation
  takes its place, also in the first block; it drops an odd last row.
* ReLU, not ReLU6; no dropout but the 0.5 in front of `fc1`.

Layers are named after the published ones, which are numbered within their block:
`features_3_0` is the depthwise convolution of block 3, `features_3_4` its pointwise
one, `features_3_2` and `features_3_5` are their normalisations.
"""

from collections.abc import Callable

from keras import layers

from tfhier.backbones.blocks import (
    INITIALIZER,
    batch_norm,
    convolution,
    embed,
    enter,
    scaled,
)

# Channels and pooling of every block (in YAMNet channels and stride); the first is a
# full convolution.
BLOCKS = (
    (32, 2),
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)


def mobilenet_v1(
    log_mel,
    *,
    width: float = 1.0,
    dropout_scale: float = 1.0,
    augment: Callable | None = None,
):
    """MobileNetV1: one convolution, 13 depthwise separable ones; 1024 units.

    Args:
        log_mel: Keras tensor (batch, frames, mels) with mels >= 32. Fewer than 32
            frames are padded with zeros behind `bn0`.
        width: float > 0. Multiplies every channel count.
        dropout_scale: float >= 0. Multiplies the dropout rate.
        augment: Layer applied behind `bn0`, such as SpecAugment; None for none.

    Returns:
        Keras tensor (batch, round(1024 * width)), non-negative.
    """
    x = enter(log_mel, min_frames=32, augment=augment)
    for number, (units, pool) in enumerate(BLOCKS):
        name, units = f"features_{number}", scaled(units, width)
        if number == 0:
            x = convolution(units, 3, name=f"{name}_0")(x)
        else:
            x = layers.DepthwiseConv2D(
                3,
                padding="same",
                use_bias=False,
                depthwise_initializer=INITIALIZER,
                name=f"{name}_0",
            )(x)
        if pool > 1:
            x = layers.AveragePooling2D(pool, name=f"{name}_1")(x)
        x = batch_norm(f"{name}_2")(x)
        x = layers.Activation("relu", name=f"{name}_3")(x)
        if number > 0:
            x = convolution(units, 1, name=f"{name}_4")(x)
            x = batch_norm(f"{name}_5")(x)
            x = layers.Activation("relu", name=f"{name}_6")(x)
    return embed(x, scaled(BLOCKS[-1][0], width), dropout_scale=dropout_scale)
