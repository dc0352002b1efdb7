"""The decoded waveforms of a data set in one memory-mapped file.

Conventions: each clip is decoded once, resampled to the model's rate, cut or padded at
its end to one length and stored as a row of int16. The value v in [-1, 1] is stored as
the whole number nearest to 32,767 v, as PANNs stores it (Kong et al. 2020), and read
back as q / 32,767: a sample returns within half a step, 1.53e-5. What lies beyond
[-1, 1] is clipped. Any crop of any clip is then read in microseconds, in any order.

A set is named by its fingerprint: the settings and each file's path, size and time of
change. It is made again when one of them differs, and may be deleted at any time.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np

from tfhier import files
from tfhier.data.decoding import (
    FORMAT,
    FULL_SCALE,
    ROUNDING,
    decode_all,
    stopped,
)
from tfhier.errors import InputError

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Waveforms:
    """Equally long waveforms, one a clip, read from disk when they are asked for.

    Args:
        samples: int16 memory map of shape (clips, samples), read-only; rows of zeros
            for bad files.
        sample_rate: int > 0. Rate in Hz.
        lengths: int array of shape (clips,). Samples of sound at the start of each row,
            before the zeros; 0 for bad files.
        num_longer: int. Clips that were longer than a row and were cut.
        digest: str. Of the samples: sets of equal sound have equal digests.
        bad: dict of str to str. Key of each file that was skipped -> the reason.
    """

    samples: np.ndarray
    sample_rate: int
    lengths: np.ndarray
    num_longer: int
    digest: str
    bad: dict[str, str]

    @property
    def num_shorter(self) -> int:
        """Number of clips that were shorter than a row and were padded with zeros."""
        shorter = self.lengths < self.samples.shape[1] - ROUNDING
        return int(np.count_nonzero(shorter)) - len(self.bad)

    def fetch(
        self,
        indices: np.ndarray,
        *,
        offsets: np.ndarray | None = None,
        num_samples: int | None = None,
    ) -> np.ndarray:
        """Read a batch of clips, or one crop of each.

        Args:
            indices: int array of shape (batch,). Rows, in any order, with repetitions.
            offsets: int array of shape (batch,), or None for 0. First sample of each
                crop.
            num_samples: int > 0 or None. Length of the crops; None: the whole row.

        Returns:
            float32 array of shape (batch, num_samples), in [-1, 1].

        Raises:
            ValueError: A row does not exist, a crop reaches beyond its row, or the
                shapes disagree.
        """
        indices = np.asarray(indices)
        num_clips, length = self.samples.shape
        if num_samples is None:
            num_samples = length
        if offsets is None:
            offsets = np.zeros(len(indices), np.int64)
        offsets = np.asarray(offsets)
        if indices.ndim != 1 or offsets.shape != indices.shape:
            raise ValueError(
                "fetch expects indices and offsets of one shape (batch,); received"
                f" {indices.shape} and {offsets.shape}."
            )
        if np.any((indices < 0) | (indices >= num_clips)):
            raise ValueError(f"fetch expects rows 0 to {num_clips - 1}: {indices}.")
        last = length - num_samples
        if num_samples < 1 or np.any((offsets < 0) | (offsets > last)):
            raise ValueError(
                f"fetch expects crops within {length} samples; received num_samples="
                f"{num_samples}, offsets={offsets}."
            )
        rows = np.asarray(self.samples)  # the plain view slices faster
        batch = np.empty((len(indices), num_samples), np.float32)
        for out, row, at in zip(batch, indices, offsets, strict=True):
            np.divide(rows[row, at : at + num_samples], np.float32(FULL_SCALE), out=out)
        return batch  # (batch, num_samples)


def decode(
    paths: Sequence[Path],
    *,
    keys: Sequence[str],
    sample_rate: int,
    seconds: float,
    folder: Path,
    spans: np.ndarray | None = None,
    may_be_silent: bool = False,
    skip_bad: bool = False,
    num_workers: int | None = None,
) -> Waveforms:
    """Decode the clips of a data set into one file, or open it if it is there.

    A call that was killed goes on where it was: every 256 files what is done is
    recorded. A second process that wants the same set waits for the first. The bytes
    written do not depend on `num_workers`.

    Args:
        paths: sequence of Path. The audio files, one a clip.
        keys: sequence of str. The clips' unique names, in the same order.
        sample_rate: int > 0. Rate in Hz of the rows.
        seconds: float > 0. Length of a row.
        folder: Path. Where the set is kept; made if it is missing.
        spans: float array (clips, 2). Start and end of every clip in its file, in
            seconds; a file with several clips is decoded once. Defaults to None: a clip
            is a whole file.
        may_be_silent: bool. Whether a span without any sound is in order.
        skip_bad: bool. Whether a file that `audio.read` refuses is left as a row of
            zeros and listed in `bad`, instead of stopping.
        num_workers: int > 0 or None. Threads; None: one for each core.

    Returns:
        Waveforms, row by row in the order of `paths`.

    Raises:
        AudioError: A file cannot be used, and `skip_bad` is False.
        InputError: No clips, keys that do not fit, a length below one sample, or a disk
            that has no room.
    """
    paths = [Path(path).absolute() for path in paths]
    _check_keys(paths, keys)
    num_samples = round(seconds * sample_rate)
    if sample_rate <= 0 or num_samples < 1:
        raise InputError(
            "Clips need a sample rate and a length of at least one sample; got"
            f" sample_rate={sample_rate}, seconds={seconds}."
        )
    folder = Path(folder)
    place = folder / _fingerprint(paths, spans, sample_rate, num_samples, may_be_silent)
    shape = (len(paths), num_samples)
    if not _is_complete(place):
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(place.with_suffix(".lock")):
            if not _is_complete(place):
                _check_room(place, shape)
                decode_all(
                    paths,
                    spans,
                    place=place,
                    sample_rate=sample_rate,
                    num_samples=num_samples,
                    may_be_silent=may_be_silent,
                    skip_bad=skip_bad,
                    num_workers=num_workers or os.cpu_count() or 1,
                )
    index = files.read_json(place.with_suffix(".json"))
    if index["bad"] and not skip_bad:
        first = index["bad"][0]
        num_good = len(paths) - len(index["bad"])
        raise stopped(f"{paths[first['row']]}: {first['reason']}", num_good)
    return Waveforms(
        samples=np.load(place.with_suffix(".npy"), mmap_mode="r", allow_pickle=False),
        sample_rate=sample_rate,
        lengths=np.array(index["lengths"], np.int64),
        num_longer=index["num_longer"],
        digest=index["digest"],
        bad={keys[entry["row"]]: entry["reason"] for entry in index["bad"]},
    )


def _check_keys(paths: Sequence[Path], keys: Sequence[str]) -> None:
    if not paths:
        raise InputError("There are no clips to decode: the list of files is empty.")
    if len(keys) != len(paths):
        raise InputError(
            f"Every clip needs one key: got {len(paths)} files and {len(keys)} keys."
        )
    if len(set(keys)) != len(keys):
        seen: set[str] = set()
        twice = next(key for key in keys if key in seen or seen.add(key))
        raise InputError(
            f"Clips need unique keys; {twice!r} is there twice. Rename it."
        )


def _fingerprint(
    paths: Sequence[Path],
    spans: np.ndarray | None,
    sample_rate: int,
    num_samples: int,
    may_be_silent: bool,
) -> str:
    """Name a set by its settings and its files, as 16 hexadecimal digits."""
    stamps = []
    for path in paths:
        # A file that cannot be read now may be there, or be allowed, at the next call.
        readable = os.access(path, os.R_OK)
        stat = path.stat() if readable else None
        size, changed = (stat.st_size, stat.st_mtime_ns) if stat else (-1, -1)
        stamps.append([os.fspath(path), size, changed])
    settings = [FORMAT, int(sample_rate), num_samples, stamps]
    if spans is not None:
        settings.append(np.asarray(spans).tolist())
    if may_be_silent:
        settings.append("silent")
    content = json.dumps(settings)
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _is_complete(place: Path) -> bool:
    # The samples take their name last, so with them the set is whole.
    return all(place.with_suffix(end).is_file() for end in (".json", ".npy"))


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock that the system gives back when a process ends, however it ends."""
    lock = filelock.FileLock(path)
    try:
        held = lock.acquire(blocking=False)
    except filelock.Timeout:
        _logger.warning("Another process decodes the same clips: waiting for it.")
        held = lock.acquire()
    with held:
        yield


def _check_room(place: Path, shape: tuple[int, int]) -> None:
    needed = shape[0] * shape[1] * 2
    partial = place.with_suffix(".partial.npy")
    if partial.is_file():
        there = partial.stat()
        # POSIX counts what is allocated, in blocks of 512 bytes; Windows does not.
        num_blocks = getattr(there, "st_blocks", there.st_size // 512)
        needed -= num_blocks * 512
    free = shutil.disk_usage(place.parent).free
    if needed > free:
        raise InputError(
            f"Decoding {shape[0]} clips needs {needed:,} more bytes in {place.parent},"
            f" and {free:,} are free. Make room, or choose another folder."
        )
