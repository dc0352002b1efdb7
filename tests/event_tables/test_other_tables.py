"""Audacity, Kaleidoscope, DCASE and Parquet: tables written out by hand."""

import csv
import sys
from datetime import datetime

import pytest

from tests.event_tables.made import NIGHT, heard, promised, sure, unsure
from tfhier import event_tables
from tfhier.errors import InputError


def write(path, what=NIGHT, **options):
    event_tables.write(path, what, promised(), **options)
    return path


# -- Audacity --------------------------------------------------------------------------

TRACK = "1.500000\t2.250000\tlar\n10.000000\t12.062000\tgibbon\n"


def test_labels_of_one_recording_are_a_file(tmp_path):
    path = write(tmp_path / "labels.TXT", NIGHT[:1], format="audacity")
    assert path.read_bytes().decode() == TRACK
    write(path, (), format="audacity")
    assert path.read_bytes() == b""


def test_labels_of_several_recordings_do_not_fit_one_file(tmp_path):
    with pytest.raises(InputError, match="labels of 3 recordings.*Give a folder"):
        write(tmp_path / "labels.txt", format="audacity")
    assert not [*tmp_path.iterdir()]


def files_below(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes().decode() for p in paths}


def test_labels_of_several_recordings_are_a_folder(tmp_path):
    write(tmp_path / "labels", format="audacity")
    assert files_below(tmp_path / "labels") == {
        "KHAO_20230102_030405.wav.txt": TRACK,
        "KHAO_20230102_040405.wav.txt": "",
        "b.wav.txt": "0.500000\t3.500000\tgibbon\n",
    }


def test_recordings_of_one_name_have_files_of_their_own(tmp_path):
    names = ("/x/1/a.wav", "/x/2/a.wav", "/x/2/a.flac", "/x/2/3/a.wav", "/x/2/../b.wav")
    what = [heard(name, sure(i, i + 1)) for i, name in enumerate(names)]
    write(tmp_path / "labels", what, format="audacity")
    assert files_below(tmp_path / "labels") == {
        f"{name}.txt": f"{i}.000000\t{i + 1}.000000\tlar\n"
        for i, name in enumerate(
            ("1/a.wav", "2/a.wav", "2/a.flac", "2/3/a.wav", "b.wav")
        )
    }


def test_a_recording_given_twice_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    what = [heard("a.wav", sure(1, 2)), heard(tmp_path / "a.wav"), heard("b.wav")]
    with pytest.raises(
        InputError, match=r"labels/a\.wav\.txt would be written for two"
    ):
        write(tmp_path / "labels", what, format="audacity")
    assert not [*tmp_path.iterdir()]


def test_awkward_names_and_labels_of_tracks(tmp_path):
    what = [heard("n/a\nb\udce9.wav", sure(1, 2, label="x\ty\nz"))]
    write(tmp_path / "labels", what, format="audacity")
    assert files_below(tmp_path / "labels") == {
        "a\nb\udce9.wav.txt": "1.000000\t2.000000\tx\\ty\\nz\n"
    }


# -- Kaleidoscope ----------------------------------------------------------------------


def kaleidoscope(path, what):
    write(path, what, format="kaleidoscope")
    with open(path, newline="") as file:
        return [*csv.DictReader(file)]


def test_the_columns_are_those_of_id_csv(tmp_path):
    path = write(tmp_path / "id.csv", (), format="kaleidoscope")
    assert path.read_text() == (
        "INDIR,OUTDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,OUT FILE FS,OUT FILE ZC,"
        "DATE,TIME,HOUR,DATE-12,TIME-12,HOUR-12,AUTO ID*,PULSES,MATCHING,MATCH RATIO,"
        "MARGIN,ALTERNATE 1,ALTERNATE 2,N,Fc,Sc,Dur,Fmax,Fmin,Fmean,TBC,Fk,Tk,S1,Tc,"
        "Qual,FILES,MANUAL ID,SCORE,LEVEL,REMARK\n"
    )


def test_a_line_of_kaleidoscope_written_out_by_hand(tmp_path):
    what = [
        heard("/card/night/A_20230102_030405.wav", unsure(3600.5, 3602.25)),
        heard("/card/b.wav", sure(1, 2, label="=x")),
    ]
    first, second = kaleidoscope(tmp_path / "id.csv", what)
    assert {name: cell for name, cell in first.items() if cell} == {
        "INDIR": "/card",
        "FOLDER": "night",
        "IN FILE": "A_20230102_030405.wav",
        "CHANNEL": "0",
        "OFFSET": "3600.500",
        "DURATION": "1.750",
        "DATE": "2023-01-02",
        "TIME": "04:04:05",
        "HOUR": "4",
        "DATE-12": "2023-01-01",
        "TIME-12": "16:04:05",
        "HOUR-12": "16",
        "AUTO ID*": "gibbon",
        "FILES": "1",
        "SCORE": "0.930000",
        "LEVEL": "family",
        "REMARK": "species uncertain",
    }
    assert {name: cell for name, cell in second.items() if cell} == {
        "INDIR": "/card",
        "IN FILE": "b.wav",
        "CHANNEL": "0",
        "OFFSET": "1.000",
        "DURATION": "1.000",
        "AUTO ID*": "'=x",
        "FILES": "1",
        "SCORE": "0.900000",
        "LEVEL": "species",
    }


# -- DCASE -----------------------------------------------------------------------------


def test_a_dcase_table_written_out_by_hand(tmp_path):
    assert write(tmp_path / "e.tsv").read_bytes().decode() == (
        "filename\tonset\toffset\tevent_label\n"
        "KHAO_20230102_030405.wav\t1.500\t2.250\tlar\n"
        "KHAO_20230102_030405.wav\t10.000\t12.062\tgibbon\n"
        "b.wav\t0.500\t3.500\tgibbon\n"
    )
    assert write(tmp_path / "e.tsv", ()).read_text() == (
        "filename\tonset\toffset\tevent_label\n"
    )


def test_files_of_several_folders_and_awkward_names(tmp_path):
    what = [heard("/x/1/a.wav", sure(1, 2)), heard("/x/2/a\t\udce9.wav", sure(1, 2))]
    lines = write(tmp_path / "e.tsv", what).read_text().splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == [
        "1/a.wav",
        "2/a\\t\\udce9.wav",
    ]


# -- Parquet ---------------------------------------------------------------------------


def test_without_pyarrow_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="pip install pyarrow, or write CSV"):
        write(tmp_path / "e.parquet")
    assert not [*tmp_path.iterdir()]


def test_parquet_holds_the_columns_with_their_types(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    what = [*NIGHT, heard("\udce9_20230102_030405_000017.wav", sure(1, 2))]
    table = parquet.read_table(write(tmp_path / "e.parquet", what))
    assert dict(zip(table.column_names, map(str, table.schema.types), strict=True)) == {
        **dict.fromkeys(("file", "level", "label", "remark", "species"), "string"),
        **dict.fromkeys(("family", "site"), "string"),
        **dict.fromkeys(("start", "end", "score", "duration"), "double"),
        **dict.fromkeys(("date_time", "event_time"), "timestamp[us]"),
        "sample_rate": "int32",
    }
    rows = table.to_pylist()
    assert rows[1] == {
        "file": "n/KHAO_20230102_030405.wav",
        "start": 10.0,
        "end": 12.062,
        "level": "family",
        "label": "gibbon",
        "score": 0.93,
        "remark": "species uncertain",
        "species": "",
        "family": "gibbon",
        "site": "KHAO",
        "date_time": datetime(2023, 1, 2, 3, 4, 5),
        "event_time": datetime(2023, 1, 2, 3, 4, 15),
        "duration": 60.0,
        "sample_rate": 48_000,
    }
    assert (rows[2]["site"], rows[2]["date_time"], rows[2]["event_time"]) == (
        "",
        None,
        None,
    )
    assert rows[3]["file"] == "\\udce9_20230102_030405_000017.wav"
    assert rows[3]["date_time"].microsecond == 17


def test_parquet_without_events_has_its_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    empty = parquet.read_table(write(tmp_path / "a.parquet", ()))
    full = parquet.read_table(write(tmp_path / "b.parquet"))
    assert empty.num_rows == 0
    assert empty.schema == full.schema
