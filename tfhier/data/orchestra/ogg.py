"""Ogg Vorbis files whose bytes depend on their content alone.

Conventions: waveforms are mono float32 (samples,) in [-1, 1]. The Ogg container numbers
every stream at random (RFC 3533, section 6), so an encoder writes a different file each
time; here the number is chosen by the caller, and equal sound gives equal files.
"""

import io
import struct
import zlib

import numpy as np
import soundfile

BLOCK_SAMPLES = 8192
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def encode(waveform: np.ndarray, *, sample_rate: int, serial: int) -> bytes:
    """Encode a waveform as an Ogg Vorbis file with a given stream number.

    Args:
        waveform: float32 (samples,) in [-1, 1].
        sample_rate: int > 0. Hz.
        serial: int in [0, 2**32).

    Returns:
        bytes of the file.
    """
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", sample_rate, 1, format="OGG", subtype="VORBIS"
    ) as file:
        # libsndfile's encoder can overrun its stack when it is given all at once.
        for start in range(0, len(waveform), BLOCK_SAMPLES):
            file.write(waveform[start : start + BLOCK_SAMPLES])
    return numbered(buffer.getvalue(), serial)


def numbered(content: bytes, serial: int) -> bytes:
    """Return an Ogg file of one stream with another stream number.

    Args:
        content: bytes of whole Ogg pages.
        serial: int in [0, 2**32).

    Returns:
        bytes of the same length: number and checksum of each page are replaced.
    """
    pages, start = bytearray(content), 0
    while start < len(pages):
        # A page: 26 bytes, the number of segments, their sizes, then their bytes.
        segments = start + 27
        body = segments + pages[start + 26]
        end = body + sum(pages[segments:body])
        pages[start + 14 : start + 18] = struct.pack("<I", serial)
        pages[start + 22 : start + 26] = bytes(4)
        checksum = _checksum(bytes(pages[start:end]))
        pages[start + 22 : start + 26] = struct.pack("<I", checksum)
        start = end
    return bytes(pages)


def _checksum(page: bytes) -> int:
    """Ogg's CRC: zlib's polynomial on mirrored bits, without its two inversions."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
