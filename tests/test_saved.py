"""Saved taggers: written whole, told apart, read with a check, begun from."""

import dataclasses
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from tfhier import contract, frontends, saved, tagger
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.layers import LogMel
from tfhier.network_digest import network_digest
from tfhier.taxonomy import Taxonomy

ROOT = Path(__file__).parents[1]
TREE = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\n")
SMALL = Experiment(backbone="cnn6", width=1 / 32, head="resatt", clip_seconds=1.0)
PROMISED = Contract(taxonomy=TREE, sample_rate=16_000)


def whole(experiment: Experiment = SMALL, **more) -> keras.Model:
    return tagger.end_to_end(*tagger.build(experiment, TREE, **more))


def digest_of(folder, model) -> str:
    saved.write(folder / "tagger.keras", model, PROMISED)
    return network_digest(folder / "tagger.keras")


def of_layers(layer, *, factor: float = 2.0) -> keras.Model:
    """A network of a layer and of operations that Keras names and numbers itself."""
    inputs = keras.Input((6, 4))
    x = keras.ops.relu(layer(inputs)) * factor
    return keras.Model(inputs, {"fine": keras.ops.mean(x, axis=1)}, name="tagger")


# -- Writing and reading ---------------------------------------------------------------


def test_a_tagger_is_written_with_its_contract(rng, tmp_path):
    model = whole()
    saved.write(tmp_path / "deeper" / "tagger.keras", model, PROMISED)
    assert [path.name for path in (tmp_path / "deeper").iterdir()] == ["tagger.keras"]
    again = saved.load(tmp_path / "deeper" / "tagger.keras", TREE)
    found = contract.read(tmp_path / "deeper" / "tagger.keras")
    assert found.frontend["num_fft"] == 512
    assert found.versions["keras"] == keras.__version__
    assert dataclasses.replace(found, frontend={}, versions={}) == PROMISED
    sound = rng.uniform(-0.5, 0.5, (2, 8_000)).astype(np.float32)
    for level, values in model(sound).items():
        np.testing.assert_array_equal(again(sound)[level], values)


def test_a_tagger_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    model, path = whole(), tmp_path / "tagger.keras"
    path.write_bytes(b"the one before")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(saved.members, "attach", stop)
    with pytest.raises(KeyboardInterrupt):
        saved.write(path, model, PROMISED)
    assert path.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_tagger_is_refused(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(
        tmp_path / "other.keras"
    )
    with pytest.raises(InputError, match=r"other\.keras is no tagger: it does not ans"):
        saved.read(tmp_path / "other.keras")
    with pytest.raises(InputError, match=r"no model .*gone\.keras"):
        saved.read(tmp_path / "gone.keras")


# -- Digests ---------------------------------------------------------------------------


def test_a_network_has_its_digest_in_every_session(tmp_path):
    """Keras numbers operations: here they are the first, elsewhere the hundredth."""
    script = (
        "import sys; from pathlib import Path; from tests import test_saved as t\n"
        "print(t.digest_of(Path(sys.argv[1]), t.whole(seed=3)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for _ in range(3):
        keras.ops.mean(keras.Input((3,)), axis=1)
    mine = tmp_path / "mine"
    found = digest_of(mine, whole(seed=3))
    assert len(found) == 16
    names = [
        {each["name"] for each in inner["config"]["layers"]}
        for folder in (tmp_path, mine)
        for inner in config_of(folder)["config"]["layers"]
        if inner["name"] == "body"
    ]
    assert names[0] != names[1]
    assert found == done.stdout.split()[-1]


def config_of(folder) -> dict:
    with zipfile.ZipFile(folder / "tagger.keras") as archive:
        return json.loads(archive.read("config.json"))


def test_a_tagger_that_is_loaded_and_saved_again_has_the_same_digest(tmp_path):
    found = digest_of(tmp_path, whole())
    again = saved.read(tmp_path / "tagger.keras")
    again.trainable = False
    assert digest_of(tmp_path, again) == found


def test_one_weight_or_statistic_makes_another_digest(tmp_path):
    model = whole()
    found = {digest_of(tmp_path, model)}
    body = model.get_layer("body")
    for number, variable in enumerate(
        (body.get_layer("fine_classifier").bias, body.get_layer("bn0").moving_mean), 2
    ):
        value = np.array(variable)
        value[0] += 1e-6
        variable.assign(value)
        found.add(digest_of(tmp_path, model))
        assert len(found) == number


@pytest.mark.parametrize("setting", [{"offset": 1e-9}, {"max_hertz": 7_999.0}])
def test_one_setting_of_the_front_end_makes_another_digest(setting, tmp_path):
    frontend, body = tagger.build(SMALL, TREE)
    other = LogMel.from_config({**frontend.get_config(), **setting})
    own = digest_of(tmp_path, tagger.end_to_end(frontend, body))
    assert digest_of(tmp_path, tagger.end_to_end(other, body)) != own


def test_what_the_same_weights_are_made_of_tells(tmp_path):
    """Factors beside layers, settings within wrapped ones, precision."""
    dense = keras.layers.Dense(3, kernel_initializer="ones", name="layer")
    wrapped = [
        keras.layers.TimeDistributed(
            keras.layers.Dense(
                3, activation=activation, kernel_initializer="ones", name="inside"
            ),
            name="layer",
        )
        for activation in ("relu", "tanh")
    ]
    half = keras.layers.Dense(
        3, kernel_initializer="ones", dtype="mixed_float16", name="layer"
    )
    networks = [
        of_layers(dense),
        of_layers(dense, factor=3.0),
        *map(of_layers, wrapped),
        of_layers(half),
    ]
    assert len({digest_of(tmp_path, network) for network in networks}) == len(networks)


def test_layers_that_nobody_named_have_no_say(tmp_path):
    """Their numbers are the session's, also among the weights of the file."""

    def unnamed() -> keras.Model:
        return of_layers(keras.layers.Dense(3, kernel_initializer="ones"))

    assert digest_of(tmp_path, unnamed()) == digest_of(tmp_path, unnamed())
    fusion = SMALL.but(backbone="cnn6+cnn10")
    assert digest_of(tmp_path, whole(fusion)) == digest_of(tmp_path, whole(fusion))


def test_wiring_tells(tmp_path):
    def joined(*, first: bool) -> keras.Model:
        inputs = keras.Input((3,))
        one = keras.layers.Dense(3, kernel_initializer="ones", name="one")(inputs)
        two = keras.layers.Dense(3, kernel_initializer="ones", name="two")(one)
        return keras.Model(inputs, {"fine": two - (one if first else inputs)})

    assert digest_of(tmp_path, joined(first=True)) == digest_of(
        tmp_path, joined(first=True)
    )
    assert digest_of(tmp_path, joined(first=True)) != digest_of(
        tmp_path, joined(first=False)
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"no model .*tagger\.keras"),
        (b"", "is no usable Keras model"),
        (b"no archive", "is no usable Keras model"),
    ],
)
def test_a_file_without_a_network_has_no_digest(content, message, tmp_path):
    path = tmp_path / "tagger.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        network_digest(path)


def test_an_archive_of_something_else_has_no_digest(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(InputError, match=r"a\.keras is no usable Keras model"):
        network_digest(tmp_path / "a.keras")


# -- Starting with neck and head -------------------------------------------------------

# A tagger of features: nothing but layers to be copied.
DENSE = Experiment(
    backbone="mlp",
    features="X",
    width=0.05,
    head="levelwise",
    hidden_units=4,
    initial=("first",),
    initial_head=True,
)


@pytest.fixture
def first(tmp_path):
    """A saved tagger of features with weights of its own: model and path."""
    model = whole(DENSE, feature_shape=(12,), seed=7)
    for number, variable in enumerate(model.weights):
        variable.assign(variable + 0.01 * (number + 1))
    saved.write(tmp_path / "first.keras", model, PROMISED)
    return model, tmp_path / "first.keras"


def body_from(path, experiment=DENSE, taxonomy=TREE, *, num_paths=1) -> keras.Model:
    body = tagger.build(experiment, taxonomy, feature_shape=(12,), seed=8)[1]
    saved.start_from(body, [path] * num_paths, experiment)
    return body


def test_a_start_with_the_head_is_the_same_tagger(first, rng):
    model, path = first
    features = rng.normal(size=(5, 12)).astype(np.float32)
    for level, values in body_from(path)(features).items():
        np.testing.assert_array_equal(values, model(features)[level])
    without = body_from(path, DENSE.but(initial_head=False))
    apart = np.abs(without(features)["fine"] - model(features)["fine"])
    assert apart.max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"head": "resatt"}, "mlp, neck and head: coarse_attention"),
        ({"hidden_units": 5}, "mlp, neck and head: hidden, "),
        ({"width": 0.1}, "mlp, neck and head: fc1, "),
    ],
)
def test_a_start_with_another_neck_or_head_is_refused(changes, named, first):
    with pytest.raises(InputError, match=f"has other layers than {named}"):
        body_from(first[1], DENSE.but(**changes))


def test_a_start_with_labels_of_another_number_is_refused_with_the_head(first):
    other = Taxonomy.parse("fine,coarse\na,x\nb,y\nc,y\nd,y\n")
    with pytest.raises(InputError, match=r"neck and head: fine_classifier \("):
        body_from(first[1], taxonomy=other)
    body_from(first[1], DENSE.but(initial_head=False, hidden_units=0), other)


def test_a_start_that_fits_in_nothing_is_told_all_at_once(tmp_path):
    other = LogMel.from_config(
        frontends.build("panns_8k").get_config() | {"hop_length": 100}
    )
    settings = {"backbone": "cnn6", "head": "flat"}
    _, body = tagger.build(Experiment(width=0.1, **settings), TREE, frontend=other)
    tagger.end_to_end(other, body).save(tmp_path / "start.keras")
    experiment = Experiment(width=0.2, frontend="primates_8k", **settings)
    body = tagger.build(experiment, TREE)[1]
    message = (
        r"front end than primates_8k \(none with a name: 8000 Hz, 256-point DFT, "
        r"hop 100; .* and other layers than cnn6 at width 0\.2: .*\(conv.* here"
    )
    with pytest.raises(InputError, match=message):
        saved.start_from(body, [tmp_path / "start.keras"], experiment)


def test_nothing_is_copied_of_what_does_not_fit(first):
    experiment = DENSE.but(hidden_units=5)
    body = tagger.build(experiment, TREE, feature_shape=(12,), seed=8)[1]
    before = body.get_weights()
    with pytest.raises(InputError):
        saved.start_from(body, [first[1]], experiment)
    for old, new in zip(before, body.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
