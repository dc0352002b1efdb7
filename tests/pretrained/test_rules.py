"""Published tensors through the rules: layouts, names, and all that does not fit."""

import keras
import numpy as np
import pytest
from keras import layers

from tfhier.errors import InputError
from tfhier.pretrained import rules
from tfhier.pretrained.rules import Rule, Skipped

TABLE = (
    rules.COUNTERS,
    *rules.convolution(r"first\.(?:conv)"),
    *rules.norm(r"first\.bn"),
    *rules.depthwise(r"deep"),
    *rules.linear("fc", "answers"),
    Rule(r"window", reason="of the front end"),
)


def network() -> keras.Model:
    """Kernels and channels of which no two sizes are alike."""
    inputs = keras.Input((9, 8, 2))
    x = layers.Conv2D(5, (2, 3), use_bias=False, name="first_conv")(inputs)
    x = layers.BatchNormalization(epsilon=1e-5, name="first_bn")(x)
    x = layers.DepthwiseConv2D((4, 1), use_bias=False, name="deep")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, name="answers")(x))


def tensors(rng) -> dict[str, np.ndarray]:
    shapes = {
        "first.conv.weight": (5, 2, 2, 3),
        "first.bn.weight": (5,),
        "first.bn.bias": (5,),
        "first.bn.running_mean": (5,),
        "first.bn.running_var": (5,),
        "deep.weight": (5, 1, 4, 1),
        "fc.weight": (3, 5),
        "fc.bias": (3,),
    }
    drawn = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    drawn["first.bn.running_var"] **= 2
    return drawn | {"first.bn.num_batches_tracked": np.array(7), "window": np.ones(4)}


def convolved(maps: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Cross-correlation (channels, height, width) by PyTorch's definition, in loops."""
    out, _, high, wide = kernel.shape
    shape = (out, maps.shape[1] - high + 1, maps.shape[2] - wide + 1)
    result = np.empty(shape)
    for o, i, j in np.ndindex(shape):
        result[o, i, j] = (kernel[o] * maps[:, i : i + high, j : j + wide]).sum()
    return result


def test_the_network_computes_what_pytorchs_would(rng):
    model, given = network(), tensors(rng)
    rules.assign(model, given, TABLE)
    clip = rng.normal(size=(9, 8, 2)).astype(np.float32)
    x = convolved(clip.transpose(2, 0, 1), given["first.conv.weight"])
    gain, shift, mean, variance = (
        given[f"first.bn.{kind}"][:, None, None]
        for kind in ("weight", "bias", "running_mean", "running_var")
    )
    x = (x - mean) / np.sqrt(variance + 1e-5) * gain + shift
    deep = [
        convolved(x[None, channel], given["deep.weight"][None, channel])
        for channel in range(5)
    ]
    expected = given["fc.weight"] @ np.mean(deep, axis=(1, 2, 3)) + given["fc.bias"]
    np.testing.assert_allclose(model(clip[None])[0], expected, rtol=1e-4, atol=1e-5)


def test_what_is_not_used_is_named_with_the_reason(rng):
    skipped = rules.assign(network(), tensors(rng), TABLE)
    assert skipped == [
        Skipped("first.bn.num_batches_tracked", rules.COUNTERS.reason),
        Skipped("window", "of the front end"),
    ]


def test_the_order_of_tensors_does_not_matter(rng):
    model, again, given = network(), network(), tensors(rng)
    rules.assign(model, given, TABLE)
    rules.assign(again, dict(reversed(given.items())), TABLE)
    for one, two in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_first_rule_that_matches_counts(rng):
    given = tensors(rng) | {"fc.extra": np.zeros(2)}
    table = (Rule(r"fc\.ex.*", reason="twice as good without"), *TABLE)
    assert Skipped("fc.extra", "twice as good without") in rules.assign(
        network(), given, (*table, Rule(r"fc\.extra", "answers/bias"))
    )


def test_a_name_must_match_as_a_whole(rng):
    given = tensors(rng)
    given["base.fc.bias"] = given.pop("fc.bias")
    with pytest.raises(InputError, match=r"place in it \(1\): base\.fc\.bias \(3,\)"):
        rules.assign(network(), given, TABLE)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_become_single(dtype, rng):
    model, given = network(), tensors(rng)
    given["fc.bias"] = given["fc.bias"].astype(dtype)
    rules.assign(model, given, TABLE)
    expected = given["fc.bias"].astype(np.float32)
    np.testing.assert_array_equal(model.get_layer("answers").bias, expected)


FAULTS = {
    "extra": (
        {"head.weight": np.zeros((2, 6))},
        r"without a place in it \(1\): head\.weight \(2, 6\)\.",
    ),
    "missing": (
        {"fc.bias": None},
        r"of ours that no tensor fills \(1\): answers/bias \(3,\)\.",
    ),
    "misshaped kernel": (
        {"first.conv.weight": np.zeros((5, 2, 3, 3), np.float32)},
        r"another shape \(1\): first\.conv\.weight \(5, 2, 3, 3\) instead of "
        r"\(5, 2, 2, 3\)\.",
    ),
    "misshaped depthwise kernel": (
        {"deep.weight": np.zeros((1, 5, 4, 1), np.float32)},
        r"deep\.weight \(1, 5, 4, 1\) instead of \(5, 1, 4, 1\)",
    ),
    "fewer axes": (
        {"fc.weight": np.zeros(15, np.float32)},
        r"fc\.weight \(15,\) instead of \(3, 5\)",
    ),
    "NaN": (
        {"fc.bias": np.array([0, np.nan, 1], np.float32)},
        r"what no weight is \(1\): fc\.bias \(3,\): 1 of 3 values are NaN or inf",
    ),
    "infinite": (
        {"fc.bias": np.array([np.inf, -np.inf, 1], np.float32)},
        r"fc\.bias \(3,\): 2 of 3 values are NaN or inf",
    ),
    "beyond float32": (
        {"fc.bias": np.array([1e300, 0, 0])},
        r"fc\.bias \(3,\): 1 of 3 values are NaN or inf",
    ),
    "NaN in what is not used": (
        {"window": np.array([np.nan])},
        r"window \(1,\): 1 of 1 values are NaN",
    ),
    "integers": (
        {"fc.bias": np.array([1, 2, 3])},
        r"fc\.bias \(3,\): int64 instead of floats",
    ),
    "negative variance": (
        {"first.bn.running_var": np.array([1, 1, -0.1, 1, 1], np.float32)},
        r"first\.bn\.running_var \(5,\): variances below zero",
    ),
    "two for one": (
        {"first_conv.weight": np.zeros((5, 2, 2, 3), np.float32)},
        r"what another tensor fills \(1\): first_conv\.weight \(5, 2, 2, 3\): "
        r"first_conv/kernel\.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_named_and_nothing_loaded(fault, rng):
    change, message = FAULTS[fault]
    given = {
        name: values
        for name, values in (tensors(rng) | change).items()
        if values is not None
    }
    table = (*TABLE, *rules.convolution("first_conv"))
    model = network()
    before = model.get_weights()
    with pytest.raises(InputError, match=message):
        rules.assign(model, given, table)
    for one, two in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)


def test_one_message_names_everything(rng):
    given = tensors(rng)
    del given["first.bn.weight"], given["first.bn.bias"]
    given["deep.weight"] = given["deep.weight"][:4]
    given["fc.bias"][0] = np.nan
    given |= {"a": np.zeros(1), "b": np.zeros((2, 1))}
    with pytest.raises(InputError) as error:
        rules.assign(network(), given, TABLE)
    text = str(error.value)
    for part in (
        "place in it (2): a (1,), b (2, 1).",
        "shape (1): deep.weight (4, 1, 4, 1) instead of (5, 1, 4, 1).",
        "no weight is (1): fc.bias (3,):",
        "fills (2): first_bn/gamma (5,), first_bn/beta (5,).",
    ):
        assert part in text
    assert "\n" not in text
