"""The networks against the authors' PyTorch code: names, shapes and numbers.

The reference cases hold seeded weights, waveforms and what the published code makes of
them. They lie outside the repository; without them these tests are skipped.
"""

import functools
import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

from tfhier import frontends
from tfhier.backbones import BACKBONES

PARITY = Path(
    os.environ.get("TFHIER_PARITY") or Path(__file__).parents[1] / "../shared/parity"
)
CASES = {
    "cnn6_32k": ("cnn6", "panns_32k"),
    "prs_cnn10_16k": ("cnn10", "primates_16k"),
    "cnn14_16k": ("cnn14", "panns_16k"),
}
every_case = pytest.mark.parametrize("case", CASES)

# Published name of a tensor of a layer -> ours.
OF_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
OF_LINEAR = {"weight": "kernel", "bias": "bias"}


@functools.cache
def facts(case: str) -> dict:
    path = PARITY / case / "case.json"
    if not path.is_file():
        pytest.skip(f"no reference case at {path.parent}; set TFHIER_PARITY")
    return json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def generator() -> ModuleType:
    """The reference cases' own program that makes weights and waveforms."""
    spec = importlib.util.spec_from_file_location(
        "parity_weights", PARITY / "weights.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.lru_cache(maxsize=1)
def build(case: str) -> keras.Model:
    """The network with its published classifier: log-mel in, logits out."""
    keras.utils.set_random_seed(0)
    log_mel = keras.Input((None, facts(case)["settings"]["mel_bins"]))
    embedding = BACKBONES[CASES[case][0]](log_mel)
    classifier = keras.layers.Dense(
        facts(case)["settings"]["classes_num"], name="fc_audioset"
    )
    return keras.Model(
        log_mel, {"embedding": embedding, "logits": classifier(embedding)}
    )


def ours(name: str) -> str | None:
    """Name of our variable for a published tensor; None for a counter."""
    layer, kind = name.replace(".", "_", name.count(".") - 1).split(".")
    if kind == "num_batches_tracked":
        return None
    names = OF_NORM if layer.rsplit("_", 1)[-1].startswith("bn") else OF_LINEAR
    return f"{layer}/{names[kind]}"


def turned(shape: list[int]) -> tuple[int, ...]:
    """Our shape of a published kernel: OIHW to HWIO, (out, in) to (in, out)."""
    orders = {4: (2, 3, 1, 0), 2: (1, 0)}
    return tuple(shape[axis] for axis in orders.get(len(shape), range(len(shape))))


def variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Layer and name -> variable, without the states of random generators."""
    return {
        "/".join(variable.path.split("/")[-2:]): variable
        for variable in model.variables
        if not variable.path.endswith("seed_generator_state")
    }


def load(model: keras.Model, tensors: dict[str, np.ndarray]) -> None:
    """Give a model the published tensors."""
    own = variables(model)
    for name, values in tensors.items():
        if key := ours(name):
            axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(values.ndim)
            own[key].assign(values if axes is None else values.transpose(axes))


def relative(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest expected value."""
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / np.abs(expected).max())


# -- Names, shapes, settings ---------------------------------------------------------


@every_case
def test_every_published_tensor_is_one_of_our_variables_and_none_is_left(case):
    own = variables(build(case))
    expected = {
        ours(tensor["name"]): turned(tensor["shape"])
        for tensor in facts(case)["tensors"]
        if ours(tensor["name"])
    }
    assert {name: tuple(variable.shape) for name, variable in own.items()} == expected
    counters = [t for t in facts(case)["tensors"] if ours(t["name"]) is None]
    assert all(tensor["shape"] == [] for tensor in counters)


@every_case
def test_number_of_parameters_is_the_published_one(case):
    trained = build(case).trainable_weights
    count = sum(int(np.prod(weight.shape)) for weight in trained)
    assert count == facts(case)["parameters"]


@every_case
def test_front_end_has_the_published_settings(case):
    front_end = frontends.build(CASES[case][1])
    settings = facts(case)["settings"]
    assert front_end.sample_rate == settings["sample_rate"]
    assert front_end.num_fft == front_end.window_length == settings["window_size"]
    assert front_end.hop_length == settings["hop_size"]
    assert front_end.num_mels == settings["mel_bins"]
    assert front_end.min_hertz == settings["fmin"]
    assert front_end.max_hertz == settings["fmax"]


# -- Numbers -------------------------------------------------------------------------


@every_case
def test_log_mel_is_the_published_one(case):
    tolerance = facts(case)["tolerance"]
    expected = generator().load(PARITY / case)
    front_end = frontends.build(CASES[case][1])
    for number, clip in enumerate(generator().waveforms(PARITY / case)):
        got = front_end(clip[None]).numpy()[0, :: facts(case)["logmel_stride"][number]]
        wanted = expected[f"logmel_{number}"]
        assert got.shape == wanted.shape
        loud = wanted > tolerance["logmel_floor"]
        assert loud.any()
        off = np.abs(got - wanted)
        assert off[loud].max() <= tolerance["logmel_abs"]
        assert off.max() <= 1.0


def assert_published_numbers(case: str) -> None:
    limit = facts(case)["tolerance"]["tight"]
    expected = generator().load(PARITY / case)
    front_end, model = frontends.build(CASES[case][1]), build(case)
    load(model, generator().weights(PARITY / case))
    answers = [
        model(front_end(clip[None])) for clip in generator().waveforms(PARITY / case)
    ]
    for name in ("embedding", "logits"):
        got = np.concatenate([answer[name].numpy() for answer in answers])
        assert relative(got, expected[name]) <= limit, name
    np.testing.assert_array_equal(
        np.argmax([answer["logits"][0] for answer in answers], axis=1),
        np.argmax(expected["logits"], axis=1),
    )
    assert_published_stages(case, model, front_end, limit)


def assert_published_stages(case, model, front_end, limit: float) -> None:
    """Mean and spread of every channel behind each block, for the first clip."""
    expected = generator().load(PARITY / case)
    names = [name for name in expected if name.startswith("stage:")]
    layers = [
        name.removeprefix("stage:") + ("" if name.endswith("bn0") else "_dropout")
        for name in names
    ]
    taps = keras.Model(model.input, [model.get_layer(name).output for name in layers])
    clip = generator().waveforms(PARITY / case)[0]
    for name, maps in zip(names, taps(front_end(clip[None])), strict=True):
        flat = maps.numpy().reshape(-1, maps.shape[-1]).astype(np.float64)
        got = np.stack([flat.mean(axis=0), flat.std(axis=0)])
        assert relative(got, expected[name]) <= limit, name


def test_cnn6_gives_the_published_numbers():
    assert_published_numbers("cnn6_32k")


def test_cnn10_of_the_primates_gives_the_published_numbers():
    assert_published_numbers("prs_cnn10_16k")


@pytest.mark.slow
def test_cnn14_gives_the_published_numbers():
    assert_published_numbers("cnn14_16k")
