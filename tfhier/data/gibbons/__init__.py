"""Gibbons: real calls mixed into real forest at known signal-to-noise ratios.

* What: clips of 3 s at 16 kHz, one call a clip or none, with the labels gibbon_female
  (great calls), gibbon_male (solos), great_argus (a pheasant whose notes lie in the
  same band) and background. Made by us from 28 recordings: 12 focal recordings of
  callers nearby and 16 forest soundscapes of 20 s.
* Source: the folders of the same names in https://github.com/DenaJGibbon/behaviouR, an
  R package for teaching; they are put into `$TFHIER_DATA/primates_cc0` by hand.
* Licence: CC0 1.0.
* Layout, as far as it is read here (WAV or FLAC, any rate):

      primates_cc0/
        FocalRecordings/       FemaleGibbon_1..4, MaleSolo_1..4, GreatArgus_1..3
        SoundscapeRecordings/  {Borneo,Sulawesi}_{Morning,Night}_01..04

  GreatArgus_4 is not read: its seconds 36.44 to 116.25 are GreatArgus_1, to one step
  of 16 bits. Borneo_Morning_03 is not read either: a male gibbon calls in it.

Recipe
* Calls: focal recordings pass 550 to 1250 Hz (edges 100 Hz wide), so that nothing of
  the recorder is mixed but what lies in the band of the calls (`calls` finds
  them and says why). Excerpts of at most 3 s begin with a note and fade over 20 ms.
* Forest: windows of 3 s. Training hears Borneo, 30 windows at random places of each of
  7 soundscapes; the test hears Sulawesi, 6 windows at equal distances of each of 8.
  Neither gibbons nor great argus live on Sulawesi, so the test clips without a call
  are certain; what is plainly or possibly a gibbon in the soundscapes of Borneo is cut
  out (`mixtures.STRETCHES` lists what is kept and why).
* Clips: every window five times, with a great call, with a male solo, with an argus,
  with the focal recordings' own noise at the level it comes with a call, and alone; all
  five at one gain of -6 to 6 dB. Train: 1,050 clips, test: 240 a condition.
* Ratio: power of the call over its notes to power of the window, both heard through the
  calls' band-pass (flat from 550 to 1250 Hz, nothing below 450 and above 1350). Uniform
  in -5 to 20 dB to train; -10, 0, 10 and 20 dB to test, the `conditions`. Between
  conditions nothing differs but the ratio: the same windows, calls, onsets and gains.
  Each has its own 48 clips with argus, 48 with noise and 48 of forest alone, so 96 of
  240 clips are gibbons and precision can be compared.
* Callers: recordings 1 and 2 of a kind train, 3 and 4 test (argus: 3).
* Groups: the soundscape. A validation part of whole groups hears forest that training
  did not, but the same callers: they are too few to hold some out.

Trivial cues, measured on the real recordings as the ROC-AUC of clips with a call (argus
included) against clips without, at 0, 10, 20 dB: total level .52, .58, .81 (gibbon
against the rest .51, .55, .70); level above 6 kHz .50, .50, .50. Level in the band of
the calls, which a call cannot but raise: .62, .87, .97; gibbon against argus at most
.54. At 20 dB a call may come with a band of noise with edges at 450 and 1350 Hz; clips
with noise alone have it too.

What it cannot show: whether the four great calls are of four females is not published,
and they are much alike; calls were recorded nearby and lost no more on their way than
the band-pass takes; two minutes of forest a part is little.
"""

import csv
import dataclasses
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfhier import audio
from tfhier.data.clips import Clips
from tfhier.data.gibbons import calls, mixtures
from tfhier.data.gibbons.calls import MAX_SAMPLES, SAMPLE_RATE, Recording, listen
from tfhier.errors import InputError
from tfhier.files import cache_folder, data_folder, new_folder, write_text

NAME = "gibbons in forest soundscapes"
LICENCE = "CC0 1.0"
EMBEDDED_NAME = ""
EMBEDDED_FEATURES = ()
RECIPE_VERSION = 1
SOURCE = "https://github.com/DenaJGibbon/behaviouR"

FOLDER = "primates_cc0"
FOCAL, FOREST = "FocalRecordings", "SoundscapeRecordings"
README = """Gibbons in forest soundscapes, recipe {version}

Made by tfhier.data.gibbons, whose docstring says how. audio/ holds the clips, FLAC,
mono, 16 kHz, 3 s; clips.csv says what each was mixed from, in seconds and dB. All may
be deleted: it is made again from the same recordings.

"""
_SUFFIXES = (".flac", ".wav")
_TABLE, _NOTES = "clips.csv", "notes.txt"


def load(path: str | Path) -> Clips:
    """Return the mixtures of a folder of recordings, made where they are not there yet.

    Audio files lie in `gibbons/DIGEST` of the cache folder, where DIGEST stands for the
    recordings and the recipe; `clips.csv` there says what every clip was made of.

    Args:
        path: str or Path. The folder `primates_cc0`, or the folder it lies in.

    Returns:
        Clips of kind "other": all labels observed, exactly one positive a clip; parts
        "train" and "test"; `conditions` "-10 dB" to "20 dB" in the test part and
        "" elsewhere; `groups` are soundscapes; `notes` say how little is behind them.

    Raises:
        InputError: A recording is missing, unreadable, too short or without a call.
    """
    files = _find(Path(path))
    home = cache_folder("gibbons") / _digest(files)
    if not home.is_dir():
        _make(home, files)
    with (home / _TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [mixtures.LABELS.index(mixtures.KINDS[row["kind"]]) for row in rows]
    targets = np.eye(len(mixtures.LABELS), dtype=np.float32)[columns]
    return Clips(
        name=NAME,
        kind="other",
        labels=mixtures.LABELS,
        keys=np.array([row["key"] for row in rows]),
        targets=targets,
        observed=np.ones(targets.shape, bool),
        parts=np.array([row["part"] for row in rows]),
        paths=tuple(_audio(home, row["key"]) for row in rows),
        max_seconds=MAX_SAMPLES / SAMPLE_RATE,
        groups=np.array([row["soundscape"] for row in rows]),
        conditions=np.array([row["condition"] for row in rows]),
        notes=tuple((home / _NOTES).read_text(encoding="utf-8").splitlines()),
    )


def prepare(folder: str | Path) -> Path:
    """Check that the recordings are there and make the mixtures.

    Args:
        folder: str or Path. Where data sets lie; the recordings are in its folder
            `primates_cc0`, unless it has that name itself.

    Returns:
        Path of the folder of recordings, for `load`.

    Raises:
        InputError: The recordings are not there (the message says where they come
            from), or cannot be used.
    """
    folder = Path(folder)
    home = folder if folder.name == FOLDER else folder / FOLDER
    clips = load(home)
    print(f"{NAME}: {len(clips):,} clips of 3 s from {home}, {LICENCE}.")
    for note in clips.notes:
        print(f"  {note}")
    return home


def default_folder() -> Path:
    """Return where recordings are looked for: in `$TFHIER_DATA` or `~/tfhier-data`."""
    return data_folder(FOLDER)


def _find(path: Path) -> dict[str, Path]:
    """Return the files of all recordings that are used, by name."""
    home = path / FOLDER if (path / FOLDER).is_dir() else path
    wanted = {
        name: FOCAL
        for kinds in mixtures.CALLERS.values()
        for names in kinds.values()
        for name in names
    }
    wanted |= {name: FOREST for part in mixtures.STRETCHES.values() for name in part}
    files, missing = {}, []
    for name, folder in wanted.items():
        places = [home / folder / (name + suffix) for suffix in _SUFFIXES]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            missing.append(f"{folder}/{name}")
        else:
            files[name] = found
    if missing:
        raise InputError(
            f"{home} lacks {len(missing)} of {len(wanted)} recordings: "
            f"{', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''} (.flac or "
            f".wav). They are CC0 and lie in the folders {FOCAL} and {FOREST} of "
            f"{SOURCE}: copy both folders to {home}."
        )
    return files


def _digest(files: Mapping[str, Path]) -> str:
    """Stand for the recordings, the recipe and its numbers in 16 letters."""
    numbers = [
        (name, value)
        for module in (calls, mixtures)
        for name, value in sorted(vars(module).items())
        if name.isupper()
    ]
    digest = hashlib.sha256(repr((RECIPE_VERSION, numbers)).encode())
    for name in sorted(files):
        digest.update(name.encode() + hashlib.sha256(files[name].read_bytes()).digest())
    return digest.hexdigest()[:16]


def _audio(home: Path, key: str) -> Path:
    return home / "audio" / f"{key}.flac"


def _make(home: Path, files: Mapping[str, Path]) -> None:
    """Mix and write all clips, whole or not at all."""
    waveforms = {
        name: audio.read(file, sample_rate=SAMPLE_RATE)[0].astype(np.float64)
        for name, file in files.items()
    }
    forest = {
        name: mixtures.Soundscape.of(waveforms[name])
        for part in mixtures.STRETCHES.values()
        for name in part
    }
    focal = {
        name: listen(name, waveform)
        for name, waveform in waveforms.items()
        if name not in forest
    }
    rows = [
        row for part in mixtures.STRETCHES for row in mixtures.plan(part, forest, focal)
    ]
    notes = "".join(f"{note}\n" for note in _notes(rows, focal))
    with new_folder(home, readme=README.format(version=RECIPE_VERSION) + notes) as new:
        for row in tqdm(rows, "mixing gibbons", unit="clip", disable=None):
            waveform = mixtures.render(row, forest, focal)
            audio.write(_audio(new, row.key), waveform, sample_rate=SAMPLE_RATE)
        write_text(new / _NOTES, notes)
        table = io.StringIO()
        names = [field.name for field in dataclasses.fields(mixtures.Row)]
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(dataclasses.asdict, rows))
        write_text(new / _TABLE, table.getvalue())


def _notes(rows: list[mixtures.Row], focal: Mapping[str, Recording]) -> list[str]:
    """Say how many recordings, calls and minutes the clips of each part come from."""
    notes = []
    for part, kinds in mixtures.CALLERS.items():
        mine = [row for row in rows if row.part == part]
        of_kinds = ", ".join(
            f"{mixtures.KINDS[kind]} {len(names)} recording{'s'[: len(names) - 1]}, "
            f"{sum(len(focal[name].notes) for name in names)} notes or trills, "
            f"{sum(len(focal[name].excerpts) for name in names)} overlapping excerpts"
            for kind, names in kinds.items()
        )
        heard: dict[str, set[int]] = {}  # soundscape -> its hundredths of a second
        for row in mine:
            first = round(100 * row.start)
            window = range(first, first + 100 * MAX_SAMPLES // SAMPLE_RATE)
            heard.setdefault(row.soundscape, set()).update(window)
        minutes = sum(map(len, heard.values())) / 100 / 60
        notes.append(
            f"the {len(mine):,} {part} clips are made of little: {of_kinds}; "
            f"{minutes:.1f} minutes of background from {len(heard)} soundscapes"
        )
    notes.append(
        "GreatArgus_4 (it contains GreatArgus_1) and Borneo_Morning_03 (a gibbon calls "
        "in it) are left out, and what may be gibbons in other mornings of Borneo"
    )
    return notes
