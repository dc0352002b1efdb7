"""tfhier export: a saved tagger for TF Serving and TFLite."""

import argparse
from pathlib import Path

from tfhier import console

HELP = "to TF Serving and TFLite"


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    p.add_argument("model", metavar="MODEL", help="a run, or a .keras file")
    p.add_argument("--to", nargs="+", choices=("savedmodel", "tflite"), required=True)
    p.add_argument(
        "--weights",
        nargs="+",
        choices=("float32", "float16", "dynamic", "int8"),
        default=["float32"],
        help="of .tflite files, one each; dynamic: 8-bit weights, int8: all in 8 bits",
    )
    p.add_argument(
        "--fixed", action="store_true", help="let .tflite files take one length only"
    )
    p.add_argument(
        "--seconds", type=float, default=0.0, help="that length (default: as trained)"
    )
    p.add_argument(
        "--calibration",
        type=Path,
        nargs="+",
        default=[],
        metavar="AUDIO",
        help="sounds that int8 is fitted to (default: some training clips of the run)",
    )
    p.add_argument(
        "--test-clips",
        type=int,
        default=200,
        help="of the run, that all files are tried on at most (0: none)",
    )
    p.add_argument("--no-times", action="store_true", help="do not time files")
    p.add_argument("--output", type=Path, help="folder (default: the model's)")
    p.add_argument("--name", default="", help="of the model, in files and URLs")
    for told in ("source", "licence", "citation"):
        p.add_argument(
            f"--{told}", default="", help="to state in every file (default: as saved)"
        )


def run(args: argparse.Namespace) -> None:
    """Export a model, print how its files did."""
    with console.without_native_messages():
        from tfhier.export import exporting, summary
    report = exporting.export(
        args.model,
        exporting.Options(
            formats=tuple(dict.fromkeys(args.to)),
            weights=tuple(dict.fromkeys(args.weights)),
            seconds=args.seconds,
            fixed=args.fixed,
            calibration=tuple(args.calibration),
            test_clips=args.test_clips,
            timed=not args.no_times,
            output=args.output,
            name=args.name,
            source=args.source,
            licence=args.licence,
            citation=args.citation,
        ),
        progress=_say_proved,
    )
    print(console.table(*summary.rows(report)))
    for topic, text in summary.notes(report).items():
        console.line(topic, text)


def _say_proved(exported) -> None:
    console.line("proved", f"{exported.path}, {exported.num_bytes / 1e6:.2f} MB")
