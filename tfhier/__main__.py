"""The command `tfhier`: look around, prepare data, port weights, tag, export, serve.

    tfhier list experiments|backbones|heads|frontends|datasets|taxonomies|weights
        [--json]
    tfhier describe EXPERIMENT|MODEL [--profile paper|small] [--json]
    tfhier prepare DATASET [--output FOLDER]
    tfhier port FAMILY FILE MODEL.keras [--frontend NAME] ...
    tfhier predict MODEL AUDIO... [--npz FILE] [--csv FILE] [--top 5]
    tfhier export MODEL --to savedmodel tflite [--weights float32 int8 ...]
    tfhier serve MODEL... [--rest-port 8501] [--grpc-port 8500]
    tfhier selftest MODEL

A MODEL is a .keras or .tflite file, a SavedModel folder, the folder of a run or of an
experiment (saved_models/NAME), published weights by name, or http://HOST/v1/models/NAME.

Training is `python experiments/run.py --exp NAME`.
"""

import argparse
import contextlib
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
        "describe", help="an experiment's settings, or what a saved model promises"
    )
    describing.add_argument("name", metavar="EXPERIMENT|MODEL")
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
    _add_export(commands.add_parser("export", help="to TF Serving and TFLite"))
    _add_serve(commands.add_parser("serve", help="exported models over REST and gRPC"))
    testing = commands.add_parser("selftest", help="replay a model's golden clip")
    testing.add_argument("model", metavar="MODEL", nargs="+")
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
        "model", metavar="MODEL", help="a file, a folder, a name or a server's URL"
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


def _add_export(exporting: argparse.ArgumentParser) -> None:
    exporting.add_argument("model", metavar="MODEL", help="a run, or a .keras file")
    exporting.add_argument(
        "--to", nargs="+", choices=("savedmodel", "tflite"), required=True
    )
    exporting.add_argument(
        "--weights",
        nargs="+",
        choices=("float32", "float16", "dynamic", "int8"),
        default=["float32"],
        help="of .tflite files, one each; dynamic: 8-bit weights, int8: all in 8 bits",
    )
    exporting.add_argument(
        "--fixed", action="store_true", help="let .tflite files take one length only"
    )
    exporting.add_argument(
        "--seconds", type=float, default=0.0, help="that length (default: as trained)"
    )
    exporting.add_argument(
        "--calibration",
        type=Path,
        nargs="+",
        default=[],
        metavar="AUDIO",
        help="sounds that int8 is fitted to (default: some training clips of the run)",
    )
    exporting.add_argument(
        "--test-clips",
        type=int,
        default=200,
        help="of the run, that all files are tried on at most (0: none)",
    )
    exporting.add_argument("--no-times", action="store_true", help="do not time files")
    exporting.add_argument("--output", type=Path, help="folder (default: the model's)")
    exporting.add_argument("--name", default="", help="of the model, in files and URLs")
    for told in ("source", "licence", "citation"):
        exporting.add_argument(
            f"--{told}", default="", help="to state in every file (default: as saved)"
        )


def _add_serve(serving: argparse.ArgumentParser) -> None:
    serving.add_argument(
        "model",
        nargs="+",
        metavar="MODEL",
        help="a folder with serving/, or NAME=FOLDER",
    )
    serving.add_argument(
        "--host", default="127.0.0.1", help="default: this machine only"
    )
    serving.add_argument("--rest-port", type=int, default=8501)
    serving.add_argument("--grpc-port", type=int, default=8500)
    serving.add_argument("--batching", action="store_true", help="join equal requests")
    serving.add_argument("--max-batch-size", type=int, default=32)
    serving.add_argument(
        "--batch-timeout-ms", type=float, default=5.0, help="that a request waits"
    )
    serving.add_argument(
        "--max-request-mb", type=int, default=32, help="longest request, in MiB"
    )
    serving.add_argument(
        "--max-in-flight", type=int, default=64, help="requests; more are refused"
    )
    serving.add_argument("--threads", type=int, default=4, help="requests at a time")
    serving.add_argument(
        "--log-requests",
        action="store_true",
        help="say every request, not refusals only",
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


def _columns(found: dict[str, str]) -> str:
    """Return names with their sentences beside them, one a line."""
    width = max(map(len, found))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in found.items())


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


def export_model(args: argparse.Namespace) -> None:
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
    )
    print(console.table(*summary.rows(report)))
    for topic, text in summary.notes(report).items():
        console.line(topic, text)


def serve_models(args: argparse.Namespace) -> None:
    """Serve exported models until stopped.

    Raises:
        InputError: A model was not exported, or two would have one name.
    """
    from tfhier import model_paths
    from tfhier.serve import Options, serve

    folders: dict[str, Path] = {}
    for called, folder in map(model_paths.serving_folder, args.model):
        if called in folders:
            raise InputError(
                f"{folders[called]} and {folder} would both be served as '{called}'. "
                f"Call one otherwise: {called}-2={folder}"
            )
        folders[called] = folder
    serve(
        folders,
        Options(
            host=args.host,
            rest_port=args.rest_port,
            grpc_port=args.grpc_port,
            max_request_bytes=args.max_request_mb << 20,
            max_in_flight=args.max_in_flight,
            num_threads=args.threads,
            log_requests=args.log_requests,
            batching=args.batching,
            max_batch_size=args.max_batch_size,
            batch_timeout_ms=args.batch_timeout_ms,
        ),
    )


def test_models(names: list[str]) -> None:
    """Replay the golden clips of models and print how they did.

    Raises:
        InputError: One of them answers otherwise than when it was saved.
    """
    wrong = []
    for name in names:
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
        _describe(args)
    elif args.command == "port":
        port_weights(args)
    elif args.command == "predict":
        predict_clips(args)
    elif args.command == "export":
        export_model(args)
    elif args.command == "serve":
        serve_models(args)
    elif args.command == "selftest":
        test_models(args.model)
    else:
        from tfhier import data

        module = data.module_of(args.dataset)
        module.prepare(args.output or module.default_folder().parent)


def _describe(args: argparse.Namespace) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
