"""Files written whole or not at all, and the folder for what can be made again.

A result is first written beside its place under a temporary name and then renamed, so a
full disk, a kill or a second process never leaves half a file behind.
"""

import contextlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import filelock

from tfhier import console
from tfhier.errors import InputError

# A temporary folder this old belongs to nobody any more.
STALE_SECONDS = 3600.0


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the block succeeds.

    Args:
        path: str or Path. The file to write; its folder is made if it is missing.

    Yields:
        Path of the temporary file, with the suffix of `path`. It is removed when the
        block raises, and `path` is then as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        # Keras chooses the format by the whole ending, ".weights.h5" included.
        prefix=f".{path.name.split('.')[0]}-",
        suffix="".join(path.suffixes[-2:]) or ".part",
        dir=path.parent,
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # On disk before it takes the old file's place, or a power cut leaves neither.
        # Windows wants it open for writing.
        with temporary.open("r+b") as handle:
            os.fsync(handle.fileno())
        # mkstemp makes files private; give them the rights of any new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        # Errors of a write (a full disk) do not say which file.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def new_folder(folder: Path, *, readme: str) -> Iterator[Path]:
    """Give a temporary folder that is renamed to `folder` when the block succeeds.

    Temporary folders that a kill left behind over `STALE_SECONDS` ago are removed.
    Where another process finished the same data in the meantime, its folder is kept.

    Args:
        folder: Path. To be made; it must not exist, or be empty.
        readme: str. Content of README.txt, which tells equal data from others.

    Yields:
        Path of an existing folder to fill. It is removed when the block raises.

    Raises:
        InputError: `folder` has content already.
    """
    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(
            f"{folder} exists already, and synthetic data are written to a new folder. "
            "Delete it or give another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(folder.parent, f".{folder.name}-*.part")
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}-", suffix=".part", dir=folder.parent
    ) as temporary:
        # A folder inside, since the temporary one itself has private rights.
        content = Path(temporary, folder.name)
        write_text(content / "README.txt", readme)
        yield content
        try:
            os.replace(content, folder)
        except OSError:
            found = folder / "README.txt"
            if not found.is_file() or found.read_text(encoding="utf-8") != readme:
                raise


def remove_stale(folder: Path, pattern: str) -> None:
    """Remove temporary folders that a kill left behind over `STALE_SECONDS` ago."""
    for old in folder.glob(pattern):
        # A younger one may be in the hands of another process, which may remove it now.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)


def require_space(folder: str | Path, num_bytes: int) -> None:
    """Raise an InputError unless the disk of a folder has so many bytes free."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise InputError(
            f"The disk of {folder} is full: {num_bytes / 1e6:.0f} MB are needed, "
            f"{free / 1e6:.0f} MB are free. Make room, or choose another --output."
        )


def write_text(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: str | Path, content: object) -> None:
    """Write JSON, indented and with a final newline, whole or not at all.

    NaN becomes null, since JSON has none; tuples become lists.
    """
    text = json.dumps(_without_nan(content), indent=2, ensure_ascii=False)
    write_text(path, text + "\n")


def _without_nan(content: object) -> object:
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple | range):
        return [_without_nan(value) for value in content]
    if isinstance(content, float) and math.isnan(content):
        return None
    return content


def read_json(path: str | Path) -> dict:
    """Read a JSON file.

    Raises:
        InputError: The file is missing or is not JSON; the message names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error}).") from None


def data_folder(name: str) -> Path:
    """Return where a data set is looked for: in `$TFHIER_DATA` or `~/tfhier-data`.

    Args:
        name: str. Of the data set's own folder in there.
    """
    root = os.environ.get("TFHIER_DATA") or Path.home() / "tfhier-data"
    return Path(root).expanduser() / name


def cache_folder(*parts: str) -> Path:
    """Return (and make) a folder for what can be made again at any time.

    It lies under `$TFHIER_CACHE`, or `$XDG_CACHE_HOME/tfhier`, or `~/.cache/tfhier`.
    """
    root = os.environ.get("TFHIER_CACHE")
    if not root:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        root = Path(base) / "tfhier"
    folder = Path(root, *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(path: str | Path, *, task: str, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, so that two processes never write the same results at once.

    The lock is the operating system's and ends with the process, however it ends. On a
    file system that knows no locks it is a file that names the process.

    Args:
        path: str or Path of the lock file.
        task: str. What the holder does, for the message: "training openmic_gmp".
        wait: bool. Whether to wait for another process and say so, where its work is
            ours too.

    Raises:
        InputError: Another process holds it, and it is not waited for.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        held = lock.acquire(blocking=False)
    except filelock.Timeout:
        if not wait:
            raise InputError(
                f"Another process is {task} ({path.parent} is locked). Wait for it, or "
                "stop it first."
            ) from None
        console.line("waiting", f"for another process, which is {task}")
        held = lock.acquire()
    with held:
        yield
