"""WideResNet28 of Pellegrini 2021: log-mel in, embedding out.

Zagoruyko and Komodakis, "Wide residual networks", arXiv:1605.07146, as the published
code of Pellegrini 2021 (Sec. 2.4) changed it:

* Three stages of four blocks; normalisation and ReLU behind the convolutions (the
  original has them in front), no dropout within blocks, no pooling of the map.
* Stages 2 and 3 start with a stride of 2. Their 3 x 3 convolutions see one zero on
  every side, also on the right of an even map, where Keras's "same" would put both
  zeros; an odd map of 2 n + 1 rows becomes one of n + 1.
* Kernels are drawn from a normal distribution of variance 2 / fan-out, not truncated.
* As in the other networks: `bn0`, pooling over the map, `fc1`. Here `fc1` starts like
  theirs, in the published code from PyTorch's default.

The paper's "about 1.5 million parameters" are 32, 64 and 128 channels, which is width 1
here; the published code's own default is twice as wide.

Layers are named after the published ones: `layer2_0_down_sample_0` is the convolution
in the shortcut of the first block of stage 2.
"""

from collections.abc import Callable

from keras import initializers, layers

from tfhier.backbones.blocks import batch_norm, convolution, embed, enter, scaled

STAGES = (32, 64, 128)
BLOCKS_A_STAGE = 4


def wide_resnet28(
    log_mel,
    *,
    width: float = 1.0,
    dropout_scale: float = 1.0,
    augment: Callable | None = None,
):
    """WideResNet28: twelve residual blocks of 32 to 128 channels; 128 units.

    Args:
        log_mel: Keras tensor (batch, frames, mels) of any size.
        width: float > 0. Multiplies every channel count; 1 is the paper's.
        dropout_scale: float >= 0. Multiplies the dropout rate.
        augment: Layer applied behind `bn0`, such as SpecAugment; None for none.

    Returns:
        Keras tensor (batch, round(128 * width)), non-negative.
    """
    x = enter(log_mel, min_frames=1, augment=augment)
    x = _convolution(x, scaled(STAGES[0], width), 3, 1, "conv1")
    x = batch_norm("bn1")(x)
    x = layers.Activation("relu", name="relu")(x)
    for stage, units in enumerate(STAGES, start=1):
        for block in range(BLOCKS_A_STAGE):
            x = _basic_block(
                x,
                scaled(units, width),
                2 if stage > 1 and block == 0 else 1,
                name=f"layer{stage}_{block}",
            )
    return embed(x, scaled(STAGES[-1], width), dropout_scale=dropout_scale)


def _basic_block(x, units: int, stride: int, *, name: str):
    shortcut = x
    if stride > 1:
        shortcut = _convolution(x, units, 1, stride, f"{name}_down_sample_0")
        shortcut = batch_norm(f"{name}_down_sample_1")(shortcut)
    x = _convolution(x, units, 3, stride, f"{name}_conv1")
    x = batch_norm(f"{name}_bn1")(x)
    x = layers.Activation("relu", name=f"{name}_relu1")(x)
    x = _convolution(x, units, 3, 1, f"{name}_conv2")
    x = batch_norm(f"{name}_bn2")(x)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.Activation("relu", name=f"{name}_relu2")(x)


def _convolution(x, units: int, kernel: int, stride: int, name: str):
    """Convolve as PyTorch does with a padding of half the kernel."""
    initializer = initializers.VarianceScaling(
        2.0, mode="fan_out", distribution="untruncated_normal"
    )
    if stride > 1 and kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    return convolution(
        units,
        kernel,
        stride=stride,
        padding="same" if stride == 1 else "valid",
        initializer=initializer,
        name=name,
    )(x)
