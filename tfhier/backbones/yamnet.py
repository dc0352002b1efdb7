"""YAMNet: log-mel in, an embedding every 0.48 s out.

Plakal and Ellis, tensorflow/models, research/audioset/yamnet (yamnet.py, params.py):
MobileNetV1 of Howard et al., arXiv:1704.04861, with its strides, on patches of 96
frames. Where it differs from the published code:

* Batch normalisations are folded into the convolutions, which have biases instead, as
  in the published TFLite file (`tfhier.pretrained.yamnet` reads it).
* Clips are padded behind the front end, not in front of it: the patches are as many,
  but a window that runs over the end of a clip is silent here, and holds the last
  samples there. Clips of 15,600 samples and any number of 7,680 more need no padding.
  Up to 159 samples beyond that make no whole frame, so no patch of their own either.

Layers are named after the published ones: `layer2_depthwise` is layer2/depthwise_conv,
`layer2_pointwise` layer2/pointwise_conv.
"""

import math
from collections.abc import Callable

import keras
from keras import layers, ops

from tfhier.backbones.blocks import scaled
from tfhier.backbones.mobilenet import BLOCKS
from tfhier.layers import Patches, Unfold

PATCH_FRAMES = 96
PATCH_HOP = 48
# What the front end `yamnet_16k` makes of digital silence.
SILENCE = math.log(0.001)


def yamnet(
    log_mel,
    *,
    width: float = 1.0,
    dropout_scale: float = 1.0,
    augment: Callable | None = None,
):
    """YAMNet: MobileNetV1 with strides on patches of 0.96 s; 1024 units a patch.

    Args:
        log_mel: Keras tensor (batch, frames, mels) of the front end `yamnet_16k`: 64
            mels are what the published weights were trained with, the network takes
            any number. Its padding is that front end's silence.
        width: float > 0. Multiplies every channel count.
        dropout_scale: float >= 0. Without effect: YAMNet has no dropout.
        augment: Layer applied to the log-mel, such as SpecAugment, whose zeros become
            silence; None for none.

    Returns:
        Keras tensor (batch, patches, round(1024 * width)), non-negative.
    """
    x = log_mel
    if augment is not None:
        x = augment(x - SILENCE) + SILENCE
    patches = Patches(PATCH_FRAMES, hop=PATCH_HOP, padding=SILENCE, name="patches")(x)
    # All patches of all clips are one batch of maps with a channel axis.
    x = ops.reshape(patches, (-1, PATCH_FRAMES, log_mel.shape[-1], 1))
    for number, (units, stride) in enumerate(BLOCKS, start=1):
        name, units = f"layer{number}", scaled(units, width)
        if number == 1:
            x = _convolution(units, 3, stride=stride, name=f"{name}_conv")(x)
            continue
        x = layers.DepthwiseConv2D(
            3,
            strides=stride,
            padding="same",
            activation="relu",
            # He's normal for the 9 inputs that a channel has. Keras's own counts the
            # inputs of all channels, and nothing comes through 13 such layers.
            depthwise_initializer=keras.initializers.RandomNormal(
                stddev=math.sqrt(2 / 9)
            ),
            name=f"{name}_depthwise",
        )(x)
        x = _convolution(units, 1, name=f"{name}_pointwise")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)  # (batch * patches, units)
    return Unfold(name="unfold")([x, patches])


def _convolution(
    units: int, kernel: int, *, name: str, stride: int = 1
) -> layers.Conv2D:
    """Return a convolution with bias and ReLU."""
    return layers.Conv2D(
        units,
        kernel,
        strides=stride,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )
