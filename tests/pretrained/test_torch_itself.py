"""PyTorch and the reader agree on each other's files, where PyTorch is installed."""

import argparse
import collections
import random

import numpy as np
import pytest

from tests.pretrained import torch_writer
from tfhier.errors import InputError
from tfhier.pretrained import torch_file

torch = pytest.importorskip("torch")
FORMATS = ("zip", "legacy")


@pytest.fixture(params=FORMATS)
def save(request, tmp_path):
    """A function that saves an object in one of the formats and returns the path."""

    def write(obj):
        path = tmp_path / "weights.pt"
        is_zip = request.param == "zip"
        torch.save(obj, path, _use_new_zipfile_serialization=is_zip)
        return path

    return write


def small_network():
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 4)
    )


def values(tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def assert_same(found, tensors):
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        expected = values(tensor)
        assert found[name].dtype == expected.dtype, name
        assert found[name].shape == expected.shape, name
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def test_a_network(save):
    network = small_network()
    assert_same(torch_file.state_dict(save(network.state_dict())), network.state_dict())
    parallel = torch.nn.DataParallel(network).state_dict()
    assert_same(torch_file.state_dict(save(parallel)), network.state_dict())


def test_tensors_of_every_kind(save):
    base = torch.randn(6, 5)
    tensors = {
        "base": base,
        "turned": base.t(),
        "column": base[:, 2],
        "rest": base.flatten()[7:],
        "moved": torch.randn(2, 3, 4).permute(2, 0, 1),
        "repeated": torch.ones(1).expand(3, 4),
        "half": base.half(),
        "bfloat16": base.bfloat16().t(),
        "double": base.double(),
        "bool": base > 0,
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(torch.randn(2)),
    }
    for name in ("int8", "uint8", "int16", "int32", "int64"):
        tensors[name] = torch.arange(5).to(getattr(torch, name))
    tensors["tagged"] = torch.randn(3)
    tensors["tagged"].tag = "an attribute"
    assert_same(torch_file.state_dict(save(tensors)), tensors)


def test_a_training_script(save):
    """Optimizers as what their state_dict() gives: Adam ends TensorFlow's process."""
    network = small_network()
    moments = {
        index: {
            "step": torch.tensor(float(index)),
            "exp_avg": torch.randn_like(parameter),
            "exp_avg_sq": torch.rand_like(parameter),
        }
        for index, parameter in enumerate(network.parameters())
    }
    script = {
        "iteration": 7,
        "model": network.state_dict(),
        "optimizer": {
            "state": moments,
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}],
        },
        "scheduler": {
            "milestones": collections.Counter([3, 5]),
            "base_lrs": [1e-3],
            "last_epoch": 0,
        },
        "sampler": {
            "indexes": np.arange(99),
            "state": np.random.RandomState(1).get_state(),
            "random": np.random.RandomState(1),
            "generator": np.random.default_rng(1),
            "python": random.getstate(),
        },
        "torch": torch.get_rng_state(),
        "args": argparse.Namespace(device=torch.device("cpu"), type=torch.float16),
    }
    path = save(script)
    assert_same(torch_file.state_dict(path), network.state_dict())
    found = torch_file.read(path)
    assert found["iteration"] == 7
    assert found["scheduler"]["milestones"] == {3: 1, 5: 1}
    np.testing.assert_array_equal(found["torch"], values(script["torch"]))
    for key, expected in moments.items():
        assert_same(found["optimizer"]["state"][key], expected)


def test_a_whole_network_is_refused_with_advice(save):
    with pytest.raises(InputError, match=r"Nothing .*network\.state_dict\(\)"):
        torch_file.state_dict(save(small_network()))


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_a_program_is_refused_with_advice(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "program.pt"))
    with pytest.raises(InputError, match="TorchScript"):
        torch_file.read(tmp_path / "program.pt")


@pytest.mark.parametrize("format", FORMATS)
def test_pytorch_reads_what_the_tests_write(tmp_path, rng, format):
    whole = rng.normal(size=(4, 6)).astype("f4")
    halves = (whole[0].view("u4") >> 16).astype("u2")
    tensors = collections.OrderedDict(
        whole=whole,
        turned=whole.T,
        column=whole[1:, 2],
        scalar=np.array(3),
        empty=np.zeros((0, 3), "f4"),
        flags=np.array([True, False]),
        parameter=torch_writer.Parameter(rng.normal(size=3)),
        bfloat16=torch_writer.BFloat16(halves),
    )
    path = tmp_path / "weights.pt"
    torch_writer.write(path, {"model": tensors, "epoch": 3}, format=format)
    found = torch.load(path, weights_only=True)
    assert found["epoch"] == 3
    assert found["model"]["turned"].stride() == (1, 6)
    assert isinstance(found["model"]["parameter"], torch.nn.Parameter)
    assert_same(torch_file.state_dict(path), found["model"])
    np.testing.assert_array_equal(values(found["model"]["column"]), whole[1:, 2])
