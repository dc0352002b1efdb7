"""The two files that `torch.save` writes, opened without PyTorch.

* Zip, since PyTorch 1.6: one folder with `data.pkl`, the pickled object, `data/KEY`,
  the bytes of each storage, and `byteorder`. Nothing is compressed.
* Legacy, before: five pickles (a magic number, the format's version, facts of the
  machine, the object, the storages' keys), then the storages in the order of the keys,
  each as a count of elements (int64) and their bytes. All is little-endian.

Layouts after `torch/serialization.py` of PyTorch, functions `_save` and `_legacy_save`.
"""

import contextlib
import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tfhier.errors import InputError
from tfhier.pretrained import pickles
from tfhier.pretrained.checkpoint import OpenCheckpoint, damage_named, size
from tfhier.pretrained.standins import DTYPES, Storage

_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_BLOCK_BYTES = 1 << 20


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[OpenCheckpoint]:
    """Open a file of `torch.save`.

    Raises:
        InputError: The file is missing, is no such file, is damaged, or its pickle asks
            for what no checkpoint needs.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder. Name the checkpoint file in it.")
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}.")
    try:
        with open(path, "rb") as file:
            yield _open(path, file)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}). Give yourself the right to."
        ) from None


def _open(path: Path, file: BinaryIO) -> OpenCheckpoint:
    start = file.read(512)
    if start[:4] == b"PK\x03\x04":
        return _open_zip(path, file)
    if start[:1] == b"\x80":
        return _open_legacy(path, file)
    raise InputError(
        f"{path} is no PyTorch checkpoint: it {_description(start)}. Expected a file "
        "of torch.save, such as a network's state_dict."
    )


def _description(start: bytes) -> str:
    """Say in half a sentence what a file is, by its first 512 bytes."""
    if not start:
        return "is empty"
    if start.lstrip()[:1] == b"<":
        return "is a web page, perhaps saved in place of a download"
    if start[257:262] == b"ustar":
        return "is a tar file, as of PyTorch before 0.4 (save it anew in a later one)"
    return f"starts with {start[:8]!r}"


def _open_zip(path: Path, file: BinaryIO) -> OpenCheckpoint:
    with damage_named(path):
        archive = zipfile.ZipFile(file)
    names = archive.namelist()
    roots = [name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl")]
    roots = [root for root in roots if root.count("/") == 1]
    if len(roots) != 1:
        raise InputError(
            f"{path} is a zip file but no PyTorch checkpoint: expected one data.pkl in "
            f"it, found {len(roots)}."
        )
    (root,) = roots
    if f"{root}constants.pkl" in names:
        raise InputError(
            f"{path} is a TorchScript program, not a checkpoint. Load it with "
            "torch.jit.load and save its tensors: torch.save(network.state_dict(), "
            "'weights.pth')."
        )
    with damage_named(path):
        data = _read_member(archive, f"{root}data.pkl", file)
        order = b"little"
        if f"{root}byteorder" in names:
            order = _read_member(archive, f"{root}byteorder", file)
        if order not in (b"little", b"big"):
            raise EOFError(f"its byte order is {order!r:.40}")
    content, _ = pickles.load(io.BytesIO(data), path)
    places: dict[str, tuple[int, int]] = {}

    def locate(storage: Storage) -> tuple[int, int]:
        if storage.key not in places:
            name = f"{root}data/{storage.key}"
            places[storage.key] = _checked_place(archive, name, file)
        return places[storage.key]

    return OpenCheckpoint(
        path, file, content, locate, "<" if order == b"little" else ">"
    )


def _read_member(archive: zipfile.ZipFile, name: str, file: BinaryIO) -> bytes:
    place, num_bytes = _checked_place(archive, name, file)
    file.seek(place)
    return file.read(num_bytes)


def _checked_place(
    archive: zipfile.ZipFile, name: str, file: BinaryIO
) -> tuple[int, int]:
    """Find a member's content and compare its checksum.

    Returns:
        (place, size), in bytes.

    Raises:
        EOFError: It is not there, not whole, compressed or has another checksum.
    """
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise EOFError(f"it has no {name!r:.60}") from None
    is_stored = member.compress_type == zipfile.ZIP_STORED
    if not is_stored or member.compress_size != member.file_size:
        raise EOFError(f"{name!r:.60} is compressed, which torch.save never does")
    # The local header: 30 bytes, of which the last 4 are the lengths of the name and of
    # the padding that follow.
    file.seek(member.header_offset + 26)
    place = member.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
    file.seek(place)
    checksum, num_left = 0, member.file_size
    while num_left:
        block = file.read(min(num_left, _BLOCK_BYTES))
        if not block:
            raise EOFError(f"{name!r:.60} ends early")
        checksum = zlib.crc32(block, checksum)
        num_left -= len(block)
    # PyTorch can be told to spare checksums: then they are 0.
    if member.CRC not in (0, checksum):
        raise EOFError(f"{name!r:.60} has another checksum than was stored")
    return place, member.file_size


def _open_legacy(path: Path, file: BinaryIO) -> OpenCheckpoint:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if pickles.load(data, path)[0] != _MAGIC:
            raise InputError(
                f"{path} is a pickle, but none of torch.save. Expected a network's "
                "state_dict, saved with torch.save."
            )
        if pickles.load(data, path)[0] != _LEGACY_VERSION:
            raise InputError(
                f"{path} is a checkpoint of another version than {_LEGACY_VERSION}, "
                "the only one known. Save it anew in a later PyTorch."
            )
        pickles.load(data, path)  # facts of the machine that wrote it
        content, storages = pickles.load(data, path)
        keys, _ = pickles.load(data, path)
        end = data.tell()
    with damage_named(path):
        places = _legacy_places(file, end, keys, storages)

    def locate(storage: Storage) -> tuple[int, int]:
        if storage.key not in places:
            raise EOFError(f"it has no storage {storage.key!r:.40}")
        return places[storage.key]

    return OpenCheckpoint(path, file, content, locate)


def _legacy_places(
    file: BinaryIO, start: int, keys: object, storages: dict[str, Storage]
) -> dict[str, tuple[int, int]]:
    """Walk the storages behind the pickles.

    Returns:
        Storage's key -> (place, size) of its content, in bytes.

    Raises:
        EOFError: They do not fit into the file or to the pickles.
    """
    is_list = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not is_list or set(keys) != set(storages):
        raise EOFError("its list of storages is not that of its tensors")
    places, at, num_present = {}, start, size(file)
    for key in keys:
        file.seek(at)
        count = int.from_bytes(file.read(8), "little")
        expected = storages[key].num_elements
        if count != expected:
            raise EOFError(
                f"storage {key!r:.40} has {count:,} elements, expected {expected:,}"
            )
        num_bytes = count * DTYPES[storages[key].dtype].itemsize
        if at + 8 + num_bytes > num_present:
            raise EOFError(
                f"its storages need more than the {num_present:,} bytes that are there"
            )
        places[key] = at + 8, num_bytes
        at += 8 + num_bytes
    return places
