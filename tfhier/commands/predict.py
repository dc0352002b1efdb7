"""tfhier predict: tag whole clips."""

import argparse
from pathlib import Path

import tfhier
from tfhier import console

HELP = "tag whole clips"


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    p.add_argument(
        "model", metavar="MODEL", help="a file, a folder, a name or a server's URL"
    )
    p.add_argument(
        "audio", type=Path, nargs="+", metavar="AUDIO", help="files, or folders of them"
    )
    p.add_argument("--npz", type=Path, help="write all answers as arrays")
    p.add_argument(
        "--no-log-mel", action="store_true", help="leave the log-mels out of them"
    )
    p.add_argument("--csv", type=Path, help="write the likeliest labels")
    p.add_argument("--top", type=_count, default=5, help="so many of them")
    p.add_argument(
        "--window",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="hear long clips so much at a time and answer with the mean",
    )
    p.add_argument(
        "--skip-bad", action="store_true", help="leave unusable clips out, and say so"
    )


def run(args: argparse.Namespace) -> None:
    """Tag clips, print the likeliest labels and write what was asked for."""
    with console.without_native_messages():
        from tfhier import predict
    for path, suffix in ((args.npz, ".npz"), (args.csv, ".csv")):
        if path:
            predict.check_output(path, suffix)
    found = predict.predict(
        tfhier.load(args.model, window_seconds=args.window),
        predict.find_clips(args.audio),
        only_scores=not args.npz,
        with_log_mel=not args.no_log_mel,
        skip_bad=args.skip_bad,
    )
    # First the files: who reads what is printed may stop early, as `head` does.
    if args.npz:
        found.write_npz(args.npz)
    if args.csv:
        found.write_csv(args.csv, count=args.top)
    predict.show(found, count=args.top)
    for topic, path in (("arrays", args.npz), ("table", args.csv)):
        if path:
            console.line(topic, str(path))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)
