"""The effort: every recording that was heard, with what events an hour are made of."""

import csv
from pathlib import Path

import pytest

from tests.event_tables.made import HOSTILE, NIGHT, heard, promised, sure
from tfhier import event_tables
from tfhier.event_tables import effort


def test_a_line_a_recording_also_without_events(tmp_path):
    effort.write(tmp_path / "heard.csv", NIGHT)
    assert (tmp_path / "heard.csv").read_text() == (
        "file,site,date_time,duration,sample_rate,events\n"
        "n/KHAO_20230102_030405.wav,KHAO,2023-01-02T03:04:05.000,60.000,48000,2\n"
        "n/KHAO_20230102_040405.wav,KHAO,2023-01-02T04:04:05.000,100.250,48000,0\n"
        "n/b.wav,,,30.500,16000,1\n"
    )


def test_without_recordings_they_have_their_headers(tmp_path):
    effort.write(tmp_path / "heard.csv", [])
    assert (tmp_path / "heard.csv").read_text().count("\n") == 1
    effort.write_failed(tmp_path / "failed.csv", {})
    assert (tmp_path / "failed.csv").read_text() == "file,reason\n"


def test_a_line_a_recording_that_failed(tmp_path):
    failed = {Path("n/a.wav"): "n/a.wav: is empty, 0 bytes.", Path("=\udce9.wav"): "?"}
    effort.write_failed(tmp_path / "failed.csv", failed)
    assert (tmp_path / "failed.csv").read_text() == (
        'file,reason\nn/a.wav,"n/a.wav: is empty, 0 bytes."\n\'=\\udce9.wav,?\n'
    )


def rows(path: Path) -> list[dict]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", [*HOSTILE, "\udce9", "=1+1_20230102_030405"])
def test_it_is_joined_with_the_events_by_what_both_say(tmp_path, name):
    night = [heard(f"{name}.wav", sure(1, 2), sure(3, 4), seconds=3.6)]
    event_tables.write(tmp_path / "events.csv", night, promised())
    effort.write(tmp_path / "heard.csv", night)
    events = rows(tmp_path / "events.csv")
    (line,) = rows(tmp_path / "heard.csv")
    assert line.pop("events") == str(len(events)) == "2"
    for event in events:
        assert line == {column: event[column] for column in line}
