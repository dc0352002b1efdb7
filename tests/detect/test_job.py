"""Folders of recordings: alike for any number of processes; what the command says."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import tfhier
from tests.detect.made import OPTIONS, ROOT, command, files, record
from tfhier import __main__ as command_line
from tfhier.commands import detect
from tfhier.detect import job
from tfhier.detect.options import Options
from tfhier.errors import InputError
from tfhier.export import exporting


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


def test_a_recording_that_is_given_twice_is_heard_once(model, folder, heard, tmp_path):
    twice = [*files(folder), Path(os.path.relpath(files(folder)[2]))]
    found = job.run(model, twice, tmp_path / "parts", OPTIONS, num_workers=2)
    assert [each.events for each in found.heard] == [each.events for each in heard]


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
        ([".", "-o", ".", "--format", "csv"], "is no name for a table"),
        ([".", "-o", "..", "--format", "csv"], "is a folder. Name the table"),
        ([".", "-o", "a.txt", "--format", "audacity"], "labels of 2 recordings"),
        ([".", "-o", "e.csv", "--ignore", "wnid"], "no label 'wnid' that could"),
        ([".", "-o", "heard.csv"], "Call the table of events otherwise"),
        ([".", "-o", "Failed.CSV"], "Call the table of events otherwise"),
        (["--stream"], "give --rate HZ"),
        (["--stream", "--rate", "8000", "a.wav"], "and no recordings or --output"),
        ([".", "-o", "e.csv", "--workers", "0"], "--workers is 1 or more"),
    ],
)
def test_contradictions_are_told(model, tmp_path, capsys, monkeypatch, words, said):
    """Before anything is heard."""
    monkeypatch.setattr(job, "_hear_all", None)
    for name in ("1.wav", "2.wav"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert command_line.main(["detect", str(model), *words]) == 2
    assert said in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"1.wav", "2.wav"}


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


def test_the_command_has_the_defaults_of_the_options(model, capsys):
    args = command_line.parser().parse_args(["detect", str(model)])
    assert detect._options(args) == Options()
    with pytest.raises(SystemExit):
        command_line.main(["detect", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "an event goes on (default: 0.8)" in said
    assert "in pieces (default: 300; 0: none)" in said
    assert "never an event (default: background)" in said


def test_every_option_can_be_said(model):
    words = (
        "--window 2 --overlap 0.25 --combine max --precision 0.9 --release 0.7 "
        "--smooth 3 --gap 0.5 --min-seconds 1 --max-seconds 9 --ignore wind rain"
    )
    args = command_line.parser().parse_args(["detect", str(model), *words.split()])
    assert detect._options(args) == Options(
        window_seconds=2.0,
        overlap=0.25,
        combine="max",
        precision=0.9,
        release=0.7,
        smooth_slots=3,
        gap_seconds=0.5,
        min_seconds=1.0,
        max_seconds=9.0,
        ignored=("wind", "rain"),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stream_that_is_stopped_tells_what_is_heard(model, number):
    stream = subprocess.Popen(
        [sys.executable, "-m", "tfhier", "detect", str(model), "--stream",
         "--rate", "8000", "--threshold", "0.05", "--ignore"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    with stream:
        second = bytes(2 * 8_000)
        stream.stdin.write(second * 30)  # more than the pipe holds: some was read
        stream.stdin.flush()
        stream.send_signal(number)
        stream.stdin.write(second)
        stream.stdin.close()
        lines = [json.loads(line) for line in stream.stdout]
        assert stream.wait(timeout=30) == 0
    assert lines
    assert 0 < max(each["end"] for each in lines) <= 31


def test_a_saved_model_hears_too(model, folder, tmp_path):
    exported = exporting.Options(
        formats=("savedmodel",), test_clips=0, timed=False, output=tmp_path
    )
    exporting.export(model.with_suffix(".keras"), exported)
    some = files(folder)[:1]
    expected = job.run(model, some, tmp_path / "1.parts", OPTIONS, num_workers=1)
    for name in ("2.parts", "2.parts"):
        found = job.run(
            tmp_path / "serving" / "1", some, tmp_path / name, OPTIONS, num_workers=1
        )
        told, own = found.heard[0].events, expected.heard[0].events
        assert [(e.start, e.label) for e in told] == [(e.start, e.label) for e in own]
    assert found.num_before == 1
