"""Embedded stand-in for OpenMIC-2018: a synthetic orchestra in its published layout.

Card. Contents: clips of 1 to 5 of OpenMIC-2018's twenty instruments, played by
`tfhier.data.orchestra.instruments` through the whole clip, in a random room, with
random levels, equalisation and background noise. Labels: as sparse as OpenMIC-2018's,
about 2 of 20 observed for a clip and 41 % of them positive; the full truth lies in
`all-labels.csv`.
Parts: train and test share no random stream, so no tune, player or room. Source: made
here, nothing is recorded or downloaded, so its scores say nothing about real music.

Conventions: waveforms are float32 (samples,) in [-1, 1]; labels are in alphabetical
order; everything is a function of the arguments, whatever the number of workers.
"""

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy import fft, sparse
from tqdm import tqdm

from tfhier.data.orchestra import ogg
from tfhier.data.orchestra.instruments import INSTRUMENTS, compose, play, random_song
from tfhier.data.spectra import peaks, shaped
from tfhier.errors import InputError
from tfhier.files import new_folder, write_json, write_text
from tfhier.mel import filter_bank, hann_window

LABELS = tuple(INSTRUMENTS)
NUM_PARTS, NUM_MELS = 10, 64
SIZE_CHANCES = (0.25, 0.2, 0.2, 0.2, 0.15)  # of 1 to 5 instruments in a clip
README = """Synthetic orchestra, a stand-in for OpenMIC-2018 (not OpenMIC-2018 itself)

Every clip was synthesised by tfhier.data.orchestra.write: no sound was recorded and no
person labelled anything. Scores on it say nothing about real music.

train clips  {num_train}
test clips   {num_test}
seconds      {seconds}
sample rate  {sample_rate} Hz
seed         {seed}

audio/               clips, Ogg Vorbis, mono
openmic-2018.npz     Y_true, Y_mask, sample_key as in OpenMIC-2018; X stands in for its
                     VGGish features: for each tenth of the clip the mean and the
                     standard deviation of 64 log-mel bands, as uint8
partitions/          keys of the train and of the test clips
class-map.json       label to column
all-labels.csv       the full truth, for evaluation only
"""


def render_clip(
    seed: int | Sequence[int], *, seconds: float, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Synthesise one clip of 1 to 5 instruments.

    Args:
        seed: int or Sequence of int >= 0. Chooses everything that is heard.
        seconds: float in [1, 600]. Length of the clip.
        sample_rate: int in [8000, 192000]. Hz.

    Returns:
        Waveform float32 (round(seconds * sample_rate),) in [-1, 1], and which
        instruments sound, bool (20,), in the order of `LABELS`.

    Raises:
        InputError: `seconds` or `sample_rate` is out of its range.
    """
    _check(seconds=seconds, sample_rate=sample_rate)
    rng = np.random.default_rng(seed)
    size = rng.choice(np.arange(1, 6), p=SIZE_CHANCES)
    chosen = rng.choice(len(LABELS), size=size, replace=False)
    song = random_song(rng)
    mix = np.zeros(round(seconds * sample_rate), np.float32)
    for number in chosen:
        score = compose(
            LABELS[number], song, seconds=seconds, sample_rate=sample_rate, rng=rng
        )
        wave = play(LABELS[number], score, rng=rng)
        tilt = rng.uniform(-0.25, 0.25)  # the microphone's, up to 1.5 dB an octave
        wave = shaped(wave, lambda hertz, t=tilt: hertz**t, sample_rate=sample_rate)
        gain = 10.0 ** (rng.uniform(-10.0, 0.0) / 20.0)
        mix += wave * np.float32(gain / np.sqrt(np.mean(wave**2)))
    present = np.zeros(len(LABELS), bool)
    present[chosen] = True
    return _recorded(mix / np.sqrt(np.mean(mix**2)), rng, sample_rate), present


def _recorded(
    mix: np.ndarray, rng: np.random.Generator, sample_rate: int
) -> np.ndarray:
    """Put a mix of RMS 1 in a room and through a recording chain."""
    decay = rng.uniform(0.02, 0.12)
    tail = rng.standard_normal(round(6 * decay * sample_rate), dtype=np.float32)
    tail *= np.exp(-np.arange(tail.size) / (decay * sample_rate)).astype(np.float32)
    tail *= rng.uniform(0.1, 0.6) / np.sqrt(np.sum(tail**2))
    tail[0] += 1.0
    size = fft.next_fast_len(mix.size + tail.size, real=True)
    spectrum = fft.rfft(mix, size) * fft.rfft(tail, size)
    wet = fft.irfft(spectrum, size)[: mix.size]

    bands = [
        (200.0 * 30.0 ** rng.random(), rng.uniform(100, 1500), rng.uniform(-0.5, 1.0))
        for _ in range(2)
    ]
    tilt, color = rng.uniform(-0.3, 0.3), rng.uniform(-1.0, 0.0)
    hiss = rng.standard_normal(mix.size, dtype=np.float32)
    hiss = shaped(hiss, lambda hertz: hertz**color, sample_rate=sample_rate)
    hiss *= 10.0 ** (rng.uniform(-55.0, -28.0) / 20.0) / np.sqrt(np.mean(hiss**2))
    sound = shaped(
        wet + hiss,
        lambda hertz: hertz**tilt * np.maximum(peaks(hertz, *bands), 0.2),
        sample_rate=sample_rate,
    )
    times = np.arange(mix.size, dtype=np.float32) / sample_rate
    swell = np.sin(2 * np.pi * times / rng.uniform(3, 8) + rng.uniform(0, 2 * np.pi))
    sound *= 10.0 ** (rng.uniform(0.0, 3.0) / 20.0 * swell)
    peak = 10.0 ** (rng.uniform(-20.0, -0.5) / 20.0)
    return (sound * (peak / np.max(np.abs(sound)))).astype(np.float32)


def write(
    folder: Path,
    *,
    num_train: int,
    num_test: int,
    seconds: float = 5.0,
    sample_rate: int = 16_000,
    seed: int = 0,
) -> None:
    """Write a synthetic data set in the layout in which OpenMIC-2018 is published.

    All is written into a temporary folder beside `folder` that is renamed at the end,
    so `folder` is there whole or not at all. Temporary folders that a kill left behind
    more than an hour ago are removed.

    Args:
        folder: Path. To be made; it must not exist, or be empty.
        num_train: int >= 1. Clips of the train part.
        num_test: int >= 1. Clips of the test part; the same whatever `num_train`, but
            for their keys.
        seconds: float in [1, 600]. Length of every clip.
        sample_rate: int in [8000, 192000]. Hz.
        seed: int >= 0. Equal arguments give equal files.

    Raises:
        InputError: `folder` has content already, or an argument is out of its range.
    """
    folder = Path(folder)
    _check(seconds=seconds, sample_rate=sample_rate)
    if num_train < 1 or num_test < 1 or num_train + num_test > 1_000_000 or seed < 0:
        raise InputError(
            f"An orchestra of {num_train} train and {num_test} test clips with seed "
            f"{seed} cannot be written: each part needs a clip, both together at most "
            "1,000,000, and the seed must be at least 0."
        )
    readme = README.format(
        num_train=num_train,
        num_test=num_test,
        seconds=seconds,
        sample_rate=sample_rate,
        seed=seed,
    )
    with new_folder(folder, readme=readme) as content:
        _fill(content, (num_train, num_test), seconds, sample_rate, seed)


def _check(*, seconds: float, sample_rate: int) -> None:
    if not 1.0 <= seconds <= 600.0 or not 8000 <= sample_rate <= 192_000:
        raise InputError(
            f"A synthetic clip of {seconds} s at {sample_rate} Hz cannot be rendered: "
            "give 1 to 600 s and 8000 to 192,000 Hz."
        )


def _fill(
    folder: Path,
    sizes: tuple[int, int],
    seconds: float,
    sample_rate: int,
    seed: int,
) -> None:
    """Write everything but the README into `folder`."""
    clips = [(part, index) for part in (0, 1) for index in range(sizes[part])]
    keys = [f"{number:06d}_0001" for number in range(len(clips))]
    for name in {key[:3] for key in keys}:
        (folder / "audio" / name).mkdir(parents=True)

    def make(number: int) -> tuple[np.ndarray, np.ndarray]:
        # Part and index seed the clip: a larger train part changes no test clip.
        waveform, present = render_clip(
            [seed, *clips[number]], seconds=seconds, sample_rate=sample_rate
        )
        content = ogg.encode(waveform, sample_rate=sample_rate, serial=number)
        key = keys[number]
        (folder / "audio" / key[:3] / f"{key}.ogg").write_bytes(content)
        return present, features(waveform, sample_rate=sample_rate)

    # Threads: NumPy, SciPy and libsndfile release the lock in nearly all of the work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(make, range(len(clips)))
        progress = tqdm(
            made, "synthetic orchestra", len(clips), unit="clip", disable=None
        )
        present, described = map(np.stack, zip(*progress, strict=True))

    _write_tables(folder, keys, present, sizes[0], described, seed)


def _write_tables(
    folder: Path,
    keys: list[str],
    present: np.ndarray,
    num_train: int,
    described: np.ndarray,
    seed: int,
) -> None:
    """Write labels, features and parts of rendered clips, the train part first."""
    parts = {"train": slice(num_train), "test": slice(num_train, None)}
    rows = [["sample_key", "part", *LABELS]]
    probabilities = np.full(present.shape, 0.5)
    for number, (part, mine) in enumerate(parts.items()):
        rng = np.random.default_rng([seed, 2, number])
        probabilities[mine] = sparse_labels(present[mine], rng=rng)
        text = "".join(f"{key}\n" for key in keys[mine])
        write_text(folder / "partitions" / f"split01_{part}.csv", text)
        truth = present[mine].astype(int).astype(str)
        rows += [[k, part, *row] for k, row in zip(keys[mine], truth, strict=True)]
    write_text(folder / "all-labels.csv", "".join(",".join(r) + "\n" for r in rows))
    write_json(folder / "class-map.json", {label: i for i, label in enumerate(LABELS)})
    np.savez(
        folder / "openmic-2018.npz",
        X=described,
        Y_true=probabilities,
        Y_mask=probabilities != 0.5,
        sample_key=np.array(keys),
    )


def features(waveform: np.ndarray, *, sample_rate: int) -> np.ndarray:
    """Describe a clip in ten parts, in the shape of OpenMIC-2018's VGGish features.

    Args:
        waveform: float32 (samples,).
        sample_rate: int. Hz.

    Returns:
        uint8 (10, 128): for each tenth of the clip the mean (-100 to 0 dB as 0 to 255)
        and the standard deviation (0 to 25 dB as 0 to 255) of 64 log-mel bands.
    """
    num_fft, hop = 512, 256
    frames = np.lib.stride_tricks.sliding_window_view(waveform, num_fft)[::hop]
    window = hann_window(num_fft).astype(np.float32)
    power = np.abs(fft.rfft(frames * window)) ** 2 / np.sum(window) ** 2
    mels = (_bands(sample_rate, num_fft) @ power.T).T
    decibels = 10.0 * np.log10(np.maximum(mels, 1e-10))
    parts = np.array_split(decibels, NUM_PARTS)
    mean = np.stack([part.mean(axis=0) for part in parts]) / 100.0 + 1.0
    deviation = np.stack([part.std(axis=0) for part in parts]) / 25.0
    scaled = 255.0 * np.concatenate([mean, deviation], axis=1)
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)


@functools.cache
def _bands(sample_rate: int, num_fft: int) -> sparse.csr_array:
    bank = filter_bank(
        sample_rate=sample_rate,
        num_fft=num_fft,
        num_mels=NUM_MELS,
        min_hertz=60.0,
        max_hertz=sample_rate / 2,
        scale="slaney",
    )
    return sparse.csr_array(bank.T)


def sparse_labels(present: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Hide most labels, as sparsely and as evenly as OpenMIC-2018's are observed.

    Each class is observed on a tenth of the clips, where it sounds on 41 % of them.
    Classes choose their clips in a random order among those with fewest labels so far.

    Args:
        present: bool (clips, classes). The full truth.
        rng: numpy.random.Generator.

    Returns:
        float64 (clips, classes). Probability that the class sounds: [0.55, 1] or
        [0, 0.45] where it is observed, exactly 0.5 elsewhere.
    """
    num_clips, num_classes = present.shape
    num_observed = max(2, round(num_clips * 2.0 / num_classes))
    num_positive = max(1, round(0.41 * num_observed))
    result = np.full(present.shape, 0.5)
    used = np.zeros(num_clips)
    for column in rng.permutation(num_classes):
        for value, wanted in (
            (True, num_positive),
            (False, num_observed - num_positive),
        ):
            clips = np.flatnonzero(present[:, column] == value)
            # The random part lets some clips have several labels and some only one.
            order = np.argsort(used[clips] + rng.uniform(0.0, 2.0, size=len(clips)))
            clips = clips[order[:wanted]]
            used[clips] += 1
            low, high = (0.55, 1.0) if value else (0.0, 0.45)
            result[clips, column] = rng.uniform(low, high, size=len(clips))
    return result
