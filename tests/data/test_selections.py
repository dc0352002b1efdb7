"""Tables of selections: CSV in its dialects, overlapping labels."""

import zlib

import numpy as np
import pytest
import soundfile

from tfhier.data.folder import segments, selections
from tfhier.data.folder.selections import Row
from tfhier.errors import InputError


def write_sound(path, seconds=4.0, rate=8000, **options):
    """Write quiet noise; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Equal files would be one recording.
    rng = np.random.default_rng(zlib.crc32(f"{path.parent.name}/{path.name}".encode()))
    sound = 0.1 * rng.standard_normal(round(seconds * rate))
    soundfile.write(path, sound, rate, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder with three recordings of 4 s."""
    for name in ("a.wav", "b.flac", "site/c.wav"):
        write_sound(tmp_path / name)
    return tmp_path


def write_text(folder, text, encoding="utf-8"):
    """Write a table beside the recordings; return its path."""
    (folder / "table.csv").write_bytes(text.encode(encoding))
    return folder / "table.csv"


def read(folder, text, encoding="utf-8"):
    """Write a table beside the recordings and read it."""
    return selections.read_csv(write_text(folder, text, encoding))


# -- CSV -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_every_dialect_says_the_same(folder, delimiter, end, encoding):
    lines = (
        ("File", " START ", "end", "Label", "Part", "recording", "condition"),
        ("a.wav", "0.5", "1.75", "gibbon | crow", "TRAIN", "night 1", "0 dB"),
        ("site/../b.flac", "", "", "", "Val", "", ""),
        ("",) * 7,
        ("./site/c.wav", "2", "3", "Jäger", "testing", "night 2", ""),
    )
    text = end.join(delimiter.join(cells) for cells in lines) + end
    first, second, third = read(folder, text, encoding=encoding)
    assert first == Row(
        where=f"{folder / 'table.csv'}, line 2",
        file=folder / "a.wav",
        labels=("crow", "gibbon"),
        span=(0.5, 1.75),
        part="train",
        group="night 1",
        condition="0 dB",
    )
    assert (second.file, second.labels, second.span) == (folder / "b.flac", (), None)
    assert (second.part, second.group) == ("validation", "")
    assert (third.file, third.labels) == (folder / "site" / "c.wav", ("Jäger",))
    assert (third.part, third.where[-7:]) == ("test", " line 5")


@pytest.mark.parametrize(
    "header",
    [
        "filename,species,begin,end",
        "path,class,onset,offset",
        "File Path,Annotation,Begin Time (s),End Time (s)",
        "audio,category,start_seconds,end_s",
        "file,label,start,end,path,notes",  # the plain name wins
        "file,Call type,start,end,call_notes",
        "file,Sp,begin,end,id",
        "file,species,start,end,type",  # a common name before a rare one
    ],
)
def test_columns_have_common_other_names(folder, header):
    (row,) = read(folder, f"{header}\na.wav,crow,1,2\n")
    assert (row.file, row.labels, row.span) == (folder / "a.wav", ("crow",), (1, 2))


def test_a_decimal_comma_is_known_where_commas_do_not_separate(folder):
    (row,) = read(folder, "file;label;start;end\na.wav;crow;0,5;1,25\n")
    assert row.span == (0.5, 1.25)
    with pytest.raises(InputError, match="line 2: '0,5' is not a time in seconds"):
        read(folder, 'file,label,start,end\na.wav,crow,"0,5",1\n')


def test_quotes_hold_separators_and_lines(folder):
    (row,) = read(folder, 'file,label\n"a.wav","crow, hooded"\n')
    assert row.labels == ("crow, hooded",)


def test_paths_of_windows_and_absolute_paths_are_found(folder):
    text = f"file,label\nsite\\c.wav,x\n{folder / 'a.wav'},y\n"
    assert [row.file for row in read(folder, text)] == [
        folder / "site" / "c.wav",
        folder / "a.wav",
    ]


def test_the_column_of_labels_can_be_named(folder):
    text = "file,label,Field  note\na.wav,x,y\n"
    (row,) = selections.read_csv(write_text(folder, text), label_column="field  NOTE")
    assert row.labels == ("y",)
    with pytest.raises(InputError, match=r"no column 'note'\. It has: file, label, Fi"):
        selections.read_csv(folder / "table.csv", label_column="note")


def test_a_group_has_common_names_too(folder):
    for name in ("recording", "Site", "LOCATION"):
        (row,) = read(folder, f"file,label,{name}\na.wav,x,north\n")
        assert row.group == "north"
    (row,) = read(folder, "file,label,location,site\na.wav,x,far,north\n")
    assert row.group == "north"


HEADER = "file,label,start,end,part\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("name,label\na.wav,x\n", "no column 'file'. It has: name, label. Rename"),
        ("file,what\na.wav,x\n", "no column 'label'. It has: file, what"),
        ("file,label,start\na.wav,x,1\n", "has the column 'start' alone"),
        ("filename,path,label\n", "'filename' and 'path' may both be the file"),
        ("file,tag,class\n", r"may both be the label\. .* --set label_column=NAME"),
        ("file,label\na.wav,x,y\n", "line 2 has 3 cells, but there are 2 columns"),
        (HEADER + ",x,0,1,\n", "line 2 names no file"),
        (HEADER + "a.wav,x,1,,\n", "line 2 has only one of start and end"),
        (HEADER + "a.wav,x,one,2,\n", "line 2: 'one' is not a time in seconds"),
        (HEADER + "a.wav,x,2,1,\n", "the end must be after the start. .* 2 to 1"),
        (HEADER + "a.wav,x,1,1,\n", "the end must be after the start"),
        (HEADER + "a.wav,x,-0.1,1,\n", r"0 or more\. Received: -0\.1 to 1"),
        (HEADER + "a.wav,x,nan,1,\n", "0 or more. Received: nan to 1"),
        (HEADER + "a.wav,x,0,inf,\n", "0 or more. Received: 0 to inf"),
        (HEADER + "a.wav,x,0,nan,\n", "0 or more. Received: 0 to nan"),
        (HEADER + "a.wav,x,,,dev\n", "part is train, validation or test.*'dev'"),
    ],
)
def test_a_line_that_does_not_fit_is_named(folder, text, message):
    with pytest.raises(InputError, match=message) as error:
        read(folder, text)
    assert str(folder / "table.csv") in str(error.value)


def test_missing_files_are_counted_and_the_first_is_named(folder):
    text = "file,label\na.wav,x\nzz.wav,x\naa.wav,x\nzz.wav,y\nsite,x\n"
    with pytest.raises(InputError) as error:
        read(folder, text)
    message = str(error.value)
    assert "names 3 audio file(s) of 4 that are not there" in message
    assert f"The first: {folder / 'zz.wav'} ({folder / 'table.csv'}, line 3)" in message
    assert f"looked for in {folder}." in message


@pytest.mark.parametrize("name", ["x" * 300 + ".wav", "a\0b.wav"])
def test_names_that_no_file_can_have_are_missing_files(folder, name):
    with pytest.raises(InputError, match=r"1 audio file\(s\)|is not a table"):
        read(folder, f"file,label\n{name},x\n")


def test_another_encoding_is_refused(folder):
    with pytest.raises(InputError, match="not UTF-8 text. Save it again"):
        read(folder, "file,label\na.wav,Jäger\n", encoding="latin-1")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read(folder, "file,label\na.wav,x\n", encoding="utf-16")


# -- From rows to clips ----------------------------------------------------------------


def row(folder, labels, *span, file="a.wav", **more):
    """A row of a.wav; `labels` are separated by spaces."""
    return Row(
        where=f"line {more.pop('line', 1)}",
        file=folder / file,
        labels=tuple(sorted(labels.split())),
        span=span or None,
        **more,
    )


def states(folder, *rows, labels=("x", "y", "z")):
    """Label rows as strings: + there, - not there, ? unobserved; and the notes."""
    fitted, _ = segments.fit(rows)
    united, _ = segments.unite(fitted)
    targets, observed, notes = segments.label(united, labels)
    assert not targets[~observed].any()
    signs = np.where(observed, np.where(targets > 0, "+", "-"), "?")
    return ["".join(line) for line in signs.tolist()], notes


def test_half_of_a_clip_makes_a_label_its_own_and_less_leaves_it_open(folder):
    got, notes = states(folder, row(folder, "x", 0, 2), row(folder, "y", 1, 4))
    # y covers half of x's clip; x covers a third of y's.
    assert got == ["++-", "?+-"]
    assert notes == [
        "2 clips overlap selections of other labels: 1 carry such a label too, as it "
        "covers at least half of them, and for 1 one counts as unobserved, as it "
        "covers less."
    ]


def test_pieces_of_a_label_cover_together_and_once(folder):
    clip = row(folder, "x", 0, 4)
    apart = (row(folder, "y", 0, 1.1), row(folder, "y", 3, 4))
    assert states(folder, clip, *apart)[0][0] == "++-"
    nested = [row(folder, "y", *span) for span in ((0, 1.9), (0.1, 0.2), (1, 1.9))]
    assert states(folder, clip, *nested)[0][0] == "+?-"


def test_selections_that_touch_or_lie_in_other_files_change_nothing(folder):
    got, notes = states(
        folder,
        row(folder, "x", 0, 1),
        row(folder, "y", 0.9995, 2),
        row(folder, "z", 0, 1, file="b.flac"),
    )
    assert (got, notes) == (["+--", "-+-", "--+"], [])


def test_the_same_label_twice_is_no_conflict(folder):
    got, notes = states(folder, row(folder, "x", 0, 2), row(folder, "x", 1, 3))
    assert (got, notes) == (["+--", "+--"], [])


def test_none_of_the_labels_gives_way_to_a_selection_in_it(folder):
    got, _ = states(folder, row(folder, "", 0, 4), row(folder, "x", 1, 1.5))
    # Nothing was heard in 4 s, yet there is x: how much of it is a matter of meaning.
    assert got == ["?--", "+--"]


def test_a_whole_file_among_spans_is_its_whole_length(folder):
    rows, lengths = segments.fit([row(folder, "x"), row(folder, "y", 1, 2)])
    assert [r.span for r in rows] == [(0.0, 4.0), (1, 2)]
    assert lengths == {folder / "a.wav": 4.0}
    rows, _ = segments.fit([row(folder, "x"), row(folder, "y", file="b.flac")])
    assert [r.span for r in rows] == [None, None]


def test_labels_match_a_count_on_a_fine_grid(folder, rng):
    """An oracle: sample every clip at 4,000 places a second and count."""
    ticks = 4000
    for _ in range(20):
        cuts = np.sort(rng.integers(0, 80, (8, 2)), axis=1)
        cuts[:, 1] += 1
        cuts = np.unique(cuts, axis=0)
        names = rng.choice(list("xyz"), len(cuts)).tolist()
        rows = [
            row(folder, name, *(span / 20.5).tolist())
            for name, span in zip(names, cuts, strict=True)
        ]
        heard = np.zeros((3, 4 * ticks), bool)
        for name, span in zip(names, cuts, strict=True):
            first, last = np.round(span / 20.5 * ticks).astype(int)
            heard["xyz".index(name), first:last] = True
        expected = []
        for name, span in zip(names, cuts, strict=True):
            first, last = np.round(span / 20.5 * ticks).astype(int)
            share = heard[:, first:last].mean(axis=1)
            share["xyz".index(name)] = 1
            # Shares are fractions of at most 81 steps, so none is near these limits.
            expected.append(
                "".join("+" if s > 0.499 else "?" if s > 0.001 else "-" for s in share)
            )
        assert states(folder, *rows)[0] == expected


@pytest.mark.parametrize(("start", "end"), [(1, 4.06), (4, 4.04), (5, 6)])
def test_a_selection_beyond_its_file_is_named_with_the_length(folder, start, end):
    with pytest.raises(
        InputError, match=r"line 7: .*a\.wav, which is 4\.00 s long"
    ) as e:
        segments.fit([row(folder, "x", start, end, line=7)])
    assert f"from {start:g} to {end:g} s" in str(e.value)


def test_a_rounded_end_is_cut_to_the_file(folder):
    rows, _ = segments.fit([row(folder, "x", 3, 4.05)])
    assert rows[0].span == (3, 4.0)


def test_a_file_of_unknown_length_is_taken_at_its_word(folder):
    open_ended(folder / "open.flac")
    unknown = row(folder, "x", 1, 99, file="open.flac")
    rows, lengths = segments.fit([unknown])
    assert rows == [unknown]
    assert lengths == {folder / "open.flac": None}
    whole = row(folder, "x", file="open.flac", line=4)
    with pytest.raises(InputError, match=r"line 4: the length of .*open\.flac is not"):
        segments.fit([whole, row(folder, "y", 0, 1)])


def test_a_file_that_cannot_be_read_is_left_to_decoding(folder):
    """It is named there, or left out with --skip-bad: its times are not to blame."""
    (folder / "empty.wav").touch()
    content = (folder / "a.wav").read_bytes()
    (folder / "cut.wav").write_bytes(content[: len(content) // 2])
    rows, _ = segments.fit(
        [
            row(folder, "x", file="empty.wav"),
            row(folder, "x", 1, 99, file="empty.wav"),
            row(folder, "x", 0.1, 1.9, file="cut.wav"),
            row(folder, "y", 0, 1),
        ]
    )
    assert [r.span for r in rows[1:]] == [(1, 99), (0.1, 1.9), (0, 1)]
    assert rows[0].span[0] == 0 < rows[0].span[1]


def test_rows_of_one_span_become_one_clip(folder):
    rows = [
        row(folder, "x", 0, 1),
        row(folder, "x", 0, 1),
        row(folder, "y z", 0, 1.0001),
        row(folder, "x", 0, 1, file="b.flac"),
    ]
    united, notes = segments.unite(rows)
    assert [(r.file.name, r.labels) for r in united] == [
        ("a.wav", ("x", "y", "z")),
        ("b.flac", ("x",)),
    ]
    assert notes[0] == "1 rows repeat another one and were dropped."
    assert notes[1].startswith("1 rows give another label to the same span")
    assert segments.unite([row(folder, "x"), row(folder, "y")])[0][0].labels == (
        "x",
        "y",
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"part": "test"},
            "line 2 gives the part 'test' .* line 1, which says 'train'",
        ),
        ({"group": "b"}, "the group 'b'"),
        ({"condition": "0 dB"}, "the condition '0 dB'"),
    ],
)
def test_rows_of_one_clip_must_agree(folder, more, message):
    same = {"part": "train", "group": "a"}
    rows = [row(folder, "x", **same), row(folder, "y", line=2, **(same | more))]
    with pytest.raises(InputError, match=message):
        segments.unite(rows)


def test_a_clip_cannot_have_a_label_and_none(folder):
    with pytest.raises(InputError, match="line 2 and line 1 are the same clip"):
        segments.unite([row(folder, "x"), row(folder, "", line=2)])


@pytest.mark.parametrize(
    ("name", "rate", "subtype"),
    [("a.wav", 96000, "PCM_24"), ("b.wav", 8000, "PCM_U8"), ("c.ogg", 48000, "VORBIS")],
)
def test_lengths_are_read_from_headers(tmp_path, name, rate, subtype):
    path = write_sound(tmp_path / name, seconds=1.5, rate=rate, subtype=subtype)
    assert segments.seconds_of(path) == pytest.approx(1.5)


def open_ended(path):
    """Write a FLAC stream whose header does not tell its length."""
    content = bytearray(write_sound(path).read_bytes())
    # STREAMINFO gives the number of samples in 36 bits; 0 leaves it open.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    return path


def test_a_flac_stream_of_open_length_has_no_known_length(tmp_path):
    assert segments.seconds_of(open_ended(tmp_path / "a.flac")) is None
