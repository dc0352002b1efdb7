"""Reading the published layout of ComParE 2021 PRS: label files and a folder of clips.

`tfhier.data.primates` describes the layout. Every function here reads one part of it
and raises `InputError` with the file and the remedy where that part does not fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfhier.data.csv_rows import read_csv
from tfhier.errors import InputError, close_names

FILES = ("train", "devel", "test")

# Lower case, as published -> as it is usually spelt.
_PUBLISHED = {
    "chimpanze": "chimpanzee",
    "geunon": "guenon",
    "mandrille": "mandrill",
    "redcap": "red_capped_mangabey",
}
_UNLABELLED = ("?", "")


@dataclass(frozen=True)
class Row:
    """One line of a label file; `label` and `site` are "" where they are not known."""

    file: str
    label: str
    site: str


def find_home(path: Path, *, name: str) -> Path:
    """Return the folder with `wav` and `lab` that a path stands for."""
    if not path.is_dir():
        raise InputError(
            f"There is no folder {path}. `tfhier prepare primates` says how to get "
            f"{name}; data that lie elsewhere are given with --data."
        )
    for folder in (path, path / "primates", path / "dist"):
        if (folder / "lab").is_dir():
            return folder
    raise InputError(
        f"{path} has no folder 'lab', so it is not the folder of {name}. Expected are "
        "wav/*.wav and lab/train.csv, lab/devel.csv and lab/test.csv."
    )


def read_tables(home: Path, *, labels: Sequence[str]) -> dict[str, list[Row]]:
    """Read the label files: "train", "devel" and, if it is there, "test".

    Args:
        home: Path. The folder with `lab`.
        labels: The known labels. Those of "test" may be missing, all or some.

    Raises:
        InputError: A file is missing or does not fit, or a clip is listed twice.
    """
    tables, first = {}, {}
    for part in FILES:
        file = home / "lab" / f"{part}.csv"
        if part == "test" and not file.exists():
            continue
        tables[part] = _read_table(file, labels, is_complete=part != "test")
        for row in tables[part]:
            other = first.setdefault(row.file, part)
            if other != part:
                raise InputError(
                    f"{home / 'lab'}: {row.file} is in both {other}.csv and {part}.csv."
                    " A clip may be in one part only."
                )
    return tables


def _read_table(file: Path, labels: Sequence[str], *, is_complete: bool) -> list[Row]:
    """Read one label file, in which every clip may be once."""
    header, body = _read_cells(file)
    rows, seen = [], set()
    for number, cells in body:
        where = f"{file}, line {number}"
        if len(cells) != len(header):
            raise InputError(
                f"{where}: expected {len(header)} cells ({', '.join(header)}). "
                f"Received: {cells}"
            )
        named = dict(zip(header, cells, strict=True))
        name = named["filename"]
        if name in seen:
            raise InputError(
                f"{where}: {name} is listed twice. Remove one of the rows."
            )
        seen.add(name)
        label = ""
        if is_complete or named["label"] not in _UNLABELLED:
            label = _read_label(named["label"], labels, where)
        rows.append(Row(name, label, named.get("site", "")))
    return rows


def _read_cells(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, in lower case, and at least one numbered row."""
    try:
        rows = read_csv(file)
    except FileNotFoundError:
        raise InputError(
            f"There is no {file}. It lists clips and their labels: filename,label."
        ) from None
    header = [name.lower() for name in rows[0][1]] if rows else []
    if header.count("filename") != 1 or header.count("label") != 1:
        raise InputError(
            f"{file} must begin with the header filename,label. Received: "
            f"{','.join(header) or 'an empty file'}"
        )
    if len(rows) == 1:
        raise InputError(f"{file} lists no clip below its header.")
    return header, rows[1:]


def _read_label(text: str, labels: Sequence[str], where: str) -> str:
    label = text.lower().replace("-", "_").replace(" ", "_")
    label = _PUBLISHED.get(label, label)
    if label not in labels:
        raise InputError(f"{where}: '{text}' is no label.{close_names(label, labels)}")
    return label


def unnamed(home: Path, tables: Mapping[str, Sequence[Row]]) -> int:
    """Return how many audio files in `wav` no label file names: one may be cut short.

    Without a `test.csv` the test clips have no names either, and nothing can be told.
    """
    if "test" not in tables:
        return 0
    named = {row.file for rows in tables.values() for row in rows}
    return len([name for name in _audio_of(home) if name not in named])


def _audio_of(home: Path) -> set[str]:
    folder = home / "wav"
    files = folder.iterdir() if folder.is_dir() else ()
    return {file.name for file in files if file.suffix.lower() == ".wav"}


def find_audio(home: Path, rows: Sequence[Row]) -> tuple[Path, ...]:
    """Return the file in `wav` of every row."""
    folder = home / "wav"
    found = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    missing = [row.file for row in rows if row.file not in found]
    if missing:
        raise InputError(
            f"{len(missing):,} of {len(rows):,} clips have no file in {folder}; the "
            f"first is {missing[0]}. Unpack the challenge's package again."
        )
    return tuple(folder / row.file for row in rows)
