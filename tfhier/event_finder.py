"""From scores over time to events: thresholds, hysteresis, gaps, the surest level.

A label's event is a run of slots (see `tfhier.windows`) whose scores are at or above
the label's *release*, of which at least one is at or above its *threshold*; slots below
the release for no longer than a gap do not end it. Of two levels the finer one counts:
an event of an upper level is left out where events of labels below it cover at least
half of it.

An event that outlasts the longest is told in pieces: each is as long as the longest and
the next begins where it ends. They are events like others, with a score of their own,
but the last may be shorter than the shortest event; what comes before the first piece
that is sure is left out. A stream is thus heard of in time, however long its sounds.

Scores come slot by slot, and an event is told as soon as nothing that is still to come
can change it.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfhier.errors import InputError
from tfhier.events import Event
from tfhier.taxonomy import BACKGROUND, Taxonomy


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When scores over time are an event.

    Args:
        release: float in (0, 1]. Share of the threshold down to which it goes on.
        smooth_slots: odd int > 0. Slots that a running median is taken over first.
        gap_seconds: float >= 0. Longest pause inside an event.
        min_seconds: float >= 0. Shortest event.
        max_seconds: float >= 0. Longest event, longer than the shortest and than a
            pause; counted in whole slots, one at least. 0: events end by themselves.
        ignored: Labels that are never events.

    Raises:
        InputError: A number lies outside these ranges.
    """

    release: float = 0.8
    smooth_slots: int = 1
    gap_seconds: float = 0.0
    min_seconds: float = 0.0
    max_seconds: float = 300.0  # above most calls, and a listener may wait so long
    ignored: tuple[str, ...] = (BACKGROUND,)

    def __post_init__(self):
        if not 0 < self.release <= 1:
            raise InputError(
                "An event goes on down to a share of its threshold, above 0 and at "
                f"most 1. Received: {self.release:g}"
            )
        if self.smooth_slots < 1 or self.smooth_slots % 2 == 0:
            raise InputError(
                "A running median is over an odd number of scores, so that it has a "
                f"middle. Received: {self.smooth_slots}"
            )
        for name in ("gap_seconds", "min_seconds", "max_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(
                    f"{name} is 0 or more. Received: {getattr(self, name):g}"
                )
        if 0 < self.max_seconds <= max(self.gap_seconds, self.min_seconds):
            raise InputError(
                "The longest event is longer than the shortest and than a pause inside "
                f"an event: max_seconds {self.max_seconds:g} is to be above "
                f"min_seconds {self.min_seconds:g} and gap_seconds "
                f"{self.gap_seconds:g}, or 0 for no longest."
            )


def smooth(slots: Iterable[np.ndarray], num_slots: int) -> Iterator[np.ndarray]:
    """Yield running medians of scores over time, over fewer slots at both ends.

    Args:
        slots: Arrays (labels,).
        num_slots: odd int > 0. A slot, with as many before it as after it.
    """
    reach = num_slots // 2
    held: deque[np.ndarray] = deque()
    count = 0
    for each in slots:
        held.append(each)
        count += 1
        if len(held) > num_slots:
            held.popleft()
        if count > reach:
            yield np.median(np.stack(held), axis=0)
    for slot in range(max(count - reach, 0), count):
        while len(held) > count - slot + reach:
            held.popleft()
        yield np.median(np.stack(held), axis=0)


@dataclass(frozen=True)
class _Run:
    """Slots of one label, `first` to `last`, both included, or a piece of them."""

    label: int
    first: int
    last: int
    peak: float
    is_piece: bool

    def slots(self) -> set[int]:
        return set(range(self.first, self.last + 1))


class EventFinder:
    """Finds the events of one recording, slot by slot.

    Args:
        taxonomy: Taxonomy of the scores.
        thresholds: dict of level -> floats (labels,). At or above it an event is sure.
        rules: Rules; its `smooth_slots` is not applied here, see `smooth`.
        hop: int > 0. Samples of a slot.
        sample_rate: int > 0. In Hz.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        thresholds: Mapping[str, Sequence[float]],
        rules: Rules,
        *,
        hop: int,
        sample_rate: int,
    ):
        self._hop, self._rate = hop, sample_rate
        self._rules = rules
        self._taxonomy = taxonomy
        levels = taxonomy.levels
        self._names = [(each, n) for each in levels for n in taxonomy.labels_of(each)]
        self._above = _ancestry(taxonomy)
        self._is_upper = self._above.any(axis=1)
        on = np.concatenate([np.asarray(thresholds[each]) for each in levels])
        ignored = [label in rules.ignored for _, label in self._names]
        self._on = np.where(ignored, np.inf, on)
        self._off = rules.release * self._on
        self._num_most = math.inf
        if rules.max_seconds:
            self._num_most = max(1, self._num_slots(rules.max_seconds))
        # No piece is a pause alone.
        self._num_gap = min(self._num_slots(rules.gap_seconds), self._num_most - 1)
        size = len(self._names)
        self._first = np.full(size, -1)  # -1: no run is open
        self._last = np.full(size, -1)
        self._peak = np.zeros(size)
        self._is_sure = np.zeros(size, bool)
        self._is_piece = np.zeros(size, bool)
        self._slot = 0
        self._waiting: list[_Run] = []  # of upper levels, for what is below them
        self._below: list[_Run] = []  # told, of levels below others, while they count

    def push(self, scores: np.ndarray) -> list[Event]:
        """Take the scores (labels of all levels,) of the next slot; return events."""
        slot = self._slot
        self._slot += 1
        is_on = scores >= self._off
        is_open = self._first >= 0
        # Those that go on beyond the longest event, but for a pause before this slot.
        full = is_on & is_open & (slot - self._first >= self._num_most)
        for label in np.flatnonzero(full):
            self._cut(label)
        opening = is_on & ~is_open
        self._first[opening] = slot
        self._peak[opening] = 0.0
        self._is_sure[opening] = False
        self._is_piece[opening] = False
        self._last[is_on] = slot
        self._peak[is_on] = np.maximum(self._peak, scores)[is_on]
        self._is_sure |= scores >= self._on
        ended = (self._first >= 0) & (slot - self._last > self._num_gap)
        if not (full.any() or ended.any()):
            return []
        return self._end(np.flatnonzero(ended))

    def finish(self, num_samples: int) -> list[Event]:
        """Return the events that are still open at the end of the recording."""
        return self._end(np.flatnonzero(self._first >= 0), num_samples)

    def _num_slots(self, seconds: float) -> int:
        return math.floor(seconds * self._rate / self._hop + 1e-6)

    def _cut(self, label: int) -> None:
        """Let a run be an event as far as the longest reaches, and begin anew there."""
        after = self._first[label] + self._num_most
        self._last[label] = after - 1
        self._is_piece[label] = True
        self._keep(label)
        self._first[label] = after
        self._peak[label] = 0.0

    def _keep(self, label: int) -> None:
        """Let the run of a label wait to be told, if it is sure."""
        if self._is_sure[label]:
            self._waiting.append(
                _Run(
                    int(label),
                    int(self._first[label]),
                    int(self._last[label]),
                    float(self._peak[label]),
                    bool(self._is_piece[label]),
                )
            )

    def _end(self, labels: np.ndarray, num_samples: float = math.inf) -> list[Event]:
        """End the runs of some labels; return the events that are now known."""
        for label in labels:
            self._keep(label)
            self._first[label] = -1
        found = []
        # The finest first: they decide on those above.
        for run in sorted(self._waiting, key=lambda each: (each.label, each.first)):
            if self._is_open_below(run):
                continue
            self._waiting.remove(run)
            event = self._event(run, num_samples)
            seconds = event.end - event.start
            is_long = run.is_piece or seconds >= self._rules.min_seconds - 1e-9
            if is_long and not self._is_told_below(run):
                found.append(event)
                self._below.append(run)
        self._forget()
        return sorted(found, key=lambda each: each.order)

    def _is_open_below(self, run: _Run) -> bool:
        """Whether a label below a run's may still become an event beside it."""
        below = self._above[run.label]
        reach = below & (self._first >= 0) & (self._first <= run.last)
        waiting = (below[other.label] for other in self._waiting)
        return bool(reach.any()) or any(waiting)

    def _is_told_below(self, run: _Run) -> bool:
        """Whether events of labels below a run's cover at least half of it."""
        covered: set[int] = set()
        for other in self._below:
            if self._above[run.label, other.label]:
                covered |= run.slots() & other.slots()
        return 2 * len(covered) >= run.last - run.first + 1 if covered else False

    def _forget(self) -> None:
        """Let go of events that no run of an upper level may ask for any more."""
        asking = [each.first for each in self._waiting]
        asking += self._first[self._is_upper & (self._first >= 0)].tolist()
        earliest = min(asking, default=self._slot)
        self._below = [each for each in self._below if each.last >= earliest]

    def _event(self, run: _Run, num_samples: float) -> Event:
        level, label = self._names[run.label]
        end = min((run.last + 1) * self._hop, num_samples)
        return Event(
            start=run.first * self._hop / self._rate,
            end=end / self._rate,
            level=level,
            label=label,
            score=run.peak,
            labels=self._taxonomy.lineage(level, label),
        )


def _ancestry(taxonomy: Taxonomy) -> np.ndarray:
    """Return which label of all levels (rows) is above which (columns): bool."""
    levels = taxonomy.levels
    rows = [
        [
            taxonomy.membership(lower, upper).T
            if low < high
            else np.zeros((taxonomy.sizes[upper], taxonomy.sizes[lower]), bool)
            for low, lower in enumerate(levels)
        ]
        for high, upper in enumerate(levels)
    ]
    return np.block(rows)
