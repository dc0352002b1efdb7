"""Runs that another experiment has trained already: taken over, not trained again.

Rows of several tables may be one and the same run: the whole recipe of Pellegrini's
Table 2 is also the last row of Table 3. What decides a run's numbers is written in its
`experiment.json`; where that agrees to the last setting, with the data's fingerprint
and the seed, the run is the same.
"""

import shutil
import tempfile
from pathlib import Path

from tfhier.errors import InputError
from tfhier.experiment import read_settings
from tfhier.train.request import is_trained


def find(home: Path, wanted: dict) -> Path | None:
    """Return the folder of a finished run among those of other experiments.

    Args:
        home: Path. Folder in which experiments have their folders.
        wanted: dict. The run's request, see `run_request`.

    Returns:
        Path of a trained and evaluated run that was asked for alike, or None.
    """
    for path in sorted(home.glob("[!.]*/**/experiment.json")):
        folder = path.parent
        is_done = is_trained(folder) and (folder / "metrics.json").is_file()
        there = _read(path)
        there.pop("code", None)
        if is_done and there == wanted:
            return folder
    return None


def _read(path: Path) -> dict:
    try:
        return read_settings(path)
    except InputError:
        return {}  # a damaged file of another experiment is no business of this one


def take(source: Path, target: Path) -> None:
    """Copy a finished run, whole or not at all.

    Args:
        source: Path of the finished run.
        target: Path of the new one, which does not exist or is an empty folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{target.name}-", dir=target.parent
    ) as temporary:
        copy = shutil.copytree(source, Path(temporary, target.name))
        copy.replace(target)
