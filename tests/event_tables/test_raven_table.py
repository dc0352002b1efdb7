"""Raven tables: written out by hand, and read by the reader of one's own recordings."""

import numpy as np
import pytest
import soundfile

from tests.event_tables.made import NIGHT, heard, promised, sure, unsure
from tfhier import event_tables
from tfhier.data.folder import raven
from tfhier.event_tables.raven import band

HEADER = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\t"
    "High Freq (Hz)\tBegin Path\tBegin File\tFile Offset (s)\tAnnotation\tScore\t"
    "Level\tRemark\n"
)


def write(path, what):
    event_tables.write(path, what, promised())
    return path


def test_a_table_written_out_by_hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = f"{tmp_path}/n"
    name = "KHAO_20230102_030405.wav"
    assert write(tmp_path / "e.selections.txt", NIGHT).read_bytes().decode() == (
        HEADER
        + f"1\tSpectrogram 1\t1\t1.500000\t2.250000\t100.0\t14000.0\t{folder}/{name}\t"
        f"{name}\t1.500\tlar\t0.900000\tspecies\t\n"
        f"2\tSpectrogram 1\t1\t10.000000\t12.062000\t100.0\t14000.0\t{folder}/{name}\t"
        f"{name}\t10.000\tgibbon\t0.930000\tfamily\tspecies uncertain\n"
        # Behind 60 s and the 100.25 s in which nothing was heard; 8 kHz at most.
        f"3\tSpectrogram 1\t1\t160.750000\t163.750000\t100.0\t8000.0\t{folder}/b.wav\t"
        "b.wav\t0.500\tgibbon\t0.500000\tfamily\tspecies uncertain\n"
    )


@pytest.mark.parametrize(
    ("frequencies", "sample_rate", "expected"),
    [
        ((100.0, 14_000.0), 48_000, (100.0, 14_000.0)),
        ((100.0, 14_000.0), 28_000, (100.0, 14_000.0)),
        ((100.0, 14_000.0), 16_000, (100.0, 8_000.0)),
        ((100.0, 14_000.0), 11_025, (100.0, 5_512.5)),
        ((10_000.0, 14_000.0), 16_000, (0.0, 8_000.0)),
        ((8_000.0, 14_000.0), 16_000, (0.0, 8_000.0)),
    ],
)
def test_frequencies_are_those_that_the_file_holds(frequencies, sample_rate, expected):
    assert band(frequencies, sample_rate) == expected


@pytest.fixture
def recordings(tmp_path):
    """Three recordings of 4 s and what was heard there; two have one name."""
    found = []
    names = ("site 1/a.wav", "site 1/größe \U0001f412.wav", "site 2/a.wav", "-b.wav")
    for number, name in enumerate(names):
        path = tmp_path / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(32_000, 0.1), 8000)
        label = ("lar", "=SUM(1)", "größe \U0001f412", "-")[number]
        events = (sure(0.1234, 0.5, label=label), unsure(1 + number / 7, 2.5))
        if number == 1:
            events = ()
        found.append(heard(path, *events, seconds=4.0, sample_rate=8000))
    return found


@pytest.mark.parametrize(
    "where", ["e.selections.txt", "recordings/site 1/e.selections.txt"]
)
def test_the_reader_of_recordings_reads_it(tmp_path, recordings, where):
    if "site 1" in where:
        # The reader takes a file beside the table for the one that it names.
        recordings = [each for each in recordings if "site 2" not in str(each.file)]
    table = write(tmp_path / where, recordings)
    rows, empty = raven.read([table], folder=tmp_path)
    expected = [(each.file, event) for each in recordings for event in each.events]
    assert not empty
    assert [row.file.resolve() for row in rows] == [file for file, _ in expected]
    assert [row.labels for row in rows] == [(event.label,) for _, event in expected]
    for row, (_, event) in zip(rows, expected, strict=True):
        assert row.span == pytest.approx((event.start, event.end), abs=0.00051)


def test_relative_paths_are_found_from_anywhere(tmp_path, recordings, monkeypatch):
    monkeypatch.chdir(tmp_path / "recordings")
    what = [heard("-b.wav", sure(1, 2), seconds=4), heard("site 2/a.wav", sure(2, 3))]
    table = write(tmp_path / "e.selections.txt", what)
    monkeypatch.chdir("/")
    rows, _ = raven.read([table], folder=tmp_path)
    names = [row.file.relative_to(tmp_path / "recordings") for row in rows]
    assert [str(name) for name in names] == ["-b.wav", "site 2/a.wav"]
    assert [row.span for row in rows] == [(1, 2), (2, 3)]


def test_a_table_without_selections_is_one_for_the_reader(tmp_path, recordings):
    table = write(recordings[0].file.with_name("a.selections.txt"), recordings[1:2])
    assert table.read_text() == HEADER
    assert raven.is_table(table)
    assert raven.read([table], folder=tmp_path) == ([], [recordings[0].file])
