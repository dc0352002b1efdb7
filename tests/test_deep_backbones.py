"""Blocks of MobileNetV1, ResNet22 and WideResNet28 against NumPy, and their start."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

from tfhier.backbones import BACKBONES

# Names of the published tensors, without their kinds.
PUBLISHED = {
    "mobilenet_v1": [
        "features.0.0",
        "features.0.2",
        *[f"features.{block}.{part}" for block in range(1, 14)
          for part in (0, 2, 4, 5)],
    ],
    "resnet22": [
        *[f"conv_block{block}.{part}{n}" for block in ("1", "_after1")
          for part in ("conv", "bn") for n in (1, 2)],
        *[f"resnet.layer{stage}.{block}.{part}{n}" for stage in (1, 2, 3, 4)
          for block in (0, 1) for part in ("conv", "bn") for n in (1, 2)],
        *[f"resnet.layer{stage}.0.downsample.{n}" for stage in (2, 3, 4)
          for n in (1, 2)],
    ],
    "wide_resnet28": [
        "conv1",
        "bn1",
        *[f"layer{stage}.{block}.{part}{n}" for stage in (1, 2, 3)
          for block in range(4) for part in ("conv", "bn") for n in (1, 2)],
        *[f"layer{stage}.0.down_sample.{n}" for stage in (2, 3) for n in (0, 1)],
    ],
}  # fmt: skip
DEEP = tuple(PUBLISHED)


@functools.cache
def fresh(name: str) -> keras.Model:
    """The network at an eighth of its width, as it starts."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((None, 41))
    return keras.Model(inputs, BACKBONES[name](inputs, width=1 / 8))


@functools.cache
def shaken(name: str) -> keras.Model:
    """The same with normalisations that all do something."""
    model = keras.models.clone_model(fresh(name))
    model.set_weights(fresh(name).get_weights())
    rng = np.random.default_rng(11)
    for norm in model.layers:
        if isinstance(norm, layers.BatchNormalization):
            size = norm.gamma.shape
            norm.gamma.assign(rng.uniform(1, 3, size))
            norm.beta.assign(rng.normal(0, 1, size))
            norm.moving_mean.assign(rng.normal(0, 0.2, size))
            norm.moving_variance.assign(rng.uniform(0.2, 1, size))
    return model


def maps(model: keras.Model, frames: int, *names: str) -> list[np.ndarray]:
    """What layers make of a random log-mel: (2, frames, mels, channels) each."""
    log_mel = np.random.default_rng(12).normal(size=(2, frames, 41))
    taps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    return [values.numpy() for values in taps(log_mel.astype(np.float32))]


def convolved(x, layer, stride: int = 1) -> np.ndarray:
    """Convolution with half a kernel of zeros on every side, then the stride."""
    kernel = layer.kernel.numpy()
    half = kernel.shape[0] // 2
    padded = np.pad(x, [(0, 0), (half, half), (half, half), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, kernel.shape[:2], axis=(1, 2)
    )[:, ::stride, ::stride]
    if isinstance(layer, layers.DepthwiseConv2D):
        return np.einsum("bhwcij,ijc->bhwc", windows, kernel[..., 0])
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel)


def normal(x, norm) -> np.ndarray:
    gamma, beta, mean, variance = (values.numpy() for values in norm.weights)
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def halved(x) -> np.ndarray:
    """Means of 2 x 2 cells without an odd last row or column."""
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    cells = x[:, : 2 * rows, : 2 * columns]
    return cells.reshape(len(x), rows, 2, columns, 2, -1).mean(axis=(2, 4))


def relu(x) -> np.ndarray:
    return np.maximum(x, 0)


def assert_near(got: np.ndarray, expected: np.ndarray) -> None:
    """Agree to a share of the largest value, as float32 sums do."""
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("block", "pooled"), [(2, True), (3, False)])
def test_a_depthwise_separable_block_by_hand(block, pooled):
    """Block 2 gets 35 x 20 cells and pools them to 17 x 10, block 3 pools nothing."""
    model = shaken("mobilenet_v1")
    get = model.get_layer
    x, got = maps(model, 70, f"features_{block - 1}_6", f"features_{block}_6")
    name = f"features_{block}"
    x = convolved(x, get(f"{name}_0"))
    x = relu(normal(halved(x) if pooled else x, get(f"{name}_2")))
    expected = relu(normal(convolved(x, get(f"{name}_4")), get(f"{name}_5")))
    assert expected.shape[1:3] == (17, 10)
    assert expected.max() > 6  # ReLU, not ReLU6
    assert_near(got, expected)


def test_the_first_block_of_mobilenet_by_hand():
    model = shaken("mobilenet_v1")
    get = model.get_layer
    x, got = maps(model, 70, "pad_frames", "features_0_3")
    expected = halved(convolved(x[..., None], get("features_0_0")))
    expected = relu(normal(expected, get("features_0_2")))
    assert_near(got, expected)


@pytest.mark.parametrize(("block", "halves"), [(0, True), (1, False)])
def test_a_residual_block_by_hand(block, halves):
    """Stage 2 gets an odd map, 35 x 20 cells, and makes it 17 x 10."""
    model = shaken("resnet22")
    get, name = model.get_layer, f"resnet_layer2_{block}"
    before = "resnet_layer1_1_relu2" if halves else "resnet_layer2_0_relu2"
    x, got = maps(model, 70, before, f"{name}_relu2")
    shortcut = x = halved(x) if halves else x
    if halves:
        shortcut = convolved(shortcut, get(f"{name}_downsample_1"))
        shortcut = normal(shortcut, get(f"{name}_downsample_2"))
    x = relu(normal(convolved(x, get(f"{name}_conv1")), get(f"{name}_bn1")))
    x = normal(convolved(x, get(f"{name}_conv2")), get(f"{name}_bn2"))
    assert x.shape[1:3] == (17, 10)
    assert_near(got, relu(x + shortcut))


@pytest.mark.parametrize("frames", [24, 25])
@pytest.mark.parametrize(("block", "stride"), [(0, 2), (1, 1)])
def test_a_block_of_the_wide_network_by_hand(block, stride, frames):
    """Even and odd lengths: a stride of 2 sees one zero on every side of the map."""
    model = shaken("wide_resnet28")
    get, name = model.get_layer, f"layer2_{block}"
    before = "layer1_3_relu2" if stride == 2 else "layer2_0_relu2"
    x, got = maps(model, frames, before, f"{name}_relu2")
    shortcut = x
    if stride == 2:
        shortcut = convolved(x, get(f"{name}_down_sample_0"), stride)
        shortcut = normal(shortcut, get(f"{name}_down_sample_1"))
    x = relu(normal(convolved(x, get(f"{name}_conv1"), stride), get(f"{name}_bn1")))
    x = normal(convolved(x, get(f"{name}_conv2")), get(f"{name}_bn2"))
    assert x.shape[1:3] == ((frames + 1) // 2, 21)
    assert_near(got, relu(x + shortcut))


def test_residual_blocks_of_resnet22_start_as_their_shortcuts():
    model = fresh("resnet22")
    names = [f"resnet_layer{stage}_{block}_relu2" for stage, block in ((2, 0), (2, 1))]
    first, second = maps(model, 70, *names)
    assert first.any()
    np.testing.assert_array_equal(first, second)
    zero = [
        layer.name
        for layer in model.layers
        if isinstance(layer, layers.BatchNormalization) and not np.any(layer.gamma)
    ]
    assert zero == [
        f"resnet_layer{stage}_{block}_bn2" for stage in (1, 2, 3, 4) for block in (0, 1)
    ]


def test_kernels_of_the_wide_network_start_with_the_variance_of_their_fan_out():
    """Two by what one input reaches; drawn from the whole normal curve."""
    scaled = []
    for layer in fresh("wide_resnet28").layers:
        if isinstance(layer, layers.Conv2D):
            kernel = layer.kernel.numpy()
            fan_out = kernel.shape[0] * kernel.shape[1] * kernel.shape[3]
            scaled.append(kernel.ravel() / np.sqrt(2 / fan_out))
            assert abs(scaled[-1].mean()) < 5 / np.sqrt(scaled[-1].size)
    scaled = np.concatenate(scaled)
    assert abs(scaled.std() - 1) < 0.02
    assert np.abs(scaled).max() > 3  # a truncated curve ends at about 2.3


@pytest.mark.parametrize("name", ["mobilenet_v1", "resnet22"])
def test_kernels_of_panns_networks_start_as_glorot_has_it(name):
    """Uniform up to the square root of 6 / (fan-in + fan-out)."""
    checked = 0
    for layer in fresh(name).layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            kernel = layer.kernel.numpy()
            area = kernel.shape[0] * kernel.shape[1]
            limit = np.sqrt(6 / (area * (kernel.shape[2] + kernel.shape[3])))
            assert 0.8 * limit < np.abs(kernel).max() <= limit
            checked += 1
    assert checked == {"mobilenet_v1": 27, "resnet22": 23}[name]


@pytest.mark.parametrize("name", DEEP)
def test_layers_with_weights_are_named_after_the_published_ones(name):
    expected = {published.replace(".", "_") for published in PUBLISHED[name]}
    ours = {layer.name for layer in fresh(name).layers if layer.weights}
    random = {layer.name for layer in fresh(name).layers if "dropout" in layer.name}
    assert ours - random == expected | {"bn0", "fc1"}
