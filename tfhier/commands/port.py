"""tfhier port: published weights to a saved tagger."""

import argparse
from pathlib import Path

from tfhier import console, pretrained

HELP = "published weights to a saved tagger"


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    p.add_argument("family", choices=tuple(pretrained.FAMILIES))
    p.add_argument("source", type=Path, metavar="FILE", help="as published")
    p.add_argument("target", type=Path, metavar="MODEL.keras", help="to write")
    p.add_argument("--backbone", help="what it must be (default: told by it)")
    p.add_argument("--frontend", help="what it hears (default: told by it)")
    p.add_argument("--hop-length", type=int, metavar="SAMPLES", help="of frames")
    p.add_argument(
        "--labels", metavar="CSV", help="a taxonomy, its labels in the order of classes"
    )
    p.add_argument("--prefix", help="which network of several: net_swa")
    p.add_argument(
        "--classifier", metavar="NAME", help="its last layer, if not fc_audioset"
    )
    p.add_argument(
        "--softmax", action="store_true", help="the classes exclude each other"
    )


def run(args: argparse.Namespace) -> None:
    """Write a saved tagger and say what was found in the published file."""
    from tfhier.taxonomy import Taxonomy

    taxonomy = Taxonomy.read(args.labels) if args.labels else None
    with console.without_native_messages():
        from tfhier.pretrained import porting
    ported = porting.port(
        args.family,
        args.source,
        args.target,
        prefix=args.prefix,
        classifier=args.classifier,
        taxonomy=taxonomy,
        backbone=args.backbone,
        frontend=args.frontend,
        hop_length=args.hop_length,
        softmax=args.softmax,
    )
    for note in ported.notes:
        console.line("", note)
    reasons: dict[str, list[str]] = {}
    for tensor in ported.skipped:
        reasons.setdefault(tensor.reason, []).append(tensor.name)
    for reason, names in reasons.items():
        shown = ", ".join(names[:3]) + " ..." * (len(names) > 3)
        console.line("unused", f"{len(names)} tensors: {reason} ({shown})")
    console.line("model", str(args.target))
