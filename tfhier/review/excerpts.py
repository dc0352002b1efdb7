"""The sound of an event with what is around it, from its recording.

Conventions: times are seconds from the start of the recording. Recordings are opened
when an excerpt is asked for, and not before.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfhier import audio, recordings
from tfhier.audio import AudioError
from tfhier.event_tables import places
from tfhier.event_tables.rows import Row

LONGEST_SECONDS = 60.0
# Of a long event at a bat detector's rate this is less: a browser holds it in memory.
_MOST_SAMPLES = 1 << 22


@dataclass(frozen=True)
class Excerpts:
    """Finds recordings and reads parts of them.

    Args:
        folder: Path of the table's folder, where recordings with relative names are
            looked for too.
        recordings_folder: Path, or None. Where they lie now, if they were moved.
        context: float >= 0. Seconds shown before and behind an event.
    """

    folder: Path
    recordings_folder: Path | None = None
    context: float = 2.0

    def span(self, row: Row) -> tuple[float, float]:
        """Return start and end of an event's excerpt, at most `LONGEST_SECONDS`."""
        start = max(0.0, row.start - self.context)
        longest = min(LONGEST_SECONDS, _MOST_SAMPLES / row.sample_rate)
        end = min(row.end + self.context, max(row.duration, row.end), start + longest)
        return round(start, 3), round(end, 3)

    def find(self, file: str) -> Path:
        """Return where a recording lies, see `places.find`."""
        return places.find(file, folder=self.folder, recordings=self.recordings_folder)

    def read(self, row: Row) -> np.ndarray:
        """Return the samples of an event's excerpt, at the recording's own rate.

        Raises:
            AudioError: The recording is not there, cannot be read, or is another than
                the table's.
            InputError: It needs PyAV.
        """
        path = self.find(row.file)
        start, end = self.span(row)
        if not path.is_file():
            raise AudioError(
                f"{path}: there is no such file from here or beside the table. Start "
                "again where tfhier detect ran, or with --recordings FOLDER."
            )
        waveform, sample_rate = recordings.excerpt(path, start=start, end=end)
        if sample_rate != row.sample_rate:
            raise AudioError(
                f"{path}: has {sample_rate} Hz, but the table is of a recording with "
                f"{row.sample_rate} Hz. Another file has its name now."
            )
        return audio.fix_length(waveform, round((end - start) * sample_rate))
