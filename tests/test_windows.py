"""Windows and slots: a stream gives what the whole gives, whatever the blocks."""

import numpy as np
import pytest

from tfhier.errors import InputError
from tfhier.windows import COMBINATIONS, Windowing

SHAPES = [(1, 1), (8, 8), (8, 4), (8, 3), (9, 2), (7, 5), (12, 1), (10, 9)]


def split(waveform: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Blocks of random sizes, some of them empty."""
    cuts = np.sort(rng.integers(0, len(waveform) + 1, rng.integers(0, 9)))
    return np.split(waveform, cuts)


@pytest.mark.parametrize(("length", "hop"), SHAPES)
@pytest.mark.parametrize("num_samples", [1, 3, 7, 8, 9, 12, 13, 40, 41, 59])
def test_a_stream_has_the_windows_of_the_whole(length, hop, num_samples, rng):
    windowing = Windowing(length=length, hop=hop)
    waveform = rng.normal(size=num_samples).astype(np.float32)
    whole = windowing.cut(waveform)
    assert len(whole) == windowing.num_windows(num_samples)
    for _ in range(5):
        found = list(windowing.stream(split(waveform, rng)))
        np.testing.assert_array_equal(np.stack(found), whole)


@pytest.mark.parametrize(("length", "hop"), SHAPES)
def test_windows_cover_all_sound_and_no_window_holds_none(length, hop):
    windowing = Windowing(length=length, hop=hop)
    for num_samples in range(1, 60):
        number = windowing.num_windows(num_samples)
        assert (number - 1) * hop + length >= num_samples
        if number > 1:  # without the last one something would be left out
            assert (number - 2) * hop + length < num_samples


def by_hand(windowing, scores, slot, combine):
    """A slot's score by its definition: of the windows that hold its middle."""
    middle = (slot + 0.5) * windowing.hop
    holding = [
        each
        for place, each in enumerate(scores)
        if place * windowing.hop <= middle < place * windowing.hop + windowing.length
    ]
    return COMBINATIONS[combine](np.stack(holding or [scores[-1]]))


@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize(("length", "hop"), SHAPES)
def test_a_slot_is_told_by_the_windows_that_hold_its_middle(length, hop, combine, rng):
    windowing = Windowing(length=length, hop=hop)
    for num_samples in range(1, 60):
        number = windowing.num_windows(num_samples)
        scores = rng.random((number, 2)).astype(np.float32)
        found = list(windowing.slots(scores, combine=combine))
        assert len(found) >= windowing.num_slots(num_samples)
        for slot in range(windowing.num_slots(num_samples)):
            expected = by_hand(windowing, scores, slot, combine)
            np.testing.assert_array_equal(found[slot], expected)


def test_a_slot_comes_with_the_window_that_begins_in_it():
    """Not a window later: events are told as they happen."""
    windowing = Windowing(length=9, hop=3)
    given = []
    scores = (given.append(i) or np.float32([i]) for i in range(5))
    slots = windowing.slots(scores, combine="max")
    for slot in range(5):
        assert next(slots) == slot
        assert len(given) == slot + 1


@pytest.mark.parametrize(("length", "hop"), [(4, 5), (4, 0), (0, 0), (4, -1)])
def test_windows_with_gaps_are_refused(length, hop):
    with pytest.raises(InputError, match=f"hop={hop}, window={length}"):
        Windowing(length=length, hop=hop)
