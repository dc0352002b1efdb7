"""Adam and AdamW against torch's, in NumPy and in values that torch gave."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from tests import inventory
from tfhier import tagger
from tfhier.backbones import BACKBONES
from tfhier.experiment import Experiment
from tfhier.train.optimizer import LayerwiseAdam, adam, shares

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
    optimizer = LayerwiseAdam(0.25, l2=0.125, epsilon=1e-8)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, LayerwiseAdam)
    assert (again.l2, again.epsilon) == (0.125, 1e-8)
    assert float(again.learning_rate) == 0.25


# -- Shares of the rate ----------------------------------------------------------------


def stepped(rng, *, taken=4, shares=None, **options):
    """Two variables after some steps on the same gradients: (optimizer, variables)."""
    variables = [keras.Variable(rng.normal(size=5).astype("float32")) for _ in "ab"]
    optimizer = adam(1e-2, shares=shares, **options)
    for _ in range(taken):
        gradients = [rng.normal(size=5).astype("float32") for _ in variables]
        optimizer.apply(list(map(keras.ops.convert_to_tensor, gradients)), variables)
    return optimizer, [np.array(variable) for variable in variables]


KINDS = [
    {"weight_decay": 0.0, "decoupled": False},
    {"weight_decay": 0.0, "decoupled": False, "amsgrad": True},
    {"weight_decay": 0.5, "decoupled": True},
]


@pytest.mark.parametrize("options", KINDS)
def test_a_variable_takes_its_share_of_the_plain_step(options):
    """Also of the decoupled decay; moments do not know of shares."""
    start, plain, shared = (
        stepped(np.random.default_rng(1), taken=taken, shares=shares, **options)[1]
        for taken, shares in ((0, None), (1, None), (1, [1.0, 0.25]))
    )
    np.testing.assert_array_equal(shared[0], plain[0])
    np.testing.assert_allclose(
        shared[1] - start[1], 0.25 * (plain[1] - start[1]), rtol=1e-3, atol=1e-7
    )
    assert np.abs(plain[1] - start[1]).min() > 1e-3


@pytest.mark.parametrize("options", KINDS)
def test_shares_are_rates_of_their_own(options):
    """After several steps as two optimizers, one for each rate."""
    _, shared = stepped(np.random.default_rng(2), shares=[1.0, 0.5], **options)
    rng = np.random.default_rng(2)
    start = [rng.normal(size=5).astype("float32") for _ in "ab"]
    gradients = np.array([[rng.normal(size=5) for _ in "ab"] for _ in range(4)])
    for place, rate in enumerate((1e-2, 5e-3)):
        alone = steps_of(adam(rate, **options), start[place], gradients[:, place])
        np.testing.assert_allclose(shared[place], alone[-1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("options", [*KINDS, {"weight_decay": 0.5, "decoupled": False}])
def test_no_share_is_no_step(options):
    start, shared = (
        stepped(np.random.default_rng(3), taken=taken, shares=[0.0, 1.0], **options)[1]
        for taken in (0, 4)
    )
    np.testing.assert_array_equal(shared[0], start[0])
    assert np.abs(shared[1] - start[1]).min() > 1e-3


@pytest.mark.parametrize("wrong", [[1.0], [1.0, 1.0, 1.0], []])
def test_one_share_a_variable(wrong, rng):
    with pytest.raises(ValueError, match=f"Received: {len(wrong)} shares, 2 variables"):
        stepped(rng, shares=wrong, weight_decay=0.0, decoupled=False)


def test_shares_survive_a_round_trip():
    optimizer = LayerwiseAdam(0.25, decoupled=0.5, shares=(1.0, 0.125), amsgrad=True)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, LayerwiseAdam)
    assert (again.decoupled, again.shares, again.amsgrad) == (0.5, [1.0, 0.125], True)
    plain = keras.optimizers.deserialize(keras.optimizers.serialize(LayerwiseAdam()))
    assert plain.shares is None


# -- Which layer has which share -------------------------------------------------------


def body_of(backbone: str, **changes) -> keras.Model:
    """A body with a neck and a head behind the backbone."""
    experiment = Experiment(
        backbone=backbone, width=1 / 16, head="resatt", hidden_units=3, **changes
    )
    shape = (5, 12) if backbone == "mlp" else None
    return tagger.build(experiment, inventory.TREE, feature_shape=shape)[1]


def depths_of(body: keras.Model) -> list[float]:
    """Depth of each trained variable; neck and head have 0."""
    found = shares(body, tagger.backbone_of(body), backbone_rate=1.0, decay=0.5)
    assert len(found) == len(body.trainable_variables)
    return (-np.log2(found)).tolist()


def by_layer(body: keras.Model) -> dict[str, float]:
    """Depth of each layer with weights; those of a layer have one."""
    found: dict[str, set] = {}
    for variable, depth in zip(body.trainable_variables, depths_of(body), strict=True):
        found.setdefault(variable.path.split("/")[-2], set()).add(depth)
    assert all(len(depths) == 1 for depths in found.values())
    return {name: depths.pop() for name, depths in found.items()}


NECK_AND_HEAD = {"hidden_bn", "hidden", "fine_classifier", "coarse_attention"}
# Layers with kernels on the longest way through each network; ResNet22 and WideResNet28
# are called by that number and the classifier.
NUM_KERNELS = {
    "cnn6": 5,
    "cnn10": 9,
    "cnn14": 13,
    "mobilenet_v1": 28,
    "resnet22": 21,
    "wide_resnet28": 26,
    "yamnet": 27,
    "mlp": 1,
}


def test_every_backbone_is_counted():
    assert set(NUM_KERNELS) == set(BACKBONES)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_shares_fall_towards_the_input_kernel_by_kernel(backbone):
    body = body_of(backbone)
    depths = by_layer(body)
    assert {name for name, depth in depths.items() if not depth} == NECK_AND_HEAD
    norms = {
        layer.name
        for layer in body.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    # In the order of the network; what lies side by side, as a shortcut, is as deep.
    kernels = [
        depth
        for name, depth in depths.items()
        if name not in norms and name not in NECK_AND_HEAD
    ]
    assert kernels == sorted(kernels, reverse=True)
    assert set(kernels) == set(range(1, NUM_KERNELS[backbone] + 1))
    if "bn0" in depths:
        assert depths["bn0"] == NUM_KERNELS[backbone] + 1


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_normalisation_goes_with_the_kernel_before_it(backbone):
    body = body_of(backbone)
    depths = by_layer(body)
    made_by = {id(layer.output): layer for layer in body.layers}
    norms = [
        layer
        for layer in tagger.backbone_of(body).layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.name != "bn0"
    ]
    for norm in norms:
        before = made_by[id(norm.input)]
        while before.name not in depths:  # an activation
            before = made_by[id(before.input)]
        assert depths[norm.name] == depths[before.name], norm.name
    assert len(norms) >= (0 if backbone in ("yamnet", "mlp") else 4)


def test_backbones_of_a_fusion_are_counted_each_on_its_own():
    body = body_of("cnn10+resnet22")
    fused = depths_of(body)
    for name in ("cnn10", "resnet22"):
        inside = {id(v) for v in body.get_layer(name).trainable_variables}
        own = [
            depth
            for variable, depth in zip(body.trainable_variables, fused, strict=True)
            if id(variable) in inside
        ]
        alone = [depth for depth in depths_of(body_of(name)) if depth]
        assert own == alone


def test_rate_and_decay_by_hand():
    body = body_of("cnn6")
    found = dict(
        zip(
            (variable.path.split("/")[-2] for variable in body.trainable_variables),
            shares(body, tagger.backbone_of(body), backbone_rate=0.1, decay=0.5),
            strict=True,
        )
    )
    assert found["fc1"] == pytest.approx(0.05)
    assert found["conv_block4_conv1"] == found["conv_block4_bn1"]
    assert found["conv_block4_conv1"] == pytest.approx(0.025)
    assert found["bn0"] == pytest.approx(0.1 / 2**6)
    assert found["fine_classifier"] == found["hidden"] == 1.0


def test_frozen_layers_have_no_share():
    body = body_of("cnn6", frozen=True, pretrained="a")
    assert shares(body, tagger.backbone_of(body), backbone_rate=0.1, decay=0.5) == (
        [1.0] * len(body.trainable_variables)
    )
    assert set(by_layer(body)) == NECK_AND_HEAD
    # Some of it: depths are as if all were trained.
    body = body_of("cnn6")
    expected = by_layer(body)
    body.get_layer("conv_block4_conv1").trainable = False
    del expected["conv_block4_conv1"]
    assert by_layer(body) == expected
