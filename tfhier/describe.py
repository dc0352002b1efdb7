"""What an experiment or a saved model is, told without training or computing it."""

import itertools
from pathlib import Path

from tfhier import catalogue, console, contract, members, model_paths
from tfhier.engines.server import ServerEngine
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

# More labels of a level than these are counted, not printed.
_MOST_LABELS = 30


def is_model(name: str) -> bool:
    """Return whether a name is a saved model's place, not an experiment's name."""
    return "/" in name or name.endswith((".keras", ".tflite")) or Path(name).is_file()


def experiment(name: str, folder: Path, profile: str) -> dict:
    """Return an experiment's settings, shapes, number of parameters and labels."""
    experiments = catalogue.find(folder)
    (name,) = catalogue.match([name], experiments)
    chosen = experiments[name].profile(profile)
    with console.without_native_messages():
        from tfhier import frontends, tagger

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


def show_experiment(found: dict) -> None:
    """Print what `experiment` returns, for people."""
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


def model(name: str) -> dict:
    """Return what a saved model promises, as JSON has it.

    Raises:
        InputError: There is no such model, or it was cut short or altered.
    """
    if name.startswith(("http://", "https://")):
        promised = ServerEngine(name).contract
        called, place, size = promised.name or name.rpartition("/")[2], name, 0
    else:
        path = model_paths.find(name)
        promised = contract.read(path)
        members.verify(path)
        called = promised.name or model_paths.model_name(path)
        place, size = str(path), _size(path)
    levels = promised.taxonomy.levels
    return {
        "name": called,
        "path": place,
        "bytes": size,
        "sample_rate": promised.sample_rate,
        "window_seconds": promised.window_seconds,
        "hop_seconds": promised.hop_seconds,
        "clip_seconds": promised.clip_seconds,
        "scores": promised.score_meaning,
        "weights": promised.weights,
        "levels": {level: list(promised.taxonomy.labels_of(level)) for level in levels},
        "groups": _groups(promised.taxonomy),
        "thresholds": {
            level: dict(zip(promised.taxonomy.labels_of(level), bounds, strict=True))
            for level, bounds in promised.thresholds.items()
        },
        "results": promised.results,
        "tested": promised.tested,
        "frontend": promised.frontend,
        "source": promised.source,
        "licence": promised.licence,
        "citation": promised.citation,
        "versions": promised.versions,
    }


def show_model(found: dict) -> None:
    """Print what `model` returns, for people."""
    size = f"  ({found['bytes'] / 1e6:.2f} MB)" if found["bytes"] else ""
    print(f"{found['name']}  {found['path']}{size}")
    console.line("input", _input(found))
    for level in found["levels"]:
        console.line("level", f"{level}: {_labels(found, level)}")
    console.line("scores", found["scores"])
    bounds = (
        "fitted on validation clips, in brackets" if found["thresholds"] else "none"
    )
    console.line("tags", f"thresholds: {bounds}")
    for level, figures in found["results"].items():
        shown = [
            f"{name} {console.percent(value)}"
            for name, value in figures.items()
            if name != "loss"
        ]
        console.line("tested", f"{level}: {', '.join(shown)} (%)")
    if found["tested"]:
        console.line("", found["tested"])
    console.line("weights", found["weights"])
    console.line("source", found["source"] or "not stated")
    console.line("licence", found["licence"] or "not stated")
    made = ", ".join(f"{name} {value}" for name, value in found["versions"].items())
    console.line("made by", made or "not stated")


def _input(found: dict) -> str:
    rate = found["sample_rate"]
    if not rate:
        return "precomputed features, not sound"
    if found["window_seconds"]:
        length = (
            f"{found['window_seconds']:g}-s windows every {found['hop_seconds']:g} s, "
            "what is shorter filled up with zeros"
        )
    else:
        length = "clips of any length"
    trained = found["clip_seconds"]
    return f"{rate} Hz, {length}" + (f", trained on {trained:g} s" if trained else "")


def _labels(found: dict, level: str) -> str:
    """Return a level's labels, their thresholds and, after "=", what is below them."""
    labels, bounds = found["levels"][level], found["thresholds"].get(level)
    if len(labels) > _MOST_LABELS:
        return f"{len(labels)} labels"
    below = found["groups"].get(level)
    shown = [
        label
        + (f" ({bounds[label]:.2f})" if bounds else "")
        + (f" = {' | '.join(below[label])}" if below else "")
        for label in labels
    ]
    return f"{len(labels)} labels: {'; '.join(shown) if below else ', '.join(shown)}"


def _groups(taxonomy: Taxonomy) -> dict[str, dict[str, list[str]]]:
    """Return by level above the finest: label -> labels of the level below."""
    found = {}
    for lower, upper in itertools.pairwise(taxonomy.levels):
        names = taxonomy.labels_of(lower)
        groups = [[names[child] for child in each] for each in taxonomy.groups(lower)]
        found[upper] = dict(zip(taxonomy.labels_of(upper), groups, strict=True))
    return found


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
