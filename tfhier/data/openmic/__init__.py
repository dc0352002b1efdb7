"""OpenMIC-2018: 20 instruments in 20,000 clips of music, sparsely labelled.

* What: 10-s clips of the Free Music Archive, no two of one recording; 20 instruments,
  crowd workers were asked for about two of them in a clip, so that some 41,000 of
  400,000 labels are observed. Official split: 14,915 training and 5,085 test clips.
* Source: https://zenodo.org/records/1432913, one archive of 2.6 GB.
* Licence: CC BY 4.0 for the collection; every recording has an open licence of its own,
  see `openmic-2018-metadata.csv`.
* Citation: Humphrey, Durand and McFee, "OpenMIC-2018: An Open Data-set for Multiple
  Instrument Recognition", ISMIR 2018 (`CITATION`).
* Layout of the published folder, as far as it is read here:

      openmic-2018/
        openmic-2018.npz     Y_true and Y_mask (N, L), sample_key (N,), X (N, 10, 128)
        class-map.json       {label: column}
        partitions/          split01_train.csv, split01_test.csv: one key a line
        audio/000/KEY.ogg    folders are the first three letters of the key
        checksums/           openmic-2018-audio.csv: key,md5
        all-labels.csv       not published: full labels, where clips were made by us

Any labels, any number of clips and FLAC, MP3, OGG or WAV files may come in this layout.
 `Y_true` is a relevance in [0, 1]: from .5 on a label is positive. `X` are the
VGGish features of AudioSet, one row a second.
"""

import csv
import dataclasses
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfhier import audio
from tfhier.data.clips import Clips, Kind
from tfhier.data.download import checksum, fetch, unpack
from tfhier.data.openmic import layout
from tfhier.errors import InputError
from tfhier.files import cache_folder, data_folder, locked

NAME = "OpenMIC-2018"
LICENCE = "CC BY 4.0"
NUM_CLIPS = 20_000
NUM_IN_PART = {"train": 14_915, "test": 5_085}

LABELS = (
    "accordion", "banjo", "bass", "cello", "clarinet", "cymbals", "drums", "flute",
    "guitar", "mallet_percussion", "mandolin", "organ", "piano", "saxophone",
    "synthesizer", "trombone", "trumpet", "ukulele", "violin", "voice",
)  # fmt: skip

CITATION = """@inproceedings{humphrey2018openmic,
  author    = {Eric J. Humphrey and Simon Durand and Brian McFee},
  title     = {{OpenMIC-2018}: An Open Data-set for Multiple Instrument Recognition},
  booktitle = {Proceedings of the 19th International Society for Music Information
               Retrieval Conference (ISMIR)},
  pages     = {438--444},
  year      = {2018}
}"""

REMOTE = {
    "url": "https://zenodo.org/records/1432913/files/openmic-2018-v1.0.0.tgz",
    # The checksum is the one in mirdata's loader; the size was reported beside the same
    # checksum. Neither was measured by us.
    "size": 2_623_376_754,
    "md5": "e4ccf187e2bb5ab2e115416e8aafe7f4",
}

# The authors' README lists `checksums` in the archive and their check script reads this
# name; the authors' repository has the same list for folders that lack it.
MD5_LISTS = ("checksums/openmic-2018-audio.csv", "openmic-2018-audio.csv")

EMBEDDED_NAME = "embedded orchestra"
EMBEDDED_FOLDER = "embedded-orchestra-v1"
EMBEDDED_TRAIN = 1_200
EMBEDDED_TEST = 400
EMBEDDED_SECONDS = 5.0
EMBEDDED_FEATURES = ("X",)


def load(
    path: str | Path, *, kind: Kind | None = None, name: str | None = None
) -> Clips:
    """Read OpenMIC-2018, or clips with other labels in its layout.

    Args:
        path: str or Path. The published folder, the folder it lies in, or a lone `.npz`
            with the same arrays. A lone file gives clips without audio; its further
            numeric arrays with a row a clip are its features, and its clips have parts
            if the split files beside it name both training and test clips of it.
        kind: How to call the source. By default "published" if numbers of clips are the
            official ones, else "other".
        name: str, optional. By default "OpenMIC-2018" if published, else that of the
            folder or file.

    Returns:
        Clips whose parts are "train", "test" or "".

    Raises:
        InputError: Something is missing or does not fit; the message says what.
    """
    path = Path(path)
    archive = layout.find_arrays(path)
    folder, is_alone = archive.parent, path.suffix == ".npz"
    arrays = layout.read_arrays(archive)
    keys, relevance, observed = layout.check_arrays(archive, arrays)
    labels = layout.read_labels(archive, arrays, official=LABELS)
    parts = layout.read_parts(folder, keys, is_alone=is_alone)
    if kind is None:
        counts = {part: int(np.sum(parts == part)) for part in NUM_IN_PART}
        official = len(keys) == NUM_CLIPS and counts == NUM_IN_PART
        kind = "published" if official else "other"
    source = path.stem if is_alone else folder.resolve().name
    return Clips(
        name=name or (NAME if kind == "published" else source),
        kind=kind,
        labels=labels,
        keys=keys,
        targets=((relevance >= 0.5) & observed).astype(np.float32),
        observed=observed,
        parts=parts,
        paths=None if is_alone else layout.find_audio(folder, keys),
        features={
            what: values.astype(np.float32)
            for what, values in arrays.items()
            if what not in ("Y_true", "Y_mask") and _is_feature(values, len(keys))
        },
        truth=None if is_alone else layout.read_truth(folder, keys, labels),
    )


def _is_feature(values: np.ndarray, num_clips: int) -> bool:
    return values.ndim >= 2 and len(values) == num_clips and values.dtype.kind in "fiu"


def validate(folder: str | Path, *, md5_list: str | Path | None = None) -> list[str]:
    """Compare a folder with the published data set.

    Args:
        folder: str or Path. The published folder, or the folder it lies in.
        md5_list: str or Path, optional. CSV of key,md5 with a header. By default
            `checksums/openmic-2018-audio.csv` of the folder. Without a list, every
            audio file is opened instead.

    Returns:
        List of problems, a sentence each; empty if there is none.

    Raises:
        InputError: `md5_list` cannot be read.
    """
    try:
        clips = load(folder)
    except InputError as error:
        return [str(error)]
    problems = []
    counts = {part: len(clips.indices(part)) for part in NUM_IN_PART}
    if clips.kind != "published":
        problems.append(
            f"{len(clips):,} clips with parts {counts}; published are {NUM_CLIPS:,} "
            f"with {NUM_IN_PART}."
        )
    if clips.labels != LABELS:
        problems.append(f"The labels are not the published ones: {clips.labels}.")
    if clips.paths is None:
        return [*problems, f"{folder} has no folder 'audio'."]
    if md5_list is None:
        home = layout.find_arrays(Path(folder)).parent
        lists = (home / name for name in MD5_LISTS)
        md5_list = next((file for file in lists if file.is_file()), None)
    expected = None if md5_list is None else _read_md5(md5_list)
    for key, path in tqdm(
        zip(clips.keys.tolist(), clips.paths, strict=True),
        desc="checking audio",
        total=len(clips),
        disable=None,
    ):
        problem = audio.header_problem(path) if expected is None else None
        if expected is not None and checksum(path) != expected.get(key):
            problem = f"{path}: the content is not the one of {md5_list}."
        if problem:
            problems.append(problem)
    return problems


def _read_md5(path: str | Path) -> dict[str, str]:
    """Read a CSV of key,md5 with a header."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))[1:]
    except (FileNotFoundError, UnicodeDecodeError):
        raise InputError(f"There is no list of checksums {path}.") from None
    if not rows or any(len(row) != 2 for row in rows):
        raise InputError(f"{path} is not a list of checksums: expected rows key,md5.")
    return dict(rows)


def prepare(folder: str | Path) -> Path:
    """Download OpenMIC-2018, unpack and check it, saying what is done.

    Args:
        folder: str or Path. Where data sets lie; it gets a folder `openmic-2018`,
            unless it has that name itself. An archive put there by hand is used.

    Returns:
        Path of the published folder, for `load`.

    Raises:
        InputError: The download fails, or what is there is not the published data set.
    """
    folder = Path(folder)
    home = folder if folder.name == layout.FOLDER else folder / layout.FOLDER
    archive = home.parent / REMOTE["url"].rsplit("/", 1)[1]
    fetched = False
    lock = home.parent / f".{layout.FOLDER}.lock"
    with locked(lock, task=f"preparing {NAME}"):
        if not home.is_dir() or not any(home.iterdir()):
            print(
                f"{NAME}: {NUM_CLIPS:,} clips, {LICENCE}, {REMOTE['size'] / 1e9:.1f} "
                f"GB from {REMOTE['url']}\n"
                f"  1. download to {archive} (kept if it is there)\n"
                f"  2. unpack to {home}: as much again\n"
                "  3. check every audio file"
            )
            fetch(REMOTE["url"], archive, size=REMOTE["size"], md5=REMOTE["md5"])
            unpack(archive, home)
            fetched = True
    problems = validate(home)
    if problems:
        raise InputError(
            f"{home} is not the published data set, {len(problems)} problem(s): "
            f"{' '.join(problems[:3])} Move the folder away and run "
            "`tfhier prepare openmic` again."
        )
    print(f"{NAME} is complete in {home}.")
    if fetched:
        print(f"{archive} is no longer needed and may be removed.")
    return home


def embedded(folder: str | Path | None = None) -> Clips:
    """Return the small synthetic stand-in for OpenMIC-2018, made if it is not there.

    Args:
        folder: str or Path, optional. Where it lies, by default
            `embedded-orchestra-v1` in the cache folder (`tfhier.files.cache_folder`).

    Returns:
        Clips of kind "embedded" with the same 20 labels, 5 s each: 1,200 of "train",
        400 of "test". Figures measured on them say nothing about OpenMIC-2018.
    """
    from tfhier.data import orchestra

    folder = Path(folder) if folder is not None else cache_folder() / EMBEDDED_FOLDER
    if not (folder / layout.ARRAYS).is_file():
        orchestra.write(
            folder,
            num_train=EMBEDDED_TRAIN,
            num_test=EMBEDDED_TEST,
            seconds=EMBEDDED_SECONDS,
        )
    clips = load(folder, kind="embedded", name=EMBEDDED_NAME)
    return dataclasses.replace(clips, max_seconds=EMBEDDED_SECONDS)


def default_folder() -> Path:
    """Return where the data set is looked for: `$TFHIER_DATA` or `~/tfhier-data`."""
    return data_folder("openmic-2018")
