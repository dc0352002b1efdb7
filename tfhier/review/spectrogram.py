"""Spectrograms as grey PNG files; the page gives them their colours.

Conventions: a picture is uint8 of shape (rows, columns), from the highest frequency,
half the sample rate, down to 0 Hz. Its columns are as long as each other and cover the
waveform from its first to its last sample.
"""

import struct
import zlib

import numpy as np

MOST_COLUMNS = 960
# Samples of an FFT, below 24 kHz and from there on: 21 to 32 ms at 16, 32 and 48 kHz,
# and the few milliseconds that bats need at their rates.
_SHORT, _LONG = 512, 1024
_STEPS = 48  # of grey: more are not seen, and make files of noise larger
_QUIET_SHARE = 0.5  # of all points, that are the background
_LOUD_SHARE = 0.9995
_LEAST_RANGE = 25.0  # dB; with less, plain noise would look like a pattern


def picture(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the spectrogram of a waveform: its background black, its loudest white.

    Args:
        waveform: float32 array of shape (samples,), at least one.
        sample_rate: int > 0. In Hz.
    """
    size = _SHORT if sample_rate < 24_000 else _LONG
    hop = min(max(1, -(-len(waveform) // MOST_COLUMNS)), size // 2)
    num_frames = -(-len(waveform) // hop)
    # The middle of a frame is the middle of its column.
    before = (size - hop) // 2
    padded = np.zeros(num_frames * hop + size, np.float32)
    padded[before : before + len(waveform)] = waveform
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:num_frames]
    spectrum = np.fft.rfft(frames * np.hanning(size).astype(np.float32))
    power = np.square(np.abs(spectrum[:, 1:]))  # (frames, frequencies), without 0 Hz
    num_columns = min(num_frames, MOST_COLUMNS)
    # Of frames that share a column the loudest: a short call stays to be seen.
    firsts = np.arange(num_columns) * num_frames // num_columns
    decibels = 10 * np.log10(np.maximum.reduceat(power, firsts, axis=0) + 1e-12)
    low, high = np.quantile(decibels, (_QUIET_SHARE, _LOUD_SHARE))
    share = np.clip((decibels - low) / max(high - low, _LEAST_RANGE), 0, 1)
    grey = np.round(share * (_STEPS - 1)) * (255 / (_STEPS - 1))
    return grey.T[::-1].astype(np.uint8)


def png(picture: np.ndarray) -> bytes:
    """Return a picture as the content of a PNG file."""
    rows, columns = picture.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    # Each row begins with 0: it is not told by its difference to another.
    lines = np.pad(picture, ((0, 0), (1, 0))).tobytes()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(lines, 6)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    )
