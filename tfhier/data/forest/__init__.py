"""Embedded stand-in for ComParE 2021 PRS: a synthetic forest in its published layout.

Card. Contents: clips of 0.7 to 3 s, 16 kHz, in which one animal of four primate kinds
calls (`tfhier.data.forest.calls`, our own sketch), or none does (Background), over
rain, insects and wind; other animals, people and branches sound in three quarters of
the Background clips and in a third of the others. Class shares: those of the published
set, 50.0, 32.1, 2.3, 12.6 and 3.0 %.
Parts: train and devel share no site and no individual. Source: made here, nothing is
recorded or downloaded, so its scores say nothing about real primates. Level, length,
band and zeros do not tell calls from Background (ROC-AUC .47 to .55 in the embedded
set); the level of the first and last 50 ms against the clip does a little (.64), since
a call seldom fills its clip.

Conventions: waveforms are float32 (samples,) in [-1, 1] at `RATE`; labels are in the
order of `LABELS`; everything is a function of (seed, part, index) and the part's size,
whatever the number of workers.
"""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from tfhier.data.forest.calls import CALLS, call
from tfhier.data.forest.distractors import DISTRACTORS, distractor
from tfhier.data.forest.individuals import Individual, random_individual
from tfhier.data.forest.sites import Site, heard, random_site, recorded, weather
from tfhier.data.forest.voice import RATE
from tfhier.errors import InputError
from tfhier.files import new_folder, write_text

LABELS = ("background", *CALLS)
# Of 1,000 clips, Pellegrini (Interspeech 2021, Sec. 3.2).
SHARES = (500, 321, 23, 126, 30)
PARTS = ("train", "devel")
NUM_SITES = {"train": 14, "devel": 7}
NUM_INDIVIDUALS = 3  # of each kind at each site
SECONDS = (0.7, 3.0)
SNR = (-5.0, 20.0)  # dB
METERS = (5.0, 80.0)
FRAME = 320  # samples; 20 ms
README = """Synthetic forest, a stand-in for ComParE 2021 PRS (not the challenge's data)

Every clip was synthesised by tfhier.data.forest.write: no sound was recorded and no
person labelled anything. Scores on it say nothing about real primates.

train clips  {num_train}
devel clips  {num_devel}
sample rate  {rate} Hz
seed         {seed}

wav/       clips, 16-bit, mono, 0.7 to 3 s
lab/       train.csv and devel.csv: filename, label, site, and the call's snr in dB,
           empty for background
"""


@dataclasses.dataclass(frozen=True)
class Scene:
    """One clip in its two layers, each as recorded: float32 (samples,).

    Args:
        call: The animal's call; silent in Background.
        background: All else.
        snr: float. Mean power of the call's active part over that of the background, in
            dB; NaN in Background.
        peak: float in (0, 1). Of the waveform.
    """

    call: np.ndarray
    background: np.ndarray
    snr: float
    peak: float

    @property
    def waveform(self) -> np.ndarray:
        mix = self.call + self.background
        return mix * np.float32(self.peak / np.max(np.abs(mix)))


def label_quotas(num_clips: int) -> list[int]:
    """Return the number of clips of each label: the published shares, rounded.

    What rounding down leaves over goes to the largest remainders, and among equal ones
    to the rarer label.
    """
    exact = [num_clips * share for share in SHARES]
    quotas = [value // 1000 for value in exact]
    order = sorted(range(5), key=lambda i: (-(exact[i] % 1000), SHARES[i]))
    for i in order[: num_clips - sum(quotas)]:
        quotas[i] += 1
    return quotas


def plan(num_clips: int, *, seed: int, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Deal labels and sites to the clips of a part.

    Every label is dealt evenly over the sites, in a random order.

    Returns:
        Indices into `LABELS` and numbers of sites, each int (num_clips,).
    """
    rng = np.random.default_rng([seed, PARTS.index(part), 3, num_clips])
    labels = np.repeat(np.arange(len(LABELS)), label_quotas(num_clips))
    sites = np.concatenate(
        [
            rng.permutation(NUM_SITES[part])[np.arange(quota) % NUM_SITES[part]]
            for quota in label_quotas(num_clips)
        ]
    )
    order = rng.permutation(num_clips)
    return labels[order], sites[order]


def find_site(number: int, *, seed: int, part: str) -> Site:
    """Return a site by its number in a part; any number >= 0 names one."""
    return random_site(np.random.default_rng([seed, PARTS.index(part), 1, number]))


def find_individual(
    label: str, which: int, *, seed: int, part: str, site: int
) -> Individual:
    """Return an animal of a site: number `which`, below `NUM_INDIVIDUALS`, of its kind.

    It lives at no other site.
    """
    who = site * 100 + LABELS.index(label) * 10 + which
    return random_individual(np.random.default_rng([seed, PARTS.index(part), 4, who]))


def render(label: str, *, seed: int, part: str, index: int, site: int = 0) -> Scene:
    """Synthesise one clip.

    Args:
        label: str. One of `LABELS`.
        seed: int >= 0.
        part: str. "train" or "devel"; sites and animals of one are not in the other.
        index: int >= 0. Number of the clip in its part.
        site: int >= 0. Number of the site in its part.
    """
    place = find_site(site, seed=seed, part=part)
    rng = np.random.default_rng([seed, PARTS.index(part), 2, index])
    seconds, snr = rng.uniform(*SECONDS), rng.uniform(*SNR)
    background = weather(place, count=round(seconds * RATE), rng=rng)
    if rng.random() < (0.75 if label == "background" else 0.35):
        kind = list(DISTRACTORS)[rng.integers(len(DISTRACTORS))]
        other = distractor(kind, seconds=seconds, rng=rng)
        other = heard(other, place, meters=rng.uniform(*METERS), rng=rng)
        background = background + scaled(other, background, rng.uniform(*SNR))
    background = recorded(background, place)
    peak = 10.0 ** (rng.uniform(-16.0, -1.0) / 20.0)
    if label == "background":
        return Scene(np.zeros_like(background), background, np.nan, peak)
    which = int(rng.integers(NUM_INDIVIDUALS))
    animal = find_individual(label, which, seed=seed, part=part, site=site)
    wave = call(label, animal, seconds=seconds, rng=rng)
    wave = heard(wave, place, meters=rng.uniform(*METERS), rng=rng)
    wave = scaled(recorded(wave, place), background, snr)
    return Scene(wave, background, snr, peak)


def scaled(wave: np.ndarray, background: np.ndarray, snr: float) -> np.ndarray:
    """Scale a sound so that its active part lies `snr` dB over the background."""
    power = active_power(wave) / np.mean(background**2)
    return wave * np.float32(10.0 ** (snr / 20.0) / np.sqrt(power))


def active_power(wave: np.ndarray) -> float:
    """Return the mean power of those 20-ms frames within 20 dB of the loudest."""
    power = _frame_powers(wave)
    return float(np.mean(power[power >= 0.01 * power.max()]))


def active_span(wave: np.ndarray) -> tuple[float, float]:
    """Return start and end, in seconds, of the frames that `active_power` is of."""
    power = _frame_powers(wave)
    active = np.flatnonzero(power >= 0.01 * power.max())
    first, last = int(active[0]), int(active[-1])
    return first * FRAME / RATE, (last + 1) * FRAME / RATE


def _frame_powers(wave: np.ndarray) -> np.ndarray:
    frames = wave[: wave.size // FRAME * FRAME].reshape(-1, FRAME)
    return np.mean(frames**2, axis=1)


def write(folder: Path, *, num_train: int, num_devel: int, seed: int = 0) -> None:
    """Write a synthetic data set in the layout in which ComParE 2021 PRS is published.

    Args:
        folder: Path. To be made, whole or not at all; it must not exist, or be empty.
        num_train: int in [1, 99999]. Clips of the train part.
        num_devel: int in [1, 99999]. Clips of the devel part; the same whatever
            `num_train`.
        seed: int >= 0. Equal arguments give equal files.

    Raises:
        InputError: `folder` has content already, or an argument is out of its range.
    """
    sizes = dict(zip(PARTS, (num_train, num_devel), strict=True))
    if not all(1 <= size <= 99_999 for size in sizes.values()) or seed < 0:
        raise InputError(
            f"A forest of {num_train} train and {num_devel} devel clips with seed "
            f"{seed} cannot be written: each part needs 1 to 99,999 clips, and the "
            "seed must be at least 0."
        )
    readme = README.format(
        num_train=num_train, num_devel=num_devel, rate=RATE, seed=seed
    )
    with new_folder(folder, readme=readme) as content:
        _fill(content, sizes, seed)


def _fill(folder: Path, sizes: dict[str, int], seed: int) -> None:
    """Write everything but the README into `folder`."""
    (folder / "wav").mkdir()
    jobs = []
    for part, size in sizes.items():
        labels, sites = plan(size, seed=seed, part=part)
        names = [LABELS[label] for label in labels]
        jobs += zip([part] * size, range(size), names, sites.tolist(), strict=True)

    def make(job: tuple[str, int, str, int]) -> list[str]:
        part, index, label, site = job
        scene = render(label, seed=seed, part=part, index=index, site=site)
        name = f"{part}_{index:05d}.wav"
        soundfile.write(folder / "wav" / name, scene.waveform, RATE, subtype="PCM_16")
        snr = "" if np.isnan(scene.snr) else f"{scene.snr:.1f}"
        return [name, label, f"{part}-{site:02d}", snr]

    # Threads: NumPy, SciPy and libsndfile release the lock in most of the work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(make, jobs)
        rows = list(
            tqdm(made, "synthetic forest", len(jobs), unit="clip", disable=None)
        )
    for part in sizes:
        mine = [["filename", "label", "site", "snr"]]
        mine += [row for row in rows if row[0].startswith(f"{part}_")]
        text = "".join(",".join(row) + "\n" for row in mine)
        write_text(folder / "lab" / f"{part}.csv", text)
