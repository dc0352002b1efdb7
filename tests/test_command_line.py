"""The doors, `run.py` and `tfhier`: right answers, and mistakes told in one line."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfhier as package
from tests import stand_in_server, tiny
from tests.export import models
from tests.pretrained import published, torch_writer
from tfhier import __main__ as command_line
from tfhier import audio, catalogue, console, golden, members
from tfhier.commands import listing
from tfhier.commands import predict as predict_command
from tfhier.files import locked
from tfhier.frontends import FRONTENDS

ROOT = Path(__file__).parents[1]
EXPERIMENTS = catalogue.find(ROOT / "experiments")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data")) as folder:
        yield folder


@pytest.fixture(scope="module")
def run_py():
    """The module of `experiments/run.py`."""
    return catalogue._import_file(ROOT / "experiments" / "run.py")


def call(run_py, capsys, *arguments) -> tuple[int, str, str]:
    """Call `run.py` as its last lines do; return status, output and errors."""
    words = [str(argument) for argument in arguments]
    status = console.door("run.py", lambda: run_py.main(words))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def tiny_run(data, output, *more):
    """Arguments of a short run on the tiny data."""
    return (
        "--exp", "openmic_vggish_gmp", "--data", data, "--output", output,
        "--seeds", "0", "--set", f"taxonomy={data / 'taxonomy.csv'}",
        "--set", "epochs=1", "--set", "width=0.1", *more,
    )  # fmt: skip


def assert_one_line(found: tuple[int, str, str], *pieces: str) -> None:
    status, _, errors = found
    assert status == 2
    assert errors.count("\n") == 1, errors
    assert errors.startswith(("run.py: ", "tfhier: "))
    assert "Traceback" not in errors
    for piece in pieces:
        assert piece in errors


# -- run.py ----------------------------------------------------------------------------


def test_list_names_every_experiment(run_py, capsys):
    status, text, _ = call(run_py, capsys, "--list")
    assert status == 0
    assert [line.split()[0] for line in text.splitlines()] == list(EXPERIMENTS)


def test_print_shows_changed_settings_and_runs_nothing(run_py, capsys, tmp_path):
    status, text, _ = call(
        run_py, capsys, "--exp", "openmic_g*", "--print", "--set", "epochs=77",
        "width=0.5", "--output", tmp_path / "none",
    )  # fmt: skip
    assert status == 0
    assert text.count("  width                    0.5") == 2
    assert text.count("ResAtt") == 0
    epochs = [line.split() for line in text.splitlines() if "  epochs " in line]
    assert epochs == [["epochs", "77"]] * 2
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        ((), ["--exp", "--list"]),
        (
            ("--exp", "openmic_resat"),
            ["'openmic_resat'", "openmic_resatt", "tfhier list"],
        ),
        (("--exp", "zzz*"), ["'zzz*'"]),
        (
            ("--exp", "openmic_gmp", "--set", "epoch=3"),
            ["'epoch'", "Close: epochs", "--print"],
        ),
        (("--exp", "openmic_gmp", "--set", "epochs"), ["field=value"]),
        (("--exp", "openmic_gmp", "--set", "epochs=many"), ["'many'", "like 30"]),
        (("--exp", "openmic_gmp", "--set", "width=-1"), ["width", "-1"]),
        (("--exp", "openmic_gmp", "--seeds", "5-2"), ["5-2", "backwards"]),
        (("--exp", "openmic_gmp", "--seeds", "a"), ["'a'", "0-7"]),
        (("--exp", "openmic_gmp", "--folds", "4-2"), ["--folds", "backwards"]),
        (("--exp", "openmic_gmp", "--data", "/no/such/place"), ["/no/such/place"]),
    ],
)
def test_mistakes_are_one_line(run_py, capsys, data, tmp_path, arguments, pieces):
    output = tmp_path / "output"
    found = call(run_py, capsys, *arguments, "--output", output)
    assert_one_line(found, *pieces)
    assert not output.exists()


def test_empty_seeds_are_a_mistake_too(run_py, capsys, data, tmp_path):
    found = call(run_py, capsys, "--exp", "openmic_gmp", "--seeds", "")
    assert_one_line(found, "--seeds")


def test_mistakes_on_data_are_one_line(run_py, capsys, data, tmp_path):
    found = call(run_py, capsys, *tiny_run(data, tmp_path, "--set", "head=resat"))
    assert_one_line(found, "no head 'resat'", "resatt")
    found = call(run_py, capsys, "--exp", "openmic_gmp", "--data", data)
    assert_one_line(found, "taxonomy does not fit tiny", "lacks a, b, c, d ...")
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_one_line(run_py, capsys, data, tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    for output in (file, file / "below"):
        assert_one_line(call(run_py, capsys, *tiny_run(data, output)), str(file))
    assert file.read_text() == "not a folder"


def test_a_run_its_repetition_and_what_stands_in_its_way(
    run_py, capsys, data, tmp_path
):
    arguments = tiny_run(data, tmp_path)
    folder = tmp_path / "openmic_vggish_gmp@tiny"
    assert_one_line(
        call(run_py, capsys, *arguments, "--test-only"), "no model", "--test-only"
    )
    status, first, errors = call(run_py, capsys, *arguments)
    assert (status, errors) == (0, "")
    model = folder / "seed0" / "best.keras"
    before = model.stat().st_mtime_ns

    status, second, _ = call(run_py, capsys, *arguments)
    assert status == 0
    results = "\ntest, observed labels"
    assert second[second.index(results) :] == first[first.index(results) :]

    assert call(run_py, capsys, *arguments, "--test-only")[0] == 0
    changed = call(run_py, capsys, *arguments, "--set", "batch_size=5")
    assert_one_line(changed, "batch_size 64 -> 5", "--fresh")
    assert model.stat().st_mtime_ns == before

    with locked(folder / ".lock", task="working on openmic_vggish_gmp"):
        assert_one_line(call(run_py, capsys, *arguments), "Another process is working")

    fresh = call(run_py, capsys, *arguments, "--set", "batch_size=5", "--fresh")
    assert fresh[0] == 0
    assert model.stat().st_mtime_ns > before
    summary = json.loads((folder / "metrics.json").read_text())
    assert summary["settings"]["batch_size"] == 5
    assert "--fresh" in summary["command"]


def test_a_full_disk_is_one_line_and_leaves_no_results(
    run_py, capsys, data, tmp_path, monkeypatch
):
    from tfhier import evaluate

    def full(file, **_):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluate.np, "savez", full)
    found = call(run_py, capsys, *tiny_run(data, tmp_path))
    assert_one_line(found, "No space left on device")
    assert not list(tmp_path.rglob("metrics.json"))
    assert not list(tmp_path.rglob("scores.npz"))
    assert not list(tmp_path.rglob(".scores*"))


def test_the_file_itself_ends_with_status_2_and_no_traceback():
    done = subprocess.run(
        [sys.executable, "experiments/run.py", "--exp", "openmic_resat"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_one_line((done.returncode, done.stdout, done.stderr), "openmic_resatt")
    assert done.stdout == ""


# -- tfhier ----------------------------------------------------------------------------


def tfhier(capsys, *arguments) -> tuple[int, str, str]:
    status = command_line.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize("kind", listing.KINDS)
def test_lists_have_a_name_and_a_sentence_a_line_and_in_json(capsys, kind):
    status, text, _ = tfhier(capsys, "list", kind)
    assert status == 0
    names, sentences = zip(
        *(line.split(maxsplit=1) for line in text.splitlines()), strict=True
    )
    assert len(names) == len(set(names)) > 0
    assert all(name.isidentifier() for name in names)
    status, text, _ = tfhier(capsys, "list", kind, "--json")
    found = json.loads(text)
    assert list(found) == list(names)
    if kind == "weights":  # for programs all that is known
        assert all(each["url"] and each["citation"] for each in found.values())
    else:
        assert list(found.values()) == list(sentences)


def test_lists_know_what_the_house_has(capsys):
    for kind, name in {
        "experiments": "openmic_resatt", "backbones": "cnn14", "heads": "gmp",
        "frontends": "panns_16k", "datasets": "openmic", "taxonomies": "openmic",
        "weights": "panns_cnn14",
    }.items():  # fmt: skip
        assert name in tfhier(capsys, "list", kind)[1].split()


def test_describe_tells_settings_shapes_and_labels(capsys):
    status, text, _ = tfhier(
        capsys, "describe", "openmic_resatt", "--json", "--profile", "small"
    )
    assert status == 0
    found = json.loads(text)
    assert found["output_shapes"] == {"fine": [None, 20], "coarse": [None, 7]}
    assert found["input_shape"] == [None, 160_000]
    assert found["settings"]["head"] == "resatt"
    assert found["settings"]["backbone"] == "cnn6"
    assert 0 < found["num_trainable_parameters"] < found["num_parameters"]
    assert len(found["levels"]["fine"]) == 20


def test_describe_for_people_has_the_same_facts(capsys):
    status, text, _ = tfhier(capsys, "describe", "openmic_vggish_gmp")
    assert status == 0
    assert text.startswith("openmic_vggish_gmp  Grouped max-pooling (GMP)")
    assert "(None, 10, 128)" in text
    assert "fine: 20 labels: " in text


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (("describe", "openmic_resat"), ["openmic_resatt"]),
        (("describe", "own_cnn10"), ["labels from the data", "--exp own_cnn10 --pri"]),
        (("list", "experiments", "--experiments", "/no/place"), ["/no/place"]),
        (("prepare", "openmik"), ["'openmik'", "openmic"]),
    ],
)
def test_mistakes_at_tfhier_are_one_line(capsys, arguments, pieces):
    assert_one_line(tfhier(capsys, *arguments), *pieces)


def test_prepare_offline_says_how_to_go_on(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TFHIER_OFFLINE", "1")
    found = tfhier(capsys, "prepare", "openmic", "--output", tmp_path)
    assert_one_line(found, "TFHIER_OFFLINE", "https://zenodo.org", str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} <= {".openmic-2018.lock"}


@pytest.mark.parametrize("arguments", [(), ("list",), ("list", "heds"), ("trane",)])
def test_wrong_words_show_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        command_line.main(list(arguments))
    assert caught.value.code == 2
    assert "usage: tfhier" in capsys.readouterr().err


def test_the_module_is_a_door_too():
    done = subprocess.run(
        [sys.executable, "-m", "tfhier", "--version"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.strip()


# -- tfhier port and predict -----------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A tiny checkpoint as published: CNN6 at 8 kHz with seven classes."""
    path = tmp_path_factory.mktemp("weights") / "Tiny_mAP=0.5.pth"
    tensors = published.front_end(FRONTENDS["panns_8k"])
    torch_writer.write(path, tensors | published.state_dict(published.body("cnn6")))
    return path


@pytest.fixture(scope="module")
def model(weights, tmp_path_factory):
    """The same ported."""
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    assert command_line.main(["port", "panns", str(weights), str(path)]) == 0
    return path


@pytest.fixture
def clips(rng, tmp_path):
    """Two clips of 0.5 and 0.3 s."""
    paths = [tmp_path / "a clip.wav", tmp_path / "b,2.flac"]
    for path, seconds in zip(paths, (0.5, 0.3), strict=True):
        sound = rng.uniform(-0.5, 0.5, round(44_100 * seconds))
        audio.write(path, sound, sample_rate=44_100)
    return paths


def test_port_says_what_it_found_and_writes_a_model(capsys, weights, tmp_path):
    target = tmp_path / "new" / "model.keras"
    status, text, errors = tfhier(capsys, "port", "panns", weights, target)
    assert (status, errors) == (0, "")
    lines = text.splitlines()
    assert lines[0].endswith("The network is cnn6 at width 0.0625, with 7 classes.")
    assert "panns_8k, by the tensors; its hop, 80 samples, is in no tensor" in lines[1]
    assert "class_000 to class_006" in lines[2]
    unused = [line for line in lines if line.startswith("unused")]
    assert any(line.startswith("unused   3 tensors: of the front") for line in unused)
    assert any("num_batches_tracked, " in line and "..." in line for line in unused)
    assert lines[-1] == f"model    {target}"
    assert package.load(target).sample_rate == 8_000


def test_port_takes_all_its_options(capsys, weights, tmp_path):
    labels, target = tmp_path / "labels.csv", tmp_path / "model.keras"
    labels.write_text("fine,coarse\na,x\nb,x\nc,x\nd,y\ne,y\nf,y\ng,z\n")
    status, text, _ = tfhier(
        capsys, "port", "panns", weights, target, "--backbone", "cnn6", "--frontend",
        "panns_8k", "--hop-length", "100", "--labels", labels, "--softmax",
    )  # fmt: skip
    assert status == 0
    assert "as named, with a hop of 100 samples as given" in text
    loaded = package.load(target)
    assert loaded.levels["coarse"] == ("x", "y", "z")
    assert loaded.frontend.hop_length == 100
    assert loaded.contract.softmax


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["FILE", "model.h5"], ["model.h5 is to be a .keras file"]),
        (["missing.pth", "MODEL"], ["missing.pth"]),
        ([".", "MODEL"], ["."]),
        (["FILE", "MODEL", "--backbone", "cnn14"], ["of cnn6, not of cnn14"]),
        (["FILE", "MODEL", "--frontend", "pans_8k"], ["'pans_8k'", "Close: panns_8k"]),
        (["FILE", "MODEL", "--hop-length", "0"], ["hop_length=0"]),
        (["FILE", "MODEL", "--labels", "openmic"], ["20 labels", "7 classes"]),
        (["FILE", "MODEL", "--labels", "few.csv"], ["2 labels", "7 classes"]),
        (["FILE", "MODEL", "--labels", "none.csv"], ["no taxonomy file none.csv"]),
        (["FILE", "MODEL", "--labels", "opnmic"], ["'opnmic'", "openmic"]),
        (["FILE", "MODEL", "--prefix", "net"], ["starts with 'net.'"]),
    ],
    ids=range(11),
)
def test_mistakes_at_port_are_one_line(
    capsys, weights, tmp_path, monkeypatch, arguments, pieces
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.csv").write_text("label\na\nb\n")
    words = {"FILE": weights, "MODEL": "model.keras"}
    arguments = [words.get(word, word) for word in arguments]
    assert_one_line(tfhier(capsys, "port", "panns", *arguments), *pieces)
    assert [path.name for path in tmp_path.iterdir()] == ["few.csv"]


def test_options_of_another_family_are_one_line(capsys, weights, tmp_path):
    found = tfhier(
        capsys, "port", "yamnet", weights, tmp_path / "m.keras", "--hop-length", "160",
        "--softmax",
    )  # fmt: skip
    assert_one_line(found, "'yamnet' has no hop_length, softmax. Leave it out")


def test_a_file_that_would_run_a_command_is_one_line(capsys, tmp_path):
    marker = tmp_path / "executed"
    call = torch_writer.Global("os", "system")(f"touch {marker}")
    torch_writer.write(tmp_path / "weights.pth", {"a": call})
    found = tfhier(capsys, "port", "panns", tmp_path / "weights.pth", marker)
    assert_one_line(found, "is to be a .keras file")
    target = tmp_path / "model.keras"
    found = tfhier(capsys, "port", "primates", tmp_path / "weights.pth", target)
    assert_one_line(found, "'os.system'", "Nothing was executed")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


def test_predict_shows_and_writes_the_same(capsys, model, clips, tmp_path):
    arrays, labels = tmp_path / "out" / "answers.npz", tmp_path / "out" / "labels.csv"
    status, text, errors = tfhier(
        capsys, "predict", model, *clips, "--npz", arrays, "--csv", labels, "--top", "2"
    )
    assert (status, errors) == (0, "")
    lines = text.splitlines()
    assert lines[::2] == [str(clips[0]), str(clips[1]), f"arrays   {arrays}"]
    assert lines[-1] == f"table    {labels}"
    with labels.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["rank"]) for row in rows] == [
        (str(path), rank) for path in clips for rank in "12"
    ]
    with np.load(arrays) as file:
        scores, names = file["label"], file["labels_label"]
        assert file["num_frames"].tolist() == [51, 31]
    for clip, line in enumerate((lines[1], lines[3])):
        best = np.argsort(-scores[clip], kind="stable")[:2]
        shown = "  ".join(f"{names[i]} {scores[clip, i]:.3f}" for i in best)
        assert line == f"label    {shown}"
        assert [row["label"] for row in rows[2 * clip :][:2]] == names[best].tolist()


def test_predict_shows_five_labels_unless_told_otherwise(capsys, model, clips):
    _, text, errors = tfhier(capsys, "predict", model, clips[0])
    assert text.splitlines()[1].count("class_00") == 5
    assert errors == ""
    _, text, _ = tfhier(capsys, "predict", model, clips[0], "--top", "100")
    assert text.splitlines()[1].count("class_00") == 7


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["missing.keras", "CLIP"], ["There is no model missing.keras."]),
        ([".", "CLIP"], [". holds no model: neither best.keras of a run, nor"]),
        (["CLIP", "CLIP"], ["a clip.wav is no .keras file"]),
        (["MODEL", "CLIP", "missing.wav"], ["missing.wav: there is no such file"]),
        (["MODEL", "CLIP", "empty"], ["empty: there is no audio file in this folder"]),
        (["MODEL", "CLIP", "text.wav"], ["text.wav: is not audio in a known format"]),
        (["MODEL", "MODEL"], ["tiny.keras: is not audio in a known format"]),
        (["MODEL", "CLIP", "--npz", "text.wav"], ["text.wav is to be a .npz file"]),
        (["MODEL", "CLIP", "--csv", "text.npz"], ["text.npz is to be a .csv file"]),
        (["missing.keras", "CLIP", "--csv", "a"], ["a is to be a .csv file"]),
    ],
    ids=range(10),
)
def test_mistakes_at_predict_are_one_line_and_write_nothing(
    capsys, model, clips, tmp_path, monkeypatch, arguments, pieces
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty").mkdir()
    (tmp_path / "kept.npz").write_text("earlier")
    before = {path.name for path in tmp_path.iterdir()}
    words = {"CLIP": clips[0], "MODEL": model}
    arguments = [words.get(word, word) for word in arguments]
    outputs = () if "--npz" in arguments else ("--npz", "kept.npz")
    found = tfhier(capsys, "predict", *arguments, *outputs)
    assert_one_line(found, *pieces)
    assert found[1] == ""
    assert {path.name for path in tmp_path.iterdir()} == before
    assert (tmp_path / "kept.npz").read_text() == "earlier"


def test_predictions_that_cannot_be_written_are_one_line(
    capsys, model, clips, tmp_path
):
    (tmp_path / "file").write_text("no folder")
    target = tmp_path / "file" / "out.npz"
    found = tfhier(capsys, "predict", model, clips[0], "--npz", target)
    assert_one_line(found, str(tmp_path / "file"))


def test_who_stops_reading_early_has_the_files(model, clips, tmp_path, monkeypatch):
    """As `tfhier predict ... | head -1` does."""
    from tfhier import predict

    def stopped(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr(predict, "show", stopped)
    words = ["predict", model, *clips, "--csv", tmp_path / "all.csv"]
    args = command_line.parser().parse_args([str(word) for word in words])
    with pytest.raises(BrokenPipeError):
        predict_command.run(args)
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 1 + 2 * 5


@pytest.mark.parametrize(
    "arguments",
    [
        ("port", "pans", "FILE", "MODEL"),
        ("port", "panns", "FILE"),
        ("port", "panns", "FILE", "MODEL", "--hop-length", "ten"),
        ("predict", "MODEL"),
        ("predict", "MODEL", "CLIP", "--top", "0"),
        ("predict", "MODEL", "CLIP", "--top", "-1"),
        ("predict", "MODEL", "CLIP", "--top", "many"),
    ],
)
def test_wrong_words_at_port_and_predict_show_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        command_line.main(list(arguments))
    assert caught.value.code == 2
    errors = capsys.readouterr().err
    assert errors.startswith("usage: tfhier")
    if "--top" in arguments:
        assert f"{arguments[-1]} is no whole number above 0" in errors


# -- tfhier export, selftest and describe ----------------------------------------------


@pytest.fixture(scope="module")
def bats(tmp_path_factory):
    """A tagger of two levels, whose scores differ from clip to clip."""
    path = tmp_path_factory.mktemp("bats") / "bats.keras"
    return models.write(path, clip_seconds=0.0)


@pytest.fixture(scope="module")
def exported(bats, tmp_path_factory):
    """That tagger by format, exported by command; and what was printed."""
    folder = tmp_path_factory.mktemp("exported")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = command_line.main(
            ["export", str(bats), "--to", "savedmodel", "tflite", "savedmodel",
             "--weights", "float32", "dynamic", "--output", str(folder), "--name",
             "small", "--fixed", "--seconds", "0.25"]
        )  # fmt: skip
    assert status == 0
    return printed.getvalue(), {
        "keras": bats,
        "saved_model": folder / "serving" / "1",
        "versions": folder / "serving",
        "tflite": folder / "small.tflite",
        "dynamic": folder / "small-dynamic.tflite",
    }


FORMATS = ("keras", "saved_model", "versions", "tflite", "dynamic")


def test_export_says_how_its_files_did(exported):
    text, places = exported
    folder = places["tflite"].parent
    told = text.splitlines()
    assert [line.split(",")[0] for line in told[:3]] == [
        f"proved   {folder / name}"
        for name in ("serving/1", "small.tflite", "small-dynamic.tflite")
    ]
    header, *lines = told[3:]
    assert re.split("  +", header) == [
        "file", "MB", "largest difference", "same best", "ms, 1 thread",
        "ms, 2 threads", "ms, 4 threads",
    ]  # fmt: skip
    rows = [line.split() for line in lines[:3]]
    assert [row[0] for row in rows] == [
        "serving/1", "small.tflite", "small-dynamic.tflite"
    ]  # fmt: skip
    for row in rows:
        size = sum(
            path.stat().st_size
            for path in [folder / row[0], *(folder / row[0]).rglob("*")]
            if path.is_file()
        )
        assert float(row[1]) == pytest.approx(size / 1e6, abs=0.005)
    assert all(float(row[2]) <= 1e-4 and row[3] == "100.0" for row in rows[:2])
    assert rows[0][4:] == ["-", "-", "-"]
    assert all(float(each) > 0 for row in rows[1:] for each in row[4:])
    assert [line.split()[0] for line in lines[3:]] == [
        "proof", "times", "report", "card"
    ]  # fmt: skip
    assert lines[-1] == f"card     {folder / 'model_card.md'}"
    assert {path.name for path in folder.iterdir()} == {
        "serving", "small.tflite", "small-dynamic.tflite", "export.json",
        "model_card.md",
    }  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_describe_tells_what_every_format_promises(capsys, exported, name):
    place = exported[1][name]
    status, text, errors = tfhier(capsys, "describe", place)
    assert (status, errors) == (0, "")
    called = "bats" if name == "keras" else "small"
    lines = text.splitlines()
    assert lines[0].startswith(f"{called}  {place}")
    is_fixed = name in ("tflite", "dynamic")
    length = "0.25-s windows every 0.25 s" if is_fixed else "clips of any length"
    assert lines[1].startswith(f"input    8000 Hz, {length}")
    assert lines[2:4] == [
        "level    zebra: 5 labels: a, b, c, d, e",
        "level    animal: 3 labels: x = a | b; y = c | d; z = e",
    ]
    weights = "dynamic" if name == "dynamic" else "float32"
    assert f"weights  {weights}" in lines
    found = json.loads(tfhier(capsys, "describe", place, "--json")[1])
    assert (found["name"], found["weights"]) == (called, weights)
    assert found["levels"] == {"zebra": list("abcde"), "animal": list("xyz")}


@pytest.mark.parametrize("name", [*FORMATS[1:], "server"])
def test_predict_answers_alike_with_every_format(
    capsys, exported, clips, tmp_path, name
):
    places = exported[1]
    windows = ("--window", "0.25") if name not in ("tflite", "dynamic") else ()
    served = stand_in_server.serving(package.load(places["keras"]))
    with stand_in_server.running(served) as address:
        place = places.get(name, f"{address}/v1/models/bats")
        status, text, errors = tfhier(
            capsys, "predict", place, *clips, *windows, "--npz", tmp_path / "a.npz"
        )
    assert (status, errors) == (0, "")
    expected = package.load(places["keras"], window_seconds=0.25)
    with np.load(tmp_path / "a.npz") as file:
        has_embedding = name in ("saved_model", "versions", "server")
        assert ("embedding" in file) is has_embedding
        assert "log_mel" not in file
        for row, path in enumerate(clips):
            lines = text.splitlines()[3 * row :]
            assert lines[0] == str(path)
            off = 0.05 if name == "dynamic" else 1e-5
            for line, (level, scores) in zip(
                lines[1:3], expected.scores(path).items(), strict=True
            ):
                found = file[level][row]
                np.testing.assert_allclose(found, scores, rtol=0, atol=off)
                best = file[f"labels_{level}"][np.argmax(found)]
                assert line.startswith(f"{level:<8} {best} {found.max():.3f}  ")


def test_selftest_passes_every_format(capsys, exported):
    places = [exported[1][name] for name in FORMATS]
    status, text, errors = tfhier(capsys, "selftest", *places)
    assert (status, errors) == (0, "")
    for line, name in zip(text.splitlines(), FORMATS, strict=True):
        told, _, figures = line.partition(": golden clip within ")
        assert told == f"passed   {exported[1][name]}"
        allowed = "0.05" if name == "dynamic" else "0.0001"
        assert figures.endswith(f", {allowed} allowed")
        assert float(figures.split(",")[0]) < 1e-4


def test_selftest_fails_where_a_model_answers_otherwise(capsys, bats, tmp_path):
    """Of a score that was never given, and of a weight that is another."""
    scored, weighed = tmp_path / "scored.keras", tmp_path / "weighed.keras"
    expected = golden.read(bats)
    scores = {level: each.copy() for level, each in expected.scores.items()}
    scores["animal"][1] += 0.25
    shutil.copy(bats, scored)
    members.attach(scored, dataclasses.replace(expected, scores=scores).to_members())
    network = package.load(bats).model
    bias = next(
        each for each in network.weights if each.path == "zebra_classifier/bias"
    )
    bias.assign_add([0.0, 0.0, 0.0, 0.01, 0.0])
    network.save(weighed)
    contract = {members.CONTRACT: members.read(bats, members.CONTRACT)}
    members.attach(weighed, contract | expected.to_members())

    found = tfhier(capsys, "selftest", scored, bats, weighed)
    assert_one_line(found, f"{scored}, {weighed} does not answer as when it was saved.")
    lines = found[1].splitlines()
    assert lines[0] == f"FAILED   {scored}: golden clip within 2.5e-01, 0.0001 allowed"
    assert lines[1].startswith(f"passed   {bats}: ")
    assert lines[2].startswith(f"FAILED   {weighed}: golden clip within ")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["TFLITE"], ["small.tflite is no .keras file. Give the one that it was"]),
        (["SERVING"], ["1 is no .keras file. Give the one that it was exported from"]),
        (["missing.keras"], ["There is no model missing.keras."]),
        (["http://127.0.0.1/v1/models/a"], ["is on a server. Give the file"]),
        (["CLIP"], ["a clip.wav is no .keras file. Give the one"]),
        (["MODEL", "--seconds", "-1"], ["Received: -1 s, 200 clips"]),
        (["MODEL", "--test-clips", "-5"], ["Received: 0 s, -5 clips"]),
        (["MODEL", "--name", "a/b"], ["A model's name is made of", "'a/b'"]),
        (["MODEL", "--fixed"], ["bats does not say how long its clips", "--seconds 5"]),
        (["MODEL", "--fixed", "--seconds", "0.01"], ["0.01 s are too short"]),
        (
            ["MODEL", "--weights", "int8", "--seconds", "1"],
            ["training_sounds.csv: --calibration FOLDER"],
        ),
        (
            ["MODEL", "--weights", "int8", "--seconds", "1", "--calibration", "empty"],
            ["empty: there is no audio file in this folder"],
        ),
    ],
    ids=range(12),
)
def test_mistakes_at_export_are_one_line_and_write_nothing(
    capsys, exported, clips, tmp_path, monkeypatch, arguments, pieces
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    before = {path.name for path in tmp_path.iterdir()}
    places = exported[1]
    words = {
        "MODEL": places["keras"], "TFLITE": places["tflite"],
        "SERVING": places["versions"], "CLIP": clips[0],
    }  # fmt: skip
    arguments = [words.get(word, word) for word in arguments]
    found = tfhier(capsys, "export", *arguments, "--to", "tflite", "--output", "out")
    assert_one_line(found, *pieces)
    assert found[1] == ""
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("command", ["describe", "selftest"])
def test_mistakes_at_describe_and_selftest_are_one_line(capsys, clips, command):
    found = tfhier(capsys, command, "missing.tflite")
    assert_one_line(found, "There is no model missing.tflite.")
    found = tfhier(capsys, command, clips[0])
    assert_one_line(found, "a clip.wav is no .keras file, or it is damaged")
    found = tfhier(capsys, command, "http://127.0.0.1:9/v1/models")
    assert_one_line(found, "is named http://HOST:PORT/v1/models/NAME")


def test_serve_takes_models_by_folder_and_by_name(
    capsys, exported, tmp_path, monkeypatch
):
    served = []
    monkeypatch.setattr("tfhier.serve.serve", lambda *found, **_: served.append(found))
    folder = exported[1]["versions"]
    other = Path(shutil.copytree(folder, tmp_path / "owls" / "serving"))
    status, _, errors = tfhier(
        capsys, "serve", f"bats={folder}", other.parent, "--rest-port", "0",
        "--max-request-mb", "2",
    )  # fmt: skip
    assert (status, errors) == (0, "")
    ((folders, options),) = served
    assert folders == {"bats": folder, "owls": other}
    assert (options.rest_port, options.grpc_port) == (0, 8500)
    assert options.max_request_bytes == 2 * 2**20
    found = tfhier(capsys, "serve", f"owls={folder}", other)
    assert_one_line(
        found,
        f"{folder} and {other} would both be served as 'owls'. Call one otherwise: "
        f"owls-2={other}",
    )
    found = tfhier(capsys, "serve", tmp_path)
    assert_one_line(found, f"{tmp_path} holds no exported versions (serving/1, ...)")
    assert len(served) == 1


def test_an_export_that_is_stopped_says_so(capsys, bats, tmp_path, monkeypatch):
    from tfhier.export import tflite

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tflite, "convert", stopped)
    status, text, errors = tfhier(
        capsys, "export", bats, "--to", "tflite", "--output", tmp_path
    )
    assert (status, text) == (130, "")
    assert errors == "\ntfhier: stopped; the same command goes on here\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "MODEL"),
        ("export", "--to", "tflite"),
        ("export", "MODEL", "--to", "onnx"),
        ("export", "MODEL", "--to", "tflite", "--weights", "int4"),
        ("export", "MODEL", "--to", "tflite", "--seconds", "long"),
        ("selftest",),
        ("describe",),
    ],
)
def test_wrong_words_at_export_and_selftest_show_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        command_line.main(list(arguments))
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: tfhier")
