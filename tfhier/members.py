"""What a saved model carries beside its network: small files inside its file.

A `.keras` file is an archive, a `.tflite` file is followed by one, and a SavedModel is
a folder with `assets/` and `assets.extra/`. Whichever it is, its contract, golden clip
and card go by the same names.
"""

import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from tfhier.errors import InputError
from tfhier.files import replacing

CONTRACT = "tfhier.json"
GOLDEN_CLIP = "golden.flac"
GOLDEN_SCORES = "golden.json"
CHECKSUMS = "sha256.txt"  # in the form of the command sha256sum
CARD = "model_card.md"
# What a changed byte makes of an archive: no end, a password, another compression.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)
# Contracts and clips are far smaller; what unpacks to gigabytes is no file of ours.
_LARGEST = 64 << 20
_KERAS = ("config.json", "model.weights.h5")
# The network of a `.tflite` file, in its checksums: what stands before the archive.
NETWORK = "network"


def read(path: str | Path, name: str) -> bytes:
    """Return the content of one of the files that a model carries.

    Args:
        path: str or Path of a `.keras` or `.tflite` file or a SavedModel folder.
        name: str. One of the names above.

    Raises:
        InputError: The model is missing or damaged.
        KeyError: It carries no such file.
    """
    path = Path(path)
    if is_saved_model(path):
        try:
            return _place(path, name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None
    if not path.is_file():
        raise InputError(f"There is no model {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(name).file_size > _LARGEST:
                raise damaged(path, f"{name} is larger than any of ours")
            return archive.read(name)
    except KeyError:
        raise KeyError(name) from None
    except DAMAGE as error:
        raise damaged(path, error) from None


def attach(path: str | Path, content: Mapping[str, bytes]) -> None:
    """Put files into a `.keras` file, in place of those of the same names."""
    path = Path(path)
    with zipfile.ZipFile(path) as archive:
        kept = [item for item in archive.infolist() if item.filename not in content]
        is_new = len(kept) == len(archive.infolist())
    if is_new:
        with zipfile.ZipFile(path, "a") as archive:
            _write(archive, content)
        return
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        for item in kept:
            with old.open(item) as source, archive.open(item, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        _write(archive, content)


def verify(path: str | Path) -> None:
    """Raise an InputError for a model that is not, byte for byte, what was written.

    `.keras` files have a checksum for each of their members, the others a list of them
    (`CHECKSUMS`).

    Raises:
        InputError: It was cut short or altered, or has no checksums.
    """
    path = Path(path)
    try:
        if is_saved_model(path):
            altered = _altered_files(path)
        elif path.suffix == ".tflite":
            altered = _altered_network(path)
        else:
            with zipfile.ZipFile(path) as archive:
                missing = {*_KERAS, CONTRACT}.difference(archive.namelist())
                altered = archive.testzip() or ", ".join(sorted(missing))
    except KeyError:
        raise InputError(
            f"{path} has no list of checksums ({CHECKSUMS}): it was not exported by "
            "tfhier."
        ) from None
    except DAMAGE as error:
        raise damaged(path, error) from None
    if altered:
        raise damaged(path, f"{altered} is not as it was written")


def checksums(content: Mapping[str, bytes]) -> bytes:
    """Return the list of SHA-256 sums that `verify` reads: a line a file."""
    lines = [
        f"{hashlib.sha256(each).hexdigest()}  {name}\n"
        for name, each in sorted(content.items())
    ]
    return "".join(lines).encode()


def is_saved_model(path: Path) -> bool:
    """Return whether a path is the folder of a SavedModel."""
    return (path / "saved_model.pb").is_file()


def damaged(path: Path, reason: object) -> InputError:
    """Return the one error for a model that cannot be what was written."""
    said = str(reason) or type(reason).__name__
    if isinstance(reason, zipfile.BadZipFile) and path.suffix == ".tflite":
        said = "what tfhier writes behind the network is missing or not whole"
    kind = ".tflite file" if path.suffix == ".tflite" else ".keras file"
    if is_saved_model(path):
        kind = "SavedModel"
    return InputError(
        f"{path} is no {kind}, or it is damaged ({said}): copy or download it again."
    )


def _write(archive: zipfile.ZipFile, content: Mapping[str, bytes]) -> None:
    for name, each in content.items():
        archive.writestr(name, each)


def _place(folder: Path, name: str) -> Path:
    """Return where a SavedModel has a file: TensorFlow checks what is in `assets`."""
    inside = "assets.extra" if name in (CHECKSUMS, CARD) else "assets"
    return folder / inside / name


def _altered_network(path: Path) -> str | None:
    """Return what is wrong with a `.tflite` file, None if nothing is."""
    with zipfile.ZipFile(path) as archive:
        found = {item.filename: archive.read(item) for item in archive.infolist()}
        start = min(item.header_offset for item in archive.infolist())
    expected = found.pop(CHECKSUMS)
    with path.open("rb") as file:
        found[NETWORK] = file.read(start)
    if checksums(found) == expected:
        return None
    listed = expected.decode("utf-8", "replace")
    wrong = [n for n, c in found.items() if checksums({n: c}).decode() not in listed]
    return wrong[0] if wrong else "a file that is missing"


def _altered_files(folder: Path) -> str | None:
    """Return the first file of a SavedModel that is not in order, None if none is."""
    # Not `splitlines`, which takes some altered ends of lines for ends of lines.
    listed = read(folder, CHECKSUMS).decode("utf-8", "replace").split("\n")
    expected = dict(reversed(line.split("  ", 1)) for line in listed if "  " in line)
    there = {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and file != _place(folder, CHECKSUMS)
    }
    if not expected:
        return CHECKSUMS
    for name in sorted(there | expected.keys()):
        if name not in there:
            return f"{name} (missing)"
        # Sizes are known only here: variables may be large.
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if expected.get(name) != found:
            return name
    return None
