"""Fetching what the package does not ship: one file, whole and checked, or none.

A download grows as `<path>.part` and takes its name only when its checksum is right. A
dropped connection or an interrupted program leaves the part, and the next call goes on
from there. `TFHIER_OFFLINE=1` refuses every download at once.
"""

import hashlib
import http.client
import os
import shutil
import ssl
import stat
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from tfhier.errors import InputError

TIMEOUT_SECONDS = 30.0
# Pauses before each new try. Whenever a try brought new bytes, counting starts again.
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
BLOCK_BYTES = 1 << 18

_DROPPED = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError,
    # Of zip archives: an unknown compression, a password.
    NotImplementedError, RuntimeError,
)  # fmt: skip


class _HostileError(Exception):
    """A member of an archive that is no file or folder within it."""


def fetch(
    url: str,
    path: str | Path,
    *,
    size: int | None = None,
    md5: str | None = None,
    sha256: str | None = None,
    advice: str | None = None,
) -> Path:
    """Download a file, or keep the one that is there if it is right.

    Args:
        url: str. An http or https address.
        path: str or Path. Where the file shall lie; its folder is made if missing.
        size: int, optional. Bytes of the file.
        md5: str, optional. Checksum as hexadecimal digits.
        sha256: str, optional. Checksum as hexadecimal digits.
        advice: str, optional. What the message of a failed download ends with; by
            default how to put the file there by hand.

    Returns:
        Path of the finished file. Without a size or a checksum any file found at `path`
        is taken as right.

    Raises:
        InputError: The address cannot be reached or refuses, `TFHIER_OFFLINE` is set,
            the disk has no room, or what came is not what was promised.
    """
    path = Path(path)
    if path.is_file():
        fault = _fault(path, size=size, md5=md5, sha256=sha256)
        if fault is None:
            return path
        raise InputError(
            f"{path} is there already but is not {url}: {fault}. Remove it and run the "
            "same command again to download it."
        )
    if advice is None:
        advice = f"To do without, fetch {url} elsewhere and put it at {path}."
    if is_offline():
        raise InputError(
            f"{path.name} is not there and TFHIER_OFFLINE forbids downloads. Unset it, "
            f"or fetch {url} elsewhere and put it at {path}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    _check_room(part, size)
    is_resumed = _bytes_of(part) > 0
    _receive_all(url, part, size=size, advice=advice)
    fault = _fault(part, size=size, md5=md5, sha256=sha256)
    if fault is not None and is_resumed:
        # What lay there may have been the beginning of another file.
        part.unlink()
        _receive_all(url, part, size=size, advice=advice)
        fault = _fault(part, size=size, md5=md5, sha256=sha256)
    if fault is not None:
        part.unlink()
        raise InputError(
            f"What {url} sent is not the expected file: {fault}. The download was "
            f"removed; run the same command again. {advice}".rstrip()
        )
    os.replace(part, path)
    return path


def is_offline() -> bool:
    """Return whether `TFHIER_OFFLINE` forbids downloads."""
    return os.environ.get("TFHIER_OFFLINE", "0") not in ("", "0")


def _fault(
    path: Path, *, size: int | None, md5: str | None, sha256: str | None
) -> str | None:
    """Say in what a file differs from what was promised; None if in nothing."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"it has {found:,} bytes, expected {size:,}"
    for method, expected in (("md5", md5), ("sha256", sha256)):
        if expected is not None and checksum(path, method=method) != expected.lower():
            return (
                f"its {method} is {checksum(path, method=method)}, expected {expected}"
            )
    return None


def checksum(path: str | Path, *, method: str = "md5") -> str:
    """Return a file's checksum as hexadecimal digits; method "md5" or "sha256"."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, method).hexdigest()


def _check_room(part: Path, size: int | None) -> None:
    """Refuse a download whose missing bytes do not fit on the disk."""
    if size is None:
        return
    missing = size - _bytes_of(part)
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise InputError(
            f"{part.parent} has {free / 1e9:.2f} GB free; the download needs "
            f"{missing / 1e9:.2f} GB more. Make room or choose another folder."
        )


def _bytes_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive_all(url: str, part: Path, *, size: int | None, advice: str) -> None:
    """Receive until the file is complete, going on where a connection dropped."""
    longest, tries = _bytes_of(part), 0
    while True:
        try:
            _receive(url, part, size=size)
            return
        except _DROPPED as error:
            refused = isinstance(error, urllib.error.HTTPError) and (
                error.code < 500 and error.code not in (408, 429)
            )
            # Only a new longest part counts as progress: a server that cannot resume
            # would otherwise be asked for ever.
            if (have := _bytes_of(part)) > longest:
                longest, tries = have, 0
            if refused or tries == len(PAUSES_SECONDS):
                raise InputError(_failure(url, part, error, advice)) from None
            time.sleep(PAUSES_SECONDS[tries])
            tries += 1
        except OSError as error:
            raise InputError(
                f"The download into {part} stopped: {error}. Once that is mended, the "
                "same command goes on from there."
            ) from None


def _failure(url: str, part: Path, error: Exception, advice: str) -> str:
    reason = str(getattr(error, "reason", "") or error or type(error).__name__)
    if isinstance(error, urllib.error.HTTPError):
        reason = f"the server answered {error.code} {reason}"
    kept = _bytes_of(part)
    resume = ""
    if kept:
        resume = (
            f" {kept:,} bytes are kept in {part}; the same command goes on from there."
        )
    return f"{url} could not be downloaded: {reason}.{resume} {advice}".rstrip()


def _receive(url: str, part: Path, *, size: int | None) -> None:
    """Ask once for what is missing and append it to the part."""
    have = _bytes_of(part)
    headers = {"User-Agent": "tfhier", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except ValueError as error:
        raise InputError(f"{url} is no address to download from: {error}.") from None
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing lies beyond the part: either it is complete or it is another file.
        if error.headers.get("Content-Range", "") in (f"bytes */{have}", ""):
            return
        part.unlink()
        raise ConnectionError("the part did not fit the server's file") from None
    with response:
        if response.status != 206:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else size
        _check_room(part, total)
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(
                total=total,
                initial=have,
                desc=part.stem,
                unit="B",
                unit_scale=True,
                disable=None,
            ) as progress,
        ):
            while block := response.read(BLOCK_BYTES):
                file.write(block)
                progress.update(len(block))
    if total is not None and _bytes_of(part) < total:
        raise ConnectionError("the connection ended early")


def unpack(archive: str | Path, folder: str | Path) -> Path:
    """Unpack a .tar.gz or .zip into a new folder, whole or not at all.

    An archive whose content lies in one top folder becomes `folder` without it.

    Args:
        archive: str or Path. A tar file, compressed with gzip, or a zip file; its
            content tells which.
        folder: str or Path. The folder to make; it may exist if it is empty.

    Returns:
        Path of the folder.

    Raises:
        InputError: The folder has content, the archive is broken or does not fit on the
            disk, or a member would land outside the folder.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} is there already. Remove it, or choose another folder to unpack "
            f"{archive.name} into."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder.parent) as temporary:
        # One folder deeper, as that of `tempfile` is closed to other users.
        content = Path(temporary, "content")
        content.mkdir()
        try:
            with open(archive, "rb") as file:
                is_zip = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
            (_extract_zip if is_zip else _extract_tar)(archive, content)
        except (tarfile.FilterError, _HostileError) as error:
            raise InputError(
                f"{archive} was not unpacked: it would write outside its folder "
                f"({error}). It is not the published archive; remove it."
            ) from None
        except _BROKEN as error:
            raise InputError(
                f"{archive} could not be unpacked: {error}. If the file is broken, "
                "remove it and download it again."
            ) from None
        entries = list(content.iterdir())
        if len(entries) == 1 and entries[0].is_dir():
            content = entries[0]
        os.replace(content, folder)
    return folder


def _extract_tar(archive: Path, content: Path) -> None:
    with (
        open(archive, "rb") as raw,
        tarfile.open(fileobj=raw, mode="r|gz") as members,
        tqdm(
            total=archive.stat().st_size,
            desc=f"unpacking {archive.name}",
            unit="B",
            unit_scale=True,
            disable=None,
        ) as progress,
    ):
        for member in members:
            # tarfile would only strip the slash and put the file elsewhere.
            if member.name.startswith("/"):
                raise tarfile.AbsolutePathError(member)
            members.extract(member, content, filter="data")
            progress.update(raw.tell() - progress.n)


def _extract_zip(archive: Path, content: Path) -> None:
    with zipfile.ZipFile(archive) as members:
        total = sum(member.file_size for member in members.infolist())
        free = shutil.disk_usage(content).free
        if total > free:
            raise InputError(
                f"{content.parent.parent} has {free / 1e9:.2f} GB free; the content of "
                f"{archive.name} needs {total / 1e9:.2f} GB. Make room, or choose "
                "another folder."
            )
        for member in members.infolist():
            _check_member(member)
        with tqdm(
            total=total,
            desc=f"unpacking {archive.name}",
            unit="B",
            unit_scale=True,
            disable=None,
        ) as progress:
            for member in members.infolist():
                members.extract(member, content)
                progress.update(member.file_size)


def _check_member(member: zipfile.ZipInfo) -> None:
    """Refuse what zipfile would only rename (a path) or write as a file (a link)."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise _HostileError(f"'{member.filename}' is outside of it")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _HostileError(f"'{member.filename}' is a link or a device")
