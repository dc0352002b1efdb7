"""Raven: a selection table of several files, for Raven Pro and Raven Lite.

Raven opens recordings as one long sound: `Begin Time (s)` and `End Time (s)` count from
the start of the first, over those without events too, so open all of them in the order
in which they were detected. `File Offset (s)` counts from the start of `Begin File`. A
selection is one line, in the view `Spectrogram 1`; its frequencies are what the model
hears and the file can hold. `Begin Path` is absolute.

The table has no quotes: see `cells.one_line` for names that hold tabs or ends of lines.
Raven and `tfhier.data.folder` find files of other names.
"""

import os
from pathlib import Path

from tfhier.event_tables.cells import one_line, tab_line
from tfhier.event_tables.content import Content, span
from tfhier.files import write_text

COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
    "High Freq (Hz)", "Begin Path", "Begin File", "File Offset (s)", "Annotation",
    "Score", "Level", "Remark",
)  # fmt: skip


def write(path: Path, content: Content) -> None:
    """Write a table; without events it has its header."""
    lines = [tab_line(COLUMNS)]
    before = 0.0
    for heard in content.heard:
        begin_path = one_line(os.path.abspath(heard.file))
        low, high = band(content.frequencies, heard.sample_rate)
        for event in heard.events:
            start, end = span(event)
            lines.append(
                tab_line(
                    [
                        str(len(lines)),
                        "Spectrogram 1",
                        "1",
                        f"{before + start:.6f}",
                        f"{before + end:.6f}",
                        f"{low:.1f}",
                        f"{high:.1f}",
                        begin_path,
                        one_line(heard.file.name),
                        f"{start:.3f}",
                        one_line(event.label),
                        f"{event.score:.6f}",
                        one_line(event.level),
                        one_line(event.remark),
                    ]
                )
            )
        before += heard.seconds
    write_text(path, "".join(lines))


def band(frequencies: tuple[float, float], sample_rate: int) -> tuple[float, float]:
    """Return the frequencies in Hz that a model hears in a file of some sample rate.

    Where the file holds none of them, it is all of the file's: Raven draws no box
    without a height.
    """
    low, high = frequencies
    nyquist = sample_rate / 2
    return (low if low < nyquist else 0.0), min(high, nyquist)
