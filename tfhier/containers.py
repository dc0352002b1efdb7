"""Whether a WAV, OGG or MP3 file is whole, seen from its bytes.

libsndfile reads a file that was cut short as if it ended there, and one whose header
leaves the length open not at all or not to its end. The functions below look at the
container alone, without decoding, in microseconds. Sizes are in bytes.
"""

import io
import os
import re
import struct
from typing import BinaryIO

_UNKNOWN_SIZE = 0xFFFFFFFF
# From here on a 32-bit size was written before the length of the stream was known: sox
# writes this one, others 2**31 - 1 or 2**32 - 1.
_STREAM_SIZE = 0x7FFFF000
_OGG_LAST_PAGE = 0x04  # header type flag, RFC 3533 section 6
_OGG_TAIL = 1 << 17  # two pages of the largest size, 65,307 bytes
_MP3_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef].", re.DOTALL)
_MP3_SEARCH = 1 << 12  # some writers pad their tags with zeros


def is_wav(start: bytes) -> bool:
    """Whether a file's first 12 bytes are those of WAV, in any of its four variants."""
    return start[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and start[8:12] == b"WAVE"


def cut_wav(file: BinaryIO) -> str:
    """Say what a WAV file lacks at its end.

    Args:
        file: binary file, open for reading.

    Returns:
        What was seen, as half a sentence; `""` if all declared samples are there, if
        the header leaves their number open, or if it has no `data` chunk.
    """
    samples = _find_wav_samples(file)
    if samples is None:
        return ""
    start, num_declared, _ = samples
    num_present = _size(file) - start
    is_stream = _STREAM_SIZE <= num_declared <= _UNKNOWN_SIZE
    if num_present >= num_declared or is_stream:
        return ""
    return f"it declares {num_declared} bytes of samples, {num_present} are there"


def closed_wav(file: BinaryIO) -> io.BytesIO | None:
    """Repair, in memory, a WAV file that its recorder never closed.

    Such a header was written before the samples and says that there are none, so
    libsndfile would find none.

    Args:
        file: binary file, open for reading.

    Returns:
        The content with its sizes set to "unknown", or None for any other WAV file.
    """
    samples = _find_wav_samples(file)
    if samples is None:
        return None
    start, num_declared, end = samples
    num_bytes = _size(file)
    # With an honest outer size what follows an empty `data` chunk is another chunk.
    is_outer_size_true = start < end <= num_bytes
    if num_declared > 0 or num_bytes <= start or is_outer_size_true:
        return None
    file.seek(0)
    content = bytearray(file.read())
    unknown = struct.pack("<I", _UNKNOWN_SIZE)
    content[4:8] = content[start - 4 : start] = unknown
    return io.BytesIO(content)


def cut_ogg(file: BinaryIO) -> str:
    """Say what an OGG file lacks at its end.

    Args:
        file: binary file, open for reading.

    Returns:
        What was seen, as half a sentence; `""` if the last page is complete and marked
        as the end of its stream.
    """
    file.seek(max(0, _size(file) - _OGG_TAIL))
    tail = file.read()
    page = tail[max(tail.rfind(b"OggS\0"), 0) :]
    num_segments = page[26] if len(page) > 26 else 0
    page_size = 27 + num_segments + sum(page[27 : 27 + num_segments])
    if len(page) < page_size:
        return "its last OGG page is cut"
    if not page[5] & _OGG_LAST_PAGE:
        return "its last OGG page does not end the stream"
    return ""


def is_mp3(start: bytes) -> bool:
    """Whether a file starts with an ID3 tag or a frame of MPEG layer III."""
    return start[:3] == b"ID3" or _MP3_FRAME.match(start) is not None


def open_mp3(file: BinaryIO) -> io.BytesIO | None:
    """Give, in memory, a length to an MP3 file that declares none.

    Without one libsndfile guesses it from the first frame's bit rate, and stops there:
    of a file of variable rate a part can be lost. A header frame in front that declares
    more than any file holds lets it read to the end.

    Args:
        file: binary file, open for reading.

    Returns:
        The content behind such a header frame, or None if the file declares its length
        (Xing, Info or VBRI header) or no frame is found.
    """
    at = _skip_id3(file)
    file.seek(at)
    found = _MP3_FRAME.search(file.read(_MP3_SEARCH))
    if found is None:
        return None
    file.seek(at + found.start())
    frame = file.read(48)
    is_mpeg1 = frame[1] & 0x08 > 0
    is_one_channel = frame[3] >> 6 == 3
    side_size = (
        (17 if is_one_channel else 32) if is_mpeg1 else 9 + 8 * (1 - is_one_channel)
    )
    tag = 4 + side_size
    has_count = (
        frame[tag : tag + 4] in (b"Xing", b"Info") and frame[tag + 7 :][:1] > b""
    )
    if has_count and frame[tag + 7] & 1 or frame[36:40] == b"VBRI":
        return None
    file.seek(at + found.start())
    return io.BytesIO(_endless_frame(frame[:4], side_size) + file.read())


def _endless_frame(header: bytes, side_size: int) -> bytes:
    """Make a Xing header frame of the same kind that declares 2**24 frames."""
    is_mpeg1 = header[1] & 0x08 > 0
    rate_index = header[2] >> 2 & 3
    rate = (44_100, 48_000, 32_000)[rate_index]
    if not is_mpeg1:
        rate //= 2 if header[1] & 0x10 else 4
    # 64 kbit/s: index 5 of MPEG 1, index 8 of MPEG 2; no padding, no checksum.
    bit_rate_index = 5 if is_mpeg1 else 8
    size = (144 if is_mpeg1 else 72) * 64_000 // rate
    head = bytes(
        [0xFF, header[1] | 1, bit_rate_index << 4 | rate_index << 2, header[3]]
    )
    tag = b"Xing" + struct.pack(">II", 1, 1 << 24)
    return (head + bytes(side_size) + tag).ljust(size, b"\0")


def _skip_id3(file: BinaryIO) -> int:
    """Return where a file goes on after the ID3v2 tags at its start."""
    at = 0
    while True:
        file.seek(at)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            return at
        size = sum(
            byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True)
        )
        at += 10 + size + (10 if tag[5] & 0x10 else 0)  # with a footer


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _find_wav_samples(file: BinaryIO) -> tuple[int, int, int] | None:
    """Find the samples of a WAV file by walking its chunks.

    Returns:
        (start, size, end): where the samples start, how many bytes of them are declared
        and where the file ends by its header; None without a `data` chunk.
    """
    file.seek(0)
    head = file.read(12)
    order = ">" if head[:4] == b"RIFX" else "<"
    end = 8 + struct.unpack(order + "I", head[4:8])[0]
    at, wide_size = 12, None
    while True:
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8:
            return None
        (size,) = struct.unpack(order + "I", chunk[4:])
        if chunk[:4] == b"ds64" and len(sizes := file.read(16)) == 16:
            wide_size = struct.unpack("<QQ", sizes)[1]  # 64-bit sizes, EBU Tech 3306
        if chunk[:4] == b"data":
            if wide_size is not None and size == _UNKNOWN_SIZE:
                size = wide_size
            return at + 8, size, end
        at += 8 + size + size % 2  # chunks start at even places
