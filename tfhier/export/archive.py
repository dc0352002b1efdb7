"""The files that a .tflite file carries behind its network, and the network alone.

A .tflite file is a flatbuffer that may be followed by an uncompressed ZIP archive.
Runtimes read the one and stop; the other holds the names of the labels and whatever
else belongs to the network. Reading needs neither TensorFlow nor a TFLite runtime.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from tfhier.errors import InputError

IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every .tflite file
# Such names are the same in every encoding and on every disk, and stay in the folder.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

_TIME = (1980, 1, 1, 0, 0, 0)  # of every file, so that equal ones give equal bytes
# Of the archive's last record, which holds at byte 10 the number of files, and the size
# and place of their list.
_END = b"PK\5\6"
# What a changed byte makes of an archive: no end, a password, another compression, an
# impossible place.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError,
    ValueError, LookupError, OverflowError,
)  # fmt: skip
_ADVICE = "Copy or export it again."


def files(source: str | Path | bytes) -> dict[str, bytes]:
    """Return the files that a .tflite file carries.

    Args:
        source: str or Path of the file, or bytes, its content.

    Returns:
        Dict of names to contents, in the order of the archive.

    Raises:
        InputError: The file cannot be read, is no .tflite file, is damaged or cut, or
            carries no files.
    """
    return _read(source)[1]


def flatbuffer_bytes(source: str | Path | bytes) -> bytes:
    """Return what stands before the archive of a .tflite file: the network itself.

    It does not depend on what the files contain, so one of them may hold its checksum.

    Args:
        source: str or Path of the file, or bytes, its content.

    Raises:
        InputError: As `files`.
    """
    return _read(source)[0]


def append(flatbuffer: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return a .tflite file that carries files.

    Args:
        flatbuffer: bytes. A .tflite file without files.
        files: Mapping of names to contents. Equal ones give equal bytes.

    Raises:
        InputError: A name is no plain file name, or two differ in case alone.
    """
    file = io.BytesIO()
    file.write(flatbuffer)
    taken = set()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            if not NAME.fullmatch(name) or name.lower() in taken:
                raise InputError(
                    f"{name!r} cannot be the name of a file inside a .tflite file: it "
                    "needs letters, digits, '_', '-' and '.' alone, none of the last "
                    "two in front, and no name may come twice, in capitals or not."
                )
            taken.add(name.lower())
            member = zipfile.ZipInfo(name, _TIME)
            member.create_system = 3  # as on Linux, wherever it is written
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return file.getvalue()


def _read(source: str | Path | bytes) -> tuple[bytes, dict[str, bytes]]:
    """Read a .tflite file: its flatbuffer, and the files behind it."""
    what = "The .tflite file" if isinstance(source, bytes) else str(source)
    content = source if isinstance(source, bytes) else _content(Path(source))
    if content[4:8] != IDENTIFIER:
        raise InputError(f"{what} is no .tflite file. Give one that was exported.")
    end = content.rfind(_END)
    if end < 0:
        raise InputError(
            f"{what} carries no files: it was cut, or was not exported here. {_ADVICE}"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            found = {member.filename: archive.read(member) for member in members}
            start = min(member.header_offset for member in members)
            # zipfile steps over files that a changed length hides, and takes an archive
            # that is one of the files for the whole where the rest was cut.
            num_files, size, place = struct.unpack_from("<HII", content, end + 10)
            if not len(found) == len(members) == num_files:
                raise zipfile.BadZipFile(f"{len(found)} files of {num_files}")
            if place + size != end:
                raise zipfile.BadZipFile("the list of files is elsewhere")
    except _DAMAGE as error:
        raise InputError(
            f"{what} is damaged: the files it carries cannot be read ({error}). "
            f"{_ADVICE}"
        ) from error
    return content[:start], found


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}). Give a .tflite file."
        ) from None
