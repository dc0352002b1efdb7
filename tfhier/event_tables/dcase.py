"""DCASE: filename, onset, offset and event_label, for sed_eval and psds_eval.

It is the layout of strong labels in DCASE's task 4, separated by tabs. `filename` is
the way to the recording from the deepest folder that all of them lie in: names alone
where they lie in one. Recordings without events are in no line. There are no quotes;
see `cells.one_line` for names that hold tabs or ends of lines.
"""

from pathlib import Path

from tfhier.event_tables.cells import one_line, tab_line
from tfhier.event_tables.content import Content, span
from tfhier.files import write_text

COLUMNS = ("filename", "onset", "offset", "event_label")


def write(path: Path, content: Content) -> None:
    """Write a table; without events it has its header."""
    _, places = content.places()
    lines = [tab_line(COLUMNS)]
    for heard, place in zip(content.heard, places, strict=True):
        name = one_line(place.as_posix())
        for event in heard.events:
            start, end = span(event)
            lines.append(
                tab_line([name, f"{start:.3f}", f"{end:.3f}", one_line(event.label)])
            )
    write_text(path, "".join(lines))
