"""How recordings are listened to: windows, thresholds and when scores are an event."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfhier import thresholds
from tfhier.contract import Contract
from tfhier.errors import InputError, close_names
from tfhier.event_finder import Rules
from tfhier.taxonomy import BACKGROUND
from tfhier.windows import COMBINATIONS, Windowing

# Of a model that does not say how its windows follow each other.
_OVERLAP = 0.5


@dataclass(frozen=True, kw_only=True)
class Options(Rules):
    """How recordings are listened to; what else an event is, `Rules` say.

    Args:
        window_seconds: float. Length of a window: by default (0) the model's own, or
            what it was trained on.
        overlap: float in [0, 1). Share of a window that the next one hears again: by
            default the model's own, or a half.
        combine: str. How scores of overlapping windows become one: "mean" or "max".
        threshold: float in (0, 1). In place of all thresholds of the contract.
        precision: float in (0, 1). Thresholds that gave this share of right events on
            the validation clips, in place of those with the best F1.

    Raises:
        InputError: A value lies outside these ranges, or both thresholds and a
            precision are chosen.
    """

    window_seconds: float = 0.0
    overlap: float | None = None
    combine: str = "mean"
    threshold: float | None = None
    precision: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.window_seconds < math.inf:
            raise InputError(
                "A window is some seconds long, 0 for the model's own. Received: "
                f"{self.window_seconds:g}"
            )
        if self.overlap is not None and not 0 <= self.overlap < 1:
            raise InputError(
                "Windows overlap by a share of 0 or more and less than 1. Received: "
                f"{self.overlap:g}"
            )
        if self.combine not in COMBINATIONS:
            raise InputError(
                f"Scores of overlapping windows are combined by "
                f"{' or '.join(COMBINATIONS)}. Received: {self.combine}"
            )
        for name in ("threshold", "precision"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise InputError(f"A {name} lies between 0 and 1. Received: {value:g}")
        if self.threshold is not None and self.precision is not None:
            raise InputError(
                "Thresholds come from a precision or are given: choose one of both."
            )

    def windowing(self, promised: Contract) -> Windowing:
        """Return the windows that a model hears.

        Raises:
            InputError: It does not say how long they are, has others of its own, or
                needs longer ones.
        """
        own, rate = promised.window_seconds, promised.sample_rate
        if own and self.window_seconds not in (0.0, own):
            raise InputError(
                f"The model hears {own:g} s at a time by itself. Leave --window out."
            )
        seconds = own or self.window_seconds or promised.clip_seconds
        if not seconds:
            raise InputError(
                "The model does not say how long the clips were that it was trained "
                "on. Say how much it is to hear at a time: --window 3"
            )
        length = round(seconds * rate)
        if length < promised.min_samples:
            raise InputError(
                f"Windows of {seconds:g} s are too short: the model needs "
                f"{promised.min_samples / rate:.3g} s."
            )
        if self.overlap is not None:
            hop = max(1, round((1 - self.overlap) * length))
        elif own:
            hop = round(promised.hop_seconds * rate)
        else:
            hop = max(1, round((1 - _OVERLAP) * length))
        return Windowing(length=length, hop=hop)

    def thresholds(self, promised: Contract) -> Mapping[str, Sequence[float]]:
        """Return level -> thresholds (labels,) at which events of a model are sure.

        Raises:
            InputError: A precision is asked for that the contract has no thresholds of,
                or a label is ignored that the model does not have.
        """
        tree = promised.taxonomy
        labels = {label for level in tree.levels for label in tree.labels_of(level)}
        if unknown := sorted({*self.ignored} - {BACKGROUND} - labels):
            raise InputError(
                f"The model has no label '{unknown[0]}' that could be ignored."
                f"{close_names(unknown[0], labels)}"
            )
        if self.precision is not None:
            return _at_precision(promised, self.precision)
        if self.threshold is None and promised.thresholds:
            return promised.thresholds
        value = thresholds.DEFAULT if self.threshold is None else self.threshold
        return {level: (value,) * size for level, size in tree.sizes.items()}


def _at_precision(promised: Contract, precision: float) -> dict:
    """Return the thresholds of a contract that are at least so precise.

    Where validation clips are told apart with ease the lowest such threshold is close
    to 0, and lets all through that they lack: none is below that of the best F1.

    Raises:
        InputError: There are none.
    """
    known = {float(share): own for share, own in promised.precise.items()}
    enough = [share for share in known if share >= precision - 1e-9]
    if not enough:
        shares = ", ".join(f"{share:g}" for share in sorted(known)) or "none"
        raise InputError(
            f"The model has no thresholds of a precision of {precision:g} or more, as "
            f"far as its validation clips told (it has {shares}). Give a threshold "
            "instead: --threshold 0.8"
        )
    found = known[min(enough)]
    return {
        level: tuple(map(max, bounds, promised.thresholds.get(level, bounds)))
        for level, bounds in found.items()
    }
