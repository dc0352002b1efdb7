"""Audio files and waveforms: read, write, resample, fix the length.

Conventions: a waveform is mono, float32, of shape (samples,), with full scale at
[-1, 1]; rates are whole numbers in Hz. `read` either returns the sound of a whole,
healthy file or raises `AudioError`: half a recording is never passed on silently.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from tfhier import files, sound_files
from tfhier.errors import InputError
from tfhier.sound_files import AudioError

AUDIO_SUFFIXES = (
    ".aac", ".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".m4a", ".mp3", ".mp4",
    ".oga", ".ogg", ".opus", ".rf64", ".snd", ".w64", ".wav", ".wave",
)  # fmt: skip

# Above it no samples are sound in [-1, 1], however loud: mostly integers, never scaled.
LOUDEST = 64.0

# libsndfile's Vorbis encoder keeps a whole write on the stack and can overflow it.
_WRITE_BLOCK = 1 << 14
_WRITTEN = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
}
_HIGHEST_RATE = 10_000_000  # far above ultrasound; resampling to more never ends
_HIGHEST_RATIO = 10_000  # from here on soxr takes seconds for a block, or hangs
_QUALITY = "HQ"
_RESAMPLED_BLOCK = 1 << 20  # samples, after resampling


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
    stream whose header leaves the length open: they are read as far as they go. So are
    joined MP3s, and others of more bytes than the header declares. An MP3 that lacks no
    more than its last frame (26 ms at 44.1 kHz) passes.

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
        check_rate(sample_rate, name="sample_rate")
    path = Path(path)
    with contextlib.closing(sound_files.open_sound(path)) as sound:
        waveform = np.concatenate(list(sound.blocks()))
        source_rate = sound.sample_rate
    if not allow_silent and waveform.min() == waveform.max():
        raise AudioError(
            f"{path}: is silent (all of its samples are equal). Leave it out, or"
            " record it again."
        )
    if sample_rate is None:
        return waveform, source_rate
    waveform = resample(waveform, source_rate=source_rate, target_rate=sample_rate)
    if not waveform.size:
        raise too_short(path, sample_rate)
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
    check_rate(sample_rate, name="sample_rate")
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
    check_rate(source_rate, name="source_rate")
    check_rate(target_rate, name="target_rate")
    waveform = _mono(waveform)
    if source_rate == target_rate or not waveform.size:
        return waveform
    return soxr.resample(waveform, source_rate, target_rate, quality=_QUALITY)


def resample_blocks(
    blocks: Iterable[np.ndarray], *, source_rate: int, target_rate: int
) -> Iterator[np.ndarray]:
    """Change the sample rate of a waveform that comes in blocks.

    What is yielded, joined, is `resample` of the joined blocks in every bit, wherever
    they were cut: soxr's filters run over a queue and see no cuts. Samples lag behind
    by its filters' length (20 to 115 ms, longer for lower rates).

    Args:
        blocks: Iterable of float32 arrays of shape (samples,).
        source_rate: int > 0. Their rate in Hz.
        target_rate: int > 0. The wanted rate in Hz.

    Returns:
        Iterator of float32 arrays of shape (samples,), none of them empty; the blocks
        themselves when the rates agree.

    Raises:
        InputError: A rate is no positive whole number, or one is more than 10,000 times
            the other.
    """
    check_rate(source_rate, name="source_rate")
    check_rate(target_rate, name="target_rate")
    low, high = sorted((source_rate, target_rate))
    if high > _HIGHEST_RATIO * low:
        raise InputError(
            f"Sound at {source_rate} Hz cannot be resampled to {target_rate} Hz: one"
            f" rate is more than {_HIGHEST_RATIO} times the other. Check both."
        )
    if source_rate == target_rate:
        return iter(blocks)
    return _resampled(blocks, source_rate=source_rate, target_rate=target_rate)


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


def check_rate(rate: int, *, name: str) -> None:
    """Refuse what is no rate in Hz: another type, 0 or less, above 10 MHz.

    Args:
        rate: int. To be checked.
        name: str. What it is called in the message.
    """
    whole = isinstance(rate, int | np.integer) and not isinstance(rate, bool)
    if not whole or rate <= 0:
        raise InputError(f"{name} must be a whole number of Hz above 0; got {rate!r}.")
    if rate > _HIGHEST_RATE:
        raise InputError(f"{name} is at most {_HIGHEST_RATE} Hz; got {rate}.")


def too_short(source: Path | str, sample_rate: int) -> AudioError:
    """Return the error of a sound that has no sample left at a rate in Hz."""
    return AudioError(
        f"{source}: is too short for a single sample at {sample_rate} Hz."
    )


def _resampled(
    blocks: Iterable[np.ndarray], *, source_rate: int, target_rate: int
) -> Iterator[np.ndarray]:
    resampler = soxr.ResampleStream(
        source_rate, target_rate, 1, dtype="float32", quality=_QUALITY
    )
    # A block of 1 Hz becomes one of 10 kHz: in steps that keep the result small.
    step = max(1, _RESAMPLED_BLOCK * source_rate // target_rate)
    for block in blocks:
        for at in range(0, len(block), step):
            resampled = resampler.resample_chunk(block[at : at + step])
            if resampled.size:
                yield resampled
    resampled = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if resampled.size:
        yield resampled


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
