"""PANNs' networks: published sizes, poolings that drop odd rows, places of dropout."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

from tfhier.backbones import BACKBONES, describe

NETWORKS = ("cnn6", "cnn10", "cnn14")


def build(
    name: str, *, frames: int | None = None, mels: int = 64, width=1 / 16, **more
):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((frames, mels))
    return keras.Model(inputs, BACKBONES[name](inputs, width=width, **more))


@functools.cache
def small(name: str) -> keras.Model:
    """The network at a sixteenth of its width, for tests that only read it."""
    return build(name)


def log_mel(rng, *, frames: int = 70, mels: int = 64) -> np.ndarray:
    return rng.normal(-30, 10, (2, frames, mels)).astype(np.float32)


def tap(model: keras.Model, layer: str) -> keras.Model:
    """The model up to the output of a layer."""
    return keras.Model(model.input, model.get_layer(layer).output)


# -- Sizes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "num_classes", "num_trained"),
    [
        # PANNs' networks with AudioSet's 527 classes, from the published code. Counted
        # is what training changes: no running statistics, nothing of the front end.
        ("cnn6", 527, 4_837_455),
        ("cnn10", 527, 5_219_279),
        ("cnn14", 527, 80_753_615),
        # The same with five classes, as Pellegrini 2021 used them.
        ("cnn6", 5, 4_569_669),
        ("cnn10", 5, 4_951_493),
    ],
)
def test_number_of_parameters_is_the_published_one(name, num_classes, num_trained):
    inputs = keras.Input((None, 64))
    # A stateless scope keeps the weights symbolic: their shapes are all that is asked.
    with keras.StatelessScope():
        embedding = BACKBONES[name](inputs)
        model = keras.Model(inputs, layers.Dense(num_classes)(embedding))
    shapes = [weight.shape for weight in model.trainable_weights]
    assert sum(int(np.prod(shape)) for shape in shapes) == num_trained


@pytest.mark.parametrize(
    ("name", "units"), [("cnn6", 512), ("cnn10", 512), ("cnn14", 2_048), ("mlp", 256)]
)
def test_width_multiplies_the_embedding(name, units):
    for width in (1 / 16, 1 / 4):
        assert build(name, width=width).output_shape == (None, units * width)
    narrow = build(name, width=1e-6)
    assert narrow.output_shape == (None, 1)


def test_channels_of_cnn14():
    model = small("cnn14")
    convolutions = [x for x in model.layers if isinstance(x, layers.Conv2D)]
    assert [x.filters for x in convolutions] == [
        units // 16 for units in (64, 128, 256, 512, 1_024, 2_048) for _ in range(2)
    ]
    assert {x.kernel_size for x in convolutions} == {(3, 3)}
    six = [x for x in small("cnn6").layers if isinstance(x, layers.Conv2D)]
    assert [x.kernel_size for x in six] == [(5, 5)] * 4
    assert not any(x.use_bias for x in (*convolutions, *six))


# -- Poolings ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_poolings_drop_odd_rows(name):
    """150 frames become 75, 37, 18, 9 (4 in cnn14, whose last block pools nothing)."""
    model = build(name, frames=150)
    shapes = [layer.output.shape[1:3] for layer in model.layers if "pool" in layer.name]
    expected = [(75, 32), (37, 16), (18, 8), (9, 4), (4, 2)]
    assert shapes == expected[: 5 if name == "cnn14" else 4]
    last = [layer for layer in model.layers if layer.name.endswith("_dropout")][-1]
    assert last.output.shape[1:3] == shapes[-1]


def test_pooling_averages_pairs_and_ignores_the_odd_row(rng):
    pool = small("cnn6").get_layer("conv_block1_pool")
    maps = rng.normal(size=(1, 5, 3, 2)).astype(np.float32)
    expected = maps[:, :4, :2].reshape(1, 2, 2, 1, 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(pool(maps), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_embedding_is_max_plus_mean_over_time_of_the_mean_over_mels(name, rng):
    model, inputs = small(name), log_mel(rng)
    last = [x.name for x in model.layers if x.name.endswith("_dropout")][-1]
    maps = tap(model, last)(inputs).numpy().mean(axis=2)
    pooled = maps.max(axis=1) + maps.mean(axis=1)
    kernel, bias = (weight.numpy() for weight in model.get_layer("fc1").weights)
    expected = np.maximum(pooled @ kernel + bias, 0)
    np.testing.assert_allclose(model(inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_length_from_the_shortest_on(name, rng):
    model = small(name)
    shortest = 32 if name == "cnn14" else 16
    for frames in (shortest, shortest + 1, 101):
        embedding = model(log_mel(rng, frames=frames)).numpy()
        assert np.isfinite(embedding).all()
        assert embedding.any()


# -- Dropout and normalisation -------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_places_and_rates_of_dropout(name):
    """0.2 behind every block, 0.5 in front of fc1, none behind it."""
    model = small(name)
    blocks = 6 if name == "cnn14" else 4
    drops = [x for x in model.layers if isinstance(x, layers.Dropout)]
    assert [x.rate for x in drops] == [0.2] * blocks + [0.5]
    assert [x.name for x in model.layers[-2:]] == ["dropout", "fc1"]
    for number in range(1, blocks + 1):
        place = model.layers.index(model.get_layer(f"conv_block{number}_dropout"))
        before = "relu2" if number == 6 else "pool"
        assert model.layers[place - 1].name == f"conv_block{number}_{before}"


@pytest.mark.parametrize("name", [*NETWORKS, "mlp"])
def test_normalisations_have_panns_constants(name):
    model = build(name)
    norms = [x for x in model.layers if isinstance(x, layers.BatchNormalization)]
    expected = {"cnn6": 5, "cnn10": 9, "cnn14": 13, "mlp": 1}
    assert len(norms) == expected[name]
    assert {(x.epsilon, x.momentum) for x in norms} == {(1e-5, 0.9)}


@pytest.mark.parametrize("name", [*NETWORKS, "mlp"])
def test_bn0_normalises_each_mel_band(name, rng):
    """Bands of any level and spread end alike, also one that was shifted alone."""
    model, inputs = build(name), log_mel(rng)
    bn0 = model.get_layer("bn0")
    assert bn0.gamma.shape == (64,)
    shifted = inputs + 50 * (np.arange(64) == 7)
    normal = bn0(shifted.astype(np.float32), training=True).numpy()
    np.testing.assert_allclose(normal.mean(axis=(0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(normal.std(axis=(0, 1)), 1, atol=1e-3)


@pytest.mark.parametrize("name", [*NETWORKS, "mlp"])
def test_augment_comes_right_behind_bn0(name, rng):
    model = build(name, augment=layers.Lambda(lambda x: 0 * x, name="nothing"))
    names = [layer.name for layer in model.layers]
    assert names.index("nothing") == names.index("bn0") + 1
    first, second = model(log_mel(rng)).numpy()
    np.testing.assert_array_equal(first, second)  # nothing is heard of either


def test_relu_comes_behind_every_normalisation(rng):
    model, inputs = small("cnn10"), log_mel(rng)
    for block in range(1, 5):
        for number in (1, 2):
            name = f"conv_block{block}"
            normal = tap(model, f"{name}_bn{number}")(inputs).numpy()
            rectified = tap(model, f"{name}_relu{number}")(inputs).numpy()
            np.testing.assert_array_equal(rectified, np.maximum(normal, 0))
            assert (normal < 0).any()


# -- The perceptron ------------------------------------------------------------------


def test_mlp_by_hand(rng):
    model = build("mlp", mels=6)
    inputs = rng.normal(size=(3, 4, 6)).astype(np.float32)
    kernel, bias = (weight.numpy() for weight in model.get_layer("fc1").weights)
    hidden = np.maximum(inputs / np.sqrt(1 + 1e-5) @ kernel + bias, 0)
    np.testing.assert_allclose(model(inputs), hidden.mean(axis=1), rtol=1e-4, atol=1e-6)
    flat = keras.Input((6,))
    plain = keras.Model(flat, BACKBONES["mlp"](flat, width=1 / 16))
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(plain(inputs[:, 0]), hidden[:, 0], rtol=1e-4, atol=1e-6)


def test_every_backbone_is_described():
    sentences = describe()
    assert set(sentences) == set(BACKBONES)
    assert all(sentence.strip() for sentence in sentences.values())
