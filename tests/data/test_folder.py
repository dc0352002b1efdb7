"""One's own recordings: class folders, tables, Raven; what is left out and why."""

import os
import shutil
import sys
import zlib

import numpy as np
import pytest
import soundfile

from tfhier import audio
from tfhier.data import folder as own
from tfhier.data import waveforms
from tfhier.errors import InputError


def write_sound(path, seconds=1.0, rate=8000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Equal files would be one recording.
    rng = np.random.default_rng(zlib.crc32("/".join(path.parts[-4:]).encode()))
    sound = 0.1 * rng.standard_normal(round(seconds * rate))
    soundfile.write(path, sound, rate, **options)
    return path


def write_classes(root, **counts):
    """Write a class folder for each name, with so many files."""
    for name, count in counts.items():
        for number in range(count):
            write_sound(root / name / f"{number:02d}.wav")
    return root


def labels_of(clips):
    """Key -> labels that are there, joined."""
    return {
        key: " ".join(np.array(clips.labels)[row > 0])
        for key, row in zip(clips.keys.tolist(), clips.targets, strict=True)
    }


def notes_with(clips, text):
    return [note for note in clips.notes if text in note]


# -- Class folders ---------------------------------------------------------------------


def test_class_folders_are_labels(tmp_path):
    root = write_classes(tmp_path / "calls", crow=6, ape=4)
    clips = own.load(root)
    assert (clips.name, clips.kind, clips.labels) == ("calls", "other", ("ape", "crow"))
    assert clips.keys.tolist()[3:5] == ["ape/03.wav", "crow/00.wav"]
    assert clips.paths[3] == root / "ape" / "03.wav"
    assert clips.targets.tolist() == [[1, 0]] * 4 + [[0, 1]] * 6
    assert clips.observed.all()
    assert (clips.spans, clips.conditions, clips.max_seconds) == (None, None, 1.0)
    # Each file is a recording of its own, and a fifth of them is for the test.
    assert clips.groups.tolist() == clips.keys.tolist()
    assert clips.parts.tolist().count("test") == 2
    assert len(notes_with(clips, "set aside")) == 1


def test_a_folder_in_a_class_folder_is_one_recording(tmp_path):
    for name in (
        f"{kind}/site{n}/{at}.wav" for kind in "ab" for n in "123" for at in "xy"
    ):
        write_sound(tmp_path / name)
    write_sound(tmp_path / "a" / "site1" / "deeper" / "z.wav")
    clips = own.load(tmp_path)
    assert set(clips.groups.tolist()) == {"site1", "site2", "site3"}
    by_key = dict(zip(clips.keys.tolist(), clips.groups.tolist(), strict=True))
    assert by_key["a/site1/deeper/z.wav"] == by_key["b/site1/x.wav"] == "site1"
    for name in ("site1", "site2", "site3"):
        assert len(set(clips.parts[clips.groups == name].tolist())) == 1
    assert {"train", "test"} == set(clips.parts.tolist())


def test_all_kinds_of_audio_count_and_hidden_and_other_files_do_not(tmp_path):
    root = write_classes(tmp_path, a=3, b=3)
    sound = (root / "a" / "00.wav").read_bytes()
    for name in ("x.WAV", "x.Flac", "x.ogg", "x.mp3", "x.m4a", "x.AIFF", "x.opus"):
        (root / "a" / name).write_bytes(sound)
    for name in (".x.wav", "._00.wav", ".DS_Store"):
        (root / "b" / name).write_bytes(sound)
    write_sound(root / "b" / ".trash" / "x.wav")
    write_sound(root / ".git" / "x.wav")
    (root / "b" / "notes.txt").write_text("heard at dawn")
    (root / "b" / "Thumbs.db").write_text("")
    (root / "taxonomy.csv").write_text("class,group\n")
    write_sound(root / "stray.wav")
    clips = own.load(root)
    assert clips.targets.sum(axis=0).tolist() == [10, 3]
    assert "3 files that are not audio were ignored." in clips.notes
    assert "1 audio files lie in no class folder: left out." in clips.notes


def test_links_are_followed_and_end(tmp_path):
    root = write_classes(tmp_path / "calls", a=3)
    write_classes(tmp_path / "elsewhere", b=3)
    os.symlink(tmp_path / "elsewhere" / "b", root / "b")
    os.symlink(root / "a" / "00.wav", root / "a" / "same.wav")
    os.symlink(root / "a", root / "a" / "loop")
    write_sound(tmp_path / "elsewhere" / "site" / "x.wav")
    os.symlink(tmp_path / "elsewhere" / "site", root / "a" / "night")
    clips = own.load(root)
    assert clips.keys.tolist() == [
        "a/00.wav", "a/01.wav", "a/02.wav", "a/same.wav", "a/night/x.wav",
        "b/00.wav", "b/01.wav", "b/02.wav",
    ]  # fmt: skip
    # Two names of one file are one recording.
    assert clips.groups[3] == clips.groups[0] == "a/00.wav"
    assert clips.groups[4] == "night"


def test_a_folder_that_cannot_be_listed_stops(tmp_path, monkeypatch):
    root = write_classes(tmp_path, a=3, b=3)
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(PermissionError, match="Permission denied"):
        own.load(root)


def test_an_empty_class_folder_is_named(tmp_path):
    root = write_classes(tmp_path, a=3, b=3)
    (root / "c" / ".hidden").mkdir(parents=True)
    (root / "c" / "notes.txt").write_text("nothing yet")
    with pytest.raises(InputError, match=r"class folder .*/c has no audio file\. Put"):
        own.load(root)
    (root / "d").mkdir()
    with pytest.raises(InputError, match=r"/c \(and 1 more\) has no audio"):
        own.load(root)


def test_one_class_folder_is_too_few_and_tables_are_pointed_at(tmp_path):
    root = write_classes(tmp_path, wav=3)
    (root / "labels.csv").write_text("file,label\n")
    with pytest.raises(InputError, match=r"1 class folder\(s\); .*It has labels\.csv:"):
        own.load(root)
    (root / "labels.csv").unlink()
    with pytest.raises(InputError, match=r"1 class folder\(s\).*are needed\. Give a"):
        own.load(root)


@pytest.mark.parametrize("name", ["none", "a/00.wav"])
def test_what_is_no_layout_is_refused(tmp_path, name):
    root = write_classes(tmp_path, a=1)
    with pytest.raises(InputError, match="Give a folder of class folders, a CSV table"):
        own.load(root / name)


def test_a_class_of_one_recording_stays_in_training_and_is_named(tmp_path):
    root = write_classes(tmp_path, a=10, b=10, rare=1)
    for number in range(5):
        write_sound(root / "lone" / "site" / f"{number}.wav")
    clips = own.load(root)
    heard = np.array(clips.labels)[clips.targets.argmax(axis=1)]
    assert set(clips.parts[np.isin(heard, ["rare", "lone"])].tolist()) == {"train"}
    for name in "ab":
        assert {"train", "test"} == set(clips.parts[heard == name].tolist())
    assert notes_with(clips, "cannot be tested") == [
        "Labels of one group only, so that their figures cannot be tested: lone, rare."
    ]


def test_classes_of_one_recording_each_cannot_be_divided(tmp_path):
    with pytest.raises(InputError, match=r"cannot be divided .* None of the 3 groups"):
        own.load(write_classes(tmp_path, a=1, b=1, c=1))


def test_every_class_of_two_recordings_is_learned_and_tested(tmp_path):
    root = write_classes(tmp_path, a=2, b=2, c=2, d=30)
    clips = own.load(root)
    for column in clips.targets.T:
        assert {"train", "test"} == set(clips.parts[column > 0].tolist())
    assert not notes_with(clips, "figures")


@pytest.mark.parametrize("count", [1, 2])
def test_the_same_files_are_always_divided_alike(tmp_path, count):
    root = write_classes(tmp_path, a=7, b=8)
    first = own.load(root)
    for _ in range(count):
        assert own.load(str(root)).parts.tolist() == first.parts.tolist()


# -- Tables ----------------------------------------------------------------------------


def write_table(root, *rows, header="file,label,start,end", name="calls.csv"):
    for recording in ("rec1", "rec2", "rec3"):
        write_sound(root / f"{recording}.wav", seconds=4)
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    return root / name


def test_a_table_gives_spans_keys_and_groups(tmp_path):
    path = write_table(
        tmp_path,
        "rec1.wav,ape,0,1.5",
        "rec1.wav,crow,2,3.25",
        "rec2.wav,ape,1,2",
        "rec3.wav,crow|ape,0,4.02",
        "rec3.wav,crow,0.0001,4.02",
    )
    clips = own.load(path)
    assert (clips.name, clips.kind, clips.labels) == (
        "calls.csv",
        "other",
        ("ape", "crow"),
    )
    assert labels_of(clips) == {
        "rec1.wav#0.000-1.500": "ape",
        "rec1.wav#2.000-3.250": "crow",
        "rec2.wav": "ape",
        "rec3.wav": "ape crow",
    }
    assert clips.spans.tolist() == [[0, 1.5], [2, 3.25], [1, 2], [0, 4]]
    assert clips.max_seconds == 4
    assert clips.groups.tolist() == ["rec1.wav", "rec1.wav", "rec2.wav", "rec3.wav"]
    assert clips.parts[0] == clips.parts[1]
    assert len(notes_with(clips, "1 rows give another label")) == 1


def test_overlaps_leave_labels_unobserved_and_are_counted(tmp_path):
    path = write_table(
        tmp_path,
        "rec1.wav,ape,0,2",
        "rec1.wav,crow,1.5,2.5",
        "rec2.wav,ape,0,1",
        "rec2.wav,crow,0,0.9",
        "rec3.wav,ape,0,1",
        "rec3.wav,crow,1,2",
    )
    clips = own.load(path)
    assert clips.targets.tolist() == [[1, 0], [1, 1], [1, 1], [1, 1], [1, 0], [0, 1]]
    assert clips.observed.tolist() == [[True, False]] + [[True, True]] * 5
    (note,) = notes_with(clips, "overlap")
    assert note.startswith("4 clips overlap selections of other labels: 3 carry")
    assert "for 1 one counts as unobserved" in note


def test_whole_files_and_files_of_one_name(tmp_path):
    for site in "pqrs":
        write_sound(tmp_path / site / "rec.wav", seconds=2)
    path = tmp_path / "calls.tsv"
    path.write_text(
        "path\tspecies\np/rec.wav\ta\nq/rec.wav\tb\nr/rec.wav\ta\ns/rec.wav\tb\n"
    )
    clips = own.load(path)
    assert clips.keys.tolist() == [f"{site}/rec.wav" for site in "pqrs"]
    assert (clips.spans, clips.max_seconds) == (None, 2.0)


def test_files_outside_of_the_folder_keep_their_whole_path(tmp_path):
    other = write_sound(tmp_path / "other" / "x.wav")
    names = (f"{other},a", "rec1.wav,b", "rec2.wav,a", "rec3.wav,b", "../other/x.wav,a")
    path = write_table(tmp_path / "mine", *names, header="file,label")
    clips = own.load(path)
    assert clips.keys.tolist() == [other.as_posix(), "rec1.wav", "rec2.wav", "rec3.wav"]
    assert "1 rows repeat another one and were dropped." in clips.notes


def test_the_table_can_say_parts_groups_and_conditions(tmp_path):
    path = write_table(
        tmp_path,
        "rec1.wav,a,0,1,train,night,",
        "rec1.wav,b,1,2,train,night,",
        "rec2.wav,a,0,1,validation,,",
        "rec3.wav,a,0,1,test,dawn,0 dB",
        "rec3.wav,b,1,2,Test,dawn,10 dB",
        header="file,label,start,end,part,site,condition",
    )
    clips = own.load(path)
    assert clips.parts.tolist() == ["train", "train", "validation", "test", "test"]
    assert clips.groups.tolist() == ["night", "night", "rec2.wav", "dawn", "dawn"]
    assert clips.conditions.tolist() == ["", "", "", "0 dB", "10 dB"]
    assert not notes_with(clips, "set aside")
    assert notes_with(clips, "Training") == [
        "Training + validation + test: a 1+1+1 clips of 1+1+1 groups, b 1+0+1 clips of "
        "1+0+1 groups."
    ]


PARTS = "file,label,start,end,part"


def test_labels_on_one_side_only_are_named(tmp_path):
    path = write_table(
        tmp_path,
        "rec1.wav,a|every|early,0,1,train",
        "rec1.wav,b|early,1,2,train",
        "rec2.wav,early,1,2,train",
        "rec3.wav,a|every,0,1,test",
        "rec3.wav,every|late,2,3,test",
        header=PARTS,
    )
    assert notes_with(own.load(path), "so that") == [
        "Labels of one recording only, so that their figures cannot be tested: b.",
        "Labels without a test clip, so that their figures cannot be tested: early.",
        "Labels of every test clip, so that their figures mean nothing: every.",
        "Labels without a training clip, so that they cannot be learned: late.",
    ]


def test_a_recording_in_two_parts_is_noted(tmp_path):
    path = write_table(
        tmp_path,
        "rec1.wav,a,0,1,train",
        "rec1.wav,b,1,2,test",
        "rec2.wav,a|b,0,1,train",
        "rec3.wav,a,0,1,test",
        header=PARTS,
    )
    (note,) = notes_with(own.load(path), "as the table says")
    assert note.startswith("1 recordings have clips in more than one part")
    assert "rec1.wav" in note


def test_a_part_for_some_rows_only_is_refused(tmp_path):
    rows = ["rec1.wav,a,0,1,train", "rec2.wav,b,0,1,", "rec3.wav,b,0,1,"]
    path = write_table(tmp_path, *rows, header=PARTS)
    with pytest.raises(
        InputError, match=r"line 3: no part .* 1 other rows, but in 1 it"
    ):
        own.load(path)
    # An empty column is none.
    rows = ["rec1.wav,a,0,1,", "rec2.wav,b,0,1,", "rec3.wav,a|b,,,"]
    path = write_table(tmp_path, *rows, header=PARTS)
    assert {"train", "test"} == set(own.load(path).parts.tolist())


def test_a_file_of_two_groups_is_refused(tmp_path):
    rows = ["rec1.wav,a,0,1,night", "rec2.wav,b,0,1,night", "rec1.wav,b,2,3,dawn"]
    path = write_table(tmp_path, *rows, header="file,label,start,end,group")
    with pytest.raises(InputError, match=r"line 4: .*rec1\.wav is of the group 'dawn'"):
        own.load(path)


def test_one_label_and_its_absence_is_enough(tmp_path):
    path = write_table(
        tmp_path, "rec1.wav,ape,0,1", "rec1.wav,,2,3", "rec2.wav,ape,0,1",
        "rec2.wav,,2,3", "rec3.wav,ape,0,1", "rec3.wav,,1,2",
    )  # fmt: skip
    clips = own.load(path)
    assert clips.labels == ("ape",)
    assert clips.targets[:, 0].tolist() == [1, 0, 1, 0, 1, 0]
    assert clips.observed.all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("aa", r"has one label only, 'a'.*stand for its absence\.$"),
        (("", ""), "no label at all"),
        ((), "no label"),
    ],
)
def test_nothing_to_tell_apart_is_refused(tmp_path, labels, message):
    rows = [f"rec{at}.wav,{label},," for at, label in enumerate(labels, start=1)]
    with pytest.raises(InputError, match=message):
        own.load(write_table(tmp_path, *rows))


def test_a_table_that_names_a_missing_file_is_refused(tmp_path):
    path = write_table(tmp_path, "rec1.wav,a,,", "rec9.wav,b,,")
    with pytest.raises(InputError, match=r"names 1 audio file\(s\).*rec9\.wav"):
        own.load(path)


# -- Raven -----------------------------------------------------------------------------


def write_raven(root):
    """Three recordings in two folders, with a table each of two or three selections."""
    header = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tAnnotation"
    for number, name in enumerate(("site1/rec1", "site1/rec2", "site2/rec1"), start=1):
        write_sound(root / f"{name}.wav", seconds=4)
        spans = [(0, 1, "ape"), (2, 3 + number / 10, "crow")]
        lines = [
            f"{at}\t{view}\t1\t{start}\t{end}\t{label}"
            for at, (start, end, label) in enumerate(spans, start=1)
            for view in ("Waveform 1", "Spectrogram 1")
        ]
        table = root / f"{name}.Table.1.selections.txt"
        table.write_text("\n".join([header, *lines]) + "\n")
    return root


def test_a_folder_with_ravens_tables_at_any_depth(tmp_path):
    root = write_raven(tmp_path / "field")
    (root / "site1" / "readme.txt").write_text("no table\n")
    clips = own.load(root)
    assert (clips.name, clips.labels) == ("field", ("ape", "crow"))
    assert clips.keys.tolist() == [
        "site1/rec1.wav#0.000-1.000", "site1/rec1.wav#2.000-3.100",
        "site1/rec2.wav#0.000-1.000", "site1/rec2.wav#2.000-3.200",
        "site2/rec1.wav#0.000-1.000", "site2/rec1.wav#2.000-3.300",
    ]  # fmt: skip
    assert clips.targets.tolist() == [[1, 0], [0, 1]] * 3
    assert len(set(clips.groups.tolist())) == 3
    assert all(len(set(clips.parts[at : at + 2].tolist())) == 1 for at in (0, 2, 4))
    assert clips.notes[0] == "The labels come from 3 Raven selection tables."


def test_a_single_raven_table(tmp_path):
    table = write_raven(tmp_path) / "site1" / "rec1.Table.1.selections.txt"
    table.write_text(table.read_text() + "3\tW\t1\t3.5\t3.9\tape\n")
    # All of it is one recording, so nothing can be set aside.
    with pytest.raises(InputError, match="All clips are of one group"):
        own.load(table)
    (tmp_path / "site1" / "other.txt").write_text("file\tlabel\n")
    with pytest.raises(InputError, match=r"no column 'Begin Time \(s\)'"):
        own.load(tmp_path / "site1" / "other.txt")


# -- Difficult audio -------------------------------------------------------------------


def test_eight_bits_and_96_khz_are_read_and_empty_files_are_named(tmp_path):
    root = write_classes(tmp_path / "calls", a=4, b=4)
    write_sound(root / "a" / "8bit.wav", subtype="PCM_U8")
    write_sound(root / "b" / "fast.wav", rate=96_000, subtype="PCM_24")
    (root / "b" / "zero.wav").touch()
    clips = own.load(root)
    settings = {
        "keys": clips.keys.tolist(),
        "sample_rate": 8000,
        "seconds": 1.0,
        "folder": tmp_path / "cache",
    }
    with pytest.raises(audio.AudioError, match=r"zero\.wav.*is empty \(0 bytes\)"):
        waveforms.decode(clips.paths, **settings)
    decoded = waveforms.decode(clips.paths, skip_bad=True, **settings)
    assert list(decoded.bad) == ["b/zero.wav"]
    for key in ("a/8bit.wav", "b/fast.wav"):
        at = clips.keys.tolist().index(key)
        assert decoded.lengths[at] == 8000
        # White noise of 0.1; band-limited, a twelfth of its power is left at 96 kHz.
        level = decoded.fetch([at]).std()
        assert level == pytest.approx(0.1 if "8bit" in key else 0.0289, rel=0.05)


# -- The module as a data set ----------------------------------------------------------


def test_there_is_nothing_to_prepare(tmp_path, monkeypatch):
    with pytest.raises(
        InputError, match=r"nothing to download for your own .*recordings,"
    ):
        own.prepare(tmp_path)
    monkeypatch.setenv("TFHIER_DATA", str(tmp_path))
    assert own.default_folder() == tmp_path / "recordings"
    assert (own.EMBEDDED_NAME, own.EMBEDDED_FEATURES) == ("", ())


def test_a_stray_quote_in_a_table_swallows_no_row(tmp_path):
    for name in "abcd":
        write_sound(tmp_path / f"{name}.wav")
    lines = ["file,label,comment", "a.wav,x,", 'b.wav,y,"loud', "c.wav,x,", "d.wav,y,"]
    (tmp_path / "calls.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"calls\.csv, line 3 .* quote"):
        own.load(tmp_path / "calls.csv")


@pytest.mark.skipif(sys.platform == "darwin", reason="names are always UTF-8 there")
def test_a_name_that_is_not_utf_8_is_an_error(tmp_path):
    for label in "xy":
        for number in range(3):
            write_sound(tmp_path / label / f"{number}.wav")
    os.rename(tmp_path / "x" / "0.wav", os.fsencode(tmp_path) + b"/x/caf\xe9.wav")
    with pytest.raises(InputError, match=r"caf\\xe9\.wav.* is not UTF-8.*convmv"):
        own.load(tmp_path)


@pytest.mark.parametrize("copy", [shutil.copy, os.link, os.symlink])
def test_a_copy_of_a_recording_is_the_same_recording(tmp_path, copy):
    root = write_classes(tmp_path / "calls", x=4, y=4)
    first = sorted((root / "x").iterdir())[0]
    copy(first, root / "x" / "copy.wav")
    clips = own.load(root)
    groups = dict(zip(clips.keys.tolist(), clips.groups.tolist(), strict=True))
    assert groups["x/copy.wav"] == groups[f"x/{first.name}"]
    assert len(set(groups.values())) == 8
    copy(first, root / "y" / "other.wav")
    with pytest.raises(InputError, match="are the same recording in two class folders"):
        own.load(root)
