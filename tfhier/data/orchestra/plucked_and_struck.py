"""The instruments that are plucked and struck.

Conventions: those of `tfhier.data.orchestra.synthesis`. Each function is one
instrument: it draws its "player" (body, brightness, decay, noise of the stroke) from
the generator, plays the score and returns float32 (num_samples,) at an arbitrary level.
"""

import numpy as np

from tfhier.data.orchestra.synthesis import (
    Score,
    joined,
    knocks,
    noise,
    phases,
    placed,
    plucked,
    ringing,
    vary,
)
from tfhier.data.spectra import peaks


def bass(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Long dark strings, plucked with a finger."""
    sound = {"ring": 1.2, "decay_seconds": 4.0, "loop": 0.4, "bright": 700}
    body = ((110, 60, 1.0), (700, 400, 0.5))
    return plucked(score, rng, pick=0.03, body=body, **sound)


def guitar(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Strings over a hollow body with two low resonances."""
    sound = {"ring": 1.2, "decay_seconds": 3.5, "loop": 0.25, "bright": 1800}
    body = ((105, 20, 2.0), (205, 30, 2.0), (420, 80, 1.0))
    return plucked(score, rng, pick=0.06, body=body, **sound)


def banjo(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Short bright strings on a drum head, plucked with metal picks."""
    sound = {"ring": 0.45, "decay_seconds": 0.7, "loop": 0.2, "bright": 4000}
    body = ((320, 90, 1.5), (750, 250, 2.5), (2500, 900, 1.5))
    return plucked(score, rng, pick=0.25, body=body, **sound)


def mandolin(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Pairs of strings a little apart, played with a plectrum."""
    sound = {"ring": 0.35, "decay_seconds": 1.2, "loop": 0.2, "bright": 3500}
    body = ((200, 40, 1.0), (480, 90, 1.5), (1900, 700, 1.0))
    return plucked(score, rng, pick=0.15, body=body, **sound, pairs=6.0)


def ukulele(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Short soft nylon strings on a small body."""
    sound = {"ring": 0.6, "decay_seconds": 0.9, "loop": 0.45, "bright": 1500}
    body = ((260, 60, 2.0), (560, 120, 1.5))
    return plucked(score, rng, pick=0.05, body=body, **sound)


def piano(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Stiff strings, two for a note, struck by a felt hammer."""
    stiff, bright = vary(rng, 4e-4, 0.8), vary(rng, 2000, 0.4)
    order = np.arange(1, 25)
    stretch = np.sqrt(1.0 + stiff * order**2) / np.sqrt(1.0 + stiff)
    hertz = score.hertz[:, None] * order * stretch
    weights = phases(rng, hertz.shape) * np.abs(np.sin(np.pi * order / 8.3)) / order
    weights *= np.exp(-hertz / (bright * (0.4 + 1.2 * score.loudness[:, None])))
    # The strings of a note first sound together and die fast, then apart and slowly.
    decays = vary(rng, 2.0, 0.4) * (score.hertz[:, None] / 260.0) ** 0.5
    decays = decays + 0.0008 * hertz
    sharp = hertz * 2.0 ** (rng.uniform(0.5, 2.0) / 1200.0)
    hammer = knocks(score, rng, 120, 2500, vary(rng, 0.12, 0.5))
    modes = joined(
        (hertz, 3.0 * decays, weights), (sharp, 0.6 * decays, 0.5 * weights), hammer
    )
    length = round(1.3 * score.sample_rate)
    waves = ringing(*modes, length=length, sample_rate=score.sample_rate)
    return placed(score, waves, release=0.08)


def mallet_percussion(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Tuned bars: marimba, xylophone, vibraphone or glockenspiel."""
    # Bars tuned 1:4:10 (marimba, vibraphone) or 1:3:6 (xylophone), or free bars.
    ratios = ((1, 3.98, 9.9, 16.4), (1, 3.0, 6.1, 10.2), (1, 2.76, 5.4, 8.93))
    kind = rng.integers(3)
    ring = (0.35, 0.15, 1.0)[kind] if rng.random() < 0.7 else 1.5
    ratio = np.array(ratios[kind]) * np.r_[1.0, rng.uniform(0.98, 1.02, 3)]
    hertz = score.hertz[:, None] * ratio
    hard = vary(rng, 0.4, 0.8) * (0.5 + score.loudness[:, None])
    weights = phases(rng, hertz.shape) * hard ** np.arange(4)
    decays = (6.9 / vary(rng, 3 * ring, 0.4)) * np.array([1, 2.5, 5, 8])
    decays = np.broadcast_to(decays, hertz.shape)
    knock = knocks(score, rng, 300, 4000, vary(rng, 0.08, 0.8))
    modes = joined((hertz, decays, weights), knock)
    length = round(1.0 * score.sample_rate)
    return placed(
        score, ringing(*modes, length=length, sample_rate=score.sample_rate), 0.3
    )


def _hits(score: Score, pieces: list[np.ndarray]) -> np.ndarray:
    """Place one recorded hit for each note; the pitch is the number of the piece."""
    length = max(len(piece) for piece in pieces)
    kit = np.stack([np.pad(piece, (0, length - len(piece))) for piece in pieces])
    return placed(score, kit[score.pitches.astype(int) % len(pieces)], release=0.1)


def drums(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Kick, snare, low tom and high tom: falling pitches, and the snare's wires."""
    time = np.arange(round(0.4 * score.sample_rate)) / score.sample_rate

    def head(low: float, drop: float, fall: float, decay: float) -> np.ndarray:
        cycles = low * (time + drop * fall * (1 - np.exp(-time / fall)))
        return np.sin(2 * np.pi * cycles) * np.exp(-time / decay)

    def burst(center: float, decay: float) -> np.ndarray:
        hiss = noise(score, rng, lambda hertz: peaks(hertz, (center, center, 6.0)), 0.4)
        return hiss * np.exp(-time / decay)

    kick = head(vary(rng, 52), rng.uniform(1, 4), 0.02, vary(rng, 0.1, 0.5))
    kick += vary(rng, 0.15, 1) * burst(2500, 0.006)
    snare = 0.6 * head(vary(rng, 185), 0.4, 0.02, vary(rng, 0.06))
    snare += vary(rng, 0.4, 0.6) * burst(vary(rng, 2800, 0.5), vary(rng, 0.07, 0.5))
    toms = [
        head(vary(rng, hertz), 0.6, 0.04, vary(rng, 0.13, 0.4))
        + 0.15 * burst(1500, 0.01)
        for hertz in (90, 150)
    ]
    return _hits(score, [kick, snare, *toms])


def cymbals(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Closed and open hi-hat, ride and crash: high noise and crowds of metal modes."""
    bright = vary(rng, 5500, 0.5)

    def plate(decay: float, tone: float) -> np.ndarray:
        time = np.arange(round(0.9 * score.sample_rate)) / score.sample_rate
        hiss = noise(
            score,
            rng,
            lambda hertz: (hertz / (hertz + bright)) ** 2,
            0.9,
        )
        modes = rng.uniform(400, 7000, (1, 40))
        ring = ringing(
            modes,
            np.full(modes.shape, 0.7 / decay),
            phases(rng, modes.shape) * (modes / 7000) ** 0.7,
            length=time.size,
            sample_rate=score.sample_rate,
        )[0]
        return hiss * np.exp(-time / decay) + tone * ring

    closed, opened = plate(vary(rng, 0.03), 0.02), plate(vary(rng, 0.18), 0.03)
    ride, crash = plate(vary(rng, 0.12), 0.12), plate(vary(rng, 0.5), 0.1)
    return _hits(score, [closed, opened, ride, crash])
