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
    GroupedAveragePool,
    GroupedMaxPool,
    LogMel,
    ResidualAttention,
    SoftDecisionTree,
    SpecAugment,
)
from tfhier.taxonomy import Taxonomy

Shape = tuple[int, ...]

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
        random: bool. Whether two training calls differ.
    """

    name: str
    apply: Callable
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    num_trained: int
    make: Callable[[], keras.layers.Layer] | None = None
    probabilities: bool = False
    random: bool = False

    def model(self) -> keras.Model:
        """Return the block as a functional model with an open batch axis."""
        inputs = [keras.Input(shape) for shape in self.inputs]
        inputs = inputs[0] if len(inputs) == 1 else inputs
        return keras.Model(inputs, self.apply(inputs))

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


def _backbone(name: str, *, shape: Shape, units: int, num_trained: int) -> Case:
    return Case(
        name=name,
        apply=lambda inputs: BACKBONES[name](inputs, width=1 / 16),
        inputs=(shape,),
        outputs=((units,),),
        num_trained=num_trained,
        random=True,
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
        lambda: LogMel(
            sample_rate=16_000,
            num_fft=512,
            hop_length=160,
            num_mels=32,
            min_hertz=50.0,
            max_hertz=8_000.0,
            window_length=400,
        ),
        inputs=((1_700,),),
        outputs=((11, 32),),
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
