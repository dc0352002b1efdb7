"""Whether a WAV, OGG or MP3 file is whole, seen from its bytes.

libsndfile reads a file that was cut short as if it ended there, and one whose header
leaves the length open not at all or not to its end. The functions below look at the
container alone, without decoding, in microseconds. What they repair stays on the disk:
a file as long as a day costs no more memory than its header. Sizes are in bytes.
"""

import os
import re
import struct
from typing import BinaryIO, NamedTuple

from tfhier.spliced import SplicedFile

_UNKNOWN_SIZE = 0xFFFFFFFF
# A stream's size is written before it is known: the largest of 31 or of 32 bits (sox,
# arecord, ffmpeg), rounded down to whole frames or pages.
_STREAM_SIZES = (1 << 31, 0xFFFFFFFF)
_ROUNDED_BY = 1 << 16
_OGG_LAST_PAGE = 0x04  # header type flag, RFC 3533 section 6
_OGG_TAIL = 1 << 17  # two pages of the largest size, 65,307 bytes
_MP3_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef].", re.DOTALL)
_MP3_SEARCH = 1 << 12  # some writers pad their tags with zeros
_ENDLESS = 1 << 24  # frames: five days


def is_wav(start: bytes) -> bool:
    """Whether a file's first 12 bytes are those of WAV, in any of its four variants."""
    return start[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and start[8:12] == b"WAVE"


class _WavSamples(NamedTuple):
    """Where the samples of a WAV file are, by its header and by its length."""

    start: int
    num_declared: int
    num_present: int
    is_whole: bool  # the outer size is that of the file
    is_wide: bool  # sizes of 64 bits

    @property
    def is_open(self) -> bool:
        """Whether the number of samples was unknown when the header was written."""
        if self.is_whole or self.is_wide:
            return False
        return any(
            size - _ROUNDED_BY < self.num_declared <= size for size in _STREAM_SIZES
        )


def cut_wav(file: BinaryIO) -> str:
    """Say what a WAV file lacks at its end.

    Args:
        file: binary file, open for reading.

    Returns:
        What was seen, as half a sentence; `""` if all declared samples are there, if
        the header leaves their number open, or if it has no `data` chunk.
    """
    samples = _find_wav_samples(file)
    if samples is None or samples.is_open:
        return ""
    if samples.num_present >= samples.num_declared:
        return ""
    return (
        f"it declares {samples.num_declared} bytes of samples, {samples.num_present}"
        " are there"
    )


def closed_wav(file: BinaryIO) -> SplicedFile | None:
    """Put the true sizes into the header of a WAV file that does not state them.

    A header that its recorder never closed says that there are no samples, and
    libsndfile would find none. A stream's, or one whose sizes of 32 bits ran over, says
    less than there is, and libsndfile would stop there.

    Args:
        file: binary file, open for reading; it must stay so.

    Returns:
        The content behind a true header, or None if the header is in order as it is.
    """
    samples = _find_wav_samples(file)
    if samples is None or samples.num_present <= samples.num_declared:
        return None
    is_unclosed = samples.num_declared == 0 and not samples.is_whole
    has_run_over = samples.num_present > _UNKNOWN_SIZE and not samples.is_wide
    if not (is_unclosed or has_run_over or samples.is_open):
        return None
    file.seek(0)
    head = _true_header(file.read(samples.start), samples.num_present)
    return SplicedFile(head, file, start=samples.start)


def _true_header(head: bytes, num_bytes: int) -> bytes:
    """Set the sizes in the header of a WAV file.

    Args:
        head: bytes. All that stands before the samples.
        num_bytes: int. How many bytes of samples follow.
    """
    is_riff = head[:4] in (b"RIFF", b"RIFX")
    outer_size = len(head) - 8 + num_bytes
    if is_riff and outer_size <= _UNKNOWN_SIZE:
        order = ">" if head[:4] == b"RIFX" else "<"
        sizes = (
            struct.pack(order + "I", outer_size),
            struct.pack(order + "I", num_bytes),
        )
        return head[:4] + sizes[0] + head[8:-4] + sizes[1]
    other = head[12:-8]  # the chunks between
    if other[:4] == b"ds64":
        (size,) = struct.unpack("<I", other[4:8])
        other = other[8 + size + size % 2 :]
    # Sizes of 64 bits (EBU Tech 3306): of the file, of its samples, their number (0:
    # see their size), of no other chunks. The places of 32 bits point to them.
    unknown = struct.pack("<I", _UNKNOWN_SIZE)
    sizes = struct.pack("<IQQQI", 28, len(other) + num_bytes + 48, num_bytes, 0, 0)
    return b"RF64" + unknown + b"WAVEds64" + sizes + other + b"data" + unknown


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


def open_mp3(file: BinaryIO) -> SplicedFile | None:
    """Give a length to an MP3 file that declares none, or less than it holds.

    Without one libsndfile guesses it from the first frame's bit rate, and stops there:
    of a file of variable rate a part can be lost. A header frame in front that declares
    more than any file holds lets it read to the end.

    Args:
        file: binary file, open for reading; it must stay so.

    Returns:
        The content behind such a header frame, or None if the file declares a length
        (Xing, Info or VBRI header) that its size does not belie, or no frame is found.
    """
    at = _skip_id3(file)
    file.seek(at)
    found = _MP3_FRAME.search(file.read(_MP3_SEARCH))
    if found is None:
        return None
    at += found.start()
    file.seek(at)
    frame = file.read(64)
    is_mpeg1 = frame[1] & 0x08 > 0
    is_one_channel = frame[3] >> 6 == 3
    side_size = (
        (17 if is_one_channel else 32) if is_mpeg1 else 9 + 8 * (1 - is_one_channel)
    )
    tag = frame[4 + side_size :][:16].ljust(16, b"\0")
    if frame[36:40] == b"VBRI":
        return None
    flags, num_frames, num_bytes = struct.unpack(">III", tag[4:])
    if tag[:4] not in (b"Xing", b"Info") or not flags & 1:
        return SplicedFile(_endless_frame(frame[:4], side_size), file, start=at)
    has_size = flags & 2 > 0
    if num_frames and not (has_size and mp3_goes_on(file, at + num_bytes)):
        return None
    # The same frame, which also tells how much of the encoder's delay to drop.
    head = frame[: 4 + side_size] + tag[:8] + struct.pack(">I", _ENDLESS)
    return SplicedFile(head, file, start=at + len(head))


def mp3_goes_on(file: BinaryIO, end: int) -> bool:
    """Whether frames of MP3 follow where a file should end: it was joined or added to.

    Some encoders do not count the header's own frame, and tags may follow: 4 KiB are
    let pass.

    Args:
        file: binary file, open for reading.
        end: int. Where it should end, or where decoding came to its end.
    """
    if _size(file) - end <= _MP3_SEARCH:
        return False
    file.seek(end)
    return _MP3_FRAME.search(file.read(_MP3_SEARCH)) is not None


def _endless_frame(header: bytes, side_size: int) -> bytes:
    """Make a Xing header frame of the same kind that declares no end."""
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
    tag = b"Xing" + struct.pack(">II", 1, _ENDLESS)
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


def _find_wav_samples(file: BinaryIO) -> _WavSamples | None:
    """Find the samples of a WAV file by walking its chunks; None without any."""
    num_bytes = _size(file)
    file.seek(0)
    head = file.read(12)
    order = ">" if head[:4] == b"RIFX" else "<"
    outer_size = struct.unpack(order + "I", head[4:8])[0]
    at, wide_size = 12, None
    while True:
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8:
            return None
        (size,) = struct.unpack(order + "I", chunk[4:])
        if chunk[:4] == b"ds64" and len(sizes := file.read(16)) == 16:
            outer_size, wide_size = struct.unpack("<QQ", sizes)
        if chunk[:4] == b"data":
            break
        at += 8 + size + size % 2  # chunks start at even places
    start = at + 8
    is_wide = wide_size is not None
    num_declared = wide_size if is_wide and size == _UNKNOWN_SIZE else size
    if num_declared:
        is_whole = abs(8 + outer_size - num_bytes) <= 1  # a last pad byte may lack
    else:
        # With an honest outer size what follows an empty chunk is another chunk.
        is_whole = start < 8 + outer_size <= num_bytes
    return _WavSamples(start, num_declared, num_bytes - start, is_whole, is_wide)
