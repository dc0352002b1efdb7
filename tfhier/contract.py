"""What a saved tagger promises: what it must be given and what its numbers mean.

The contract travels inside every model file (`.keras`, SavedModel, `.tflite`) as
`tfhier.json`, so that a model is never used by guess: a waveform of another sample rate
is resampled or refused, a column of scores has a name, and a tag has its threshold.
"""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from tfhier import members
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

FORMAT = 2
# What a contract cannot do without; fields that came later have defaults, so that the
# files of earlier versions are still read.
_NEEDED = {"taxonomy", "sample_rate", "softmax", "window_seconds", "hop_seconds"}
# Heard at a time where nothing is said of a length.
_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a saved tagger promises.

    Args:
        taxonomy: Taxonomy of its levels, whose labels are in the order of the scores.
        sample_rate: int. Of the waveforms that it takes, in Hz; 0 where it takes
            precomputed features.
        softmax: bool. Whether the labels of the finest level exclude each other.
        window_seconds: float. Length of sound that it takes at a time; 0 for whole
            clips of any length.
        hop_seconds: float. From window to window, whose answers are averaged.
        source: str. Where the weights come from, for people.
        licence: str. Of the weights, "" where nobody stated one.
        citation: str. What to cite for them.
        name: str. What the model is called, "" for nothing.
        clip_seconds: float. Length of the clips that it was trained and tested on and
            its thresholds were fitted on; 0 where that is not known.
        frontend: dict. Settings of its `LogMel`; empty for precomputed features.
        weights: str. How its weights are kept: "float32", "float16", "dynamic" (8 bits,
            computed with in floats) or "int8" (8 bits throughout).
        thresholds: dict of level -> tuple of floats (labels,), at or above which a tag
            is given; empty where none were fitted.
        precise: dict of a precision ("0.9") -> dict as `thresholds`: at or above them
            so many tags were right on validation clips; infinite where no threshold is
            so precise. Empty where none were fitted.
        results: dict of level -> {metric: float} on test clips; empty where it was not
            tested.
        tested: str. What the results are of, for people: "this file on 80 test clips".
        versions: dict of name -> str. Packages that it was saved with, and the date.

    Raises:
        InputError: A field is of another type, the sample rate is negative, windows
            would leave sound out, or thresholds are not one for each label.
    """

    taxonomy: Taxonomy
    sample_rate: int
    softmax: bool = False
    window_seconds: float = 0.0
    hop_seconds: float = 0.0
    source: str = ""
    licence: str = ""
    citation: str = ""
    name: str = ""
    clip_seconds: float = 0.0
    frontend: dict = field(default_factory=dict)
    weights: str = "float32"
    thresholds: dict = field(default_factory=dict)
    precise: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    tested: str = ""
    versions: dict = field(default_factory=dict)

    def __post_init__(self):
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            kinds = (int, float) if item.type is float else (item.type,)
            if type(value) not in kinds:
                raise InputError(
                    f"A contract's {item.name} is of the type {item.type.__name__}. "
                    f"Received: {value!r:.60}"
                )
        if self.sample_rate < 0:
            raise InputError(
                "A contract's sample_rate is above 0, or 0 for features. Received: "
                f"{self.sample_rate}"
            )
        window, hop, rate = self.window_seconds, self.hop_seconds, self.sample_rate
        is_whole = window == hop == 0
        if not is_whole and not 1 <= hop * rate <= window * rate < math.inf:
            raise InputError(
                "A contract's windows follow each other without gaps: hop_seconds is "
                "one sample or more and at most window_seconds. Received: "
                f"hop_seconds={hop}, window_seconds={window}, sample_rate={rate}"
            )
        if not 0 <= self.clip_seconds < math.inf:
            raise InputError(
                f"A contract's clip_seconds is 0 or more. Received: {self.clip_seconds}"
            )
        _check_thresholds(self.taxonomy, self.thresholds, highest=1.0)
        for each in self.precise.values():
            _check_thresholds(self.taxonomy, each, highest=math.inf)
        needed = {"center": bool, "num_fft": int, "window_length": int}
        kinds = {name: type(self.frontend.get(name)) for name in needed}
        if self.frontend and kinds != needed:
            raise InputError(
                "A contract's frontend tells center, num_fft and window_length. "
                f"Received: {self.frontend!r:.120}"
            )
        if not all(isinstance(each, dict) for each in self.results.values()):
            raise InputError(
                f"A contract's results are figures by level. Received: {self.results}"
            )

    @property
    def score_meaning(self) -> str:
        """What the scores of the finest level are, in a sentence."""
        if self.softmax:
            return "probabilities of labels that exclude each other: they sum to 1"
        return "each the probability that its label is heard, whatever else is"

    @property
    def frequencies(self) -> tuple[float, float]:
        """Lowest and highest frequency that it hears, in Hz."""
        highest = self.sample_rate / 2
        low, high = (self.frontend.get(name) for name in ("min_hertz", "max_hertz"))
        return float(low or 0.0), float(min(high or highest, highest))

    @property
    def usual_seconds(self) -> float:
        """Length of sound that it mostly hears at a time; a second if unknown."""
        seconds = self.window_seconds or self.clip_seconds or _SECONDS
        return max(seconds, self.min_samples / max(1, self.sample_rate))

    @property
    def min_samples(self) -> int:
        """Fewest samples that a waveform may have, by the front end; 1 if unknown."""
        if not self.frontend:
            return 1
        if self.frontend["center"]:
            return self.frontend["num_fft"] // 2 + 1
        return self.frontend["window_length"]

    def to_json(self) -> str:
        """Return the contract as text."""
        content = {
            item.name: getattr(self, item.name) for item in dataclasses.fields(self)
        }
        content["taxonomy"] = self.taxonomy.to_csv()
        content["precise"] = {
            share: {
                level: [_finite(bound) for bound in each] for level, each in by.items()
            }
            for share, by in self.precise.items()
        }
        return json.dumps({"format": FORMAT, **content}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Contract":
        """Return the contract that `to_json` wrote.

        Raises:
            ValueError: The text is no contract of this format.
        """
        try:
            content = json.loads(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        found = content.pop("format", None) if isinstance(content, dict) else None
        if found not in (1, FORMAT):
            raise ValueError(f"expected a contract of format {FORMAT}")
        names = {item.name for item in dataclasses.fields(cls)}
        if not _NEEDED <= set(content) <= names:
            raise ValueError(f"expected the fields {', '.join(sorted(names))}")
        content["taxonomy"] = Taxonomy.parse(str(content["taxonomy"]))
        if isinstance(content.get("thresholds"), dict):
            content["thresholds"] = _thresholds(content["thresholds"])
        if isinstance(content.get("precise"), dict):
            content["precise"] = {
                share: _thresholds(each, null=math.inf)
                for share, each in content["precise"].items()
            }
        return cls(**content)


def _thresholds(content, *, null=None) -> dict[str, tuple[float, ...]]:
    """Return thresholds of JSON; `null` is what its null stands for."""
    if not isinstance(content, dict) or not all(
        isinstance(each, list) for each in content.values()
    ):
        raise ValueError("thresholds are lists, one of each level")
    return {
        level: tuple(float(null if bound is None else bound) for bound in each)
        for level, each in content.items()
    }


def _finite(bound: float) -> float | None:
    return None if bound == math.inf else bound


def _check_thresholds(taxonomy: Taxonomy, content: object, *, highest: float) -> None:
    """Raise an InputError for thresholds that are not one for each label, or none."""
    found = content if isinstance(content, dict) else {"": ()}
    sizes = {level: len(each) for level, each in found.items()}
    if sizes and sizes != taxonomy.sizes:
        raise InputError(
            "A contract's thresholds are one for each label of "
            f"{taxonomy.sizes}. Received: {sizes}"
        )
    for level, each in found.items():
        for value in each:
            if type(value) is not float or not (0 <= value <= 1 or value == highest):
                raise InputError(
                    f"A contract's thresholds lie in [0, 1]. Received: {level}={each}"
                )


def attach(path: str | Path, contract: Contract) -> None:
    """Put a contract into a `.keras` file, in place of one that it has."""
    members.attach(path, {members.CONTRACT: contract.to_json().encode()})


def read(path: str | Path) -> Contract:
    """Return the contract of a `.keras` or `.tflite` file or a SavedModel folder.

    Raises:
        InputError: The model is missing, is none, is damaged, or has no contract of
            this format.
    """
    try:
        content = members.read(path, members.CONTRACT)
    except KeyError:
        raise InputError(
            f"{path} does not say what its sample rate and labels are (it has no "
            f"{members.CONTRACT}): it was not saved by tfhier, or before version 0.1."
        ) from None
    try:
        return Contract.from_json(content.decode("utf-8"))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path} has a contract that cannot be read ({error}). It may have been "
            "saved by another version of tfhier."
        ) from None
