"""What tells the network in a `.keras` file from others, whatever the session."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import h5py

from tfhier.errors import InputError
from tfhier.members import DAMAGE

# What a config says of the session and not of the network.
_PASSING = (
    "module",
    "registered_name",
    "shared_object_id",
    "build_config",
    "compile_config",
    "trainable",
    "input_layers",
    "output_layers",
)


def network_digest(path: Path) -> str:
    """Return 16 hexadecimal digits that tell a saved tagger's network from others.

    Equal networks have equal digests, whenever and after whatever they were built:
    Keras numbers the operations of a session, so their names do not count, here or
    among the weights.

    Raises:
        InputError: The file is missing or broken.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = hashlib.sha256(_weights(archive.read("model.weights.h5")))
            config = json.loads(archive.read("config.json"))
    except FileNotFoundError:
        raise InputError(f"There is no model {path}.") from None
    except (*DAMAGE, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is no usable Keras model ({error}). Copy or train it again."
        ) from None
    plain = _anonymous(config, {})
    found.update(json.dumps(plain, sort_keys=True).encode())
    return found.hexdigest()[:16]


def _weights(content: bytes) -> bytes:
    """Return places, types, shapes and values of all weights in an HDF5 file.

    A layer's place is its class and number in its network; its name is an attribute.
    """
    found = []

    def visit(place: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(f"{place} {item.dtype} {item.shape}".encode())
            found.append(item[()].tobytes())

    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(visit)
    return b"\n".join(found)


def _anonymous(value: object, places: Mapping[str, int]) -> object:
    """Return a config with places in the network for what a session calls its parts.

    Args:
        value: Config of Keras, or a part of one.
        places: Dict of name -> place, for the operations of the network around it.
    """
    if isinstance(value, list):
        return [_anonymous(part, places) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__keras_tensor__":
        name, _, number = value["config"]["keras_history"]
        return [places.get(name), number]
    if "input_layers" in value:
        places = {layer["name"]: place for place, layer in enumerate(value["layers"])}
        places[value["name"]] = len(places)  # the network itself
    return {
        key: _anonymous(part, places)
        for key, part in value.items()
        if key not in _PASSING and not (key == "name" and part in places)
    }
