"""OpenMIC-2018's twenty instruments: what each may play, and the playing of it.

Conventions: those of `tfhier.data.orchestra.synthesis`. `compose` invents a score in
the style and the range of an instrument, and `play` turns a score into sound.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from tfhier.data.orchestra import blown_and_bowed, plucked_and_struck
from tfhier.data.orchestra.synthesis import Score


@dataclasses.dataclass(frozen=True)
class Instrument:
    """How an instrument sounds, its lowest and highest pitch, and what it may play."""

    sound: Callable[[Score, np.random.Generator], np.ndarray]
    low: int
    high: int
    styles: tuple[str, ...]


INSTRUMENTS = {
    "accordion": Instrument(blown_and_bowed.accordion, 57, 81, ("chords", "melody")),
    "banjo": Instrument(plucked_and_struck.banjo, 52, 76, ("fast",)),
    "bass": Instrument(plucked_and_struck.bass, 28, 46, ("melody",)),
    "cello": Instrument(blown_and_bowed.cello, 36, 60, ("melody",)),
    "clarinet": Instrument(blown_and_bowed.clarinet, 50, 74, ("melody",)),
    "cymbals": Instrument(plucked_and_struck.cymbals, 0, 3, ("beat",)),
    "drums": Instrument(plucked_and_struck.drums, 0, 3, ("beat",)),
    "flute": Instrument(blown_and_bowed.flute, 67, 91, ("melody",)),
    "guitar": Instrument(plucked_and_struck.guitar, 40, 66, ("strum", "fast")),
    "mallet_percussion": Instrument(
        plucked_and_struck.mallet_percussion, 67, 93, ("fast", "melody")
    ),
    "mandolin": Instrument(plucked_and_struck.mandolin, 62, 86, ("tremolo",)),
    "organ": Instrument(blown_and_bowed.organ, 43, 69, ("chords",)),
    "piano": Instrument(plucked_and_struck.piano, 40, 80, ("chords", "fast", "melody")),
    "saxophone": Instrument(blown_and_bowed.saxophone, 49, 71, ("melody",)),
    "synthesizer": Instrument(
        blown_and_bowed.synthesizer, 40, 74, ("fast", "melody", "chords")
    ),
    "trombone": Instrument(blown_and_bowed.trombone, 40, 62, ("melody",)),
    "trumpet": Instrument(blown_and_bowed.trumpet, 58, 81, ("melody",)),
    "ukulele": Instrument(
        plucked_and_struck.ukulele, 62, 81, ("strum", "strum", "fast")
    ),
    "violin": Instrument(blown_and_bowed.violin, 62, 91, ("melody",)),
    "voice": Instrument(blown_and_bowed.voice, 48, 74, ("melody",)),
}


def play(name: str, score: Score, *, rng: np.random.Generator) -> np.ndarray:
    """Play a score on one of the twenty instruments, with a player drawn from `rng`.

    Args:
        name: str. A key of `INSTRUMENTS`.
        score: Score. At least one note in each voice.
        rng: numpy.random.Generator.

    Returns:
        float32 (num_samples,), RMS 1.
    """
    wave = INSTRUMENTS[name].sound(score, rng).astype(np.float32, copy=False)
    return wave / (np.sqrt(np.mean(wave**2)) + np.float32(1e-9))


@dataclasses.dataclass(frozen=True)
class Song:
    """What the players of a clip have in common.

    Args:
        root: int. MIDI number of the key's tonic.
        scale: Tuple of int. Semitones of the scale above the tonic.
        beat_seconds: float > 0. Seconds of a beat.
    """

    root: int
    scale: tuple[int, ...]
    beat_seconds: float


MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
SCALES = (MAJOR, MINOR, (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))
# Lengths of notes in beats that a style chooses from.
RHYTHMS = {
    "melody": (0.5, 0.5, 1.0, 1.0, 1.5),
    "fast": (0.25, 0.25, 0.25, 0.5),
    "tremolo": (1.0, 1.0, 2.0),
    "chords": (1.0, 1.0, 2.0),
    "strum": (0.5, 0.5, 1.0),
}


def random_song(rng: np.random.Generator) -> Song:
    """Draw a key, a scale and a tempo of 75 to 150 beats a minute."""
    scale = SCALES[rng.integers(len(SCALES))]
    return Song(int(rng.integers(12)), scale, 60.0 / rng.uniform(75.0, 150.0))


def compose(
    name: str, song: Song, *, seconds: float, sample_rate: int, rng: np.random.Generator
) -> Score:
    """Invent what an instrument plays in a song; it rests for a beat at most.

    Args:
        name: str. A key of `INSTRUMENTS`.
        song: Song.
        seconds: float > 0. Length of the clip.
        sample_rate: int. Hz.
        rng: numpy.random.Generator.

    Returns:
        Score in one of the instrument's styles, inside its range.
    """
    instrument = INSTRUMENTS[name]
    style = instrument.styles[rng.integers(len(instrument.styles))]
    if style == "beat":
        notes = _beat(name, song, seconds, rng)
    else:
        notes = _tune(instrument, style, song, seconds, rng)
    starts, lengths, pitches, loudness, voices = notes
    order = np.lexsort((starts, voices))
    order = order[starts[order] < seconds - 0.02]
    return Score(
        starts=starts[order],
        lengths=lengths[order],
        pitches=pitches[order],
        loudness=loudness[order],
        voices=voices[order],
        num_samples=round(seconds * sample_rate),
        sample_rate=sample_rate,
    )


def _tune(
    instrument: Instrument,
    style: str,
    song: Song,
    seconds: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    """Random walk over the scale, as single notes, strokes or chords."""
    beats = rng.choice(RHYTHMS[style], size=int(seconds / song.beat_seconds * 4) + 1)
    lengths = np.maximum(beats * song.beat_seconds, 0.11)
    starts = np.cumsum(lengths) - lengths + rng.uniform(0.0, 0.1)
    inside = starts < seconds - 0.05
    rests = (rng.random(len(starts)) < 0.1) & (beats <= 1.0) & (starts > 0.5)
    rests[1:] &= ~rests[:-1]
    starts, lengths = starts[inside & ~rests], lengths[inside & ~rests]

    register = rng.uniform(instrument.low, max(instrument.low, instrument.high - 16))
    ladder = np.arange(np.ceil(register), min(register + 17, instrument.high + 1))
    ladder = ladder[np.isin((ladder - song.root) % 12, song.scale)]
    walk = np.cumsum(rng.integers(-2, 3, size=len(starts))) + rng.integers(len(ladder))
    # The walk is folded at both ends of the ladder.
    steps = np.abs((walk % (2 * len(ladder) - 2)) - (len(ladder) - 1))
    loudness = rng.uniform(0.5, 1.0, size=len(starts))

    if style == "tremolo":
        return _strokes(starts, lengths, ladder[steps], loudness, rng.uniform(10, 15))
    lengths = lengths * rng.uniform(0.75, 1.0)
    num_voices = {"chords": 3, "strum": 4}.get(style, 1)
    spread = rng.uniform(0.008, 0.02) if style == "strum" else 0.0
    voices = np.repeat(np.arange(num_voices), len(starts))
    rungs = np.minimum(steps + 2 * np.arange(num_voices)[:, None], len(ladder) - 1)
    return (
        (starts + spread * np.arange(num_voices)[:, None]).ravel(),
        np.tile(lengths, num_voices),
        ladder[rungs].ravel(),
        np.tile(loudness, num_voices),
        voices,
    )


def _strokes(
    starts: np.ndarray,
    lengths: np.ndarray,
    pitches: np.ndarray,
    loudness: np.ndarray,
    rate: float,
) -> tuple[np.ndarray, ...]:
    """Cut every note into strokes, `rate` a second, the upstrokes softer."""
    counts = np.maximum(1, np.round(lengths * rate).astype(int))
    note = np.repeat(np.arange(len(starts)), counts)
    stroke = np.arange(len(note)) - np.repeat(np.cumsum(counts) - counts, counts)
    each = (lengths / counts)[note]
    soft = np.where(stroke % 2, 0.7, 1.0)
    return (
        starts[note] + stroke * each,
        each,
        pitches[note],
        loudness[note] * soft,
        np.zeros(len(note), int),
    )


def _beat(
    name: str, song: Song, seconds: float, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Repeat a random pattern of eight half beats on a kit of four pieces."""
    if name == "drums":
        pattern = np.array([0, -1, 1, -1, 0, 0, 1, -1])
        change = rng.random(8) < 0.4
        pattern[change] = rng.choice([-1, 0, 1, 2, 3], size=change.sum())
        pattern[[0, 4]] = np.maximum(pattern[[0, 4]], 0)
    else:
        pattern = np.full(8, rng.choice([0, 0, 2]))
        pattern[rng.random(8) < 0.3] = -1
        pattern[rng.integers(8)] = 1
        pattern[[0, 4]] = rng.choice([0, 1, 2, 3], size=2)
    half = song.beat_seconds / 2.0
    starts = np.arange(int((seconds - 0.05) / half) + 1) * half
    pieces = np.roll(pattern, rng.integers(8))[np.arange(len(starts)) % 8]
    hits = pieces >= 0
    starts = np.maximum(starts + rng.normal(0.0, 0.004, size=len(starts)), 0.0)
    count = int(hits.sum())
    return (
        starts[hits],
        np.full(count, 2.0),  # nothing damps them
        pieces[hits].astype(float),
        rng.uniform(0.4, 1.0, size=count),
        pieces[hits],
    )
