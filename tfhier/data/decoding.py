"""Decoding the clips of a set, file after file, so that a kill loses little.

Rows are written to a partial file, and what is done to a record beside it; when all is
done both take their final names. See `waveforms` for how samples are stored.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tqdm

from tfhier import audio, files
from tfhier.recordings import Recording

FORMAT = 2  # part of the fingerprint: a new number decodes every set again
FULL_SCALE = 32767
ROUNDING = 1  # resampling rounds the length: one sample is no difference
_BATCH = 256  # files between two records of what is done


def decode_all(
    paths: Sequence[Path],
    spans: np.ndarray | None,
    *,
    place: Path,
    sample_rate: int,
    num_samples: int,
    may_be_silent: bool,
    skip_bad: bool,
    num_workers: int,
) -> None:
    """Decode what is not done yet, then give the set its final names.

    Args: those of `waveforms.decode`, and
        place: Path of the set's files, without a suffix.
        num_samples: int. Length of a row.

    Raises:
        AudioError: A file cannot be used, and `skip_bad` is False.
    """
    partial, record = place.with_suffix(".partial.npy"), place.with_suffix(".done")
    rows, lengths = _open_partial(partial, record, shape=(len(paths), num_samples))
    bad: dict[int, str] = {}

    rows_of: dict[Path, list[int]] = {}
    for row in np.flatnonzero(np.asarray(lengths) == 0).tolist():
        rows_of.setdefault(paths[row], []).append(row)
    todo = list(rows_of)

    def decode_file(path: Path) -> list[tuple[int, int | audio.AudioError]]:
        """Store the clips of a file; return for each its length, or what is wrong."""
        own = rows_of[path]
        try:
            if spans is None:
                clips = [audio.read(path, sample_rate=sample_rate)[0]] * len(own)
            else:
                clips = _cut(path, np.asarray(spans)[own], sample_rate)
        except audio.AudioError as error:
            return [(row, error) for row in own]
        results = []
        for row, clip in zip(own, clips, strict=True):
            if spans is not None and _is_mute(clip, may_be_silent=may_be_silent):
                results.append((row, _no_sound(path, spans[row])))
                continue
            _store(clip, rows[row])
            results.append((row, len(clip)))
        return results

    with (
        ThreadPoolExecutor(num_workers) as pool,
        tqdm.tqdm(
            total=len(paths),
            initial=len(paths) - sum(map(len, rows_of.values())),
            desc="decode",
            unit="clip",
            disable=None,
        ) as progress,
    ):
        for at in range(0, len(todo), _BATCH):
            batch = list(pool.map(decode_file, todo[at : at + _BATCH]))
            results = [result for of_file in batch for result in of_file]
            rows.flush()  # first the samples, then the word that they are there
            for row, result in results:
                if isinstance(result, audio.AudioError):
                    bad[row] = str(result).removeprefix(f"{paths[row]}: ")
                else:
                    lengths[row] = result
            lengths.flush()
            progress.update(len(results))
            if bad and not skip_bad:
                row = min(bad)
                num_good = np.count_nonzero(np.asarray(lengths))
                raise stopped(f"{paths[row]}: {bad[row]}", num_good)
    _finish(place, rows, np.asarray(lengths), bad, sample_rate=sample_rate)


def _open_partial(
    partial: Path, record: Path, *, shape: tuple[int, int]
) -> tuple[np.memmap, np.memmap]:
    """Open, or make, the rows and the record of their clips' lengths (0: to do)."""
    # The record is made last, so with it the rows are a whole file.
    if not (record.is_file() and partial.is_file()):
        record.unlink(missing_ok=True)
        rows = np.lib.format.open_memmap(partial, "w+", np.int16, shape)
        rows.flush()
        with files.replacing(record) as temporary:
            temporary.write_bytes(bytes(8 * shape[0]))
    else:
        rows = np.lib.format.open_memmap(partial, "r+")
    return rows, np.memmap(record, np.int64, "r+", shape=(shape[0],))


def _cut(path: Path, spans: np.ndarray, sample_rate: int) -> list[np.ndarray]:
    """Return stretches of a file, however long that is, in the order of their spans.

    Args:
        path: Path of the file.
        spans: float array (clips, 2), start and end in seconds.
        sample_rate: int. Rate in Hz of the stretches.

    Returns:
        List of float32 arrays (samples,), shorter where the file ends before, empty
        where it ends before their start.

    Raises:
        AudioError: The file cannot be used.
    """
    firsts, lasts = np.rint(np.asarray(spans) * sample_rate).astype(int).T
    pieces: list[list[np.ndarray]] = [[np.zeros(0, np.float32)] for _ in spans]
    at = 0
    with Recording(path) as recording:
        for block in recording.blocks(sample_rate=sample_rate):
            inside = (firsts < at + len(block)) & (lasts > at)
            for clip in np.flatnonzero(inside).tolist():
                # A copy: a view would keep the whole block.
                piece = block[max(0, firsts[clip] - at) : lasts[clip] - at].copy()
                pieces[clip].append(piece)
            at += len(block)
    return [np.concatenate(own) for own in pieces]


def _is_mute(clip: np.ndarray, *, may_be_silent: bool) -> bool:
    """Return whether a stretch lies outside its file, or is silent and may not be."""
    return not len(clip) or (not may_be_silent and clip.min() == clip.max())


def _no_sound(path: Path, span: np.ndarray) -> audio.AudioError:
    """Return the error of a stretch that lies outside its file, or is silent."""
    return audio.AudioError(
        f"{path}: has no sound at {span[0]:g} to {span[1]:g} s, where a clip was to be "
        "cut. Correct the table of selections."
    )


def _store(waveform: np.ndarray, row: np.ndarray) -> None:
    """Write a float waveform into a row of int16, cut or padded with zeros."""
    waveform = audio.fix_length(waveform, len(row))
    row[:] = np.rint(np.clip(waveform, -1, 1) * FULL_SCALE)


def _finish(
    place: Path,
    rows: np.ndarray,
    lengths: np.ndarray,
    bad: dict[int, str],
    *,
    sample_rate: int,
) -> None:
    """Write the index, then rename the samples: from then on the set is complete."""
    num_samples = rows.shape[1]
    digest = hashlib.sha256()
    for row in rows:  # one by one: a whole data set is larger than memory
        digest.update(row)
    index = {
        "format": FORMAT,
        "sample_rate": int(sample_rate),
        "num_clips": len(rows),
        "lengths": np.minimum(lengths, num_samples).tolist(),
        "num_longer": int(np.count_nonzero(lengths > num_samples + ROUNDING)),
        "digest": digest.hexdigest(),
        "bad": [{"row": row, "reason": reason} for row, reason in sorted(bad.items())],
    }
    files.write_json(place.with_suffix(".json"), index)
    os.replace(place.with_suffix(".partial.npy"), place.with_suffix(".npy"))
    place.with_suffix(".done").unlink()


def stopped(reason: str, num_good: int) -> audio.AudioError:
    """Return the error of a set that is not whole, and how to go on."""
    return audio.AudioError(
        f"{reason} ({num_good} clips are decoded and kept. To leave bad files out, use"
        " --skip-bad.)"
    )
