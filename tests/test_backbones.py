"""Backbones: published sizes, poolings, short clips, dropout, normalisation, names."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.inventory import settle
from tfhier import frontends
from tfhier.backbones import BACKBONES, SMALLEST_BANDS, describe

NETWORKS = ("cnn6", "cnn10", "cnn14")
POOLED = (*NETWORKS, "mobilenet_v1", "resnet22")
MAPS = (*POOLED, "wide_resnet28")
EVERY = (*MAPS, "mlp")

# The layer whose map is pooled over.
LAST = {
    "cnn6": "conv_block4_dropout",
    "cnn10": "conv_block4_dropout",
    "cnn14": "conv_block6_dropout",
    "mobilenet_v1": "features_13_6",
    "resnet22": "conv_block_after1_dropout",
    "wide_resnet28": "layer3_3_relu2",
}


def build(name: str, *, frames: int | None = None, mels: int = 64, width=None, **more):
    # A network of few channels keeps more of them.
    width = width or (1 / 4 if name == "wide_resnet28" else 1 / 16)
    keras.utils.set_random_seed(1)
    inputs = keras.Input((frames, mels))
    return keras.Model(inputs, BACKBONES[name](inputs, width=width, **more))


@functools.cache
def small(name: str) -> keras.Model:
    """A narrow network with answers of its own, for tests that only read it."""
    model = build(name)
    settle(model, log_mel(np.random.default_rng(7)))
    return model


def log_mel(rng, *, frames: int = 70, mels: int = 64) -> np.ndarray:
    return rng.normal(-30, 10, (2, frames, mels)).astype(np.float32)


def tap(model: keras.Model, layer: str) -> keras.Model:
    """The model up to the output of a layer."""
    return keras.Model(model.input, model.get_layer(layer).output)


# -- Sizes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "width", "num_classes", "num_trained"),
    [
        # PANNs' networks with AudioSet's 527 classes, from the published code. Counted
        # is what training changes: no running statistics, nothing of the front end.
        ("cnn6", 1, 527, 4_837_455),
        ("cnn10", 1, 527, 5_219_279),
        ("cnn14", 1, 527, 80_753_615),
        ("mobilenet_v1", 1, 527, 4_796_303),
        ("resnet22", 1, 527, 63_675_087),
        # The same with five classes, as Pellegrini 2021 used them. His WideResNet28
        # has "about 1.5 million"; the default of the published code is twice as wide.
        ("cnn6", 1, 5, 4_569_669),
        ("cnn10", 1, 5, 4_951_493),
        ("mobilenet_v1", 1, 5, 4_261_253),
        ("resnet22", 1, 5, 62_605_509),
        ("wide_resnet28", 1, 5, 1_487_973),
        ("wide_resnet28", 2, 5, 5_941_317),
        # YAMNet with AudioSet's 521 classes: 3,195,456 and the classifier. Its code
        # counts more, for it does not fold the normalisations.
        ("yamnet", 1, 521, 3_195_456 + 521 * 1_025),
    ],
)
def test_number_of_parameters_is_the_published_one(
    name, width, num_classes, num_trained
):
    inputs = keras.Input((None, 64))
    # A stateless scope keeps the weights symbolic: their shapes are all that is asked.
    with keras.StatelessScope():
        embedding = BACKBONES[name](inputs, width=width)
        model = keras.Model(inputs, layers.Dense(num_classes)(embedding))
    shapes = [weight.shape for weight in model.trainable_weights]
    assert sum(int(np.prod(shape)) for shape in shapes) == num_trained


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("cnn6", 512),
        ("cnn10", 512),
        ("cnn14", 2_048),
        ("mobilenet_v1", 1_024),
        ("resnet22", 2_048),
        ("wide_resnet28", 128),
        ("mlp", 256),
    ],
)
def test_width_multiplies_the_embedding(name, units):
    with keras.StatelessScope():
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
    with keras.StatelessScope():
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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mobilenet_v1", [(75, 32), (37, 16), (18, 8), (9, 4), (4, 2)]),
        # In front of a stage and in its shortcut, then in front of the last block.
        (
            "resnet22",
            [(75, 32), *2 * [(37, 16)], *2 * [(18, 8)], *2 * [(9, 4)], (4, 2)],
        ),
    ],
)
def test_poolings_take_the_place_of_strides(name, expected):
    with keras.StatelessScope():
        model = build(name, frames=150)
    pools = [x for x in model.layers if isinstance(x, layers.AveragePooling2D)]
    assert [x.output.shape[1:3] for x in pools] == expected
    kernels = (layers.Conv2D, layers.DepthwiseConv2D)
    convolutions = [x for x in model.layers if isinstance(x, kernels)]
    assert {x.strides for x in convolutions} == {(1, 1)}


def test_wide_resnet_halves_odd_maps_upwards():
    """Stages 2 and 3 start with a stride; 75 x 33 cells become 38 x 17 and 19 x 9."""
    with keras.StatelessScope():
        model = build("wide_resnet28", frames=75, mels=33)
    shapes = [
        model.get_layer(f"layer{stage}_3_relu2").output.shape[1:3]
        for stage in (1, 2, 3)
    ]
    assert shapes == [(75, 33), (38, 17), (19, 9)]
    assert not any(isinstance(x, layers.AveragePooling2D) for x in model.layers)


@pytest.mark.parametrize("name", MAPS)
def test_embedding_is_max_plus_mean_over_time_of_the_mean_over_mels(name, rng):
    model, inputs = small(name), log_mel(rng)
    maps = tap(model, LAST[name])(inputs).numpy().mean(axis=2)
    pooled = maps.max(axis=1) + maps.mean(axis=1)
    kernel, bias = (weight.numpy() for weight in model.get_layer("fc1").weights)
    expected = np.maximum(pooled @ kernel + bias, 0)
    assert expected.any()
    np.testing.assert_allclose(model(inputs), expected, rtol=1e-4, atol=1e-5)


# -- Short clips ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "samples", "frames"),
    [
        ("primates_16k", 47_860, 150),
        ("primates_8k", 23_930, 75),
        ("primates_8k", 2_400, 8),
    ],
)
def test_frames_of_the_primates(name, samples, frames):
    """Clips of 2.99 s as published, and of 0.3 s."""
    log_mels = frontends.build(name)(np.zeros((1, samples), np.float32))
    assert log_mels.shape == (1, frames, 64)


@pytest.mark.parametrize("name", MAPS)
def test_any_length_from_one_frame_on(name, rng):
    model = small(name)
    for frames in (1, 8, SMALLEST_BANDS[name], SMALLEST_BANDS[name] + 1, 101):
        clips = log_mel(rng, frames=frames)
        assert np.isfinite(model(clips)).all()
        assert np.any(tap(model, LAST[name])(clips))


@pytest.mark.parametrize("name", POOLED)
def test_a_short_clip_is_one_that_goes_on_with_the_mean(name, rng):
    """Behind bn0 zero is a band's mean: frames of it change nothing that was padded."""
    model = build(name)
    settle(model, log_mel(rng))
    bn0 = model.get_layer("bn0")
    bn0.moving_mean.assign(np.linspace(-40, -20, 64))
    for frames in (8, 15):
        clips = log_mel(rng, frames=frames)
        missing = SMALLEST_BANDS[name] - frames
        mean = np.tile(bn0.moving_mean.numpy(), (len(clips), missing, 1))
        by_hand = model(np.concatenate([clips, mean], axis=1))
        assert np.any(by_hand)
        np.testing.assert_allclose(model(clips), by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", POOLED)
def test_nothing_is_padded_from_the_smallest_map_on(name, rng):
    smallest = SMALLEST_BANDS[name]
    for frames, padded in ((smallest - 1, smallest), (smallest, smallest), (150, 150)):
        clips = log_mel(rng, frames=frames)
        maps = tap(small(name), "pad_frames")(clips)
        assert maps.shape[1] == padded
        normal = small(name).get_layer("bn0")(clips)
        np.testing.assert_array_equal(maps[:, :frames], normal)


@pytest.mark.parametrize("name", MAPS)
def test_known_and_unknown_lengths_are_answered_alike(name, rng):
    fixed = build(name, frames=8)
    fixed.set_weights(small(name).get_weights())
    clips = log_mel(rng, frames=8)
    for answer in (fixed(clips), tf.function(small(name))(clips)):
        np.testing.assert_allclose(answer, small(name)(clips), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", POOLED)
def test_networks_need_the_bands_that_they_say(name):
    smallest = SMALLEST_BANDS[name]
    with keras.StatelessScope():
        assert build(name, mels=smallest).output_shape[1]
        with pytest.raises(ValueError, match="pool"):
            build(name, mels=smallest - 1)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_clips_of_any_length_convert_to_tflite_with_built_in_operations(rng):
    model = small("cnn6")
    one = keras.Input((None, 64), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(one, model(one)))
    assert converter.target_spec.supported_ops == {tf.lite.OpsSet.TFLITE_BUILTINS}
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    (place,), (result,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    for frames in (8, 50):
        clip = log_mel(rng, frames=frames)[:1]
        interpreter.resize_tensor_input(place["index"], clip.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place["index"], clip)
        interpreter.invoke()
        got = interpreter.get_tensor(result["index"])
        np.testing.assert_allclose(got, model(clip), rtol=1e-3, atol=1e-4)


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


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("mobilenet_v1", [0.5]),
        ("wide_resnet28", [0.5]),
        ("resnet22", [0.2, *8 * [0.1], 0.2, 0.2, 0.5]),
    ],
)
def test_rates_of_dropout_in_the_deep_networks(name, rates):
    with keras.StatelessScope():
        half = build(name, dropout_scale=0.5)
    for model, scale in ((small(name), 1.0), (half, 0.5)):
        drops = [x for x in model.layers if isinstance(x, layers.Dropout)]
        assert [x.rate for x in drops] == [scale * rate for rate in rates]
        assert [x.name for x in model.layers[-2:]] == ["dropout", "fc1"]


@pytest.mark.parametrize("name", EVERY)
def test_normalisations_have_panns_constants(name):
    with keras.StatelessScope():
        model = build(name)
    norms = [x for x in model.layers if isinstance(x, layers.BatchNormalization)]
    expected = {
        "cnn6": 5,
        "cnn10": 9,
        "cnn14": 13,
        "mobilenet_v1": 1 + 1 + 2 * 13,
        "resnet22": 1 + 2 + 2 * 8 + 3 + 2,
        "wide_resnet28": 1 + 1 + 2 * 12 + 2,
        "mlp": 1,
    }
    assert len(norms) == expected[name]
    assert {(x.epsilon, x.momentum) for x in norms} == {(1e-5, 0.9)}


@pytest.mark.parametrize("name", EVERY)
def test_bn0_normalises_each_mel_band(name, rng):
    """Bands of any level and spread end alike, also one that was shifted alone."""
    model, inputs = build(name), log_mel(rng)
    bn0 = model.get_layer("bn0")
    assert bn0.gamma.shape == (64,)
    shifted = inputs + 50 * (np.arange(64) == 7)
    normal = bn0(shifted.astype(np.float32), training=True).numpy()
    np.testing.assert_allclose(normal.mean(axis=(0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(normal.std(axis=(0, 1)), 1, atol=1e-3)


@pytest.mark.parametrize("name", EVERY)
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
