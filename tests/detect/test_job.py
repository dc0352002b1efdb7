"""Folders of recordings: alike for any number of processes, whole after any kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tfhier
from tests.export import models
from tfhier import __main__ as command_line
from tfhier import event_tables
from tfhier.detect import job
from tfhier.detect.options import Options
from tfhier.errors import InputError
from tfhier.export import exporting

ROOT = Path(__file__).parents[2]
OPTIONS = Options(threshold=0.55)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = models.write(tmp_path_factory.mktemp("model") / "model.keras")
    exporting.export(
        path,
        exporting.Options(
            formats=("tflite",), test_clips=0, timed=False, output=path.parent
        ),
    )
    return path.with_suffix(".tflite")


def record(path: Path, seconds: float, *, seed: int, rate: int = models.RATE) -> Path:
    """A recording in which tones and noise take turns, so that there are events."""
    parts = [
        models.clip(0.7, rate=rate, seed=100 * seed + number)
        for number in range(round(seconds / 0.7))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate(parts), rate)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Six recordings in folders of two sites, one of them at another rate."""
    folder = tmp_path_factory.mktemp("card")
    for seed in range(5):
        site = "north" if seed % 2 else "south"
        record(folder / site / f"{site}_2026120{seed}_060000.wav", 9.0, seed=seed)
    record(folder / "south" / "long.flac", 21.0, seed=9, rate=22_050)
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def heard(model, folder) -> list:
    """What one process hears, without a job."""
    detector = job.Detector(tfhier.load(model), OPTIONS)
    found = [job.hear(detector, file) for file in files(folder)]
    assert sum(len(each.events) for each in found) > 15
    return found


def test_a_tagger_hears_a_recording_alike(model, folder, heard):
    tagger = tfhier.load(model)
    found = tagger.detect(files(folder)[0], threshold=OPTIONS.threshold)
    assert tuple(found) == heard[0].events
    with pytest.raises(InputError, match="choose one of both"):
        tagger.detect(files(folder)[0], threshold=0.5, precision=0.9)


def test_any_number_of_processes_hears_the_same(model, folder, heard, tmp_path):
    for workers in (1, 2, 5):
        parts = tmp_path / f"{workers}.parts"
        found = job.run(model, files(folder), parts, OPTIONS, num_workers=workers)
        assert list(found.heard) == heard
        assert (found.failed, found.num_before) == ({}, 0)


def test_what_was_heard_is_not_heard_again(model, folder, heard, tmp_path, monkeypatch):
    parts = tmp_path / "parts"
    some = files(folder)[:3]
    job.run(model, some, parts, OPTIONS, num_workers=1)
    again = job.run(model, files(folder), parts, OPTIONS, num_workers=1)
    assert (list(again.heard), again.num_before) == (heard, 3)
    monkeypatch.setattr(job, "_hear_all", None)
    last = job.run(model, files(folder), parts, OPTIONS, num_workers=1)
    assert (list(last.heard), last.num_before) == (heard, 6)


def test_a_recording_that_was_replaced_is_heard_again(model, tmp_path):
    file = record(tmp_path / "a.wav", 3.0, seed=1)
    first = job.run(model, [file], tmp_path / "parts", OPTIONS, num_workers=1)
    record(file, 6.0, seed=2)
    second = job.run(model, [file], tmp_path / "parts", OPTIONS, num_workers=1)
    assert (first.heard[0].seconds, second.heard[0].seconds) == (2.8, 6.3)
    assert second.num_before == 0


def test_another_job_in_the_folder_is_named_and_fresh_starts_over(
    model, folder, tmp_path
):
    some = files(folder)[:1]
    job.run(model, some, tmp_path / "parts", OPTIONS, num_workers=1)
    other = Options(threshold=0.6, gap_seconds=1.0)
    with pytest.raises(
        InputError, match=r"gap_seconds 0.0 -> 1.0; threshold 0.55 -> 0.6.*--fresh"
    ):
        job.run(model, some, tmp_path / "parts", other, num_workers=1)
    found = job.run(model, some, tmp_path / "parts", other, num_workers=1, fresh=True)
    assert found.num_before == 0


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_something_else_is_left_alone(model, folder, tmp_path, fresh):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is not of a job of tfhier"):
        job.run(
            model,
            files(folder),
            tmp_path / "parts",
            OPTIONS,
            num_workers=1,
            fresh=fresh,
        )
    assert (tmp_path / "parts" / "thesis.txt").read_text() == "years of work"


def test_faulty_recordings_are_listed_while_the_others_go_on(
    model, folder, heard, tmp_path
):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "text.wav").write_text("no sound")
    good = files(folder)[0]
    (tmp_path / "cut.wav").write_bytes(good.read_bytes()[:-1_000])
    bad = ["missing.wav", "empty.wav", "folder.wav", "text.wav", "cut.wav"]
    mixed = [*(tmp_path / name for name in bad), good]
    found = job.run(model, mixed, tmp_path / "parts", OPTIONS, num_workers=2)
    assert [each.events for each in found.heard] == [heard[0].events]
    assert [path.name for path in found.failed] == bad
    reasons = "".join(found.failed.values())
    for said in ("no such file", "empty (0 bytes)", "a folder", "not audio", "truncat"):
        assert said in reasons
    # They are tried again, in case they were mended.
    soundfile.write(tmp_path / "empty.wav", np.zeros(8_000), 8_000)
    again = job.run(model, mixed, tmp_path / "parts", OPTIONS, num_workers=2)
    assert [path.name for path in again.failed] == [*bad[:1], *bad[2:]]


def test_a_recording_that_ends_its_process_costs_no_other(
    model, folder, heard, tmp_path, monkeypatch
):
    """As a decoder does that crashes, or one that takes all memory."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def watch(event, args):\n"
        "    if event == 'open' and str(args[0]).endswith('killer.wav'):\n"
        "        if 'spawn_main' in ' '.join(sys.orig_argv):\n"
        "            os.kill(os.getpid(), 9)\n"
        "sys.addaudithook(watch)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    killer = record(tmp_path / "killer.wav", 2.1, seed=3)
    mixed = [*files(folder)[:2], killer, *files(folder)[2:]]
    found = job.run(model, mixed, tmp_path / "parts", OPTIONS, num_workers=2)
    assert list(found.heard) == heard
    assert list(found.failed) == [killer]
    assert "was ended, by the system" in found.failed[killer]


FULL_DISK = """
import errno, os, pathlib, sys, tempfile

text, temporary = pathlib.Path.write_text, tempfile.mkstemp

def check(folder, *name):
    if folder.name.endswith(".parts") and len(list(folder.glob("[0-9a-f]*.json"))) > 2:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *name)

def write_text(path, content, **settings):
    text(path, content[:20], **settings)
    check(path.parent)
    return text(path, content, **settings)

def mkstemp(*, dir, **settings):
    check(dir, os.path.abspath(dir / "name"))
    return temporary(dir=dir, **settings)

if "spawn_main" in " ".join(sys.orig_argv):
    FAULT
"""


@pytest.mark.parametrize(
    "fault",
    ["pathlib.Path.write_text = write_text", "tempfile.mkstemp = mkstemp"],
)
def test_a_disk_that_fills_up_ends_the_job_and_the_same_command_goes_on(
    model, folder, heard, tmp_path, monkeypatch, capsys, fault
):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        FULL_DISK.replace("FAULT", fault)
    )
    monkeypatch.chdir(tmp_path)
    words = command(model, folder, Path("events.csv"), "--workers", "2")
    with monkeypatch.context() as full:
        full.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{ROOT}")
        for _ in range(2):
            assert command_line.main(words) == 2
            (said,) = capsys.readouterr().err.splitlines()
            assert "events.csv.parts" in said
            assert "No space left on device. What is finished is kept" in said
            assert not [path for path in Path().iterdir() if path.suffix == ".csv"]
            kept = {path.name for path in Path("events.csv.parts").iterdir()}
            assert len(kept) in (4, 5)  # job.json; both processes may write the third
            assert not [name for name in kept if name.startswith(".")]
    assert command_line.main(words) == 0
    said = f"6 recordings, 0.02 h, {len(kept) - 1} of them before"
    assert said in capsys.readouterr().out
    number = sum(len(each.events) for each in heard)
    assert len(Path("events.csv").read_text().splitlines()) == 1 + number


def test_a_recording_that_grows_while_it_is_heard_is_not_told_in_part(
    model, tmp_path, monkeypatch
):
    """By a recorder that still writes."""
    file = record(tmp_path / "a.wav", 3.0, seed=1)

    def hear_all(model, files, parts, *_):
        growing.setattr(job, "_worker", (detector, parts))
        job._hear_and_keep(file)
        return {}

    def grows(detector, file):
        found = hear(detector, file)
        record(file, 6.0, seed=1)
        return found

    def run():
        return job.run(model, [file], tmp_path / "parts", OPTIONS, num_workers=1)

    hear, detector = job.hear, job.Detector(tfhier.load(model), OPTIONS)
    with monkeypatch.context() as growing:
        growing.setattr(job, "hear", grows)
        growing.setattr(job, "_hear_all", hear_all)
        found = run()
    assert found.heard == ()
    assert "a.wav: it changed while it was heard" in found.failed[file]
    found = run()
    assert (found.heard[0].seconds, found.failed, found.num_before) == (6.3, {}, 0)


def test_a_recording_that_is_given_twice_is_heard_once(model, folder, heard, tmp_path):
    twice = [*files(folder), Path(os.path.relpath(files(folder)[2]))]
    found = job.run(model, twice, tmp_path / "parts", OPTIONS, num_workers=2)
    assert [each.events for each in found.heard] == [each.events for each in heard]


def command(model: Path, folder: Path, output: Path, *more) -> list[str]:
    words = ["detect", model, folder, "-o", output, "--threshold", "0.55", *more]
    return [str(word) for word in words]


def killed(words: list[str], after: float) -> None:
    """Run a command and kill it and all its processes after some seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tfhier", *words],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_job_of_40_files_survives_20_kills_at_any_moment(model, tmp_path, rng):
    card = tmp_path / "card"
    for number in range(40):
        record(card / f"{number:02d}.wav", 9.0, seed=number)
    whole = tmp_path / "whole.csv"
    start = time.monotonic()
    assert command_line.main(command(model, card, whole, "--workers", "2")) == 0
    took = time.monotonic() - start
    assert len(whole.read_text().splitlines()) > 60
    for number, after in enumerate(rng.uniform(0.05, 1.1 * took, 20)):
        output = tmp_path / f"{number}.csv"
        words = command(model, card, output, "--workers", "2")
        killed(words, after)
        # Nothing of the table, or all of it.
        assert not output.exists() or output.read_bytes() == whole.read_bytes()
        assert command_line.main(words) == 0
        assert output.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("after", [0.3, 0.9, 1.5])
def test_a_job_that_is_killed_goes_on_and_ends_alike(
    model, folder, heard, tmp_path, after
):
    output = tmp_path / "events.csv"
    words = command(model, folder, output, "--workers", "2")
    killed(words, after)
    assert command_line.main(words) == 0
    expected = tmp_path / "expected.csv"
    event_tables.write(
        expected, heard, levels=("zebra", "animal"), frequencies=(50.0, 4_000.0)
    )
    assert output.read_bytes() == expected.read_bytes()
    assert not [path for path in tmp_path.rglob(".*") if path.suffix == ".json"]


def test_nothing_goes_on_when_the_job_alone_is_killed(model, tmp_path):
    for number in range(4):
        record(tmp_path / "card" / f"{number}.wav", 900.0, seed=number)
    words = command(model, tmp_path / "card", tmp_path / "e.csv", "--workers", "2")
    process = subprocess.Popen(
        [sys.executable, "-m", "tfhier", *words], cwd=ROOT, start_new_session=True
    )
    time.sleep(1.5)
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    with pytest.raises(ProcessLookupError):  # nobody is left of its group
        while time.monotonic() < end:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


def test_the_command_says_what_it_heard(model, folder, heard, tmp_path, capsys):
    output = tmp_path / "events.jsonl"
    assert command_line.main(command(model, folder, output)) == 0
    printed = capsys.readouterr().out
    number = sum(len(each.events) for each in heard)
    assert f"heard    6 recordings, 0.02 h, see {tmp_path / 'heard.csv'}\n" in printed
    assert f"events   {number}: " in printed
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(lines) == number
    assert (tmp_path / "failed.csv").read_text() == "file,reason\n"
    effort = (tmp_path / "heard.csv").read_text()
    expected = [f"{each.file},{len(each.events)}" for each in heard]
    cells = [line.split(",") for line in effort.splitlines()]
    assert [f"{file},{events}" for file, *_, events in cells[1:]] == expected
    (tmp_path / "x.wav").write_text("no sound")
    mixed = command(model, folder, output)
    mixed.insert(2, str(tmp_path / "x.wav"))
    assert command_line.main(mixed) == 3
    printed = capsys.readouterr().out
    assert "6 recordings, 0.02 h, 6 of them before, see" in printed
    assert (tmp_path / "heard.csv").read_text() == effort
    assert f"failed   1 recordings, see {tmp_path / 'failed.csv'}" in printed
    assert "x.wav: is not audio" in (tmp_path / "failed.csv").read_text()


def test_without_a_number_every_core_is_used(model, folder, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        job,
        "run",
        lambda *args, num_workers, **_: (
            asked.append(num_workers) or job.Outcome((), {}, 0)
        ),
    )
    words = command(model, folder, tmp_path / "e.csv")
    assert command_line.main(words) == 0
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert command_line.main(words) == 0
    assert command_line.main([*words, "--workers", "3"]) == 0
    assert asked[1:] == [7, 3]
    assert asked[0] >= 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Give recordings, or folders of them, and a table to write"),
        (["a.wav"], "Give recordings, or folders"),
        (["a.wav", "-o", "events.csv"], "There is no a.wav. Check the path."),
        ([".", "-o", "events.doc"], "does not tell by its ending"),
        ([".", "-o", "heard.csv"], "Call the table of events otherwise"),
        ([".", "-o", "Failed.CSV"], "Call the table of events otherwise"),
        (["--stream"], "give --rate HZ"),
        (["--stream", "--rate", "8000", "a.wav"], "and no recordings or --output"),
        ([".", "-o", "e.csv", "--workers", "0"], "--workers is 1 or more"),
    ],
)
def test_contradictions_are_told(model, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    assert command_line.main(["detect", str(model), *words]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [{}, {"max_seconds": 0.5}])
def test_a_stream_gives_the_events_of_a_file(model, folder, more):
    file = files(folder)[1]
    samples, rate = soundfile.read(file, dtype="int16")
    words = [f"--{name.replace('_', '-')}={value}" for name, value in more.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tfhier", "detect", str(model), "--stream",
         "--rate", str(rate), "--threshold", "0.55", *words],
        input=samples.tobytes(), capture_output=True, cwd=ROOT, check=True, timeout=60,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = sorted((each["start"], each["end"], each["label"]) for each in lines)
    heard = tfhier.load(model).detect(file, threshold=OPTIONS.threshold, **more)
    assert found == sorted((round(e.start, 3), round(e.end, 3), e.label) for e in heard)
    longest = max(end - start for start, end, _ in found)
    assert (longest <= 0.5) == bool(more)


def test_the_command_has_the_defaults_of_the_options(model):
    args = command_line.parser().parse_args(["detect", str(model)])
    settings = vars(args) | {
        "window_seconds": args.window,
        "smooth_slots": args.smooth,
        "gap_seconds": args.gap,
        "ignored": tuple(args.ignore),
    }
    for name, value in vars(Options()).items():
        assert settings[name] == value
