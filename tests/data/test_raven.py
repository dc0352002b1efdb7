"""Raven's selection tables: views, files, columns of labels and groups."""

import zlib

import numpy as np
import pytest
import soundfile

from tfhier.data.folder import raven, selections
from tfhier.errors import InputError


def write_sound(path, seconds=4.0, rate=8000):
    """Write noise; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Equal files would be one recording.
    rng = np.random.default_rng(zlib.crc32(f"{path.parent.name}/{path.name}".encode()))
    soundfile.write(path, 0.1 * rng.standard_normal(round(seconds * rate)), rate)
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder with three recordings of 4 s."""
    for name in ("a.wav", "b.flac", "site/c.wav"):
        write_sound(tmp_path / name)
    return tmp_path


VIEWS = ("Waveform 1", "Spectrogram 1")


def write_raven(path, selected, columns=("Annotation",), views=VIEWS):
    """Write (begin, end, *cells of more columns) as Raven does: a line a view."""
    header = [
        "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)",
        "Low Freq (Hz)", "High Freq (Hz)", *columns,
    ]  # fmt: skip
    lines = ["\t".join(header)]
    for number, (begin, end, *cells) in enumerate(selected, start=1):
        for view in views:
            values = [number, view, 1, begin, end, "300.0", "1800.0", *cells]
            lines.append("\t".join(map(str, values)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def read_raven(*tables, **options):
    """The rows alone, for tables that all have selections."""
    rows, empty = raven.read(tables, folder=tables[0].parent, **options)
    assert not empty
    return rows


@pytest.mark.parametrize(
    "name",
    ["a.Table.1.selections.txt", "a.selections.txt", "a.Table.12.selections.txt"],
)
def test_a_selection_is_one_row_whatever_its_views(folder, name):
    table = write_raven(
        folder / name, [(0.5, 1.25, "gibbon"), (2, 3, "crow|gibbon"), (2, 3.5, "")]
    )
    rows = read_raven(table)
    assert [(row.span, row.labels) for row in rows] == [
        ((0.5, 1.25), ("gibbon",)),
        ((2, 3), ("crow", "gibbon")),
        ((2, 3.5), ()),
    ]
    assert {row.file for row in rows} == {folder / "a.wav"}
    assert rows[1].where == f"{table}, line 4"


def test_two_selections_of_the_same_times_stay_two(folder):
    table = write_raven(folder / "a.selections.txt", [(1, 2, "x"), (1, 2, "y")])
    assert [row.labels for row in read_raven(table)] == [("x",), ("y",)]


def test_the_file_is_the_one_that_the_table_names(folder):
    table = write_raven(
        folder / "all.txt",
        [(10.5, 11, "a.wav", 0.5, "x"), (100, 102, "site/c.wav", 1.5, "y")],
        columns=("Begin File", "File Offset (s)", "Species"),
    )
    assert [(row.file, row.span) for row in read_raven(table)] == [
        (folder / "a.wav", (0.5, 1.0)),
        (folder / "site/c.wav", (1.5, 3.5)),
    ]


def test_a_path_of_another_machine_is_looked_for_beside_the_table(folder):
    table = write_raven(
        folder / "all.txt",
        [(0, 1, r"D:\Field 2023\a.wav", "x"), (0, 1, str(folder / "b.flac"), "y")],
        columns=("Begin Path", "Class"),
    )
    files = [row.file for row in read_raven(table)]
    assert files == [folder / "a.wav", folder / "b.flac"]


def test_labels_are_in_the_first_column_that_holds_any(folder):
    table = write_raven(
        folder / "a.selections.txt",
        [(0, 1, "male", "", "lar"), (1, 2, "", "", "agilis")],
        columns=("Notes", "Annotation", "species"),
    )
    assert [row.labels for row in read_raven(table)] == [("lar",), ("agilis",)]


def test_a_byte_order_mark_and_a_second_column_of_a_name_change_nothing(folder):
    table = write_raven(
        folder / "a.selections.txt",
        [(0, 1, "x", "y")],
        columns=("Annotation", "Annotation"),
    )
    table.write_text(table.read_text(), encoding="utf-8-sig")
    assert raven.is_table(table)
    assert [row.labels for row in read_raven(table)] == [("x",)]


def test_a_table_without_labels_lists_its_columns(folder):
    table = write_raven(folder / "a.selections.txt", [(0, 1, "x")], columns=("What",))
    with pytest.raises(InputError, match=r"no column of labels.*It has: .*, What"):
        read_raven(table)
    table.write_text("Begin Time (s)\tAnnotation\n1\tx\n")
    with pytest.raises(InputError, match=r"no column 'End Time \(s\)'"):
        read_raven(table)


def test_tables_without_labels_are_one_error(folder):
    tables = [
        write_raven(folder / f"{name}.selections.txt", [(0, 1, "x")], columns=(what,))
        for name, what in (("a", "Label"), ("b", "What"), ("site/c", "Other"))
    ]
    with pytest.raises(InputError, match=r"b\.selections\.txt \(and 1 more") as error:
        read_raven(*tables)
    assert "Spectrogram" not in str(error.value)
    assert "It has: Selection, View," in str(error.value)
    assert "--set label_column=NAME" in str(error.value)
    with pytest.raises(InputError, match=r"a\.sel.* \(and 2 more .* column 'Kind'\."):
        read_raven(*tables, label_column="Kind")


def test_the_column_of_labels_can_be_named_in_raven(folder):
    table = write_raven(
        folder / "a.selections.txt",
        [(0, 1, "x", "", "male")],
        columns=("Annotation", "Species", "Age or Sex"),
    )
    assert [row.labels for row in read_raven(table)] == [("x",)]
    named = read_raven(table, label_column="age OR sex ")
    assert [row.labels for row in named] == [("male",)]
    # An empty column that is asked for says that there is no label.
    assert [r.labels for r in read_raven(table, label_column="species")] == [()]


@pytest.mark.parametrize("name", ["Call type", "CALL", "Type", "Sound", "Sp", "tags"])
def test_raven_and_csv_know_the_same_columns_of_labels(folder, name):
    table = write_raven(folder / "a.selections.txt", [(0, 1, "hoo")], columns=(name,))
    assert [row.labels for row in read_raven(table)] == [("hoo",)]
    (folder / "table.csv").write_text(f"file,{name}\na.wav,hoo\n")
    (row,) = selections.read_csv(folder / "table.csv")
    assert row.labels == ("hoo",)


@pytest.mark.parametrize("name", ["Group", "SITE", "location", "Recording"])
def test_a_column_of_raven_gives_the_group(folder, name):
    table = write_raven(
        folder / "a.selections.txt",
        [(0, 1, "x", "north"), (1, 2, "y", "north")],
        columns=("Label", name),
    )
    assert [row.group for row in read_raven(table)] == ["north", "north"]


def test_a_table_without_a_selection_names_its_recording(folder):
    tables = [
        write_raven(folder / "a.Table.1.selections.txt", [(0, 1, "x")]),
        write_raven(folder / "b.selections.txt", [], columns=()),
        write_raven(folder / "lost.selections.txt", []),
    ]
    rows, empty = raven.read(tables, folder=folder)
    assert [row.file for row in rows] == [folder / "a.wav"]
    assert empty == [folder / "b.flac", folder / "lost.*"]


def test_a_selection_in_a_missing_file_is_named(folder):
    table = write_raven(folder / "z.selections.txt", [(0, 1, "x")])
    with pytest.raises(InputError, match=r"1 audio file\(s\) of 1 .*z\.\*.*line 2"):
        read_raven(table)
    table = write_raven(
        folder / "all.txt", [(0, 1, "gone.wav", "x")], columns=("Begin File", "Label")
    )
    with pytest.raises(InputError, match=r"gone\.wav"):
        read_raven(table)


def test_several_files_need_their_offsets(folder):
    table = write_raven(
        folder / "all.txt",
        [(0, 1, "a.wav", "x"), (5, 6, "b.flac", "x")],
        columns=("Begin File", "Annotation"),
    )
    with pytest.raises(InputError, match=r"in 2 files, but no column 'File Offset"):
        read_raven(table)


def test_two_files_of_one_name_are_ambiguous(folder):
    write_sound(folder / "a.flac")
    table = write_raven(folder / "a.selections.txt", [(0, 1, "x")])
    with pytest.raises(InputError, match=r"may belong to a\.flac or a\.wav"):
        read_raven(table)


@pytest.mark.parametrize(("begin", "end"), [(1, 1), (2, 1), (-1, 1), ("?", 1)])
def test_times_of_raven_are_checked_too(folder, begin, end):
    table = write_raven(folder / "a.selections.txt", [(0, 1, "x"), (begin, end, "x")])
    with pytest.raises(InputError, match="line 4: "):
        read_raven(table)


def test_a_raven_table_is_known_by_its_header(folder):
    assert raven.is_table(write_raven(folder / "a.selections.txt", []))
    (folder / "notes.txt").write_text("Begin Time (s) is a column of Raven\n")
    assert not raven.is_table(folder / "notes.txt")
    assert not raven.is_table(folder / "a.wav")
    assert not raven.is_table(folder)


def test_what_is_named_like_a_table_is_one_whatever_is_in_it(tmp_path):
    named = tmp_path / "r1.Table.1.selections.txt"
    named.write_bytes("Begin Time (s)\tEnd Time (s)\n".encode("utf-16"))
    assert raven.is_table(named)
    with pytest.raises(InputError, match=r"r1\.Table\.1\.selections\.txt is not UTF-8"):
        raven.read([named], folder=tmp_path)
    named.write_text("Begin Time(s)\tEnd Time (s)\n1\t2\n")
    with pytest.raises(InputError, match=r"no column 'Begin Time \(s\)'"):
        raven.read([named], folder=tmp_path)
    (tmp_path / "notes.txt").write_text("Begin Time(s)\tEnd Time (s)\n1\t2\n")
    assert not raven.is_table(tmp_path / "notes.txt")
