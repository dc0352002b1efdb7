"""Every public block of the house, once: layers, backbones and heads.

A case says how to make a block, what goes in, what comes out and how many numbers it
trains. `test_every_layer.py` runs each property over the whole list, so a new block is
tested by adding its line here; `test_inventory_is_complete` fails until that is done.

Shapes are those of one clip, without the batch axis.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from tfhier import heads
from tfhier.backbones import BACKBONES
from tfhier.layers import (
    ClippedAttentionPool,
    GlobalWeightedRankPool,
    GroupedAveragePool,
    GroupedMaxPool,
    GroupedNoisyOr,
    LogMel,
    MatmulConv2D,
    PaddedAveragePool,
    PadFrames,
    Patches,
    ResidualAttention,
    SoftDecisionTree,
    SpecAugment,
    TwoStepAttentionPool,
    Unfold,
)
from tfhier.taxonomy import Taxonomy

Shape = tuple[int, ...]

LOG_MEL = {
    "sample_rate": 16_000,
    "num_fft": 512,
    "hop_length": 160,
    "num_mels": 32,
    "min_hertz": 50.0,
    "max_hertz": 8_000.0,
}
TREE = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\nd,y\ne,z\n")


@dataclass(frozen=True)
class Case:
    """One block.

    Args:
        name: str. Unique; the class, or the name in its table.
        apply: Makes the block anew and applies it to a Keras tensor or a list of them.
        inputs: Shapes of the inputs.
        outputs: Shapes of the outputs, in their order.
        num_trained: int. Numbers that training changes.
        make: Makes the layer alone; None for functions of Keras tensors.
        probabilities: bool. Whether the inputs are probabilities; else signed.
        num_heard: int or None. How many of the inputs, from the first on, are more than
            a shape to follow. Defaults to None: all.
        random: bool. Whether two training calls differ.
        prepare: Changes a new model's weights; None for as they are.
    """

    name: str
    apply: Callable
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    num_trained: int
    make: Callable[[], keras.layers.Layer] | None = None
    probabilities: bool = False
    num_heard: int | None = None
    random: bool = False
    prepare: Callable[[keras.Model, np.ndarray], None] | None = None

    def model(self) -> keras.Model:
        """Return the block as a functional model with an open batch axis."""
        inputs = [keras.Input(shape) for shape in self.inputs]
        inputs = inputs[0] if len(inputs) == 1 else inputs
        model = keras.Model(inputs, self.apply(inputs))
        if self.prepare:
            self.prepare(model, self.draw(np.random.default_rng(3), batch=16))
        return model

    def draw(
        self, rng: np.random.Generator, *, batch: int = 3, gain: float = 0.5
    ) -> np.ndarray | list[np.ndarray]:
        """Return random inputs, in the range [0, gain] or [-gain, gain]."""
        low = 0.0 if self.probabilities else -gain
        drawn = [
            rng.uniform(low, gain, (batch, *shape)).astype(np.float32)
            for shape in self.inputs
        ]
        return drawn[0] if len(drawn) == 1 else drawn


def _layer(make: Callable[[], keras.layers.Layer], name: str = "", **facts) -> Case:
    return Case(
        name=name or type(make()).__name__,
        apply=lambda inputs: make()(inputs),
        make=make,
        **facts,
    )


def settle(model: keras.Model, inputs: np.ndarray) -> None:
    """Let a deep network's normalisations scale what comes to the size of 1.

    Untrained, next to nothing comes through: running variances of 1 are far above the
    true ones, and residual branches begin with a gain of zero. The size is the root
    mean square of a batch; to take away means as well would leave differences of
    nearly equal numbers, rounding and all.
    """
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for norm in norms:
        if not np.any(norm.gamma):
            norm.gamma.assign(keras.ops.ones_like(norm.gamma) / 2)
        norm.momentum = 0.0
    model(inputs, training=True)
    for norm in norms:
        norm.momentum = 0.9
        norm.moving_variance.assign_add(norm.moving_mean**2)
        norm.moving_mean.assign(keras.ops.zeros_like(norm.moving_mean))


def _backbone(name: str, *, shape: Shape, units: int, num_trained: int, **more) -> Case:
    facts = {"outputs": ((units,),), "random": True, **more}
    return Case(
        name=name,
        apply=lambda inputs: BACKBONES[name](inputs, width=1 / 16),
        inputs=(shape,),
        num_trained=num_trained,
        **facts,
    )


def _head(name: str, num_trained: int) -> Case:
    return Case(
        name=name,
        apply=lambda inputs: heads.HEADS[name](inputs, TREE),
        inputs=((6,),),
        outputs=((5,), (3,)),
        num_trained=num_trained,
    )


LAYERS = (
    _layer(
        lambda: GroupedAveragePool([[0, 2], [1, 2, 3]]),
        inputs=((4,),),
        outputs=((2,),),
        num_trained=0,
        probabilities=True,
    ),
    _layer(
        lambda: GroupedMaxPool([[0, 2], [1, 2, 3]]),
        inputs=((4,),),
        outputs=((2,),),
        num_trained=0,
        probabilities=True,
    ),
    _layer(
        lambda: GroupedNoisyOr([[0, 2], [1, 2, 3]]),
        inputs=((4,),),
        outputs=((2,),),
        num_trained=0,
        probabilities=True,
    ),
    _layer(
        lambda: LogMel(
            **LOG_MEL,
            window_length=400,
        ),
        inputs=((1_700,),),
        outputs=((11, 32),),
        num_trained=0,
    ),
    _layer(
        lambda: LogMel(
            **LOG_MEL,
            window_length=400,
            transform="convolution",
        ),
        "LogMel by convolution",
        inputs=((1_700,),),
        outputs=((11, 32),),
        num_trained=0,
    ),
    _layer(
        lambda: LogMel(
            **LOG_MEL,
            window_length=400,
            exponent=1,
            offset=1e-3,
            center=False,
        ),
        "LogMel of whole windows, logarithms of magnitudes",
        inputs=((1_700,),),
        outputs=((9, 32),),
        num_trained=0,
    ),
    _layer(
        lambda: MatmulConv2D(5, (3, 2), padding="same"),
        inputs=((6, 4, 3),),
        outputs=((6, 4, 5),),
        num_trained=3 * 2 * 3 * 5 + 5,
    ),
    _layer(lambda: PadFrames(5), inputs=((3, 4),), outputs=((5, 4),), num_trained=0),
    _layer(
        lambda: PadFrames(5),
        "PadFrames with nothing to do",
        inputs=((6, 4),),
        outputs=((6, 4),),
        num_trained=0,
    ),
    _layer(
        lambda: Patches(4, hop=2, padding=-7.0),
        inputs=((7, 3),),
        outputs=((3, 4, 3),),
        num_trained=0,
    ),
    _layer(
        lambda: ResidualAttention(2),
        inputs=((6,), (4,)),
        outputs=((2,),),
        num_trained=6 * 4 * 2 + 4 * 2,
        probabilities=True,
    ),
    _layer(
        lambda: ResidualAttention(2, return_attention_scores=True),
        "ResidualAttention with its map",
        inputs=((6,), (4,)),
        outputs=((2,), (4, 2)),
        num_trained=6 * 4 * 2 + 4 * 2,
        probabilities=True,
    ),
    _layer(
        lambda: ResidualAttention(2, groups=[[0, 2], [1, 2, 3]], prior=1.5, scale=0.3),
        "ResidualAttention with a prior",
        inputs=((6,), (4,)),
        outputs=((2,),),
        num_trained=6 * 4 * 2 + 4 * 2,
        probabilities=True,
    ),
    _layer(
        lambda: SoftDecisionTree([0, 0, 1]),
        inputs=((3,), (2,)),
        outputs=((3,),),
        num_trained=0,
        probabilities=True,
    ),
    _layer(
        lambda: SpecAugment(time_width=12, mel_width=6, seed=1),
        inputs=((40, 16),),
        outputs=((40, 16),),
        num_trained=0,
        random=True,
    ),
    _layer(
        lambda: ClippedAttentionPool(5),
        inputs=((6, 4, 3),),
        outputs=((5,),),
        num_trained=2 * (3 * 5 + 5),
    ),
    _layer(
        lambda: GlobalWeightedRankPool(0.9),
        inputs=((6, 4, 3),),
        outputs=((3,),),
        num_trained=0,
    ),
    _layer(
        lambda: PaddedAveragePool(3),
        inputs=((6, 4, 3),),
        outputs=((6, 4, 3),),
        num_trained=0,
    ),
    _layer(
        lambda: TwoStepAttentionPool(time_kernel=3),
        inputs=((6, 4, 3),),
        outputs=((3,),),
        num_trained=2 * (4 * 4 + 4) + 2 * (3 + 1),
    ),
    _layer(
        lambda: TwoStepAttentionPool(6, squash="classification", return_maps=True),
        "TwoStepAttentionPool as published, with its maps",
        inputs=((6, 4, 3),),
        outputs=((3,), (6, 3), (6, 3), (6, 3), (6, 4, 3)),
        num_trained=2 * (4 * 4 + 4) + 2 * (6 * 6 + 6),
    ),
    # One patch a clip: as many rows as clips.
    _layer(
        lambda: Unfold(),
        inputs=((5,), (1, 4, 2)),
        outputs=((1, 5),),
        num_trained=0,
        num_heard=1,
    ),
)

# Channels 4, 8, 16, 32 (64, 128) at a sixteenth of the width; kernels without bias, two
# numbers a channel in every normalisation (and a mel band in bn0), then fc1.
NETWORKS = (
    _backbone(
        "cnn6",
        shape=(37, 18),
        units=32,
        num_trained=2 * 18
        + 25 * (1 * 4 + 4 * 8 + 8 * 16 + 16 * 32)
        + 2 * (4 + 8 + 16 + 32)
        + 32 * 32
        + 32,
    ),
    _backbone(
        "cnn10",
        shape=(37, 18),
        units=32,
        num_trained=2 * 18
        + 9 * (1 * 4 + 4 * 8 + 8 * 16 + 16 * 32 + 4**2 + 8**2 + 16**2 + 32**2)
        + 4 * (4 + 8 + 16 + 32)
        + 32 * 32
        + 32,
    ),
    _backbone(
        "cnn14",
        shape=(37, 33),
        units=128,
        num_trained=2 * 33
        + 9 * (1 * 4 + 4 * 8 + 8 * 16 + 16 * 32 + 32 * 64 + 64 * 128)
        + 9 * (4**2 + 8**2 + 16**2 + 32**2 + 64**2 + 128**2)
        + 4 * (4 + 8 + 16 + 32 + 64 + 128)
        + 128 * 128
        + 128,
    ),
    # Channels 2, 4, 8, 8, 16, 16, six times 32, twice 64. A depthwise kernel has 9
    # numbers a channel that comes in; a normalisation stands behind either kernel.
    _backbone(
        "mobilenet_v1",
        shape=(37, 33),
        units=64,
        num_trained=2 * 33
        + (9 * 1 * 2 + 2 * 2)
        + (9 + 2) * (2 + 4 + 8 + 8 + 16 + 16 + 6 * 32 + 64)
        + (2 * 4 + 4 * 8 + 8 * 8 + 8 * 16 + 16 * 16 + 16 * 32 + 5 * 32 * 32)
        + (32 * 64 + 64 * 64)
        + 2 * (4 + 8 + 8 + 16 + 16 + 6 * 32 + 2 * 64)
        + 64 * 64
        + 64,
        prepare=settle,
    ),
    # Stages of 4, 8, 16, 32 channels: four kernels and normalisations each, and from
    # the second on a shortcut; before and behind them a convolution block.
    _backbone(
        "resnet22",
        shape=(37, 33),
        units=128,
        num_trained=2 * 33
        + 9 * (1 * 4 + 4**2)
        + 2 * (2 * 4)
        + 9 * (4 * 4**2)
        + 9 * (4 * 8 + 3 * 8**2 + 8 * 16 + 3 * 16**2 + 16 * 32 + 3 * 32**2)
        + 4 * 2 * (4 + 8 + 16 + 32)
        + (4 * 8 + 8 * 16 + 16 * 32)
        + 2 * (8 + 16 + 32)
        + 9 * (32 * 128 + 128**2)
        + 2 * (2 * 128)
        + 128 * 128
        + 128,
        prepare=settle,
    ),
    # A first convolution, then stages of 2, 4, 8 channels: eight kernels and
    # normalisations each, and from the second on a shortcut.
    _backbone(
        "wide_resnet28",
        shape=(13, 6),
        units=8,
        num_trained=2 * 6
        + (9 * 1 * 2 + 2 * 2)
        + 9 * (8 * 2**2)
        + 9 * (2 * 4 + 7 * 4**2 + 4 * 8 + 7 * 8**2)
        + 8 * 2 * (2 + 4 + 8)
        + (2 * 4 + 4 * 8)
        + 2 * (4 + 8)
        + 8 * 8
        + 8,
        prepare=settle,
    ),
    # The channels of mobilenet_v1, with biases in place of normalisations. 150 frames
    # are three patches.
    _backbone(
        "yamnet",
        shape=(150, 33),
        units=64,
        outputs=((3, 64),),
        num_trained=(9 * 1 * 2 + 2)
        + (9 + 1) * (2 + 4 + 8 + 8 + 16 + 16 + 6 * 32 + 64)
        + (2 * 4 + 4 * 8 + 8 * 8 + 8 * 16 + 16 * 16 + 16 * 32 + 5 * 32 * 32)
        + (32 * 64 + 64 * 64)
        + (4 + 8 + 8 + 16 + 16 + 6 * 32 + 2 * 64),
        random=False,
    ),
    _backbone("mlp", shape=(5, 12), units=16, num_trained=2 * 12 + 12 * 16 + 16),
)

# Embeddings of 6 units; TREE has 5 fine and 3 coarse labels.
HEADS = (
    _head("flat", 6 * 5 + 5),
    _head("levelwise", (6 * 5 + 5) + (6 * 3 + 3)),
    _head("sdt", (6 * 5 + 5) + (6 * 3 + 3)),
    _head("gap", 6 * 5 + 5),
    _head("lp", (6 * 5 + 5) + (5 * 3 + 3)),
    _head("gmp", 6 * 5 + 5),
    _head("resatt", (6 * 5 + 5) + (6 * 5 * 3 + 5 * 3)),
)

EVERYTHING = (*LAYERS, *NETWORKS, *HEADS)
