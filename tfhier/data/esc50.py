"""ESC-50: 50 classes of environmental sound, 40 clips each, in five official folds.

* What: 2,000 clips of 5 s from Freesound.org, one class each, in five categories:
  animals, natural soundscapes and water, human non-speech, interior, exterior. Ten of
  the classes are the subset ESC-10 (`tfhier.data.esc10`).
* Source: https://github.com/karolpiczak/ESC-50, one archive of about 600 MB.
* Licence: CC BY-NC 3.0; the subset ESC-10 is CC BY 3.0.
* Citation: Piczak, "ESC: Dataset for Environmental Sound Classification", ACM
  Multimedia 2015 (`CITATION`).
* Layout of the published folder, as far as it is read here:

      esc50/
        audio/1-100032-A-0.wav   fold, Freesound's number, take, class
        meta/esc50.csv           filename,fold,target,category,esc10,src_file,take

Evaluation: train on four folds, test on the fifth, five times. `.ogg` files are taken
for `.wav` files of the table and the other way round. Whole folds may be missing. Clips
are cut from longer recordings (`src_file`); those of one recording lie in one fold, but
for 131943 and 134049, which lie in folds 2 and 3 with clips of two classes each.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfhier import audio
from tfhier.data.clips import Clips, Kind
from tfhier.data.csv_rows import read_csv
from tfhier.data.download import fetch, unpack
from tfhier.errors import InputError
from tfhier.files import data_folder, locked

NAME = "ESC-50"
LICENCE = "CC BY-NC 3.0"
FOLDER = "esc50"
NUM_FOLDS = 5
CLIPS_OF_CLASS = 40
SECONDS = 5.0

LABELS = (
    "dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow",
    "rain", "sea_waves", "crackling_fire", "crickets", "chirping_birds", "water_drops",
    "wind", "pouring_water", "toilet_flush", "thunderstorm", "crying_baby", "sneezing",
    "clapping", "breathing", "coughing", "footsteps", "laughing", "brushing_teeth",
    "snoring", "drinking_sipping", "door_wood_knock", "mouse_click", "keyboard_typing",
    "door_wood_creaks", "can_opening", "washing_machine", "vacuum_cleaner",
    "clock_alarm", "clock_tick", "glass_breaking", "helicopter", "chainsaw", "siren",
    "car_horn", "engine", "train", "church_bells", "airplane", "fireworks", "hand_saw",
)  # fmt: skip
ESC10_LABELS = (
    "dog", "rooster", "rain", "sea_waves", "crackling_fire", "crying_baby", "sneezing",
    "clock_tick", "helicopter", "chainsaw",
)  # fmt: skip

CITATION = """@inproceedings{piczak2015esc,
  author    = {Karol J. Piczak},
  title     = {{ESC}: Dataset for Environmental Sound Classification},
  booktitle = {Proceedings of the 23rd Annual ACM Conference on Multimedia},
  pages     = {1015--1018},
  year      = {2015},
  doi       = {10.1145/2733373.2806390}
}"""

# No checksum or size is published; the host makes the archive when it is asked for.
REMOTE = {"url": "https://github.com/karolpiczak/ESC-50/archive/master.zip"}
ARCHIVE = "ESC-50-master.zip"

EMBEDDED_NAME = ""
EMBEDDED_FEATURES = ()

_COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")
_SUFFIXES = (".wav", ".ogg", ".flac")


def load(
    path: str | Path,
    *,
    kind: Kind | None = None,
    name: str | None = None,
    only_esc10: bool = False,
) -> Clips:
    """Read ESC-50 or its subset.

    Args:
        path: str or Path. The published folder, or the folder it lies in.
        kind: How to call the source. By default "published" if there are 2,000 clips
            (400 of ESC-10), 40 a class in five folds, else "other".
        name: str, optional. By default "ESC-50" or "ESC-10", if it is not whole "part
            of ESC-50" or "part of ESC-10".
        only_esc10: bool. Whether to take the ten classes of ESC-10 only.

    Returns:
        Clips with the labels in the official order, all observed and one positive a
        clip; `folds` are the official numbers and `groups` the source recordings. The
        folds decide, so no clip has a part.

    Raises:
        InputError: There is no such layout, its table does not fit, or audio files are
            missing of a fold of which others are there.
    """
    home = _find_home(Path(path))
    labels = ESC10_LABELS if only_esc10 else LABELS
    rows = [row for row in _read_table(home) if row["category"] in labels]
    rows, files = _find_audio(home, rows)
    classes = [row["category"] for row in rows]
    folds = np.array([int(row["fold"]) for row in rows])
    groups = np.array([row["src_file"] for row in rows])
    counts = Counter(classes)
    is_whole = set(folds.tolist()) == set(range(1, NUM_FOLDS + 1)) and all(
        counts[label] == CLIPS_OF_CLASS for label in labels
    )
    kind = kind or ("published" if is_whole else "other")
    official = "ESC-10" if only_esc10 else NAME
    columns = [labels.index(label) for label in classes]
    return Clips(
        name=name or (official if kind == "published" else f"part of {official}"),
        kind=kind,
        labels=labels,
        keys=np.array([Path(row["filename"]).stem for row in rows]),
        targets=np.eye(len(labels), dtype=np.float32)[columns],
        observed=np.ones((len(rows), len(labels)), bool),
        parts=np.full(len(rows), ""),
        paths=tuple(files),
        max_seconds=SECONDS,
        groups=groups,
        folds=folds,
        notes=_notes(folds, groups),
    )


def _find_home(path: Path) -> Path:
    """Return the folder that holds `meta/esc50.csv`."""
    for home in (path, path / FOLDER, path / "ESC-50", path / "ESC-50-master"):
        if (home / "meta" / "esc50.csv").is_file():
            return home
    raise InputError(
        f"{path} has no meta/esc50.csv, so it is not the folder of {NAME}. `tfhier "
        "prepare esc50` downloads the data set; data that lie elsewhere are given with "
        "--data."
    )


def _read_table(home: Path) -> list[dict[str, str]]:
    """Return the rows of `meta/esc50.csv`, known to fit the classes."""
    table = home / "meta" / "esc50.csv"
    (_, header), *lines = read_csv(table) or [(1, [])]
    absent = [name for name in _COLUMNS if not lines or name not in header]
    if absent:
        raise InputError(
            f"{table} must have rows with the columns {', '.join(_COLUMNS)}. It lacks: "
            f"{', '.join(absent)}"
        )
    official_of = dict(enumerate(LABELS))
    rows = []
    for number, cells in lines:
        if len(cells) != len(header):
            raise InputError(
                f"{table}, line {number} has {len(cells)} cells, but there are "
                f"{len(header)} columns. Download the data set again."
            )
        row = dict(zip(header, cells, strict=True))
        rows.append(row)
        official = official_of.get(_number(row["target"]))
        if row["category"] != official:
            raise InputError(
                f"{table}, line {number}: target {row['target']} is '{official}' in "
                f"{NAME}, not '{row['category']}'. Download the data set again."
            )
        is_known_fold = 1 <= _number(row["fold"]) <= NUM_FOLDS
        is_subset = str(row["esc10"]).upper() == "TRUE"
        if not is_known_fold or is_subset != (row["category"] in ESC10_LABELS):
            raise InputError(
                f"{table}, line {number}: expected a fold from 1 to {NUM_FOLDS}, and "
                f"esc10 true for its ten classes only. Received: fold={row['fold']}, "
                f"category={row['category']}, esc10={row['esc10']}"
            )
    twice = [name for name, n in Counter(r["filename"] for r in rows).items() if n > 1]
    if twice:
        raise InputError(
            f"{table} lists {twice[0]} more than once. A clip has one row."
        )
    return rows


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else -1


def _find_audio(
    home: Path, rows: list[dict[str, str]]
) -> tuple[list[dict[str, str]], list[Path]]:
    """Return the rows of folds whose audio is there, and their files."""
    audio = home / "audio"
    if not audio.is_dir():
        raise InputError(f"{home} has no folder 'audio' with the clips of {NAME}.")
    there = {
        file.stem: file
        for file in sorted(audio.iterdir(), reverse=True)
        if file.suffix.lower() in _SUFFIXES
    }
    found = [row for row in rows if Path(row["filename"]).stem in there]
    folds = {row["fold"] for row in found}
    kept = [row for row in rows if row["fold"] in folds]
    if len(found) < len(kept) or not kept:
        names = {row["filename"] for row in found}
        missing = [r["filename"] for r in kept or rows if r["filename"] not in names]
        raise InputError(
            f"{len(missing)} of {len(kept or rows)} clips have no audio file in "
            f"{audio}: {', '.join(missing[:3])}. Only whole folds may be missing."
        )
    return kept, [there[Path(row["filename"]).stem] for row in kept]


def _notes(folds: np.ndarray, groups: np.ndarray) -> tuple[str, ...]:
    notes = []
    present = sorted(set(folds.tolist()))
    if len(present) < NUM_FOLDS:
        notes.append(
            f"Folds {', '.join(map(str, present))} only: the published set has "
            f"{NUM_FOLDS}."
        )
    pairs = set(zip(groups.tolist(), folds.tolist(), strict=True))
    divided = sorted(g for g, n in Counter(g for g, _ in pairs).items() if n > 1)
    if divided:
        notes.append(
            f"{len(divided)} source recordings have clips in more than one official "
            f"fold: {', '.join(divided[:5])}{' ...' if len(divided) > 5 else ''}."
        )
    return tuple(notes)


def validate(folder: str | Path) -> list[str]:
    """Compare a folder with the published data set; every audio file is opened.

    Args:
        folder: str or Path. The published folder, or the folder it lies in.

    Returns:
        List of problems, a sentence each; empty if there is none.
    """
    try:
        clips = load(folder)
    except InputError as error:
        return [str(error)]
    problems = []
    if clips.kind != "published":
        sizes = clips.targets.sum(axis=0).astype(int)
        problems.append(
            f"{len(clips):,} clips, {sizes.min()} to {sizes.max()} a class, in folds "
            f"{sorted(set(clips.folds.tolist()))}; published are 2,000, 40 a class, in "
            "folds 1 to 5."
        )
    found = map(
        audio.header_problem, tqdm(clips.paths, desc="checking audio", disable=None)
    )
    return [*problems, *filter(None, found)]


def prepare(folder: str | Path) -> Path:
    """Download ESC-50 with its subset, unpack and check it, saying what is done.

    Args:
        folder: str or Path. Where data sets lie; it gets a folder `esc50`, unless it
            has that name itself. An archive put there by hand is used.

    Returns:
        Path of the published folder, for `load`.

    Raises:
        InputError: The download fails, or what is there is not the published data set.
    """
    folder = Path(folder)
    home = folder if folder.name == FOLDER else folder / FOLDER
    archive = home.parent / ARCHIVE
    fetched = False
    with locked(home.parent / f".{FOLDER}.lock", task=f"preparing {NAME}"):
        if not home.is_dir() or not any(home.iterdir()):
            print(
                f"{NAME}: 2,000 clips, {LICENCE} (ESC-10: CC BY 3.0), about 600 MB "
                f"from {REMOTE['url']}\n"
                f"  1. download to {archive} (kept if it is there)\n"
                f"  2. unpack to {home}: as much again\n"
                "  3. check every audio file"
            )
            fetch(REMOTE["url"], archive)
            unpack(archive, home)
            fetched = True
    problems = validate(home)
    if problems:
        raise InputError(
            f"{home} is not the published data set, {len(problems)} problem(s): "
            f"{' '.join(problems[:3])} Move the folder away (and {ARCHIVE}, if it came "
            "from there) and run `tfhier prepare esc50` again."
        )
    print(f"{NAME} is complete in {home}.")
    if fetched:
        print(f"{archive} is no longer needed and may be removed.")
    return home


def default_folder() -> Path:
    """Return where the data set is looked for: `$TFHIER_DATA` or `~/tfhier-data`."""
    return data_folder(FOLDER)
