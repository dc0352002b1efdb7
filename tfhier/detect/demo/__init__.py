"""Detection to try at once: a small model, and a recording of which all is known.

Both are SYNTHETIC. The model `forest.tflite` was trained on calls that
`tfhier.data.forest` makes (README.md beside it has the commands and what it got), and
the recording is rendered there too, at a site and of animals that training did not
hear. What it finds shows that the detector works; it says nothing about real primates.
"""

from dataclasses import dataclass
from pathlib import Path

from tfhier import audio, contract, event_tables
from tfhier.data.forest import soundscapes
from tfhier.data.forest.soundscapes import Soundscape
from tfhier.data.forest.voice import RATE
from tfhier.detect import job
from tfhier.detect.options import Options
from tfhier.errors import InputError
from tfhier.events import Event, Heard
from tfhier.taxonomy import Taxonomy

MODEL = Path(__file__).with_name("forest.tflite")
SECONDS = 600.0
# Training and its tests are made with seed 0, settings were chosen on seeds 1 to 5.
SEED, PART, SITE = 6, "devel", 0


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A recording, what is in it and what was heard in it.

    Args:
        truth_table: Path of the table of the calls that are in it.
        made: Soundscape.
        truth: Heard. Its calls, in the order of `made.calls`.
        heard: Heard.
        taxonomy: Taxonomy of both.
    """

    truth_table: Path
    made: Soundscape
    truth: Heard
    heard: Heard
    taxonomy: Taxonomy


def run(
    folder: Path,
    options: Options,
    *,
    num_workers: int,
    seconds: float,
    seed: int,
) -> Demo:
    """Render the recording, hear it as any other and return both.

    Args:
        folder: Path. To write `forest.wav` and `forest-truth.csv` to.
        options: Options.
        num_workers: int > 0. Threads.
        seconds: float >= 15. Length of the recording; there is a call in 15 s.
        seed: int >= 0. Another one gives another recording.

    Raises:
        InputError: An option does not fit the model, or the recording cannot be heard.
    """
    promised = contract.read(MODEL)
    made = soundscapes.render(seconds, seed=seed, part=PART, site=SITE)
    file = folder / "forest.wav"
    audio.write(file, made.waveform, sample_rate=RATE)
    truth = Heard(
        file=file,
        seconds=len(made.waveform) / RATE,
        sample_rate=RATE,
        events=truth_of(made, promised.taxonomy),
    )
    truth_table = folder / "forest-truth.csv"
    write(truth_table, truth)
    outcome = job.run(
        MODEL,
        [file],
        folder / "forest.parts",
        options,
        num_workers=num_workers,
        fresh=True,
    )
    if outcome.failed:
        raise InputError(outcome.failed[file])
    return Demo(
        truth_table=truth_table,
        made=made,
        truth=truth,
        heard=outcome.heard[0],
        taxonomy=promised.taxonomy,
    )


def write(path: Path, heard: Heard, *, format: str = "") -> None:
    """Write a table of events of the demo's model, see `event_tables.write`."""
    event_tables.write(path, [heard], contract.read(MODEL), format=format)


def truth_of(made: Soundscape, taxonomy: Taxonomy) -> tuple[Event, ...]:
    """Return the calls of a soundscape as events with the score 1, in their order."""
    finest = taxonomy.levels[0]
    return tuple(
        Event(
            start=each.start,
            end=each.end,
            level=finest,
            label=each.label,
            score=1.0,
            labels=taxonomy.lineage(finest, each.label),
        )
        for each in made.calls
    )
