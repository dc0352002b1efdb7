"""Contracts: what travels inside a `.keras` file, and files that are something else."""

import dataclasses
import json
import random
import zipfile

import keras
import numpy as np
import pytest

from tfhier import contract, members
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

TAXONOMIES = {
    "one level": Taxonomy.flat(["a", 'rain, "heavy"', "Vögel"], level="sound"),
    "two levels": Taxonomy.parse('zebra,animal\n"a, b","x, y"\nc,z\n'),
    "two parents": Taxonomy.parse("fine,coarse\na,x\nb,x\nb,y\n"),
    "three levels": Taxonomy.parse("leaf,branch,root\na,p,x\nb,q,x\nc,q,x\nd,r,y\n"),
}
FULL = Contract(
    taxonomy=TAXONOMIES["two levels"],
    sample_rate=32_000,
    softmax=True,
    window_seconds=0.975,
    hop_seconds=0.48,
    source="Größe, \udcff.pth",
    licence="CC BY 4.0",
    citation="Nobody: Nothing\nNowhere, 2020",
    name="zoo",
    clip_seconds=10.0,
    frontend={"num_fft": 1024, "window_length": 800, "center": True, "offset": None},
    weights="int8",
    thresholds={"zebra": (0.25, 0.5), "animal": (0.0, 1.0)},
    precise={"0.9": {"zebra": (0.5, float("inf")), "animal": (0.0, 0.75)}},
    results={"zebra": {"mAP": 0.5}},
    tested="12 test clips",
    versions={"tfhier": "0.1.0"},
)


def own_contract(taxonomy: Taxonomy = TAXONOMIES["one level"], **more) -> Contract:
    return Contract(taxonomy=taxonomy, sample_rate=16_000, **more)


@pytest.fixture
def path(tmp_path):
    """A small saved model without a contract."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def archive(path, text: str | bytes, *, member: str = members.CONTRACT):
    """Write an archive with one member."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(member, text)
    return path


def changed(**changes) -> str:
    """The text of a contract with other entries, without those that are None."""
    content = json.loads(own_contract().to_json()) | changes
    return json.dumps({k: v for k, v in content.items() if v is not None})


# -- There and back --------------------------------------------------------------------


@pytest.mark.parametrize("name", TAXONOMIES)
def test_text_gives_the_contract_back(name):
    given = own_contract(TAXONOMIES[name])
    again = Contract.from_json(given.to_json())
    assert again == given
    assert again.taxonomy.labels == TAXONOMIES[name].labels


def test_every_field_travels():
    defaults = {
        item.name: item.default
        for item in dataclasses.fields(Contract)
        if item.default is not dataclasses.MISSING
    }
    assert all(getattr(FULL, name) != value for name, value in defaults.items())
    assert Contract.from_json(FULL.to_json()) == FULL


def test_a_model_with_a_contract_is_still_keras(path, rng):
    inputs = rng.normal(size=(4, 3)).astype(np.float32)
    before = keras.models.load_model(path)(inputs)
    contract.attach(path, FULL)
    assert contract.read(path) == contract.read(str(path)) == FULL
    np.testing.assert_array_equal(keras.models.load_model(path)(inputs), before)


def test_the_text_is_plain_json_of_a_known_format(path):
    contract.attach(path, FULL)
    with zipfile.ZipFile(path) as file:
        content = json.loads(file.read("tfhier.json"))
    assert content["format"] == 2
    assert content["taxonomy"].splitlines()[0] == "zebra,animal"
    assert content["window_seconds"] == 0.975


def test_a_contract_of_the_first_format_is_read(tmp_path):
    new = ("name", "clip_seconds", "frontend", "weights", "thresholds", "results")
    text = changed(format=1, versions=None, **dict.fromkeys(new))
    found = contract.read(archive(tmp_path / "old.keras", text))
    assert found == own_contract()
    assert found.min_samples == 1


def test_a_contract_takes_the_place_of_another_and_leaves_all_else(path):
    with zipfile.ZipFile(path) as file:
        before = {name: file.read(name) for name in file.namelist()}
    contract.attach(path, own_contract())
    contract.attach(path, FULL)
    assert contract.read(path) == FULL
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        assert len(names) == len(set(names)) == len(before) + 1
        assert all(file.read(name) == content for name, content in before.items())


def test_the_shortest_waveform_follows_from_the_front_end():
    centred = {"center": True, "num_fft": 512, "window_length": 400}
    assert own_contract(frontend=centred).min_samples == 257
    assert own_contract(frontend=centred | {"center": False}).min_samples == 400


# -- Promises that cannot be kept ------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sample_rate": -1},
            "sample_rate is above 0, or 0 for features. Received: -1",
        ),
        ({"sample_rate": 16e3}, "sample_rate is of the type int. Received: 16000.0"),
        ({"sample_rate": True}, "sample_rate is of the type int. Received: True"),
        ({"softmax": 1}, "softmax is of the type bool. Received: 1"),
        ({"source": None}, "source is of the type str. Received: None"),
        ({"taxonomy": "a"}, "taxonomy is of the type Taxonomy. Received: 'a'"),
        ({"window_seconds": 1}, "hop_seconds=0.0, window_seconds=1"),
        ({"hop_seconds": 1.0}, "hop_seconds=1.0, window_seconds=0.0"),
        ({"window_seconds": 1, "hop_seconds": 1.01}, "without gaps"),
        ({"window_seconds": 1, "hop_seconds": -0.5}, "without gaps"),
        ({"window_seconds": 1, "hop_seconds": 1e-5}, "one sample or more"),
        ({"window_seconds": float("inf"), "hop_seconds": 1}, "window_seconds=inf"),
        ({"window_seconds": float("nan"), "hop_seconds": 1}, "window_seconds=nan"),
        ({"window_seconds": 1, "hop_seconds": float("nan")}, "hop_seconds=nan"),
        (
            {"sample_rate": 0, "window_seconds": 1, "hop_seconds": 1},
            "sample_rate=0",
        ),
    ],
)
def test_impossible_promises_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(own_contract(), **changes)


def test_features_have_no_rate_and_windows_may_touch():
    features = dataclasses.replace(own_contract(), sample_rate=0)
    assert Contract.from_json(features.to_json()).sample_rate == 0
    assert own_contract(window_seconds=2, hop_seconds=2).hop_seconds == 2


# -- Files that are something else -----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("", "Expecting value"),
        ("[1]", "expected a contract of format 2"),
        ("null", "expected a contract of format 2"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff\xfe{}", "codec can't decode"),
        (changed(format=3), "expected a contract of format 2"),
        (changed(format=None), "expected a contract of format 2"),
        (changed(softmax=None), "expected the fields citation, clip_seconds, frontend"),
        (changed(more=1), "expected the fields citation, clip_seconds, frontend"),
        (changed(sample_rate="16k"), "sample_rate is of the type int. Rec.*'16k'"),
        (changed(softmax="no"), "softmax is of the type bool"),
        (changed(hop_seconds=2), "without gaps"),
        (changed(clip_seconds=-1), "clip_seconds is 0 or more. Received: -1"),
        (changed(thresholds={"sound": [0.5]}), "one for each label of {'sound': 3}"),
        (changed(thresholds={"sound": [0, 1, 1.5]}), r"lie in \[0, 1\]. Received: s"),
        (changed(thresholds={"sound": 3}), "thresholds are lists"),
        (changed(thresholds={"sound": [None] * 3}), "float.* argument must be"),
        (changed(frontend=[]), r"frontend is of the type dict. Received: \[\]"),
        (changed(taxonomy="fine,coarse\na\n"), r"row 2: expected 2 names \(fine, co"),
        (changed(taxonomy="fine"), "needs a header of levels"),
        (changed(taxonomy=5), "needs a header of levels"),
        (changed(taxonomy="fine,fine\na,b\n"), "level"),
    ],
    ids=range(23),
)
def test_contracts_that_cannot_be_read_are_one_message(tmp_path, text, message):
    path = archive(tmp_path / "other.keras", text)
    with pytest.raises(InputError, match=message) as caught:
        contract.read(path)
    assert str(caught.value).startswith(f"{path} has a contract that cannot be read (")
    assert str(caught.value).endswith("saved by another version of tfhier.")
    assert "\n" not in str(caught.value)


def test_a_model_without_a_contract_is_refused(path):
    with pytest.raises(
        InputError, match=r"model\.keras does not say .*no tfhier\.json"
    ):
        contract.read(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"RIFF" * 100, bytes(1_000)])
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"model\.keras is no \.keras file, or it is da"
    ):
        contract.read(path)


@pytest.mark.parametrize("name", ["missing.keras", "."])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match="There is no model") as caught:
        contract.read(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_one_changed_bit_gives_the_contract_or_one_message(tmp_path, compression):
    """What is read is what was written: the checksums of the archive see to that."""
    path, draw = tmp_path / "model.keras", random.Random(3)
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("config.json", "{}")
        file.writestr(members.CONTRACT, FULL.to_json())
    whole = path.read_bytes()
    num_refused = 0
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            assert contract.read(path) == FULL
        except InputError as error:
            num_refused += 1
            assert str(path) in str(error)
    assert num_refused > len(FULL.to_json()) / 2


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_file_is_refused(path, share):
    contract.attach(path, FULL)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="copy or download it again"):
        contract.read(path)


@pytest.mark.parametrize(
    ("band", "expected"),
    [
        ({}, (0.0, 8_000.0)),
        ({"min_hertz": 50.0, "max_hertz": 7_000.0}, (50.0, 7_000.0)),
        ({"min_hertz": 50.0, "max_hertz": 14_000.0}, (50.0, 8_000.0)),
        ({"min_hertz": None, "max_hertz": None}, (0.0, 8_000.0)),
    ],
)
def test_the_frequencies_are_the_front_ends_and_the_sample_rates(band, expected):
    frontend = {"center": True, "num_fft": 512, "window_length": 512, **band}
    found = own_contract(frontend=frontend)
    assert found.frequencies == expected
