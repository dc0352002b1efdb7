"""The command `tfhier`: look around, train, tag, detect, review, export, serve.

    tfhier list experiments|backbones|heads|frontends|datasets|taxonomies|weights
        [--json]
    tfhier describe EXPERIMENT|MODEL [--profile paper|small] [--json]
    tfhier prepare DATASET [--output FOLDER]
    tfhier train CALLS -o saved_models/NAME [--test-site NAME] [--profile full]
    tfhier train --from EVENTS-reviewed.csv [--model saved_models/NAME]
    tfhier port FAMILY FILE MODEL.keras [--frontend NAME] ...
    tfhier predict MODEL AUDIO... [--npz FILE] [--csv FILE] [--top 5]
    tfhier detect MODEL AUDIO... -o events.csv [--precision 0.9] [--workers 4]
    tfhier detect --demo
    tfhier review EVENTS.csv [--output FOLDER] [--recordings FOLDER] [--port 8765]
    tfhier export MODEL --to savedmodel tflite [--weights float32 int8 ...]
    tfhier serve MODEL... [--rest-port 8501] [--grpc-port 8500]
    tfhier selftest MODEL

A MODEL is a .keras or .tflite file, a SavedModel folder, the folder of a run or of an
experiment (saved_models/NAME), published weights by name, or http://HOST/v1/models/NAME.

The papers' experiments are `python experiments/run.py --exp NAME`.
"""

import argparse
import sys
from pathlib import Path

import tfhier
from tfhier import console
from tfhier.commands import (
    describe,
    detect,
    export,
    listing,
    port,
    predict,
    prepare,
    review,
    selftest,
    serve,
    train,
)

COMMANDS = {
    "list": listing,
    "describe": describe,
    "prepare": prepare,
    "train": train,
    "port": port,
    "predict": predict,
    "detect": detect,
    "review": review,
    "export": export,
    "serve": serve,
    "selftest": selftest,
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    p = argparse.ArgumentParser("tfhier", description=__doc__.splitlines()[0])
    p.add_argument("--version", action="version", version=tfhier.__version__)
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add(commands.add_parser(name, help=command.HELP))
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    p = parser()
    args, rest = p.parse_known_args(arguments)
    # Python below 3.13 does not look for "any number of" behind an option.
    if (
        rest
        and hasattr(args, "audio")
        and not any(each.startswith("-") for each in rest)
    ):
        args.audio += map(Path, rest)
    elif rest:
        p.error(f"unrecognized arguments: {' '.join(rest)}")
    return console.door("tfhier", lambda: COMMANDS[args.command].run(args))


if __name__ == "__main__":
    sys.exit(main())
