"""Patches of long maps against NumPy: their number, their places, their padding."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfhier.layers import Patches

LENGTHS = [1, 95, 96, 97, 144, 145, 498]


def by_hand(maps: np.ndarray, num_frames: int, hop: int, padding: float) -> np.ndarray:
    """Patches one after the other, until one reaches the end."""
    patches, start = [], 0
    while True:
        patch = maps[:, start : start + num_frames]
        lack = num_frames - patch.shape[1]
        patches.append(
            np.pad(patch, [(0, 0), (0, lack), (0, 0)], constant_values=padding)
        )
        if start + num_frames >= maps.shape[1]:
            return np.stack(patches, axis=1)
        start += hop


def maps(rng, frames: int) -> np.ndarray:
    return rng.normal(size=(2, frames, 3)).astype(np.float32)


@pytest.mark.parametrize(("num_frames", "hop"), [(96, 48), (96, 96), (7, 3), (1, 1)])
@pytest.mark.parametrize("frames", LENGTHS)
def test_patches_by_hand(frames, num_frames, hop, rng):
    inputs = maps(rng, frames)
    layer = Patches(num_frames, hop=hop, padding=-7.0)
    expected = by_hand(inputs, num_frames, hop, -7.0)
    np.testing.assert_array_equal(layer(inputs), expected)
    assert layer.compute_output_shape(inputs.shape) == expected.shape


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_graph_of_unknown_length_decides_when_it_runs(jit_compile, rng):
    shape = keras.Input((None, 3))
    model = keras.Model(shape, Patches(96, hop=48, padding=-7.0)(shape))
    assert model.output_shape == (None, None, 96, 3)
    graph = tf.function(
        model,
        input_signature=[tf.TensorSpec((None, None, 3))],
        jit_compile=jit_compile,
    )
    for frames in (20, 96, 200):
        inputs = maps(rng, frames)
        np.testing.assert_array_equal(graph(inputs), by_hand(inputs, 96, 48, -7.0))


@pytest.mark.parametrize("hop", [0, 97])
def test_hops_that_leave_frames_out_are_refused(hop):
    with pytest.raises(ValueError, match=rf"num_frames=96, hop={hop}"):
        Patches(96, hop=hop)
