"""The command `tfhier`: look around, prepare data, port weights, tag clips.

    tfhier list experiments|backbones|heads|frontends|datasets|taxonomies|weights
        [--json]
    tfhier describe EXPERIMENT [--profile paper|small] [--json]
    tfhier prepare DATASET [--output FOLDER]
    tfhier port FAMILY FILE MODEL.keras [--frontend NAME] ...
    tfhier predict MODEL.keras AUDIO... [--npz FILE] [--csv FILE] [--top 5]

Training is `python experiments/run.py --exp NAME`.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

import tfhier
from tfhier import catalogue, console, pretrained
from tfhier.errors import InputError

KINDS = (
    "experiments", "backbones", "heads", "frontends", "datasets", "taxonomies",
    "weights",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    p = argparse.ArgumentParser("tfhier", description=__doc__.splitlines()[0])
    p.add_argument("--version", action="version", version=tfhier.__version__)
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")

    listing = commands.add_parser(
        "list", help="names of what there is and a word on each"
    )
    listing.add_argument("kind", choices=KINDS)
    describing = commands.add_parser(
        "describe", help="an experiment's settings and model, without training"
    )
    describing.add_argument("name", metavar="EXPERIMENT")
    describing.add_argument("--profile", choices=("paper", "small"), default="paper")
    for command in (listing, describing):
        command.add_argument("--json", action="store_true", help="as JSON")
        command.add_argument(
            "--experiments", type=Path, help="folder of experiments (default: found)"
        )

    preparing = commands.add_parser("prepare", help="download and check a data set")
    preparing.add_argument("dataset", metavar="DATASET")
    preparing.add_argument(
        "--output",
        type=Path,
        help="folder to put it in (default: where it is looked for)",
    )
    _add_port(commands.add_parser("port", help="published weights to a saved tagger"))
    _add_predict(commands.add_parser("predict", help="tag whole clips"))
    return p


def _add_port(porting: argparse.ArgumentParser) -> None:
    porting.add_argument("family", choices=tuple(pretrained.FAMILIES))
    porting.add_argument("source", type=Path, metavar="FILE", help="as published")
    porting.add_argument("target", type=Path, metavar="MODEL.keras", help="to write")
    porting.add_argument("--backbone", help="what it must be (default: told by it)")
    porting.add_argument("--frontend", help="what it hears (default: told by it)")
    porting.add_argument("--hop-length", type=int, metavar="SAMPLES", help="of frames")
    porting.add_argument(
        "--labels", metavar="CSV", help="a taxonomy, its labels in the order of classes"
    )
    porting.add_argument("--prefix", help="which network of several: net_swa")
    porting.add_argument(
        "--classifier", metavar="NAME", help="its last layer, if not fc_audioset"
    )
    porting.add_argument(
        "--softmax", action="store_true", help="the classes exclude each other"
    )


def _add_predict(predicting: argparse.ArgumentParser) -> None:
    predicting.add_argument(
        "model", type=Path, metavar="MODEL", help="a .keras file, or published weights"
    )
    predicting.add_argument(
        "audio", type=Path, nargs="+", metavar="AUDIO", help="files, or folders of them"
    )
    predicting.add_argument("--npz", type=Path, help="write all answers as arrays")
    predicting.add_argument(
        "--no-log-mel", action="store_true", help="leave the log-mels out of them"
    )
    predicting.add_argument("--csv", type=Path, help="write the likeliest labels")
    predicting.add_argument("--top", type=_count, default=5, help="so many of them")
    predicting.add_argument(
        "--window",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="hear long clips so much at a time and answer with the mean",
    )
    predicting.add_argument(
        "--skip-bad", action="store_true", help="leave unusable clips out, and say so"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


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


def describe_kind(kind: str, folder: Path | None) -> dict[str, str]:
    """Return name -> sentence for everything of a kind."""
    if kind == "experiments":
        return catalogue.describe(find_folder(folder))
    if kind == "datasets":
        from tfhier import data

        return data.describe()
    if kind == "weights":
        from tfhier.pretrained import registry

        return registry.describe()
    if kind == "taxonomies":
        from tfhier import taxonomy

        found = {name: taxonomy.Taxonomy.read(name) for name in taxonomy.names()}
        return {
            name: ", ".join(f"{size} {level}" for level, size in each.sizes.items())
            for name, each in found.items()
        }
    with console.without_native_messages():
        module = importlib.import_module(f"tfhier.{kind}")
    return module.describe()


def describe_experiment(name: str, folder: Path | None, profile: str) -> dict:
    """Return an experiment's settings, shapes, number of parameters and labels."""
    experiments = catalogue.find(find_folder(folder))
    (name,) = catalogue.match([name], experiments)
    chosen = experiments[name].profile(profile)
    with console.without_native_messages():
        from tfhier import frontends, tagger
    from tfhier.taxonomy import Taxonomy

    if not chosen.taxonomy:
        raise InputError(
            f"{name} takes its labels from the data, so its network is known only "
            "when it is run. Its settings: python experiments/run.py --exp "
            f"{name} --print"
        )
    taxonomy = Taxonomy.read(chosen.taxonomy)
    shape = _feature_shape(chosen.features)
    frontend, body = tagger.build(chosen, taxonomy, feature_shape=shape)
    if frontend is None:
        input_shape = [None, *shape]
    else:
        rate = frontends.FRONTENDS[chosen.frontend]["sample_rate"]
        input_shape = [None, round(chosen.clip_seconds * rate)]
    trainable = sum(
        int(weight.shape.num_elements()) for weight in body.trainable_weights
    )
    return {
        "name": name,
        "row": chosen.row,
        "table": chosen.table,
        "departures": list(chosen.departures),
        "profile": profile,
        "settings": {
            **chosen.settings(),
            "seeds": list(chosen.seeds),
            "grid": {field: list(values) for field, values in chosen.grid.items()},
        },
        "input_shape": input_shape,
        "output_shapes": {level: [None, n] for level, n in taxonomy.sizes.items()},
        "num_parameters": body.count_params(),
        "num_trainable_parameters": trainable,
        "levels": {level: list(taxonomy.labels_of(level)) for level in taxonomy.levels},
    }


def _feature_shape(name: str) -> tuple[int, ...] | None:
    """Return the shape of one clip's features, told by their name; None for audio."""
    shapes = {"": None, "X": (10, 128), "features": (34,)}  # VGGish; statistics
    if name not in shapes:
        raise InputError(
            f"The shape of the features '{name}' depends on the data: describe knows "
            "only those called X (10 x 128) and features (34)."
        )
    return shapes[name]


def _columns(found: dict[str, str]) -> str:
    """Return names with their sentences beside them, one a line."""
    width = max(map(len, found))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in found.items())


def print_description(found: dict) -> None:
    """Print what `describe_experiment` returns, for people."""
    print(
        f"{found['name']}  {found['row']} ({found['table']}), profile "
        f"{found['profile']}"
    )
    for departure in found["departures"]:
        console.line("", f"not as in the paper: {departure}")
    console.line("input", f"{tuple(found['input_shape'])}  (batch, ...)")
    console.line(
        "model",
        f"{found['num_parameters']:,} parameters, "
        f"{found['num_trainable_parameters']:,} of them trained",
    )
    for level, labels in found["levels"].items():
        console.line("level", f"{level}: {len(labels)} labels: {', '.join(labels)}")
    for name, value in found["settings"].items():
        print(f"  {name:<24} {value}")


def port_weights(args: argparse.Namespace) -> None:
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


def predict_clips(args: argparse.Namespace) -> None:
    """Tag clips, print the likeliest labels and write what was asked for."""
    with console.without_native_messages():
        from tfhier import predict
    for path, suffix in ((args.npz, ".npz"), (args.csv, ".csv")):
        if path:
            predict.check_output(path, suffix)
    found = predict.predict(
        tfhier.load(args.model, window_seconds=args.window),
        predict.find_clips(args.audio),
        with_log_mel=bool(args.npz) and not args.no_log_mel,
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


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = parser().parse_args(arguments)
    return console.door("tfhier", lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    if args.command == "list":
        found = describe_kind(args.kind, args.experiments)
        if not args.json:
            print(_columns(found))
        elif args.kind == "weights":
            from tfhier.pretrained import registry

            print(json.dumps(registry.to_dict(), indent=2))
        else:
            print(json.dumps(found, indent=2))
    elif args.command == "describe":
        found = describe_experiment(args.name, args.experiments, args.profile)
        if args.json:
            print(json.dumps(found, indent=2))
        else:
            print_description(found)
    elif args.command == "port":
        port_weights(args)
    elif args.command == "predict":
        predict_clips(args)
    else:
        from tfhier import data

        module = data.module_of(args.dataset)
        module.prepare(args.output or module.default_folder().parent)


if __name__ == "__main__":
    sys.exit(main())
