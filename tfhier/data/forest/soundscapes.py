"""Long recordings of the SYNTHETIC forest, in which primates call at known times.

A soundscape is recorded at one site, over changing weather. Calls of all four kinds
stand in random order, one in each stretch of `call_seconds`, apart from each other;
other animals, people and branches sound at any time, also over calls. Sites and animals
are those of `tfhier.data.forest`: no two (seed, part, site) share any.

Conventions: those of `tfhier.data.forest`; times are seconds from the start. NumPy
alone is needed. Equal arguments give equal sound, to the last bits of a Fourier
transform where the processor or NumPy is another.
"""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from tfhier.data import forest
from tfhier.data.forest.calls import CALLS, call
from tfhier.data.forest.distractors import DISTRACTORS, distractor
from tfhier.data.forest.sites import Site, heard, recorded, weather
from tfhier.data.forest.voice import RATE
from tfhier.errors import InputError
from tfhier.files import new_folder, write_text

CALL_SECONDS = 15.0
OTHER_SECONDS = 10.0
_MARGIN_SECONDS = 1.0  # of a call's stretch, at both ends
_SHORTEST_STRETCH = 8.0  # a call with its echo lasts up to 5 s
_BLOCK, _FADE = 60 * RATE, 2 * RATE  # samples that one weather lasts, and fades
_BEFORE, _AFTER = RATE // 10, RATE  # samples around a sound, for filters and echoes

_WINDOWS = 3  # of `write_labelled`, of a call

# Recordings of the parts of `write_labelled`: the forest's part and its first site.
PARTS = {"train": ("train", 0), "validation": ("train", 500), "test": ("devel", 0)}
README = """SYNTHETIC forest: recordings and the times of the calls in them

Every sound was synthesised by tfhier.data.forest.soundscapes.write_labelled: nothing
was recorded and no person labelled anything. Scores on it say nothing about real
primates.

recordings   {counts}
seconds      {seconds:g} each, {rate} Hz, 16-bit, mono
seed         {seed}

labels.csv   file, label, start, end, part, group (site): windows of calls, and as
             `background` the stretches between them; --data labels.csv trains on it
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planted:
    """One call, or another sound, in a soundscape.

    Args:
        label: str. A primate of `forest.LABELS`, or a kind of `DISTRACTORS`.
        start, end: float. First and last time at which it is within 20 dB of its
            loudest 20 ms, as it arrives at the recorder.
        snr: float. Mean power of that sound over that of the weather meanwhile, in dB.
        meters: float. From the recorder.
        individual: int. Which animal of its kind at the site; -1 for other sounds.
    """

    label: str
    start: float
    end: float
    snr: float
    meters: float
    individual: int = -1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Soundscape:
    """A recording and what is in it.

    Args:
        waveform: float32 (samples,) in [-1, 1] at `RATE`.
        calls: Tuple of Planted, by start.
        others: Tuple of Planted, by start.
    """

    waveform: np.ndarray
    calls: tuple[Planted, ...]
    others: tuple[Planted, ...]


def render(
    seconds: float,
    *,
    seed: int,
    part: str,
    site: int,
    call_seconds: float = CALL_SECONDS,
) -> Soundscape:
    """Synthesise a recording.

    Args:
        seconds: float >= `call_seconds`.
        seed: int >= 0.
        part: str. "train" or "devel"; sites and animals of one are not in the other.
        site: int >= 0. Number of the site in its part.
        call_seconds: float >= 8. There is one call in so many seconds.

    Raises:
        InputError: A length is too short.
    """
    if not call_seconds >= _SHORTEST_STRETCH or not seconds >= call_seconds:
        raise InputError(
            f"Calls are {_SHORTEST_STRETCH:g} s or more apart, and a recording has one "
            f"at least. Received: a call in {call_seconds:g} s, {seconds:g} s in all"
        )
    place = forest.find_site(site, seed=seed, part=part)
    rng = np.random.default_rng([seed, forest.PARTS.index(part), 5, site])
    background = _weather(place, round(seconds * RATE), rng)
    sound = background.copy()
    others = []
    for _ in range(round(seconds / OTHER_SECONDS)):
        kind = list(DISTRACTORS)[rng.integers(len(DISTRACTORS))]
        wave = distractor(kind, seconds=rng.uniform(*forest.SECONDS), rng=rng)
        planted = _plant(wave, sound, background, place, rng, (0.0, seconds))
        others.append(Planted(label=kind, **planted))
    calls = []
    num_calls = int(seconds / call_seconds)
    for number, which in enumerate(rng.permutation(num_calls) % len(CALLS)):
        label = list(CALLS)[which]
        individual = int(rng.integers(forest.NUM_INDIVIDUALS))
        animal = forest.find_individual(
            label, individual, seed=seed, part=part, site=site
        )
        wave = call(label, animal, seconds=rng.uniform(*forest.SECONDS), rng=rng)
        stretch = (
            number * call_seconds + _MARGIN_SECONDS,
            (number + 1) * call_seconds - _MARGIN_SECONDS,
        )
        planted = _plant(wave, sound, background, place, rng, stretch)
        calls.append(Planted(label=label, individual=individual, **planted))
    peak = 10.0 ** (rng.uniform(-16.0, -1.0) / 20.0)
    return Soundscape(
        waveform=sound * np.float32(peak / np.max(np.abs(sound))),
        calls=tuple(calls),
        others=tuple(sorted(others, key=lambda each: each.start)),
    )


def _weather(place: Site, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return what is always heard, as recorded; each minute has its own weather."""
    sound = np.zeros(count, np.float32)
    rise = np.sin(np.linspace(0.0, np.pi / 2, _FADE, dtype=np.float32))
    for start in range(0, max(1, count - _FADE), _BLOCK):
        size = min(_BLOCK + _FADE, count - start)
        block = recorded(weather(place, count=size, rng=rng), place)
        if start:
            block[:_FADE] *= rise
        if start + size < count:
            block[-_FADE:] *= rise[::-1]
        sound[start : start + size] += block
    return sound


def _plant(
    wave: np.ndarray,
    sound: np.ndarray,
    background: np.ndarray,
    place: Site,
    rng: np.random.Generator,
    stretch: tuple[float, float],
) -> dict:
    """Add a sound to `sound`, so that it is heard within a stretch of seconds.

    Returns:
        Fields of Planted: start, end, snr and meters.
    """
    meters, snr = rng.uniform(*forest.METERS), rng.uniform(*forest.SNR)
    wave = heard(np.pad(wave, (_BEFORE, _AFTER)), place, meters=meters, rng=rng)
    wave = recorded(wave, place)
    start, end = forest.active_span(wave)
    first = round(rng.uniform(stretch[0] - start, stretch[1] - end) * RATE)
    start, end = start + first / RATE, end + first / RATE
    meanwhile = background[round(start * RATE) : round(end * RATE)]
    wave = forest.scaled(wave, meanwhile, snr)
    # What lies beyond the ends of the recording is quiet and is not heard.
    before, after = max(0, -first), max(0, first + wave.size - sound.size)
    wave = wave[before : wave.size - after]
    sound[first + before : first + before + wave.size] += wave
    return {"start": start, "end": end, "snr": snr, "meters": meters}


def write_labelled(
    folder: Path,
    *,
    num_recordings: tuple[int, int, int] = (160, 20, 20),
    seconds: float = 120.0,
    window_seconds: float = 2.0,
    seed: int = 0,
) -> None:
    """Write recordings with a table of labels, to train a detector on and to test it.

    Args:
        folder: Path. To be made, whole or not at all; it must not exist, or be empty.
        num_recordings: Numbers of recordings to train, validate and test on, each of a
            site of its own; only test sites are of the forest's part "devel".
        seconds: float. Length of each; there is a call in 10 s.
        window_seconds: float in (0, 2]. Length of the clips to come.
        seed: int >= 0.

    Raises:
        InputError: `folder` has content already, or a length is out of its range.
    """
    if not 0 < window_seconds <= 2 * _MARGIN_SECONDS:
        raise InputError(
            f"Calls are {2 * _MARGIN_SECONDS:g} s apart, and no window is longer. "
            f"Received: {window_seconds:g} s"
        )
    counts = dict(zip(PARTS, num_recordings, strict=True))
    told = ", ".join(f"{count} {part}" for part, count in counts.items())
    readme = README.format(counts=told, seconds=seconds, rate=RATE, seed=seed)
    jobs = [(part, number) for part in PARTS for number in range(counts[part])]
    with new_folder(folder, readme=readme) as content:

        def make(job: tuple[str, int]) -> list[str]:
            part, number = job
            origin, first = PARTS[part]
            site = first + number
            made = render(seconds, seed=seed, part=origin, site=site, call_seconds=10.0)
            name = f"{part}_{number:03d}.wav"
            soundfile.write(content / name, made.waveform, RATE, subtype="PCM_16")
            rng = np.random.default_rng([seed, forest.PARTS.index(origin), 6, site])
            return [
                f"{name},{label},{start:.3f},{end:.3f},{part},{origin}-{site}"
                for label, start, end in _rows(made, seconds, window_seconds, rng)
            ]

        # Threads: NumPy and libsndfile release the lock in most of the work.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(make, jobs)
            bar = tqdm(found, "synthetic forest", len(jobs), unit="file", disable=None)
            rows = [row for each in bar for row in each]
        lines = ["file,label,start,end,part,group", *rows]
        write_text(content / "labels.csv", "".join(f"{line}\n" for line in lines))


def _rows(
    made: Soundscape, seconds: float, window: float, rng: np.random.Generator
) -> list[tuple[str, float, float]]:
    """Return label, start and end of windows of calls, and of background between them.

    A detector's windows lie anywhere: each call has some that hold a half of it, or are
    filled by it to a half, at random places. Where none can lie is background.
    """
    starts = np.array([each.start for each in made.calls])
    ends = np.array([each.end for each in made.calls])
    # A window never reaches so far that it could hold a part of the next call.
    middles = [0.0, *((ends[:-1] + starts[1:]) / 2), seconds]
    rows = []
    free_from = 0.0
    for number, each in enumerate(made.calls):
        rows.append((forest.LABELS[0], free_from, each.start - window))
        free_from = each.end + window
        least = min(each.end - each.start, window) / 2
        low = max(each.start + least - window, middles[number])
        high = min(each.end - least, middles[number + 1] - window)
        places = (np.arange(_WINDOWS) + rng.random(_WINDOWS)) / _WINDOWS
        for start in (low + places * (high - low)).round(3).tolist():
            rows.append((each.label, start, start + window))
    rows.append((forest.LABELS[0], free_from, seconds))
    # A stretch shorter than a window would be widened into the call.
    return [
        row for row in rows if row[0] != forest.LABELS[0] or row[2] - row[1] >= window
    ]
