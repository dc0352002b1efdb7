"""Whole clips through a saved tagger, and what it answered as arrays and as a table."""

import csv
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfhier import audio, console
from tfhier.errors import InputError
from tfhier.files import replacing, write_text
from tfhier.runtime import LoadedTagger

# Log-mels lie in memory, and in one array, until all clips are answered.
MOST_BYTES = 4 * 2**30


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a tagger answered to some clips.

    Args:
        tagger: LoadedTagger.
        files: Paths of the clips.
        answers: What `LoadedTagger.answer` gave, in the order of the files.
        bad: What was wrong with each of the clips that were left out.
    """

    tagger: LoadedTagger
    files: tuple[Path, ...]
    answers: tuple[dict[str, np.ndarray], ...]
    bad: tuple[str, ...] = ()

    def top(self, clip: int, level: str, count: int) -> list[tuple[str, float]]:
        """Return the likeliest labels of a clip on a level with their probabilities."""
        scores = self.answers[clip][level]
        labels = self.tagger.levels[level]
        order = np.argsort(-scores, kind="stable")[:count]
        return [(labels[label], float(scores[label])) for label in order]

    def write_npz(self, path: str | Path) -> None:
        """Write the answers as arrays, one row a clip.

        `files` (clips,), by level probabilities (clips, labels) and `labels_LEVEL`
        (labels,); as far as the model's format has them `embedding` (clips, units) and
        `logits` (clips, labels of the finest level); and, if log-mels were kept,
        `log_mel` (clips, frames, mels), where clips of `num_frames` (clips,) fewer
        frames than the longest are followed by NaN.

        Raises:
            InputError: The name does not end in `.npz`.
        """
        check_suffix(path, ".npz")
        levels = self.tagger.levels
        names = [n for n in ("embedding", "logits", *levels) if n in self.answers[0]]
        with replacing(path) as temporary:
            np.savez(
                temporary,
                files=np.array([str(file) for file in self.files]),
                **self._log_mels(),
                **{n: np.stack([answer[n] for answer in self.answers]) for n in names},
                **{f"labels_{name}": np.array(own) for name, own in levels.items()},
            )

    def _log_mels(self) -> dict[str, np.ndarray]:
        """Return the log-mels as one array and their lengths; nothing without them."""
        if "log_mel" not in self.answers[0]:
            return {}
        log_mels = [answer["log_mel"] for answer in self.answers]
        frames = np.array([len(each) for each in log_mels])
        shape = (len(log_mels), frames.max(), log_mels[0].shape[1])
        padded = np.full(shape, np.nan, np.float32)
        for row, each in zip(padded, log_mels, strict=True):
            row[: len(each)] = each
        return {"log_mel": padded, "num_frames": frames}

    def write_csv(self, path: str | Path, *, count: int) -> None:
        """Write the likeliest labels: file, level, rank, label, probability."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["file", "level", "rank", "label", "probability"])
        for clip, file in enumerate(self.files):
            for level in self.tagger.levels:
                for rank, (label, score) in enumerate(self.top(clip, level, count), 1):
                    place = (_printable(file), level, rank)
                    rows.writerow([*place, label, f"{score:.6f}"])
        write_text(path, text.getvalue())


def predict(
    tagger: LoadedTagger,
    files: Sequence[Path],
    *,
    only_scores: bool = False,
    with_log_mel: bool = True,
    skip_bad: bool = False,
) -> Predictions:
    """Answer to some clips, showing a bar.

    Args:
        tagger: LoadedTagger.
        files: Paths of the clips.
        only_scores: bool. Whether scores are enough, as they are for tables.
        with_log_mel: bool. Whether log-mels are kept, for `write_npz`. They take far
            more room than all other answers.
        skip_bad: bool. Whether clips that cannot be used are left out and told.

    Raises:
        InputError: A clip cannot be used, or none can; or log-mels, filled up to the
            longest, would take more than `MOST_BYTES`.
    """
    used, answers, bad = [], [], []
    longest = 0
    for file in tqdm(files, desc="predict", unit="clip", disable=None, leave=False):
        try:
            if only_scores:
                answer = tagger.scores(file)
            else:
                answer = tagger.answer(file, with_log_mel=with_log_mel)
        except InputError as error:
            if not skip_bad and len(files) > 1:
                raise InputError(
                    f"{error} Of several clips --skip-bad leaves such out."
                ) from None
            if not skip_bad:
                raise
            bad.append(str(error))
            continue
        if "log_mel" in answer:
            longest = max(longest, answer["log_mel"].nbytes)
            _check_room(longest * len(files), file, len(files))
        used.append(file)
        answers.append(answer)
    if not used:
        raise InputError(f"None of {len(bad)} clips can be used. {bad[0]}")
    return Predictions(tagger, tuple(used), tuple(answers), tuple(bad))


def find_clips(places: Sequence[Path]) -> list[Path]:
    """Return the audio files among paths: files as they are, folders' in all depths.

    Hidden ones of folders are left out: what macOS keeps beside files (`._a.wav`), and
    what was thrown away on a card (`.Trashes`).

    Raises:
        InputError: A folder holds no audio file.
    """
    found = []
    for place in places:
        if not place.is_dir():
            found.append(place)
            continue
        within = [
            path
            for path in sorted(place.rglob("*"))
            if audio.is_audio(path) and not _is_hidden(path.relative_to(place))
        ]
        if not within:
            raise InputError(
                f"{_printable(place)}: there is no audio file in this folder, whose "
                f"name would end in {', '.join(audio.AUDIO_SUFFIXES)}."
            )
        found += within
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _check_room(num_bytes: int, file: Path, num_clips: int) -> None:
    """Raise an InputError for an array of log-mels that is too large."""
    if num_bytes > MOST_BYTES:
        raise InputError(
            f"The log-mels of {num_clips} clips, filled up to the length of "
            f"{_printable(file)}, would take {num_bytes / 2**30:.0f} GiB. Leave them "
            "out (--no-log-mel), or predict long clips by themselves."
        )


def check_output(path: str | Path, suffix: str) -> None:
    """Raise an error if an output could not be written, before there is one.

    Raises:
        InputError: Its name does not end as it should.
        OSError: Its folder cannot be made or written to.
    """
    check_suffix(path, suffix)
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def check_suffix(path: str | Path, suffix: str) -> None:
    """Raise an InputError for an output whose name does not end as it should."""
    if Path(path).suffix != suffix:
        raise InputError(f"{path} is to be a {suffix} file: let its name end so.")


def show(predictions: Predictions, *, count: int) -> None:
    """Print the likeliest labels of every clip, level by level."""
    for clip, file in enumerate(predictions.files):
        print(_printable(file))
        for level in predictions.tagger.levels:
            found = predictions.top(clip, level, count)
            console.line(level, "  ".join(f"{name} {p:.3f}" for name, p in found))
    for message in predictions.bad:
        console.line("left out", message)


def _printable(path: Path) -> str:
    """Return a path as text, with escapes for what is no UTF-8 in its name."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
