"""Published weights: found, read and turned into taggers of ours.

Each family of weights is a module with one function,

    port(path, *, taxonomy=None, **options) -> Ported

whose keyword parameters are the options that the family has. A module is imported when
it is asked for.
"""

import importlib
from types import ModuleType

from tfhier.errors import InputError, close_names

FAMILIES: dict[str, str] = {
    "panns": "tfhier.pretrained.panns",
    "primates": "tfhier.pretrained.panns",  # whose code and names these networks have
    "yamnet": "tfhier.pretrained.yamnet",
}


def module_of(family: str) -> ModuleType:
    """Return the module of a family of weights.

    Raises:
        InputError: No family is called so; close names are offered.
    """
    if family not in FAMILIES:
        raise InputError(
            f"There is no family of weights '{family}'.{close_names(family, FAMILIES)}"
        )
    return importlib.import_module(FAMILIES[family])
