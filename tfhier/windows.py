"""Long sound in windows, and scores of windows as scores over time.

Sound is heard in windows of a fixed length, a hop apart, the first at the start; the
last is filled up with zeros, so that they cover all of it. Time itself is divided into
*slots* of one hop: a slot's score is the mean, or the maximum, over the windows that
hold its middle. Everything is counted in samples from the start and does not depend on
the blocks in which sound comes, nor does anything drift.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tfhier.errors import InputError

# How the scores of several windows become one: of arrays (windows, labels).
COMBINATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda scores: scores.mean(axis=0),
    "max": lambda scores: scores.max(axis=0),
}


@dataclass(frozen=True, kw_only=True)
class Windowing:
    """How long sound is heard.

    Args:
        length: int > 0. Samples of a window.
        hop: int in [1, length]. Samples from window to window, and of a slot.

    Raises:
        InputError: The hop is none, or windows would leave sound out.
    """

    length: int
    hop: int

    def __post_init__(self):
        if not 1 <= self.hop <= self.length:
            raise InputError(
                "Windows follow each other without gaps: a hop is one sample or more "
                f"and at most a window. Received: hop={self.hop}, window={self.length}"
            )

    def num_windows(self, num_samples: int) -> int:
        """Return how many windows cover some samples; one at least."""
        return 1 + max(0, -(-(num_samples - self.length) // self.hop))

    def num_slots(self, num_samples: int) -> int:
        """Return how many slots some samples have, the last perhaps a part of one."""
        return -(-num_samples // self.hop)

    @property
    def num_overlapping(self) -> int:
        """How many windows hold the middle of a slot, far from both ends."""
        return -((self.hop - 2 * self.length) // (2 * self.hop))

    def cut(self, waveform: np.ndarray) -> np.ndarray:
        """Return a whole waveform (samples,) as windows (windows, length)."""
        hops = self.num_windows(len(waveform)) - 1
        padded = np.zeros(self.length + hops * self.hop, np.float32)
        padded[: len(waveform)] = waveform
        return np.lib.stride_tricks.sliding_window_view(padded, self.length)[
            :: self.hop
        ]

    def stream(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the windows (length,) of sound that comes in blocks (samples,).

        They are those of `cut`, each as soon as its last sample is there.
        """
        kept = np.zeros(0, np.float32)  # from the start of the next window on
        is_due = True  # whether the kept sound holds any that no window held
        for block in blocks:
            kept = np.concatenate((kept, block))
            while len(kept) >= self.length:
                yield kept[: self.length]
                kept = kept[self.hop :]
                is_due = len(kept) > self.length - self.hop
            is_due = is_due or len(kept) > self.length - self.hop
        if is_due:
            yield np.pad(kept, (0, self.length - len(kept)))

    def slots(
        self, scores: Iterable[np.ndarray], *, combine: str = "mean"
    ) -> Iterator[np.ndarray]:
        """Yield the scores (labels,) of slots, given those of windows in order.

        The last window gives as many slots as it may hold the middle of; a recording
        has the first `num_slots` of all that are yielded.

        Args:
            scores: Arrays (labels,), one a window.
            combine: Name of `COMBINATIONS`.
        """
        together = COMBINATIONS[combine]
        number = self.num_overlapping
        # The middle of slot k lies in the windows k - number + 1 to k.
        held: deque[np.ndarray] = deque(maxlen=number)
        count = 0
        for each in scores:
            held.append(each)
            count += 1
            yield together(np.stack(held))
        for slot in range(count, count + number - 1):
            if slot >= number:  # else no window has ended yet
                held.popleft()
            yield together(np.stack(held))
        if count and self.length % self.hop:
            yield held[-1]  # the last window may end before the middle of a slot
