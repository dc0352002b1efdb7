"""Where the recordings of a table lie now."""

from pathlib import Path


def find(file: str, *, folder: Path, recordings: Path | None = None) -> Path:
    """Return where a recording lies; as the table names it where it is nowhere.

    A relative name is looked for from the current folder and from the table's. In the
    folder of moved recordings it is looked for first, below as many of its own folders
    as there are: `E:/night1/a.wav` as `night1/a.wav`, then as `a.wav`.

    Args:
        file: str. The recording's name in the table.
        folder: Path of the table's folder.
        recordings: Path of the folder where recordings lie now, if they were moved.
    """
    named = Path(file)
    places = [named, folder / named]
    if recordings:
        parts = named.parts[1:] if named.is_absolute() else named.parts
        moved = [recordings.joinpath(*parts[first:]) for first in range(len(parts))]
        places = [*moved, *places]
    return next((place for place in places if place.is_file()), named)
