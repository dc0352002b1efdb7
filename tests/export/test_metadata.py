"""Metadata of .tflite files: every field is where the published schema has it."""

import pytest
from flatbuffers import number_types
from flatbuffers.table import Table

from tests.export.small_tagger import FILES, LEVELS, SAMPLES, attach, packed, parsed
from tfhier.errors import InputError
from tfhier.export import archive

# -- A reader of the metadata of its own, by slots as the published schema has them ---


class Fields:
    """A table of a flatbuffer: its fields by the numbers of their slots."""

    def __init__(self, content: bytes, place: int):
        self._table = Table(content, place)

    @classmethod
    def of_file(cls, content: bytes) -> "Fields":
        model = parsed(content)
        entries = [e.buffer for e in model.metadata if e.name == b"TFLITE_METADATA"]
        assert len(entries) == 1
        data = model.buffers[entries[0]].data.tobytes()
        assert data[4:8] == b"M001"
        return cls(data, int.from_bytes(data[:4], "little"))

    def _place(self, slot: int) -> int:
        offset = self._table.Offset(4 + 2 * slot)
        return offset and self._table.Pos + offset

    def text(self, slot: int) -> str | None:
        place = self._place(slot)
        return self._table.String(place).decode() if place else None

    def number(self, slot: int, kind=number_types.Uint32Flags) -> int:
        place = self._place(slot)
        return self._table.Get(kind, place) if place else 0

    def one(self, slot: int) -> "Fields":
        return Fields(self._table.Bytes, self._table.Indirect(self._place(slot)))

    def many(self, slot: int) -> list["Fields"]:
        offset = self._table.Offset(4 + 2 * slot)
        if not offset:
            return []
        start = self._table.Vector(offset)
        places = range(start, start + 4 * self._table.VectorLen(offset), 4)
        return [
            Fields(self._table.Bytes, self._table.Indirect(place)) for place in places
        ]


def output_names(content: bytes) -> list[str]:
    graph = Fields.of_file(content).many(3)[0]
    return [tensor.text(0) for tensor in graph.many(3)]


def test_every_field_is_where_the_schema_has_it(fixed):
    root = Fields.of_file(attach(fixed, files=FILES))
    texts = [root.text(slot) for slot in (0, 1, 2, 4, 5, 7)]
    assert texts == ["Tägger", "hears 音", "2.1", "A. Author", "CC BY 4.0", "1.3.0"]
    assert [file.text(0) for file in root.many(6)] == list(FILES)
    assert [file.number(2, number_types.Int8Flags) for file in root.many(6)] == [1, 1]
    (graph,) = root.many(3)
    (taken,) = graph.many(2)
    assert taken.text(0) == "waveform"
    assert "16000 Hz" in taken.text(1)
    audio = taken.one(3)
    assert audio.number(0, number_types.Uint8Flags) == 4
    assert (audio.one(1).number(0), audio.one(1).number(1)) == (16_000, 1)
    for tensor in graph.many(3):
        level = tensor.text(0)
        assert f"(batch, {len(LEVELS[level])}) of the level {level}" in tensor.text(1)
        (labels,) = tensor.many(6)
        assert labels.text(0) == f"{level}.txt"
        assert labels.number(2, number_types.Int8Flags) == 2


def test_files_hold_the_labels_and_whatever_was_given(fixed):
    found = archive.files(attach(fixed, files=FILES))
    assert found == {
        "fine.txt": "größe 音\n b, c \nd\te\n".encode(),
        "coarse.txt": b"x\ny\n",
        **FILES,
    }


def test_outputs_are_described_in_the_order_of_the_graph(fixed):
    turned = parsed(fixed)
    turned.subgraphs[0].outputs = turned.subgraphs[0].outputs[::-1].copy()
    names = output_names(attach(fixed))
    assert sorted(names) == sorted(LEVELS)
    assert output_names(attach(packed(turned))) == names[::-1]
    other_order = dict(reversed(LEVELS.items()))
    assert output_names(attach(fixed, levels=other_order)) == names


def test_names_of_levels_may_be_any_text(fixed):
    model = parsed(fixed)
    new = {b"fine": "../音", b"coarse": ".._x"}
    for output in model.signatureDefs[0].outputs:
        output.name = new[output.name]
    model = packed(model)
    found = attach(model, levels={"../音": "abc", ".._x": "de"})
    assert archive.files(found) == {
        "____.txt": b"a\nb\nc\n",
        "___x.txt": b"d\ne\n",
    }
    assert sorted(output_names(found)) == sorted(["../音", ".._x"])


def test_levels_whose_plain_names_are_one_have_files_of_their_own(fixed):
    model = parsed(fixed)
    new = {b"fine": "é", b"coarse": "ü"}
    for output in model.signatureDefs[0].outputs:
        output.name = new[output.name]
    found = attach(packed(model), levels={"é": "abc", "ü": "de"})
    assert archive.files(found) == {"_.txt": b"a\nb\nc\n", "_-2.txt": b"d\ne\n"}


# -- Once more -----------------------------------------------------------------------


def test_metadata_and_files_replace_what_was_there(any_length):
    first = attach(
        any_length, name="another", files={"old.txt": b"1"}, default_samples=320
    )
    again = attach(first, files=FILES, default_samples=SAMPLES)
    assert again == attach(any_length, files=FILES, default_samples=SAMPLES)
    assert b"another" not in again
    assert b"old.txt" not in again


def test_the_network_does_not_depend_on_what_files_hold(fixed):
    one = attach(fixed, files=FILES)
    other = attach(fixed, files=dict.fromkeys(FILES, b"something else"))
    assert one != other
    network = archive.flatbuffer_bytes(one)
    assert network == archive.flatbuffer_bytes(other)
    assert one.startswith(network)
    assert network != archive.flatbuffer_bytes(attach(fixed, files=FILES, version="3"))


# -- What cannot be used -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": {"fine": "abc"}}, "levels are fine; .* outputs are coarse, fine"),
        ({"levels": {"fine": "abc", "other": "de"}}, "are fine, other; .* are coarse"),
        ({"levels": {}}, "The levels are ; the .tflite model's outputs are coarse"),
        ({"levels": LEVELS | {"fine": "ab"}}, "'fine' has 2 labels, .* gives 3 scores"),
        ({"levels": LEVELS | {"coarse": ("a\nb", "c")}}, r"'a\\nb' of level 'coarse'"),
        ({"levels": LEVELS | {"coarse": ("a\r", "c")}}, r"'a\\r' .* is not one line"),
        ({"levels": LEVELS | {"coarse": ("a\u2028b", "c")}}, "is not one line of text"),
        ({"levels": LEVELS | {"coarse": ("", "c")}}, "Label '' of level 'coarse'"),
        ({"levels": LEVELS | {"coarse": ("\ud800", "c")}}, "'coarse' cannot be writt"),
        ({"name": "\ud800"}, r"'\\ud800' cannot be written as UTF-8"),
        ({"files": {"fine.txt": b""}}, "fine.txt is the name of a level's labels"),
        ({"files": {"FINE.txt": b""}}, "'FINE.txt' cannot be the name of a file"),
        ({"files": {"../a": b""}}, "'../a' cannot be the name of a file"),
        ({"sample_rate": 0}, "needs the sample rate .* got 0. A tagger of precomp"),
        ({"default_samples": 0}, "default_samples must be 1 or more; got 0"),
        ({"default_samples": 9}, r"takes the shape \(1, 640\) alone, so it has no"),
    ],
)
def test_what_does_not_fit_is_refused(fixed, changes, message):
    with pytest.raises(InputError, match=message):
        attach(fixed, **changes)
