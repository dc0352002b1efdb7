"""The command `tfhier`: look around and prepare data.

    tfhier list experiments|backbones|heads|frontends|datasets|taxonomies [--json]
    tfhier describe EXPERIMENT [--profile paper|small] [--json]
    tfhier prepare DATASET [--output FOLDER]

Training is `python experiments/run.py --exp NAME`.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

import tfhier
from tfhier import catalogue, console
from tfhier.errors import InputError

KINDS = ("experiments", "backbones", "heads", "frontends", "datasets", "taxonomies")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    p = argparse.ArgumentParser("tfhier", description=__doc__.splitlines()[0])
    p.add_argument("--version", action="version", version=tfhier.__version__)
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="names of what there is, one a line")
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
    return p


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


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = parser().parse_args(arguments)
    return console.door("tfhier", lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    if args.command == "list":
        found = describe_kind(args.kind, args.experiments)
        print(json.dumps(found, indent=2) if args.json else "\n".join(found))
    elif args.command == "describe":
        found = describe_experiment(args.name, args.experiments, args.profile)
        if args.json:
            print(json.dumps(found, indent=2))
        else:
            print_description(found)
    else:
        from tfhier import data

        module = data.module_of(args.dataset)
        module.prepare(args.output or module.default_folder().parent)


if __name__ == "__main__":
    sys.exit(main())
