"""Published tensors into a model of ours: name rules, and the door they go through.

A family of networks is a table of rules. Each rule matches the whole published name of
a tensor and says which variable of ours it fills and in what order of axes, or why it
is not used. The first rule that matches counts.

Published tensors are in PyTorch's layout: convolutions (out, in, height, width),
depthwise ones (channels, 1, height, width), linear layers (out, in).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from tfhier.errors import InputError

# Headings of what does not fit, in the order of the message.
_FAULTS = (
    "Tensors without a place in it",
    "Tensors of another shape",
    "Tensors that hold what no weight is",
    "Tensors for what another tensor fills",
    "Variables of ours that no tensor fills",
)


@dataclass(frozen=True)
class Rule:
    """What becomes of the tensors whose whole name a pattern matches.

    Args:
        pattern: str. Regular expression of the published name.
        variable: str. Path of our variable, such as "bn0/gamma". `\\1` stands for the
            first group of the pattern, its dots for underscores. "" if not used.
        axes: Tuple of int. Published axes in our order; empty for as they are.
        reason: str. Why such a tensor is not used.
    """

    pattern: str
    variable: str = ""
    axes: tuple[int, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Skipped:
    """A published tensor that no variable of ours needs, and why."""

    name: str
    reason: str


COUNTERS = Rule(
    r".*\.num_batches_tracked",
    reason="counts training steps, which only matters to PyTorch",
)


def convolution(module: str, layer: str = r"\1") -> tuple[Rule, ...]:
    """Return the rules of convolutions without bias.

    Args:
        module: str. Regular expression of the published module; it becomes group 1, its
            own groups follow.
        layer: str. Name of our layer. Defaults to the module's, with underscores.
    """
    return (Rule(rf"({module})\.weight", f"{layer}/kernel", (2, 3, 1, 0)),)


def depthwise(module: str, layer: str = r"\1") -> tuple[Rule, ...]:
    """Return the rules of depthwise convolutions; arguments as `convolution`."""
    return (Rule(rf"({module})\.weight", f"{layer}/kernel", (2, 3, 0, 1)),)


def linear(module: str, layer: str = r"\1") -> tuple[Rule, ...]:
    """Return the rules of linear layers; arguments as `convolution`."""
    return (
        Rule(rf"({module})\.weight", f"{layer}/kernel", (1, 0)),
        Rule(rf"({module})\.bias", f"{layer}/bias"),
    )


def norm(module: str, layer: str = r"\1") -> tuple[Rule, ...]:
    """Return the rules of normalisations; arguments as `convolution`."""
    names = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    return tuple(
        Rule(rf"({module})\.{published}", f"{layer}/{ours}")
        for published, ours in names.items()
    )


def assign(
    model: keras.Model, tensors: Mapping[str, np.ndarray], rules: Sequence[Rule]
) -> list[Skipped]:
    """Give a model published weights: all of them and exactly, or none.

    Args:
        model: Model with a variable for every tensor that the rules use.
        tensors: Mapping of published name -> array, in any order.
        rules: Rules of the family.

    Returns:
        The tensors that were not used, in the order of `tensors`.

    Raises:
        InputError: A tensor has no place, another shape or values that are no numbers,
            or a variable stays empty. All of them are named; nothing was assigned.
    """
    variables = {variable.path: variable for variable in model.weights}
    fitting: dict[str, np.ndarray] = {}
    skipped: list[Skipped] = []
    homeless, misshaped, unfit, doubled = [], [], [], []
    for name, tensor in tensors.items():
        rule, path = _lookup(name, rules)
        if objection := _objection(tensor, path):
            unfit.append(f"{name} {tensor.shape}: {objection}")
        if rule and rule.reason:
            skipped.append(Skipped(name, rule.reason))
        elif path not in variables:
            homeless.append(f"{name} {tensor.shape}")
        elif path in fitting:
            doubled.append(f"{name} {tensor.shape}: {path}")
        else:
            expected = _published_shape(variables[path].shape, rule.axes)
            if tensor.shape != expected:
                misshaped.append(f"{name} {tensor.shape} instead of {expected}")
            is_turned = rule.axes and tensor.shape == expected
            fitting[path] = tensor.transpose(rule.axes) if is_turned else tensor
    missing = [
        f"{path} {tuple(variable.shape)}"
        for path, variable in variables.items()
        if path not in fitting
    ]
    _refuse(homeless, misshaped, unfit, doubled, missing)
    for path, variable in variables.items():
        variable.assign(fitting[path].astype(np.float32))
    return skipped


def _lookup(name: str, rules: Sequence[Rule]) -> tuple[Rule | None, str]:
    """Return the rule of a published tensor and the path of our variable."""
    for rule in rules:
        if match := re.fullmatch(rule.pattern, name):
            return rule, match.expand(rule.variable).replace(".", "_")
    return None, ""


def _published_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the published shape of a variable of ours."""
    if not axes:
        return tuple(shape)
    return tuple(shape[axes.index(axis)] for axis in range(len(axes)))


def _objection(tensor: np.ndarray, path: str) -> str:
    """Return what is wrong with the values of a tensor; "" if nothing."""
    if tensor.dtype.kind not in ("f" if path else "fiub"):
        return f"{tensor.dtype} instead of floats"
    with np.errstate(over="ignore"):
        finite = np.isfinite(tensor.astype(np.float32, copy=False))
    if not finite.all():
        return f"{np.sum(~finite)} of {finite.size} values are NaN or infinite"
    if path.endswith("/moving_variance") and (tensor < 0).any():
        return "variances below zero"
    return ""


def _refuse(*faults: Sequence[str]) -> None:
    """Raise one InputError for all that does not fit, if anything."""
    found = [
        f"{heading} ({len(names)}): {', '.join(names)}."
        for heading, names in zip(_FAULTS, faults, strict=True)
        if names
    ]
    if found:
        raise InputError(
            f"The weights do not fit the network; none were loaded. {' '.join(found)} "
            "Give the whole file of just this network."
        )
