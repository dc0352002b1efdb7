"""Events: what was heard from when to when, and how sure a model was of it.

Times are seconds from the start of a recording, levels and labels those of a taxonomy.
An event is told on the finest level that is sure: where a model hears a primate and no
species reaches its threshold, the event is of the level above, and its species is open.
"""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Event:
    """A sound of one label.

    Args:
        start: float >= 0. Its begin, in seconds.
        end: float > start. Its end, in seconds.
        level: str. Level of the label.
        label: str.
        score: float in [0, 1]. The highest score of the label between start and end.
        labels: dict of level -> label, for all levels of the taxonomy, finest first:
            the label, what stands above it, and "" on the levels below, which are open.
    """

    start: float
    end: float
    level: str
    label: str
    score: float
    labels: dict[str, str] = field(default_factory=dict)

    def label_on(self, level: str) -> str:
        """Return its label on a level, "" where it is open."""
        return self.label if level == self.level else self.labels.get(level, "")

    @property
    def order(self) -> tuple[float, float, str, str]:
        """What the events of a recording are sorted by."""
        return self.start, self.end, self.level, self.label

    @property
    def remark(self) -> str:
        """What is not known of it, for people: "species uncertain"; "" for nothing."""
        open_levels = [level for level, label in self.labels.items() if not label]
        return f"{' and '.join(open_levels)} uncertain" if open_levels else ""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was heard in one recording.

    Args:
        file: Path of the recording, as it was found.
        seconds: float. Its length.
        sample_rate: int. Its own, in Hz; nothing above half of it is in it.
        events: Tuple of Event, sorted by their `order`.
    """

    file: Path
    seconds: float
    sample_rate: int
    events: tuple[Event, ...]
