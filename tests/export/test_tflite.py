"""A `.tflite` file answers as Keras does, alone on a machine, or is one clear error."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import tfhier
from tests.export import models
from tfhier import frontends, members, tagger
from tfhier.contract import Contract
from tfhier.engines.litert import LiteRTEngine
from tfhier.errors import InputError
from tfhier.export import archive, exporting, tflite, tflite_file
from tfhier.layers import MatmulConv2D
from tfhier.runtime import LoadedTagger

ROOT = Path(__file__).parents[2]
PROMISED = Contract(taxonomy=models.TREE, sample_rate=models.RATE)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return models.write(tmp_path_factory.mktemp("saved") / "model.keras")


def exported(saved: Path, folder: Path, **options) -> Path:
    """The one file of an export."""
    wanted = exporting.Options(
        formats=("tflite",), test_clips=0, timed=False, output=folder, **options
    )
    (file,) = exporting.export(saved, wanted).files
    return file.path


@pytest.fixture(scope="module")
def any_length(saved, tmp_path_factory):
    return exported(saved, tmp_path_factory.mktemp("any"))


@pytest.fixture(scope="module")
def fixed(saved, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fixed")
    return exported(saved, folder, fixed=True, seconds=0.5, name="short")


@pytest.fixture(scope="module")
def reference(saved) -> LoadedTagger:
    return tfhier.load(saved)


def assert_alike(found: dict, expected: dict, *, within: float = 1e-5) -> None:
    assert found.keys() == expected.keys()
    for level, values in expected.items():
        np.testing.assert_allclose(found[level], values, rtol=0, atol=within)


def assert_same_bits(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for level, values in expected.items():
        np.testing.assert_array_equal(found[level], values)


# -- How long the sound may be --------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.345, 60.0])
def test_any_length_is_answered_as_keras_does(any_length, reference, seconds):
    waveforms = np.stack([models.clip(seconds, seed=seed) for seed in range(2)])
    expected = [reference.scores(each, sample_rate=models.RATE) for each in waveforms]
    run = Interpreter(str(any_length)).get_signature_runner("serving_default")
    together = run(waveform=waveforms)
    for row, scores in enumerate(expected):
        found = {level: each[row] for level, each in together.items()}
        assert_alike(found, scores)
        alone = tflite_file.scores(any_length.read_bytes(), waveforms[row])
        assert_alike(alone, scores)
    assert np.abs(expected[0]["zebra"] - expected[1]["zebra"]).max() > 1e-3


def taken(path: Path) -> tuple[list[int], list[int]]:
    """What a file takes where nobody asks, and what it can be resized to."""
    (detail,) = Interpreter(str(path)).get_input_details()
    return detail["shape"].tolist(), detail["shape_signature"].tolist()


def test_the_shape_that_nobody_asked_for_is_a_clip(any_length):
    assert taken(any_length) == ([1, 8_000], [-1, -1])
    interpreter = Interpreter(str(any_length))
    waveform = models.clip()
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], waveform[None])
    interpreter.invoke()
    plain = {
        detail["shape"][-1]: interpreter.get_tensor(detail["index"])[0]
        for detail in interpreter.get_output_details()
    }
    expected = tflite_file.scores(any_length.read_bytes(), waveform)
    assert_same_bits({"zebra": plain[5], "animal": plain[3]}, expected)


def test_a_file_of_a_fixed_length_takes_no_other(saved, fixed):
    assert fixed.name == "short.tflite"
    assert taken(fixed) == ([1, 4_000], [1, 4_000])
    run = Interpreter(str(fixed)).get_signature_runner("serving_default")
    with pytest.raises(RuntimeError, match="failed to (reshape|prepare)"):
        run(waveform=models.clip(1.0)[None])
    # `load` knows of it, and cuts longer clips and fills up shorter ones.
    cut = LoadedTagger(saved, window_seconds=0.5)
    found = tfhier.load(fixed)
    assert (found.contract.window_seconds, found.contract.hop_seconds) == (0.5, 0.5)
    for seconds in (0.01, 0.5, 3.7):
        waveform = models.clip(seconds)
        assert_alike(
            found.scores(waveform, sample_rate=models.RATE),
            cut.scores(waveform, sample_rate=models.RATE),
        )


# -- What it computes with ------------------------------------------------------------


def small(*between: layers.Layer) -> keras.Model:
    """A tagger with some layers between its log-mel and its mean over both axes."""
    log_mel = keras.Input((None, 64), name="log_mel")
    x = layers.Reshape((-1, 64, 1))(log_mel)
    for layer in between:
        x = layer(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Identity(name=tagger.EMBEDDING)(x)
    scores = layers.Dense(5, "sigmoid", name="zebra_classifier")(x)
    body = keras.Model(log_mel, {"zebra": scores}, name="body")
    return tagger.end_to_end(frontends.build("panns_8k"), body)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_products_of_patches_become_convolutions(padding):
    """Of a kernel that is not square, so that no axis can be taken for another."""
    keras.utils.set_random_seed(3)
    model = small(
        layers.Rescaling(0.02),
        MatmulConv2D(4, (2, 5), padding=padding, bias_initializer="glorot_normal"),
        MatmulConv2D(3, (4, 1), padding=padding, activation="tanh"),
    )
    content = tflite.convert(model, num_samples=8_000)
    kinds = [kind for kind, _ in tflite_file.operations(content)]
    assert kinds.count("CONV_2D") == 2
    assert not {"BATCH_MATMUL", "CONCATENATION"} & set(kinds)
    waveforms = [models.clip(), 1e-2 * models.clip(seed=1)]
    expected = [model(each[None])["zebra"].numpy()[0] for each in waveforms]
    for waveform, scores in zip(waveforms, expected, strict=True):
        assert_alike(tflite_file.scores(content, waveform), {"zebra": scores})
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


@keras.saving.register_keras_serializable(package="tests")
class Unusual(layers.Layer):
    """Computes what TFLite has no operation for."""

    def __init__(self, operation: str, **kwargs):
        super().__init__(**kwargs)
        self.operation = operation

    def call(self, inputs):
        if self.operation == "Erfinv":  # neither in TFLite nor in its additions
            return keras.ops.erfinv(keras.ops.tanh(inputs))
        return keras.ops.fft2((inputs, inputs))[0]  # in its additions

    def get_config(self):
        return {**super().get_config(), "operation": self.operation}


@pytest.mark.parametrize("operation", ["Erfinv", "Complex, FFT2D"])
def test_operations_that_are_not_built_in_are_named(operation):
    with pytest.raises(
        InputError,
        match=r"^The network needs operations that TFLite has not built in "
        rf"\({operation}\)\. Write that layer with others\.$",
    ):
        tflite.convert(small(Unusual(operation)), num_samples=8_000)


def test_other_failures_of_the_converter_are_not_renamed(monkeypatch):
    def fail() -> bytes:
        raise RuntimeError("out of memory")

    failing = SimpleNamespace(target_spec=SimpleNamespace(), convert=fail)
    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_saved_model", lambda _: failing)
    with pytest.raises(RuntimeError, match="^out of memory$"):
        tflite.convert(small(), num_samples=8_000)


@pytest.mark.parametrize("seconds", [1.0, 12.0])
def test_threads_and_neighbours_change_no_bit(any_length, seconds):
    waveforms = np.stack([models.clip(seconds, seed=seed) for seed in range(3)])
    waveforms[1] *= 1e-3
    expected = LiteRTEngine(any_length).answers(waveforms)
    assert expected["zebra"].shape == (3, 5)
    for num_threads in (1, 2, 4):
        engine = LiteRTEngine(any_length, num_threads=num_threads)
        assert_same_bits(engine.answers(waveforms), expected)
        for row, waveform in enumerate(waveforms):
            assert_same_bits(
                engine.answers(waveform[None], only_scores=True),
                {level: each[row : row + 1] for level, each in expected.items()},
            )


ALONE = """
import sys

for name in ("tensorflow", "keras"):
    sys.modules[name] = None  # which importing it would end with an error
import numpy as np
import tfhier

path, sound, out = sys.argv[1:]
tagger = tfhier.load(path)
scores = tagger.scores(np.load(sound), sample_rate=8_000)
difference, allowed = tagger.selftest()
np.savez(out, passed=difference <= allowed, **scores)
import tensorflow
"""


def test_a_machine_without_tensorflow_answers_with_the_same_bits(any_length, tmp_path):
    waveform = models.clip(1.7)
    np.save(tmp_path / "sound.npy", waveform)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, any_length, tmp_path / "sound.npy",
         tmp_path / "found.npz"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    # Its last line shows that it had none.
    assert "import of tensorflow halted" in done.stderr.splitlines()[-1], done.stderr
    with np.load(tmp_path / "found.npz") as found:
        assert found["passed"]
        assert_same_bits(
            {level: found[level] for level in models.TREE.levels},
            tfhier.load(any_length).scores(waveform, sample_rate=models.RATE),
        )


# -- What it carries ------------------------------------------------------------------


def test_everything_it_carries_reads_back(any_length, reference):
    carried = archive.files(any_length)
    assert set(carried) == {
        "zebra.txt", "animal.txt", members.CONTRACT, members.CARD,
        members.GOLDEN_CLIP, members.GOLDEN_SCORES, members.CHECKSUMS,
    }  # fmt: skip
    assert carried["zebra.txt"].decode().splitlines() == ["a", "b", "c", "d", "e"]
    assert carried["animal.txt"].decode().splitlines() == ["x", "y", "z"]
    found = Contract.from_json(carried[members.CONTRACT].decode())
    expected = dataclasses.replace(reference.contract, name="model")
    assert found.to_json() == expected.to_json()
    assert carried[members.CARD].decode().startswith("# model\n")
    network = archive.flatbuffer_bytes(any_length)
    sums = carried.pop(members.CHECKSUMS)
    assert sums == members.checksums({members.NETWORK: network, **carried})
    # The golden scores are Keras's own.
    difference, allowed = tfhier.load(any_length).selftest()
    assert difference < 1e-5 < allowed


def assert_refused_or_the_same(path: Path, content: bytes, expected) -> bool:
    """Whether a file was refused; if not, it answers as before."""
    path.write_bytes(content)
    try:
        found = tfhier.load(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return True
    waveform = models.clip(0.3)
    assert_same_bits(found.scores(waveform, sample_rate=models.RATE), expected)
    return False


def test_damaged_files_are_one_error_or_do_no_harm(any_length, tmp_path):
    content = any_length.read_bytes()
    path = tmp_path / "damaged.tflite"
    expected = tfhier.load(any_length).scores(models.clip(0.3), sample_rate=models.RATE)
    rng = np.random.default_rng(8)
    for size in [*rng.integers(0, len(content), 60), len(content) - 1]:
        assert assert_refused_or_the_same(path, content[:size], expected)
    start = len(archive.flatbuffer_bytes(content))
    num_refused = 0
    # Few of the network, whose sum is checked; many of the files and of their list.
    places = [
        *rng.integers(0, start, 30),
        *rng.integers(start, len(content), 60),
        *rng.integers(len(content) - 600, len(content), 60),
    ]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        refused = assert_refused_or_the_same(path, bytes(damaged), expected)
        assert refused or place >= start
        num_refused += refused
    assert 90 < num_refused < len(places)
