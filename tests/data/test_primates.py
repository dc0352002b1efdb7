"""ComParE 2021 PRS from tiny copies of its published layout."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tfhier.data
from tfhier.data import primates
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

TRAIN = ("background", "chimpanze", "geunon", "mandrille", "redcap")
DEVEL = ("Background", "Chimpanzee", "guenon", "MANDRILL", "Red-capped mangabey")
TEST = ("?", "?", "?")


def write_table(folder, part, labels, *, header="filename,label", column=()):
    """Write a label file of `part_00000.wav`, ..., with the files it names."""
    (folder / "lab").mkdir(parents=True, exist_ok=True)
    (folder / "wav").mkdir(exist_ok=True)
    lines = [header]
    for number, label in enumerate(labels):
        name = f"{part}_{number:05d}.wav"
        lines.append(",".join([name, label, *column[number : number + 1]]))
        soundfile.write(folder / "wav" / name, np.full(800, 0.1), 16_000)
    (folder / "lab" / f"{part}.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    for part, labels in (("train", TRAIN), ("devel", DEVEL), ("test", TEST)):
        write_table(tmp_path / "primates", part, labels)
    return tmp_path / "primates"


@pytest.fixture
def small_official(monkeypatch):
    """Take the numbers of the tiny copy for the published ones."""
    numbers = {"train": len(TRAIN), "devel": len(DEVEL), "test": len(TEST)}
    monkeypatch.setattr(primates, "NUM_IN_FILE", numbers)


def edit(folder, part, old, new):
    file = folder / "lab" / f"{part}.csv"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


# -- Loading ---------------------------------------------------------------------------


def test_the_published_layout_loads_with_either_spelling(folder):
    clips = primates.load(folder)
    assert (clips.name, clips.kind) == ("primates", "other")
    assert clips.labels == primates.LABELS
    assert clips.keys.tolist() == [
        f"{part}_{number:05d}" for part in ("train", "devel") for number in range(5)
    ]
    assert clips.parts.tolist() == ["train"] * 5 + ["test"] * 5
    np.testing.assert_array_equal(clips.targets, np.tile(np.eye(5), (2, 1)))
    assert clips.targets.dtype == np.float32 and clips.observed.all()
    assert clips.paths[7] == folder / "wav" / "devel_00002.wav"
    assert clips.groups is clips.conditions is clips.max_seconds is None
    assert clips.notes == ("3 clips of test.csv have no label and are left out.",)


def test_the_labels_are_the_leaves_of_the_taxonomy():
    taxonomy = Taxonomy.read("primates")
    assert taxonomy.levels == ("species", "group")
    assert taxonomy.labels == (primates.LABELS, ("background", "primate"))
    assert taxonomy.groups("species") == ((0,), (1, 2, 3, 4))
    # The same name on two levels is two labels.
    targets = np.eye(5, dtype=np.float32)
    lifted, observed = taxonomy.lift(targets, np.ones((5, 5), bool))["group"]
    np.testing.assert_array_equal(lifted, [[1, 0], *[[0, 1]] * 4])
    assert observed.all()
    assert Taxonomy.parse(taxonomy.to_csv()) == taxonomy


@pytest.mark.parametrize("name", ["primates", "dist"])
def test_the_folder_above_will_do(folder, name):
    home = folder.rename(folder.parent / name)
    assert primates.load(home.parent).paths == primates.load(home).paths


def test_official_numbers_make_it_the_published_set(folder, small_official):
    clips = primates.load(folder)
    assert (clips.name, clips.kind) == ("ComParE 2021 PRS", "published")
    (folder / "lab" / "test.csv").unlink()
    clips = primates.load(folder)
    assert (clips.kind, clips.notes) == ("published", ())
    clips = primates.load(folder, kind="embedded", name="ours")
    assert (clips.name, clips.kind) == ("ours", "embedded")


@pytest.mark.parametrize("part", ["train", "devel", "test"])
def test_one_clip_fewer_is_not_the_published_set(folder, small_official, part):
    labels = {"train": TRAIN, "devel": DEVEL, "test": TEST}[part]
    write_table(folder, part, labels[:-1])
    assert primates.load(folder).kind == "other"


def test_the_published_numbers_are_the_papers():
    assert primates.NUM_IN_FILE == {"train": 6915, "devel": 6918, "test": 6923}
    assert "2101.10390" in primates.CITATION and "Schuller" in primates.CITATION


def test_labelled_test_clips_are_a_condition_of_their_own(folder):
    write_table(folder, "test", ("redcap", "?", "background"))
    clips = primates.load(folder)
    assert clips.parts.tolist() == ["train"] * 5 + ["test"] * 7
    assert clips.conditions.tolist() == [""] * 5 + ["devel"] * 5 + ["test"] * 2
    assert clips.keys.tolist()[-2:] == ["test_00000", "test_00002"]
    assert clips.targets[-2:].argmax(axis=1).tolist() == [4, 0]
    assert clips.notes == ("1 clips of test.csv have no label and are left out.",)


def test_the_audio_of_unlabelled_clips_may_be_missing(folder):
    for path in (folder / "wav").glob("test_*"):
        path.unlink()
    assert len(primates.load(folder)) == 10


def test_sites_are_groups_and_other_columns_are_ignored(folder):
    header = "site, Filename ,snr,LABEL"
    for part, sites in (("train", "aabb"), ("devel", "ccdd")):
        rows = [
            f"{site},{part}_{number:05d}.wav,3,{label}"
            for number, (site, label) in enumerate(
                zip([*sites, ""], TRAIN, strict=True)
            )
        ]
        (folder / "lab" / f"{part}.csv").write_text("\n".join([header, *rows]) + "\n")
    clips = primates.load(folder)
    expected = ["a", "a", "b", "b", "train_00004.wav"]
    expected += ["c", "c", "d", "d", "devel_00004.wav"]
    assert clips.groups.tolist() == expected


def test_tables_of_other_programs_load(folder):
    file = folder / "lab" / "train.csv"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert len(primates.load(folder)) == 10


# -- What is refused -------------------------------------------------------------------


def test_a_folder_that_is_not_there_or_has_no_labels_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="no folder .*tfhier prepare primates"):
        primates.load(tmp_path / "nowhere")
    (folder / "lab").rename(tmp_path / "away")
    with pytest.raises(InputError, match="no folder 'lab'.*lab/train.csv"):
        primates.load(folder)


@pytest.mark.parametrize("part", ["train", "devel"])
def test_a_missing_table_is_named(folder, part):
    (folder / "lab" / f"{part}.csv").unlink()
    with pytest.raises(InputError, match=rf"There is no .*lab/{part}\.csv"):
        primates.load(folder)


def test_missing_files_are_counted_and_the_first_is_named(folder):
    for name in ("train_00003.wav", "devel_00001.wav"):
        (folder / "wav" / name).unlink()
    with pytest.raises(InputError, match="2 of 10 clips .* first is train_00003.wav"):
        primates.load(folder)
    for path in (folder / "wav").iterdir():
        path.unlink()
    (folder / "wav").rmdir()
    with pytest.raises(InputError, match="10 of 10 clips"):
        primates.load(folder)


@pytest.mark.parametrize("name", ["../wav/train_00000.wav", "/etc/passwd", ""])
def test_files_outside_the_folder_are_missing_ones(folder, name):
    edit(folder, "train", "train_00000.wav", name)
    with pytest.raises(InputError, match="1 of 10 clips"):
        primates.load(folder)


def test_an_unknown_label_is_named_with_its_row(folder):
    edit(folder, "devel", "guenon", "guenom")
    with pytest.raises(
        InputError, match=r"devel\.csv, line 4: 'guenom' .* Close: guenon"
    ):
        primates.load(folder)


@pytest.mark.parametrize("part", ["train", "devel"])
@pytest.mark.parametrize("label", ["?", ""])
def test_only_test_clips_may_be_unlabelled(folder, part, label):
    write_table(folder, part, (label, *TRAIN[1:]))
    with pytest.raises(InputError, match=rf"{part}\.csv, line 2: '\{label}' is no"):
        primates.load(folder)


def test_a_clip_listed_twice_is_refused(folder):
    edit(folder, "train", "train_00002.wav", "train_00000.wav")
    with pytest.raises(InputError, match=r"line 4: train_00000\.wav is listed twice"):
        primates.load(folder)


@pytest.mark.parametrize(
    ("part", "shared"), [("devel", "train_00001.wav"), ("test", "devel_00000.wav")]
)
def test_a_clip_in_two_parts_is_refused(folder, part, shared):
    edit(folder, part, f"{part}_00002.wav", shared)
    other = shared.split("_")[0]
    with pytest.raises(InputError, match=f"{shared} is in both {other}.csv and {part}"):
        primates.load(folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"name,label\na.wav,geunon\n", "Received: name,label"),
        (b"filename,label,label\na.wav,x,y\n", "Received: filename,label,label"),
        (b"filename;label\na.wav;geunon\n", "Received: filename;label"),
        (b"filename,label\n", "lists no clip"),
        (b"filename,label\na.wav\n", "line 2: expected 2 cells"),
        (b"filename,label\na.wav,geunon,7\n", "line 2: expected 2 cells"),
        (b"filename,label\n\xff\xfe.wav,geunon\n", "not UTF-8"),
        (
            b"filename,label\n" + b"a" * 200_000 + b",geunon\n",
            "not a line of a CSV table",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused(folder, content, reason):
    (folder / "lab" / "train.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"train\.csv.*{reason}"):
        primates.load(folder)


# -- Validating and preparing ----------------------------------------------------------


def test_a_whole_set_has_no_problems(folder, small_official, capsys):
    assert primates.validate(folder) == []
    assert primates.prepare(folder) == primates.prepare(folder.parent) == folder
    assert f"complete in {folder}" in capsys.readouterr().out


def test_problems_are_all_named(folder):
    wav = folder / "wav"
    (wav / "train_00001.wav").write_bytes(b"RIFF")
    soundfile.write(wav / "devel_00001.wav", np.zeros(0), 16_000)
    numbers, broken, empty = primates.validate(folder)
    assert "6,918 in devel.csv" in numbers and "5 to train" in numbers
    assert broken.startswith(f"{wav / 'train_00001.wav'} cannot be opened")
    assert empty == f"{wav / 'devel_00001.wav'} is empty."
    assert "There is no folder" in primates.validate(folder / "nowhere")[0]


def test_prepare_explains_how_to_get_the_data(tmp_path):
    for given in (tmp_path, tmp_path / "primates"):
        with pytest.raises(InputError) as error:
            primates.prepare(given)
        assert str(tmp_path / "primates") in str(error.value)
        assert primates.SOURCE in str(error.value)
    assert not list(tmp_path.iterdir())


def test_prepare_refuses_what_is_not_the_published_set(folder):
    with pytest.raises(InputError, match=r"1 problem\(s\): .*other numbers of clips"):
        primates.prepare(folder)


def test_the_folder_is_found_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHIER_DATA", str(tmp_path))
    assert primates.default_folder() == tmp_path / "primates"
    monkeypatch.delenv("TFHIER_DATA")
    assert primates.default_folder() == Path.home() / "tfhier-data" / "primates"


# -- The stand-in ----------------------------------------------------------------------


@pytest.fixture
def forest(monkeypatch):
    """Stands for the synthesizer of the stand-in, which takes a while."""
    module = types.ModuleType("tfhier.data.forest")
    module.calls = []

    def write(folder, **settings):
        module.calls.append(settings)
        for part, labels in (("train", TRAIN), ("devel", DEVEL)):
            write_table(folder, part, labels)

    module.write = write
    monkeypatch.setitem(sys.modules, "tfhier.data.forest", module)
    monkeypatch.setattr(tfhier.data, "forest", module, raising=False)
    return module


def test_the_stand_in_is_made_once_in_the_cache(forest, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHIER_CACHE", str(tmp_path / "cache"))
    first, second = primates.embedded(), primates.embedded()
    assert forest.calls == [{"num_train": 1500, "num_devel": 700}]
    assert (first.name, first.kind) == ("embedded forest", "embedded")
    assert first.max_seconds == 3.0 and first.notes == ()
    assert first.paths == second.paths
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [
        "embedded-forest-v1"
    ]


def test_the_stand_in_lies_where_asked(forest, tmp_path):
    clips = primates.embedded(tmp_path / "sets" / "mine")
    assert clips.paths[0].is_relative_to(tmp_path / "sets" / "mine")


def test_a_stray_quote_swallows_no_clip(folder):
    table = folder / "lab" / "train.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:2], lines[2].replace(",", ',"'), *lines[3:]]))
    with pytest.raises(InputError, match=r"train\.csv, line 3 .* quote"):
        primates.load(folder)


def test_a_label_file_that_is_cut_short_is_noticed(folder):
    (folder / "lab" / "test.csv").write_text("filename,label\ntest_0.wav,?\n")

    def unnamed() -> int:
        notes = " ".join(primates.load(folder).notes)
        found = re.search(r"(\d+) files in wav are in no label file", notes)
        return int(found[1]) if found else 0

    before = unnamed()
    table = folder / "lab" / "train.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-2]) + "\n")
    assert unnamed() == before + 2
