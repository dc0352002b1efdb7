"""What a saved model promises, told in every format without computing it."""

import io
import json
import os
import zipfile
from pathlib import Path

import pytest

from tests import stand_in_server
from tfhier import __main__ as command_line
from tfhier import describe, members
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.files import write_json
from tfhier.taxonomy import Taxonomy

TREE = Taxonomy.parse("zebra,animal\na,x\nb,x\nc,y\n")
PROMISED = Contract(
    taxonomy=TREE,
    sample_rate=8_000,
    name="bats",
    clip_seconds=2.5,
    source="trained on bats",
    licence="CC BY 4.0",
    citation="A. Author (2026)",
    frontend={"center": True, "num_fft": 256, "window_length": 256},
    thresholds={"zebra": (0.25, 0.5, 0.75), "animal": (0.1, 0.9)},
    results={"zebra": {"mAP": 0.5, "loss": 0.7}, "animal": {"mAP": 0.875, "f1": 0.25}},
    tested="the Keras model on 12 test clips",
    versions={"tfhier": "0.1.0", "date": "2026-11-22"},
)


def keras_file(path: Path, promised: Contract) -> Path:
    """What is read of a `.keras` file: an archive, here without a network."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "model.weights.h5"):
            archive.writestr(name, 100 * name)
        archive.writestr(members.CONTRACT, promised.to_json())
    return path


def tflite_file(path: Path, promised: Contract) -> Path:
    network = b"\x20\0\0\0TFL3" + bytes(range(200))
    archived = io.BytesIO()
    archived.write(network)
    with zipfile.ZipFile(archived, "a") as archive:
        text = promised.to_json().encode()
        archive.writestr(members.CONTRACT, text)
        sums = members.checksums({members.NETWORK: network, members.CONTRACT: text})
        archive.writestr(members.CHECKSUMS, sums)
    path.write_bytes(archived.getvalue())
    return path


def saved_model(folder: Path, promised: Contract) -> Path:
    content = {
        "saved_model.pb": b"a graph",
        "assets/tfhier.json": promised.to_json().encode(),
    }
    sums = {"assets.extra/sha256.txt": members.checksums(content)}
    for name, each in (content | sums).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(each)
    return folder


FORMATS = {
    "bats.keras": keras_file,
    "bats.tflite": tflite_file,
    "serving/1": saved_model,
}
every_format = pytest.mark.parametrize("name", FORMATS)


def tfhier(capsys, *arguments) -> tuple[int, str, str]:
    status = command_line.main(["describe", *map(str, arguments)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@every_format
def test_every_format_tells_its_contract_for_people(tmp_path, capsys, name):
    path = FORMATS[name](tmp_path / name, PROMISED)
    status, text, errors = tfhier(capsys, path)
    assert (status, errors) == (0, "")
    size = sum(
        item.stat().st_size for item in [path, *path.rglob("*")] if item.is_file()
    )
    assert text.splitlines() == [
        f"bats  {path}  ({size / 1e6:.2f} MB)",
        "input    8000 Hz, clips of any length, trained on 2.5 s",
        "level    zebra: 3 labels: a (0.25), b (0.50), c (0.75)",
        "level    animal: 2 labels: x (0.10) = a | b; y (0.90) = c",
        "scores   each the probability that its label is heard, whatever else is",
        "tags     thresholds: fitted on validation clips, in brackets",
        "tested   zebra: mAP 50.0 (%)",
        "tested   animal: mAP 87.5, f1 25.0 (%)",
        "         the Keras model on 12 test clips",
        "weights  float32",
        "source   trained on bats",
        "licence  CC BY 4.0",
        "made by  tfhier 0.1.0, date 2026-11-22",
    ]


@every_format
def test_every_format_tells_its_contract_for_programs(tmp_path, capsys, name):
    path = FORMATS[name](tmp_path / name, PROMISED)
    status, text, _ = tfhier(capsys, path, "--json")
    assert status == 0
    size = sum(
        item.stat().st_size for item in [path, *path.rglob("*")] if item.is_file()
    )
    assert json.loads(text) == {
        "name": "bats",
        "path": str(path),
        "bytes": size,
        "sample_rate": 8_000,
        "window_seconds": 0.0,
        "hop_seconds": 0.0,
        "clip_seconds": 2.5,
        "scores": PROMISED.score_meaning,
        "weights": "float32",
        "levels": {"zebra": ["a", "b", "c"], "animal": ["x", "y"]},
        "groups": {"animal": {"x": ["a", "b"], "y": ["c"]}},
        "thresholds": {
            "zebra": {"a": 0.25, "b": 0.5, "c": 0.75},
            "animal": {"x": 0.1, "y": 0.9},
        },
        "results": PROMISED.results,
        "tested": "the Keras model on 12 test clips",
        "frontend": PROMISED.frontend,
        "source": "trained on bats",
        "licence": "CC BY 4.0",
        "citation": "A. Author (2026)",
        "versions": PROMISED.versions,
    }


def test_a_model_that_promises_little_says_so(tmp_path, capsys):
    bare = Contract(taxonomy=TREE, sample_rate=16_000, softmax=True)
    path = keras_file(tmp_path / "anything.keras", bare)
    _, text, _ = tfhier(capsys, path)
    assert text.splitlines()[0].startswith(f"anything  {path}  (")
    assert text.splitlines()[1:] == [
        "input    16000 Hz, clips of any length",
        "level    zebra: 3 labels: a, b, c",
        "level    animal: 2 labels: x = a | b; y = c",
        f"scores   {bare.score_meaning}",
        "tags     thresholds: none",
        "weights  float32",
        "source   not stated",
        "licence  not stated",
        "made by  not stated",
    ]


def test_windows_features_and_many_labels_are_told(tmp_path, capsys):
    many = Taxonomy.flat([f"label {number}" for number in range(31)])
    windowed = Contract(
        taxonomy=many, sample_rate=16_000, window_seconds=0.975, hop_seconds=0.48
    )
    _, text, _ = tfhier(capsys, tflite_file(tmp_path / "a.tflite", windowed))
    assert (
        "\ninput    16000 Hz, 0.975-s windows every 0.48 s, what is shorter filled up "
        "with zeros\n"
    ) in text
    assert "\nlevel    label: 31 labels\n" in text
    found = describe.model(str(tmp_path / "a.tflite"))
    assert found["levels"]["label"] == list(many.labels_of("label"))
    features = Contract(taxonomy=TREE, sample_rate=0)
    _, text, _ = tfhier(capsys, keras_file(tmp_path / "b.keras", features))
    assert "\ninput    precomputed features, not sound\n" in text


def test_runs_experiments_and_versions_are_described_by_their_folders(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run = Path("saved_models/gmp/seed1")
    run.mkdir(parents=True)
    promised = Contract(taxonomy=TREE, sample_rate=8_000)
    keras_file(run / "best.keras", promised)
    write_json(run.parent / "metrics.json", {"best_run": "seed1"})
    saved_model(run.parent / "serving" / "2", PROMISED)
    for name, called, place in (
        (run, "gmp", run / "best.keras"),
        (run.parent, "gmp", run / "best.keras"),
        (run.parent / "serving", "bats", run.parent / "serving" / "2"),
    ):
        found = json.loads(tfhier(capsys, name, "--json")[1])
        assert (found["name"], found["path"]) == (called, str(place))


def test_a_model_on_a_server_tells_its_contract(capsys):
    reply = stand_in_server.outputs([PROMISED.to_json()])
    with stand_in_server.running(lambda *_: (200, reply)) as address:
        url = f"{address}/v1/models/served"
        _, text, _ = tfhier(capsys, url)
        found = json.loads(tfhier(capsys, url, "--json")[1])
    assert text.splitlines()[0] == f"bats  {url}"
    assert (
        text.splitlines()[2] == "level    zebra: 3 labels: a (0.25), b (0.50), c (0.75)"
    )
    assert (found["name"], found["path"], found["bytes"]) == ("bats", url, 0)
    assert found["results"] == PROMISED.results


def test_json_stays_json_where_the_stand_in_is_taken(tmp_path, capsys):
    run = tmp_path / "gmp@embedded"
    run.mkdir()
    keras_file(run / "best.keras", PROMISED)
    status, text, errors = tfhier(capsys, tmp_path / "gmp", "--json")
    assert status == 0
    assert json.loads(text)["path"] == str(run / "best.keras")
    said = (
        f"model    {tmp_path}/gmp was not trained; taking {run}, trained on a stand-in"
    )
    assert errors == said + "\n"
    _, text, errors = tfhier(capsys, tmp_path / "gmp")
    assert text.splitlines()[0] == said
    assert errors == ""


def test_the_name_of_an_experiment_is_the_experiment_whatever_lies_here(
    tmp_path, capsys, monkeypatch
):
    """A folder of results is told by its slash."""
    name = "openmic_vggish_gmp"
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    keras_file(Path(name) / "best.keras", PROMISED)
    found = json.loads(tfhier(capsys, name, "--json")[1])
    assert found["settings"]["head"] == "gmp"
    found = json.loads(tfhier(capsys, f"{name}{os.sep}", "--json")[1])
    assert found["name"] == "bats"


@pytest.mark.parametrize(
    ("name", "is_model"),
    [
        ("openmic_resatt", False),
        ("openmic_*", False),
        ("saved_models/gmp", True),
        ("./gmp", True),
        ("missing.keras", True),
        ("missing.tflite", True),
        ("here", True),
        ("folder", False),
    ],
)
def test_models_are_told_from_experiments_by_their_names(
    tmp_path, monkeypatch, name, is_model
):
    monkeypatch.chdir(tmp_path)
    Path("here").write_text("")
    Path("folder").mkdir()
    assert describe.is_model(name) is is_model


# -- Refusals --------------------------------------------------------------------------


def assert_refused(found: tuple[int, str, str], *pieces: str) -> None:
    status, text, errors = found
    assert (status, text) == (2, "")
    assert errors.startswith("tfhier: ")
    assert errors.count("\n") == 1
    for piece in pieces:
        assert piece in errors


@every_format
def test_a_model_that_was_altered_is_refused(tmp_path, capsys, name):
    path = FORMATS[name](tmp_path / name, PROMISED)
    file = path / "saved_model.pb" if path.is_dir() else path
    content = bytearray(file.read_bytes())
    # In the graph, the network's bytes, the network's settings.
    content[60 if path.is_file() else 3] ^= 1
    file.write_bytes(content)
    kind = "SavedModel" if path.is_dir() else f"{path.suffix} file"
    assert_refused(
        tfhier(capsys, path),
        f"{path} is no {kind}, or it is damaged (",
        "is not as it was written): copy or download it again.",
    )


@every_format
def test_a_model_without_a_contract_is_refused(tmp_path, name):
    path = FORMATS[name](tmp_path / name, PROMISED)
    if path.is_dir():
        (path / "assets" / "tfhier.json").unlink()
    else:
        path.unlink()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
    with pytest.raises(InputError, match=r"does not say what its sample rate and lab"):
        describe.model(str(path))


def test_names_without_a_model_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras_file(Path("bats.keras"), PROMISED)
    assert_refused(
        tfhier(capsys, "bat.keras"), "There is no model bat.keras. Close: bats.keras."
    )
    assert_refused(tfhier(capsys, "."), "no experiment is called '.'")
    assert_refused(tfhier(capsys, "./"), "holds no model: neither best.keras")
