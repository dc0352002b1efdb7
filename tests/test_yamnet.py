"""YAMNet's network against NumPy, its patches, its padding, its start."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfhier import frontends
from tfhier.backbones.yamnet import SILENCE, yamnet


def build(*, frames: int | None = None, mels: int = 64, width=1 / 16, **more):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((frames, mels))
    return keras.Model(inputs, yamnet(inputs, width=width, **more))


@functools.cache
def shaken() -> keras.Model:
    """A narrow network whose biases all do something."""
    model = build()
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if layer.weights:
            layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    return model


def log_mel(rng, *, frames: int) -> np.ndarray:
    return rng.normal(-3, 2, (2, frames, 64)).astype(np.float32)


def convolved(x: np.ndarray, layer) -> np.ndarray:
    """Convolution as TensorFlow pads it, biases and ReLU.

    As many cells come out as the stride begins; what the kernel lacks for the last of
    them is zeros, half on either side, the odd one behind.
    """
    kernel, bias = (values.numpy() for values in layer.weights)
    stride, size = layer.strides[0], kernel.shape[0]
    lack = [max(0, (-(-n // stride) - 1) * stride + size - n) for n in x.shape[1:3]]
    padding = [(n // 2, n - n // 2) for n in lack]
    padded = np.pad(x, [(0, 0), *padding, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, kernel.shape[:2], axis=(1, 2)
    )[:, ::stride, ::stride]
    if isinstance(layer, layers.DepthwiseConv2D):
        maps = np.einsum("bhwcij,ijc->bhwc", windows, kernel[..., 0])
    else:
        maps = np.einsum("bhwcij,ijco->bhwo", windows, kernel)
    return np.maximum(maps + bias, 0)


def by_hand(model: keras.Model, patch: np.ndarray) -> np.ndarray:
    """Embeddings of patches (clips, 96, mels), layer by layer as published."""
    x = patch[..., None]
    strides = [2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    for number, stride in enumerate(strides, start=1):
        name = f"layer{number}"
        parts = ["conv"] if number == 1 else ["depthwise", "pointwise"]
        for part in parts:
            layer = model.get_layer(f"{name}_{part}")
            assert layer.strides == ((1, 1) if part == "pointwise" else 2 * (stride,))
            x = convolved(x, layer)
    assert x.shape[1:3] == (3, 2)
    return x.mean(axis=(1, 2))


def test_every_patch_by_hand(rng):
    """150 frames: from 0, from 48, and from 96 with 42 frames of silence."""
    inputs = log_mel(rng, frames=150)
    longer = np.pad(inputs, [(0, 0), (0, 42), (0, 0)], constant_values=np.log(0.001))
    patches = [longer[:, start : start + 96] for start in (0, 48, 96)]
    expected = np.stack([by_hand(shaken(), patch) for patch in patches], axis=1)
    got = shaken()(inputs).numpy()
    assert got.shape == expected.shape == (2, 3, 64)
    assert np.abs(got - expected).max() <= 1e-5 * expected.max()
    assert expected.std(axis=(0, 1)).max() > 0.01  # patches and clips differ


@pytest.mark.parametrize("frames", [1, 60, 95, 97, 140])
def test_a_clip_ends_in_silence(frames, rng):
    """Frames of the front end's own silence change nothing that was padded."""
    inputs = log_mel(rng, frames=frames)
    silence = frontends.build("yamnet_16k")(np.zeros((2, 16_000), np.float32))
    whole = 96 if frames <= 96 else 144
    by_hand = np.concatenate([inputs, silence[:, : whole - frames]], axis=1)
    np.testing.assert_allclose(shaken()(inputs), shaken()(by_hand), rtol=1e-5)


@pytest.mark.parametrize(
    ("samples", "patches"),
    [(400, 1), (15_600, 1), (15_760, 2), (23_280, 2), (80_000, 10)],
)
def test_number_of_patches_of_a_waveform(samples, patches):
    """One, and one more for every 7,680 samples begun; 160 samples make a frame."""
    frames = frontends.build("yamnet_16k")(np.zeros((1, samples), np.float32)).shape[1]
    with keras.StatelessScope():
        assert build(frames=frames).output_shape == (None, patches, 64)


def test_known_and_unknown_lengths_and_batches_are_answered_alike(rng):
    graph = tf.function(
        shaken(), input_signature=[tf.TensorSpec((None, None, 64))], jit_compile=False
    )
    for frames in (20, 150):
        inputs = log_mel(rng, frames=frames)
        fixed = build(frames=frames)
        fixed.set_weights(shaken().get_weights())
        for answer in (fixed(inputs), graph(inputs)):
            np.testing.assert_allclose(answer, shaken()(inputs), rtol=1e-4, atol=1e-5)


def test_width_multiplies_the_channels():
    with keras.StatelessScope():
        assert build(width=1 / 4).output_shape == (None, None, 256)
        assert build(width=1e-6).output_shape == (None, None, 1)


@pytest.mark.parametrize("frames", [40, 150])
def test_augment_comes_in_front_of_the_patches_and_masks_with_silence(frames, rng):
    model = build(augment=layers.Lambda(lambda x: 0 * x, name="nothing"))
    names = [layer.name for layer in model.layers]
    assert names.index("nothing") < names.index("patches")
    inputs = log_mel(rng, frames=frames)
    silent = np.full_like(inputs, SILENCE)
    plain = build()
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(model(inputs), plain(silent), rtol=1e-5)
    assert np.abs(plain(inputs) - plain(silent)).max() > 1e-3


@pytest.mark.parametrize("width", [1 / 16, 1 / 2])
def test_a_fresh_network_lets_its_input_through(width, rng):
    """No normalisation scales what comes: kernels start so that it keeps its size."""
    inputs = log_mel(rng, frames=96)
    outputs = build(width=width)(inputs).numpy()
    size = np.sqrt(np.mean(outputs**2)) / np.sqrt(np.mean(inputs**2))
    assert 0.05 < size < 5
    assert np.ptp(outputs, axis=0).max() > 1e-3


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_waveforms_of_any_length_convert_to_tflite_with_built_in_operations(rng):
    waveform = keras.Input((None,), batch_size=1)
    model = keras.Model(waveform, shaken()(frontends.build("yamnet_16k")(waveform)))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    assert converter.target_spec.supported_ops == {tf.lite.OpsSet.TFLITE_BUILTINS}
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    (place,), (result,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    for samples in (8_000, 40_000):
        sound = rng.uniform(-0.5, 0.5, (1, samples)).astype(np.float32)
        interpreter.resize_tensor_input(place["index"], sound.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place["index"], sound)
        interpreter.invoke()
        got = interpreter.get_tensor(result["index"])
        np.testing.assert_allclose(got, model(sound), rtol=1e-3, atol=1e-4)
