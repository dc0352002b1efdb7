"""Audacity: label tracks, start, end and label without a header.

A label track belongs to one recording. A path that ends in `.txt` is one file, for one
recording. Any other is a folder, which gets a file for each recording, also for one
without events: called as the recording, with `.txt` behind its name, and in the same
folders below the deepest that all recordings lie in. `night1/a.wav` and `night2/a.wav`
become `labels/night1/a.wav.txt` and `labels/night2/a.wav.txt`.

Times have six decimals, as Audacity writes them; tabs and ends of lines in a label
become escapes, see `cells.one_line`.
"""

from pathlib import Path

from tfhier.errors import InputError
from tfhier.event_tables.cells import one_line, tab_line
from tfhier.event_tables.content import Content, span
from tfhier.events import Heard
from tfhier.files import write_text


def check(path: Path, num_recordings: int) -> None:
    """Raise an InputError for several recordings in one file."""
    if _is_of_one(path) and num_recordings > 1:
        raise InputError(
            f"{path} would hold the labels of {num_recordings} recordings, but "
            "Audacity opens labels of one. Give a folder, whose name does not end in "
            ".txt."
        )


def _is_of_one(path: Path) -> bool:
    return path.suffix.lower() == ".txt"


def write(path: Path, content: Content) -> None:
    """Write a file of labels, or a folder of them.

    Raises:
        InputError: Several recordings for one file, or one recording twice.
    """
    check(path, len(content.heard))
    if _is_of_one(path):
        write_text(path, "".join(map(_labels, content.heard)))
        return
    _, places = content.places()
    targets = [path / place.parent / f"{place.name}.txt" for place in places]
    if len({*targets}) < len(targets):
        twice = next(each for each in targets if targets.count(each) > 1)
        raise InputError(
            f"{twice} would be written for two recordings: one was given twice. Give "
            "each recording once."
        )
    path.mkdir(parents=True, exist_ok=True)
    for target, heard in zip(targets, content.heard, strict=True):
        write_text(target, _labels(heard))


def _labels(heard: Heard) -> str:
    lines = []
    for event in heard.events:
        start, end = span(event)
        lines.append(tab_line([f"{start:.6f}", f"{end:.6f}", one_line(event.label)]))
    return "".join(lines)
