"""One short test a property, run over every block of the inventory."""

import functools
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import tree

import tfhier.layers
from tests import inventory
from tfhier import heads
from tfhier.backbones import BACKBONES
from tfhier.layers import GroupedMaxPool, LogMel, ResidualAttention, log_mel

every_block = pytest.mark.parametrize(
    "case", inventory.EVERYTHING, ids=lambda case: case.name
)
every_layer = pytest.mark.parametrize(
    "case", inventory.LAYERS, ids=lambda case: case.name
)


@functools.cache
def model_of(case: inventory.Case) -> keras.Model:
    """The block as a model, made once for the tests that only read it."""
    keras.utils.set_random_seed(5)
    return case.model()


def parts(outputs) -> list:
    """Outputs as a list, those of a dict in its own order (Keras's tree sorts keys)."""
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def numbers(outputs) -> list[np.ndarray]:
    """Outputs of any structure as a list of arrays."""
    return [keras.ops.convert_to_numpy(value) for value in parts(outputs)]


def apart(first, second) -> float:
    """Largest difference between two structures of outputs."""
    pairs = zip(numbers(first), numbers(second), strict=True)
    return max(float(np.abs(one - two).max()) for one, two in pairs)


def test_inventory_is_complete():
    public = {
        name
        for name in tfhier.layers.__all__
        if inspect.isclass(vars(tfhier.layers)[name])
    }
    assert {type(case.make()).__name__ for case in inventory.LAYERS} == public
    assert {case.name for case in inventory.NETWORKS} == set(BACKBONES)
    assert {case.name for case in inventory.HEADS} == set(heads.HEADS)
    names = [case.name for case in inventory.EVERYTHING]
    assert len(names) == len(set(names))


@every_layer
def test_every_layer_survives_its_config(case, rng):
    inputs = case.draw(rng)
    layer = case.make()
    outputs = layer(inputs)
    twin = type(layer).from_config(layer.get_config())
    twin.build(tree.map_structure(np.shape, inputs))
    twin.set_weights(layer.get_weights())
    assert twin.get_config() == layer.get_config()
    assert apart(twin(inputs), outputs) == 0


@every_block
def test_saved_and_reloaded_answers_are_equal(case, rng, tmp_path):
    model = model_of(case)
    model.save(tmp_path / "block.keras")
    inputs = case.draw(rng)
    again = keras.saving.load_model(tmp_path / "block.keras")
    assert apart(again(inputs), model(inputs)) == 0


@every_block
def test_output_shapes_are_as_declared(case, rng):
    model = model_of(case)
    symbolic = [tensor.shape for tensor in parts(model.output)]
    assert symbolic == [(None, *shape) for shape in case.outputs]
    real = [values.shape for values in numbers(model(case.draw(rng, batch=2)))]
    assert real == [(2, *shape) for shape in case.outputs]


@every_layer
def test_computed_output_shape_is_the_real_one(case):
    shapes = [(None, *shape) for shape in case.inputs]
    computed = case.make().compute_output_shape(
        shapes[0] if len(shapes) == 1 else shapes
    )
    computed = parts(computed) if len(case.outputs) > 1 else [computed]
    assert tuple(computed) == tuple((None, *shape) for shape in case.outputs)


@every_block
def test_number_of_trained_weights(case):
    trained = model_of(case).trainable_weights
    assert sum(int(np.prod(weight.shape)) for weight in trained) == case.num_trained


@every_block
def test_graph_gives_what_eager_gives(case, rng):
    model, inputs = model_of(case), case.draw(rng)
    eager = numbers(model(inputs))
    graph = tf.function(model, jit_compile=False)(inputs)
    for one, two, three in zip(
        eager, numbers(graph), numbers(model.predict(inputs, verbose=0)), strict=True
    ):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(three, one, rtol=1e-5, atol=1e-5)


@every_block
def test_half_precision_stays_finite(case, rng):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = case.model()
        outputs = model(case.draw(rng))
    finally:
        keras.config.set_dtype_policy("float32")
    expected = "float32" if case.name.startswith("LogMel") else "float16"
    for tensor in parts(outputs):
        assert keras.backend.standardize_dtype(tensor.dtype) == expected
    assert all(np.isfinite(values).all() for values in numbers(outputs))


@every_block
def test_gradients_are_finite_and_reach_inputs_and_weights(case, rng):
    model = model_of(case)
    inputs = tree.map_structure(tf.constant, case.draw(rng))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = model(inputs)
        # A cube, so that no sum of probabilities is constant.
        total = sum(tf.reduce_sum(values**3) for values in parts(outputs))
    heard = tree.flatten(inputs)[: case.num_heard]
    sources = [*heard, *model.trainable_weights]
    for gradient in tape.gradient(total, sources):
        assert gradient is not None
        assert np.isfinite(gradient).all()
        assert np.any(gradient)


@every_block
def test_inference_draws_nothing_and_training_only_where_declared(case, rng):
    model, inputs = model_of(case), case.draw(rng)
    assert apart(model(inputs, training=False), model(inputs, training=False)) == 0
    assert apart(model(inputs), model(inputs, training=False)) == 0
    trained = case.model()  # training moves the statistics of normalisations
    drawn = [trained(inputs, training=True) for _ in range(2)]
    assert (apart(*drawn) > 1e-6) == case.random


@every_block
@pytest.mark.parametrize("own_gain", [0.3, 1e-5])
def test_a_clip_does_not_depend_on_its_neighbours(case, own_gain, rng):
    model = model_of(case)
    clip = case.draw(rng, batch=1, gain=own_gain)

    def beside(gain: float) -> list[np.ndarray]:
        neighbour = case.draw(rng, batch=1, gain=gain)
        batch = tree.map_structure(lambda *rows: np.concatenate(rows), clip, neighbour)
        return [values[:1] for values in numbers(model(batch))]

    loud, quiet, alone = beside(1.0), beside(1e-4), numbers(model(clip))
    for one, two, three in zip(loud, quiet, alone, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(one, three, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("transform", log_mel.TRANSFORMS)
def test_blocks_convert_to_tflite_with_built_in_operations(transform, rng):
    waveform = keras.Input((4_000,), batch_size=1)
    front_end = LogMel(
        **inventory.LOG_MEL,
        transform=transform,
    )
    embedding = keras.ops.mean(front_end(waveform), axis=1) / 50
    fine = keras.layers.Dense(4, activation="sigmoid")(embedding)
    outputs = {
        "largest": GroupedMaxPool([[0, 2], [1, 3]])(fine),
        "attended": ResidualAttention(2)([embedding, fine]),
    }
    model = keras.Model(waveform, outputs)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    assert converter.target_spec.supported_ops == {tf.lite.OpsSet.TFLITE_BUILTINS}
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    sound = rng.uniform(-0.5, 0.5, (1, 4_000)).astype(np.float32)
    runner = interpreter.get_signature_runner()
    (name,) = runner.get_input_details()
    converted = runner(**{name: sound})
    expected = model(sound)
    assert set(converted) == set(expected)
    for key, values in expected.items():
        np.testing.assert_allclose(converted[key], values, atol=1e-4)
