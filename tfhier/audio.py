"""Audio files and waveforms: read, write, resample, fix the length.

Conventions: a waveform is mono, float32, of shape (samples,), with full scale at
[-1, 1]; rates are whole numbers in Hz. `read` either returns the sound of a whole,
healthy file or raises `AudioError`: half a recording is never passed on silently.
"""

import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from tfhier import containers, files
from tfhier.errors import InputError

AUDIO_SUFFIXES = (
    ".aac", ".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".m4a", ".mp3", ".mp4",
    ".oga", ".ogg", ".opus", ".rf64", ".snd", ".w64", ".wav", ".wave",
)  # fmt: skip

# Above it no samples are sound in [-1, 1], however loud: mostly integers, never scaled.
LOUDEST = 64.0

_BLOCK = 1 << 20  # samples of all channels read at once
# libsndfile's Vorbis encoder keeps a whole write on the stack and can overflow it.
_WRITE_BLOCK = 1 << 14
_WRITTEN = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
}
_HIGHEST_RATE = 10_000_000  # far above ultrasound; resampling to more never ends
_AGAIN = "Copy or download it again."
_DAMAGED = "{}: is truncated, damaged or of an unknown encoding ({}). " + _AGAIN


class AudioError(InputError):
    """A file that cannot be used as audio: "PATH: reason", in plain words."""


class _ForwardReader(soundfile.SoundFile):
    """A sound file read from start to end only.

    After every block of a seekable file `soundfile` seeks to where it already is; that
    costs time, and a FLAC stream of undeclared length refuses it.
    """

    def seekable(self) -> bool:
        return False


def is_audio(path: Path) -> bool:
    """Return whether a name ends like that of an audio file."""
    return path.suffix.lower() in AUDIO_SUFFIXES


def read(
    path: str | Path, *, sample_rate: int | None = None, allow_silent: bool = False
) -> tuple[np.ndarray, int]:
    """Read an audio file as one mono waveform.

    WAV (with RF64), FLAC, OGG (Vorbis, Opus) and MP3 of any rate, depth and number of
    channels are decoded by libsndfile, which also knows AIFF, AU, CAF and W64; M4A, MP4
    and AAC by PyAV where it is installed. What a file is is seen from its content, not
    from its name.

    A truncated file is recognised by its sizes (WAV), by the number of frames that it
    declares (FLAC, MP3 with a Xing or Info header, MP4) or by a missing last page
    (OGG). Not judged can be an MP3 without such a header, bare AAC, and a WAV or FLAC
    stream whose header leaves the length open: they are read as far as they go. An MP3
    that lacks no more than its last frame (26 ms at 44.1 kHz) passes.

    Args:
        path: str or Path. The file.
        sample_rate: int > 0 or None. Rate in Hz to resample to; None keeps the file's.
        allow_silent: bool. Whether a file whose samples are all equal is accepted.

    Returns:
        (waveform, sample_rate): float32 of shape (samples,), the mean of the channels,
        and its rate in Hz. Files of integers lie in [-1, 1]; resampling and lossy
        formats can overshoot it a little, and files of floating-point numbers are as
        loud as they were stored.

    Raises:
        AudioError: The file is missing, a folder, not readable, empty, not audio,
            truncated, without samples, silent, or holds NaN or infinite samples.
        InputError: `sample_rate` is no positive whole number, or the file needs PyAV.
    """
    if sample_rate is not None:
        _check_rate(sample_rate, name="sample_rate")
    path = Path(path)
    start = _read_start(path)
    is_mp4 = start[4:8] == b"ftyp"
    # Bare AAC (ADTS): 12 sync bits and layer 0, where MP3 has 11 bits and layer 1 to 3.
    is_aac = len(start) > 1 and start[0] == 0xFF and start[1] & 0xF6 == 0xF0
    if is_mp4 or is_aac:
        waveform, source_rate = _decode_aac(path, declares_length=is_mp4)
    else:
        waveform, source_rate = _decode(path, start)
    _check_samples(path, waveform, allow_silent=allow_silent)
    if sample_rate is None:
        return waveform, source_rate
    waveform = resample(waveform, source_rate=source_rate, target_rate=sample_rate)
    if not waveform.size:
        raise AudioError(
            f"{path}: is too short for a single sample at {sample_rate} Hz."
        )
    return waveform, sample_rate


def header_problem(path: Path) -> str | None:
    """Return what is wrong with a file by its header alone; None if nothing is seen.

    For whole data sets: decoding, as `read` does, finds more and takes long.
    """
    try:
        num_samples = soundfile.info(path).frames
    except soundfile.LibsndfileError as error:
        return f"{path} cannot be opened: {error}"
    return None if num_samples else f"{path} is empty."


def write(path: str | Path, waveform: np.ndarray, *, sample_rate: int) -> None:
    """Write a mono waveform to a file, whole or not at all.

    Args:
        path: str or Path. The suffix chooses the format: `.wav` and `.flac` (16-bit) or
            `.ogg` (Vorbis, lossy).
        waveform: float array of shape (samples,), in [-1, 1].
        sample_rate: int > 0. Rate in Hz.

    Raises:
        AudioError: Unknown suffix, or the file cannot be written.
        InputError: The waveform is empty, of another shape, not finite or beyond
            [-1, 1], or the rate is no positive whole number.
    """
    path = Path(path)
    _check_rate(sample_rate, name="sample_rate")
    waveform = _mono(waveform)
    if path.suffix.lower() not in _WRITTEN:
        known = ", ".join(_WRITTEN)
        raise AudioError(f"{path}: cannot be written; the name must end in {known}.")
    if not waveform.size:
        raise InputError(f"A waveform for {path} has no samples; give at least one.")
    peak = float(np.abs(waveform).max())
    if not peak <= 1:  # also true for NaN
        raise InputError(
            f"A waveform for {path} must be finite and in [-1, 1]; its peak is"
            f" {peak:g}. Scale or clip it first."
        )
    container, subtype = _WRITTEN[path.suffix.lower()]
    try:
        with (
            files.replacing(path) as temporary,
            soundfile.SoundFile(
                temporary,
                mode="w",
                samplerate=int(sample_rate),
                channels=1,
                format=container,
                subtype=subtype,
            ) as file,
        ):
            for at in range(0, len(waveform), _WRITE_BLOCK):
                file.write(waveform[at : at + _WRITE_BLOCK])
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{path}: cannot be written at {sample_rate} Hz ({error.error_string})"
        ) from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be written ({error.strerror}).") from error


def to_wav(waveform: np.ndarray, *, sample_rate: int) -> bytes:
    """Return a mono waveform as the content of a WAV file of 16 bits.

    Args:
        waveform: float array of shape (samples,); what lies beyond [-1, 1] is clipped.
        sample_rate: int > 0. Rate in Hz.
    """
    file = io.BytesIO()
    soundfile.write(file, waveform, sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def resample(waveform: np.ndarray, *, source_rate: int, target_rate: int) -> np.ndarray:
    """Change the sample rate of a waveform (soxr, high quality).

    Args:
        waveform: float array of shape (samples,).
        source_rate: int > 0. Its rate in Hz.
        target_rate: int > 0. The wanted rate in Hz.

    Returns:
        float32 array of shape (samples * target_rate / source_rate,), rounded; the
        waveform itself, if it is float32, when the rates agree.

    Raises:
        InputError: A rate is no positive whole number, or the shape is another.
    """
    _check_rate(source_rate, name="source_rate")
    _check_rate(target_rate, name="target_rate")
    waveform = _mono(waveform)
    if source_rate == target_rate or not waveform.size:
        return waveform
    return soxr.resample(waveform, source_rate, target_rate, quality="HQ")


def fix_length(waveform: np.ndarray, num_samples: int) -> np.ndarray:
    """Give a waveform an exact length: zeros at its end, or a cut at its end.

    Args:
        waveform: array of shape (samples,).
        num_samples: int >= 0. The wanted length.

    Returns:
        Array of shape (num_samples,) and the type of `waveform`; a view when it is cut.

    Raises:
        InputError: The shape is another, or `num_samples` is negative.
    """
    waveform = np.asarray(waveform)
    _check_shape(waveform)
    if num_samples < 0:
        raise InputError(f"num_samples must be 0 or more; got {num_samples}.")
    missing = num_samples - len(waveform)
    return np.pad(waveform, (0, missing)) if missing > 0 else waveform[:num_samples]


def _check_rate(rate: int, *, name: str) -> None:
    whole = isinstance(rate, int | np.integer) and not isinstance(rate, bool)
    if not whole or rate <= 0:
        raise InputError(f"{name} must be a whole number of Hz above 0; got {rate!r}.")
    if rate > _HIGHEST_RATE:
        raise InputError(f"{name} is at most {_HIGHEST_RATE} Hz; got {rate}.")


def _check_shape(waveform: np.ndarray) -> None:
    if waveform.ndim != 1:
        raise InputError(
            f"A waveform has the shape (samples,); got {waveform.shape}. Take one"
            " channel, or their mean, first."
        )


def _mono(waveform: np.ndarray) -> np.ndarray:
    waveform = np.asarray(waveform, dtype=np.float32)
    _check_shape(waveform)
    return waveform


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
        raise AudioError(f"{path}: cannot be read ({error.strerror}).") from error
    if not start:
        raise AudioError(f"{path}: is empty (0 bytes). {_AGAIN}")
    return start


def _decode(path: Path, start: bytes) -> tuple[np.ndarray, int]:
    """Decode a file by libsndfile: the mean of its channels, and its rate in Hz."""
    repaired = _check_container(path, start)
    try:
        # As bytes: soundfile refuses names that are no UTF-8.
        with _ForwardReader(repaired or os.fsencode(path)) as file:
            if file.format == "RAW":  # guessed from the suffix alone (.gsm, .vox)
                raise AudioError(f"{path}: has no audio header. Convert it to WAV.")
            waveform = _read_mono(file)
            num_declared, rate = file.frames, file.samplerate
    except soundfile.LibsndfileError as error:
        said = error.error_string.rstrip(".")
        if containers.is_wav(start) or start[:4] in (b"OggS", b"fLaC"):
            raise AudioError(_DAMAGED.format(path, said)) from error
        raise AudioError(
            f"{path}: is not audio in a known format ({said}). Convert it to WAV,"
            " FLAC, OGG or MP3."
        ) from error
    if repaired or num_declared >= 1 << 62:  # the second: a FLAC stream of open length
        return waveform, rate
    tolerance = num_declared  # of other kinds libsndfile only guesses the number
    if start[:4] == b"fLaC":
        tolerance = 0
    elif containers.is_mp3(start):
        # Some encoders count the header itself as one MP3 frame.
        tolerance = 1152 if rate >= 32_000 else 576
    if len(waveform) < num_declared - tolerance:
        raise _truncated(
            path, f"it declares {num_declared} frames, {len(waveform)} can be decoded"
        )
    return waveform, rate


def _check_container(path: Path, start: bytes) -> BinaryIO | None:
    """Refuse a cut file; give one of open length a length, in memory."""
    if path.suffix.lower() == ".raw":
        # By this suffix libsndfile would take any bytes for samples.
        raise AudioError(f"{path}: is raw audio without a header. Convert it to WAV.")
    cut, repaired = "", None
    with path.open("rb") as file:
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


def _read_mono(file: soundfile.SoundFile) -> np.ndarray:
    """Read an open file to its end as the mean of its channels."""
    blocks = []
    size = min(
        _BLOCK // file.channels, file.frames + 1
    )  # one more than declared: then the end is seen
    while True:
        block = file.read(size, dtype="float32", always_2d=True)  # (frames, channels)
        # Infinite samples of both signs give NaN here; they are refused later.
        with np.errstate(invalid="ignore", over="ignore"):
            blocks.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))
        if len(block) < size:
            return np.concatenate(blocks)


def _decode_aac(path: Path, *, declares_length: bool) -> tuple[np.ndarray, int]:
    """Decode the first audio track of an M4A, MP4 or AAC file by PyAV."""
    try:
        import av
    except ImportError:
        # No AudioError: the file may be in order, and a data set must not leave it out.
        raise InputError(
            f"{path}: M4A, MP4 and AAC files need PyAV. Install it with"
            " pip install 'tfhier[m4a]', or convert the file to FLAC."
        ) from None
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioError(f"{path}: holds no audio track.")
            track = container.streams.audio[0]
            to_float = av.AudioResampler(format="fltp")
            blocks = [
                part.to_ndarray().mean(axis=0)  # (channels, samples) -> (samples,)
                for frame in container.decode(track)
                for part in to_float.resample(frame)
            ]
            rate = track.rate
            num_declared = 0
            if declares_length and track.duration:
                num_declared = int(track.duration * track.time_base * rate)
    except av.FFmpegError as error:
        raise AudioError(_DAMAGED.format(path, error.strerror)) from error
    waveform = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if len(waveform) < num_declared - 2048:  # two AAC frames of padding
        raise _truncated(
            path, f"it declares {num_declared} samples, {len(waveform)} can be decoded"
        )
    return waveform, rate


def _truncated(path: Path, seen: str) -> AudioError:
    return AudioError(f"{path}: is truncated: {seen}. {_AGAIN}")


def _check_samples(path: Path, waveform: np.ndarray, *, allow_silent: bool) -> None:
    if not waveform.size:
        raise AudioError(f"{path}: has an audio header but no samples. {_AGAIN}")
    # One pass each: a NaN or an infinity always shows in the extremes.
    low, high = waveform.min(), waveform.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise AudioError(
            f"{path}: holds NaN or infinite samples. Export it again from its source."
        )
    if low == high and not allow_silent:
        raise AudioError(
            f"{path}: is silent (all of its samples are equal). Leave it out, or"
            " record it again."
        )
