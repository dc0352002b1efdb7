"""A checkpoint's pickle executes nothing and costs no more than its size allows."""

import copyreg
import io
import pickle
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.pretrained import torch_writer
from tests.pretrained.torch_writer import Call, Global
from tfhier.errors import InputError
from tfhier.pretrained import pickles, standins, torch_file

REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def load(data: bytes):
    return pickles.load(io.BytesIO(data), Path("weights.pt"))[0]


def refusal(data: bytes) -> str:
    """The message about a pickle that must be refused, and at once."""
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        load(data)
    assert time.perf_counter() - start < 5
    assert "weights.pt" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "os system",
        "posix system",
        "nt system",
        "subprocess Popen",
        "builtins eval",
        "builtins exec",
        "builtins getattr",
        "builtins __import__",
        "builtins open",
        "__builtin__ eval",
        "functools partial",
        "operator attrgetter",
        "importlib import_module",
        "pickle loads",
        "types CodeType",
        "types FunctionType",
        "codecs encode",
        "_codecs decode",
        "numpy load",
        "numpy.testing._private.utils runstring",
        "numpy.randomly os",
        "torch load",
        "torch.hub load",
        "torch.jit load",
        "torch.storage _load_from_bytes",
        "torch._utils _import_dotted_name",
        "torch.nn.modules.container Sequential",
        "models Cnn14",
        "lightningly Trainer",
        "sacredness Run",
        "collections namedtuple",
        "collections OrderedDict.fromkeys",
        "collections OrderedDict.__init__.__globals__",
        "torch._utils _rebuild_tensor_v2.__globals__",
        "torch._utils _rebuild_tensor_v2.call",
        "argparse Namespace.__class__",
        "tfhier.pretrained.standins Inert",
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_other_globals_are_refused_by_name(tmp_path, name, protocol):
    module, _, attribute = name.partition(" ")
    path = tmp_path / "weights.pt"
    marker = tmp_path / "executed"
    if protocol == 2:
        call = Global(module, attribute)(f"touch {marker}")
        torch_writer.write(path, {"a": np.ones(2), "b": call})
    else:
        texts = [pickle.dumps(text, 4)[2:-1] for text in (module, attribute)]
        data = b"\x80\x04" + b"".join(text[9:] for text in texts) + b"\x93."
        torch_writer.write_zip(path, data, {})
    for function in (torch_file.read, torch_file.state_dict):
        with pytest.raises(InputError, match="Nothing was executed") as caught:
            function(path)
        assert f"'{module}.{attribute}'" in str(caught.value)
    assert not marker.exists()


def test_a_name_that_breaks_the_line_is_shown_on_one():
    assert "\n" not in refusal(b"\x80\x04\x8c\x02os\x8c\x05a\nb\x1b[\x93.")
    long = b"X\x00\x00\x01\x00" + b"a" * 65_536
    assert len(refusal(b"\x80\x04\x8c\x02os" + long + b"\x93.")) < 500


@pytest.mark.parametrize(
    "module",
    [
        "pytorch_lightning.callbacks.model_checkpoint",
        "lightning.fabric.utilities.data",
        "lightning_fabric.utilities",
        "omegaconf.dictconfig",
        "sacred.config",
        "ba3l.util",
        "ba3l",
        "numpy.random._pickle",
    ],
)
@pytest.mark.parametrize("name", ["Thing", "os.system", "__builtins__"])
def test_other_packages_objects_are_inert(tmp_path, module, name):
    thing = Global(module, name)
    state = {"__class__": 1, "__call__": 2}
    content = {"a": thing, "b": thing(1, "x"), "c": Call(thing, (), state)}
    torch_writer.write(tmp_path / "weights.pt", content)
    found = torch_file.read(tmp_path / "weights.pt")
    assert found["a"] is standins.Inert
    assert {type(found[key]) for key in "bc"} == {standins.Inert}
    assert not hasattr(found["c"], "__dict__")
    # Made by NEWOBJ, filled like a list, a dictionary and a set, and given a state.
    line = f"c{module}\n{name}\n".encode()
    fill = b"(K\x01K\x02e(K\x01K\x02u(K\x01K\x02\x90}K\x01K\x02sb."
    assert type(load(b"\x80\x04" + line + b")\x81" + fill)) is standins.Inert
    # What it makes cannot be called in turn.
    assert "not callable" in refusal(b"\x80\x02" + line + b")R)R.")


def test_no_stand_in_is_the_real_thing():
    inert = standins._INERT.items()
    names = [(module, name) for module, text in inert for name in text.split()]
    names += [*standins._ACTIVE, *(("torch", name) for name in standins.DTYPES)]
    names += [("torch", name) for name in standins._STORAGES]
    assert len(names) > 80
    for module, name in names:
        found = standins.find(module, name)
        kind = found if isinstance(found, type) else type(found)
        assert kind.__module__ == "tfhier.pretrained.standins", name


@pytest.mark.parametrize(
    "line",
    [
        REBUILD,
        b"ctorch\nFloatStorage\n",
        b"ctorch\nfloat32\n",
        b"cargparse\nNamespace\n",
        b"ccollections\nOrderedDict\n",
    ],
)
@pytest.mark.parametrize("attribute", ["call", "dtype", "name", "__init__", "extra"])
def test_a_pickle_cannot_change_a_stand_in(line, attribute):
    module, name = line[1:].decode().split()
    before = standins.find(module, name)
    contents = dict(vars(before))
    text = b"X" + struct.pack("<I", len(attribute)) + attribute.encode()
    for state in (b"}" + text + b"K\x01s", b"N}" + text + b"K\x01s\x86"):
        refusal(b"\x80\x02" + line + state + b"b.")
        assert dict(vars(before)) == contents
        assert dict(vars(standins.find(module, name))) == contents


def test_attributes_of_an_ordered_dictionary_are_dropped(tmp_path):
    ordered = Global("collections", "OrderedDict")
    state = {"items": 1, "__class__": 2, "_metadata": {"": 3}}
    content = Call(ordered, ([["a", np.ones(2)]],), state)
    torch_writer.write(tmp_path / "weights.pt", content)
    assert list(torch_file.state_dict(tmp_path / "weights.pt")) == ["a"]


def test_registered_extensions_are_refused():
    copyreg.add_extension("os", "system", 77)
    try:
        assert "EXT1" in refusal(b"\x80\x02\x82\x4d.")
        assert "EXT2" in refusal(b"\x80\x02\x83\x4d\x00.")
        assert "EXT4" in refusal(b"\x80\x02\x84\x4d\x00\x00\x00.")
    finally:
        copyreg.remove_extension("os", "system", 77)


STORAGE = b"X\x07\x00\x00\x00storage"
FLOATS = b"ctorch\nFloatStorage\n"
KEY = b"X\x01\x00\x00\x000"


@pytest.mark.parametrize(
    "token",
    [
        b"N",
        b"K\x01",
        b")",
        STORAGE,
        b"(" + STORAGE + FLOATS + KEY + KEY + b"t",
        b"(" + STORAGE + b"cargparse\nNamespace\n" + KEY + KEY + b"K\x01t",
        b"(" + STORAGE + FLOATS + b"K\x00" + KEY + b"K\x01t",
        b"(" + STORAGE + FLOATS + KEY + KEY + b"\x88t",
        b"(" + STORAGE + FLOATS + KEY + KEY + b"J\xff\xff\xff\xfft",
        b"(X\x06\x00\x00\x00module" + FLOATS + KEY + KEY + b"K\x01t",
    ],
)
def test_what_is_no_storage_is_refused(token):
    assert "no storage" in refusal(b"\x80\x02" + token + b"Q.")


def test_other_uses_of_storages_are_refused():
    one = b"(" + STORAGE + FLOATS + KEY + KEY + b"K\x01tQ"
    other = b"(" + STORAGE + FLOATS + KEY + KEY + b"K\x02tQ"
    part = b"(" + STORAGE + FLOATS + KEY + KEY + b"K\x01" + b"K\x01tQ"
    assert load(b"\x80\x02" + one + one + b"\x86.")[0].num_elements == 1
    assert "declared twice" in refusal(b"\x80\x02" + one + other + b"\x86.")
    assert "part of a storage" in refusal(b"\x80\x02" + part + b".")
    assert "no storage" in refusal(b"\x80\x00Pos.system\n.")


@pytest.mark.parametrize(
    "call",
    [
        Global("torch._utils", "_rebuild_tensor_v2")(),
        Global("torch._utils", "_rebuild_tensor_v2")(1, 0, (), (), False, {}),
        Global("torch._utils", "_rebuild_parameter")(1, False, {}),
        Global("torch._tensor", "_rebuild_from_type_v2")(len, 1, (), {}),
        Global("torch._tensor", "_rebuild_from_type_v2")(
            Global("torch", "Size"), 1, ((1, 2),), {}
        ),
        Global("torch", "Size")((-1,)),
        Global("torch", "Size")("ab"),
        Global("_codecs", "encode")("a", "rot13"),
        Global("_codecs", "encode")(b"a", "latin1"),
        Global("__builtin__", "bytes")(1 << 40),
        Global("collections", "OrderedDict")([1, 2]),
        Global("collections", "OrderedDict")([[((), ()), 1]]),
        Global("torch", "float32")(1),
        Global("torch", "FloatStorage")(1),
    ],
)
def test_stand_ins_check_what_they_are_given(tmp_path, call):
    path = tmp_path / "weights.pt"
    torch_writer.write(path, {"a": call})
    with pytest.raises(InputError):
        torch_file.read(path)


DEEP = 20_000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "pickle exhausted"),
        (b"K\x01", "pickle exhausted"),
        (b".", "more than there is"),
        (b"K\x01R.", "more than there is"),
        (b"K\x01)R.", "not callable"),
        (b"(.", "a mark for an object"),
        (b"t.", "pop from empty list"),
        (b"h\x05.", "5"),
        (b"\xff.", "unknown"),
        (b"I" + b"1" * 5000 + b"\n.", "digit"),
        (b"r\xff\xff\xff\x7f.", "memo has a place 2147483647"),
        (b"Np-1\n.", "memo has a place -1"),
        (b"\x8d" + struct.pack("<Q", 1 << 60) + b"a.", "but only 2 remain"),
        (b"\x96" + struct.pack("<Q", 1 << 60) + b"a.", "but only 2 remain"),
        (b"\x95" + struct.pack("<Q", 1 << 60) + b"N.", ""),
        (b"\x95\x20" + bytes(7) + b"\x95\x08" + bytes(7) + b"N.", "frames overlap"),
        (b"\x97.", "NEXT_BUFFER"),
        # A dictionary whose key takes 2**60 steps, or a whole stack, to look up.
        (b"})\x85" + 60 * b"2\x86" + b"Ns.", "too many parts"),
        (b"}K\x01" + DEEP * b"\x85" + b"Ns.", "too many parts"),
        (b"}(K\x01" + DEEP * b"\x85" + b"Nu.", "too many parts"),
        (b"(K\x01" + DEEP * b"\x85" + b"Nd.", "too many parts"),
        (b"\x8f(K\x01" + DEEP * b"\x85" + b"\x90.", "too many parts"),
        (b"(K\x01" + DEEP * b"\x85" + b"\x91.", "too many parts"),
        (b"K\x01" + DEEP * b"\x85" + b"q\x00}h\x00Ns.", "too many parts"),
        (b"}]Ns.", "unhashable"),
    ],
)
def test_damaged_and_hostile_pickles_are_refused_at_once(body, message):
    assert message in refusal(b"\x80\x04" + body)


def test_the_number_of_opcodes_is_bounded(monkeypatch):
    assert pickles.MAX_OPCODES <= 5_000_000
    monkeypatch.setattr(pickles, "MAX_OPCODES", 1_000)
    assert len(load(pickle.dumps([None] * 900))) == 900
    assert "more than 1,000 opcodes" in refusal(pickle.dumps([None] * 1_100))


def test_deep_nesting_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    for body in (DEEP * b"]" + (DEEP - 1) * b"a", b"N" + DEEP * b"\x85"):
        torch_writer.write_zip(path, b"\x80\x02" + body + b".", {})
        with pytest.raises(InputError, match="nested too deeply"):
            torch_file.read(path)
        with pytest.raises(InputError, match="no tensors by name"):
            torch_file.state_dict(path)


def test_lists_that_name_each_other_twice_cost_little(tmp_path):
    path = tmp_path / "weights.pt"
    data = b"\x80\x02]" + 100 * b"q\x00](h\x00h\x00e" + b"."
    torch_writer.write_zip(path, data, {})
    found = torch_file.read(path)
    for _ in range(100):
        assert len(found) == 2
        assert found[0] is found[1]
        found = found[0]
    assert found == []


def test_tuples_that_name_each_other_twice_cost_little(tmp_path):
    path = tmp_path / "weights.pt"
    torch_writer.write_zip(path, b"\x80\x02)" + 100 * b"2\x86" + b".", {})
    found = torch_file.read(path)
    for _ in range(100):
        assert len(found) == 2
        assert found[0] is found[1]
        found = found[0]
    assert found == ()


def test_text_of_python_2_may_be_bytes():
    assert load(b"\x80\x02U\x03a\x00\xff.") == "a\x00\xff"


def test_ordinary_keys_are_taken():
    content = {"a": 1, 2: 3, None: 4, (1, ("b", 2.5)): {(1, 2), (3, 4)}}
    for protocol in (0, 1, 2, 3, 4, 5):
        found = load(pickle.dumps(content, protocol))
        assert list(found) == list(content), protocol
        assert found[2] == 3


def test_pickles_follow_each_other_in_a_file():
    numbers = b"".join(pickle.dumps(number, 4) for number in range(3))
    file = io.BytesIO(numbers + b"rest")
    path = Path("weights.pt")
    assert [pickles.load(file, path)[0] for _ in range(3)] == [0, 1, 2]
    assert file.read() == b"rest"


def test_no_module_is_imported(tmp_path):
    path = tmp_path / "weights.pt"
    torch_writer.write(path, {"a": np.ones(2), "b": Global("sacred.run", "Run")(1)})
    before = set(sys.modules)
    torch_file.read(path)
    assert set(sys.modules) == before
