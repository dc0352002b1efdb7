"""How well events agree with calls that are known to be there.

Conventions
-----------
Events and calls are `Event`s of one recording, compared on one level. An event and a
call match if they have the same label there and share some time, however little. A call
is *found* if an event matches it, an event is *right* if it matches a call. Calls are
counted for the recall, events for the precision; so one event over two calls finds both
and is right once, and two events over one call are both right and find it once. An
event whose label is open on the level is no event of it.

A share of nothing is NaN.

Metrics
-------
* `matched`: which calls were found, and which events are right.
* `count`: how many of each, with `recall`, `precision` and false events.
* `interval`: where the share lies that a count is of, with 95 % (Wilson's score).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfhier.errors import InputError
from tfhier.events import Event

_DEVIATIONS = 1.959964  # of a normal distribution, that hold 95 % of it


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Counts on one level.

    Args:
        num_found: int. Calls that an event matches.
        num_calls: int >= num_found.
        num_right: int. Events that match a call.
        num_events: int >= num_right.
    """

    num_found: int
    num_calls: int
    num_right: int
    num_events: int

    @property
    def recall(self) -> float:
        """Share of the calls that were found; NaN without calls."""
        return self.num_found / self.num_calls if self.num_calls else math.nan

    @property
    def precision(self) -> float:
        """Share of the events that are right; NaN without events."""
        return self.num_right / self.num_events if self.num_events else math.nan

    @property
    def num_false(self) -> int:
        """Events that match no call."""
        return self.num_events - self.num_right


def matched(
    events: Sequence[Event], calls: Sequence[Event], *, level: str
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which calls were found, and which events are right.

    Args:
        events: Sequence of Event. What was heard in a recording.
        calls: Sequence of Event. What is in it.
        level: str. Level whose labels are compared.

    Returns:
        (found, right): bool (calls,) and (events,). An event whose label is open on the
        level is False.
    """
    labels, starts, ends = _columns(events, level)
    own_labels, own_starts, own_ends = _columns(calls, level)
    match = (labels[:, None] == own_labels) & (labels != "")[:, None]
    match &= (starts[:, None] < own_ends) & (own_starts < ends[:, None])
    return match.any(axis=0), match.any(axis=1)


def count(events: Sequence[Event], calls: Sequence[Event], *, level: str) -> Matches:
    """Return how many calls were found and how many events are right on a level.

    Args: as of `matched`. Events whose label is open on the level are not counted.
    """
    found, right = matched(events, calls, level=level)
    return Matches(
        num_found=int(found.sum()),
        num_calls=len(calls),
        num_right=int(right.sum()),
        num_events=sum(event.label_on(level) != "" for event in events),
    )


def interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score, for few cases too.

    Args:
        count: int in [0, total].
        total: int >= 0. Cases that do not depend on each other.

    Returns:
        (lowest, highest) share; (0, 1) without cases.

    Raises:
        InputError: The count is none of so many.
    """
    if not 0 <= count <= total:
        raise InputError(f"A count is 0 to the total. Received: {count} of {total}")
    if not total:
        return 0.0, 1.0
    share, weight = count / total, _DEVIATIONS**2 / total
    middle = share + weight / 2
    reach = math.sqrt(weight * (share * (1 - share) + weight / 4))
    low, high = (middle - reach) / (1 + weight), (middle + reach) / (1 + weight)
    # The ends are exact at no case and at all, which rounding would miss.
    return (low if count else 0.0), (high if count < total else 1.0)


def _columns(
    events: Sequence[Event], level: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels on a level, starts and ends of events as arrays."""
    return (
        np.array([event.label_on(level) for event in events], np.str_),
        np.array([event.start for event in events], np.float64),
        np.array([event.end for event in events], np.float64),
    )
