"""Long recordings, read in blocks at a model's rate: from files or a microphone's pipe.

Conventions: a block is mono, float32, of shape (samples,), the mean of the channels,
and never empty. Memory is bounded, however long the recording. The blocks of one
recording, joined, are the same in every bit wherever it was cut: from a file or from a
stream of its samples, in blocks or reads of any size. Sample n is the sound at
n / sample_rate seconds, at the end of a day as at its start.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tfhier import audio, sound_files
from tfhier.errors import InputError

_READ = 1 << 16  # bytes asked for at once, what a pipe holds; less is taken as it comes
_HIGHEST_NUM_CHANNELS = 1024  # libsndfile's own limit for files


class Recording:
    """A sound file of any length, read once from start to end.

    Formats and faults are those of `audio.read`; a silent recording is in order. Use it
    as a context manager, or call `close`.

    Args:
        path: str or Path. The file.

    Attributes:
        path: Path. The file.
        source_rate: int. Its rate in Hz.
        num_channels: int.
        expected_seconds: float or None. Its length by its header (of some formats only
            about); None if the header leaves it open.
        seconds: float. The length of what was read so far: of all of it, once `blocks`
            has come to its end.

    Raises:
        AudioError: The file is missing, a folder, not readable, empty, not audio, or
            its container shows that it is truncated.
        InputError: The file needs PyAV.

    Example:
        with Recording("night.wav") as recording:
            for block in recording.blocks(sample_rate=16_000):
                ...
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._sound = sound_files.open_sound(self.path)
        self._is_started = False
        self._num_read = 0
        self.source_rate = self._sound.sample_rate
        self.num_channels = self._sound.num_channels

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._sound.close()

    @property
    def seconds(self) -> float:
        return self._num_read / self.source_rate

    @property
    def expected_seconds(self) -> float | None:
        num_expected = self._sound.num_expected
        return None if num_expected is None else num_expected / self.source_rate

    def blocks(self, *, sample_rate: int) -> Iterator[np.ndarray]:
        """Read the recording, once.

        Args:
            sample_rate: int > 0. Rate in Hz to resample to.

        Returns:
            Iterator of float32 arrays of shape (samples,): joined, what
            `audio.read(path, sample_rate=sample_rate)` returns, in every bit.

        Raises:
            InputError: `sample_rate` is no positive whole number.
            AudioError: The file's rate cannot be resampled to it. From the iterator:
                the file turns out to be truncated or damaged, or holds NaN or infinite
                samples, or none. What was yielded before was in order.
            RuntimeError: It was called before.
        """
        if self._is_started:
            raise RuntimeError(f"{self.path} is read once; open it again.")
        audio.check_rate(sample_rate, name="sample_rate")
        try:
            resampled = audio.resample_blocks(
                self._counted(), source_rate=self.source_rate, target_rate=sample_rate
            )
        except InputError as error:
            raise audio.AudioError(
                f"{self.path}: its header tells no rate of sound. {error}"
            ) from error
        self._is_started = True
        return _long_enough(resampled, self.path, sample_rate)

    def _counted(self) -> Iterator[np.ndarray]:
        for block in self._sound.blocks():
            self._num_read += len(block)
            yield block


def excerpt(path: str | Path, *, start: float, end: float) -> tuple[np.ndarray, int]:
    """Read a part of a recording, at its own rate.

    Where the format can be wound (WAV, FLAC, Ogg, MP3) only that part is decoded, at
    the end of a day as quickly as at its start. M4A, MP4 and AAC files, and streams
    whose header leaves their length open, are decoded up to there.

    Args:
        path: str or Path. The file; formats and faults are those of `audio.read`, but
            what lies outside the part is not seen.
        start: float >= 0. In seconds.
        end: float > start. In seconds.

    Returns:
        (waveform, sample_rate): float32 of shape (samples,), the mean of the channels,
        and its rate in Hz; it is shorter where the recording ends before `end`.

    Raises:
        AudioError: The file cannot be read, or ends before `start`.
        InputError: The file needs PyAV.
    """
    with contextlib.closing(sound_files.open_sound(Path(path))) as sound:
        first = round(start * sound.sample_rate)
        num_missing = round(end * sound.sample_rate) - first
        sound.seek(first)
        parts = []
        for block in sound.blocks():
            parts.append(block[:num_missing])
            num_missing -= len(parts[-1])
            if not num_missing:
                break
        return np.concatenate(parts), sound.sample_rate


def pcm_blocks(
    stream: BinaryIO,
    *,
    source_rate: int,
    sample_rate: int,
    encoding: str = "s16le",
    num_channels: int = 1,
) -> Iterator[np.ndarray]:
    """Read raw PCM from a stream as it comes, until it ends.

    Whatever a read brings is handed on at once, except a frame that it cuts, which
    waits for its rest, and what resampling holds back (see `audio.resample_blocks`). A
    cut frame at the very end is dropped.

    Args:
        stream: binary file, blocking: a pipe, a socket's file, `sys.stdin.buffer`.
        source_rate: int > 0. The stream's rate in Hz.
        sample_rate: int > 0. Rate in Hz to resample to.
        encoding: str. A name of `PCM_ENCODINGS`, as ffmpeg and arecord have them.
        num_channels: int in [1, 1024]. Channels, interleaved.

    Returns:
        Iterator of float32 arrays of shape (samples,); integers are scaled to [-1, 1].

    Raises:
        InputError: An argument is of no use: a rate, an encoding, a number of channels,
            or a stream of text or one that does not block.
        AudioError: From the iterator: the stream cannot be read on, holds NaN or
            infinite samples, or ended without a sample.
    """
    audio.check_rate(source_rate, name="source_rate")
    audio.check_rate(sample_rate, name="sample_rate")
    if encoding not in PCM_ENCODINGS:
        known = ", ".join(PCM_ENCODINGS)
        raise InputError(f"encoding must be one of {known}; got {encoding!r}.")
    is_whole = isinstance(num_channels, int) and not isinstance(num_channels, bool)
    if not is_whole or not 1 <= num_channels <= _HIGHEST_NUM_CHANNELS:
        raise InputError(
            f"num_channels must be a whole number from 1 to {_HIGHEST_NUM_CHANNELS};"
            f" got {num_channels!r}."
        )
    if isinstance(stream, io.TextIOBase):
        raise InputError(
            "A stream of samples must be binary; got one of text. Open it with 'rb',"
            " or give sys.stdin.buffer."
        )
    blocks = _decode_pcm(stream, encoding=encoding, num_channels=num_channels)
    resampled = audio.resample_blocks(
        blocks, source_rate=source_rate, target_rate=sample_rate
    )
    return _long_enough(resampled, _name(stream), sample_rate)


def _decode_pcm(
    stream: BinaryIO, *, encoding: str, num_channels: int
) -> Iterator[np.ndarray]:
    """Turn bytes into the mean of the channels, at the stream's own rate."""
    sample_size, to_float = PCM_ENCODINGS[encoding]
    frame_size = sample_size * num_channels
    name = _name(stream)
    has_samples = False
    rest = b""
    for content in _reads(stream, name):
        content = rest + content
        if not has_samples and content.startswith(b"RIFF"):
            raise audio.AudioError(
                f"{name}: begins with the header of a WAV file, not with samples. Send "
                "them raw (arecord -t raw), or hear the file itself."
            )
        end = len(content) - len(content) % frame_size
        rest = content[end:]
        if not end:
            continue
        samples = to_float(np.frombuffer(content, np.uint8, end))
        block = sound_files.channel_mean(samples.reshape(-1, num_channels))
        sound_files.check_finite(block, name)
        has_samples = True
        yield block
    if not has_samples:
        raise audio.AudioError(
            f"{name}: ended without a sample. Check what is written to it."
        )


def _reads(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield what a stream holds, without waiting until a buffer is full."""
    # A buffered stream's `read` waits; its `read1`, and `read` without buffer, do not.
    read = getattr(stream, "read1", stream.read)
    while True:
        try:
            content = read(_READ)
        except OSError as error:
            raise audio.AudioError(
                f"{name}: cannot be read ({error.strerror})."
            ) from error
        if content is None:
            raise InputError(f"{name}: does not block when it is empty; it must.")
        if not content:
            return
        yield content


def _long_enough(
    blocks: Iterator[np.ndarray], source: Path | str, sample_rate: int
) -> Iterator[np.ndarray]:
    """Hand blocks on, and refuse a sound that is too short for any."""
    has_samples = False
    for block in blocks:
        has_samples = True
        yield block
    if not has_samples:
        raise audio.too_short(source, sample_rate)


def _name(stream: BinaryIO) -> str:
    """What messages call a stream: its name where it has one (a pipe has a number)."""
    name = getattr(stream, "name", None)
    return os.fspath(name) if isinstance(name, str | os.PathLike) else "The stream"


def _from_u8(content: np.ndarray) -> np.ndarray:
    return (content.astype(np.float32) - 128) / 128


def _from_s24(content: np.ndarray) -> np.ndarray:
    wide = np.zeros((len(content) // 3, 4), np.uint8)
    wide[:, 1:] = content.reshape(-1, 3)  # the upper three bytes of four
    return _from_s32(wide)


def _from_s16(content: np.ndarray) -> np.ndarray:
    return content.view("<i2").astype(np.float32) / 2**15


def _from_s32(content: np.ndarray) -> np.ndarray:
    return content.reshape(-1).view("<i4").astype(np.float32) / 2**31


def _from_f32(content: np.ndarray) -> np.ndarray:
    return content.view("<f4").astype(np.float32)


# Name -> (bytes a sample, bytes as uint8 array -> float32 samples).
PCM_ENCODINGS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "s16le": (2, _from_s16),
    "s24le": (3, _from_s24),
    "s32le": (4, _from_s32),
    "f32le": (4, _from_f32),
    "u8": (1, _from_u8),
}
