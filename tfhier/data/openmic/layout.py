"""Reading the published layout of OpenMIC-2018, whatever labels and clips are in it.

`tfhier.data.openmic` describes the layout. Every function here reads one part of it and
raises `InputError` with the file and the remedy where that part does not fit.

Arrays are read without running any pickle. Public code that reads the published archive
has to allow one, since `sample_key` is an array of Python objects there; here its
strings are picked out of the pickle's opcodes, which are listed and never executed.
"""

import pickletools
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfhier.data.csv_rows import read_csv
from tfhier.errors import InputError
from tfhier.files import read_json

FOLDER = "openmic-2018"
ARRAYS = "openmic-2018.npz"

_REQUIRED = ("Y_true", "Y_mask", "sample_key")
# The opcodes of a pickled array of strings, from the list of its elements onward.
_STRINGS = ("BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINSTRING", "SHORT_BINSTRING")
_FRAMING = (
    "MARK", "APPEND", "APPENDS", "TUPLE", "BUILD", "STOP", "FRAME", "MEMOIZE", "PUT",
    "BINPUT", "LONG_BINPUT",
)  # fmt: skip
_AUDIO_SUFFIXES = (".flac", ".m4a", ".mp3", ".ogg", ".wav")


def find_arrays(path: Path) -> Path:
    """Return the .npz file that a path stands for."""
    if not path.exists():
        raise InputError(
            f"There is no {path}. `tfhier prepare openmic` downloads OpenMIC-2018; "
            "data that lie elsewhere are given with --data."
        )
    if path.is_file():
        if path.suffix != ".npz":
            raise InputError(
                f"{path} is not an .npz file. Give the folder {FOLDER} or an .npz file."
            )
        return path
    for folder in (path, path / FOLDER):
        if (folder / ARRAYS).is_file():
            return folder / ARRAYS
    others = ", ".join(sorted(file.name for file in path.glob("*.npz")))
    hint = f" It has {others}: give such a file by its own path." if others else ""
    raise InputError(
        f"{path} has no {ARRAYS}, so it is not the folder of OpenMIC-2018.{hint} "
        "`tfhier prepare openmic` downloads the data set."
    )


def read_arrays(archive: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file without running any pickle.

    Raises:
        InputError: The file is no .npz, lacks a required array, or has an array of
            Python objects other than a `sample_key` of strings.
    """
    if not zipfile.is_zipfile(archive):
        raise InputError(
            f"{archive} is not an .npz file, or not whole. Download it again."
        )
    arrays = {}
    try:
        with np.load(archive, allow_pickle=False) as content:
            absent = [name for name in _REQUIRED if name not in content.files]
            if absent:
                raise InputError(
                    f"{archive} lacks {', '.join(absent)}; expected "
                    f"{', '.join(_REQUIRED)}. It has {', '.join(content.files)}."
                )
            for name in content.files:
                try:
                    arrays[name] = content[name]
                except ValueError:
                    if name != "sample_key":
                        raise
                    arrays[name] = _read_pickled_strings(archive, name)
    except InputError:
        raise
    except (
        ValueError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError,
        RuntimeError, MemoryError,
    ) as error:  # fmt: skip
        raise InputError(
            f"{archive} cannot be read: {error}. Arrays must be numbers or strings; "
            "arrays of Python objects are refused, as loading them could run code."
        ) from None
    return arrays


def _read_pickled_strings(archive: Path, name: str) -> np.ndarray:
    """Return the strings of a pickled 1-D object array: str array (N,)."""
    with zipfile.ZipFile(archive) as members, members.open(f"{name}.npy") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        opcodes = [(code.name, value) for code, value, _ in pickletools.genops(file)]
    names = [opcode for opcode, _ in opcodes]
    elements = opcodes[names.index("EMPTY_LIST") + 1 :]
    strings = [value for opcode, value in elements if opcode in _STRINGS]
    if (len(strings),) != shape or {opcode for opcode, _ in elements} - {
        *_STRINGS,
        *_FRAMING,
    }:
        raise ValueError(f"'{name}' does not hold {shape} different strings")
    return np.array(strings)


def check_arrays(
    archive: Path, arrays: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return keys (N,), relevance (N, L) and bool mask (N, L), known to fit."""
    keys, relevance, mask = (arrays[k] for k in ("sample_key", "Y_true", "Y_mask"))
    if (
        relevance.ndim != 2
        or mask.shape != relevance.shape
        or keys.shape != relevance.shape[:1]
        or keys.dtype.kind != "U"
    ):
        raise InputError(
            f"{archive}: expected Y_true (N, L), Y_mask (N, L) and sample_key (N,) of "
            f"strings. Received: {relevance.shape}, {mask.shape} and {keys.shape} of "
            f"{keys.dtype}."
        )
    if relevance.dtype.kind not in "biuf" or np.isnan(relevance).any():
        raise InputError(
            f"{archive}: Y_true must be numbers without NaN (.5 where nothing was "
            "observed). Received: "
            + (f"dtype={relevance.dtype}" if relevance.dtype.kind != "f" else "NaN")
        )
    if relevance.size and not 0 <= relevance.min() <= relevance.max() <= 1:
        raise InputError(
            f"{archive}: Y_true must lie in [0, 1]. Received: {relevance.min()} to "
            f"{relevance.max()}"
        )
    if mask.dtype.kind not in "biuf" or np.any((mask != 0) & (mask != 1)):
        raise InputError(
            f"{archive}: Y_mask must be boolean, or 0 and 1. Received: "
            f"dtype={mask.dtype}"
        )
    return keys, relevance, mask.astype(bool)


def read_labels(
    archive: Path, arrays: Mapping[str, np.ndarray], *, official: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the labels in the order of the columns.

    An array `classes` names them, or `class-map.json` beside the archive, or they are
    the official ones if there are as many columns.
    """
    num_columns = arrays["Y_true"].shape[1]
    class_map = archive.parent / "class-map.json"
    if "classes" in arrays:
        labels = tuple(arrays["classes"].astype(str).ravel().tolist())
        if len(labels) != num_columns:
            raise InputError(
                f"{archive}: 'classes' names {len(labels)} labels, but Y_true has "
                f"{num_columns} columns."
            )
        return labels
    if class_map.is_file():
        columns = read_json(class_map)
        expected = sorted(range(num_columns), key=str)
        if (
            not isinstance(columns, dict)
            or sorted(columns.values(), key=str) != expected
        ):
            raise InputError(
                f"{class_map} must map labels to the columns 0 to {num_columns - 1} of "
                f"Y_true in {archive.name}, each once."
            )
        return tuple(sorted(columns, key=columns.get))
    if num_columns == len(official):
        return official
    raise InputError(
        f"{archive}: nothing names the {num_columns} columns of Y_true. Put a "
        "class-map.json ({\"label\": column}) beside it, or an array 'classes' into it."
    )


def read_parts(folder: Path, keys: np.ndarray, *, is_alone: bool) -> np.ndarray:
    """Return the part of every clip: "train", "test", or "" where no file names it.

    Args:
        folder: Path. Has the split files in `partitions`, or beside the arrays.
        keys: str array (N,).
        is_alone: bool. Whether the arrays came alone. Split files may then be missing
            or name other clips, and count only if both name some of these.
    """
    index = {key: position for position, key in enumerate(keys.tolist())}
    parts = np.full(len(keys), "", "<U10")
    for part in ("train", "test"):
        name = f"split01_{part}.csv"
        files = (folder / "partitions" / name, folder / name)
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            if is_alone:
                return np.full(len(keys), "")
            raise InputError(
                f"There is no {files[0]}. It names the clips of '{part}', one key a "
                "line."
            )
        named = [row[0].strip() for row in _read_rows(file) if row]
        unknown = [key for key in named if key not in index]
        if unknown and not is_alone:
            raise InputError(
                f"{file} names {len(unknown)} clips that {ARRAYS} lacks: "
                f"{', '.join(unknown[:3])}. Both must come from one version."
            )
        known = [index[key] for key in named if key in index]
        both = parts[known] != ""
        if np.any(both & (parts[known] != part)):
            clip = keys[known][both][0]
            raise InputError(
                f"{file} names clip {clip}, which is in the training part too. A clip "
                "may be in one part only."
            )
        parts[known] = part
    if is_alone and not {"train", "test"} <= set(parts.tolist()):
        return np.full(len(keys), "")
    return parts


def find_audio(folder: Path, keys: np.ndarray) -> tuple[Path, ...] | None:
    """Return the audio file of every clip; None if there is no folder `audio`."""
    audio = folder / "audio"
    if not audio.is_dir():
        return None
    files = {
        file.stem: file
        for file in sorted(audio.rglob("*"))
        if file.suffix.lower() in _AUDIO_SUFFIXES
    }
    missing = [key for key in keys.tolist() if key not in files]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(keys)} clips have no audio file in {audio}: "
            f"{', '.join(missing[:3])}. A clip's file is called after its sample_key, "
            f"in any folder below, and ends in {', '.join(_AUDIO_SUFFIXES)}."
        )
    return tuple(files[key] for key in keys.tolist())


def read_truth(
    folder: Path, keys: np.ndarray, labels: tuple[str, ...]
) -> np.ndarray | None:
    """Return the full labels (N, L) of `all-labels.csv`; None if there is none."""
    file = folder / "all-labels.csv"
    if not file.is_file():
        return None
    header, *rows = _read_rows(file) or [[]]
    if header[:1] != ["sample_key"] or not set(labels) <= set(header):
        raise InputError(
            f"{file} must have a header with sample_key and every label of the data "
            f"set. Received: {header}"
        )
    columns = [header.index(label) for label in labels]
    by_key = {row[0]: row for row in rows if len(row) == len(header)}
    missing = [key for key in keys.tolist() if key not in by_key]
    if missing:
        raise InputError(
            f"{file} has no whole row for {len(missing)} clips: "
            f"{', '.join(missing[:3])}."
        )
    cells = [[by_key[key][column] for column in columns] for key in keys.tolist()]
    try:
        return np.array(cells, np.float32).reshape(len(keys), len(labels))
    except ValueError:
        raise InputError(f"{file} must hold 0 and 1 under its labels.") from None


def _read_rows(file: Path) -> list[list[str]]:
    return [cells for _, cells in read_csv(file)]
