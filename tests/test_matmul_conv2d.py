"""Convolutions as products: Keras's own as the oracle, gradients, unknown sizes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfhier.backbones import blocks
from tfhier.layers import MatmulConv2D


def twins(shape, kernel_size=(3, 2), padding="same", **more):
    """The layer and Keras's, with the same weights."""
    made = [
        layer(4, kernel_size, padding=padding, bias_initializer="uniform", **more)
        for layer in (MatmulConv2D, keras.layers.Conv2D)
    ]
    for layer in made:
        layer.build((None, *shape))
    made[1].set_weights(made[0].get_weights())
    return made


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel_size", [1, (3, 2), (2, 5)])
def test_it_is_keras_own_convolution(padding, kernel_size, rng):
    inputs = rng.normal(size=(2, 7, 6, 3)).astype(np.float32)
    ours, theirs = twins(inputs.shape[1:], kernel_size, padding, activation="relu")
    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-6)
    assert ours.compute_output_shape(inputs.shape) == theirs(inputs).shape


def test_gradients_are_those_of_keras_own_convolution(rng):
    inputs = tf.constant(rng.normal(size=(2, 7, 6, 3)).astype(np.float32))
    found = []
    for layer in twins(inputs.shape[1:]):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs) ** 2)
        found.append(tape.gradient(loss, [inputs, *layer.trainable_weights]))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_graph_takes_maps_of_any_size(rng):
    ours, theirs = twins((None, None, 3))
    shape = keras.Input((None, None, 3))
    model = keras.Model(shape, ours(shape))
    assert model.output_shape == (None, None, None, 4)
    graph = tf.function(
        model, input_signature=[tf.TensorSpec((None, None, None, 3))], autograph=False
    )
    for size in ((1, 1), (5, 9)):
        inputs = rng.normal(size=(2, *size, 3)).astype(np.float32)
        np.testing.assert_allclose(graph(inputs), theirs(inputs), rtol=1e-5, atol=1e-6)


def test_with_a_gpu_it_is_left_to_tensorflow(monkeypatch, rng):
    inputs = rng.normal(size=(1, 4, 4, 3)).astype(np.float32)
    ours, theirs = twins(inputs.shape[1:])
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: [f"{kind}:0"])
    monkeypatch.setattr(keras.ops, "concatenate", None)
    np.testing.assert_array_equal(ours(inputs), theirs(inputs))


@pytest.mark.parametrize(
    "more",
    [
        {"strides": 2},
        {"dilation_rate": (1, 2)},
        {"groups": 2},
        {"data_format": "channels_first"},
    ],
)
def test_what_it_does_not_compute_is_refused(more):
    name = next(iter(more))
    with pytest.raises(ValueError, match=f"MatmulConv2D has {name}=.*Received: {name}"):
        MatmulConv2D(4, 3, **more)


@pytest.mark.parametrize(
    ("units", "kernel", "stride", "is_product"),
    [
        (1_024, 3, 1, True),
        (2_048, 3, 1, True),
        (512, 3, 1, False),
        (1_024, 1, 1, False),
        (1_024, 3, 2, False),
    ],
)
def test_networks_take_it_for_many_channels(units, kernel, stride, is_product):
    made = blocks.convolution(units, kernel, name="conv", stride=stride)
    assert isinstance(made, MatmulConv2D) == is_product
    assert made.strides == (stride, stride)
    assert (made.use_bias, made.padding) == (False, "same")
