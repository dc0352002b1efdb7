"""Windows of one length: selections widened and cut, and what lies between them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tfhier.data.folder import segments, windows
from tfhier.data.folder.selections import Row
from tfhier.errors import InputError

FILE = Path("a.wav")


def row(labels, *span, file=FILE, **more):
    """A row; `labels` are separated by spaces."""
    where = f"line {more.pop('line', 1)}"
    return Row(where, Path(file), tuple(sorted(labels.split())), span or None, **more)


def spans(*rows, seconds=3.0, length=20.0):
    clips, _ = windows.cut(rows, {row.file: length for row in rows}, seconds)
    return [clip.span for clip in clips]


# -- Widened and cut -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "length", "expected"),
    [
        ((10, 11), 20, (9, 12)),  # centred
        ((0.2, 1), 20, (0, 3)),  # moved in at the start
        ((19, 19.5), 20, (17, 20)),  # and at the end
        ((19, 19.5), None, (17.75, 20.75)),  # of unknown length: taken at its word
        ((0.5, 1), 2, (0, 2)),  # a short file stays whole
        ((0.5, 2.5), 3, (0, 3)),
        ((5, 8), 20, (5, 8)),
        ((5, 8.04), 20, (5.02, 8.02)),  # a rounded time is not another window
    ],
)
def test_a_short_selection_is_widened_inside_its_file(span, length, expected):
    (found,) = spans(row("x", *span), length=length)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((1, 7), [(1, 4), (4, 7)]),
        ((1, 8), [(1, 4), (4, 7), (5, 8)]),  # the last ends where the selection ends
        ((1, 4.5), [(1, 4), (1.5, 4.5)]),
        ((0, 20), [(0, 3), (3, 6), (6, 9), (9, 12), (12, 15), (15, 18), (17, 20)]),
    ],
)
def test_a_long_selection_is_cut_side_by_side(span, expected):
    clips, notes = windows.cut(
        [row("x y", *span, part="test", group="g", condition="c")], {FILE: 20.0}, 3.0
    )
    np.testing.assert_allclose([clip.span for clip in clips], expected)
    for clip in clips:
        assert (clip.labels, clip.part) == (("x", "y"), "test")
        assert (clip.group, clip.condition) == ("g", "c")
    assert notes == [
        f"1 selections are longer than 3 s and were cut into {len(expected)} clips."
    ]


@pytest.mark.parametrize("seconds", [0.7, 1.0, 2.35])
def test_windows_are_of_one_length_in_the_file_and_cover_selections(rng, seconds):
    starts = rng.uniform(0, 15, 100)
    rows = [
        row("x", start, start + length)
        for start, length in zip(starts, rng.uniform(0.01, 5, 100), strict=True)
    ]
    lengths = {FILE: 20.0}
    for selection in rows:
        clips, _ = windows.cut([selection], lengths, seconds)
        ends = np.array([clip.span for clip in clips])
        np.testing.assert_allclose(np.ptp(ends, axis=1), seconds)
        assert ends.min() >= 0
        assert ends.max() <= 20 + 1e-9
        assert ends[0, 0] <= selection.span[0] + segments.TOLERANCE_SECONDS
        assert ends[-1, 1] >= selection.span[1] - segments.TOLERANCE_SECONDS
        # Side by side: nothing of it is left out, and no more than it takes.
        assert (ends[1:, 0] <= ends[:-1, 1] + segments.TOLERANCE_SECONDS).all()
        assert len(ends) <= np.ptp(selection.span) // seconds + 1


def test_whole_files_are_left_whole_and_no_length_changes_nothing():
    whole = row("x", 0.0, 20.0, is_whole=True)
    assert spans(whole, row("y", 1, 2)) == [(0, 20), (0, 3)]
    assert spans(row("x")) == [None]
    rows = [row("x", 1, 2), row("y", 0, 19)]
    assert windows.cut(rows, {FILE: 20.0}, None) == (rows, [])


def test_windows_that_fall_together_are_one_clip():
    rows = [row("x", 0.2, 0.5), row("y", 0.8, 1.2), row("", 1.3, 1.4), row("x", 5, 6)]
    clips, notes = windows.cut(rows, {FILE: 20.0}, 3.0)
    assert [(clip.span, clip.labels) for clip in clips] == [
        ((0, 3), ("x", "y")),
        ((4, 7), ("x",)),
    ]
    assert notes[0].startswith("4 selections are shorter than 3 s")
    assert notes[1].startswith("2 selections lie in the same 3 s as another one")
    with pytest.raises(InputError, match="line 2 gives the part 'test' .* 'train'"):
        spans(
            row("x", 0.2, 0.5, part="train"),
            row("y", 0.8, 1.2, part="test", line=2),
        )


# -- Labels of neighbours --------------------------------------------------------------


def states(*rows, seconds=3.0, length=20.0, labels="xyz"):
    """Window -> labels as a string: + there, - not there, ? unobserved; the notes."""
    clips, _ = windows.cut(rows, {FILE: length}, seconds)
    targets, observed, notes = segments.label(
        clips, tuple(labels), selections=rows, clip_seconds=seconds
    )
    assert not targets[~observed].any()
    signs = np.where(observed, np.where(targets > 0, "+", "-"), "?")
    return ["".join(line) for line in signs.tolist()], notes


def test_a_short_neighbour_wholly_or_half_in_the_window_is_there():
    # The windows are 9 to 12 s, and 10.5 to 13.5, 11.5 to 14.5 and so on.
    assert states(row("x", 10, 11), row("y", 11.2, 11.4))[0][0] == "++-"
    assert states(row("x", 10, 11), row("y", 11.5, 12.5))[0][0] == "++-"
    got, notes = states(row("x", 10, 11), row("y", 11.6, 12.6))
    assert got == ["+?-", "?+-"]  # x is in 10.6 to 13.6 by 0.4 of its 1 s
    assert "2 clips overlap selections of other labels: 0 carry" in notes[0]
    assert states(row("x", 10, 11), row("y", 12.0005, 13))[0][0] == "+--"


def test_a_long_neighbour_is_there_if_it_fills_half_of_the_window():
    # x's window is 9 to 12; y is 8 s long, so half of itself never lies in it.
    assert states(row("x", 10, 11), row("y", 10.5, 18.5))[0][0] == "++-"
    assert states(row("x", 10, 11), row("y", 10.6, 18.6))[0][0] == "+?-"
    # Two of one label that fill half of it together do so too.
    pair = (row("y", 4, 9.8), row("y", 11.3, 17))
    assert states(row("x", 10, 11), *pair)[0][0] == "++-"
    pair = (row("y", 4, 9.8), row("y", 11.4, 17))
    assert states(row("x", 10, 11), *pair)[0][0] == "+?-"


def test_what_is_near_a_call_decides_a_selection_without_a_label():
    got, _ = states(row("", 10, 11), row("x", 11.2, 11.6), row("y", 11.8, 13.8))
    assert got[0] == "+?-"


def test_a_long_selection_gives_its_pieces_only_what_they_hold():
    got, _ = states(row("x", 0, 9), row("y", 3.5, 4))
    assert got == ["+--", "++-", "+--", "++-"]  # the last is y's own, 2.25 to 5.25


def test_of_a_whole_file_half_counts_as_without_windows():
    whole = row("x", 0.0, 20.0, is_whole=True)
    assert states(whole, row("y", 10, 11))[0] == ["+?-", "++-"]
    assert states(row("x", 0.0, 2.5, is_whole=True), row("y", 1, 1.2), length=2.5)[
        0
    ] == ["++-"]


def test_windows_match_a_count_on_a_fine_grid(rng):
    """An oracle: sample at 1,000 places a second and count, by the rule's words."""
    ticks, seconds, length = 1000, 2.0, 20.0
    for _ in range(20):
        firsts = rng.integers(0, 75, 8) / 4
        lasts = np.minimum(firsts + rng.integers(1, 24, 8) / 4, length)
        names = rng.choice(list("xyz"), 8).tolist()
        rows = [
            row(name, float(first), float(last))
            for name, first, last in zip(names, firsts, lasts, strict=True)
        ]
        clips, _ = windows.cut(rows, {FILE: length}, seconds)
        expected = []
        for clip in clips:
            in_clip = np.zeros(round(length * ticks), bool)
            in_clip[round(clip.span[0] * ticks) : round(clip.span[1] * ticks)] = True
            text = ""
            for name in "xyz":
                heard, is_half_in = np.zeros_like(in_clip), False
                for other in (r for r in rows if name in r.labels):
                    first, last = (round(at * ticks) for at in other.span)
                    heard[first:last] = True
                    is_half_in |= in_clip[first:last].mean() >= 0.499
                share = heard[in_clip].mean()
                is_there = name in clip.labels or share >= 0.499 or is_half_in
                text += "+" if is_there else "?" if share > 0.001 else "-"
            expected.append(text)
        assert states(*rows, seconds=seconds)[0] == expected


# -- Between selections ----------------------------------------------------------------


@pytest.fixture
def recordings(tmp_path):
    """Three silent recordings of 20, 20 and 100 s, and one of unknown length."""
    for name, seconds in (("a", 20), ("b", 20), ("c", 100)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(seconds * 100), 100)
    (tmp_path / "unknown.wav").touch()
    return tmp_path


def gaps(rows, empty=(), *, seconds=3.0, most=1000):
    clips, notes = windows.gaps(
        rows, empty, seconds=seconds, most=most, label="background"
    )
    assert all(clip.labels == ("background",) for clip in clips)
    return clips, notes


def test_gaps_are_half_a_second_from_any_selection(recordings):
    file = recordings / "a.wav"
    rows = [row("x", 4.5, 6, file=file), row("", 10, 13.5, file=file)]
    clips, notes = gaps(rows)
    # 0 to 4, 6.5 to 9.5 and 14 to 20: what is left over lies around windows evenly.
    np.testing.assert_allclose(
        [clip.span for clip in clips], [(0.5, 3.5), (6.5, 9.5), (14, 17), (17, 20)]
    )
    assert notes == [
        "4 clips of 3 s from between the selections of 1 recordings are labelled "
        "'background'."
    ]


def test_gaps_never_touch_a_selection_or_each_other(recordings, rng):
    file = recordings / "c.wav"
    starts = rng.uniform(0, 95, 12)
    rows = [
        row("x", start, start + length, file=file)
        for start, length in zip(starts, rng.uniform(0.1, 5, 12), strict=True)
    ]
    clips, _ = gaps(rows, seconds=1.5)
    assert len(clips) > 10
    ends = np.array([clip.span for clip in clips])
    assert ends.min() >= 0
    assert ends.max() <= 100
    assert (np.diff(ends.ravel()) >= -1e-9).all()
    for selection in rows:
        start, end = selection.span
        distance = np.maximum(start - ends[:, 1], ends[:, 0] - end)
        assert distance.min() >= 0.5 - 1e-9


def test_every_recording_gives_its_share_from_all_of_its_length(recordings):
    rows = [row("x", 9, 10, file=recordings / f"{name}.wav") for name in "abc"]
    clips, _ = gaps(rows, most=18)
    firsts = {
        name: [clip.span[0] for clip in clips if clip.file.stem == name]
        for name in "abc"
    }
    # a and b have 5 places each, c has 31; an even share would be 6.
    assert [len(found) for found in firsts.values()] == [5, 5, 8]
    assert firsts["c"][0] < 12
    assert firsts["c"][-1] > 85
    assert np.diff(firsts["c"]).max() < 20
    again, _ = gaps(rows, most=18)
    assert again == clips
    # Fewer than recordings: not the first of them.
    assert [clip.file.stem for clip in gaps(rows, most=1)[0]] == ["b"]
    assert len(gaps(rows, most=40)[0]) == 40
    assert len(gaps(rows)[0]) == 41


def test_a_recording_without_a_selection_is_all_gap(recordings):
    clips, _ = gaps(
        [row("x", 0, 20, file=recordings / "a.wav")], [recordings / "b.wav"]
    )
    assert {clip.file.name for clip in clips} == {"b.wav"}
    np.testing.assert_allclose(
        [clip.span[0] for clip in clips], 2 / 7 + np.arange(6) * (3 + 2 / 7)
    )
    assert {clip.group for clip in clips} == {""}


def test_a_gap_is_of_the_nearest_selections_part_group_and_condition(recordings):
    file = recordings / "c.wav"
    rows = [
        row("x", 0, 60, file=file, part="train", group="g", condition="near"),
        row("x", 90, 91, file=file, part="test", group="g", condition="far"),
    ]
    clips, _ = gaps(rows)
    near = [clip for clip in clips if clip.span[1] <= 75]
    far = [clip for clip in clips if clip.span[0] >= 76]
    assert {(c.part, c.group, c.condition) for c in near} == {("train", "g", "near")}
    assert {(c.part, c.group, c.condition) for c in far} == {("test", "g", "far")}


def test_selections_of_another_name_of_the_file_count(recordings):
    (recordings / "link.wav").symlink_to(recordings / "a.wav")
    rows = [
        row("x", 0, 9, file=recordings / "a.wav"),
        row("x", 9, 16, file=recordings / "link.wav"),
    ]
    assert [clip.span for clip in gaps(rows)[0]] == [pytest.approx((16.75, 19.75))]


def test_files_of_unknown_length_are_skipped_and_named(recordings):
    rows = [
        row("x", 1, 2, file=recordings / f"{name}.wav") for name in ("a", "unknown")
    ]
    clips, notes = gaps(rows)
    assert {clip.file.name for clip in clips} == {"a.wav"}
    assert notes[1] == (
        "1 recordings are of unknown length and give none: unknown.wav."
    )
    with pytest.raises(InputError, match=r"none of 1 .*\(1 are of unknown length\)"):
        gaps(rows[1:])


def test_no_gap_at_all_is_said(recordings):
    rows = [row("x", 3, 17.4, file=recordings / "a.wav")]
    with pytest.raises(InputError, match=r"none of 1 recordings has 3 s that lie 0\.5"):
        gaps(rows)
    assert len(gaps(rows, seconds=2.5)[0]) == 1
