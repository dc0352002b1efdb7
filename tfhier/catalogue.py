"""Experiments as files and as text: found, described, matched and changed by name.

An experiment is a module variable of `experiments/*.py` that holds an `Experiment`. The
variable's name is the experiment's name:

    openmic_gmp = _joint.but(head="gmp")

`_joint` starts with an underscore and is therefore only a base for others.
"""

import ast
import dataclasses
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from tfhier import console
from tfhier.errors import InputError, close_names
from tfhier.experiment import Experiment, refuse_unknown


def find(folder: str | Path) -> dict[str, Experiment]:
    """Return all experiments of a folder by name, in the order they are written.

    Every public variable of every `*.py` file (but `run.py`) that holds an `Experiment`
    is one.

    Raises:
        InputError: The folder has no experiments, or two files use one name.
    """
    found, origin = {}, {}
    for path in sorted(Path(folder).glob("*.py")):
        if path.name == "run.py":
            continue
        for name, value in vars(_import_file(path)).items():
            if not isinstance(value, Experiment) or name.startswith("_"):
                continue
            if name in found:
                raise InputError(
                    f"Two experiments are called '{name}': one in {origin[name]}, one "
                    f"in {path}. Rename one of them."
                )
            found[name], origin[name] = value, path
    if not found:
        raise InputError(f"There are no experiments in {folder}.")
    return found


def describe(folder: str | Path) -> dict[str, str]:
    """Return a sentence on every experiment of a folder."""
    return {
        name: f"{value.row or value.head} on {value.backbone}, {value.dataset}"
        + (f" features '{value.features}'" if value.features else "")
        + (f" ({value.table})" if value.table else "")
        for name, value in find(folder).items()
    }


def card(name: str, experiment: Experiment) -> str:
    """Return all settings as text, the full and the small profile's side by side."""
    small = experiment.profile("small")
    lines = [experiment.title(name)]
    lines.append(f"  {'':<24} {experiment.original:<28} small profile")
    lines += [f"  not as in the paper: {text}" for text in experiment.departures]
    for item in dataclasses.fields(Experiment):
        if item.name in ("row", "table", "paper", "departures", "small"):
            continue
        own, other = getattr(experiment, item.name), getattr(small, item.name)
        changed = "" if own == other else f"{other!r}"
        lines.append(f"  {item.name:<24} {own!r:<28} {changed}".rstrip())
    return "\n".join(lines)


def match(patterns: Sequence[str], experiments: Mapping[str, Experiment]) -> list[str]:
    """Return the names that match any of the patterns (`openmic_*`), without repeats.

    Raises:
        InputError: A pattern matches nothing; close names are offered.
    """
    chosen: dict[str, None] = {}
    for pattern in patterns:
        matches = [name for name in experiments if fnmatchcase(name, pattern)]
        if not matches:
            raise InputError(
                f"no experiment is called '{pattern}'."
                f"{close_names(pattern, experiments)} "
                "All names: tfhier list experiments"
            )
        chosen.update(dict.fromkeys(matches))
    return list(chosen)


def override(experiment: Experiment, assignments: Sequence[str]) -> Experiment:
    """Change settings by text, as `--set field=value` does.

    A value is read as a Python literal, or as plain text where the setting holds text.
    Its type must be the setting's own (a whole number may stand for a float). A setting
    that the grid varied, or that the small profile changes, then holds everywhere.

    Raises:
        InputError: An assignment has no `=`, an unknown setting, or a value of a wrong
            type.
    """
    changes = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"--set takes field=value. Received: '{assignment}'")
        refuse_unknown(name, "--set")
        changes[name] = _convert(name, text, getattr(experiment, name))
    grid = {
        key: values for key, values in experiment.grid.items() if key not in changes
    }
    small = {
        key: value for key, value in experiment.small.items() if key not in changes
    }
    if "grid" in small:
        small["grid"] = {k: v for k, v in small["grid"].items() if k not in changes}
    return experiment.but(**{"grid": grid, "small": small, **changes})


def _convert(name: str, text: str, current: object) -> object:
    kind = type(current)
    if kind is str:
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if kind is float and type(value) is int:
        value = float(value)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    elif kind is tuple and _may_hold(current, value):
        value = (value,)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(
            f"--set {name} takes a value like {current!r} ({kind.__name__}). "
            f"Received: '{text}'"
        )
    return value


def _may_hold(current: tuple, value: object) -> bool:
    """Return whether a lone value may stand for a tuple of one."""
    kinds = (str,) if all(isinstance(item, str) for item in current) else (int,)
    return isinstance(value, kinds)


def parse_numbers(text: str, *, option: str = "--seeds") -> tuple[int, ...]:
    """Read seeds or folds such as `0-7`, `3` or `0,2,5-6`.

    Raises:
        InputError: The text is nothing like that, or a range runs backwards.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(
                f"{option} takes numbers like 0-7 or 0,2,5. Received: '{text}'"
            )
        if dash and int(last) < int(first):
            raise InputError(
                f"{option}: {part.strip()} runs backwards. Received: '{text}'"
            )
        if int(last or first) >= 2**31 or int(last or first) - int(first) > 9999:
            raise InputError(
                f"{option} names numbers up to 2147483647, at most 10000. Received: "
                f"'{text}'"
            )
        numbers.extend(range(int(first), int(last or first) + 1))
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{option} names a number twice. Received: '{text}'")
    return tuple(numbers)


def _import_file(path: Path):
    name = f"tfhier_experiments_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # A file with a backbone of its own loads Keras.
    with console.without_native_messages():
        spec.loader.exec_module(module)
    return module
