"""YAMNet's weights: read from what TFLite's converter writes, and from the real file.

The published file lies outside the repository; without it those tests are skipped.
"""

import copy
import os
import random
from pathlib import Path

import flatbuffers
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from tfhier import audio, frontends, mel
from tfhier.backbones.yamnet import yamnet as backbone
from tfhier.errors import InputError
from tfhier.pretrained import rules, yamnet

DATA = Path(
    os.environ.get("TFHIER_DATA") or Path(__file__).parents[2] / "../shared/data"
)
PUBLISHED = DATA / "yamnet" / "yamnet.tflite"

pytestmark = pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")


def build(*, frames: int | None = None, width: float = 1.0) -> keras.Model:
    """YAMNet with its classifier: log-mel in, embeddings and scores of patches out."""
    keras.utils.set_random_seed(4)
    log_mel = keras.Input((frames, 64))
    embedding = backbone(log_mel, width=width)
    classifier = keras.layers.Dense(521, activation="sigmoid", name="classifier")
    return keras.Model(log_mel, [embedding, classifier(embedding)])


def own_weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {
        f"{layer.name}/{part}": weight.numpy()
        for layer in model.layers
        if layer.weights
        for part, weight in zip(("kernel", "bias"), layer.weights, strict=True)
    }


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A YAMNet with weights of its own, biases included."""
    model = build(frames=96)
    rng = np.random.default_rng(6)
    for layer in model.layers:
        if layer.weights:
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
    return model


@pytest.fixture(scope="module")
def converted(model) -> bytes:
    """The same as TFLite's converter writes it, with int8 kernels."""
    one = keras.Input((96, 64), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(
        keras.Model(one, model(one)[1])
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


# -- Files, taken apart and put together by TensorFlow's own schema ------------------


def parsed(content: bytes) -> schema.ModelT:
    return schema.ModelT.InitFromPackedBuf(content, 0)


def packed(file: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operators(file: schema.ModelT, *names: str) -> list[schema.OperatorT]:
    codes = {getattr(schema.BuiltinOperator, name) for name in names}
    return [
        operator
        for operator in file.subgraphs[0].operators
        if file.operatorCodes[operator.opcodeIndex].builtinCode in codes
    ]


def layers_of(file: schema.ModelT) -> list[schema.OperatorT]:
    return operators(file, "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def store(file: schema.ModelT, tensor: schema.TensorT, values: np.ndarray) -> None:
    """Give a constant tensor other values, in a buffer of its own."""
    tensor.buffer = len(file.buffers)
    file.buffers.append(schema.BufferT())
    file.buffers[-1].data = np.frombuffer(values.tobytes(), np.uint8)


def as_floats(content: bytes) -> bytes:
    """The same file with every int8 kernel as the floats that it stands for."""
    file = parsed(content)
    for tensor in file.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT8:
            stored = np.frombuffer(
                bytes(file.buffers[tensor.buffer].data), np.int8
            ).reshape(tensor.shape)
            axis, scale = tensor.quantization.quantizedDimension, tensor.quantization
            moved = np.moveaxis(stored, axis, -1) * scale.scale.astype(np.float32)
            store(file, tensor, np.moveaxis(moved, -1, axis).astype("<f4"))
            tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    return packed(file)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "network.tflite"
    path.write_bytes(content)
    return path


# -- Reading -------------------------------------------------------------------------


def shared_axes(name: str, values: np.ndarray) -> tuple[int, ...] | None:
    """Axes of a kernel that have the steps of int8 in common; None for all."""
    if name == "classifier/kernel":
        return None
    channels = 2 if name.endswith("depthwise/kernel") else values.ndim - 1
    return tuple(axis for axis in range(values.ndim) if axis != channels)


def test_what_was_written_is_read_to_half_a_step(model, converted, tmp_path):
    """Kernels are stored in 127 steps up to the largest value of a channel."""
    weights = yamnet.read(written(tmp_path, converted))
    expected = own_weights(model)
    assert list(weights) == list(expected)
    num_exact = 0
    for name, values in expected.items():
        assert weights[name].dtype == np.float32
        step = np.abs(values).max(axis=shared_axes(name, values), keepdims=True) / 127
        off = np.abs(weights[name] - values)
        num_exact += not off.any()
        assert (off <= 0.501 * step).all(), name
    assert num_exact >= 28  # biases, and kernels too small to be worth rounding
    assert num_exact < 40


def test_biases_of_a_network_of_integers_are_read(converted, tmp_path):
    """There biases are int32, in steps of their own."""
    file = parsed(converted)
    bias = file.subgraphs[0].tensors[layers_of(file)[3].inputs[2]]
    before = yamnet.read(written(tmp_path, converted))["layer3_depthwise/bias"]
    scale = np.linspace(1e-6, 2e-6, len(before)).astype(np.float32)
    store(file, bias, np.round(before / scale).astype("<i4"))
    bias.type = schema.TensorType.INT32
    bias.quantization = schema.QuantizationParametersT()
    bias.quantization.scale = scale
    bias.quantization.zeroPoint = np.zeros(len(before), np.int64)
    after = yamnet.read(written(tmp_path, packed(file)))["layer3_depthwise/bias"]
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-6)
    assert (after != before).any()


def test_zero_points_count(converted, tmp_path):
    file = parsed(converted)
    kernel = file.subgraphs[0].tensors[layers_of(file)[2].inputs[1]]
    before = yamnet.read(written(tmp_path, converted))["layer2_pointwise/kernel"]
    shift = np.arange(64) % 5
    kernel.quantization.zeroPoint = shift
    after = yamnet.read(written(tmp_path, packed(file)))["layer2_pointwise/kernel"]
    np.testing.assert_allclose(
        after, before - shift * kernel.quantization.scale, rtol=1e-4, atol=1e-6
    )


# -- Files that are something else ---------------------------------------------------


def drop(file, number):
    file.subgraphs[0].operators.remove(layers_of(file)[number])


def twice(file, number):
    found = file.subgraphs[0].operators
    found.append(copy.copy(layers_of(file)[number]))


def swap(file, number):
    place = layers_of(file)[number]
    other = layers_of(file)[number + 1]
    found = file.subgraphs[0].operators
    one, two = found.index(place), found.index(other)
    found[one], found[two] = other, place


def without_bias(file, number):
    place = layers_of(file)[number]
    place.inputs = np.array([*place.inputs[:2], -1], np.int32)


def reshaped(file, number):
    tensor = file.subgraphs[0].tensors[layers_of(file)[number].inputs[1]]
    tensor.shape = np.array([tensor.shape[0] // 2, 2, 1, tensor.shape[3]], np.int32)


@pytest.mark.parametrize(
    ("change", "number", "message"),
    [
        (drop, 5, "at layer4_depthwise it has CONV_2D with a kernel 128 x 1 x 1 x 128"),
        (drop, -1, "at classifier it has nothing; expected was FULLY_CONNECTED"),
        (twice, -1, "at the end it has FULLY_CONNECTED .* expected was nothing"),
        (swap, 1, "at layer2_depthwise it has CONV_2D with a kernel 64 x 1 x 1 x 32"),
        (without_bias, 4, "at layer3_pointwise it has .* 64 and 0 biases; expected"),
        (reshaped, 2, "at layer2_pointwise it has CONV_2D with a kernel 32 x 2 x 1 x"),
    ],
)
def test_another_network_is_refused_where_it_differs(
    change, number, message, converted, tmp_path
):
    file = parsed(converted)
    change(file, number)
    with pytest.raises(InputError, match=rf"network\.tflite is no YAMNet: {message}"):
        yamnet.read(written(tmp_path, packed(file)))


def test_types_that_are_not_read_are_refused(converted, tmp_path):
    file = parsed(converted)
    file.subgraphs[0].tensors[
        layers_of(file)[2].inputs[1]
    ].type = schema.TensorType.INT16
    with pytest.raises(InputError, match="not the float32, int8 and int32 constants"):
        yamnet.read(written(tmp_path, packed(file)))


def test_weights_that_are_not_finite_are_refused(converted, tmp_path):
    file = parsed(converted)
    tensor = file.subgraphs[0].tensors[layers_of(file)[2].inputs[1]]
    tensor.quantization.scale = np.full(64, np.nan, np.float32)
    with pytest.raises(InputError, match="weights that are not finite"):
        yamnet.read(written(tmp_path, packed(file)))


@pytest.mark.parametrize("content", [b"", b"TFL", bytes(200), b"PK\3\4" + bytes(50)])
def test_what_is_no_tflite_file_is_refused(content, tmp_path):
    with pytest.raises(InputError, match=r"network\.tflite is no TFLite file\. Give"):
        yamnet.read(written(tmp_path, content))


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(share, converted, tmp_path):
    content = converted[: max(8, int(share * len(converted)))]
    with pytest.raises(InputError, match=r"network\.tflite is damaged"):
        yamnet.read(written(tmp_path, content))


def test_random_bytes_end_in_the_one_error(converted, tmp_path):
    """Noise behind the file's mark, and over its tables; values alone may pass."""
    draw = random.Random(8)
    num_refused = 0
    for number in range(60):
        content = bytearray(converted)
        if number % 2:
            content[8:] = draw.randbytes(5_000)
        else:
            start = draw.choice([8, len(content) - 20_000]) + draw.randrange(2_000)
            content[start : start + 300] = draw.randbytes(300)
        try:
            yamnet.read(written(tmp_path, bytes(content)))
        except InputError:
            num_refused += 1
    assert num_refused > 30  # more than the files of noise


@pytest.mark.parametrize("path", ["nowhere.tflite", "."])
def test_a_path_that_cannot_be_read_is_named(path, tmp_path):
    with pytest.raises(InputError, match=f"{path} cannot be read: .*Give the TFLite"):
        yamnet.read(tmp_path / path)


# -- Its way into a model ------------------------------------------------------------

OWN = yamnet.rules_of("classifier")


def test_weights_go_where_their_names_say(model, converted, tmp_path):
    weights = yamnet.read(written(tmp_path, converted))
    other = build()
    assert rules.assign(other, weights, OWN) == []
    for name, values in own_weights(other).items():
        np.testing.assert_array_equal(values, weights[name])
    log_mel = keras.Input((None, 64))
    dense = keras.layers.Dense(521, name="fine_classifier")
    renamed = keras.Model(log_mel, dense(backbone(log_mel)))
    rules.assign(renamed, weights, yamnet.rules_of("fine_classifier"))
    np.testing.assert_array_equal(dense.kernel, weights["classifier/kernel"])


def test_models_that_the_weights_do_not_fit_are_refused_untouched():
    names = own_weights(build())
    narrow = build(width=1 / 16)
    before = own_weights(narrow)
    with pytest.raises(InputError, match=r"layer1_conv/bias \(32,\) instead of \(2,\)"):
        rules.assign(narrow, names, OWN)
    log_mel = keras.Input((None, 64))
    dense = keras.layers.Dense(521, name="fine_classifier")
    other = keras.Model(log_mel, dense(backbone(log_mel)))
    first = other.get_layer("layer1_conv").kernel.numpy()
    with pytest.raises(
        InputError, match=r"no tensor fills \(2\): fine_classifier/kern"
    ):
        rules.assign(other, {name: 2 * values for name, values in names.items()}, OWN)
    np.testing.assert_array_equal(other.get_layer("layer1_conv").kernel, first)
    for name, values in own_weights(narrow).items():
        np.testing.assert_array_equal(values, before[name])


# -- The published file --------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> keras.Model:
    if not PUBLISHED.is_file():
        pytest.skip(f"no file {PUBLISHED}; set TFHIER_DATA")
    model = build()
    rules.assign(model, yamnet.read(PUBLISHED), OWN)
    return model


def sounds() -> list[np.ndarray]:
    """The first 15,600 samples of some real clips."""
    paths = sorted((DATA / "esc50" / "audio").glob("*.ogg"))[::160]
    if not paths:
        pytest.skip(f"no clips in {DATA / 'esc50'}; set TFHIER_DATA")
    clips = [audio.read(path, sample_rate=16_000)[0][:15_600] for path in paths]
    return [np.pad(clip, (0, 15_600 - len(clip))).astype(np.float32) for clip in clips]


def answers(content: bytes, clips: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """What TFLite makes of clips: log-mels, embeddings, scores."""
    file = parsed(content)
    places = [operators(file, name)[0].outputs[0] for name in ("LOG", "MEAN")]
    places.append(file.subgraphs[0].outputs[0])
    interpreter = tf.lite.Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=(
            tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    interpreter.allocate_tensors()
    found = []
    for clip in clips:
        interpreter.set_tensor(file.subgraphs[0].inputs[0], clip)
        interpreter.invoke()
        found.append([interpreter.get_tensor(int(place)) for place in places])
    log_mels, embeddings, scores = zip(*found, strict=True)
    return np.stack(log_mels), np.concatenate(embeddings), np.concatenate(scores)


def best(scores: np.ndarray, count: int) -> list[set[int]]:
    return [set(row) for row in np.argsort(-scores, axis=1)[:, :count]]


def test_the_network_is_the_published_one(published):
    """Its weights as floats, run by TFLite from the same log-mel."""
    log_mels, embeddings, scores = answers(as_floats(PUBLISHED.read_bytes()), sounds())
    own_embeddings, own_scores = (
        values.numpy()[:, 0] for values in published(log_mels)
    )
    np.testing.assert_allclose(own_embeddings, embeddings, atol=5e-5)
    np.testing.assert_allclose(own_scores, scores, atol=2e-5)
    assert embeddings.max() > 5


def test_from_the_waveform_only_the_rounded_mel_bands_differ(published):
    """The file's mel matrix has 127 steps: 0.05 at most in the log-mel."""
    clips = sounds()
    log_mels, _, scores = answers(as_floats(PUBLISHED.read_bytes()), clips)
    own = frontends.build("yamnet_16k")(np.stack(clips))
    np.testing.assert_allclose(own, log_mels, atol=0.06)
    own_scores = published(own)[1].numpy()[:, 0]
    np.testing.assert_allclose(own_scores, scores, atol=0.03)
    assert best(own_scores, 1) == best(scores, 1)
    same = [
        one == two
        for one, two in zip(best(own_scores, 5), best(scores, 5), strict=True)
    ]
    assert np.mean(same) >= 0.9


def test_the_file_as_it_is_rounds_what_it_hears(published):
    """TFLite rounds activations to 8 bits: single scores move far, most do not."""
    clips = sounds()
    _, embeddings, scores = answers(PUBLISHED.read_bytes(), clips)
    own = published(frontends.build("yamnet_16k")(np.stack(clips)))
    own_embeddings, own_scores = (values.numpy()[:, 0] for values in own)
    assert np.corrcoef(own_embeddings.ravel(), embeddings.ravel())[0, 1] > 0.97
    assert np.abs(own_scores - scores).mean() < 0.003
    pairs = zip(best(own_scores, 5), best(scores, 1), strict=True)
    assert np.mean([one <= five for five, one in pairs]) >= 0.9


def test_the_mel_bands_are_the_published_ones(published):
    """Every value of the file's matrix is that of ours, rounded to its steps."""
    file = parsed(PUBLISHED.read_bytes())
    tensor = file.subgraphs[0].tensors[layers_of(file)[0].inputs[1]]
    steps = np.frombuffer(bytes(file.buffers[tensor.buffer].data), np.int8)
    names = ("sample_rate", "num_fft", "num_mels", "min_hertz", "max_hertz", "scale")
    settings = frontends.FRONTENDS["yamnet_16k"]
    bank = mel.filter_bank(**{name: settings[name] for name in names})
    expected = np.round(bank.T / tensor.quantization.scale[0])
    np.testing.assert_array_equal(steps.reshape(tensor.shape), expected)
