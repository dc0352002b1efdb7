"""The recipe of the data set `gibbons`: which calls go into which windows of forest.

`tfhier.data.gibbons` describes the recipe for its users. Here a *window* is 3 s of a
soundscape, and every window is used five times, once for each of `KINDS`; the five
share the window's gain, so that neither the forest nor the level of a clip can tell
what was mixed into it.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tfhier.data.gibbons.calls import (
    MAX_SAMPLES,
    SAMPLE_RATE,
    Recording,
    faded,
    hiss,
    in_band,
)
from tfhier.errors import InputError
from tfhier.mixing import gain_at_snr, mix_at_snr

LABELS = ("gibbon_female", "gibbon_male", "great_argus", "background")
# What is mixed into a window, with its label. Hiss is a focal recording's own noise, as
# loud as it would come with a call of that recording; it stands in for no call.
KINDS = {
    "female": "gibbon_female",
    "male": "gibbon_male",
    "argus": "great_argus",
    "hiss": "background",
    "forest": "background",
}
CALLERS = {
    "train": {
        "female": ("FemaleGibbon_1", "FemaleGibbon_2"),
        "male": ("MaleSolo_1", "MaleSolo_2"),
        "argus": ("GreatArgus_1", "GreatArgus_2"),
    },
    "test": {
        "female": ("FemaleGibbon_3", "FemaleGibbon_4"),
        "male": ("MaleSolo_3", "MaleSolo_4"),
        "argus": ("GreatArgus_3",),
    },
}
# Stretches in seconds without a gibbon or great argus to be seen; None: all of a file.
STRETCHES = {
    "train": {
        # From 9.5 s on a faint series of notes rises from 600 Hz, a distant great call;
        # a diffuse band about 850 Hz before it cannot be told.
        "Borneo_Morning_01": ((0.0, 5.7),),
        # Faint rising notes of 0.8 to 1 kHz to 5.5 s, a faint tone at 700 Hz from 11 s.
        "Borneo_Morning_02": ((5.6, 11.0),),
        # Borneo_Morning_03 is left out: phrases of a male gibbon at 2.3 to 6.3 and 12.8
        # to 16.5 s, single notes of it between and after them.
        # Two faint notes rise from 670 to 750 Hz at 6.5 and 8.2 s.
        "Borneo_Morning_04": ((0.0, 6.1), (8.6, 20.0)),
        "Borneo_Night_01": None,
        "Borneo_Night_02": None,
        "Borneo_Night_03": None,
        "Borneo_Night_04": None,
    },
    # Neither gibbons nor great argus live on Sulawesi.
    "test": {
        f"Sulawesi_{time}_0{number}": None
        for time in ("Morning", "Night")
        for number in (1, 2, 3, 4)
    },
}
TRAIN_WINDOWS = 30  # a soundscape, at random places
TEST_WINDOWS = 6  # a soundscape, at equal distances, apart where 18 s are there
TRAIN_SNR_DB = (-5.0, 20.0)
TEST_SNR_DB = (-10.0, 0.0, 10.0, 20.0)  # the first is lower than any trained on
GAIN_DB = (-6.0, 6.0)
PEAK = 0.99
SEED = 2021


@dataclass(frozen=True, kw_only=True)
class Row:
    """One clip of the data set: where it comes from. Times are in seconds."""

    key: str
    part: str
    kind: str
    soundscape: str
    start: float
    gain_db: float
    condition: str = ""
    focal: str = ""
    focal_start: float = 0.0
    focal_stop: float = 0.0
    onset: float = 0.0
    snr_db: float = 0.0


@dataclass(frozen=True, eq=False)
class Soundscape:
    """20 s of forest: all of it, and the band of the calls; float64 (samples,)."""

    waveform: np.ndarray
    band: np.ndarray

    @classmethod
    def of(cls, waveform: np.ndarray) -> "Soundscape":
        """Take the mean off, which is the recorder's, and filter."""
        waveform = waveform - np.mean(waveform, dtype=np.float64)
        return cls(waveform, in_band(waveform))


def plan(
    part: str, forest: Mapping[str, Soundscape], focal: Mapping[str, Recording]
) -> list[Row]:
    """Decide every clip of a part.

    Calls are taken in turns, so that every recording of a kind, and every excerpt of a
    recording, is used equally often. The clips of the test conditions differ in nothing
    but the ratio.

    Args:
        part: "train" or "test".
        forest: Dict of the name of a soundscape -> Soundscape.
        focal: Dict of the name of a focal recording -> Recording.

    Raises:
        InputError: A focal recording has no call, or a soundscape no 3 s to use.
    """
    rng = np.random.default_rng([SEED, part == "test"])
    turns = {
        kind: _excerpts([focal[name] for name in names], rng)
        for kind, names in CALLERS[part].items()
    }
    # Hiss comes from every recording in turn, so from as many as the calls do.
    turns["hiss"] = _excerpts(
        [focal[name] for names in CALLERS[part].values() for name in names], rng
    )
    rows = []
    for soundscape, stretches in STRETCHES[part].items():
        starts = _starts(
            part, soundscape, stretches, len(forest[soundscape].waveform), rng
        )
        for number, start in enumerate(starts):
            gain_db = round(float(rng.uniform(*GAIN_DB)), 3)
            for kind in KINDS:
                row = Row(
                    key=f"{part}_{soundscape}_{number:02d}_{kind}",
                    part=part,
                    kind=kind,
                    soundscape=soundscape,
                    start=start / SAMPLE_RATE,
                    gain_db=gain_db,
                )
                rows += _conditions(row, turns, rng)
    return rows


def _excerpts(
    recordings: list[Recording], rng: np.random.Generator
) -> Iterator[tuple[str, int, int]]:
    """Yield (recording, start, stop) for ever: the recordings in turns, each shuffled.

    Raises:
        InputError: A recording has no call.
    """
    for recording in recordings:
        if not len(recording.excerpts):
            raise InputError(
                f"No call was found in the focal recording {recording.name}: nothing in"
                " it is 10 dB above its floor between 550 and 1250 Hz. Is it the"
                " published file?"
            )
    orders = [rng.permutation(len(recording.excerpts)) for recording in recordings]
    for turn in itertools.count():
        for recording, order in zip(recordings, orders, strict=True):
            start, stop = recording.excerpts[order[turn % len(order)]]
            yield recording.name, int(start), int(stop)


def _starts(
    part: str,
    soundscape: str,
    stretches: tuple[tuple[float, float], ...] | None,
    num_samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the first samples of a soundscape's windows, ascending."""
    if stretches is None:
        stretches = ((0.0, num_samples / SAMPLE_RATE),)
    places = np.concatenate(
        [
            np.arange(
                round(start * SAMPLE_RATE),
                min(round(stop * SAMPLE_RATE), num_samples) - MAX_SAMPLES + 1,
            )
            for start, stop in stretches
        ]
    )
    if not places.size:
        raise InputError(
            f"The soundscape {soundscape} has {num_samples / SAMPLE_RATE:.1f} s and no "
            f"3 s within {stretches} s, which are used of it. Is it the published file?"
        )
    if part == "test":
        return places[np.linspace(0, len(places) - 1, TEST_WINDOWS).astype(int)]
    return np.sort(rng.choice(places, TRAIN_WINDOWS))


def _conditions(
    row: Row, turns: Mapping[str, Iterator], rng: np.random.Generator
) -> list[Row]:
    """Return a row with what is mixed into it: once to train, once a test condition."""
    changes = {}
    if row.kind in turns:
        name, start, stop = next(turns[row.kind])
        onset = int(rng.integers(0, MAX_SAMPLES - (stop - start) + 1))
        changes = {
            "focal": name,
            "focal_start": start / SAMPLE_RATE,
            "focal_stop": stop / SAMPLE_RATE,
            "onset": onset / SAMPLE_RATE,
        }
    if row.part == "train":
        snr_db = round(float(rng.uniform(*TRAIN_SNR_DB)), 3)
        return [dataclasses.replace(row, **changes, snr_db=snr_db if changes else 0.0)]
    return [
        dataclasses.replace(
            row,
            **changes,
            key=f"{row.key}_{snr_db:.0f}dB",
            condition=f"{snr_db:.0f} dB",
            snr_db=snr_db if changes else 0.0,
        )
        for snr_db in TEST_SNR_DB
    ]


def render(
    row: Row, forest: Mapping[str, Soundscape], focal: Mapping[str, Recording]
) -> np.ndarray:
    """Make the waveform of a clip.

    The ratio is that of the call, over its notes, to the window in the band of the
    calls. Hiss has the level that it would have beside that call.

    Returns:
        float64 array (48000,), no larger than `PEAK`.
    """
    start = round(row.start * SAMPLE_RATE)
    span = slice(start, start + MAX_SAMPLES)
    gain = 10 ** (row.gain_db / 20)
    window = gain * forest[row.soundscape].waveform[span]
    if not row.focal:
        return window * min(1.0, PEAK / np.max(np.abs(window)))
    recording, onset = focal[row.focal], round(row.onset * SAMPLE_RATE)
    cut = slice(
        round(row.focal_start * SAMPLE_RATE), round(row.focal_stop * SAMPLE_RATE)
    )
    added, active = faded(recording.waveform[cut]), recording.active[cut]
    snr_db = row.snr_db
    if row.kind == "hiss":
        call = added[active]
        rng = np.random.default_rng([SEED, start, onset])
        added, active = faded(hiss(recording, len(added), rng)), None
        snr_db -= 20 * np.log10(gain_at_snr(added, call, 0.0))
    return mix_at_snr(
        added,
        window,
        snr_db,
        onset=onset,
        active=active,
        reference=gain * forest[row.soundscape].band[span],
        peak=PEAK,
    ).mixture
