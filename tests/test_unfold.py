"""Rows of the batch sorted by clip again, for any number of clips and patches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfhier.layers import Unfold


def folding() -> keras.Model:
    """A model that folds patches into the batch and unfolds them again."""
    patches = keras.Input((None, 4))
    folded = keras.ops.reshape(patches, (-1, 4))
    return keras.Model(patches, Unfold()([folded, patches]))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("clips", "patches"), [(1, 1), (2, 3), (3, 2)])
def test_what_was_folded_comes_back(clips, patches, jit_compile, rng):
    model = folding()
    assert model.output_shape == (None, None, 4)
    graph = tf.function(
        model,
        input_signature=[tf.TensorSpec((None, None, 4))],
        jit_compile=jit_compile,
    )
    inputs = rng.normal(size=(clips, patches, 4)).astype(np.float32)
    np.testing.assert_array_equal(graph(inputs), inputs)


def test_what_is_known_of_the_shape_is_kept():
    layer = Unfold()
    for like in ((None, 3, 96, 64), (None, None, 5), (2, 3)):
        shape = layer.compute_output_shape([(None, 4), like])
        assert shape == (*like[:2], 4)
