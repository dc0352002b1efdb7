"""tfhier list: names of what there is."""

import argparse
import importlib
import json
from pathlib import Path

from tfhier import catalogue, console
from tfhier.commands.describe import find_folder

HELP = "names of what there is and a word on each"
KINDS = (
    "experiments", "backbones", "heads", "frontends", "datasets", "taxonomies",
    "weights",
)  # fmt: skip


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    p.add_argument("kind", choices=KINDS)
    p.add_argument("--json", action="store_true", help="as JSON")
    p.add_argument(
        "--experiments", type=Path, help="folder of experiments (default: found)"
    )


def run(args: argparse.Namespace) -> None:
    """Print the names of a kind."""
    found = describe_kind(args.kind, args.experiments)
    if not args.json:
        print(_columns(found))
    elif args.kind == "weights":
        from tfhier.pretrained import registry

        print(json.dumps(registry.to_dict(), indent=2))
    else:
        print(json.dumps(found, indent=2))


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
