"""Smaller files: fewer bits where they belong, floats where sound and scores are."""

from dataclasses import dataclass

import numpy as np
import pytest
import soundfile
from ai_edge_litert import schema_py_generated as schema

import tfhier
from tests.export import models
from tfhier import frontends, golden, tagger
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.export import exporting, quantization, tflite, tflite_file, tflite_model
from tfhier.layers import LogMel

PROMISED = Contract(taxonomy=models.TREE, sample_rate=models.RATE)
CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D"}
WEIGHTY = {*CONVOLUTIONS, "FULLY_CONNECTED"}
LOUD = [models.clip(seed=seed)[None] for seed in range(8)]
QUIET = [1e-3 * models.clip(seed=seed)[None] for seed in range(8, 10)]
SOUNDS = [*LOUD, *QUIET]
# Others of the same kind. With the front end in floats scores of cnn6 differ by 0.0006,
# 0.01 and 0.02; with its sums of 8 bits by 0.3 and 0.2.
HEARD = [models.clip(seed=seed) for seed in range(100, 104)]
HEARD.append(1e-3 * models.clip(seed=104))
BOUNDS = {"float16": 1e-3, "dynamic": 0.04, "int8": 0.04}


def converted(backbone: str = "cnn6", *, rate: int = models.RATE) -> bytes:
    """A settled network that takes a second."""
    frontend = "yamnet_16k" if rate == 16_000 else "panns_8k"
    width = 1 / 8 if backbone == "wide_resnet28" else 1 / 16
    experiment = models.SMALL.but(backbone=backbone, frontend=frontend, width=width)
    return tflite.convert(models.build(experiment), num_samples=rate)


@pytest.fixture(scope="module")
def floats() -> bytes:
    return converted()


@pytest.fixture(scope="module")
def smaller(floats) -> dict[str, bytes]:
    return {
        kind: quantization.quantize(floats, kind, waveforms=SOUNDS)
        for kind in quantization.KINDS
    }


@dataclass
class Operation:
    """An operation of a file: its tensors as (type, constants or None)."""

    kind: str
    name: str
    inputs: list[tuple[str, bytes | None]]
    outputs: list[tuple[str, bytes | None]]

    @property
    def types(self) -> set[str]:
        return {kind for kind, _ in (*self.inputs, *self.outputs)}


TYPES = {
    value: name
    for name, value in vars(schema.TensorType).items()
    if not name.startswith("_")
}


def operations(content: bytes) -> list[Operation]:
    model = tflite_model.read(content)
    graph = model.subgraphs[0]

    def told(places) -> list[tuple[str, bytes | None]]:
        tensors = [graph.tensors[place] for place in places if place >= 0]
        return [(TYPES[t.type], model.buffers[t.buffer].data) for t in tensors]

    return [
        Operation(kind, name, told(item.inputs), told(item.outputs))
        for (kind, name), item in zip(
            tflite_file.operations(content), graph.operators, strict=True
        )
    ]


def is_front_end(operation: Operation) -> bool:
    return "/log_mel" in operation.name


def differences(content: bytes, other: bytes, waveforms) -> list[float]:
    """The largest of every waveform's scores."""
    found = []
    for waveform in waveforms:
        first, second = (
            tflite_file.scores(each, waveform) for each in (content, other)
        )
        assert first.keys() == second.keys()
        found.append(max(np.abs(first[name] - second[name]).max() for name in first))
    return found


# -- The front end --------------------------------------------------------------------


def check_front_end(floats: bytes, content: bytes) -> None:
    before, after = operations(floats), operations(content)
    expected = [each for each in before if is_front_end(each)]
    found = [each for each in after if is_front_end(each)]
    # All of it, by the places of its ends: from the waveform to the logarithm.
    end = [each.kind for each in after].index("LOG")
    assert all(map(is_front_end, after[: end + 1]))
    assert [each.name for each in found] == [each.name for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.inputs == other.inputs  # constants too
        assert one.types <= {"FLOAT32", "COMPLEX64", "INT32"}
    # So does what stands between it and the first convolution.
    rest = after[len(found) :]
    first = next(i for i, each in enumerate(rest) if each.kind in WEIGHTY)
    for each in rest[:first]:
        is_of_convolution = each.kind in ("QUANTIZE", "DEQUANTIZE")
        assert is_of_convolution or each.types <= {"FLOAT32", "INT32"}, each.name


@pytest.mark.parametrize("kind", quantization.KINDS)
def test_the_front_end_stays_in_floats(floats, smaller, kind):
    check_front_end(floats, smaller[kind])


def test_so_does_one_that_convolves_and_has_another_name():
    settings = frontends.FRONTENDS["panns_8k"]
    frontend = LogMel(name="ears", transform="convolution", **settings)
    model = tagger.end_to_end(
        *tagger.build(models.SMALL, models.TREE, frontend=frontend)
    )
    content = tflite.convert(model, num_samples=8_000)
    front = [each.kind for each in operations(content) if is_front_end(each)]
    assert {"CONV_2D", "FULLY_CONNECTED"} <= set(front)
    for kind in quantization.KINDS:
        found = quantization.quantize(content, kind, waveforms=LOUD)
        assert len(found) < len(content)
        check_front_end(content, found)


@pytest.mark.parametrize("kind", quantization.KINDS)
def test_scores_are_nearly_those_of_floats(floats, smaller, kind):
    found = differences(floats, smaller[kind], HEARD)
    assert 0 < max(found) < BOUNDS[kind]


@pytest.mark.parametrize("kind", ["dynamic", "int8"])
def test_a_front_end_of_8_bits_would_show(floats, monkeypatch, kind):
    """The bounds are such that a front end that is not left alone breaks them."""
    monkeypatch.setattr(quantization, "_FRONT_END", "/nothing of that name")
    content = quantization.quantize(floats, kind, waveforms=SOUNDS)
    assert max(differences(floats, content, HEARD)) > 3 * BOUNDS[kind]


# -- The network ----------------------------------------------------------------------


def weights(content: bytes) -> list[tuple[str, int]]:
    """Type and bytes of every weight behind the front end, as it is kept."""
    found, dequantized = [], {}
    for each in operations(content):
        if each.kind == "DEQUANTIZE" and each.inputs[0][1] is not None:
            dequantized[each.name] = each.inputs[0]
        if each.kind in WEIGHTY and not is_front_end(each):
            kind, data = each.inputs[1]
            if data is None:  # made from the constant in front of it
                kind, data = dequantized.popitem()[1]
            found.append((kind, len(data)))
    return found


@pytest.mark.parametrize(
    ("kind", "kept", "share"),
    [("float16", "FLOAT16", 2), ("dynamic", "INT8", 4), ("int8", "INT8", 4)],
)
def test_weights_have_fewer_bits_and_the_file_shrinks(
    floats, smaller, kind, kept, share
):
    before, after = weights(floats), weights(smaller[kind])
    assert {each for each, _ in before} == {"FLOAT32"}
    assert len(before) == 4 + 3  # convolutions; embedding, attention, classifier
    assert after == [(kept, size // share) for _, size in before]
    saved = sum(size for _, size in before) - sum(size for _, size in after)
    # Scales of 8 bits, one a channel, take a little of it.
    assert 0.9 * saved < len(floats) - len(smaller[kind]) <= saved


def check_8_bits_between(content: bytes) -> None:
    """8 bits from the first convolution to the last, floats around them."""
    found = operations(content)
    inside = [
        place
        for place, each in enumerate(found)
        if each.kind in CONVOLUTIONS and not is_front_end(each)
    ]
    first, last = inside[0], inside[-1]
    for each in found[first : last + 1]:
        values = [kind for kind, data in each.inputs if data is None]
        assert {*values, *(kind for kind, _ in each.outputs)} == {"INT8"}, each.name
    assert [i for i, e in enumerate(found) if e.kind == "QUANTIZE"] == [first - 1]
    # Pooling may follow, then all is floats again.
    rest = [each for each in found[last + 1 :] if each.kind != "AVERAGE_POOL_2D"]
    assert rest[0].kind == "DEQUANTIZE"
    for each in (*found[: first - 1], *rest):
        assert "INT8" not in {kind for kind, _ in each.outputs}, each.name
    details = tflite_file.Interpreter(model_content=content)
    for end in (*details.get_input_details(), *details.get_output_details()):
        assert end["dtype"] == np.float32


def test_int8_has_8_bits_between_convolutions_alone(smaller):
    check_8_bits_between(smaller["int8"])


def check_backbone(backbone: str, rate: int = models.RATE) -> None:
    content = converted(backbone, rate=rate)
    sounds = [models.clip(rate=rate, seed=seed)[None] for seed in range(8)]
    heard = [models.clip(rate=rate, seed=seed) for seed in range(100, 103)]
    for kind in quantization.KINDS:
        found = quantization.quantize(content, kind, waveforms=sounds)
        check_front_end(content, found)
        assert max(differences(content, found, heard)) < BOUNDS[kind]
        if kind == "int8":
            check_8_bits_between(found)
            assert {kind for kind, _ in weights(found)} == {"INT8"}


def test_depthwise_networks_too():
    check_backbone("mobilenet_v1")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["cnn10", "cnn14", "resnet22", "wide_resnet28"])
def test_other_networks_too(backbone):
    check_backbone(backbone)


@pytest.mark.slow
def test_yamnet_too():
    check_backbone("yamnet", rate=16_000)


def test_a_network_without_convolutions_has_weights_of_8_bits():
    content = converted("mlp")
    found = quantization.quantize(content, "int8", waveforms=LOUD)
    kinds = [each.kind for each in operations(found)]
    assert not {*CONVOLUTIONS, "QUANTIZE", "DEQUANTIZE"} & set(kinds)
    before, after = weights(content), weights(found)
    assert len(before) == 3  # hidden layer, attention, classifier
    assert after == [("INT8", size // 4) for _, size in before]
    check_front_end(content, found)
    assert max(differences(content, found, HEARD)) < BOUNDS["int8"]


# -- The sounds that int8 is fitted to ------------------------------------------------


def test_ranges_span_all_sounds_in_any_order(floats, smaller):
    """One quiet clip behind many loud ones counts as much as they do."""
    again = quantization.quantize(floats, "int8", waveforms=SOUNDS[::-1])
    assert again == smaller["int8"]
    one = [*LOUD, QUIET[0]]
    found = quantization.quantize(floats, "int8", waveforms=one)
    assert max(differences(floats, found, [each[0] for each in one])) < 0.04
    without = quantization.quantize(floats, "int8", waveforms=LOUD)
    assert max(differences(floats, without, [QUIET[0][0]])) > 0.1


def test_other_kinds_need_no_sounds(floats, smaller):
    for kind in ("float16", "dynamic"):
        assert quantization.quantize(floats, kind) == smaller[kind]


def test_what_cannot_be_is_refused(floats):
    with pytest.raises(
        InputError,
        match=r"^There is no quantisation 'int4': float16, dynamic, int8\.$",
    ):
        quantization.quantize(floats, "int4", waveforms=LOUD)
    with pytest.raises(
        InputError, match="^To quantise to int8, sounds like those to come are needed"
    ):
        quantization.quantize(floats, "int8")


def test_it_works_in_silence(floats, capfd):
    """The quantiser's own bars and warnings are not for whoever exports."""
    quantization.quantize(floats, "int8", waveforms=LOUD[:2])
    assert capfd.readouterr() == ("", "")


# -- The golden clip ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "allowed"),
    [
        # Another kernel of 8 bits may round otherwise.
        ("int8", 0.05),
        pytest.param("dynamic", 0.05, marks=pytest.mark.slow),
        pytest.param("float16", 1e-4, marks=pytest.mark.slow),
    ],
)
def test_a_smaller_file_carries_golden_scores_of_its_own(tmp_path, weights, allowed):
    path = models.write(tmp_path / "model.keras")
    (tmp_path / "sounds").mkdir()
    for number, waveform in enumerate(SOUNDS):
        name = tmp_path / f"sounds/{number}.wav"
        soundfile.write(name, waveform[0], models.RATE, subtype="FLOAT")
    options = exporting.Options(
        formats=("tflite",),
        weights=(weights,),
        calibration=(tmp_path / "sounds",),
        test_clips=0,
        timed=False,
    )
    (file,) = exporting.export(path, options).files
    assert file.path == tmp_path / "model" / f"model-{weights}.tflite"
    found = tfhier.load(file.path)
    assert found.contract.weights == weights
    assert found.contract.window_seconds == (1.0 if weights == "int8" else 0.0)
    difference, own_allowed = found.selftest()
    assert difference < 1e-6
    assert own_allowed == allowed
    keras, own = golden.read(path), golden.read(file.path)
    np.testing.assert_array_equal(own.waveform, keras.waveform)
    assert 1e-5 < keras.difference(own.scores) < BOUNDS[weights]
