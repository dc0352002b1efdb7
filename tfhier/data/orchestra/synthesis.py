"""Sound synthesis in NumPy: scores, decaying modes, moving wave tables, shaped noise.

Conventions: pitches are MIDI numbers (69 is 440 Hz) and may be fractions, frequencies
are in Hz, times in seconds, decays in nepers a second; sound is float32, (samples,).
Whatever is struck or plucked is a sum of decaying modes (`ringing`, `plucked`).
Whatever is blown, bowed or sung is a wave table that is read at a moving pitch and a
moving brightness (`sustained`). Chance comes only from the generator that is passed,
so equal scores and equal generators make equal sound.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import fft

from tfhier.data.spectra import peaks, shaped

TABLE_SIZE = 2048
# Products of this many rows are too small for the linear algebra library to wake its
# own threads, which would contend with those that render several clips at once.
ROWS = 8
HIGHEST = 0.45  # of the sample rate: no partial lies above, so none is folded back


@dataclasses.dataclass(frozen=True)
class Score:
    """What one player plays; the five arrays hold one value for each note.

    Args:
        starts: float (notes,). Seconds before the end; ascending inside a voice.
        lengths: float (notes,). Seconds.
        pitches: float (notes,). MIDI; for drums and cymbals the piece, 0 to 3.
        loudness: float (notes,) in (0, 1].
        voices: int (notes,). The notes of one voice do not overlap.
        num_samples: int > 0. Length of the sound.
        sample_rate: int. Hz.
    """

    starts: np.ndarray
    lengths: np.ndarray
    pitches: np.ndarray
    loudness: np.ndarray
    voices: np.ndarray
    num_samples: int
    sample_rate: int

    @property
    def hertz(self) -> np.ndarray:
        return 440.0 * 2.0 ** ((self.pitches - 69.0) / 12.0)

    def voice(self, number: int) -> "Score":
        mine = self.voices == number
        fields = ("starts", "lengths", "pitches", "loudness", "voices")
        return dataclasses.replace(self, **{f: getattr(self, f)[mine] for f in fields})


Spectrum = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def vary(rng: np.random.Generator, value: float, octaves: float = 0.3) -> float:
    """Draw a player's value within +-`octaves` of the usual one."""
    return value * 2.0 ** rng.uniform(-octaves, octaves)


def noise(
    score: Score, rng: np.random.Generator, response: Callable, seconds: float = 0.0
) -> np.ndarray:
    """Shaped noise of RMS 1, as long as the score or as `seconds` if they are given."""
    count = round(seconds * score.sample_rate) or score.num_samples
    white = rng.standard_normal(count, dtype=np.float32)
    noise = shaped(white, response, sample_rate=score.sample_rate)
    return noise / np.sqrt(np.mean(noise**2))


def ringing(
    hertz: np.ndarray,
    decays: np.ndarray,
    weights: np.ndarray,
    *,
    length: int,
    sample_rate: int,
) -> np.ndarray:
    """Sum decaying cosines, all notes at once, by one product of small matrices.

    exp(rate * (block * p + q)) is exp(rate * block * p) * exp(rate * q), so a note of
    `length` samples is a (blocks, modes) by (modes, block) product and the exponentials
    are only computed for about sqrt(length) times.

    Args:
        hertz: float (notes, modes). Modes above the band are left out.
        decays: float (notes, modes). Nepers a second.
        weights: complex (notes, modes). Amplitude and phase at the start.
        length: int. Samples of each note.
        sample_rate: int. Hz.

    Returns:
        float32 (notes, length).
    """
    weights = np.where(hertz < HIGHEST * sample_rate, weights, 0.0)
    block = int(np.ceil(np.sqrt(length)))

    def modes(times: np.ndarray) -> np.ndarray:
        cycles = hertz[..., None] * times
        angle = ((cycles - np.rint(cycles)) * (2 * np.pi)).astype(np.float32)
        fade = np.exp((-decays[..., None] * times).astype(np.float32))
        return fade * (np.cos(angle) + 1j * np.sin(angle))

    steps = np.arange(block) / sample_rate
    fast = modes(steps)  # (notes, modes, block)
    fast = np.concatenate([fast.real, fast.imag], axis=1)
    num_blocks = -(-length // (block * ROWS)) * ROWS
    slow = modes(np.arange(num_blocks) * block / sample_rate)
    slow = (slow * weights[..., None].astype(np.complex64)).transpose(0, 2, 1)
    slow = np.concatenate([slow.real, -slow.imag], axis=2)  # (notes, blocks, 2 modes)
    waves = slow.reshape(len(hertz), -1, ROWS, fast.shape[1]) @ fast[:, None]
    return waves.reshape(len(hertz), -1)[:, :length]


def placed(score: Score, waves: np.ndarray, release: float = 0.03) -> np.ndarray:
    """Add the notes into one wave, each at its start and damped at its end."""
    length = waves.shape[1]
    sound = np.zeros(score.num_samples + length, np.float32)
    times = np.arange(length, dtype=np.float32) / np.float32(score.sample_rate)
    for start, held, loud, wave in zip(
        score.starts, score.lengths, score.loudness, waves, strict=True
    ):
        first = round(start * score.sample_rate)
        damper = np.clip((np.float32(held + release) - times) / release, 0.0, 1.0)
        sound[first : first + length] += np.float32(loud) * damper * wave
    return sound[: score.num_samples]


def phases(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return np.exp(2j * np.pi * rng.random(shape))


def knocks(
    score: Score, rng: np.random.Generator, low: float, high: float, gain: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Modes of the short noise of a pick, a finger, a hammer or a mallet."""
    shape = (len(score.starts), 8)
    hertz = low * (high / low) ** rng.random(shape)
    return hertz, rng.uniform(150, 500, shape), gain * phases(rng, shape)


def joined(*modes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate(part, axis=1) for part in zip(*modes, strict=True)]


def plucked(
    score: Score,
    rng: np.random.Generator,
    *,
    ring: float,
    decay_seconds: float,
    loop: float,
    bright: float,
    pick: float,
    body: tuple[tuple[float, float, float], ...],
    pairs: float = 0.0,
) -> np.ndarray:
    """Karplus-Strong strings in closed form: the modes of the delay loop.

    A loop of one period with the averaging filter (1 - loop) + loop / z has a mode at
    every multiple of the pitch, and each period multiplies it by the filter's gain
    there (Karplus and Strong 1983, Jaffe and Smith 1983). The noise burst that starts
    the loop gives every mode of every note its own amplitude and phase.

    Args:
        score: Score.
        rng: Generator. The player and the bursts.
        ring: float. Seconds after which a note is cut.
        decay_seconds: float. Seconds to -60 dB at low frequencies.
        loop: float in (0, 0.5]. Weight of the delayed sample; 0.5 damps the most.
        bright: float. Hz at which the pluck has lost 8.7 dB.
        pick: float. Level of the pick's noise.
        body: Resonances for `peaks`.
        pairs: float. Cents between the strings of a pair; 0 for single strings.

    Returns:
        float32 (num_samples,).
    """
    size = vary(rng, 1.0, 0.25)
    loop, bright = vary(rng, loop, 0.2), vary(rng, bright, 0.5)
    decay_seconds = vary(rng, decay_seconds, 0.4)
    place = rng.uniform(0.1, 0.3)
    top = HIGHEST * score.sample_rate
    order = np.arange(1, 1 + min(48, int(top / min(score.hertz))))
    hertz = score.hertz[:, None] * order
    turn = np.sin(np.pi * np.minimum(hertz, 16_000) / 32_000) ** 2
    gain = np.sqrt(1.0 - 4.0 * loop * (1.0 - loop) * np.minimum(turn, 0.98))
    decays = 6.9 / decay_seconds - score.hertz[:, None] * np.log(gain)
    burst = (0.5 + 0.5 * rng.random(hertz.shape)) * phases(rng, hertz.shape)
    weights = burst * np.abs(np.sin(np.pi * order * place)) / order**0.5
    weights *= np.exp(-hertz / (bright * (0.5 + score.loudness[:, None])))
    weights *= peaks(hertz, *((c * size, w * size, g) for c, w, g in body))
    modes = [(hertz, decays, weights)]
    if pairs:
        shift = 2.0 ** (vary(rng, pairs) / 1200.0)
        modes.append((hertz * shift, decays, weights * phases(rng, hertz.shape)))
    modes.append(knocks(score, rng, 600, 6000, vary(rng, pick, 1.0)))
    length = round(ring * score.sample_rate)
    waves = ringing(*joined(*modes), length=length, sample_rate=score.sample_rate)
    return placed(score, waves)


def sustained(
    score: Score,
    rng: np.random.Generator,
    spectrum: Spectrum,
    *,
    attack: float,
    release: float = 0.05,
    vibrato: float = 0.0,
    shake: float = 0.0,
    glide: float = 0.0,
    levels: int = 3,
    sweep: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    reeds: tuple[float, ...] = (0.0,),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Play one voice from wave tables with an envelope, vibrato and brightness.

    Args:
        score: Score of one voice.
        rng: Generator.
        spectrum: Function (order (1, 1, K), hertz (N, 1, K), level (1, levels, 1)) to
            the harmonics' amplitudes (N, levels, K), for brightness level 0 to 1.
        attack: float. Seconds to reach 63 %.
        release: float. Seconds of the fade at a note's end.
        vibrato: float. Cents of vibrato, each way.
        shake: float in [0, 1). Depth of the tremolo in step with the vibrato.
        glide: float. Seconds in which the pitch comes from the note before.
        levels: int >= 2. Brightness steps that are computed.
        sweep: Function (envelope, age of the note in seconds) to brightness in [0, 1];
            the envelope itself if not given.
        reeds: Cents by which each of the sources that sound together is out of tune.

    Returns:
        Wave, envelope in [0, 1] and age of the note in seconds, each (num_samples,).
    """
    rate, count = np.float32(score.sample_rate), score.num_samples
    edges = np.clip(np.round(score.starts * rate).astype(int), 0, count)
    note = np.repeat(np.arange(len(edges)), np.diff(np.r_[0, edges[1:], count]))
    time = np.arange(count, dtype=np.float32) / rate
    starts, held = score.starts.astype(np.float32), score.lengths.astype(np.float32)
    age = time - starts[note]
    left = np.clip((held[note] - age) / np.float32(release), 0.0, 1.0)
    rise = 1.0 - np.exp(-np.maximum(age, 0.0) / np.float32(attack))
    envelope = score.loudness.astype(np.float32)[note] * rise * left

    wobble = np.sin(2 * np.pi * vary(rng, 5.5, 0.2) * time + rng.uniform(0, 6.3))
    wobble = wobble.astype(np.float32) * np.clip(age / 0.25 - 0.4, 0.0, 1.0)
    pitches = score.pitches.astype(np.float32)
    pitch = pitches[note] + np.float32(vibrato / 100.0) * wobble
    if glide:
        jump = np.clip(np.diff(pitches, prepend=pitches[0] - 1.0), -5.0, 5.0)
        pitch -= jump[note] * np.exp(-np.maximum(age, 0.0) / np.float32(glide))
    cycles = np.exp2((pitch - 69.0) / 12.0, dtype=np.float32) * np.float32(440.0 / rate)
    phase = np.cumsum(cycles, dtype=np.float64)
    bright = envelope if sweep is None else np.clip(sweep(envelope, age), 0.0, 1.0)
    tables = _tables(score, rng, spectrum, levels)
    wave = np.zeros(count, np.float32)
    for cents in reeds:
        turned = phase * 2.0 ** (cents / 1200.0) + rng.random()
        wave += _read(tables, note, turned, bright * (levels - 1))
    return wave * envelope * (1.0 + np.float32(shake) * wobble), envelope, age


def _tables(
    score: Score, rng: np.random.Generator, spectrum: Spectrum, levels: int
) -> np.ndarray:
    """One period of each note at each level, RMS 1: (notes, levels, TABLE_SIZE)."""
    top = HIGHEST * score.sample_rate / 1.06  # a semitone is left for the vibrato
    order = np.arange(1.0, 1 + min(100, max(1, int(top / min(score.hertz)))))
    hertz = score.hertz[:, None, None] * order
    level = np.linspace(0.0, 1.0, levels)[None, :, None]
    weights = np.where(hertz < top, spectrum(order[None, None], hertz, level), 0.0)
    weights = weights / np.sqrt(0.5 * np.sum(weights**2, axis=2, keepdims=True))
    bins = np.zeros((len(hertz), levels, TABLE_SIZE // 2 + 1), np.complex64)
    turns = phases(rng, (1, order.size))
    bins[:, :, 1 : 1 + order.size] = weights * turns * (TABLE_SIZE / 2)
    return fft.irfft(bins, TABLE_SIZE)


def _read(
    tables: np.ndarray, note: np.ndarray, phase: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Read the tables at phases in cycles and levels, linear in both."""
    levels = tables.shape[1]
    place = (phase - np.floor(phase)).astype(np.float32) * np.float32(TABLE_SIZE)
    # In float32 a phase just below 1 may round to 1.
    slot = np.minimum(place.astype(np.int32), TABLE_SIZE - 1)
    lower = np.minimum(level.astype(np.int32), levels - 2)
    # A copied first sample at the end of each table saves a modulo for each read.
    wide = np.concatenate([tables, tables[:, :, :1]], axis=2)
    base = (note.astype(np.int32) * levels + lower) * (TABLE_SIZE + 1) + slot
    along, between = place - slot, level - lower
    flat = wide.ravel()

    def at(index: np.ndarray) -> np.ndarray:
        first = flat.take(index)
        return first + along * (flat.take(index + 1) - first)

    low = at(base)
    return low + between * (at(base + (TABLE_SIZE + 1)) - low)
