"""Which table a path means, and what holds for every format."""

import errno
import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import pytest

from tests.event_tables.made import HOSTILE, NIGHT, heard, promised, sure
from tfhier import event_tables
from tfhier.errors import InputError
from tfhier.event_tables import FORMATS, format_of

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
WRITABLE = [name for name in FORMATS if HAS_PYARROW or name != "parquet"]


def write(path, what=NIGHT, *, format="", **facts):
    event_tables.write(path, what, promised(**facts), format=format)


def everything_below(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*")}


# -- Which format ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("events.csv", "csv"),
        ("EVENTS.CSV", "csv"),
        ("events.jsonl", "jsonl"),
        ("events.parquet", "parquet"),
        ("a.selections.txt", "raven"),
        ("a.Table.1.Selections.TXT", "raven"),
        ("events.tsv", "dcase"),
        (Path("folder.csv/events.tsv"), "dcase"),
    ],
)
def test_the_ending_chooses(path, name):
    assert format_of(path) == name


def test_a_name_chooses_whatever_the_ending():
    assert [format_of("x.csv", name) for name in FORMATS] == [*FORMATS]


@pytest.mark.parametrize(
    "path",
    ["labels.txt", "selections.txt", "events", "events.json", "events.csv.gz", ""],
)
def test_an_ending_that_does_not_tell_is_named_with_all_formats(path):
    with pytest.raises(InputError, match="which table of events") as caught:
        format_of(path)
    assert all(name in str(caught.value) for name in FORMATS)
    assert str(caught.value).startswith(str(path))


def test_a_misspelt_format_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no format 'ravn'.* Close: raven"):
        format_of("x.csv", "ravn")


def test_formats_say_how_they_end_and_what_they_are_for():
    assert [*FORMATS] == [
        "csv", "jsonl", "parquet", "raven", "audacity", "kaleidoscope", "dcase",
    ]  # fmt: skip
    assert all(each.sentence.endswith(".") for each in FORMATS.values())
    chosen = {name: each.suffix for name, each in FORMATS.items() if each.by_suffix}
    assert {name: format_of(f"x{suffix}") for name, suffix in chosen.items()} == {
        name: name for name in chosen
    }


# -- What holds for all ----------------------------------------------------------------


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("what", [(), (heard("silent.wav"),), NIGHT])
def test_every_format_writes_nothing_little_and_much(tmp_path, name, what):
    path = tmp_path / "new" / f"x{FORMATS[name].suffix}"
    if name == "audacity":
        path = tmp_path / "new"
    write(path, what, format=name)
    assert path.exists()
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("name", WRITABLE)
def test_hostile_names_and_labels_are_written(tmp_path, name):
    what = [
        heard(f"n/{number}{text}.wav", sure(1, 2, label=text, family=f"f{text}"))
        for number, text in enumerate(HOSTILE)
    ]
    what.append(heard("=formula.wav", sure(1, 2)))
    write(tmp_path / "table", what, format=name)
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        if name != "parquet":
            path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WRITABLE)
def test_a_full_disk_leaves_the_old_table(tmp_path, name, monkeypatch):
    path = tmp_path / "table"
    if name == "audacity":
        path = tmp_path / "table.txt"
    path.write_text("old")

    def is_full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", is_full)
    with pytest.raises(OSError, match="No space left"):
        write(path, NIGHT[:1], format=name)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", WRITABLE)
def test_tables_are_the_same_each_time(tmp_path, name):
    write(tmp_path / "a" / "table", format=name)
    write(tmp_path / "b" / "table", list(NIGHT), format=name)
    assert everything_below(tmp_path / "a") == everything_below(tmp_path / "b")


@pytest.mark.parametrize(
    "frequencies", [(100, 100), (200, 100), (-1, 100), (0, math.inf), (0, math.nan)]
)
def test_frequencies_are_a_lower_and_an_upper(tmp_path, frequencies):
    with pytest.raises(InputError, match=r"0 <= low < high\. Received: "):
        write(tmp_path / "x.csv", frequencies=frequencies)
    assert not [*tmp_path.iterdir()]


def test_an_event_of_a_strange_level_is_named(tmp_path):
    with pytest.raises(InputError, match="are order, family.*of the level 'species'"):
        write(tmp_path / "x.csv", levels=("order", "family"))


def test_an_event_shorter_than_a_millisecond_keeps_a_length(tmp_path):
    write(tmp_path / "x.csv", [heard("a.wav", sure(1.0001, 1.0004))])
    ((event,),) = (each.events for each in event_tables.read(tmp_path / "x.csv"))
    assert (event.start, event.end) == (1.0, 1.001)


def test_nothing_heavy_is_imported():
    command = (
        "import sys, tfhier.event_tables as t; print(*sys.modules, len(t.FORMATS))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    imported = {name.split(".")[0] for name in done.stdout.split()}
    assert not imported & {"numpy", "pandas", "pyarrow", "soundfile", "tensorflow"}
    assert "tfhier" in imported
