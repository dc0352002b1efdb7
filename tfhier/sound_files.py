"""Sound files of any format, decoded in blocks, and what is wrong with them.

`open_sound` is what `audio.read` (a whole clip) and `recordings.Recording` (hours in
bounded memory) share: one place knows the formats, the containers and the faults. A
block is mono, float32, of shape (samples,), at the file's own rate.
"""

import abc
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from tfhier import containers
from tfhier.errors import InputError
from tfhier.spliced import SplicedFile

AGAIN = "Copy or download it again."

_BLOCK = 1 << 19  # samples of all channels read at once
_OPEN_LENGTH = 1 << 62  # libsndfile declares more for a FLAC stream of open length
_DAMAGED = "{}: is truncated, damaged or of an unknown encoding ({}). " + AGAIN


class AudioError(InputError):
    """A file that cannot be used as audio: "PATH: reason", in plain words."""


class _ForwardReader(soundfile.SoundFile):
    """A sound file read from start to end only.

    After every block of a seekable file `soundfile` seeks to where it already is; that
    costs time, and a FLAC stream of undeclared length refuses it.
    """

    def seekable(self) -> bool:
        return False


class Sound(abc.ABC):
    """An open sound file, read once from start to end.

    Attributes:
        path: Path. Of the file.
        sample_rate: int. In Hz.
        num_channels: int.
        num_expected: int or None. Samples of a channel by the header; None if it leaves
            their number open.
    """

    path: Path
    sample_rate: int
    num_channels: int
    num_expected: int | None

    def __init__(self, path: Path):
        self.path = path
        self._opened = contextlib.ExitStack()
        self._begin = 0  # the sample that `blocks` begins with
        self._is_wound = False  # whether `_decode` begins there too

    def seek(self, sample: int) -> None:
        """Have `blocks` begin with another sample; to be called before it.

        WAV and what else libsndfile can wind is quick; other files are decoded up to
        there.

        Args:
            sample: int >= 0. Its number in each channel.
        """
        self._begin = sample

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Decode the file to its end: the mean of its channels.

        Yields:
            float32 arrays of shape (samples,), at least one sample each.

        Raises:
            AudioError: The file turns out to be truncated or damaged, holds NaN or
                infinite samples, or none at all. The blocks before were in order.
        """
        has_samples = False
        num_left_out = 0 if self._is_wound else self._begin
        for block in self._decode():
            num_dropped = min(num_left_out, len(block))
            num_left_out -= num_dropped
            block = block[num_dropped:]
            if block.size:
                has_samples = True
                check_finite(block, self.path)
                yield block
        if not has_samples and self._begin:
            raise AudioError(
                f"{self.path}: ends before {self._begin / self.sample_rate:.3f} s."
            )
        if not has_samples:
            raise AudioError(
                f"{self.path}: has an audio header but no samples. {AGAIN}"
            )

    @abc.abstractmethod
    def _decode(self) -> Iterator[np.ndarray]:
        """Decode to the end, then tell whether it is the true one."""


class _LibsndfileSound(Sound):
    """A file that libsndfile decodes.

    Args:
        path: Path. The file.
        start: bytes. Its first 12 bytes.
    """

    def __init__(self, path: Path, start: bytes):
        super().__init__(path)
        self._start = start
        with contextlib.ExitStack() as stack:
            bytes_of_file = stack.enter_context(path.open("rb"))
            self._repaired = _check_container(path, start, bytes_of_file)
            # Of an MP3 it is told at the end how far it was read.
            self._served = self._repaired or (
                SplicedFile(b"", bytes_of_file, start=0)
                if containers.is_mp3(start)
                else None
            )
            # As bytes: soundfile refuses names that are no UTF-8. On Windows all names
            # are text, and bytes would be taken for another encoding.
            plain = os.fspath(path) if os.name == "nt" else os.fsencode(path)
            name = self._served or plain
            with self._explained():
                self._file = stack.enter_context(_ForwardReader(name))
            if self._file.format == "RAW":  # guessed from the suffix (.gsm, .vox)
                raise AudioError(f"{path}: has no audio header. Convert it to WAV.")
            self._opened = stack.pop_all()
        self.sample_rate = self._file.samplerate
        self.num_channels = self._file.channels
        is_open = self._file.frames >= _OPEN_LENGTH or (
            self._repaired is not None and containers.is_mp3(start)
        )
        self.num_expected = None if is_open else self._file.frames

    def seek(self, sample: int) -> None:
        super().seek(sample)
        # Streams of open length cannot be wound, nor any file beyond its end.
        with contextlib.suppress(soundfile.LibsndfileError):
            self._file.seek(sample)
            self._is_wound = True

    def _decode(self) -> Iterator[np.ndarray]:
        # One more than declared: then the end is seen at once.
        size = min(max(1, _BLOCK // self.num_channels), self._file.frames + 1)
        num_read, is_end = self._begin if self._is_wound else 0, False
        while not is_end:
            with self._explained():
                frames = self._file.read(size, dtype="float32", always_2d=True)
            num_read += len(frames)
            is_end = len(frames) < size
            yield channel_mean(frames)
        self._check_end(num_read)

    def _check_end(self, num_read: int) -> None:
        failure = self._served and self._served.failure
        if failure:
            raise _unreadable(self.path, failure) from failure
        if self._repaired or self.num_expected is None:
            return
        tolerance = self.num_expected  # of other kinds libsndfile guesses the number
        if self._start[:4] == b"fLaC":
            tolerance = 0
        elif containers.is_mp3(self._start):
            # Some encoders count the header itself as one MP3 frame.
            tolerance = 1152 if self.sample_rate >= 32_000 else 576
            if containers.mp3_goes_on(self._served, self._served.tell()):
                raise AudioError(
                    f"{self.path}: goes on behind the {self.num_expected} frames that"
                    " its header declares. Convert it anew, for instance by ffmpeg."
                )
        if num_read < self.num_expected - tolerance:
            raise _truncated(
                self.path,
                f"it declares {self.num_expected} frames, {num_read} can be decoded",
            )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn libsndfile's errors into ones in plain words."""
        try:
            yield
        except soundfile.LibsndfileError as error:
            said = error.error_string.rstrip(".")
            start = self._start
            if containers.is_wav(start) or start[:4] in (b"OggS", b"fLaC"):
                raise AudioError(_DAMAGED.format(self.path, said)) from error
            raise AudioError(
                f"{self.path}: is not audio in a known format ({said}). Convert it to"
                " WAV, FLAC, OGG or MP3."
            ) from error


class _AacSound(Sound):
    """The first audio track of an M4A, MP4 or AAC file, decoded by PyAV.

    Args:
        path: Path. The file.
        declares_length: bool. Whether its container says how long it is.
    """

    def __init__(self, path: Path, *, declares_length: bool):
        try:
            import av
        except ImportError:
            # No AudioError: the file may be in order, and a data set must not leave it
            # out.
            raise InputError(
                f"{path}: M4A, MP4 and AAC files need PyAV. Install it with"
                " pip install 'tfhier[m4a]', or convert the file to FLAC."
            ) from None
        super().__init__(path)
        self._av = av
        with contextlib.ExitStack() as stack:
            with self._explained():
                self._container = stack.enter_context(av.open(str(path)))
            if not self._container.streams.audio:
                raise AudioError(f"{path}: holds no audio track.")
            self._opened = stack.pop_all()
        self._track = track = self._container.streams.audio[0]
        self.sample_rate, self.num_channels = track.rate, track.channels
        self.num_expected = None
        if declares_length and track.duration:
            seconds = track.duration * track.time_base
            self.num_expected = int(seconds * self.sample_rate)

    def _decode(self) -> Iterator[np.ndarray]:
        to_float = self._av.AudioResampler(format="fltp")
        num_read = 0
        with self._explained():
            for frame in self._container.decode(self._track):
                for part in to_float.resample(frame):
                    block = part.to_ndarray().mean(axis=0)  # (channels, samples)
                    num_read += len(block)
                    yield block
        if num_read < (self.num_expected or 0) - 2048:  # two AAC frames of padding
            raise _truncated(
                self.path,
                f"it declares {self.num_expected} samples, {num_read} can be decoded",
            )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._av.FFmpegError as error:
            raise AudioError(_DAMAGED.format(self.path, error.strerror)) from error


def open_sound(path: Path) -> Sound:
    """Open a sound file. What it is is seen from its content, not from its name.

    Raises:
        AudioError: The file is missing, a folder, not readable, empty, not audio, or
            its container shows that it is truncated.
        InputError: The file needs PyAV.
    """
    start = _read_start(path)
    is_mp4 = start[4:8] == b"ftyp"
    # Bare AAC (ADTS): 12 sync bits and layer 0, where MP3 has 11 bits and layer 1 to 3.
    is_aac = len(start) > 1 and start[0] == 0xFF and start[1] & 0xF6 == 0xF0
    if is_mp4 or is_aac:
        return _AacSound(path, declares_length=is_mp4)
    return _LibsndfileSound(path, start)


def channel_mean(frames: np.ndarray) -> np.ndarray:
    """Return the mean of the channels; of one channel, itself.

    Args:
        frames: float32 array of shape (frames, channels), C-contiguous: then the order
            of the sum, and so its last bit, is the same however many frames there are.

    Returns:
        float32 array of shape (frames,).
    """
    if frames.shape[1] == 1:
        return frames[:, 0]
    # Infinite samples of both signs give NaN here; they are refused later.
    with np.errstate(invalid="ignore", over="ignore"):
        return frames.mean(axis=1)


def check_finite(block: np.ndarray, source: Path | str) -> None:
    """Refuse NaN and infinite samples.

    Args:
        block: float32 array of shape (samples,), at least one.
        source: Path or str. What the message starts with.

    Raises:
        AudioError: There are such samples.
    """
    # One pass each: a NaN or an infinity always shows in the extremes.
    if not (np.isfinite(block.min()) and np.isfinite(block.max())):
        raise AudioError(
            f"{source}: holds NaN or infinite samples. Export it again from its source."
        )


def _read_start(path: Path) -> bytes:
    """Return a file's first 12 bytes, or say why there are none."""
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except FileNotFoundError:
        raise AudioError(f"{path}: there is no such file. Check the path.") from None
    except IsADirectoryError:
        raise AudioError(f"{path}: is a folder. Give one audio file.") from None
    except PermissionError:
        raise AudioError(
            f"{path}: may not be read. Check its permissions, then run again."
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from error
    if not start:
        raise AudioError(f"{path}: is empty (0 bytes). {AGAIN}")
    return start


def _check_container(path: Path, start: bytes, file: BinaryIO) -> SplicedFile | None:
    """Refuse a cut file; give one of open length a length."""
    if path.suffix.lower() == ".raw":
        # By this suffix libsndfile would take any bytes for samples.
        raise AudioError(f"{path}: is raw audio without a header. Convert it to WAV.")
    cut, repaired = "", None
    if containers.is_wav(start):
        cut = containers.cut_wav(file)
        repaired = containers.closed_wav(file)
    elif start[:4] == b"OggS":
        cut = containers.cut_ogg(file)
    elif containers.is_mp3(start):
        repaired = containers.open_mp3(file)
    if cut:
        raise _truncated(path, cut)
    return repaired


def _truncated(path: Path, seen: str) -> AudioError:
    return AudioError(f"{path}: is truncated: {seen}. {AGAIN}")


def _unreadable(path: Path, error: OSError) -> AudioError:
    return AudioError(f"{path}: cannot be read ({error.strerror}).")
