"""Time `MatmulConv2D` against Keras's convolution, on maps as in CNN14's last blocks.

    python tests/benchmarks/matmul_conv2d.py

A round is a run of the one and a run of the other; the ratio is Keras's time over ours,
above 1 where the layer is the faster one: the geometric mean over rounds with a 95 %
interval.
"""

import argparse
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from against_torch import ratio
from tqdm import tqdm

from tfhier import console, machine
from tfhier.layers import MatmulConv2D

# (height, width, channels that come in, filters): 10 s of sound, kernels 3 x 3.
MAPS = (
    (125, 8, 512, 512),
    (62, 4, 512, 1_024),
    (62, 4, 1_024, 1_024),
    (31, 2, 1_024, 2_048),
    (31, 2, 2_048, 2_048),
)
BATCHES = (1, 8)
WARM_UP_CALLS = 3


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rounds", type=int, default=15, help="pairs of runs (default: 15)")
    args = p.parse_args()
    rows = []
    bar = tqdm([(shape, batch) for shape in MAPS for batch in BATCHES], leave=False)
    for (height, width, channels, filters), batch in bar:
        inputs = tf.random.normal((batch, height, width, channels))
        pairs = time_pairs(
            *(
                compiled(layer(filters, 3, padding="same"), inputs)
                for layer in (MatmulConv2D, keras.layers.Conv2D)
            ),
            args.rounds,
        )
        found = ratio(pairs)
        ours, theirs = 1_000 * np.median(pairs, axis=0)
        rows.append(
            [
                f"{height} x {width}, {channels} to {filters} channels, batch {batch}",
                f"{ours:.0f}",
                f"{theirs:.0f}",
                f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]",
            ]
        )
    facts = machine.describe()
    console.line("machine", f"{facts['processor']}, {facts['num_cores']} cores")
    console.line("versions", f"TensorFlow {facts['tensorflow']}, {facts['date']}")
    header = ["maps", "MatmulConv2D ms", "Conv2D ms", "Conv2D / MatmulConv2D"]
    print(f"\n{console.table(header, rows)}")


def compiled(layer: keras.layers.Layer, inputs: tf.Tensor) -> Callable[[], object]:
    """Return what computes a layer of inputs in graph mode."""
    layer.build(inputs.shape)
    graph = tf.function(layer, autograph=False)
    return lambda: graph(inputs)


def time_pairs(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int
) -> list[tuple[float, float]]:
    """Return the seconds of a call of either, a pair a round."""
    for _ in range(WARM_UP_CALLS):
        ours()
        theirs()
    return [(_seconds(ours), _seconds(theirs)) for _ in range(rounds)]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
