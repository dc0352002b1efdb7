"""What the header of a WAV file says, read inside a TensorFlow graph.

Positions and sizes are in bytes, as int64: a size in a header takes 32 bits without a
sign. No slice is taken beyond the end of the file, whatever the header claims.
"""

from typing import NamedTuple

import tensorflow as tf

from tfhier.graph_audio import refusals

LOWEST_RATE = 1_000  # Hz
HIGHEST_RATE = 400_000

PCM, FLOAT = 1, 3
_EXTENSIBLE = 0xFFFE  # the encoding is the start of a GUID
_ENCODINGS = {
    PCM: "PCM",
    2: "ADPCM",
    FLOAT: "floating-point",
    6: "A-law",
    7: "mu-law",
    17: "IMA ADPCM",
    49: "GSM 6.10",
    80: "MPEG",
    85: "MP3",
}
_FORMAT_SIZE = 16
_EXTENDED_FORMAT_SIZE = 40
# From here on a size was written before the length was known; see `tfhier.containers`.
_STREAM_SIZE = 0x7FFFF000
# Real files have a handful; each takes a turn of a slow loop.
_MOST_CHUNKS = 1_000
_AGAIN = " Send the whole file, or export it again."


class Header(NamedTuple):
    """Where the samples of a WAV file lie and what they are: int64 scalars."""

    encoding: tf.Tensor  # PCM or FLOAT
    sample_size: tf.Tensor  # of one channel
    num_channels: tf.Tensor
    sample_rate: tf.Tensor  # Hz
    samples_at: tf.Tensor
    num_frames: tf.Tensor  # samples of all channels at one time


class _Chunks(NamedTuple):
    """Where the contents of the two chunks that matter start; -1 while not found."""

    format_at: tf.Tensor
    format_size: tf.Tensor
    samples_at: tf.Tensor
    samples_size: tf.Tensor


def read(content: tf.Tensor) -> Header:
    """Read the header of a WAV file and check that its samples are there.

    Args:
        content: scalar string tensor. The file's bytes.

    Returns:
        The header, of at least one channel and one frame.

    Raises:
        tf.errors.InvalidArgumentError: When it runs; see `wav.decode`.
    """
    content = _checked_container(content)
    chunks = _checked_chunks(content)
    encoding, sample_size, num_channels, sample_rate = _read_format(content, chunks)
    num_bytes = _num_sample_bytes(content, chunks)
    num_frames = num_bytes // (sample_size * num_channels)
    num_frames = refusals.passed(
        num_frames,
        num_frames > 0,
        "The clip has a WAV header but no samples." + _AGAIN,
    )
    return Header(
        encoding, sample_size, num_channels, sample_rate, chunks.samples_at, num_frames
    )


def checked_rate(rate: tf.Tensor) -> tf.Tensor:
    """Return a sample rate in Hz, an int64 scalar, if it is within the limits."""
    return refusals.passed(
        rate,
        (rate >= LOWEST_RATE) & (rate <= HIGHEST_RATE),
        "The clip has a sample rate of ",
        rate,
        f" Hz; expected {LOWEST_RATE} to {HIGHEST_RATE} Hz. Check its header, or"
        " resample it before sending.",
    )


def _checked_container(content: tf.Tensor) -> tf.Tensor:
    """Return the bytes of what starts like a WAV file."""
    content = refusals.passed(
        content,
        tf.strings.length(content) > 0,
        "The clip is empty (0 bytes). Send the bytes of a WAV file.",
    )
    kind = _bytes(content, 0, 4)
    is_wave = _bytes(content, 8, 4) == "WAVE"
    is_other_kind = tf.reduce_any(kind == tf.constant(["RIFX", "RF64", "BW64"]))
    content = refusals.passed(
        content,
        ~(is_wave & is_other_kind),
        "The clip is a WAV file of the kind ",
        kind,
        ", of which only RIFF is read here. Convert it to plain WAV before sending.",
    )
    return refusals.passed(
        content,
        is_wave & (kind == "RIFF"),
        "The clip is not a WAV file (RIFF/WAVE). FLAC, MP3, Ogg and other files have to"
        " be decoded by the client; send WAV.",
    )


def _checked_chunks(content: tf.Tensor) -> _Chunks:
    """Find both chunks that a file needs."""
    chunks, num_passed = _find_chunks(content)
    chunks = refusals.passed(
        chunks,
        (chunks.samples_at >= 0) | (num_passed < _MOST_CHUNKS),
        f"The clip has {_MOST_CHUNKS} chunks before its samples. Export it again"
        " without them.",
    )
    chunks = refusals.passed(
        chunks,
        chunks.samples_at >= 0,
        "The clip has no data chunk, that is no samples: it is cut short or damaged."
        + _AGAIN,
    )
    return refusals.passed(
        chunks,
        chunks.format_size >= _FORMAT_SIZE,
        "The clip has no whole fmt chunk before its samples, so that their encoding is"
        " unknown: it is damaged." + _AGAIN,
    )


def _find_chunks(content: tf.Tensor) -> tuple[_Chunks, tf.Tensor]:
    """Walk the chunks up to the samples; return them and how many were passed."""
    num_bytes = _length(content)

    def is_going_on(at, num_passed, chunks):
        is_found = chunks.samples_at >= 0
        return (at + 8 <= num_bytes) & ~is_found & (num_passed < _MOST_CHUNKS)

    def step(at, num_passed, chunks):
        name = _bytes(content, at, 4)
        size = _unsigned(content, at + 4)
        is_format, is_samples = name == "fmt ", name == "data"
        chunks = _Chunks(
            tf.where(is_format, at + 8, chunks.format_at),
            tf.where(is_format, size, chunks.format_size),
            tf.where(is_samples, at + 8, chunks.samples_at),
            tf.where(is_samples, size, chunks.samples_size),
        )
        # Chunks start at even places.
        return at + 8 + size + size % 2, num_passed + 1, chunks

    none = tf.constant(-1, tf.int64)
    start = (tf.constant(12, tf.int64), tf.constant(0), _Chunks(none, none, none, none))
    _, num_passed, chunks = tf.while_loop(is_going_on, step, start)
    return chunks, num_passed


def _read_format(content: tf.Tensor, chunks: _Chunks) -> tuple[tf.Tensor, ...]:
    """Return encoding, sample size, number of channels and rate, checked one by one."""
    size = tf.minimum(chunks.format_size, _EXTENDED_FORMAT_SIZE)
    words = _words(_bytes(content, chunks.format_at, size), _EXTENDED_FORMAT_SIZE // 2)
    num_channels, frame_size, num_bits = words[1], words[6], words[7]
    sample_rate = words[2] + 65_536 * words[3]
    is_extended = (words[0] == _EXTENSIBLE) & (size == _EXTENDED_FORMAT_SIZE)
    encoding = tf.where(is_extended, words[12] + 65_536 * words[13], words[0])
    sample_size = (num_bits + 7) // 8
    is_pcm = (encoding == PCM) & (sample_size >= 1) & (sample_size <= 4)
    is_float = (encoding == FLOAT) & ((num_bits == 32) | (num_bits == 64))
    encoding = refusals.passed(
        encoding,
        is_pcm | is_float,
        "The clip holds ",
        _encoding_name(encoding),
        " samples of ",
        num_bits,
        " bits (format tag ",
        encoding,
        "); expected PCM of 8, 16, 24 or 32 bits or floating-point numbers of 32 or 64."
        " Convert it before sending.",
    )
    encoding, num_channels = refusals.passed(
        (encoding, num_channels),
        (num_channels > 0) & (frame_size == num_channels * sample_size),
        "The clip has a damaged fmt chunk: ",
        num_channels,
        " channels of ",
        num_bits,
        " bits do not make frames of ",
        frame_size,
        " bytes." + _AGAIN,
    )
    return encoding, sample_size, num_channels, checked_rate(sample_rate)


def _encoding_name(encoding: tf.Tensor) -> tf.Tensor:
    known = tf.constant([*_ENCODINGS], tf.int64) == encoding
    # The first of the true ones: of none known, what is put behind them all.
    index = tf.argmax(tf.cast(tf.concat([known, [True]], axis=0), tf.int32))
    return tf.gather([*_ENCODINGS.values(), "unknown"], index)


def _num_sample_bytes(content: tf.Tensor, chunks: _Chunks) -> tf.Tensor:
    """Return how many bytes of samples are there, if no fewer than are declared."""
    num_bytes = _length(content)
    num_declared = chunks.samples_size
    num_present = num_bytes - chunks.samples_at
    end = 8 + _unsigned(content, 4)
    # With an honest outer size what follows an empty `data` chunk is another chunk.
    is_outer_size_true = (chunks.samples_at < end) & (end <= num_bytes)
    is_unclosed = (num_declared == 0) & ~is_outer_size_true
    is_stream = num_declared >= _STREAM_SIZE  # more than a string tensor holds
    num_declared = tf.where(is_unclosed | is_stream, num_present, num_declared)
    return refusals.passed(
        num_declared,
        num_declared <= num_present,
        "The clip is cut short: it declares ",
        num_declared,
        " bytes of samples, ",
        num_present,
        " are there." + _AGAIN,
    )


def _length(content: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(content), tf.int64)


def _bytes(content: tf.Tensor, at: tf.Tensor | int, size: tf.Tensor | int) -> tf.Tensor:
    """Return a part of a string, as much of it as there is."""
    at = tf.minimum(tf.cast(at, tf.int64), _length(content))
    return tf.strings.substr(content, at, tf.cast(size, tf.int64))


def _unsigned(content: tf.Tensor, at: tf.Tensor | int) -> tf.Tensor:
    """Return a number of 32 bits without a sign, which `decode_raw` has no type for."""
    low, high = tf.unstack(_words(_bytes(content, at, 4), 2))
    return low + 65_536 * high


def _words(raw: tf.Tensor, num_words: int) -> tf.Tensor:
    """Return numbers of 16 bits without a sign; zeros where the string ends before."""
    words = tf.io.decode_raw(raw, tf.uint16, fixed_length=2 * num_words)
    return tf.cast(words, tf.int64)
