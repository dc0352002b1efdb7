"""The matching rule, worked out by hand."""

import math

import pytest

from tfhier import event_metrics
from tfhier.errors import InputError
from tfhier.event_metrics import Matches
from tfhier.events import Event


def event(start, end, label, *, level="species") -> Event:
    if level == "group":
        labels = {"species": "", "group": label}
    else:
        labels = {"species": label, "group": "ape" if label == "gibbon" else "monkey"}
    return Event(
        start=start, end=end, level=level, label=label, score=0.9, labels=labels
    )


CALLS = [
    event(1.0, 2.0, "gibbon"),
    event(3.0, 4.0, "gibbon"),
    event(5.0, 6.0, "guenon"),
    event(8.0, 9.0, "mandrill"),
]
EVENTS = [
    event(1.5, 3.5, "gibbon"),  # over two calls: finds both, right once
    event(3.6, 3.7, "gibbon"),  # the second of one call: right too
    event(4.0, 4.5, "gibbon"),  # touches a call, shares no time with it
    event(5.0, 5.5, "mandrill"),  # another species of the same group
    event(7.0, 8.5, "monkey", level="group"),  # species uncertain
]


def test_calls_are_counted_for_recall_and_events_for_precision():
    found, right = event_metrics.matched(EVENTS, CALLS, level="species")
    assert found.tolist() == [True, True, False, False]
    assert right.tolist() == [True, True, False, False, False]
    assert event_metrics.count(EVENTS, CALLS, level="species") == Matches(
        num_found=2, num_calls=4, num_right=2, num_events=4
    )


def test_on_the_level_above_the_open_event_counts_and_species_do_not_matter():
    found, right = event_metrics.matched(EVENTS, CALLS, level="group")
    assert found.tolist() == [True, True, True, True]
    assert right.tolist() == [True, True, False, True, True]
    counts = event_metrics.count(EVENTS, CALLS, level="group")
    assert (counts.recall, counts.precision, counts.num_false) == (1.0, 0.8, 1)


def test_nothing_heard_and_nothing_there():
    silent = event_metrics.count([], CALLS, level="species")
    assert silent.recall == 0.0 and math.isnan(silent.precision)
    empty = event_metrics.count(EVENTS, [], level="species")
    assert math.isnan(empty.recall) and empty.precision == 0.0
    assert empty.num_false == 4
    assert event_metrics.count([], [], level="group").num_events == 0


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [
        # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (20, 20, (0.8389, 1.0)),
        (0, 0, (0.0, 1.0)),
    ],
)
def test_intervals_are_wilsons(count, total, expected):
    assert event_metrics.interval(count, total) == pytest.approx(expected, abs=5e-5)


def test_a_count_beyond_its_total_is_refused():
    with pytest.raises(InputError, match="5 of 4"):
        event_metrics.interval(5, 4)
