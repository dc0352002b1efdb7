"""One recording, or a stream without end, to events.

    blocks -> windows -> scores of windows -> scores of slots -> medians -> events

Every step takes what the one before it yields, so that memory does not grow with the
recording and events come as they end. A window is computed alone: its scores do not
depend, in any bit, on blocks, on other windows or on how many processes share the work.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tfhier.detect.options import Options
from tfhier.event_finder import EventFinder, smooth
from tfhier.events import Event, Heard
from tfhier.recordings import Recording


class Detector:
    """Finds events by a saved tagger.

    Args:
        tagger: `tfhier.runtime.LoadedTagger`.
        options: Options.

    Raises:
        InputError: An option does not fit the model, see `Options`.
    """

    def __init__(self, tagger, options: Options):
        self._tagger = tagger
        self._options = options
        self.windowing = options.windowing(tagger.contract)
        self._thresholds = options.thresholds(tagger.contract)

    @property
    def sample_rate(self) -> int:
        """Of the sound that is heard, in Hz."""
        return self._tagger.sample_rate

    def events(self, blocks: Iterable[np.ndarray]) -> Iterator[Event]:
        """Yield the events of sound, each when nothing to come can change it.

        Args:
            blocks: float32 arrays (samples,), one after the other, at the model's rate.
        """
        finder = EventFinder(
            self._tagger.taxonomy,
            self._thresholds,
            self._options,
            hop=self.windowing.hop,
            sample_rate=self._tagger.sample_rate,
        )
        counter = _Counter(blocks)
        for slot, scores in enumerate(self._scores_over_time(counter)):
            # The last windows reach beyond the sound.
            if counter.is_over and slot >= self.windowing.num_slots(
                counter.num_samples
            ):
                break
            yield from finder.push(scores)
        yield from finder.finish(counter.num_samples)

    def _scores_over_time(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield scores (labels of all levels,) of slots."""
        scores = map(self._scores, self.windowing.stream(blocks))
        slots = self.windowing.slots(scores, combine=self._options.combine)
        return smooth(slots, self._options.smooth_slots)

    def _scores(self, window: np.ndarray) -> np.ndarray:
        found = self._tagger.window_scores(window)
        return np.concatenate([found[level] for level in self._tagger.levels])


def hear(detector: Detector, file: Path) -> Heard:
    """Return the events of a recording.

    Raises:
        AudioError: It cannot be read to its end.
    """
    with Recording(file) as recording:
        blocks = recording.blocks(sample_rate=detector.sample_rate)
        events = sorted(detector.events(blocks), key=lambda each: each.order)
        return Heard(
            file=file,
            seconds=recording.seconds,
            sample_rate=recording.source_rate,
            events=tuple(events),
        )


class _Counter:
    """Blocks of sound, counted as they pass."""

    def __init__(self, blocks: Iterable[np.ndarray]):
        self._blocks = blocks
        self.num_samples = 0
        self.is_over = False

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self.num_samples += len(block)
            yield block
        self.is_over = True
