"""Faulty recordings, full disks, kills: what was heard is kept, whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile

import tfhier
from tests.detect.made import OPTIONS, ROOT, command, files, record
from tfhier import __main__ as command_line
from tfhier import contract, event_tables
from tfhier.detect import job
from tfhier.detect.journal import digest_of
from tfhier.errors import InputError
from tfhier.events import Heard


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


def test_a_pool_that_breaks_between_two_recordings_loses_neither(monkeypatch):
    submitted = []

    class Breaking(ThreadPoolExecutor):
        def submit(self, function, file):
            submitted.append(file)
            if len(submitted) == 2:
                raise BrokenProcessPool
            return super().submit(function, file)

    monkeypatch.setattr(job._Pool, "_executor", lambda pool: Breaking(1))
    monkeypatch.setattr(job, "_hear_and_keep", lambda file: f"{file} is odd")
    journal = Mock(read=Mock(return_value=None))
    pool = job._Pool(Path("m.tflite"), journal, OPTIONS, num_workers=2, num_files=3)
    names = ["a.wav", "b.wav", "c.wav"]
    found = dict(job._results(pool, names))
    assert found == {name: f"{name} is odd" for name in names}
    assert submitted == ["a.wav", "b.wav", "b.wav", "c.wav", "a.wav"]


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
            assert len(kept) in (4, 5)  # job.json; a third by both processes
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

    def hear_all(model, files, journal, *_):
        growing.setattr(job, "_worker", (detector, journal))
        return {file: job._hear_and_keep(file)}

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
    event_tables.write(expected, heard, contract.read(model))
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


@pytest.mark.parametrize("fresh", [False, True])
def test_a_job_that_was_killed_as_it_began_goes_on(tmp_path, fresh):
    journal = job.Journal(tmp_path / "parts")
    journal.folder.mkdir()
    (journal.folder / ".job-x8f2k1.json").write_text('{"model')
    journal.open({"threshold": 0.5}, tmp_path / "m.tflite", fresh=fresh)
    journal.open({"threshold": 0.5}, tmp_path / "m.tflite", fresh=False)


def test_a_kill_while_a_job_starts_over_mixes_no_two_jobs(tmp_path, monkeypatch):
    journal = job.Journal(tmp_path / "parts")
    journal.open({"threshold": 0.5}, tmp_path / "m.tflite", fresh=False)
    file = record(tmp_path / "a.wav", 1.4, seed=1)
    silence = Heard(file=file, seconds=1.4, sample_rate=8_000, events=())
    journal.write(silence, journal.identity(file))
    assert journal.read(file) == silence
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(Path, "unlink", Mock(side_effect=KeyboardInterrupt))
        journal.open({"threshold": 0.6}, tmp_path / "m.tflite", fresh=True)
    with pytest.raises(InputError, match="begun otherwise"):
        journal.open({"threshold": 0.6}, tmp_path / "m.tflite", fresh=False)
    journal.open({"threshold": 0.6}, tmp_path / "m.tflite", fresh=True)
    assert journal.read(file) is None


def test_a_table_that_somebody_corrected_is_not_written_over(
    tmp_path, model, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    record(Path("a.wav"), 2.1, seed=1)
    words = ["detect", str(model), "a.wav", "-o", "events.csv", "--threshold", "0.55"]
    assert command_line.main(words) == 0
    assert command_line.main(words) == 0  # as it was written
    table = Path("events.csv")
    table.write_text(table.read_text() + "\n")
    capsys.readouterr()
    for more in ([], ["--fresh"]):
        assert command_line.main([*words, *more]) == 2
        assert "not as this job of tfhier detect wrote it" in capsys.readouterr().err
    table.rename("mine.csv")
    assert command_line.main(words) == 0
    Path("heard.csv").write_text("my own list\n")
    assert command_line.main(words) == 0
    assert Path("heard.csv").read_text() == "my own list\n"
    assert "a.wav" in Path("events-heard.csv").read_text()


def test_tables_in_one_folder_have_lists_of_their_own(
    tmp_path, model, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    record(Path("a.wav"), 2.1, seed=1)
    Path("b.wav").touch()
    words = ["detect", str(model), "--threshold", "0.55", "-o"]
    assert command_line.main([*words, "one.csv", "b.wav", "a.wav"]) == 3
    assert command_line.main([*words, "two.csv", "a.wav"]) == 0
    assert "see two-heard.csv" in capsys.readouterr().out
    assert "b.wav" in Path("failed.csv").read_text()
    assert "b.wav" not in Path("two-failed.csv").read_text()
    # Again: each its own.
    assert command_line.main([*words, "one.csv", "b.wav", "a.wav"]) == 3
    assert command_line.main([*words, "two.csv", "a.wav"]) == 0
    assert {path.name for path in Path().glob("*.csv")} == {
        "one.csv", "two.csv", "heard.csv", "failed.csv", "two-heard.csv",
        "two-failed.csv",
    }  # fmt: skip


def test_a_recording_of_the_same_size_and_another_date_is_heard_anew(tmp_path):
    journal = job.Journal(tmp_path / "parts")
    journal.open({"threshold": 0.5}, tmp_path / "m.tflite", fresh=False)
    file = record(tmp_path / "a.wav", 1.4, seed=1)
    silence = Heard(file=file, seconds=1.4, sample_rate=8_000, events=())
    journal.write(silence, journal.identity(file))
    (journal.folder / ".3f0a-x8f2k1.json").write_text("{")  # of a kill
    journal.open({"threshold": 0.5}, tmp_path / "m.tflite", fresh=False)
    assert not list(journal.folder.glob(".*.json"))
    assert journal.read(file) == silence
    os.utime(file, (1, 1))
    assert journal.read(file) is None


def test_every_file_of_a_saved_model_counts(tmp_path):
    for name in ("saved_model.pb", "variables/data"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    before = digest_of(tmp_path)
    (tmp_path / "variables" / "data").write_text("2")
    assert digest_of(tmp_path) != before
