"""Input: data sets by name, and everything from files to batches.

Each data set is a module with its card as docstring and `load(path)`, `embedded()`,
`prepare(folder)`, `default_folder()` and `NAME`; it is imported when it is asked for.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tfhier.errors import InputError, close_names

if TYPE_CHECKING:
    from tfhier.data.clips import Clips

DATASETS: dict[str, str] = {"openmic": "tfhier.data.openmic"}


def module_of(name: str) -> ModuleType:
    """Return the module of a data set.

    Raises:
        InputError: No data set is called so; close names are offered.
    """
    if name not in DATASETS:
        raise InputError(f"There is no dataset '{name}'.{close_names(name, DATASETS)}")
    return importlib.import_module(DATASETS[name])


def find_clips(dataset: str, where: str) -> "Clips":
    """Return the clips of a data set.

    Args:
        dataset: str. Name of the data set.
        where: "auto" (the data set's folder, else its embedded stand-in), "embedded",
            or the path of a folder or file in the data set's layout.
    """
    module = module_of(dataset)
    if where == "embedded":
        return module.embedded()
    if where != "auto":
        return module.load(Path(where).expanduser())
    folder = module.default_folder()
    return module.load(folder) if folder.is_dir() else module.embedded()


def describe() -> dict[str, str]:
    """Return a sentence on every data set: the first line of its card."""
    return {name: module_of(name).__doc__.splitlines()[0] for name in DATASETS}
