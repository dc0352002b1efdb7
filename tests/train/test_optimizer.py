"""L2Adam and AdamW against torch's Adam, in NumPy and in values that torch gave."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from tfhier.train.optimizer import L2Adam, adam

PARITY = Path(
    os.environ.get("TFHIER_PARITY") or Path(__file__).parents[2] / "../shared/parity"
)
# float32 variables of size 1 after four steps; the values of torch are float64.
TOLERANCE = 3e-7


def steps_of(optimizer, start, gradients) -> np.ndarray:
    """Return the variable after each step: (steps, units)."""
    variable = keras.Variable(np.asarray(start, np.float32))
    taken = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable])
        taken.append(np.array(variable))
    return np.stack(taken)


def torch_adam(
    start, gradients, *, rate, weight_decay, decoupled, epsilon=1e-8
) -> np.ndarray:
    """`torch.optim.Adam` or `AdamW` as their documentation writes them, in float64."""
    value = np.asarray(start, np.float64)
    first, second, taken = np.zeros_like(value), np.zeros_like(value), []
    for step, gradient in enumerate(np.asarray(gradients, np.float64), start=1):
        if decoupled:
            value = value * (1 - rate * weight_decay)
        else:
            gradient = gradient + weight_decay * value
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        root = np.sqrt(second / (1 - 0.999**step))
        value = value - rate * first / (1 - 0.9**step) / (root + epsilon)
        taken.append(value)
    return np.stack(taken)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_steps_are_those_of_torch(rng, decoupled, weight_decay):
    start, gradients = rng.normal(size=50), rng.normal(size=(20, 50))
    optimizer = adam(1e-2, weight_decay=weight_decay, decoupled=decoupled)
    expected = torch_adam(
        start, gradients, rate=1e-2, weight_decay=weight_decay, decoupled=decoupled
    )
    taken = steps_of(optimizer, start, gradients)
    np.testing.assert_allclose(taken, expected, rtol=0, atol=5e-6)


def test_the_two_weight_decays_differ(rng):
    start, gradients = rng.normal(size=50), rng.normal(size=(5, 50))
    both = [
        steps_of(adam(1e-2, weight_decay=0.3, decoupled=flag), start, gradients)
        for flag in (False, True)
    ]
    assert np.abs(both[0] - both[1]).max() > 1e-3


@pytest.mark.parametrize("name", ["adam", "adam_l2", "adamw"])
def test_steps_are_those_that_torch_gave(name):
    path = PARITY / "misc" / "optimisers.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    answers = json.loads(path.read_text())
    case = answers[name]
    optimizer = adam(
        case["settings"]["lr"],
        weight_decay=case["settings"].get("weight_decay", 0.0),
        decoupled=name == "adamw",
    )
    taken = steps_of(optimizer, answers["start"], answers["gradients"])
    # The last unit's gradients are near 1e-6, where epsilon's place tells.
    expected = np.asarray(case["steps"])
    np.testing.assert_allclose(taken[:, :3], expected[:, :3], rtol=0, atol=TOLERANCE)
    rate = case["settings"]["lr"]
    np.testing.assert_allclose(taken, expected, rtol=0, atol=0.01 * rate + TOLERANCE)


def test_every_variable_decays_biases_too():
    optimizer = adam(1e-2, weight_decay=0.1, decoupled=False)
    layer = keras.layers.Dense(3, bias_initializer="ones")
    layer.build((None, 2))
    before = [np.array(weight) for weight in layer.trainable_weights]
    zeros = [keras.ops.zeros_like(weight) for weight in layer.trainable_weights]
    optimizer.apply(zeros, layer.trainable_weights)
    for old, new in zip(before, layer.trainable_weights, strict=True):
        # The first step of Adam is the rate in the direction of the sign.
        np.testing.assert_allclose(np.array(new), old - 1e-2 * np.sign(old), atol=1e-5)


def test_l2_survives_a_round_trip():
    optimizer = L2Adam(0.25, l2=0.125, epsilon=1e-8)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, L2Adam)
    assert (again.l2, again.epsilon) == (0.125, 1e-8)
    assert float(again.learning_rate) == 0.25
