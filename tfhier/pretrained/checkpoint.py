"""A checkpoint that is open: what it stores, and its tensors read when asked for."""

import contextlib
import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tfhier.errors import InputError
from tfhier.pretrained.standins import DTYPES, Storage, Tensor

# Tensors can share a storage or repeat it by strides of 0, so that a small file can
# declare any size. Honest ones share little.
_MAX_SHARING = 4
_ROOM_BYTES = 1 << 26

# Storage -> (place, size), in bytes, of its content in the file.
_Locate = Callable[[Storage], tuple[int, int]]


class OpenCheckpoint:
    """An open checkpoint.

    Attributes:
        path: Path.
        content: The stored object, with a `Tensor` for every tensor.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        content: object,
        locate: _Locate,
        byte_order: str = "<",
    ):
        self.path = path
        self.content = content
        self._file = file
        self._locate = locate
        self._byte_order = byte_order
        self._bytes_left = _ROOM_BYTES + _MAX_SHARING * size(file)

    def array(self, tensor: Tensor) -> np.ndarray:
        """Read a tensor.

        Returns:
            A C-contiguous array of its own; float32 for a bfloat16 tensor.

        Raises:
            InputError: The tensor reaches outside its storage, is larger than an honest
                file could make it, or the file is damaged.
        """
        stored = DTYPES[tensor.dtype]
        pairs = list(zip(tensor.shape, tensor.strides, strict=True))
        is_empty = 0 in tensor.shape
        reach = 0 if is_empty else 1 + sum((n - 1) * step for n, step in pairs)
        self._spend(tensor, reach * stored.itemsize)
        if is_empty:
            values = np.zeros(tensor.shape, stored)
        else:
            raw = self._read(
                tensor.storage, tensor.start * stored.itemsize, reach * stored.itemsize
            )
            values = np.lib.stride_tricks.as_strided(
                raw.view(stored.newbyteorder(self._byte_order)),
                tensor.shape,
                # A step that is never made can be larger than a number of NumPy's.
                [step * stored.itemsize if n > 1 else 0 for n, step in pairs],
            )
        if tensor.dtype == "bfloat16":
            return (values.astype("u4", order="C") << 16).view("f4")
        if tensor.dtype == "bool":
            return np.array(values != 0, order="C")
        return np.array(values, stored, order="C", copy=None)

    def _spend(self, tensor: Tensor, num_read: int) -> None:
        """Count a tensor's bytes and refuse one that goes beyond what is left.

        An empty tensor counts as if its sizes of 0 were 1, as for NumPy's own limit.
        """
        num_made = math.prod(max(n, 1) for n in tensor.shape)
        self._bytes_left -= max(num_read, num_made * DTYPES[tensor.dtype].itemsize)
        if self._bytes_left < 0:
            raise InputError(
                f"{self.path} is refused: it declares a tensor of shape "
                f"{tensor.shape!s:.100}, with the others far more than the file's "
                f"{size(self._file):,} bytes. It is damaged or made to do harm."
            )

    def _read(self, storage: Storage, start: int, num_bytes: int) -> np.ndarray:
        """Read bytes of a storage."""
        num_declared = storage.num_elements * DTYPES[storage.dtype].itemsize
        with damage_named(self.path):
            place, num_present = self._locate(storage)
            if num_declared > num_present:
                raise EOFError(
                    f"storage {storage.key!r:.40} should have {num_declared:,} bytes, "
                    f"{num_present:,} are there"
                )
            if start + num_bytes > num_declared:
                raise EOFError(
                    f"a tensor reaches to byte {start + num_bytes:,} of a storage of "
                    f"{num_declared:,}"
                )
            raw = np.empty(num_bytes, np.uint8)
            self._file.seek(place + start)
            if self._file.readinto(raw) < num_bytes:
                raise EOFError("it ends early")
        return raw


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into one message."""
    try:
        yield
    except (
        zipfile.BadZipFile, EOFError, OSError, NotImplementedError, struct.error,
        OverflowError, UnicodeDecodeError,
    ) as error:  # fmt: skip
        raise InputError(
            f"{path} is cut or damaged ({error}). Fetch it again, or save it anew with "
            "torch.save."
        ) from None


def size(file: BinaryIO) -> int:
    """Return a file's bytes; its position is then its end."""
    return file.seek(0, io.SEEK_END)
