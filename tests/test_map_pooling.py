"""Pools of class maps: NumPy oracles, the authors' numbers, and masked frames."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from tfhier.layers import (
    ClippedAttentionPool,
    GlobalWeightedRankPool,
    PaddedAveragePool,
    TwoStepAttentionPool,
)

PARITY = Path(
    os.environ.get("TFHIER_PARITY") or Path(__file__).parents[1] / "../shared/parity"
)
POOLS = {
    "two steps, the paper's form": lambda: TwoStepAttentionPool(time_kernel=5),
    "two steps, the code's form": lambda: TwoStepAttentionPool(
        time_kernel=3, squash="classification"
    ),
    "rank": lambda: GlobalWeightedRankPool(0.9),
    "maximum": lambda: GlobalWeightedRankPool(0.0),
    "mean": lambda: GlobalWeightedRankPool(1.0),
    "clipped attention": lambda: ClippedAttentionPool(4),
}


def published(name: str) -> dict:
    path = PARITY / "misc" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no reference numbers at {path}; set TFHIER_PARITY")
    return json.loads(path.read_text(encoding="utf-8"))


def channels_last(values) -> np.ndarray:
    """(clip, channel, frame, mel) as float32 (clip, frame, mel, channel)."""
    return np.asarray(values, np.float32).transpose(0, 2, 3, 1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# -- Two steps -------------------------------------------------------------------------


@pytest.mark.parametrize("squash", ["attention", "classification"])
@pytest.mark.parametrize("num_frames", [7, None])
def test_two_steps_by_numpy(rng, squash, num_frames):
    layer = TwoStepAttentionPool(
        num_frames, time_kernel=3, squash=squash, return_maps=True
    )
    maps = rng.normal(size=(2, 7, 5, 3)).astype(np.float32)
    found = {name: np.asarray(each) for name, each in layer(maps).items()}
    weights = [np.asarray(w, np.float64) for w in layer.get_weights()]
    pairs = list(zip(weights[::2], weights[1::2], strict=True))

    def over_time(values, kernel, bias):
        if num_frames:
            return values @ kernel + bias
        padded = np.pad(values, ((0, 0), (0, 0), (1, 1)))
        sides = [padded[..., at : at + 7] * kernel[at, 0, 0] for at in range(3)]
        return sum(sides) + bias

    def step(values, affine, attention, scores):
        attention, scores = affine(values, *attention), affine(values, *scores)
        if squash == "attention":
            attention = sigmoid(attention)
        else:
            scores = sigmoid(scores)
        return (softmax(attention) * scores).sum(axis=-1), softmax(attention), scores

    by_class = maps.transpose(0, 3, 1, 2).astype(np.float64)
    frames, mel_attention, _ = step(
        by_class, lambda x, kernel, bias: x @ kernel + bias, *pairs[:2]
    )
    clip, time_attention, scores = step(frames, over_time, *pairs[2:])
    clip = sigmoid(clip) if squash == "attention" else np.clip(clip, 0, 1)
    expected = {
        "clip": clip,
        "frames": frames.transpose(0, 2, 1),
        "frame_scores": scores.transpose(0, 2, 1),
        "time_attention": time_attention.transpose(0, 2, 1),
        "mel_attention": mel_attention.transpose(0, 2, 3, 1),
    }
    assert found.keys() == expected.keys()
    for name, each in expected.items():
        np.testing.assert_allclose(found[name], each, atol=1e-5, err_msg=name)
    # Attentions are shares; in the paper's form none is e times another.
    np.testing.assert_allclose(found["mel_attention"].sum(axis=2), 1, atol=1e-5)
    np.testing.assert_allclose(found["time_attention"].sum(axis=1), 1, atol=1e-5)
    if squash == "attention":
        shares = found["time_attention"]
        assert (shares.max(axis=1) <= np.e * shares.min(axis=1) + 1e-6).all()


def test_two_steps_as_the_authors():
    case = published("two_step_attention")
    maps = channels_last(case["x"])
    layer = TwoStepAttentionPool(
        maps.shape[1], squash="classification", return_maps=True
    )
    layer.build(maps.shape)
    names = ("fc_mel_att", "fc_mel_prob", "fc_time_att", "fc_time_prob")
    layer.set_weights(
        [
            np.asarray(case["parameters"][f"{name}.{kind}"]).T
            for name in names
            for kind in ("weight", "bias")
        ]
    )
    found = layer(maps)
    for name, theirs in (
        ("clip", np.asarray(case["output"])),
        ("frames", np.swapaxes(case["frame_values"], 1, 2)),
        ("time_attention", np.swapaxes(case["time_attention"], 1, 2)),
        ("mel_attention", np.moveaxis(case["mel_attention"], 1, 3)),
    ):
        np.testing.assert_allclose(found[name], theirs, atol=case["tolerance"])


def test_two_steps_refuse_what_they_were_not_made_for():
    with pytest.raises(ValueError, match=r"made for 5 frames.*takes any number"):
        TwoStepAttentionPool(5)(np.zeros((1, 6, 4, 3), np.float32))
    with pytest.raises(ValueError, match="takes whole maps"):
        TwoStepAttentionPool(6)(
            np.zeros((1, 6, 4, 3), np.float32), frame_mask=np.ones((1, 6), bool)
        )
    with pytest.raises(ValueError, match="an odd time_kernel"):
        TwoStepAttentionPool(time_kernel=4)
    with pytest.raises(ValueError, match="attention, classification"):
        TwoStepAttentionPool(squash="both")


# -- Rank, clipped attention, padded average -------------------------------------------


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9998, 1.0])
def test_rank_by_numpy(rng, decay):
    maps = rng.normal(size=(2, 6, 5, 3)).astype(np.float32)
    values = np.sort(maps.reshape(2, 30, 3), axis=1)[:, ::-1]
    weights = decay ** np.arange(30.0)
    expected = (values * weights[:, None]).sum(axis=1) / weights.sum()
    found = GlobalWeightedRankPool(decay)(maps)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    if decay in (0.0, 1.0):
        whole = maps.max(axis=(1, 2)) if decay == 0 else maps.mean(axis=(1, 2))
        np.testing.assert_allclose(found, whole, atol=1e-6)


def test_rank_as_the_authors():
    case = published("rank_pooling")
    maps = channels_last(case["maps"])
    pairs = {"0.9998": case["decay_0_9998"], **case["other_decays"]}
    for decay, theirs in pairs.items():
        found = GlobalWeightedRankPool(float(decay))(maps)
        np.testing.assert_allclose(found, theirs, atol=case["tolerance"])


def test_clipped_attention_as_the_authors():
    case = published("atrous_attention")
    maps = channels_last(case["x"])
    theirs = {name: np.asarray(each) for name, each in case["parameters"].items()}
    layer = ClippedAttentionPool(len(theirs["att.bias"]))
    layer.build(maps.shape)
    layer.set_weights(
        [
            each.squeeze((2, 3)).T if each.ndim == 4 else each
            for each in (
                theirs[f"{n}.{k}"] for n in ("att", "cla") for k in ("weight", "bias")
            )
        ]
    )
    np.testing.assert_allclose(layer(maps), case["output"], atol=case["tolerance"])


def test_clipped_attention_never_exceeds_one_half(rng):
    maps = 20 * rng.normal(size=(8, 5, 4, 3)).astype(np.float32)
    assert np.max(ClippedAttentionPool(4)(maps)) <= 0.5


def test_padded_average_as_the_authors():
    case = published("padded_average")
    square = np.asarray(case["x"], np.float32)
    found = PaddedAveragePool(3)(square[None, :, :, None])
    np.testing.assert_allclose(
        np.squeeze(found), np.squeeze(case["output"]), atol=case["tolerance"]
    )


@pytest.mark.parametrize("size", [1, 3, 5])
def test_padded_average_counts_the_zeros_around(rng, size):
    maps = rng.normal(size=(2, 6, 4, 3)).astype(np.float32)
    around = size // 2
    padded = np.pad(maps, ((0, 0), (around, around), (around, around), (0, 0)))
    expected = np.zeros(maps.shape)
    for down in range(size):
        for right in range(size):
            expected += padded[:, down : down + 6, right : right + 4] / size**2
    np.testing.assert_allclose(PaddedAveragePool(size)(maps), expected, atol=1e-6)


# -- Clips of unequal length -----------------------------------------------------------


@pytest.mark.parametrize("name", POOLS)
def test_padding_changes_nothing_of_a_clip(rng, name):
    layer = POOLS[name]()
    maps = rng.normal(size=(3, 9, 5, 4)).astype(np.float32)
    lengths = (9, 6, 1)
    mask = np.arange(9)[None] < np.array(lengths)[:, None]
    together = np.asarray(layer(maps, frame_mask=mask))
    for clip, length in enumerate(lengths):
        alone = layer(maps[clip : clip + 1, :length])
        np.testing.assert_allclose(together[clip], alone[0], atol=1e-6)
    # Whatever lies there.
    maps[~mask] = 1e3
    np.testing.assert_allclose(layer(maps, frame_mask=mask), together, atol=1e-5)


@pytest.mark.parametrize("name", POOLS)
def test_pools_learn(rng, name):
    inputs = keras.Input((None, 5, 4))
    model = keras.Model(inputs, POOLS[name]()(keras.layers.Dense(4)(inputs)))
    model.compile("sgd", "mse")
    before = [each.copy() for each in model.get_weights()]
    model.fit(
        rng.normal(size=(4, 7, 5, 4)), rng.uniform(size=(4, 4)), epochs=1, verbose=0
    )
    moved = [
        np.abs(one - two).max()
        for one, two in zip(before, model.get_weights(), strict=True)
    ]
    assert np.isfinite(moved).all() and moved[0] > 0
