"""The instruments that are bowed, blown, pressed and sung.

Conventions: those of `tfhier.data.orchestra.synthesis`. Each function is one
instrument: it draws its "player" (body, brightness, attack, vibrato, noise) from the
generator, plays the score and returns float32 (num_samples,) at an arbitrary level.
"""

import numpy as np

from tfhier.data.orchestra.synthesis import Score, noise, sustained, vary
from tfhier.data.spectra import peaks, shaped

# Formants of sung vowels: center Hz and level dB of the first four.
VOWELS = (
    ((800, 0), (1150, -5), (2800, -18), (3500, -22)),  # a
    ((450, 0), (1900, -12), (2550, -16), (3400, -22)),  # e
    ((320, 0), (2200, -14), (2900, -18), (3600, -22)),  # i
    ((450, 0), (800, -8), (2750, -20), (3400, -24)),  # o
    ((325, 0), (700, -12), (2650, -28), (3400, -30)),  # u
)


def _bowed(
    score: Score,
    rng: np.random.Generator,
    *,
    body: tuple[tuple[float, float, float], ...],
    rosin: float,
) -> np.ndarray:
    """Sawtooth of a stuck and slipping string, through the body, with bow noise."""
    slope, size = rng.uniform(1.1, 1.5), vary(rng, 1.0, 0.2)
    wave, envelope, _ = sustained(
        score,
        rng,
        lambda order, hertz, level: order ** (0.5 - slope - 0.6 * (1 - level)),
        attack=vary(rng, 0.06, 0.7),
        release=0.07,
        vibrato=vary(rng, 22, 0.6),
        glide=0.03,
    )
    hiss = noise(score, rng, lambda hertz: peaks(hertz, (rosin, rosin / 2, 20.0)))
    wave += vary(rng, 0.03, 0.8) * hiss * envelope
    scaled = tuple((c * size, w * size, g) for c, w, g in body)
    return shaped(
        wave, lambda hertz: peaks(hertz, *scaled), sample_rate=score.sample_rate
    )


def violin(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Small body with a singing resonance at 2 to 3 kHz."""
    body = ((280, 25, 2.0), (470, 40, 3.0), (1050, 120, 1.5), (2600, 600, 3.0))
    return _bowed(score, rng, body=body, rosin=3500)


def cello(score: Score, rng: np.random.Generator) -> np.ndarray:
    """The violin's family, with the body's resonances low."""
    body = ((100, 12, 2.0), (180, 25, 3.0), (390, 60, 2.0), (900, 300, 1.5))
    return _bowed(score, rng, body=body, rosin=1800)


def flute(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Few harmonics, much breath, a tremolo rather than a vibrato."""
    fall = rng.uniform(1.3, 2.0)
    wave, envelope, age = sustained(
        score,
        rng,
        lambda order, hertz, level: np.exp(-(fall - 0.6 * level) * order),
        attack=vary(rng, 0.04, 0.5),
        release=0.06,
        vibrato=vary(rng, 8, 0.5),
        shake=rng.uniform(0.1, 0.35),
    )
    center = vary(rng, float(np.median(score.hertz)) * 1.5, 0.3)
    breath = noise(score, rng, lambda hertz: peaks(hertz, (center, center, 8.0)))
    chiff = 1.0 + 3.0 * np.exp(-np.maximum(age, 0) / 0.03)
    return wave + vary(rng, 0.16, 0.5) * breath * envelope * chiff


def clarinet(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Reed on a closed pipe: the even harmonics are weak."""
    even = rng.uniform(0.03, 0.12)
    slope = rng.uniform(1.0, 1.6)

    def spectrum(order, hertz, level):
        # The closed pipe's even harmonics come up above the register break.
        weak = np.clip(even * np.maximum(hertz / 1500.0, 1.0) ** 1.5, 0.0, 1.0)
        return np.where(order % 2 == 0, weak, 1.0) / order ** (slope + 1.2 - level)

    wave, envelope, _ = sustained(
        score,
        rng,
        spectrum,
        attack=vary(rng, 0.03, 0.5),
        vibrato=vary(rng, 2),
        levels=3,
    )
    breath = noise(score, rng, lambda hertz: peaks(hertz, (2500, 1500, 4.0)))
    return wave + vary(rng, 0.01, 0.6) * breath * envelope


def saxophone(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Reed on a cone: all harmonics, breath, slides into the note."""
    size, slope = vary(rng, 1.0, 0.2), rng.uniform(1.0, 1.4)

    def spectrum(order, hertz, level):
        horn = peaks(hertz, (650 * size, 250, 3.0), (1500 * size, 400, 2.0))
        return horn / order ** (slope + 0.7 * (1 - level))

    wave, envelope, age = sustained(
        score,
        rng,
        spectrum,
        attack=vary(rng, 0.025, 0.5),
        vibrato=vary(rng, 28, 0.5),
        shake=rng.uniform(0.05, 0.2),
        glide=vary(rng, 0.05, 0.5),
    )
    breath = noise(score, rng, lambda hertz: peaks(hertz, (1800, 900, 6.0)))
    reed = 1.0 + 4.0 * np.exp(-np.maximum(age, 0) / 0.02)
    # The reed beats: its noise comes in step with the wave.
    return wave + vary(rng, 0.09, 0.5) * breath * envelope * reed * (0.5 + abs(wave))


def _brass(
    score: Score, rng: np.random.Generator, *, bell: float, attack: float, **slide
) -> np.ndarray:
    """Spectrum that opens with loudness, most of all in the attack."""
    bell, flare = vary(rng, bell, 0.25), vary(rng, 0.6, 0.5)
    attack = vary(rng, attack, 0.4)

    def spectrum(order, hertz, level):
        cutoff = bell * (0.2 + 1.3 * level)
        return 1.0 / (1.0 + (hertz / cutoff) ** 3) / order**0.3

    wave, envelope, age = sustained(
        score,
        rng,
        spectrum,
        attack=attack,
        release=0.06,
        levels=4,
        sweep=lambda envelope, age: (
            envelope * (0.7 + flare * np.exp(-((age / attack - 2.5) ** 2)))
        ),
        **slide,
    )
    spit = np.exp(-np.maximum(age, 0) / 0.015)
    air = noise(score, rng, lambda hertz: peaks(hertz, (bell, bell / 2, 4.0)))
    return wave + vary(rng, 0.15, 0.8) * spit * envelope * air


def trombone(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Low brass that slides from note to note."""
    slide = {"vibrato": vary(rng, 8, 0.8), "glide": vary(rng, 0.06, 0.5)}
    return _brass(score, rng, bell=900, attack=0.035, **slide)


def trumpet(score: Score, rng: np.random.Generator) -> np.ndarray:
    """High brass with a sharp attack and no slide."""
    return _brass(score, rng, bell=1900, attack=0.018, vibrato=vary(rng, 10, 0.8))


def accordion(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Pairs of reeds that beat, under a moving bellows."""
    slope, beat = rng.uniform(0.7, 1.1), vary(rng, 14, 0.6)
    attack = vary(rng, 0.04)

    def spectrum(order, hertz, level):
        box = peaks(hertz, (1600, 800, 1.0))
        return box / order ** (slope + 0.5 * (1 - level))

    sound = np.zeros(score.num_samples, np.float32)
    for number in np.unique(score.voices):
        one = score.voice(number)
        reeds = (0.0, beat)
        sound += sustained(one, rng, spectrum, attack=attack, levels=2, reeds=reeds)[0]
    time = np.arange(score.num_samples) / score.sample_rate
    bellows = np.sin(2 * np.pi * vary(rng, 2.5, 0.8) * time + rng.uniform(0, 6.3))
    return sound * (1.0 + rng.uniform(0.1, 0.35) * bellows).astype(np.float32)


def organ(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Sines at the drawbars' harmonics, key clicks, perhaps a rotating speaker."""
    bars = np.array([1, 2, 3, 4, 5, 6, 8])  # harmonics that a drawbar may add
    pulled = np.zeros(101)
    pulled[bars] = rng.random(7) ** 1.5
    pulled[1] = 1.0
    leslie = rng.random() < 0.5
    sound = np.zeros(score.num_samples, np.float32)
    for number in np.unique(score.voices):
        wave, _, age = sustained(
            score.voice(number),
            rng,
            lambda order, hertz, level: pulled[order.astype(int)] + 0.0 * hertz,
            attack=0.006,
            release=0.02,
            levels=2,
        )
        sound += wave
    click = noise(score, rng, lambda hertz: peaks(hertz, (2000, 1500, 5.0)))
    sound += 0.3 * click * np.exp(-np.maximum(age, 0) / 0.004)
    time = np.arange(score.num_samples) / score.sample_rate
    rotor = np.sin(2 * np.pi * rng.uniform(5.8, 7.2) * time).astype(np.float32)
    return sound * (1.0 + (0.3 if leslie else 0.0) * rotor)


def synthesizer(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Saw or square waves through a resonant low-pass filter that sweeps."""
    square = rng.random() < 0.5
    low, span = vary(rng, 350, 0.8), rng.uniform(2.5, 4.5)
    quality, rate, decay = rng.uniform(3, 8), rng.uniform(0.8, 4), vary(rng, 0.15, 1)
    wheel, apart = rng.uniform(0, 6.3), vary(rng, 9, 0.7)

    def spectrum(order, hertz, level):
        ratio = hertz / (low * 2.0 ** (span * level))
        gain = 1.0 / np.sqrt((1 - ratio**2) ** 2 + (ratio / quality) ** 2)
        return np.where(square & (order % 2 == 0), 0.0, gain / order)

    plucks = rng.random() < 0.5
    time = np.arange(score.num_samples, dtype=np.float32) / score.sample_rate
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * rate * time + wheel)

    def sweep(envelope, age):
        return np.exp(-np.maximum(age, 0) / decay) if plucks else wave

    sound = np.zeros(score.num_samples, np.float32)
    for number in np.unique(score.voices):
        sound += sustained(
            score.voice(number),
            rng,
            spectrum,
            attack=0.004,
            release=0.015,
            levels=8,
            sweep=sweep,
            reeds=(0.0, apart),
        )[0]
    return sound


def voice(score: Score, rng: np.random.Generator) -> np.ndarray:
    """A sung line: vowels that change inside the note, vibrato, consonants."""
    size, slope = vary(rng, 1.05, 0.25), rng.uniform(0.7, 1.2)
    vowels = rng.integers(len(VOWELS), size=(len(score.starts), 2))
    center = np.array(VOWELS, float)[vowels][..., 0] * size  # (notes, 2, formants)
    gain = 10.0 ** (np.array(VOWELS, float)[vowels][..., 1] / 20.0)

    def spectrum(order, hertz, level):
        # Level 0 is the note's first vowel and level 1 its second.
        blend = np.linspace(0, 1, 4)[None, :, None]
        mid = center[:, :1] * (1 - blend) + center[:, 1:] * blend
        high = gain[:, :1] * (1 - blend) + gain[:, 1:] * blend
        width = 40.0 + 0.05 * mid
        distance = (hertz[..., None] - mid[:, :, None]) / width[:, :, None]
        return np.sum(high[:, :, None] / (1 + distance**2), axis=-1) / order**slope

    speed = vary(rng, 0.15, 0.5)
    wave, envelope, age = sustained(
        score,
        rng,
        spectrum,
        attack=vary(rng, 0.04, 0.5),
        release=0.08,
        vibrato=vary(rng, 50, 0.7),
        glide=vary(rng, 0.06, 0.5),
        levels=4,
        sweep=lambda envelope, age: 1 / (1 + np.exp((0.25 - age) / (speed / 3))),
    )
    hiss = noise(score, rng, lambda hertz: peaks(hertz, (5500, 1500, 20.0)))
    spoken = np.abs(age - 0.02) < rng.uniform(0.02, 0.05)
    return wave + vary(rng, 0.12, 0.8) * hiss * spoken + 0.01 * hiss * envelope
