"""Files of `torch.save` come back as arrays, and damaged ones say what is wrong."""

import base64
import collections
import os
import zipfile
import zlib

import numpy as np
import pytest

from tests.pretrained import torch_writer
from tfhier.errors import InputError
from tfhier.pretrained import standins, torch_file, torch_formats

FORMATS = ("zip", "legacy")
# What PyTorch 2.15 wrote, deflated, of {"iteration": 3, "model": {"conv.weight": a
# transposed Parameter, "bn.num_batches_tracked": 7, "fc.bias": [1.5, -2] in bfloat16}},
# the model an OrderedDict with `_metadata`.
PUBLISHED = {
    "zip": """
eNqlVUlv00AUnjitk7qQLixdgJYdB0HI1tRlC7KQORiJEoQUISHLcYbEwon77EkrkCqKUFmOcECcEP+CK/wE
Lpy4IVRxQBzhyIzdprZLW5aRJlbs+ZbxfO95Vo33IJRMog1jEA2jBWw2msQ9U9eJnpm7aylyCt0KjSVuEZBY
7aMAk2BHJ6bdhpgar/bSOy27ji3gDMO2LGywR65wzaljB9cvmwYRIJ6uQI9Y7adrDbs9n/H1oNcgtmM0M1qH
mJYraA6udUyrrs3pjt7CVEYAfpMlBLdd29Hm8wIkRLGaoMwuXak3MCR9iKBYtk5u+DcF6KvG6JosCNU4czHX
gX6VJ7DjuorUuMo9hp0q3c5jSD1rMrcDBAYrMPTU+zP8BHZVYHd1L0XW2pl2p6XVdGI0sasRRzfu4jrsaVIb
zTXpq3a70VXe6ynnYKTZr8YIjFLFdNpXGSMwXoF9nv07RqZm6i7sDzHJ3i5ypS7bAY8tDxOUjSMwyfxzy3BQ
jS3DIZ/1MIEjFTjaWYRj3oFp9F3q7GjhuPf8RJWdO4iLkPaU57HjsuM8qcZc1611MrNqIvlwz4/b36gUm7Ob
hmcEpbrhydyxnZZOtFU6RRYCGcoxzrffPz1i7tncnHMcTa9zrh6qpltmo93CbaLIhUg0/2iUisxAeQG+clSC
29LAECp3DdTuEWyzKCvyuX/RXRuWSYiFmYflC5/HeKrCb+khhS6GqvJMVpHP/ocBn3XpIv0pI3SJziU635SZ
o8qXlclR+mB0G0enwo5yiiz+saPEKgvTm/u4YjOB5DZ658N6eUWW/vkNvCujd0w7cf3WZyqIerbUHggkoBvn
/zr/gsDUP7xu3Nw+fxMov14A3tZd7Ji0Au57bVcz64qc+UszWak4U5QkqTg9U5rKFqXpwlQ2l81mS4Wp6UIu
P1WakaRCrigxl+n39k+R+hA9lzFmtusz2BYGNziPfkei6GADGAkhL3Bos0YSJQkW8XiI5HmQZEPniPIEC3Eo
xDMcRxsbQBQerJpUCP4yjiK1G8UGKyCMFXsi2FwUG0xwGPsqis1HscH8DYSwu3tRNPFRcDAWEyHwiwD494Gd
VXn+1Fq846e7yL7I9QrnXyV+rV3wXud4sOrB/3L08j6mz1vvr/0Fvvr/5w==
""",
    "legacy": """
eNp1Uklv00AU9pIm1KELW6GsZU84WElamnAhCKFeBgqkF1+QNRkPscHx5M2Mg0CKlEtL4Tdw4MjP6N/hJyBx
4NlJyqJgaWY07735luc3tj478c8vOz823nx7se6OrWffbdxHYFS8VcMwBlJowUTsD7lUkUjAxAJvCTNxpHXM
fZ4EEU3AOvQcDOr3A+6r6ANXYI+gUPEWMKhCITUsEMuz8RYlGoqk4BUyDJH0oEQKaTrjXMwqNJdU52TEzhH6
IuAxWAyFxJxlKeU8lwGXPHgSMe2AXe1kbGWsZSIZuu941AuRk2khWej6qY5i5fiSd9MoDvwBlbTPkcaB4n9K
NE+UkP6w4UCpUvFKmQ+spD0OJyZPnJ1YUL03CTqw6C1jzYOtZr1Zq2/Wthu1rRY4uWU2SKFMirsaTr4kBrGJ
dQBLBM0dwPKnMNO+omG1A6cO88vpj3CmA2e9NXzaTdwk7ftdqlnIla8lZW95AOdCFBXOhDzFNh7rWPuto95o
NZv3a80GnA/LxET+C8hfrU441zVc7MCl3Npr5nYjquDyX7iPc4f17WPsK/9ibzZacBWxLcS+lnmz9mGDmPtw
fcJxQ8PNDtxKR3A7/7U+dp0GVFO4k+fvehg0oDKCaq5jNmX3iKmU6mZj8SobizmtNef5tOYJtLlbNP78xg9x
axvGI1xjXF/b5jRTmp7W9DxqG0e/AEwf1dI=
""",
}


@pytest.fixture(params=FORMATS)
def save(request, tmp_path):
    """A function that writes an object in one of the formats and returns the path."""

    def write(obj, **options):
        path = tmp_path / "weights.pt"
        torch_writer.write(path, obj, format=request.param, **options)
        return path

    return write


def network(rng, **more):
    """A small state_dict."""
    tensors = {
        "conv.weight": rng.normal(size=(4, 1, 3, 3)).astype("f4"),
        "bn.running_mean": rng.normal(size=4).astype("f4"),
        "bn.num_batches_tracked": np.array(12),
    }
    return collections.OrderedDict(tensors | more)


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].flags.c_contiguous, name
        assert found[name].flags.writeable, name


@pytest.mark.parametrize("format", FORMATS)
def test_files_that_pytorch_wrote(tmp_path, format):
    path = tmp_path / "weights.pt"
    path.write_bytes(zlib.decompress(base64.b64decode(PUBLISHED[format])))
    expected = {
        "conv.weight": np.array([[0, 0.75], [0.25, 1], [0.5, 1.25]], "f4"),
        "bn.num_batches_tracked": np.array(7),
        "fc.bias": np.array([1.5, -2], "f4"),
    }
    assert_same(torch_file.state_dict(path), expected)
    whole = torch_file.read(path)
    assert list(whole) == ["iteration", "model"]
    assert whole["iteration"] == 3
    assert type(whole["model"]) is dict
    assert_same(whole["model"], expected)


@pytest.mark.parametrize("dtype", torch_writer.STORAGES)
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0, 4), (2, 1, 3)])
def test_every_type_and_shape(save, rng, dtype, shape):
    array = np.asarray(100 * rng.normal(size=shape)).astype(dtype)
    assert_same(torch_file.state_dict(save({"a": array})), {"a": array})


def test_bfloat16_becomes_the_float32_of_the_same_value(save):
    exact = np.array([[1.0, -2.5], [2.0**100, np.inf]], "f4")
    halves = (exact.view("u4") >> 16).astype("u2")
    path = save(
        {"a": torch_writer.BFloat16(halves), "t": torch_writer.BFloat16(halves.T)}
    )
    assert_same(torch_file.state_dict(path), {"a": exact, "t": exact.T})


def test_views_of_one_storage(save, rng):
    whole = rng.normal(size=(4, 6)).astype("f4")
    views = {
        "whole": whole,
        "turned": whole.T,
        "column": whole[:, 2],
        "part": whole[1:3, ::2],
        "rest": whole.reshape(-1)[7:],
        "moved": whole.reshape(2, 2, 6).transpose(2, 0, 1),
        "repeated": np.broadcast_to(whole[:1], (3, 6)),
        "of_fortran": np.asfortranarray(rng.normal(size=(3, 2))),
    }
    found = torch_file.state_dict(save(views))
    assert_same(found, views)
    found["whole"][:] = 0
    assert_same({"turned": found["turned"]}, {"turned": whole.T})


def test_big_endian_files(tmp_path, rng):
    array = rng.normal(size=(3, 4)).astype("f4")
    data, storages = torch_writer.pickled({"a": array, "t": array.T})
    path = tmp_path / "weights.pt"
    content = {key: owner.astype(">f4").tobytes() for key, owner in storages.items()}
    torch_writer.write_zip(path, data, content, byteorder=b"big")
    assert_same(torch_file.state_dict(path), {"a": array, "t": array.T})
    torch_writer.write_zip(path, data, content, byteorder=b"middle")
    with pytest.raises(InputError, match="byte order is b'middle'"):
        torch_file.read(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_training_scripts_store(save, rng, protocol):
    tensors = network(rng)
    script = {
        "iteration": 7,
        "model": tensors,
        "statistics": [{"map": 0.4, "name": "ä"}, (1, None, True)],
        "bytes": b"\x00\xff",
        "empty": b"",
        "counts": collections.Counter([2, 2, 3]),
        "defaults": collections.defaultdict(list, {1: [2]}),
        "size": torch_writer.Global("torch", "Size")((2, 3)),
        "type": torch_writer.Global("torch", "float16"),
        "device": torch_writer.Global("torch", "device")("cuda", 0),
        "sampler": {
            "indexes": torch_writer.Plain(np.arange(9)),
            "map": torch_writer.Plain(np.float64(0.4)),
            "random": torch_writer.Plain(np.random.RandomState(3)),
        },
        "args": torch_writer.Call(
            torch_writer.Global("argparse", "Namespace"), (), {"lr": 0.1}
        ),
    }
    path = save(script, protocol=protocol)
    assert_same(torch_file.state_dict(path), tensors)
    whole = torch_file.read(path)
    assert_same(whole.pop("model"), tensors)
    inert = [whole.pop("device"), whole.pop("args"), *whole.pop("sampler").values()]
    assert {type(thing) for thing in inert} == {standins.Inert}
    assert whole == {
        "iteration": 7,
        "statistics": script["statistics"],
        "bytes": b"\x00\xff",
        "empty": b"",
        "counts": {2: 2, 3: 1},
        "defaults": {1: [2]},
        "size": (2, 3),
        "type": "float16",
    }


def test_ordered_dictionaries_of_python_2(save):
    ordered = torch_writer.Global("collections", "OrderedDict")
    array = np.arange(3.0)
    path = save({"state_dict": ordered([["b", array], ["a", array + 1]])})
    assert_same(torch_file.state_dict(path), {"b": array, "a": array + 1})


def test_other_ways_to_make_a_tensor(save, rng):
    array = rng.normal(size=(2, 3)).astype("f4")
    utils = "torch._utils"
    v2 = torch_writer.Global(utils, "_rebuild_tensor_v2")
    v3 = torch_writer.Global(utils, "_rebuild_tensor_v3")
    old = torch_writer.Global(utils, "_rebuild_tensor")
    stateful = torch_writer.Global(utils, "_rebuild_parameter_with_state")
    typed = torch_writer.Global("torch._tensor", "_rebuild_from_type_v2")
    tensor = torch_writer.Global("torch", "Tensor")
    floats = torch_writer.Storage(array, "FloatStorage")
    raw = torch_writer.Storage(array.view("u1"), "UntypedStorage")
    view = (0, (2, 3), (3, 1))
    float32 = torch_writer.Global("torch", "float32")
    path = save(
        {
            "old": old(floats, *view),
            "v3": v3(raw, *view, False, {}, float32),
            "parameter": torch_writer.Parameter(array),
            "stateful": stateful(array, True, {}, {"tag": 1}),
            "typed": typed(v2, tensor, (floats, *view, False, {}), {"tag": 1}),
        }
    )
    names = ("old", "v3", "parameter", "stateful", "typed")
    assert_same(torch_file.state_dict(path), dict.fromkeys(names, array))


def test_shared_and_endless_objects_come_back_so(save):
    shared = [np.arange(2)]
    endless = {"twice": (shared, shared), "array": shared[0]}
    endless["self"] = endless
    found = torch_file.read(save(endless))
    assert found["self"] is found
    assert found["twice"][0] is found["twice"][1]
    assert found["twice"][0][0] is found["array"]


@pytest.mark.parametrize(
    "entry", ["state_dict", "model", "model_state_dict", "net", "weights"]
)
def test_the_network_is_found(save, rng, entry):
    tensors = network(rng)
    optimizer = {"state": {0: {"exp_avg": np.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    script = {"epoch": np.array(3), "optimizer": optimizer}
    assert_same(torch_file.state_dict(save(script | {entry: tensors})), tensors)
    nested = script | {"model": {"state_dict": tensors, "ema": np.ones(1)}}
    assert_same(torch_file.state_dict(save(nested)), tensors)
    assert_same(torch_file.state_dict(save(tensors | {"epoch": 3, 5: 6})), tensors)


def test_the_prefix_of_parallel_training_is_taken_off(save, rng):
    tensors = network(rng)
    parallel = {f"module.{name}": array for name, array in tensors.items()}
    assert_same(torch_file.state_dict(save(parallel)), tensors)
    mixed = parallel | {"fc.bias": np.ones(2)}
    assert_same(torch_file.state_dict(save(mixed)), mixed)
    path = save({f"net.{name}": array for name, array in parallel.items()})
    assert_same(torch_file.state_dict(path), tensors)


def test_one_of_two_networks_is_chosen_by_its_prefix(save, rng):
    net, average = network(rng), network(rng)
    both = {f"net.{name}": array for name, array in net.items()}
    both |= {f"net_swa.{name}": array for name, array in average.items()}
    path = save({"state_dict": both | {"mel.window": np.ones(4)}})
    with pytest.raises(InputError, match=r"net and net_swa .*: prefix=net_swa"):
        torch_file.state_dict(path)
    assert_same(torch_file.state_dict(path, prefix="net"), net)
    assert_same(torch_file.state_dict(path, prefix="net_swa"), average)
    assert_same(torch_file.state_dict(path, prefix="net_swa."), average)
    read = torch_file.network(path, prefix="net_swa")
    assert_same(read.tensors, average)
    assert read.beside == (*(f"net.{name}" for name in net), "mel.window")
    with pytest.raises(InputError, match=r"'swa\.'\. .*: net, net_swa, mel\."):
        torch_file.state_dict(path, prefix="swa")


def test_the_only_network_of_a_lightning_module(save, rng):
    net = network(rng)
    named = {f"net.{name}": array for name, array in net.items()}
    beside = {"mel.window": np.ones(4)}
    lightning = {"pytorch-lightning_version": "1.5", "hyper_parameters": {}}
    assert_same(torch_file.state_dict(save(named)), net)
    other = {f"model.{name}": array for name, array in net.items()}
    assert_same(torch_file.state_dict(save(other)), net)
    path = save(lightning | {"state_dict": named | beside})
    assert_same(torch_file.state_dict(path), net)
    # Elsewhere a part called net may be one of several of the same network.
    assert_same(torch_file.state_dict(save(named | beside)), named | beside)


def test_other_tensors_than_the_network_are_not_read(tmp_path, rng):
    tensors = network(rng)
    content = {"model": tensors, "optimizer": {"exp_avg": np.ones(999)}}
    data, owners = torch_writer.pickled(content)
    storages = {key: torch_writer.storage_bytes(a) for key, a in owners.items()}
    storages[max(storages)] = b"cut"
    torch_writer.write_zip(tmp_path / "weights.pt", data, storages)
    assert_same(torch_file.state_dict(tmp_path / "weights.pt"), tensors)
    with pytest.raises(InputError, match="should have 7,992 bytes, 3 are there"):
        torch_file.read(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "loss": 0.5}, "entries epoch, loss"),
        ({}, "entries without names"),
        ([1, 2], "a single list"),
        ({"state_dict": {"a": 1}}, "entries state_dict"),
    ],
)
def test_without_tensors_the_message_says_what_is_there(save, content, message):
    with pytest.raises(InputError, match=f"no tensors by name, but {message}"):
        torch_file.state_dict(save(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\n<!DOCTYPE html><html>", "it is a web page"),
        (b"x".ljust(257, b"\0") + b"ustar", "tar file, as of PyTorch before 0.4"),
        (b"\x89HDF\r\n\x1a\n", r"starts with b'\\x89HDF"),
        (b"\x80\x02]q\x00.", "a pickle, but none of torch.save"),
        (b"\x80\x02", "cut, damaged or of an unknown kind"),
        (b"PK\x03\x04", "is cut or damaged"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    for function in (torch_file.read, torch_file.state_dict):
        with pytest.raises(InputError, match=message) as caught:
            function(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_other_paths_are_named(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        torch_file.read(tmp_path)
    with pytest.raises(InputError, match=r"There is no checkpoint .*gone\.pt"):
        torch_file.read(tmp_path / "gone.pt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"PK")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        torch_file.read(path)


def test_other_zip_files_are_named(tmp_path):
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(InputError, match=r"expected one data\.pkl in it, found 0"):
        torch_file.read(path)
    torch_writer.write_zip(path, b"", {}, **{"constants.pkl": b""})
    with pytest.raises(InputError, match=r"TorchScript .*torch\.jit\.load"):
        torch_file.read(path)
    torch_writer.write(path, {"a": np.ones(99)})
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="is compressed, which torch.save never does"):
        torch_file.read(path)


def test_a_changed_byte_of_a_storage_is_found_by_its_checksum(tmp_path, rng):
    path = tmp_path / "weights.pt"
    array = rng.normal(size=50)
    torch_writer.write(path, {"a": array})
    content = bytearray(path.read_bytes())
    content[content.index(array.tobytes()) + 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"data/0' has another checksum"):
        torch_file.read(path)


def test_checksums_that_pytorch_was_told_to_spare(tmp_path, rng):
    path = tmp_path / "weights.pt"
    array = rng.normal(size=50)
    torch_writer.write(path, {"a": array})
    parts = path.read_bytes().split(b"PK\x01\x02")  # the entries of the directory
    spared = [part[:12] + bytes(4) + part[16:] for part in parts[1:]]
    path.write_bytes(b"PK\x01\x02".join([parts[0], *spared]))
    assert_same(torch_file.state_dict(path), {"a": array})


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_cut_while_it_is_read_says_so(tmp_path, rng, format):
    path = tmp_path / "weights.pt"
    torch_writer.write(path, {"a": rng.normal(size=9_999)}, format=format)
    with torch_formats.opened(path) as checkpoint:
        os.truncate(path, 20_000)
        with pytest.raises(InputError, match="ends early"):
            checkpoint.array(checkpoint.content["a"])


def test_legacy_parts_that_do_not_fit_together_are_named(tmp_path, monkeypatch):
    path = tmp_path / "weights.pt"
    data, storages = torch_writer.pickled({"a": np.ones(4)}, format="legacy")

    def message(storages):
        path.write_bytes(torch_writer.legacy(data, storages))
        with pytest.raises(InputError) as caught:
            torch_file.read(path)
        return str(caught.value)

    assert "list of storages is not that of its tensors" in message({})
    assert "list of storages" in message(storages | {"9": np.ones(1)})
    assert "storage '0' has 3 elements, expected 4" in message({"0": np.ones(3)})
    assert "need more than the" in message({"0": np.ones(4, "f4")})
    monkeypatch.setattr(torch_writer, "VERSION", 1002)
    assert "another version than 1001" in message(storages)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_cut_anywhere_says_so(tmp_path, rng, format):
    path = tmp_path / "weights.pt"
    torch_writer.write(path, {"model": network(rng), "epoch": 3}, format=format)
    content = path.read_bytes()
    for length in range(1, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"cut|no PyTorch checkpoint"):
            torch_file.state_dict(path)


@pytest.mark.parametrize("format", FORMATS)
def test_whatever_is_damaged_there_is_one_message_or_none(tmp_path, rng, format):
    path = tmp_path / "weights.pt"
    torch_writer.write(path, {"model": network(rng), "epoch": 3}, format=format)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    num_messages = 0
    for _ in range(400):
        content = whole.copy()
        places = rng.integers(len(content), size=rng.integers(1, 4))
        content[places] = rng.integers(256, size=len(places))
        path.write_bytes(content.tobytes())
        try:
            torch_file.read(path)
        except InputError as error:
            num_messages += 1
            assert "\n" not in str(error)
    assert num_messages > 100


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ((1, (2, 3), (3, 1)), "reaches to byte 56 of a storage of 48"),
        ((0, (2, 3), (4, 1)), "reaches to byte 56 of a storage of 48"),
        ((6, (1,), (1,)), "reaches to byte 56 of a storage of 48"),
        ((0, (2, 3), (1,)), "2 sizes and 1 strides"),
        ((0, (1,) * 33, (1,) * 33), "33 sizes"),
        ((-1, (1,), (1,)), "no whole numbers"),
        ((0, (2,), (-1,)), "no whole numbers"),
        ((0, (-2,), (1,)), "no whole numbers"),
        ((0, (2.0,), (1,)), "no whole numbers"),
        ((0, (1 << 63,), (0,)), "no whole numbers"),
        ((0, "23", (1, 1)), "no whole numbers"),
        ((0, (1 << 40,), (0,)), "far more than the file's"),
        ((0, (1 << 62, 0), (0, 0)), "far more than the file's"),
        ((1 << 62, (1,), (1,)), "reaches to byte"),
        ((0, (2, 2), (1 << 62, 1)), "far more than the file's"),
    ],
)
def test_tensors_stay_inside_their_storage(save, view, message):
    rebuild = torch_writer.Global("torch._utils", "_rebuild_tensor_v2")
    storage = torch_writer.Storage(np.arange(6.0), "DoubleStorage")
    path = save({"a": rebuild(storage, *view, False, {})})
    with pytest.raises(InputError, match=message):
        torch_file.state_dict(path)


def test_a_step_that_is_never_made_may_have_any_length(save):
    rebuild = torch_writer.Global("torch._utils", "_rebuild_tensor_v2")
    storage = torch_writer.Storage(np.arange(6.0), "DoubleStorage")
    path = save({"a": rebuild(storage, 2, (1, 3), (1 << 62, 1), False, {})})
    assert_same(torch_file.state_dict(path), {"a": np.array([[2.0, 3, 4]])})


def test_a_small_file_cannot_declare_many_large_tensors(save):
    row = np.ones((1, 1000))
    each = np.broadcast_to(row, (1000, 1000))  # 8 MB
    found = torch_file.state_dict(save({str(n): each for n in range(8)}))
    assert len(found) == 8
    with pytest.raises(InputError, match=r"shape \(1000, 1000\), with the others"):
        torch_file.state_dict(save({str(n): each for n in range(9)}))
