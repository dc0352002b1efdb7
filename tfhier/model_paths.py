"""Where a model is: what people call it, and the file or folder that is meant.

saved_models/openmic_resatt            an experiment: its best run's best.keras
saved_models/openmic_resatt/seed3      a run: its best.keras
saved_models/openmic_resatt/serving    exported versions 1/, 2/ ...: the highest
model.keras, model.tflite, serving/1   themselves
"""

import re
from pathlib import Path

from tfhier import console, members
from tfhier.errors import InputError, close_names
from tfhier.files import read_json

# What results on the embedded stand-ins of a data set are kept apart by.
EMBEDDED = "@embedded"
BEST = "best.keras"


def find(name: str | Path) -> Path:
    """Return the `.keras` or `.tflite` file or the SavedModel folder that is meant.

    Args:
        name: str or Path. A model, or the folder of a run, of an experiment or of
            exported versions. An experiment that was run on its embedded stand-in only
            is found by its plain name, and that is said.

    Raises:
        InputError: There is nothing, or nothing trained or exported yet; or it is on a
            server.
    """
    path = existing(name)
    if not path.is_dir() or members.is_saved_model(path):
        return path
    found = versions(path)
    if found:
        return found[max(found)]
    if (path / BEST).is_file():
        return path / BEST
    return _best_run(path)


def existing(name: str | Path) -> Path:
    """Return the file or folder of a name, or the one of results on the stand-in.

    Raises:
        InputError: There is neither; close names are offered.
    """
    if str(name).startswith(("http:", "https:")):
        raise InputError(
            f"{name} is on a server. Give the file or the folder that is served."
        )
    path = Path(name)
    return path if path.exists() else _stand_in(path)


def versions(folder: Path) -> dict[int, Path]:
    """Return the SavedModels in a folder of TF Serving's layout: version -> path."""
    if not folder.is_dir():
        return {}
    return {
        int(item.name): item
        for item in folder.iterdir()
        if re.fullmatch("[0-9]{1,18}", item.name) and members.is_saved_model(item)
    }


def serving_folder(name: str) -> tuple[str, Path]:
    """Return what a model is served as, and the folder of its exported versions.

    Args:
        name: str. A folder with versions 1, 2 ..., or one with `serving/` in it;
            `NAME=FOLDER` to call it otherwise.

    Raises:
        InputError: No version was exported there.
    """
    # Folders of a grid have a "=" of their own.
    called, is_called, place = name.partition("=")
    if not is_called or Path(name).exists():
        called, place = "", name
    path = existing(place)
    for folder in (path, path / "serving"):
        if versions(folder):
            return called or model_name(folder), folder
    if path.is_file() and path.suffix != ".keras":
        raise InputError(
            f"{path} cannot be served. Give the folder of the model that it was "
            "exported from, with serving/ in it."
        )
    raise InputError(
        f"{path} holds no exported versions (serving/1, ...). Export first: tfhier "
        f"export {path} --to savedmodel"
    )


def model_name(path: Path) -> str:
    """Return what a model is called: its experiment, or its file without suffix."""
    path = path.resolve()
    if path.suffix == ".tflite" or (path.is_file() and path.name != BEST):
        return path.stem
    for folder in path.parents if path.is_file() else (path, *path.parents):
        if not re.fullmatch("(seed|fold)?[0-9]+|serving|.*=.*", folder.name):
            return folder.name.removesuffix(EMBEDDED) or "model"
    return "model"


def _stand_in(path: Path) -> Path:
    """Return the results on the embedded stand-in in place of a missing folder."""
    other = path.with_name(path.name + EMBEDDED) if path.name else path
    if other.is_dir():
        console.line(
            "model", f"{path} was not trained; taking {other}, trained on a stand-in"
        )
        return other
    there = [item.name for item in path.parent.glob("*") if _may_be_model(item)]
    raise InputError(f"There is no model {path}.{close_names(path.name, there)}")


def _may_be_model(path: Path) -> bool:
    if path.suffix in (".keras", ".tflite"):
        return True
    has = any((path / name).exists() for name in (BEST, "metrics.json", "serving"))
    return has or members.is_saved_model(path) or bool(versions(path))


def _best_run(folder: Path) -> Path:
    """Return the model of an experiment's best run."""
    if not (folder / "metrics.json").is_file():
        name = folder.resolve().name.partition("@")[0]
        raise InputError(
            f"{folder} holds no model: neither {BEST} of a run, nor metrics.json of a "
            "finished experiment, nor exported versions. Train it first: python "
            f"experiments/run.py --exp {name}"
        )
    best = folder / read_json(folder / "metrics.json")["best_run"] / BEST
    if not best.is_file():
        raise InputError(
            f"There is no {best}, which {folder / 'metrics.json'} calls the best run. "
            "Give another run's folder."
        )
    return best
