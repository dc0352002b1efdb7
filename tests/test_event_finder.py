"""Events from scores over time: by their definition, on random scores and by hand."""

import numpy as np
import pytest

from tfhier.errors import InputError
from tfhier.event_finder import EventFinder, Rules, smooth
from tfhier.taxonomy import Taxonomy

TREE = Taxonomy.parse(
    "species,genus,family\n"
    "a,x,p\n"
    "b,x,p\n"
    "c,y,p\n"
    "d,z,q\n"
    "background,background,background\n"
)
LABELS = [(level, label) for level in TREE.levels for label in TREE.labels_of(level)]
HOP, RATE = 4_000, 8_000  # slots of half a second


def finder_by(rules: Rules, threshold: float = 0.5) -> EventFinder:
    thresholds = {level: (threshold,) * size for level, size in TREE.sizes.items()}
    return EventFinder(TREE, thresholds, rules, hop=HOP, sample_rate=RATE)


def found(scores: np.ndarray, rules: Rules, num_samples: int | None = None, **more):
    """Events in the order in which they are told."""
    finder = finder_by(rules, **more)
    told = [event for row in scores for event in finder.push(row)]
    return told + finder.finish(
        len(scores) * HOP if num_samples is None else num_samples
    )


def scores_of(num_slots: int, **spans) -> np.ndarray:
    """Scores of 0.1, but for spans: `a=[(2, 5, 0.9)]` is 0.9 in slots 2, 3 and 4."""
    scores = np.full((num_slots, len(LABELS)), 0.1)
    names = [label for _, label in LABELS]
    for label, own in spans.items():
        for first, after, value in own:
            scores[first:after, names.index(label)] = value
    return scores


def told(events) -> list[tuple]:
    return [(e.start, e.end, e.label, round(e.score, 3)) for e in events]


def runs(on: np.ndarray, gap: int) -> list[tuple[int, int]]:
    """First and last slot of runs of True, pauses of `gap` slots inside."""
    places = np.flatnonzero(on)
    if not places.size:
        return []
    pieces = np.split(places, np.flatnonzero(np.diff(places) > gap + 1) + 1)
    return [(int(each[0]), int(each[-1])) for each in pieces]


def by_definition(scores: np.ndarray, wanted: Rules, on: float) -> set[tuple]:
    """Events by the module's text, all scores at hand."""
    most = int(wanted.max_seconds * RATE / HOP) or len(scores) + 1
    gap = min(int(wanted.gap_seconds * RATE / HOP + 1e-6), most - 1)
    kept = []
    for column, (level, label) in enumerate(LABELS):  # the finest level comes first
        if label in wanted.ignored:
            continue
        place = TREE.labels_of(level).index(label)
        pieces = [
            (begin, first, min(first + most - 1, last), last)
            for begin, last in runs(scores[:, column] >= wanted.release * on, gap)
            for first in range(begin, last + 1, most)
        ]
        for begin, first, last, end in pieces:
            seconds = (end + 1 - begin) * HOP / RATE
            is_sure = scores[begin : last + 1, column].max() >= on
            if not is_sure or seconds < wanted.min_seconds:
                continue
            own = scores[first : last + 1, column]
            below = set()
            for other_level, other, begin, end, _ in kept:
                if TREE.depth_of(other_level) < TREE.depth_of(level):
                    inside = TREE.membership(other_level, level)
                    if inside[TREE.labels_of(other_level).index(other), place]:
                        below |= set(range(begin, end + 1)) & set(
                            range(first, last + 1)
                        )
            if not below or 2 * len(below) < last + 1 - first:
                kept.append((level, label, first, last, own.max()))
    return {
        (first * HOP / RATE, (last + 1) * HOP / RATE, level, label, peak)
        for level, label, first, last, peak in kept
    }


@pytest.mark.parametrize("gap_seconds", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("min_seconds", [0.0, 1.5])
@pytest.mark.parametrize("max_seconds", [0.0, 3.2, 300.0])
@pytest.mark.parametrize("release", [1.0, 0.6])
def test_events_are_those_of_the_definition(
    gap_seconds, min_seconds, max_seconds, release, rng
):
    wanted = Rules(
        gap_seconds=gap_seconds,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        release=release,
    )
    number = 0
    for length in (1, 2, 5, 60, 200):
        # Slow waves, so that there are runs of all lengths.
        noise = rng.normal(size=(length + 8, len(LABELS)))
        waves = sum(noise[shift : shift + length] for shift in range(4)) / 2
        scores = 1 / (1 + np.exp(-waves - 0.5))
        events = found(scores, wanted, threshold=0.7)
        assert {
            (e.start, e.end, e.level, e.label, e.score) for e in events
        } == by_definition(scores, wanted, 0.7)
        number += len(events)
    assert number > 10


def test_an_event_goes_on_down_to_its_release_and_needs_its_threshold():
    spans = [(2, 4, 0.45), (4, 5, 0.8), (5, 7, 0.41), (9, 12, 0.45)]
    events = found(scores_of(20, a=spans), Rules(release=0.8))
    assert told(events) == [(1.0, 3.5, "a", 0.8)]
    events = found(scores_of(20, a=spans), Rules(release=1.0))
    assert told(events) == [(2.0, 2.5, "a", 0.8)]


def test_a_pause_no_longer_than_the_gap_does_not_end_it():
    scores = scores_of(20, a=[(2, 4, 0.9), (6, 7, 0.6), (10, 11, 0.7)])
    assert told(found(scores, Rules(gap_seconds=1.0))) == [
        (1.0, 3.5, "a", 0.9),
        (5.0, 5.5, "a", 0.7),
    ]
    assert told(found(scores, Rules(gap_seconds=0.9))) == [
        (1.0, 2.0, "a", 0.9),
        (3.0, 3.5, "a", 0.6),
        (5.0, 5.5, "a", 0.7),
    ]


@pytest.mark.parametrize("max_seconds", [0.4, 2.0, 2.5, 5.0])
@pytest.mark.parametrize("gap_seconds", [0.0, 1.5])
def test_pieces_joined_are_the_uncut_event(max_seconds, gap_seconds, rng):
    """Of every label that no level below it decides on, and that is sure at once."""
    waves = np.cumsum(rng.normal(size=(400, len(LABELS))), axis=0)
    scores = 1 / (1 + np.exp(-waves / 3))
    gap_seconds = min(gap_seconds, max_seconds - 0.4)
    plain = {"gap_seconds": gap_seconds, "min_seconds": gap_seconds, "release": 1.0}
    species = TREE.labels_of("species")
    whole = {label: [] for label in species}
    joined = {label: [] for label in species}
    for event in found(scores, Rules(**plain, max_seconds=0.0)):
        if event.level == "species":
            whole[event.label].append((event.start, event.end, event.score))
    num_pieces = 0
    for event in found(scores, Rules(**plain, max_seconds=max_seconds)):
        if event.level != "species":
            continue
        num_pieces += 1
        assert event.end - event.start <= max(max_seconds, HOP / RATE)
        own = joined[event.label]
        if own and own[-1][1] == event.start:
            start, _, score = own.pop()
            own.append((start, event.end, max(score, event.score)))
        else:
            own.append((event.start, event.end, event.score))
    assert joined == whole
    assert num_pieces > sum(map(len, whole.values())) > 0


def test_a_sound_without_end_is_told_in_pieces():
    finder = finder_by(Rules(gap_seconds=0.5, max_seconds=2.0))
    scores = scores_of(30, a=[(3, 30, 0.9)], x=[(3, 30, 0.9)], p=[(2, 30, 0.9)])
    scores[5, LABELS.index(("species", "a"))] = 0.95
    when = [
        (slot, event.start, event.end, event.label, event.score)
        for slot, row in enumerate(scores)
        for event in finder.push(row)
    ]
    assert when[:3] == [
        (7, 1.5, 3.5, "a", 0.95),  # in the slot behind it
        (11, 3.5, 5.5, "a", 0.9),
        (15, 5.5, 7.5, "a", 0.9),
    ]
    assert {label for *_, label, _ in when} == {"a"}


def test_what_may_become_an_event_holds_nothing_back_for_ever():
    """A species that stays below its threshold, and never ends."""
    finder = finder_by(Rules(max_seconds=2.0))
    scores = scores_of(40, a=[(1, 40, 0.45)], p=[(3, 5, 0.8), (20, 40, 0.8)])
    when = [
        (slot, event.start, event.end, event.label)
        for slot, row in enumerate(scores)
        for event in finder.push(row)
    ]
    assert when[0] == (5, 1.5, 2.5, "p")
    assert [told[1:3] for told in when[1:]] == [(10, 12), (12, 14), (14, 16), (16, 18)]


def test_pieces_before_the_first_sure_one_are_left_out():
    scores = scores_of(14, a=[(1, 6, 0.45), (6, 7, 0.8), (7, 12, 0.42)])
    events = found(scores, Rules(max_seconds=2.0, min_seconds=1.9))
    assert told(events) == [
        (2.5, 4.5, "a", 0.8),
        (4.5, 6.0, "a", 0.42),  # the rest of a long event may be short
    ]


def test_the_finer_level_counts_where_it_is_sure():
    scores = scores_of(
        30,
        a=[(2, 4, 0.9)],
        x=[(1, 5, 0.8), (10, 16, 0.8)],
        p=[(0, 6, 0.7), (9, 17, 0.95), (20, 23, 0.6)],
        b=[(11, 13, 0.9)],
    )
    events = found(scores, Rules())
    assert told(sorted(events, key=lambda each: each.start)) == [
        (0.0, 3.0, "p", 0.7),  # the species is a third of it
        (1.0, 2.0, "a", 0.9),  # and half of its genus
        (5.0, 8.0, "x", 0.8),  # which is most of the next family
        (5.5, 6.5, "b", 0.9),
        (10.0, 11.5, "p", 0.6),
    ]
    by_label = {(e.label, e.start): e for e in events}
    assert by_label["a", 1.0].labels == {"species": "a", "genus": "x", "family": "p"}
    assert by_label["a", 1.0].remark == ""
    last = by_label["p", 10.0]
    assert last.labels == {"species": "", "genus": "", "family": "p"}
    assert last.remark == "species and genus uncertain"


def test_labels_of_nothing_are_no_events():
    scores = scores_of(9, background=[(0, 9, 0.99)])
    assert found(scores, Rules()) == []
    assert [e.label for e in found(scores, Rules(ignored=()))] == ["background"]


def test_an_event_at_the_end_ends_with_the_sound():
    scores = scores_of(5, a=[(3, 5, 0.9)])
    (event,) = found(scores, Rules(), num_samples=4 * HOP + 1_000)
    assert (event.start, event.end) == (1.5, (4 * HOP + 1_000) / RATE)


def test_an_event_is_told_when_nothing_can_change_it():
    finder = finder_by(Rules(gap_seconds=0.5))
    scores = scores_of(20, a=[(2, 4, 0.9)], p=[(1, 9, 0.8)], d=[(3, 15, 0.6)])
    when = {
        event.label: slot
        for slot, row in enumerate(scores)
        for event in finder.push(row)
    }
    assert when == {"a": 5, "p": 10, "d": 16}


def test_ends_of_runs_that_are_not_sure_hold_nothing_back():
    """A species that stays below its threshold decides nothing on its family."""
    scores = scores_of(12, a=[(2, 9, 0.45)], p=[(1, 5, 0.8)])
    assert told(found(scores, Rules())) == [(0.5, 2.5, "p", 0.8)]


@pytest.mark.parametrize("num_slots", [1, 3, 7])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 9])
def test_running_medians_are_over_what_there_is(num_slots, length, rng):
    slots = rng.random((length, 3))
    reach = num_slots // 2
    expected = [
        np.median(slots[max(0, at - reach) : at + reach + 1], axis=0)
        for at in range(length)
    ]
    found = list(smooth(slots, num_slots))
    assert len(found) == length
    for each, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(each, wanted)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"release": 0.0}, "share of its threshold, .* Received: 0"),
        ({"release": 1.1}, "Received: 1.1"),
        ({"smooth_slots": 2}, "odd number of scores.* Received: 2"),
        ({"smooth_slots": 0}, "Received: 0"),
        ({"gap_seconds": -1.0}, "gap_seconds is 0 or more. Received: -1"),
        ({"min_seconds": float("nan")}, "min_seconds is 0 or more. Received: nan"),
        ({"max_seconds": float("inf")}, "max_seconds is 0 or more. Received: inf"),
        ({"max_seconds": 1.0, "gap_seconds": 1.0}, "1 is to be above .* gap_seconds 1"),
        ({"min_seconds": 400.0}, "300 is to be above min_seconds 400"),
    ],
)
def test_rules_of_no_sense_are_refused(changes, match):
    with pytest.raises(InputError, match=match):
        Rules(**changes)
