"""tfhier describe: an experiment or a saved model, in words."""

import argparse
import contextlib
import json
import sys
from pathlib import Path

import tfhier
from tfhier.errors import InputError

HELP = "an experiment's settings, or what a saved model promises"


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    p.add_argument("name", metavar="EXPERIMENT|MODEL")
    p.add_argument("--profile", choices=("paper", "small"), default="paper")
    p.add_argument("--json", action="store_true", help="as JSON")
    p.add_argument(
        "--experiments", type=Path, help="folder of experiments (default: found)"
    )


def run(args: argparse.Namespace) -> None:
    """Print what is known."""
    from tfhier import describe

    if describe.is_model(args.name):
        # What is said of a stand-in is no JSON.
        with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
            found = describe.model(args.name)
        show = describe.show_model
    else:
        folder = find_folder(args.experiments)
        found = describe.experiment(args.name, folder, args.profile)
        show = describe.show_experiment
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


def find_folder(given: Path | None) -> Path:
    """Return the folder of experiments: given, here, or of the checkout.

    Raises:
        InputError: There is none.
    """
    candidates = (
        [given]
        if given
        else [Path("experiments"), Path(tfhier.__file__).parents[1] / "experiments"]
    )
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise InputError(
        f"There is no folder of experiments at {candidates[0]}. Run this in a checkout "
        "of tfhier, or name a folder with --experiments."
    )
