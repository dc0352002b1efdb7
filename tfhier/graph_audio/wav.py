"""WAV files inside a TensorFlow graph: bytes in, waveform out.

A server of saved graphs has neither libsndfile nor soxr. What is below does with
TensorFlow's own operations what `tfhier.audio.read` does with WAV files, so that a
client may send the file that a recorder wrote. (`tf.audio.decode_wav` knows samples of
16 bits only.)

The functions run inside a `tf.function` and outside. A file that cannot be used ends
the run with an `InvalidArgumentError`, which servers hand to the client as a fault of
its request. Where several clips run in one `tf.map_fn`, a bad one ends them all.
"""

import functools

import tensorflow as tf

from tfhier.errors import InputError
from tfhier.graph_audio import refusals, wav_header
from tfhier.graph_audio.resample import check_target_rate, resample


def decode(
    content: tf.Tensor, *, max_seconds: float | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode a WAV file as one mono waveform.

    Read are PCM of 8, 16, 24 and 32 bits and floating-point numbers of 32 and 64 bits,
    also as WAVE_FORMAT_EXTENSIBLE, of any number of channels, with any other chunks
    around the samples. Where the header leaves their number open (a stream, a recorder
    that was switched off) they are read to the end of the file. The result is that of
    `tfhier.audio.read`, which refuses silence, too.

    Args:
        content: scalar string tensor. The file's bytes.
        max_seconds: float > 0 or None. The longest clip that is accepted; judged by the
            header, before samples take memory. Defaults to None: any.

    Returns:
        (waveform, sample_rate): float32 tensor of shape (samples,), the mean of the
        channels, and its rate in Hz, an int32 scalar. Files of integers lie in
        [-1, 1]; those of floating-point numbers are as loud as they were stored.

    Raises:
        InputError: `max_seconds` is not above 0.
        tf.errors.InvalidArgumentError: When it runs: the file is empty, no WAV file of
            the kind RIFF (RIFX, RF64 and BW64 are others), without a fmt or data chunk
            among the first 1,000, of another encoding, of a rate outside 1,000 to
            400,000 Hz, cut short, without samples, too long, or holds NaN or infinite
            samples.
    """
    if max_seconds is not None and not max_seconds > 0:
        raise InputError(f"max_seconds must be above 0; got {max_seconds!r}.")
    with tf.device("/CPU:0"):  # where strings live
        content = tf.convert_to_tensor(content, tf.string)
        header = wav_header.read(content)
        if max_seconds is not None:
            header = _checked_duration(header, max_seconds)
        waveform = _read_samples(content, header)
        waveform = refusals.passed(
            waveform,
            tf.reduce_all(tf.math.is_finite(waveform)),
            "The clip holds NaN or infinite samples. Export it again from its source.",
        )
        return waveform, tf.cast(header.sample_rate, tf.int32)


def read(
    content: tf.Tensor, *, target_rate: int, max_seconds: float = 60.0
) -> tf.Tensor:
    """Decode a WAV file as one mono waveform of a given rate.

    A minute at 384 kHz takes about 300 MB while it is read, beside the file.

    Args:
        content: scalar string tensor. The file's bytes.
        target_rate: int in [1000, 400000]. The wanted rate in Hz.
        max_seconds: float > 0. The longest clip that is accepted. Defaults to 60.

    Returns:
        float32 tensor of shape (samples,), of at least one sample.

    Raises:
        InputError: `target_rate` or `max_seconds` cannot be used.
        tf.errors.InvalidArgumentError: When it runs: see `decode` and
            `tfhier.graph_audio.resample`; or nothing is left of a very short clip.
    """
    check_target_rate(target_rate)
    waveform, source_rate = decode(content, max_seconds=max_seconds)
    waveform = resample(waveform, source_rate, target_rate=target_rate)
    return refusals.passed(
        waveform,
        tf.size(waveform) > 0,
        f"The clip is too short for a single sample at {target_rate} Hz. Send a longer"
        " one.",
    )


def _checked_duration(
    header: wav_header.Header, max_seconds: float
) -> wav_header.Header:
    """Return the header of a clip that is not too long."""
    rate = tf.cast(header.sample_rate, tf.float64)
    seconds = tf.cast(header.num_frames, tf.float64) / rate
    return refusals.passed(
        header,
        seconds <= max_seconds,
        "The clip lasts ",
        seconds,
        f" s; at most {max_seconds:g} s are accepted. Cut it into shorter clips.",
    )


def _read_samples(content: tf.Tensor, header: wav_header.Header) -> tf.Tensor:
    """Return the mean of the channels: float32 of shape (samples,)."""
    num_samples = header.num_frames * header.num_channels
    raw = tf.strings.substr(
        content, header.samples_at, num_samples * header.sample_size
    )
    is_long = header.sample_size == 8
    kind = tf.where(
        header.encoding == wav_header.PCM,
        header.sample_size - 1,
        tf.where(is_long, tf.constant(5, tf.int64), 4),
    )
    decoders = (
        _of_8_bits, _of_16_bits, _of_24_bits, _of_32_bits, _of_floats, _of_doubles,
    )  # fmt: skip
    samples = tf.switch_case(
        tf.cast(kind, tf.int32),
        [functools.partial(decoder, raw) for decoder in decoders],
    )
    shape = [header.num_frames, header.num_channels]
    return tf.reduce_mean(tf.reshape(samples, shape), axis=1)


def _of_8_bits(raw: tf.Tensor) -> tf.Tensor:
    """Full scale of the only kind without a sign is 0 to 255."""
    return (tf.cast(tf.io.decode_raw(raw, tf.uint8), tf.float32) - 128) / 2.0**7


def _of_16_bits(raw: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_raw(raw, tf.int16), tf.float32) / 2.0**15


def _of_24_bits(raw: tf.Tensor) -> tf.Tensor:
    samples = tf.reshape(tf.io.decode_raw(raw, tf.uint8), [-1, 3])
    # A low byte of zeros makes 32 bits of them, 256 times as large.
    samples = tf.bitcast(tf.pad(samples, [[0, 0], [1, 0]]), tf.int32)
    return tf.cast(samples, tf.float32) / 2.0**31


def _of_32_bits(raw: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_raw(raw, tf.int32), tf.float32) / 2.0**31


def _of_floats(raw: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_raw(raw, tf.float32)


def _of_doubles(raw: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_raw(raw, tf.float64), tf.float32)
