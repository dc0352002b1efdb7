"""What a saved tagger promises: what it must be given and what its numbers mean.

The contract travels inside the `.keras` file, as the member `tfhier.json` of that
archive, so that a model is never used by guess: a waveform of another sample rate is
resampled or refused, and a column of scores has a name.
"""

import dataclasses
import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

MEMBER = "tfhier.json"
FORMAT = 1
# What a changed byte makes of an archive: no end, a password, another compression.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)


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

    Raises:
        InputError: A field is of another type, the sample rate is negative, or windows
            would leave sound out.
    """

    taxonomy: Taxonomy
    sample_rate: int
    softmax: bool = False
    window_seconds: float = 0.0
    hop_seconds: float = 0.0
    source: str = ""
    licence: str = ""
    citation: str = ""

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

    def to_json(self) -> str:
        """Return the contract as text."""
        content = {
            item.name: getattr(self, item.name) for item in dataclasses.fields(self)
        }
        content["taxonomy"] = self.taxonomy.to_csv()
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
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise ValueError(f"expected a contract of format {FORMAT}")
        names = {item.name for item in dataclasses.fields(cls)}
        if set(content) != names:
            raise ValueError(f"expected the fields {', '.join(sorted(names))}")
        content["taxonomy"] = Taxonomy.parse(str(content["taxonomy"]))
        return cls(**content)


def attach(path: str | Path, contract: Contract) -> None:
    """Put a contract into a `.keras` file that has none."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(MEMBER, contract.to_json())


def read(path: str | Path) -> Contract:
    """Return the contract of a `.keras` file.

    Raises:
        InputError: The file is missing, is no such archive, is damaged, or has no
            contract of this format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no model {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            return Contract.from_json(archive.read(MEMBER).decode("utf-8"))
    except KeyError:
        raise InputError(
            f"{path} does not say what its sample rate and labels are (it has no "
            f"{MEMBER}): it was not saved by tfhier, or before version 0.1."
        ) from None
    except ValueError as error:
        raise InputError(
            f"{path} has a contract that cannot be read ({error}). It may have been "
            "saved by another version of tfhier."
        ) from None
    except DAMAGE as error:
        raise InputError(
            f"{path} is no .keras file, or it is damaged "
            f"({str(error) or type(error).__name__}): copy or download it again."
        ) from None
