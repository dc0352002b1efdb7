"""What stands in for the classes and functions that a checkpoint's pickle names.

A pickle makes its objects by calling what it names. Every name that training scripts
store leads to a stand-in of this module, which imports, calls and keeps nothing:

* tensors and storages become records (`Tensor`, `Storage`) of where their values lie;
* dictionaries become `PlainDict`, text that carries bytes becomes bytes, a data type of
  torch `Dtype`, a size a tuple;
* all else becomes `Inert`, an object without content.

Names and arguments are those of PyTorch's `torch/_utils.py`, `torch/storage.py` and
`torch/serialization.py`.
"""

import dataclasses
import pickle
from collections.abc import Callable

import numpy as np

# Data type of torch -> the NumPy type of its bytes in a file.
DTYPES = {
    "float64": np.dtype("f8"),
    "float32": np.dtype("f4"),
    "float16": np.dtype("f2"),
    "bfloat16": np.dtype("u2"),  # the upper half of a float32
    "int64": np.dtype("i8"),
    "int32": np.dtype("i4"),
    "int16": np.dtype("i2"),
    "int8": np.dtype("i1"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("u1"),
}
MAX_DIMENSIONS = 32
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}
# Names whose objects are of no use here. Those of Python 2 are stored up to protocol 2.
_INERT = {
    "__builtin__": "bytearray complex frozenset list long object set slice unicode "
    "xrange",
    "builtins": "bool bytearray bytes complex dict float frozenset int list object "
    "range set slice str tuple",
    "argparse": "Namespace",
    "collections": "deque",
    "copy_reg": "_reconstructor",
    "copyreg": "_reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "pathlib._local": "Path PosixPath PurePath PurePosixPath PureWindowsPath "
    "WindowsPath",
    "types": "SimpleNamespace",
    "numpy": "dtype ndarray bool_ float16 float32 float64 int8 int16 int32 int64 uint8",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "torch": "Tensor device Generator",
    "torch.nn.parameter": "Parameter Buffer",
    "torch.serialization": "_get_layout",
}
# Packages with all their modules. Nothing of them is imported.
_INERT_PACKAGES = (
    "ba3l", "lightning", "lightning_fabric", "numpy.random", "omegaconf",
    "pytorch_lightning", "sacred",
)  # fmt: skip


class Inert:
    """An object whose class is of no use here: takes anything and keeps nothing."""

    __slots__ = ()

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, item):
        pass

    def extend(self, items):
        pass

    def add(self, item):
        pass


class _Sealed:
    """What a pickle cannot change once it is made.

    Without `__setstate__` a pickle's BUILD would set attributes of any object.
    """

    __slots__ = ()

    def __setstate__(self, state):
        raise pickle.UnpicklingError(f"it gives a state to a {type(self).__name__}")


@dataclasses.dataclass(frozen=True, eq=False)
class Dtype(_Sealed):
    """A data type of torch by name."""

    name: str


@dataclasses.dataclass(frozen=True, eq=False)
class StorageType(_Sealed):
    """A class of storages: its elements' data type."""

    dtype: str


@dataclasses.dataclass(frozen=True, eq=False)
class Storage(_Sealed):
    """A block of elements in the file.

    Attributes:
        key: str. Its name in the file.
        dtype: str. A key of `DTYPES`.
        num_elements: int >= 0. As the pickle declares.
    """

    key: str
    dtype: str
    num_elements: int


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor(_Sealed):
    """A view into a storage, not yet checked to lie inside.

    Attributes:
        storage: Storage.
        dtype: str. A key of `DTYPES`.
        start: int >= 0. Its first element's place, in elements of `dtype`.
        shape: tuple of int >= 0.
        strides: tuple of int >= 0, as long as `shape`. Steps in elements.
    """

    storage: Storage
    dtype: str
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class _Function(_Sealed):
    """A function that a pickle may call."""

    call: Callable

    def __call__(self, *args):
        return self.call(*args)


class PlainDict(dict):
    """An ordered, counting or default dictionary; without its attributes."""

    __slots__ = ()

    def __init__(self, content=None, *_):
        super().__init__()
        if isinstance(content, dict):  # a Counter's counts
            self.update(content)
        elif isinstance(content, list):  # an ordered dictionary's pairs, by Python 2
            for key, value in content:
                if not isinstance(key, str | int | float):
                    raise pickle.UnpicklingError("a dictionary has an unusual key")
                self[key] = value

    def __setstate__(self, state):
        pass


def find(module: str, name: str) -> object | None:
    """Return what stands in for a global; None if nothing may.

    Args:
        module: str. Name of a module, as a pickle gives it.
        name: str. A name of that module. One with dots is none.
    """
    if name in _INERT.get(module, "").split():
        return Inert
    if any(f"{module}.".startswith(f"{package}.") for package in _INERT_PACKAGES):
        return Inert
    if module in ("torch", "torch.storage") and name in _STORAGES:
        return StorageType(_STORAGES[name])
    if module == "torch" and name in DTYPES:
        return Dtype(name)
    return _ACTIVE.get((module, name))


def _rebuild_tensor(storage, start, shape, strides, *_) -> Tensor:
    """`torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`."""
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor has no storage")
    return _tensor(storage, storage.dtype, start, shape, strides)


def _rebuild_tensor_v3(storage, start, shape, strides, _, __, dtype, *___) -> Tensor:
    """`torch._utils._rebuild_tensor_v3`: a data type of its own on plain bytes."""
    if not (isinstance(storage, Storage) and isinstance(dtype, Dtype)):
        raise pickle.UnpicklingError("a tensor has no storage or no data type")
    return _tensor(storage, dtype.name, start, shape, strides)


def _tensor(storage: Storage, dtype: str, start, shape, strides) -> Tensor:
    shape, strides = _sizes(shape), _sizes(strides)
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise pickle.UnpicklingError(
            f"a tensor has {len(shape)} sizes and {len(strides)} strides"
        )
    return Tensor(storage, dtype, *_sizes((start,)), shape, strides)


def _sizes(values) -> tuple[int, ...]:
    """Return whole numbers >= 0 of 64 bits; anything else is an error."""
    is_row = isinstance(values, tuple | list)
    if not is_row or not all(type(n) is int and 0 <= n < 1 << 63 for n in values):
        raise pickle.UnpicklingError("a tensor's sizes are no whole numbers")
    return tuple(values)


def _rebuild_parameter(tensor, *_) -> Tensor:
    """`torch._utils._rebuild_parameter` and `_rebuild_parameter_with_state`."""
    if not isinstance(tensor, Tensor):
        raise pickle.UnpicklingError("a parameter has no tensor")
    return tensor


def _rebuild_from_type(function, _, args, __) -> Tensor:
    """`torch._tensor._rebuild_from_type_v2`: a tensor of a class, with attributes."""
    if not (isinstance(function, _Function) and isinstance(args, tuple)):
        raise pickle.UnpicklingError("a tensor is made by no function of torch")
    return _rebuild_parameter(function(*args))


def _encode(text, encoding) -> bytes:
    """`_codecs.encode`, by which protocols up to 2 store bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes are stored in an unknown encoding")
    return text.encode("latin1")


_ACTIVE: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): PlainDict,
    ("collections", "Counter"): PlainDict,
    ("collections", "defaultdict"): PlainDict,
    ("_codecs", "encode"): _Function(_encode),
    ("__builtin__", "bytes"): _Function(lambda: b""),
    ("torch", "Size"): _Function(_sizes),
    ("torch._utils", "_rebuild_tensor"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): _Function(_rebuild_tensor_v3),
    ("torch._utils", "_rebuild_parameter"): _Function(_rebuild_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): _Function(_rebuild_parameter),
    ("torch._tensor", "_rebuild_from_type_v2"): _Function(_rebuild_from_type),
}
