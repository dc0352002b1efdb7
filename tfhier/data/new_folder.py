"""A folder of made data that is there whole or not at all."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tfhier.errors import InputError
from tfhier.files import write_text

STALE_SECONDS = 3600.0


@contextlib.contextmanager
def new_folder(folder: Path, *, readme: str) -> Iterator[Path]:
    """Give a temporary folder that is renamed to `folder` when the block succeeds.

    Temporary folders that a kill left behind more than an hour ago are removed. Where
    another process finished the same data in the meantime, its folder is kept.

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
    for old in folder.parent.glob(f".{folder.name}-*.part"):
        # A younger one may be in the hands of another process, which may remove it now.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
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
