"""One's own recordings as a whole: background, windows, and what the notes say."""

import zlib

import numpy as np
import pytest
import soundfile

from tfhier.data import folder as own
from tfhier.data.folder import division
from tfhier.errors import InputError


def write_sound(path, seconds=20.0, rate=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Equal files would be one recording.
    rng = np.random.default_rng(zlib.crc32(f"{path.parent.name}/{path.name}".encode()))
    soundfile.write(path, 0.1 * rng.standard_normal(round(seconds * rate)), rate)
    return path


def write_raven(root, tables, columns=("Annotation",)):
    """Write for each name a recording of 20 s and (begin, end, *cells) as a table."""
    header = "\t".join(["Selection", "Begin Time (s)", "End Time (s)", *columns])
    for name, rows in tables.items():
        write_sound(root / f"{name}.wav")
        lines = ["\t".join(map(str, (at, *row))) for at, row in enumerate(rows)]
        table = root / f"{name}.Table.1.selections.txt"
        table.write_text("\n".join([header, *lines]) + "\n")
    return root


def write_csv(root, *rows, header="file,label,start,end"):
    for line in rows:
        write_sound(root / line.split(",")[0])
    (root / "calls.csv").write_text("\n".join([header, *rows]) + "\n")
    return root / "calls.csv"


def write_classes(root, *names):
    for name in names:
        write_sound(root / name, seconds=1)
    return root


def notes_with(clips, text):
    return [note for note in clips.notes if text in note]


def heard(clips):
    """Key -> its labels with + for there and ? for unobserved."""
    return {
        key: " ".join(
            name + ("+" if is_there else "?")
            for name, is_there, is_seen in zip(clips.labels, there, seen, strict=True)
            if is_there or not is_seen
        )
        for key, there, seen in zip(
            clips.keys.tolist(), clips.targets > 0, clips.observed, strict=True
        )
    }


# -- Settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"background": "gaps"}, "background='gaps' needs clip_seconds"),
        ({"background": "gap"}, "is one of none, gaps. Received: 'gap'"),
        ({"clip_seconds": 0.0}, "above 0. Received: 0.0"),
        ({"clip_seconds": float("nan")}, "above 0. Received: nan"),
    ],
)
def test_settings_that_fit_nothing_are_refused(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        own.load(tmp_path, **settings)


def test_class_folders_have_no_column_and_no_gaps(tmp_path):
    root = write_classes(tmp_path, "a/x.wav", "a/y.wav", "b/x.wav", "b/y.wav")
    with pytest.raises(InputError, match="label_column='What' names a column of a tab"):
        own.load(root, label_column="What")
    with pytest.raises(
        InputError, match="lies between selections, but .* has none wit"
    ):
        own.load(root, background="gaps", clip_seconds=1.0)


def test_the_settings_are_the_arguments():
    assert set(own.SETTINGS) == set(own.load.__kwdefaults__)


# -- Windows and background ------------------------------------------------------------


ONE_SPECIES = {name: [(5, 6, "gibbon"), (12, 17, "gibbon")] for name in ("r1", "r2")}


def test_one_species_and_what_lies_between_its_calls(tmp_path):
    root = write_raven(tmp_path, {**ONE_SPECIES, "quiet": []})
    with pytest.raises(InputError, match=r"'gibbon'\. .* --set background=gaps takes"):
        own.load(root)
    clips = own.load(root, clip_seconds=3.0, background="gaps")
    assert clips.labels == ("background", "gibbon")
    assert heard(clips) == {
        "r1.wav#4.000-7.000": "gibbon+",
        "r1.wav#12.000-15.000": "gibbon+",
        "r1.wav#14.000-17.000": "gibbon+",
        "r2.wav#4.000-7.000": "gibbon+",
        "r2.wav#12.000-15.000": "gibbon+",
        "r2.wav#14.000-17.000": "gibbon+",
        # r1 and r2 have two places each: 0 to 4.5 and 6.5 to 11.5.
        "r1.wav#0.750-3.750": "background+",
        "r1.wav#7.500-10.500": "background+",
        "r2.wav#0.750-3.750": "background+",
        "r2.wav#7.500-10.500": "background+",
        "quiet.wav#3.571-6.571": "background+",
        "quiet.wav#13.429-16.429": "background+",
    }
    assert (clips.max_seconds, clips.observed.all()) == (3.0, True)
    assert np.ptp(clips.spans, axis=1) == pytest.approx(3.0)
    assert clips.groups.tolist()[-1] == "quiet.wav"
    for name in ("r1.wav", "r2.wav", "quiet.wav"):
        assert len(set(clips.parts[clips.groups == name].tolist())) == 1
    assert len(notes_with(clips, "6 clips of 3 s from between")) == 1
    assert len(notes_with(clips, "2 selections are shorter")) == 1
    assert len(notes_with(clips, "2 selections are longer")) == 1
    assert not notes_with(clips, "without a call")
    assert not notes_with(clips, "several or unknown")


def test_tables_without_a_selection_and_recordings_without_a_table(tmp_path):
    calls = {name: [(1, 2, "a"), (8, 9, "b")] for name in ("r1", "r2", "r3")}
    root = write_raven(tmp_path, {**calls, "q1": [], "q2": []})
    write_sound(root / "deep" / "untold.flac")
    (root / "lost.selections.txt").write_text(
        (root / "q1.Table.1.selections.txt").read_text()
    )
    clips = own.load(root)
    assert clips.notes[0] == "The labels come from 6 Raven selection tables."
    (note,) = notes_with(clips, "table without a selection")
    assert note.startswith("2 recordings have a table without a selection and are not")
    (note,) = notes_with(clips, "no selection table")
    assert note == (
        "1 recordings have no selection table and are not used: deep/untold.flac."
    )
    (note,) = notes_with(clips, "no recording of their name")
    assert note.startswith("1 tables without a selection")
    assert note.endswith("beside them: lost.")
    clips = own.load(root, clip_seconds=3.0, background="gaps")
    assert not notes_with(clips, "table without a selection and")
    assert {"q1.wav", "q2.wav"} < set(clips.groups.tolist())


def test_gaps_join_the_background_that_is_there(tmp_path):
    path = write_csv(
        tmp_path, "r1.wav,ape,1,4", "r1.wav,Background,10,13", "r2.wav,ape,1,4",
        "r3.wav,ape,8,11", "r3.wav,,12,15",
    )  # fmt: skip
    clips = own.load(path, clip_seconds=3.0, background="gaps")
    assert clips.labels == ("Background", "ape")
    got = heard(clips)
    # There are three clips of calls, so there are three more of none.
    assert len(got) == 8
    assert list(got.values()).count("Background+") == 4
    # What is none of the labels may be more than background.
    assert got["r3.wav#12.000-15.000"] == "Background?"
    assert heard(own.load(path, clip_seconds=3.0))["r3.wav#12.000-15.000"] == ""


def test_whole_files_stay_whole_among_windows_and_have_no_gaps(tmp_path):
    path = write_csv(
        tmp_path, "r1.wav,ape,,", "r1.wav,owl,10,11", "r2.wav,ape,2,3", "r3.wav,owl,,",
        "r4.wav,owl,5,6",
    )  # fmt: skip
    clips = own.load(path, clip_seconds=3.0, background="gaps")
    got = heard(clips)
    assert got["r1.wav#0.000-20.000"] == "ape+ owl?"
    assert got["r1.wav#9.000-12.000"] == "ape+ owl+"
    assert got["r3.wav"] == "owl+"
    taken = clips.groups[clips.targets[:, 1] > 0]
    assert clips.labels[1] == "background"
    assert set(taken.tolist()) == {"r2.wav", "r4.wav"}
    assert clips.max_seconds == 20


def test_gaps_without_a_place_or_a_call_are_refused(tmp_path):
    full = write_raven(tmp_path / "full", {n: [(0, 18, n), (18, 20, n)] for n in "xy"})
    with pytest.raises(InputError, match="none of 2 recordings has 3 s"):
        own.load(full, clip_seconds=3.0, background="gaps")
    silent = write_raven(tmp_path / "silent", {"r1": [], "r2": []})
    with pytest.raises(InputError, match="no label at all"):
        own.load(silent, clip_seconds=3.0, background="gaps")


def test_gaps_take_the_group_of_their_recording(tmp_path):
    root = write_raven(
        tmp_path,
        {
            "r1": [(5, 6, "a", "north")],
            "r2": [(5, 6, "b", "north"), (8, 9, "a", "north")],
            "r3": [(5, 6, "a|b", "south")],
            "quiet": [],
        },
        columns=("Annotation", "Site"),
    )
    clips = own.load(root, clip_seconds=2.0, background="gaps")
    by_key = dict(zip(clips.keys.tolist(), clips.groups.tolist(), strict=True))
    groups = {"r1": "north", "r2": "north", "r3": "south", "quiet": "quiet.wav"}
    assert by_key == {key: groups[key.split(".")[0]] for key in by_key}
    assert len(by_key) == 8
    assert len(notes_with(clips, "has no group in its table")) == 1


def test_that_nothing_is_without_a_call_is_said(tmp_path):
    rows = ("r1.wav,a,0,1", "r2.wav,b,0,1", "r3.wav,a|b,0,1")
    (note,) = notes_with(own.load(write_csv(tmp_path / "t", *rows)), "without a call")
    assert "cannot say that there is none: --set background=gaps takes what" in note
    whole = ("r1.wav,a,,", "r2.wav,b,,", "r3.wav,a|b,,")
    (note,) = notes_with(own.load(write_csv(tmp_path / "w", *whole)), "without a call")
    assert note.endswith("there is none: give recordings labelled background.")
    names = ("a/x.wav", "a/y.wav", "b/x.wav", "b/y.wav")
    root = write_classes(tmp_path / "c", *names)
    (note,) = notes_with(own.load(root), "without a call")
    assert note.endswith("there is none: give a folder background.")
    write_classes(root, "BACKGROUND/x.wav", "BACKGROUND/y.wav")
    assert not notes_with(own.load(root), "without a call")
    more = write_csv(tmp_path / "n", *rows, "r3.wav,,5,6")
    assert not notes_with(own.load(more), "without a call")


# -- What is assumed and what is known -------------------------------------------------


def test_groups_of_the_test_part_are_named(tmp_path):
    sites = {"s1": "north", "s2": "north", "s3": "south", "s4": "east", "s5": "east"}
    rows = [
        f"{name}.wav,{label},{at},{at + 1},{site}"
        for name, site in sites.items()
        for at, label in enumerate("abab")
    ]
    path = write_csv(tmp_path, *rows, header="file,label,start,end,site")
    clips = own.load(path)
    assert notes_with(clips, "set aside") == [
        "4 of 20 clips were set aside for the test, 1 of 3 groups (1 of 5 recordings): "
        "south."
    ]
    assert not notes_with(clips, "recording of its own")
    assert notes_with(clips, "Training + test") == [
        "Training + test: a 8+2 clips of 2+1 groups, b 8+2 clips of 2+1 groups."
    ]


def test_no_more_than_eight_groups_and_twelve_labels_are_named(tmp_path):
    names = [f"{label}/{at}.wav" for label in "abcdefghijklm" for at in "12345"]
    clips = own.load(write_classes(tmp_path, *names))
    (note,) = notes_with(clips, "set aside")
    assert note.startswith("13 of 65 clips were set aside for the test, 13 of 65 rec")
    assert note.count(".wav") == 8
    assert note.endswith(" and 5 more.")
    (note,) = notes_with(clips, "Training")
    assert note.startswith("Training + test: a 4+1 clips of 4+1 recordings, b 4+1")
    assert note.endswith("l 4+1 clips of 4+1 recordings and 1 more.")


def test_files_that_count_as_recordings_are_said_to_be_assumed(tmp_path):
    names = ("a/dawn.wav", "a/noon.wav", "b/dusk.wav", "b/night.wav")
    clips = own.load(write_classes(tmp_path / "c", *names))
    assert notes_with(clips, "recording of its own") == [
        "Every file counts as a recording of its own; if some were cut from one longer "
        "recording, put them into a folder together, or give a table with a column "
        "group."
    ]
    assert not notes_with(clips, "divided")
    rows = ("r.wav,a,0,1", "s.wav,b,0,1", "t.wav,a|b,0,1")
    (note,) = notes_with(own.load(write_csv(tmp_path / "t", *rows)), "of its own")
    assert note.endswith("longer recording, give a column group.")
    # In folders together they are what the user says.
    write_classes(tmp_path / "c", "a/site/x.wav", "b/site/y.wav")
    assert not notes_with(own.load(tmp_path / "c"), "recording of its own")
    # Where all parts are given, nothing is divided by groups.
    rows = [
        f"{r},{p}" for r, p in zip(rows, ("train", "validation", "test"), strict=True)
    ]
    path = write_csv(tmp_path / "p", *rows, header="file,label,start,end,part")
    assert not notes_with(own.load(path), "recording of its own")


def test_pieces_of_a_recording_are_suspected_also_under_several_classes(tmp_path):
    names = ("a/REC_3.wav", "a/REC_12.wav", "b/REC_4.wav", "b/dusk_10.5_13.5.wav",
             "a/dusk_2_4.wav", "b/owl.wav")  # fmt: skip
    (note,) = notes_with(own.load(write_classes(tmp_path, *names)), "of its own")
    assert note.endswith(
        "The names of 5 of 6 files look like pieces of 2 recordings, such as "
        "a/REC_12.wav and a/REC_3.wav."
    )


@pytest.mark.parametrize(
    ("names", "pieces"),
    [
        ("REC_3 REC_12", 2),
        ("REC-3 REC_12", 2),
        ("REC(1) REC(2)", 0),
        ("REC_(1) REC_(2)", 2),
        ("dusk_10.5_13.5 dusk_20_23", 2),
        ("a_1_3 a_1_4 a_2_9", 2),  # pieces of a_1; a_2_9 is of a_2
        ("a_1_3 a_2_9", 2),
        ("a_3_1 a_9_2", 0),  # ends before it starts
        ("XC12345 XC12346", 0),
        ("Hylobates-lar-12345 Hylobates-lar-22346", 0),  # a collection's numbers
        ("20230512_053000 20230512_060000", 0),  # a recorder's clock
        ("P1_20230512_053000 P1_20230512_060000", 0),
        ("P1_20230512_0530 P1_20230512_0600", 0),
        ("P1_20230512_053000_1 P1_20230512_053000_2", 2),
        ("00 01 02", 0),
        ("dawn dusk", 0),
    ],
)
def test_names_that_look_like_pieces(tmp_path, names, pieces):
    files = [tmp_path / f"{name}.wav" for name in names.split()]
    found = division._alike(files, across_folders=False)
    assert sum(map(len, found)) == pieces


def test_pieces_in_a_table_are_of_one_folder(tmp_path):
    files = [tmp_path / name for name in ("p/rec_1.wav", "q/rec_2.wav")]
    assert not division._alike(files, across_folders=False)
    assert division._alike(files, across_folders=True) == [files]


# -- Labels ----------------------------------------------------------------------------


def test_labels_of_almost_one_name_are_named(tmp_path):
    names = "Great Argus|great_argus|GREATARGUS|great-argus|owl|owl s"
    path = write_csv(
        tmp_path, f"r1.wav,{names},0,1", f"r2.wav,{names},0,1", "r3.wav,,,"
    )
    (note,) = notes_with(own.load(path), "differ only in case")
    assert "GREATARGUS / Great Argus / great-argus / great_argus. Rename" in note
    assert "owl" not in note


def test_a_selection_of_a_whole_file_is_named_with_what_it_does(tmp_path):
    root = write_raven(
        tmp_path,
        {
            "r1": [(2, 5, "ape"), (8, 11, "owl"), (0, 20, "background")],
            "r2": [(2, 5, "ape"), (8, 11, "owl"), (0.04, 19.96, "background")],
            "r3": [(2, 5, "ape"), (8, 11, "owl"), (0, 19.9, "background")],
        },
    )
    for settings in ({}, {"clip_seconds": 3.0}):
        (note,) = notes_with(own.load(root, **settings), "covers the whole")
        assert note.startswith(
            "A selection of 'background' covers the whole of 2 files, so that 4 other "
            "clips of them have that label too."
        )


def test_labels_that_do_not_exclude_each_other_are_counted(tmp_path):
    rows = ["r1.wav,a,0,2", "r2.wav,b,0,2", "r3.wav,a,0,2", "r4.wav,b,0,2"]
    clips = own.load(write_csv(tmp_path / "1", *rows))
    assert not notes_with(clips, "several or unknown")
    more = ("r1.wav,,5,6", "r2.wav,a|b,5,6", "r3.wav,b,1.5,9")
    clips = own.load(write_csv(tmp_path / "2", *rows, *more))
    (note,) = notes_with(clips, "several or unknown")
    # None, several, and r3's two of which the first is open for the other's label.
    assert note.startswith("4 of 7 clips have no, several or unknown labels: UAR, rec")
    assert note.endswith("are left out; they need one label a clip.")
    rows += [f"r{number}.wav,a,5,6" for number in (1, 3, 4)]
    clips = own.load(write_csv(tmp_path / "3", *rows, "r2.wav,,5,6"))
    (note,) = notes_with(clips, "several or unknown")
    assert note.startswith("1 of 8 clips have no") and note.endswith("of the others.")


def test_where_folds_take_turns_nothing_is_set_aside(tmp_path):
    path = write_csv(
        tmp_path,
        *("r1.wav,b,0,2,north", "r2.wav,a,0,2,south", "r3.wav,b,0,2,south"),
        *("r4.wav,a,0,2,north", "r4.wav,c,3,4,north"),
        header="file,label,start,end,site",
    )
    clips = own.load(path, num_folds=2)
    assert not clips.parts.any()
    assert not notes_with(clips, "set aside")
    assert notes_with(clips, "2 groups are dealt to 2 folds, each of which is the test")
    assert notes_with(clips, "All: a 2 clips of 2 groups, b 2 clips of 2 groups")
    (note,) = notes_with(clips, "Labels of one group only")
    assert note.endswith("never trained on when they are tested: c.")
