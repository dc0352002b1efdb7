"""Exports of saved taggers: what is written, what it promises, what is refused."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import tfhier
from tests import tiny
from tests.export import models
from tfhier import clip_table, contract, golden, members, saved
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.export import (
    exporting,
    proof,
    quantization,
    saved_model,
    summary,
    tflite,
    trial,
)
from tfhier.export.exporting import Options
from tfhier.files import read_json
from tfhier.train import sweep
from tfhier.train.job import Job

QUICK = {"test_clips": 0, "timed": False}
ONLY_TFLITE = {"formats": ("tflite",), **QUICK}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """An experiment that was run on the tiny data set."""
    with tiny.data_set(tmp_path_factory.mktemp("data")) as data:
        experiment = tiny.on_audio(data, frontend="panns_8k")
        done = Job(
            name="gmp",
            profile="small",
            experiment=experiment,
            paper=experiment,
            bundle=tiny.bundle(data, experiment),
            folder=tmp_path_factory.mktemp("results") / "saved_models" / "gmp",
            command="a command",
        )
        sweep.run(done)
        yield done


@pytest.fixture(scope="module")
def report(job):
    """That experiment exported: a SavedModel, and weights of 32 bits and of 8."""
    return exporting.export(job.folder, Options(weights=("float32", "int8")))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tagger of whole clips, as a file that nothing else lies beside."""
    return models.write(tmp_path_factory.mktemp("small") / "bats.keras")


@pytest.fixture(scope="module")
def converted(small):
    """That tagger converted, which takes most of the time of an export."""
    loaded = tfhier.load(small)
    return tflite.convert(loaded.model, num_samples=None)


@pytest.fixture
def once(converted, monkeypatch):
    """Let an export of that tagger take what was converted before."""
    monkeypatch.setattr(tflite, "convert", lambda *_, **__: converted)


def names(folder: Path) -> set[str]:
    """Everything in a folder, hidden or not."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


# -- What is written -------------------------------------------------------------------


def test_an_experiments_files_lie_in_its_own_folder(job, report):
    assert [each.path for each in report.files] == [
        job.folder / "serving" / "1",
        job.folder / "gmp.tflite",
        job.folder / "gmp-int8.tflite",
    ]
    assert report.folder == job.folder
    assert report.name == "gmp"
    for each in report.files:
        held = [each.path, *each.path.rglob("*")]
        size = sum(path.stat().st_size for path in held if path.is_file())
        assert each.num_bytes == size
    hidden = {name for name in names(job.folder) if "/." in f"/{name}"}
    assert hidden == {".lock"}


def test_every_file_promises_what_the_model_promised(job, report):
    own = contract.read(job.folder / "seed0" / "best.keras")
    assert own.thresholds
    assert own.results
    for each in report.files:
        told = "the Keras model on 12 test clips"
        expected = dataclasses.replace(own, name="gmp", tested=told)
        if each.weights == "int8":  # whose every shape is known
            expected = dataclasses.replace(
                expected,
                weights="int8",
                window_seconds=0.6,
                hop_seconds=0.6,
                results=each.figures,  # its own, not Keras's
                tested="this file on 12 test clips",
            )
        assert contract.read(each.path) == expected
        assert members.read(each.path, members.CARD).decode().startswith("# gmp\n")


def test_every_file_carries_a_golden_clip_of_its_own(job, report):
    keras_file = tfhier.load(job.folder)
    for each in report.files:
        found = golden.read(each.path)
        is_rounded = each.weights == "int8"
        seconds = 0.6 if is_rounded else 1.0  # what it hears at a time
        np.testing.assert_array_equal(
            found.waveform, golden.clip(8_000, seconds=seconds)
        )
        # Rounded weights answer as they were measured, not as Keras does.
        expected = keras_file.scores(found.waveform, sample_rate=8_000)
        assert (found.difference(expected) > 1e-4) is is_rounded
        assert found.tolerance == (0.05 if is_rounded else 1e-4)
        assert tfhier.load(each.path).selftest()[0] < 1e-4


def test_proofs_are_of_the_clips_that_all_formats_hear(report):
    for each in report.files:
        assert each.proof.num_clips == 9
        assert (each.proof.max_difference <= 1e-4) is (each.weights == "float32")
        assert 0 <= each.proof.top1 <= 1
    assert report.files[0].proof.top1 == report.files[1].proof.top1 == 1
    assert report.files[0].operations == {}
    assert report.files[1].operations["CONV_2D"] > 3
    assert report.files[2].operations["QUANTIZE"] > 0
    assert report.files[2].num_bytes < report.files[1].num_bytes


def test_a_rounded_file_that_was_not_tried_promises_no_figures(job, tmp_path):
    options = Options(
        formats=("tflite",), weights=("dynamic",), output=tmp_path, **QUICK
    )
    (each,) = exporting.export(job.folder, options).files
    promised = contract.read(each.path)
    assert (promised.results, promised.tested) == ({}, "")
    assert "Nothing is on record" in members.read(each.path, members.CARD).decode()


# -- Figures ---------------------------------------------------------------------------


def test_figures_before_are_those_of_the_run_itself(job, report):
    expected = read_json(job.folder / "seed0" / "metrics.json")["test"]
    assert report.num_test_clips == expected["fine"]["num_clips"] == tiny.NUM_TEST
    for level in ("fine", "coarse"):
        found = report.before[level]
        assert set(found) == {"roc_auc", "mAP", "f1", "loss"}
        for metric, value in found.items():
            assert value == pytest.approx(expected[level][metric], abs=1e-5)


def test_figures_after_are_those_of_each_file(report):
    for each in report.files[:2]:
        for level, figures in each.figures.items():
            assert figures == pytest.approx(report.before[level], abs=1e-4)
    rounded = report.files[2].figures["fine"]
    assert set(rounded) == set(report.before["fine"])
    assert rounded["loss"] != pytest.approx(report.before["fine"]["loss"], abs=1e-6)


def test_the_table_shows_each_file_beside_the_model(report):
    """Before and after, not one of them twice; and what was lost is said."""
    worse = dataclasses.replace(
        report.files[2], figures={"fine": {"mAP": report.before["fine"]["mAP"] - 0.07}}
    )
    told = dataclasses.replace(report, files=(*report.files[:2], worse))
    header, rows = summary.rows(told)
    at = header.index("mAP before")
    before = float(rows[2][at])
    assert float(rows[2][at + 1]) == pytest.approx(before - 7.0, abs=0.11)
    assert "gmp-int8.tflite 7.0." in summary.notes(told)["LOST"]
    assert "LOST" not in summary.notes(report)


def test_clips_are_tried_at_the_length_that_the_model_was_tested_on(tmp_path):
    heard = []

    def tagger(name):
        promised = Contract(taxonomy=models.TREE, sample_rate=8_000, clip_seconds=0.5)
        scores = {level: np.zeros(n) for level, n in models.TREE.sizes.items()}
        return SimpleNamespace(
            contract=promised,
            taxonomy=models.TREE,
            scores=lambda waveform, sample_rate: (
                heard.append((name, len(waveform))) or scores
            ),
        )

    files = tuple(tmp_path / f"{number}.wav" for number in range(2))
    for file, seconds in zip(files, (0.3, 0.9), strict=True):
        soundfile.write(file, models.clip(seconds), 8_000)
    clips = clip_table.Listed(files, (None, None), ("a", "b"))
    trial.figures({"one": tagger("one"), "two": tagger("two")}, clips)
    assert heard == [("one", 4_000), ("two", 4_000)] * 2


def test_times_are_those_of_each_file_and_number_of_threads(monkeypatch):
    now = [0.0]
    costs = {"slow.tflite": 4.0, "fast.tflite": 1.0}

    def engine(path, num_threads):
        def answers(_):
            now[0] += costs[path.name] / num_threads

        return SimpleNamespace(answers=answers)

    monkeypatch.setattr(trial, "LiteRTEngine", engine)
    monkeypatch.setattr(trial.time, "perf_counter", lambda: now[0])
    slow, fast = Path("slow.tflite"), Path("fast.tflite")
    found = trial.latency([slow, fast], 100, num_threads=(1, 2))
    assert found == {
        slow: {1: pytest.approx(4_000), 2: pytest.approx(2_000)},
        fast: {1: pytest.approx(1_000), 2: pytest.approx(500)},
    }


def test_times_are_of_files_of_tflite_on_the_clips_of_the_run(report):
    assert report.timed_seconds == 0.6
    assert report.files[0].milliseconds == {}
    for each in report.files[1:]:
        assert list(each.milliseconds) == [1, 2, 4]
        assert min(each.milliseconds.values()) > 0


def test_the_report_is_written_as_json(job, report):
    written = read_json(job.folder / "export.json")
    assert set(written) == {
        "name", "machine", "timed_seconds", "num_test_clips", "before", "files"
    }  # fmt: skip
    assert written["name"] == "gmp"
    assert written["machine"]["tfhier"] == tfhier.__version__
    assert written["before"] == report.before
    assert written["num_test_clips"] == 12
    for found, each in zip(written["files"], report.files, strict=True):
        assert job.folder / found["path"] == each.path
        assert found["weights"] == each.weights
        assert found["proof"] == dataclasses.asdict(each.proof)
        assert found["figures"] == each.figures
        assert found["operations"] == each.operations
        assert list(found["milliseconds"].values()) == list(each.milliseconds.values())


def test_the_card_tells_labels_figures_files_and_origin(job, report):
    text = (job.folder / "model_card.md").read_text(encoding="utf-8")
    promised = contract.read(job.folder / "seed0" / "best.keras")
    bounds = promised.thresholds["fine"]
    shown = "\n".join(
        f"| {label} | {bound:.2f} |"
        for label, bound in zip("abcdef", bounds, strict=True)
    )
    assert f"\n| fine | threshold |\n| --- | --- |\n{shown}\n\n" in text
    top = promised.thresholds["coarse"][1]
    assert "\n| coarse | threshold | its fine |\n" in text
    assert f"\n| y | {top:.2f} | c, d |\n" in text
    assert "8,000 Hz, floats in [-1, 1], of any length from 129 samples on" in text
    assert "trained and tested on 0.6 s" in text
    for level, figures in promised.results.items():
        assert f"| {level} | mAP | {100 * figures['mAP']:.1f} % |" in text
        assert f"| {level} | loss |" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[-4:]] == [
        "| ---", "| serving/1", "| gmp.tflite", "| gmp-int8.tflite"
    ]  # fmt: skip
    before = f"{100 * report.before['fine']['mAP']:.1f}"
    after = f"{100 * report.files[1].figures['fine']['mAP']:.1f}"
    assert f" | 100.0 | {before} | {after} | " in rows[-2]
    assert "\n* training: trained on tiny\n" in text
    assert str(job.folder) not in text


def test_single_labels_are_counted_as_the_run_counts_them():
    """Clips without a label are no clips that were decided wrongly."""
    targets = np.concatenate([np.eye(4)[np.arange(19) % 4], np.zeros((1, 4))])
    scores = np.roll(targets, 1, axis=1)
    scores[:10] = targets[:10]
    found = trial._figures(scores, targets, np.ones(targets.shape, bool), None)
    assert found["accuracy"] == pytest.approx(10 / 19)
    assert found["uar"] == pytest.approx((3 / 5 + 3 / 5 + 2 / 5 + 2 / 4) / 4)
    two = np.ones_like(targets)
    found = trial._figures(scores, two, np.ones(targets.shape, bool), None)
    assert "accuracy" not in found


def test_the_sounds_of_a_run_are_training_clips_alone(job):
    """What is fitted to them is tried on others."""
    run, clips = job.folder / "seed0", job.bundle.clips
    parts = job.bundle.deal(job.experiment, seed=0, fold=0)
    heard = clip_table.read(run / "training_sounds.csv")
    tested = clip_table.read(run / "test_clips.csv")
    of_part = {
        part: [clips.paths[row] for row in np.flatnonzero(parts == part)]
        for part in ("train", "validation", "test")
    }
    assert list(heard.files) == of_part["train"]
    assert list(tested.files) == of_part["test"]
    assert of_part["validation"]


def test_where_test_clips_are_gone_nothing_is_tried(job, small, tmp_path, once):
    shutil.copy(small, tmp_path / "bats.keras")
    table = (job.folder / "seed0" / "test_clips.csv").read_text(encoding="utf-8")
    (tmp_path / "test_clips.csv").write_text(table.replace(".wav", ".gone", 1))
    found = exporting.export(
        tmp_path / "bats.keras",
        Options(formats=("tflite",), timed=False, output=tmp_path),
    )
    assert (found.before, found.num_test_clips) == ({}, 0)
    assert found.files[0].figures == {}
    text = (tmp_path / "model_card.md").read_text(encoding="utf-8")
    assert "\n| file | MB | largest difference | same best |\n" in text
    assert "Nothing is on record" in text
    assert "* tested:" not in text
    assert "* times:" not in text


# -- Names and places ------------------------------------------------------------------


def test_name_and_output_are_of_choice(small, tmp_path):
    before = names(small.parent)
    options = Options(
        output=tmp_path / "new" / "folder", name="bats-2", fixed=True, seconds=0.5,
        formats=("tflite",), weights=("float16",), **QUICK,
    )  # fmt: skip
    found = exporting.export(str(small), options)
    assert names(tmp_path / "new" / "folder") == {
        "bats-2-float16.tflite", "export.json", "model_card.md"
    }  # fmt: skip
    assert names(small.parent) == before
    assert found.name == "bats-2"
    promised = contract.read(found.files[0].path)
    assert (promised.name, promised.weights) == ("bats-2", "float16")
    assert (promised.window_seconds, promised.hop_seconds) == (0.5, 0.5)
    assert (tmp_path / "new/folder/model_card.md").read_text().startswith("# bats-2\n")


@pytest.mark.parametrize(
    ("results", "given", "home"),
    [
        ("gmp", "gmp", "gmp"),
        ("gmp", "gmp/seed0", "gmp/seed0"),
        ("gmp", "gmp/seed0/best.keras", "gmp/seed0"),
        ("gmp@embedded", "gmp", "gmp@embedded"),
    ],
)
def test_exports_go_where_the_model_was_found(
    small, tmp_path, monkeypatch, capsys, results, given, home
):
    sources = []

    def seen(source, *_):
        sources.append(source)
        raise InputError("far enough")

    monkeypatch.setattr(exporting, "_export_tflite", seen)
    run = tmp_path / results / "seed0"
    run.mkdir(parents=True)
    shutil.copy(small, run / "best.keras")
    (run.parent / "metrics.json").write_text(json.dumps({"best_run": "seed0"}))
    with pytest.raises(InputError, match="far enough"):
        exporting.export(tmp_path / given, Options(**ONLY_TFLITE))
    assert sources[0].folder == tmp_path / home
    assert sources[0].promised.name == "gmp"
    told = "trained on a stand-in" in capsys.readouterr().out
    assert told is (results != "gmp")


# -- What is refused, before anything is written ---------------------------------------


@pytest.fixture
def never(monkeypatch):
    """Make any export a failure."""

    def refuse(*_, **__):
        raise AssertionError("nothing must be exported")

    monkeypatch.setattr(tflite, "convert", refuse)
    monkeypatch.setattr(saved_model, "write", refuse)


def refused(place: Path, match: str, **options) -> None:
    before = names(place.parent)
    with pytest.raises(InputError, match=match):
        exporting.export(place, Options(**options))
    assert names(place.parent) == before


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"weights": ("float32", "int8")},
            r"sounds like those to come .* no .*training_sounds\.csv: --calibration F",
        ),
        (
            {"fixed": True, "seconds": 0.016},
            r"0\.016 s are too short: the front end needs 129 samples at 8000 Hz",
        ),
        (
            {"weights": ("int8",), "calibration": (Path("missing.wav"),)},
            r"missing\.wav: there is no such file",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(small, never, options, match):
    refused(small, match, **options)


def promising(small: Path, folder: Path, **changes) -> Path:
    """The tagger in a folder of its own, with something promised otherwise."""
    path = Path(shutil.copy(small, folder))
    contract.attach(path, dataclasses.replace(contract.read(path), **changes))
    return path


def test_files_of_earlier_exports_are_tried_and_timed_again_with_new_ones(
    job, tmp_path
):
    run = shutil.copytree(job.folder / "seed0", tmp_path / "seed0")
    only = {"formats": ("tflite",), "output": tmp_path}
    exporting.export(run, exporting.Options(**only, test_clips=4))
    first = read_json(tmp_path / "export.json")
    report = exporting.export(run, exporting.Options(**only, weights=("dynamic",)))
    assert [each.weights for each in report.files] == ["float32", "dynamic"]
    assert report.num_test_clips > 4
    assert report.files[0].milliseconds.keys() == {1, 2, 4}
    assert report.files[0].milliseconds[1] != first["files"][0]["milliseconds"]["1"]
    after = report.files[0].figures["fine"]["mAP"]
    assert report.before["fine"]["mAP"] == pytest.approx(after, abs=1e-6)
    # What is not asked for anew stays on record.
    quick = exporting.Options(**only, weights=("float16",), test_clips=0, timed=False)
    last = exporting.export(run, quick)
    assert last.files[:2] == report.files
    assert (last.before, last.timed_seconds) == (report.before, report.timed_seconds)
    header, rows = summary.rows(last)
    assert rows[2][-3:] == ["-", "-", "-"] and rows[2][header.index("after")] == "-"
    # A file that was damaged since is not told of.
    damaged = last.files[0].path
    damaged.write_bytes(damaged.read_bytes()[:-40])
    names = [each.weights for each in exporting.export(run, quick).files]
    assert names == ["dynamic", "float16"]


def test_weights_of_no_file_are_refused():
    with pytest.raises(InputError, match="none is asked for: .* Received: int8"):
        exporting.Options(formats=("savedmodel",), weights=("int8",))


@pytest.mark.parametrize(
    "options",
    [{"fixed": True}, {"weights": ("int8",), "calibration": (Path("sounds"),)}],
)
def test_a_fixed_length_is_needed_and_not_guessed(small, tmp_path, never, options):
    path = promising(small, tmp_path, clip_seconds=0.0)
    match = "bats does not say how long its clips are, .* needs one: --seconds 5"
    refused(path, match, **options)


def test_a_model_with_windows_has_its_own_length(small, tmp_path, never):
    path = promising(small, tmp_path, window_seconds=0.5, hop_seconds=0.25)
    saved.write(path, saved.read(path), contract.read(path))  # with a golden clip so
    match = r"bats hears 0\.5 s at a time by itself\. Leave --seconds out"
    refused(path, match, seconds=1.0)
    own = contract.read(path)
    for seconds in (0.0, 0.5):
        found = exporting._contract_of_file(own, "int8", Options(seconds=seconds))
        assert found == dataclasses.replace(own, weights="int8")


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"seconds": -1.0}, "-1 s, 200 clips"),
        ({"seconds": float("nan")}, "nan s, 200 clips"),
        ({"seconds": float("inf")}, "inf s, 200 clips"),
        ({"test_clips": -1}, "0 s, -1 clips"),
        ({"name": "../bats"}, "'../bats'"),
        ({"name": "a/b"}, "'a/b'"),
        ({"name": ".bats"}, "'.bats'"),
        ({"name": "big bats"}, "'big bats'"),
    ],
)
def test_options_of_no_sense_are_refused(options, received):
    with pytest.raises(InputError) as caught:
        Options(**options)
    assert str(caught.value).endswith(f"Received: {received}")


def test_only_a_keras_file_can_be_exported(report, never):
    for each in report.files:
        match = f"{each.path.name} is no .keras file. Give the one that it was exported"
        refused(each.path, match)


def test_a_model_of_features_cannot_be_exported(small, tmp_path, never):
    path = promising(small, tmp_path, sample_rate=0, clip_seconds=0.0)
    refused(path, r"takes precomputed features, not sound: it cannot tag audio")


def test_a_table_of_test_clips_that_cannot_be_used_is_told_at_once(
    small, tmp_path, never
):
    path = Path(shutil.copy(small, tmp_path))
    (tmp_path / "test_clips.csv").write_text(",".join(clip_table.HEADER) + "\n")
    refused(path, r"test_clips\.csv lists no audio files of clips")


# -- What goes wrong on the way --------------------------------------------------------


@pytest.fixture
def exported(small, tmp_path):
    """A tagger with an older export of it."""
    path = Path(shutil.copy(small, tmp_path))
    (tmp_path / "bats.tflite").write_bytes(b"older")
    return path


@pytest.mark.parametrize("difference", [2e-4, float("nan")])
def test_an_export_that_answers_otherwise_is_not_kept(
    exported, monkeypatch, once, difference
):
    wrong = proof.Proof(
        num_clips=9, max_difference=difference, top1=1.0, mean_difference=0.0
    )
    monkeypatch.setattr(proof, "compare", lambda *_: wrong)
    match = (
        rf"does not answer as .* differ by up to {difference:.2g}, and 0\.0001 was "
        r"expected\. It was not kept"
    )
    with pytest.raises(InputError, match=match):
        exporting.export(exported, Options(**ONLY_TFLITE, output=exported.parent))
    assert names(exported.parent) == {"bats.keras", "bats.tflite"}
    assert (exported.parent / "bats.tflite").read_bytes() == b"older"


def test_a_wrong_network_is_found_out(exported, once):
    """By the proof itself: one bias of the model is another than in the file."""
    loaded = tfhier.load(exported)
    bias = next(
        each for each in loaded.model.weights if each.path == "zebra_classifier/bias"
    )
    bias.assign_add([0.0, 0.0, 0.0, 0.01, 0.0])
    saved.write(exported, loaded.model, loaded.contract)
    with pytest.raises(InputError, match=r"bats\.tflite does not answer as the model"):
        exporting.export(exported, Options(**ONLY_TFLITE, output=exported.parent))
    assert (exported.parent / "bats.tflite").read_bytes() == b"older"


def test_a_model_that_changed_since_it_was_saved_is_not_exported(exported, never):
    """Its golden clip is replayed first."""
    clip = golden.read(exported)
    other = {**clip.scores, "zebra": clip.scores["zebra"] + 0.01}
    changed = dataclasses.replace(clip, scores=other)
    members.attach(exported, changed.to_members())
    refused(exported, r"does not answer as when it was saved: .* off by 0\.01")


def test_a_saved_model_is_proved_by_what_was_written(exported, monkeypatch):
    """And not by the model in memory; every signature is asked."""
    proved = {}
    monkeypatch.setattr(
        proof,
        "compare",
        lambda one, other, clips, compare=proof.compare: (
            proved.update(reference=one, other=other) or compare(one, other, clips)
        ),
    )
    monkeypatch.setattr(
        proof,
        "require_signatures",
        lambda reference, engine: proved.update(asked=set(engine.signatures)),
    )
    options = Options(formats=("savedmodel",), output=exported.parent, **QUICK)
    exporting.export(exported, options)
    assert proved["reference"].path == exported
    assert proved["other"].path.parent.parent == exported.parent / "serving"
    assert proved["asked"] > {"serving_default", "wav_bytes", "embedding", "attention"}


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(28, "No space left on device")]
)
def test_an_export_that_is_stopped_leaves_nothing_behind(
    exported, monkeypatch, once, error
):
    def stopped(*_):
        raise error

    monkeypatch.setattr(proof, "compare", stopped)
    with pytest.raises(type(error)):
        exporting.export(exported, Options(**ONLY_TFLITE, output=exported.parent))
    assert names(exported.parent) == {"bats.keras", "bats.tflite"}
    assert (exported.parent / "bats.tflite").read_bytes() == b"older"


# -- Sounds that 8 bits are fitted to --------------------------------------------------


@pytest.fixture
def calibrated(monkeypatch):
    """The sounds that a quantisation is given, in place of any quantisation."""
    heard = []

    def seen(content, kind, *, waveforms):
        heard.extend(waveforms)
        raise InputError("far enough")

    monkeypatch.setattr(tflite, "convert", lambda *_, **__: b"")
    monkeypatch.setattr(quantization, "quantize", seen)
    return heard


def test_8_bits_are_fitted_to_the_training_clips_of_the_run(job, calibrated):
    options = Options(formats=("tflite",), weights=("int8",), **QUICK)
    with pytest.raises(InputError, match="far enough"):
        exporting.export(job.folder, options)
    listed = clip_table.read(job.folder / "seed0" / "training_sounds.csv")
    assert len(calibrated) == len(listed)
    for place, found in enumerate(calibrated):
        assert found.shape == (1, 4_800)
        expected = listed.waveform(place, sample_rate=8_000)
        np.testing.assert_array_equal(found[0], expected)


def test_8_bits_are_not_fitted_to_test_clips(job, calibrated):
    tested = clip_table.read(job.folder / "seed0" / "test_clips.csv").files
    options = Options(
        formats=("tflite",), weights=("int8",), calibration=tested[3:5], **QUICK
    )
    with pytest.raises(InputError, match=rf"2 of the sounds .*{tested[3].name}"):
        exporting.export(job.folder, options)
    assert calibrated == []


def test_8_bits_are_fitted_to_sounds_of_choice(small, tmp_path, calibrated):
    for number in range(120):
        level = np.full(round(8_000 * (0.2 + 0.01 * number)), number / 256)
        soundfile.write(tmp_path / f"{number:03d}.wav", level, 8_000)
    options = Options(
        formats=("tflite",), weights=("int8",), seconds=0.5, calibration=(tmp_path,),
        **QUICK,
    )  # fmt: skip
    with pytest.raises(InputError, match="far enough"):
        exporting.export(small, options)
    assert len(calibrated) == 100
    levels = [256 * found[0, 0] for found in calibrated]
    assert levels[0] == 0
    assert levels[-1] == 119
    assert levels == sorted(levels)
    assert {found.shape for found in calibrated} == {(1, 4_000)}
    assert calibrated[0][0, 1_600:].max() == 0  # filled up
