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
import librosa
import numpy as np
import pytest

from tests.pretrained import published
from tfhier import frontends
from tfhier import tagger as taggers
from tfhier.pretrained import mel_matrix, panns
from tfhier.pretrained.ported import Ported

PARITY = Path(
    os.environ.get("TFHIER_PARITY") or Path(__file__).parents[1] / "../shared/parity"
)
CASES = {
    "cnn6_32k": ("cnn6", "panns_32k"),
    "prs_cnn10_16k": ("cnn10", "primates_16k"),
    "cnn14_16k": ("cnn14", "panns_16k"),
}
every_case = pytest.mark.parametrize("case", CASES)


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


def front_end_tensors(case: str) -> dict[str, np.ndarray]:
    """The published front end as tensors, which the cases leave out, by librosa."""
    settings = facts(case)["settings"]
    bank = librosa.filters.mel(
        sr=settings["sample_rate"],
        n_fft=settings["window_size"],
        n_mels=settings["mel_bins"],
        fmin=settings["fmin"],
        fmax=settings["fmax"],
    )
    return published.front_end({"num_fft": settings["window_size"]}, bank=bank.T)


@functools.lru_cache(maxsize=1)
def ported(case: str) -> Ported:
    """The case's weights as a tagger; all that is known of it are the tensors."""
    weights = generator().weights(PARITY / case)
    return panns.convert(weights | front_end_tensors(case))


def body(case: str) -> keras.Model:
    return ported(case).tagger.get_layer("body")


def logits(case: str, embedding: np.ndarray) -> np.ndarray:
    """What the tagger's classifier has in front of its sigmoid."""
    layer = body(case).get_layer(f"{ported(case).contract.taxonomy.fine}_classifier")
    return embedding @ np.array(layer.kernel) + np.array(layer.bias)


def relative(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest expected value."""
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / np.abs(expected).max())


# -- Names, shapes, settings ---------------------------------------------------------


def shapes(case: str) -> dict[str, np.ndarray]:
    """The case's tensors, each a single zero."""
    return {
        tensor["name"]: np.broadcast_to(np.float32(0), tensor["shape"])
        for tensor in facts(case)["tensors"]
    }


@every_case
def test_network_and_front_end_are_found_from_the_tensors_alone(case):
    backbone, frontend = CASES[case]
    classes = facts(case)["settings"]["classes_num"]
    assert panns.architecture(shapes(case)) == (backbone, 1, classes)
    found = mel_matrix.settings(front_end_tensors(case))
    assert found == frontends.FRONTENDS[frontend]


@every_case
def test_every_tensor_has_its_place_and_no_variable_is_left(case):
    result = panns.convert(shapes(case), frontend=CASES[case][1])
    trained = result.tagger.trainable_weights
    assert sum(int(np.prod(x.shape)) for x in trained) == facts(case)["parameters"]
    skipped = {item.name for item in result.skipped}
    assert skipped == {
        tensor["name"] for tensor in facts(case)["tensors"] if tensor["shape"] == []
    }


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
    tagger = ported(case).tagger
    embedder = taggers.embedder(tagger, ported(case).contract.taxonomy)
    clips = [clip[None] for clip in generator().waveforms(PARITY / case)]
    embedding = np.concatenate([embedder(clip).numpy() for clip in clips])
    fine = ported(case).contract.taxonomy.fine
    got = {
        "embedding": embedding,
        "logits": logits(case, embedding),
        "probabilities": np.concatenate([tagger(clip)[fine].numpy() for clip in clips]),
    }
    for name, values in got.items():
        assert relative(values, expected[name]) <= limit, name
    np.testing.assert_array_equal(
        np.argmax(got["logits"], axis=1), np.argmax(expected["logits"], axis=1)
    )
    assert_published_stages(case, clips[0], limit)


def assert_published_stages(case: str, clip: np.ndarray, limit: float) -> None:
    """Mean and spread of every channel behind each block, for the first clip."""
    expected = generator().load(PARITY / case)
    names = [name for name in expected if name.startswith("stage:")]
    layers = [
        name.removeprefix("stage:") + ("" if name.endswith("bn0") else "_dropout")
        for name in names
    ]
    model, front_end = body(case), ported(case).tagger.get_layer("log_mel")
    taps = keras.Model(model.input, [model.get_layer(name).output for name in layers])
    for name, maps in zip(names, taps(front_end(clip)), strict=True):
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
