"""tfhier prepare: download and check a data set."""

import argparse
from pathlib import Path

HELP = "download and check a data set"


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    p.add_argument("dataset", metavar="DATASET")
    p.add_argument(
        "--output",
        type=Path,
        help="folder to put it in (default: where it is looked for)",
    )


def run(args: argparse.Namespace) -> None:
    """Download a data set, or say how it is to be had."""
    from tfhier import data

    module = data.module_of(args.dataset)
    module.prepare(args.output or module.default_folder().parent)
