"""tfhier selftest: does a model still answer as when it was saved?"""

import argparse

import tfhier
from tfhier import console
from tfhier.errors import InputError

HELP = "replay a model's golden clip"


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    p.add_argument("model", metavar="MODEL", nargs="+")


def run(args: argparse.Namespace) -> None:
    """Replay the golden clips of models and print how they did.

    Raises:
        InputError: One of them answers otherwise than when it was saved.
    """
    wrong = []
    for name in args.model:
        with console.without_native_messages():
            difference, tolerance = tfhier.load(name).selftest()
        passes = difference <= tolerance
        console.line(
            "passed" if passes else "FAILED",
            f"{name}: golden clip within {difference:.1e}, {tolerance:g} allowed",
        )
        if not passes:
            wrong.append(name)
    if wrong:
        raise InputError(
            f"{', '.join(wrong)} does not answer as when it was saved. Copy it again, "
            "or use the versions that it was saved with (tfhier describe)."
        )
