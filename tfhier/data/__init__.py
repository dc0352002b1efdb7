"""Input: data sets by name, and everything from files to batches.

Each data set is a module with its card as docstring and `load(path)`,
`prepare(folder)`, `default_folder()`, `NAME`, `EMBEDDED_NAME` and `EMBEDDED_FEATURES`;
one with a stand-in also has `embedded()`, and without one an empty `EMBEDDED_NAME`.
`SETTINGS`, where there are any, names the experiment's settings that its `load` takes
as keywords. A module is imported when it is asked for.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tfhier.errors import InputError, close_names

if TYPE_CHECKING:
    from tfhier.data.clips import Clips

DATASETS: dict[str, str] = {
    "openmic": "tfhier.data.openmic",
    "primates": "tfhier.data.primates",
    "esc50": "tfhier.data.esc50",
    "esc10": "tfhier.data.esc10",
    "gibbons": "tfhier.data.gibbons",
    "folder": "tfhier.data.folder",
    "verdicts": "tfhier.data.verdicts",
}


def module_of(name: str) -> ModuleType:
    """Return the module of a data set.

    Raises:
        InputError: No data set is called so; close names are offered.
    """
    if name not in DATASETS:
        raise InputError(f"There is no dataset '{name}'.{close_names(name, DATASETS)}")
    return importlib.import_module(DATASETS[name])


def settings_of(dataset: str) -> tuple[str, ...]:
    """Return the settings of an experiment that decide what a data set's clips are."""
    return getattr(module_of(dataset), "SETTINGS", ())


def find_clips(dataset: str, where: str, **settings) -> "Clips":
    """Return the clips of a data set.

    Args:
        dataset: str. Name of the data set.
        where: "auto" (the data set's folder, else its embedded stand-in), "embedded",
            or the path of a folder or file in the data set's layout.
        **settings: Values of `settings_of(dataset)`, for data that are read.

    Raises:
        InputError: The data set is not there and has no stand-in, or does not load.
    """
    module = module_of(dataset)
    if stands_in(dataset, where):
        if module.EMBEDDED_NAME:
            return module.embedded()
        raise InputError(
            f"There is no embedded stand-in for {module.NAME}: name them with --data "
            "(docs/data.md has the layouts)."
        )
    if where == "auto":
        return module.load(module.default_folder(), **settings)
    return module.load(Path(where).expanduser(), **settings)


def stands_in(dataset: str, where: str) -> bool:
    """Return whether `find_clips` would give the embedded stand-in."""
    is_there = module_of(dataset).default_folder().is_dir()
    return where == "embedded" or (where == "auto" and not is_there)


def describe() -> dict[str, str]:
    """Return a sentence on every data set: the first line of its card."""
    return {name: module_of(name).__doc__.splitlines()[0] for name in DATASETS}
