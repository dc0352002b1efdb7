"""ESC-10: the ten classes of ESC-50 that are freest and easiest to tell apart.

* What: 400 clips of 5 s, 40 a class, in ESC-50's five folds and files: dog, rooster,
  rain, sea waves, crackling fire, crying baby, sneezing, clock tick, helicopter,
  chainsaw.
* Source, layout and citation: see `tfhier.data.esc50`.
* Licence: CC BY 3.0.
"""

from pathlib import Path

from tfhier.data import esc50
from tfhier.data.clips import Clips, Kind

NAME = "ESC-10"
LICENCE = "CC BY 3.0"
LABELS = esc50.ESC10_LABELS
CITATION = esc50.CITATION
EMBEDDED_NAME = ""
EMBEDDED_FEATURES = ()

prepare = esc50.prepare
default_folder = esc50.default_folder


def load(
    path: str | Path, *, kind: Kind | None = None, name: str | None = None
) -> Clips:
    """Read ESC-10 from the folder of ESC-50; see `tfhier.data.esc50.load`."""
    return esc50.load(path, kind=kind, name=name, only_esc10=True)
