"""Finding the file of a checkpoint: put there by hand, fetched before, or fetched now.

`$TFHIER_MIRRORS` names servers of one's own, base addresses with spaces between. They
are asked before the published address, for the file's name right below the base.
"""

import os
from pathlib import Path
from urllib.parse import quote

from tfhier import console
from tfhier.data import DATASETS
from tfhier.data.download import checksum, fetch, is_offline
from tfhier.errors import InputError
from tfhier.files import cache_folder, data_folder, locked
from tfhier.pretrained.registry import Checkpoint, megabytes


def locate(checkpoint: Checkpoint) -> Path:
    """Return the file of a checkpoint; download it if it is nowhere.

    It is looked for in `$TFHIER_DATA/weights` (or `~/tfhier-data/weights`), in the
    folder of the family's name beside that, unless it is a data set's, and then in the
    cache's folder `weights`, into which it is downloaded.

    Args:
        checkpoint: Checkpoint. One of `CHECKPOINTS`.

    Returns:
        Path of a file of the stated size and checksums.

    Raises:
        InputError: A file of that name is another one, downloads are forbidden, or no
            address gave the file.
    """
    cached = cache_folder("weights") / checkpoint.filename
    for path in (*_by_hand(checkpoint), cached):
        if path.is_file():
            return _checked(checkpoint, path)
    if is_offline():
        raise InputError(
            f"The weights {checkpoint.name} are not there and TFHIER_OFFLINE forbids "
            f"downloads. Unset it, or fetch {checkpoint.url} elsewhere and put it at "
            f"{cached}."
        )
    lock = cached.with_name(f".{checkpoint.name}.lock")
    with locked(lock, task=f"downloading {checkpoint.name}", wait=True):
        if cached.is_file():  # the other process was successful
            return _checked(checkpoint, cached)
        console.line(
            "weights",
            f"{checkpoint.name}: {checkpoint.filename}, {megabytes(checkpoint)}, "
            f"licence {checkpoint.licence}",
        )
        return _download(checkpoint, cached)


def _by_hand(checkpoint: Checkpoint) -> list[Path]:
    """Where a file may have been put by hand."""
    folders = [name for name in ("weights", checkpoint.family) if name not in DATASETS]
    return [data_folder(name) / checkpoint.filename for name in folders]


def _checked(checkpoint: Checkpoint, path: Path) -> Path:
    """Return the path of a file that is there if it is the right one."""
    if checkpoint.editions and checksum(path, method="sha256") in checkpoint.editions:
        return path
    return _fetch(checkpoint, checkpoint.url, path)


def _download(checkpoint: Checkpoint, path: Path) -> Path:
    """Download from the first address that gives the right file."""
    failures = []
    *mirrors, published = _addresses(checkpoint)
    for url in mirrors:
        try:
            return _fetch(checkpoint, url, path, advice="")
        except InputError as error:
            console.line("mirror", f"{error} The next address is tried.")
            failures.append(str(error))
    try:
        return _fetch(checkpoint, published, path, advice="")
    except InputError as error:
        failures.append(str(error))
    raise InputError(
        f"The weights {checkpoint.name} could not be had. {' '.join(failures)} Run the "
        f"same command again, or fetch {checkpoint.filename} elsewhere and put it at "
        f"{path}. A server that has it can be named in TFHIER_MIRRORS."
    )


def _addresses(checkpoint: Checkpoint) -> list[str]:
    """All addresses of a file in the order of asking, the published one last."""
    bases = os.environ.get("TFHIER_MIRRORS", "").split()
    name = quote(checkpoint.filename)
    return [*(f"{base.rstrip('/')}/{name}" for base in bases), checkpoint.url]


def _fetch(
    checkpoint: Checkpoint, url: str, path: Path, *, advice: str | None = None
) -> Path:
    return fetch(
        url,
        path,
        size=checkpoint.size,
        md5=checkpoint.md5,
        sha256=checkpoint.sha256,
        advice=advice,
    )
