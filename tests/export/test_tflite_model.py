"""The network of a .tflite file stays what it was, wherever its constants lay."""

import copy

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tests.export.small_tagger import (
    FILES,
    FRAME,
    SAMPLES,
    attach,
    changed_model,
    convert,
    packed,
    parsed,
    scores,
    sound,
)
from tfhier.errors import InputError


def plain_scores(model: bytes, waveforms: np.ndarray, *, resize: bool = False) -> list:
    """The scores as a runtime has them that knows of no signatures, narrow ones first.

    Without `resize` the model is given what it takes of itself.
    """
    interpreter = Interpreter(model_content=model, num_threads=1)
    taken = interpreter.get_input_details()[0]["index"]
    if resize:
        interpreter.resize_tensor_input(taken, waveforms.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken, waveforms)
    interpreter.invoke()
    given = [detail["index"] for detail in interpreter.get_output_details()]
    return sorted(map(interpreter.get_tensor, given), key=np.size)


def assert_equal(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for level, values in expected.items():
        np.testing.assert_array_equal(found[level], values)


def test_scores_and_constants_stay(fixed, any_length):
    for model, shape in ((fixed, (1, SAMPLES)), (any_length, (3, 4 * FRAME))):
        changed = attach(model, files=FILES)
        assert_equal(scores(changed, sound(*shape)), scores(model, sound(*shape)))
        before, after = parsed(model), parsed(changed)
        assert len(after.buffers) == len(before.buffers) + 1
        for old, new in zip(before.buffers, after.buffers, strict=False):
            assert (old.data is None) == (new.data is None)
            if old.data is not None:
                np.testing.assert_array_equal(new.data, old.data)
        assert [entry.name for entry in after.metadata] == [
            *(entry.name for entry in before.metadata),
            b"TFLITE_METADATA",
        ]


def misaligned(content: bytes) -> set[int]:
    start = np.frombuffer(content, np.uint8).ctypes.data
    return {
        (buffer.data.ctypes.data - start) % 16
        for buffer in parsed(content).buffers
        if buffer.data is not None
    }


def test_constants_are_aligned_as_the_schema_asks(fixed):
    assert misaligned(packed(parsed(fixed))) != {0}
    for length in range(16):
        content = attach(fixed, description="d" * length)
        assert misaligned(content) == {0}


def outside(model: bytes) -> tuple[bytes, int]:
    """Move all constants behind the flatbuffer, and say how many."""
    content = parsed(model)
    moved = [b for b in content.buffers if b.data is not None and len(b.data) > 1]
    data = [buffer.data.tobytes() for buffer in moved]
    for buffer, values in zip(moved, data, strict=True):
        buffer.data, buffer.offset, buffer.size = None, 1 << 40, len(values)
    place = len(packed(content))
    for buffer in moved:
        buffer.offset, place = place, place + buffer.size
    return packed(content) + b"".join(data), len(data)


def test_constants_behind_the_flatbuffer_come_inside(fixed):
    model, num_moved = outside(fixed)
    assert num_moved > 3
    waveform = sound(1, SAMPLES)
    assert_equal(scores(model, waveform), scores(fixed, waveform))
    assert attach(model, files=FILES) == attach(fixed, files=FILES)
    with pytest.raises(InputError, match="damaged .*constants behind .* are cut"):
        attach(model[:-1])


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> bytes:
    """Large enough for the quantiser to leave constants behind the flatbuffer."""
    return convert((None, None), tmp_path_factory.mktemp("large"), 20_000)


@pytest.mark.parametrize("recipe_name", ["dynamic_wi8_afp32", "weight_only_wi8_afp32"])
def test_quantised_networks_answer_as_before(large, recipe_name):
    quantizer = pytest.importorskip("ai_edge_quantizer.quantizer")
    recipe = pytest.importorskip("ai_edge_quantizer.recipe")
    tool = quantizer.Quantizer(bytearray(large), getattr(recipe, recipe_name)())
    quantised = bytes(tool.quantize().quantized_model)
    assert any(buffer.offset > 1 for buffer in parsed(quantised).buffers)
    changed = attach(quantised, files=FILES)
    assert not any(buffer.offset > 1 for buffer in parsed(changed).buffers)
    assert misaligned(changed) == {0}
    waveforms = sound(2, SAMPLES)
    expected = scores(quantised, waveforms)
    assert_equal(scores(changed, waveforms), expected)
    assert not np.array_equal(expected["fine"], scores(large, waveforms)["fine"])


def test_a_default_length_serves_runtimes_that_never_ask(fixed, any_length):
    changed = attach(any_length, default_samples=SAMPLES)
    waveform = sound(1, SAMPLES)
    expected = scores(fixed, waveform)
    for found, level in zip(
        plain_scores(changed, waveform), ("coarse", "fine"), strict=True
    ):
        np.testing.assert_array_equal(found, expected[level])
    with pytest.raises(ValueError, match="Dimension mismatch"):
        plain_scores(attach(any_length), waveform)


@pytest.mark.parametrize("shape", [(1, FRAME), (1, SAMPLES), (1, 9_600), (3, 320)])
def test_a_default_length_leaves_all_others(any_length, shape):
    changed = attach(any_length, default_samples=SAMPLES)
    waveforms = sound(*shape)
    expected = scores(any_length, waveforms)
    assert_equal(scores(changed, waveforms), expected)
    found = plain_scores(changed, waveforms, resize=True)
    np.testing.assert_array_equal(found[0], expected["coarse"])
    (detail,) = Interpreter(model_content=changed).get_input_details()
    assert list(detail["shape"]) == [1, SAMPLES]
    assert list(detail["shape_signature"]) == [-1, -1]


# -- What cannot be used -------------------------------------------------------------


def two_inputs(model: schema.ModelT) -> None:
    model.signatureDefs[0].inputs.append(schema.TensorMapT("other", 1))
    model.subgraphs[0].inputs = np.array([*model.subgraphs[0].inputs, 1], np.int32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: setattr(m, "signatureDefs", None), "one signature.*Received: none"),
        (
            lambda m: m.signatureDefs.append(copy.deepcopy(m.signatureDefs[0])),
            "Received: serving_default, serving_default",
        ),
        (
            lambda m: setattr(m.signatureDefs[0], "signatureKey", "other"),
            "'serving_default', of its first graph. Received: other",
        ),
        (two_inputs, "needs one input, waveforms. Received: other, waveform"),
        (
            lambda m: setattr(m.subgraphs[0].operators[0], "largeCustomOptionsSize", 9),
            "keeps options of custom operators behind",
        ),
    ],
)
def test_models_of_another_kind_are_refused(fixed, change, message):
    model = changed_model(fixed, change)
    with pytest.raises(InputError, match=message):
        attach(model)


def test_cut_models_are_refused(fixed):
    for size in range(0, len(fixed) * 9 // 10, 97):
        with pytest.raises(InputError, match="no .tflite file|is damaged"):
            attach(fixed[:size])


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "buffers", None),
        lambda m: setattr(m.signatureDefs[0].outputs[0], "tensorIndex", 1),
        lambda m: setattr(m.metadata[0], "name", b"\xff"),
        lambda m: setattr(m.subgraphs[0], "inputs", np.array([3], np.int32)),
        lambda m: setattr(m.subgraphs[0], "operators", None),
        lambda m: setattr(m.signatureDefs[0], "outputs", None),
        lambda m: setattr(m.signatureDefs[0].outputs[0], "name", b"\xff"),
        lambda m: [setattr(tensor, "shape", None) for tensor in m.subgraphs[0].tensors],
        lambda m: setattr(m, "subgraphs", []),
    ],
)
def test_damaged_models_are_refused(fixed, change):
    with pytest.raises(
        InputError, match="tflite model.* is damaged .*Convert it again"
    ):
        attach(changed_model(fixed, change))


def test_metadata_at_an_impossible_place_are_refused(fixed):
    model = changed_model(
        attach(fixed), lambda m: setattr(m.metadata[-1], "buffer", 1 << 30)
    )
    with pytest.raises(InputError, match="is damaged .IndexError"):
        attach(model)
