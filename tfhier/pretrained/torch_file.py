"""PyTorch checkpoints as NumPy arrays, without PyTorch and without running a pickle."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfhier.errors import InputError
from tfhier.pretrained import torch_formats
from tfhier.pretrained.checkpoint import OpenCheckpoint
from tfhier.pretrained.standins import Dtype, Storage, Tensor

# Entries of a training script's dictionary that hold the network, the first found.
_ENTRIES = ("state_dict", "model", "model_state_dict", "net", "weights")
# What Lightning modules of this field call their network and its average.
_NETWORKS = ("net", "net_swa")
# Set by PyTorch Lightning in every checkpoint.
_LIGHTNING = "pytorch-lightning_version"
_PARALLEL = "module."  # of torch.nn.DataParallel


@dataclass(frozen=True)
class Network:
    """A network of a checkpoint.

    Args:
        tensors: Dict of name -> C-contiguous array, in the file's order; names without
            the prefix and without the "module." of DataParallel.
        beside: Tuple of str. Full names of the tensors beside it, which the prefix
            leaves out.
    """

    tensors: dict[str, np.ndarray]
    beside: tuple[str, ...]


def read(path: str | Path) -> object:
    """Read everything that a checkpoint holds.

    Args:
        path: str or Path. A file of `torch.save`: zip, or legacy (before PyTorch 1.6).

    Returns:
        The stored object: dictionaries, lists, tuples, numbers and text as they are; a
        NumPy array of its own for every tensor or parameter, float32 for bfloat16; the
        name of a data type of torch; and a `standins.Inert` for any other object, such
        as a NumPy array of a sampler or the settings of a script.

    Raises:
        InputError: The file is none of `torch.save`, is damaged, or asks for what no
            checkpoint needs.
    """
    with torch_formats.opened(path) as checkpoint:
        try:
            return _resolved(checkpoint.content, checkpoint, {})
        except RecursionError:
            raise InputError(
                f"{path} is nested too deeply for a checkpoint. Save the network's "
                "state_dict alone with torch.save."
            ) from None


def network(path: str | Path, *, prefix: str | None = None) -> Network:
    """Read a checkpoint's network.

    The network is the stored object itself, or its entry "state_dict", "model",
    "model_state_dict", "net" or "weights". Other tensors, such as an optimizer's, are
    not read from the file.

    Args:
        path: str or Path. As of `read`.
        prefix: str, optional. Which network, where a checkpoint holds several: the
            start of its tensors' names, such as "net_swa". Defaults to the only one;
            what all names start with is taken off.

    Returns:
        Network.

    Raises:
        InputError: As of `read`; or there are no tensors, none has the prefix, or
            without a prefix there are two networks.
    """
    with torch_formats.opened(path) as checkpoint:
        content = checkpoint.content
        tensors = _find_tensors(content, levels=3)
        if not tensors:
            raise InputError(
                f"{path} holds no tensors by name, but {_description(content)}. "
                f"Expected a network's state_dict, alone or as {', '.join(_ENTRIES)}."
            )
        is_lightning = isinstance(content, dict) and _LIGHTNING in content
        tensors = _without(_PARALLEL, tensors)
        start = _start(tensors, prefix, is_lightning=is_lightning, path=Path(path))
        chosen = {
            name.removeprefix(start): tensor
            for name, tensor in tensors.items()
            if name.startswith(start)
        }
        return Network(
            tensors={
                name: checkpoint.array(tensor)
                for name, tensor in _without(_PARALLEL, chosen).items()
            },
            beside=tuple(name for name in tensors if not name.startswith(start)),
        )


def state_dict(path: str | Path, *, prefix: str | None = None) -> dict[str, np.ndarray]:
    """Return the tensors of `network`, with its arguments and errors."""
    return network(path, prefix=prefix).tensors


def _description(content: object) -> str:
    """Say what a checkpoint holds instead of tensors."""
    if not isinstance(content, dict):
        return f"a single {type(content).__name__}"
    names = [key[:40] for key in content if isinstance(key, str)]
    return f"entries {', '.join(names[:20]) or 'without names'}"


def _resolved(
    value: object, checkpoint: OpenCheckpoint, known: dict[int, object]
) -> object:
    """Return an object with arrays in place of the records of tensors.

    Args:
        known: id of an object -> what it became. It keeps shared objects shared and
            lets those that contain themselves end.
    """
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, dict):
        known[id(value)] = result = {}
        for key, item in value.items():
            result[key] = _resolved(item, checkpoint, known)
    elif isinstance(value, list):
        known[id(value)] = result = []
        result.extend(_resolved(item, checkpoint, known) for item in value)
    elif isinstance(value, tuple):
        result = tuple(_resolved(item, checkpoint, known) for item in value)
    elif isinstance(value, Tensor):
        result = checkpoint.array(value)
    elif isinstance(value, Storage):
        whole = Tensor(value, value.dtype, 0, (value.num_elements,), (1,))
        result = checkpoint.array(whole)
    else:
        return value.name if isinstance(value, Dtype) else value
    known[id(value)] = result
    return result


def _find_tensors(content: object, *, levels: int) -> dict[str, Tensor]:
    """Return the tensors of a network by name, from the first entry that has any."""
    if not isinstance(content, dict) or not levels:
        return {}
    for entry in _ENTRIES:
        if tensors := _find_tensors(content.get(entry), levels=levels - 1):
            return tensors
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _without(start: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take a start off all names if all have it."""
    if not all(name.startswith(start) for name in tensors):
        return tensors
    return {name.removeprefix(start): tensor for name, tensor in tensors.items()}


def _start(
    tensors: dict[str, Tensor], prefix: str | None, *, is_lightning: bool, path: Path
) -> str:
    """Return what the names of one network's tensors start with, "" for all tensors.

    Raises:
        InputError: There are several networks, or none has the prefix.
    """
    parts = list(dict.fromkeys(name.partition(".")[0] for name in tensors))
    if prefix is not None:
        start = prefix.removesuffix(".") + "."
        if not any(name.startswith(start) for name in tensors):
            raise InputError(
                f"{path} has no tensor whose name starts with '{start}'. Names start "
                f"with: {', '.join(parts):.300}."
            )
        return start
    networks = [part for part in parts if part in _NETWORKS]
    if len(networks) > 1:
        raise InputError(
            f"{path} holds two networks, {' and '.join(networks)} (net_swa: the "
            "average of its weights over training). Choose one: "
            f"prefix={networks[-1]}."
        )
    # Beside its network a Lightning module may have others' tensors, say the front
    # end's; elsewhere a part called net belongs to the network.
    is_module = len(parts) == 1 and all("." in name for name in tensors)
    if is_module or (networks and is_lightning):
        return f"{(networks or parts)[0]}."
    return ""
