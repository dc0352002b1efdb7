"""ComParE 2021 PRS: calls of Central African primates, and the forest without them.

* What: clips of up to 3 s at 16 kHz, each of one class: chimpanzee, guenon (a group of
  species), mandrill, red-capped mangabey, or background. 6,915 training, 6,918
  development and 6,923 test clips; of the first two 50.0 % are background, 32.1 %
  chimpanzee, 2.3 % guenon, 12.6 % mandrill and 3.0 % red-capped mangabey.
* Source: the Primates Sub-Challenge of the INTERSPEECH 2021 Computational
  Paralinguistics Challenge, http://www.compare.openaudio.eu, with recordings of Utrecht
  University.
* Licence: the challenge's end-user licence agreement, for research; its organisers give
  the data to those who send it signed. Nothing can be downloaded from here.
* Citation: Zwerts et al., "Introducing a Central African Primate Vocalisation Dataset
  for Automated Species Classification", arXiv:2101.10390 and Interspeech 2021; Schuller
  et al., "The INTERSPEECH 2021 Computational Paralinguistics Challenge" (`CITATION`).
* Layout of the published folder (`dist` in the challenge's package), as far as it is
  read here:

      primates/
        wav/*.wav
        lab/train.csv, devel.csv, test.csv    filename,label; a test label is "?"

The published labels are background, chimpanze, geunon, mandrille and redcap; the usual
spellings and any case are read too. A further column `site` says where a clip was
recorded; other columns are ignored. `test.csv` may be missing.

Test labels were never released. Published figures are of the development clips, which
are the part "test" here; test clips join them where someone has labels.
"""

import dataclasses
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfhier import audio
from tfhier.data.clips import Clips, Kind
from tfhier.data.primates import layout
from tfhier.errors import InputError
from tfhier.files import cache_folder, data_folder

NAME = "ComParE 2021 PRS"
LICENCE = "end-user licence agreement of ComParE 2021 (research, signed form)"
NUM_IN_FILE = {"train": 6_915, "devel": 6_918, "test": 6_923}
SOURCE = "http://www.compare.openaudio.eu"

LABELS = ("background", "chimpanzee", "guenon", "mandrill", "red_capped_mangabey")

CITATION = """@inproceedings{zwerts2021primates,
  author    = {J. A. Zwerts and J. Treep and C. S. Kaandorp and F. Meewis and
               A. C. Koot and H. Kaya},
  title     = {Introducing a {Central African} Primate Vocalisation Dataset for
               Automated Species Classification},
  booktitle = {Proceedings of Interspeech},
  pages     = {466--470},
  year      = {2021},
  note      = {arXiv:2101.10390}
}

@inproceedings{schuller2021compare,
  author    = {Bj{\\"o}rn W. Schuller and Anton Batliner and Christian Bergler and
               Cecilia Mascolo and Jing Han and Iulia Lefter and Heysem Kaya and
               others},
  title     = {The {INTERSPEECH} 2021 Computational Paralinguistics Challenge:
               {COVID-19} Cough, {COVID-19} Speech, Escalation \\& Primates},
  booktitle = {Proceedings of Interspeech},
  year      = {2021},
  note      = {arXiv:2102.13468}
}"""

EMBEDDED_NAME = "embedded forest"
EMBEDDED_FOLDER = "embedded-forest-v1"
EMBEDDED_TRAIN = 1_500
EMBEDDED_TEST = 700
EMBEDDED_SECONDS = 3.0
EMBEDDED_FEATURES = ()


def load(
    path: str | Path, *, kind: Kind | None = None, name: str | None = None
) -> Clips:
    """Read ComParE 2021 PRS, or other clips in its layout.

    Args:
        path: str or Path. The published folder, or the folder it lies in as `primates`
            or `dist`.
        kind: How to call the source. By default "published" if the numbers of clips are
            the official ones, else "other".
        name: str, optional. By default "ComParE 2021 PRS" if published, else that of
            the folder.

    Returns:
        Clips of the five `LABELS`, one each and all observed, whose parts are "train"
        and "test". Development clips are "test", and so are test clips with a label;
        if there are any, `conditions` tells "devel" from "test". `groups` are sites,
        where label files have a column of that name.

    Raises:
        InputError: Something is missing or does not fit; the message says what.
    """
    home = layout.find_home(Path(path), name=NAME)
    tables = layout.read_tables(home, labels=LABELS)
    if kind is None:
        counts = {part: len(rows) for part, rows in tables.items()}
        official = counts.items() <= NUM_IN_FILE.items()
        kind = "published" if official else "other"
    labelled = [
        (part, row) for part, rows in tables.items() for row in rows if row.label
    ]
    rows = [row for _, row in labelled]
    origins = np.array([part for part, _ in labelled], np.str_)
    notes = ()
    if hidden := sum(not row.label for row in tables.get("test", ())):
        notes = (f"{hidden:,} clips of test.csv have no label and are left out.",)
    if unnamed := layout.unnamed(home, tables):
        notes += (f"{unnamed:,} files in wav are in no label file: is one cut short?",)
    numbers = [LABELS.index(row.label) for row in rows]
    targets = np.eye(len(LABELS), dtype=np.float32)[numbers]
    return Clips(
        name=name or (NAME if kind == "published" else home.resolve().name),
        kind=kind,
        labels=LABELS,
        keys=np.array([Path(row.file).stem for row in rows], np.str_),
        targets=targets,
        observed=np.ones(targets.shape, bool),
        parts=np.where(origins == "train", "train", "test"),
        paths=layout.find_audio(home, rows),
        # A clip without a site is alone in its group.
        groups=np.array([row.site or row.file for row in rows], np.str_)
        if any(row.site for row in rows)
        else None,
        conditions=np.where(origins == "train", "", origins)
        if "test" in origins
        else None,
        notes=notes,
    )


def validate(folder: str | Path) -> list[str]:
    """Compare a folder with the published data set; every file is opened.

    Args:
        folder: str or Path. As for `load`.

    Returns:
        List of problems, a sentence each; empty if there is none. No checksums are
        published, so what files contain is not compared.
    """
    try:
        clips = load(folder)
    except InputError as error:
        return [str(error)]
    problems = []
    if clips.kind != "published":
        problems.append(
            f"{folder} lists other numbers of clips than the published "
            + ", ".join(f"{num:,} in {part}.csv" for part, num in NUM_IN_FILE.items())
            + f"; read were {len(clips.indices('train')):,} to train and "
            f"{len(clips.indices('test')):,} to test."
        )
    found = map(
        audio.header_problem, tqdm(clips.paths, desc="checking audio", disable=None)
    )
    return [*problems, *filter(None, found)]


def prepare(folder: str | Path) -> Path:
    """Check ComParE 2021 PRS, or say how to get it: it cannot be downloaded from here.

    Args:
        folder: str or Path. Where data sets lie; the data set is its folder `primates`,
            unless it has that name itself.

    Returns:
        Path of the published folder, for `load`.

    Raises:
        InputError: It is not there, or is not the published data set.
    """
    folder = Path(folder)
    home = folder if folder.name == "primates" else folder / "primates"
    if not home.is_dir() or not any(home.iterdir()):
        raise InputError(
            f"{NAME} cannot be downloaded from here: its organisers give it to those "
            f"who sign their licence agreement. Ask for it at {SOURCE}, unpack the "
            f"package and put its folders wav and lab into {home}; then run `tfhier "
            "prepare primates` again. Until then --data embedded stands in for it."
        )
    problems = validate(home)
    if problems:
        raise InputError(
            f"{home} is not the published data set, {len(problems)} problem(s): "
            f"{' '.join(problems[:3])} Unpack the challenge's package there again."
        )
    print(f"{NAME} is complete in {home}.")
    return home


def embedded(folder: str | Path | None = None) -> Clips:
    """Return the small synthetic stand-in for ComParE 2021 PRS, made if it is missing.

    Args:
        folder: str or Path, optional. Where it lies, by default `embedded-forest-v1` in
            the cache folder (`tfhier.files.cache_folder`).

    Returns:
        Clips of kind "embedded" with the same 5 labels, 0.7 to 3 s each: 1,500 of
        "train", 700 of "test"; the groups are sites. Figures measured on them say
        nothing about primates.
    """
    from tfhier.data import forest

    folder = Path(folder) if folder is not None else cache_folder() / EMBEDDED_FOLDER
    if not (folder / "lab").is_dir():
        forest.write(folder, num_train=EMBEDDED_TRAIN, num_devel=EMBEDDED_TEST)
    clips = load(folder, kind="embedded", name=EMBEDDED_NAME)
    return dataclasses.replace(clips, max_seconds=EMBEDDED_SECONDS)


def default_folder() -> Path:
    """Return where the data set is looked for: `$TFHIER_DATA` or `~/tfhier-data`."""
    return data_folder("primates")
