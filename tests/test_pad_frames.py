"""Zero frames for short maps: known answers, unknown lengths, the graph left alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfhier.layers import PadFrames


def maps(rng, frames: int) -> np.ndarray:
    return rng.normal(size=(2, frames, 3)).astype(np.float32)


@pytest.mark.parametrize(("frames", "padded"), [(1, 4), (3, 4), (4, 4), (5, 5)])
def test_zeros_are_appended_up_to_the_least_number(frames, padded, rng):
    inputs = maps(rng, frames)
    expected = np.zeros((2, padded, 3), np.float32)
    expected[:, :frames] = inputs
    np.testing.assert_array_equal(PadFrames(4)(inputs), expected)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_graph_of_unknown_length_decides_when_it_runs(jit_compile, rng):
    shape = keras.Input((None, 3))
    model = keras.Model(shape, PadFrames(4)(shape))
    assert model.output_shape == (None, None, 3)
    graph = tf.function(
        model,
        input_signature=[tf.TensorSpec((None, None, 3))],
        jit_compile=jit_compile,
    )
    for frames in (2, 4, 6):
        inputs = maps(rng, frames)
        got = graph(inputs).numpy()
        assert got.shape == (2, max(frames, 4), 3)
        np.testing.assert_array_equal(got[:, :frames], inputs)
        assert not got[:, frames:].any()


def test_a_graph_of_known_length_gets_no_operation_that_it_does_not_need():
    def operations(frames: int) -> list[str]:
        graph = tf.function(PadFrames(4)).get_concrete_function(
            tf.TensorSpec((2, frames, 3))
        )
        return [op.type for op in graph.graph.get_operations()]

    assert not {"Pad", "PadV2", "Maximum", "Shape"} & set(operations(4))
    assert "Maximum" not in operations(3)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((None, None, 3), (None, None, 3)),
        ((None, 2, 3), (None, 4, 3)),
        ((7, 9, None), (7, 9, None)),
    ],
)
def test_shapes_are_known_as_far_as_they_can_be(shape, expected):
    assert PadFrames(4).compute_output_shape(shape) == expected


def test_a_senseless_number_is_refused():
    with pytest.raises(ValueError, match="Received: min_frames=0"):
        PadFrames(0)
