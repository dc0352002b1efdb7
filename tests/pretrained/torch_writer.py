"""Writes the files of `torch.save`, both kinds, without PyTorch.

Every NumPy array of a type in `STORAGES` becomes a tensor; arrays that are views of one
array share its storage, with their offsets and strides. `Parameter`, `BFloat16` and
`Plain` change what an array becomes, and `Global` is any name of a module, which can be
called. Layouts after `torch/serialization.py` of PyTorch.
"""

import collections
import dataclasses
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Global:
    """A name of a module, which need not exist."""

    module: str
    name: str

    def __call__(self, *args):
        return Call(self, args)


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """What a global returns, with an optional state given to it."""

    function: Global
    args: tuple
    state: object = None


@dataclasses.dataclass(frozen=True, eq=False)
class Parameter:
    """An array as `torch.nn.Parameter`."""

    array: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class BFloat16:
    """An array of uint16, the upper halves of float32, as a bfloat16 tensor."""

    bits: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Plain:
    """A NumPy array or scalar, or a random state, that stays one."""

    value: object


@dataclasses.dataclass(frozen=True, eq=False)
class Storage:
    """The memory of an array that owns it."""

    owner: np.ndarray
    kind: str


def write(path: str | Path, obj: object, *, format: str = "zip", protocol: int = 2):
    """Write an object as `torch.save` does.

    Args:
        path: str or Path. The file.
        obj: Dictionaries, lists, numbers, arrays and what this module defines.
        format: "zip" or "legacy" (PyTorch before 1.6).
        protocol: int. Of the pickles.
    """
    data, storages = pickled(obj, format=format, protocol=protocol)
    if format == "legacy":
        Path(path).write_bytes(legacy(data, storages))
        return
    contents = {key: storage_bytes(owner) for key, owner in storages.items()}
    write_zip(path, data, contents)


def write_zip(path: str | Path, data: bytes, storages: dict[str, bytes], **members):
    """Write a zip checkpoint of its parts; members replace or add to the usual ones."""
    members = {"version": b"3\n", "byteorder": b"little"} | members
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
        for name, content in members.items():
            if content is not None:
                archive.writestr(f"archive/{name}", content)


def legacy(data: bytes, storages: dict[str, np.ndarray]) -> bytes:
    """Return a legacy checkpoint of its pickled object and its storages."""
    sizes = {"short": 2, "int": 4, "long": 4}
    machine = {
        "protocol_version": VERSION,
        "little_endian": True,
        "type_sizes": sizes,
    }
    keys = sorted(storages)
    parts = [pickle.dumps(part, 2) for part in (MAGIC, VERSION, machine)]
    parts += [data, pickle.dumps(keys, 2)]
    for key in keys:
        count = storages[key].size
        parts += [count.to_bytes(8, "little"), storage_bytes(storages[key])]
    return b"".join(parts)


def storage_bytes(owner: np.ndarray) -> bytes:
    """Return an array's memory as it lies."""
    return owner.ravel(order="K").tobytes()


def pickled(
    obj: object, *, format: str = "zip", protocol: int = 2
) -> tuple[bytes, dict[str, np.ndarray]]:
    """Return an object's pickle and the arrays that own its storages, by key."""
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, protocol)
    pickler.legacy = format == "legacy"
    pickler.dump(obj)
    return buffer.getvalue(), pickler.owners


# The pickler in C checks that every global exists; this one can be told not to.
class _Pickler(pickle._Pickler):
    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file, protocol: int):
        super().__init__(file, protocol)
        self.legacy = False
        self.owners: dict[str, np.ndarray] = {}
        self._keys: dict[int, str] = {}

    def _save_name(self, obj: Global):
        line = f"{obj.module}\n{obj.name}\n".encode()
        self.write(pickle.GLOBAL + line)
        self.memoize(obj)

    dispatch[Global] = _save_name

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        key = self._keys.setdefault(id(obj.owner), str(len(self._keys)))
        self.owners[key] = obj.owner
        name = Global("torch", obj.kind)
        parts = ("storage", name, key, "cpu", obj.owner.size)
        return (*parts, None) if self.legacy else parts

    def reducer_override(self, obj):
        if isinstance(obj, np.ndarray) and obj.dtype.name in STORAGES:
            return _tensor(obj, STORAGES[obj.dtype.name])
        if isinstance(obj, BFloat16):
            return _tensor(obj.bits, "BFloat16Storage")
        if isinstance(obj, Parameter):
            rebuild = Global("torch._utils", "_rebuild_parameter")
            return rebuild, (obj.array, True, collections.OrderedDict())
        if isinstance(obj, Plain):
            return obj.value.__reduce__()
        if isinstance(obj, Call):
            return obj.function, obj.args, obj.state
        return NotImplemented


def _tensor(array: np.ndarray, kind: str) -> tuple:
    """Return how a tensor is rebuilt: a view of the array that owns the memory."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    start = (array.ctypes.data - owner.ctypes.data) // array.itemsize
    strides = tuple(step // array.itemsize for step in array.strides)
    hooks = collections.OrderedDict()
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    args = (Storage(owner, kind), start, array.shape, strides, False, hooks)
    return rebuild, args
