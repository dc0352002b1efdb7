"""Long recordings of the synthetic forest: what is planted is there, and known."""

import csv

import numpy as np
import pytest
import soundfile

from tfhier.data import folder, forest
from tfhier.data.forest import soundscapes
from tfhier.data.forest.calls import CALLS
from tfhier.data.forest.voice import RATE
from tfhier.errors import InputError


@pytest.fixture(scope="module")
def made() -> soundscapes.Soundscape:
    return soundscapes.render(120.0, seed=11, part="devel", site=3)


def test_equal_arguments_give_equal_recordings_and_others_others(made):
    again = soundscapes.render(120.0, seed=11, part="devel", site=3)
    np.testing.assert_array_equal(again.waveform, made.waveform)
    assert (again.calls, again.others) == (made.calls, made.others)
    for other in (
        {"seed": 12, "part": "devel", "site": 3},
        {"seed": 11, "part": "train", "site": 3},
        {"seed": 11, "part": "devel", "site": 4},
    ):
        assert soundscapes.render(120.0, **other).calls != made.calls


def test_every_kind_calls_as_often_and_calls_do_not_touch(made):
    assert made.waveform.shape == (120 * RATE,)
    assert made.waveform.dtype == np.float32
    assert 0.1 < np.abs(made.waveform).max() <= 1.0
    labels = [each.label for each in made.calls]
    assert sorted(labels) == sorted([*CALLS] * 2)
    for number, each in enumerate(made.calls):
        assert 15 * number + 1 <= each.start < each.end <= 15 * number + 14
        assert 0.02 <= each.end - each.start < 4.5
        assert forest.SNR[0] <= each.snr <= forest.SNR[1]
        assert 0 <= each.individual < forest.NUM_INDIVIDUALS
    assert all(0 <= each.start < each.end <= 120 for each in made.others)


def test_loud_calls_stand_out_where_the_truth_says(made):
    """Power within a loud call against the second before it."""
    loud = [each for each in made.calls if each.snr > 10]
    assert loud
    for each in loud:
        first, last = round(each.start * RATE), round(each.end * RATE)
        others = [o for o in made.others if o.end > each.start - 1]
        if any(o.start < each.end for o in others):
            continue
        inside = np.mean(made.waveform[first:last] ** 2)
        before = np.mean(made.waveform[first - RATE : first] ** 2)
        assert inside > 3 * before


def test_weather_fades_without_gaps_and_covers_every_length():
    place = forest.find_site(0, seed=1, part="devel")
    for count in (RATE, 60 * RATE + 10, 62 * RATE, 130 * RATE):
        sound = soundscapes._weather(place, count, np.random.default_rng(0))
        assert sound.shape == (count,)
        power = np.mean(sound[: count // RATE * RATE].reshape(-1, RATE) ** 2, axis=1)
        assert power.min() > 0


def test_lengths_that_hold_no_call_are_refused():
    with pytest.raises(InputError, match="a call in 7 s, 60 s in all"):
        soundscapes.render(60.0, seed=0, part="train", site=0, call_seconds=7.0)
    with pytest.raises(InputError, match="a call in 15 s, 14 s in all"):
        soundscapes.render(14.0, seed=0, part="train", site=0)


def test_windows_hold_half_of_a_call_or_are_half_filled_and_background_holds_none():
    made = soundscapes.render(60.0, seed=3, part="train", site=0, call_seconds=10.0)
    rows = soundscapes._rows(made, 60.0, 2.0, np.random.default_rng(0))
    for label, start, end in rows:
        assert 0 <= start < end <= 60
        shared = [min(end, c.end) - max(start, c.start) for c in made.calls]
        if label == "background":
            assert max(shared) <= 0 and end - start >= 2
            continue
        [own] = [n for n, seconds in enumerate(shared) if seconds > 0]
        length = made.calls[own].end - made.calls[own].start
        assert made.calls[own].label == label
        assert end - start == pytest.approx(2.0)
        assert shared[own] >= min(length, 2.0) / 2 - 0.001


def test_labelled_recordings_are_read_as_ones_own(tmp_path):
    soundscapes.write_labelled(
        tmp_path / "forest", num_recordings=(3, 2, 1), seconds=40.0
    )
    assert "SYNTHETIC" in (tmp_path / "forest" / "README.txt").read_text()
    table = tmp_path / "forest" / "labels.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    calls = [row for row in rows if row["label"] != "background"]
    assert len(calls) == 6 * 4 * 3
    groups = {(row["part"], row["group"]) for row in rows}
    assert len(groups) == 6
    assert {group for part, group in groups if part == "test"} == {"devel-0"}
    assert soundfile.info(tmp_path / "forest" / "test_000.wav").duration == 40.0
    clips = folder.load(table, clip_seconds=2.0)
    assert clips.labels == forest.LABELS
    # Background is background alone, and certain.
    quiet = clips.targets[:, 0] > 0
    assert quiet.any() and clips.observed.all()
    assert not clips.targets[quiet, 1:].any()
    np.testing.assert_allclose(np.ptp(clips.spans, axis=1), 2.0)
