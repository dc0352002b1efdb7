"""ResNet22 of PANNs: log-mel in, embedding out.

He et al., "Deep residual learning for image recognition", CVPR 2016, as Kong et al.
built it ("PANNs", TASLP 2020) and Pellegrini 2021 used it (Sec. 2.3). Where the papers
are silent the published code counts:

* The eight basic blocks lie between two of PANNs' convolution blocks, the second of
  which, 2048 channels wide, pools nothing.
* A stage that halves the map does so by average pooling in front of its first
  convolution and of the 1 x 1 convolution of its shortcut; both drop an odd last row.
* Dropout 0.1 between the convolutions of a block; normalisation without ReLU behind the
  second, its gain zero at the start, so that every block begins as its shortcut.

Layers are named after the published ones: `resnet_layer2_0_downsample_1` is the
convolution in the shortcut of the first block of stage 2.
"""

from collections.abc import Callable

from keras import layers

from tfhier.backbones.blocks import (
    batch_norm,
    conv_block,
    convolution,
    embed,
    enter,
    scaled,
)

STAGES = (64, 128, 256, 512)
BLOCKS_A_STAGE = 2


def resnet22(
    log_mel,
    *,
    width: float = 1.0,
    dropout_scale: float = 1.0,
    augment: Callable | None = None,
):
    """ResNet22: eight residual blocks between two convolution blocks; 2048 units.

    Args:
        log_mel: Keras tensor (batch, frames, mels) with mels >= 32. Fewer than 32
            frames are padded with zeros behind `bn0`.
        width: float > 0. Multiplies every channel count.
        dropout_scale: float >= 0. Multiplies every dropout rate.
        augment: Layer applied behind `bn0`, such as SpecAugment; None for none.

    Returns:
        Keras tensor (batch, round(2048 * width)), non-negative.
    """
    dropout = 0.2 * dropout_scale
    last = scaled(2048, width)
    x = enter(log_mel, min_frames=32, augment=augment)
    x = conv_block(x, scaled(64, width), (3, 3), 2, dropout, name="conv_block1")
    for stage, units in enumerate(STAGES, start=1):
        for block in range(BLOCKS_A_STAGE):
            x = _basic_block(
                x,
                scaled(units, width),
                0.1 * dropout_scale,
                halve=stage > 1 and block == 0,
                name=f"resnet_layer{stage}_{block}",
            )
    x = layers.AveragePooling2D(2, name="resnet_pool")(x)
    x = layers.Dropout(dropout, name="resnet_dropout")(x)
    x = conv_block(x, last, (3, 3), 1, dropout, name="conv_block_after1")
    return embed(x, last, dropout_scale=dropout_scale)


def _basic_block(x, units: int, dropout: float, *, halve: bool, name: str):
    shortcut = x
    if halve:
        x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
        shortcut = layers.AveragePooling2D(2, name=f"{name}_downsample_0")(shortcut)
        shortcut = convolution(units, 1, name=f"{name}_downsample_1")(shortcut)
        shortcut = batch_norm(f"{name}_downsample_2")(shortcut)
    x = convolution(units, 3, name=f"{name}_conv1")(x)
    x = batch_norm(f"{name}_bn1")(x)
    x = layers.Activation("relu", name=f"{name}_relu1")(x)
    x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = convolution(units, 3, name=f"{name}_conv2")(x)
    x = batch_norm(f"{name}_bn2", gamma_initializer="zeros")(x)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.Activation("relu", name=f"{name}_relu2")(x)
