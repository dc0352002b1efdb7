"""Small SavedModels with signatures like those that are exported, for tests."""

import functools
import os
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

RATE = 16_000


class Tagger(tf.Module):
    """Two levels of scores out of the mean, the peak and the energy of a clip."""

    def __init__(self, gain: float):
        super().__init__()
        rng = np.random.default_rng(7)
        self.fine = tf.Variable(gain * rng.normal(size=(3, 5)), dtype=tf.float32)
        self.coarse = tf.Variable(gain * rng.normal(size=(3, 2)), dtype=tf.float32)

    def scores(self, waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.stack(
            [
                tf.reduce_mean(waveform, axis=1),
                tf.reduce_max(waveform, axis=1),
                tf.reduce_mean(waveform**2, axis=1),
            ],
            axis=1,
        )  # (batch, 3)
        # Summed by hand: a row's result must not depend on the rows beside it.
        return {
            "fine": tf.reduce_sum(features[:, :, None] * self.fine, axis=1),
            "coarse": tf.reduce_sum(features[:, :, None] * self.coarse, axis=1),
        }

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.float32)])
    def tag(self, waveform):
        enough = tf.debugging.Assert(
            tf.shape(waveform)[1] >= 4,
            ["A clip has 4 samples or more. Received:", tf.shape(waveform)[1]],
        )
        refused = tf.debugging.Assert(
            tf.reduce_all(waveform[:, :1] != 99), ["The first sample is 99."]
        )
        with tf.control_dependencies([enough, refused]):
            return self.scores(tf.identity(waveform))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def tag_wav(self, wav):
        def one(content):
            waveform, rate = tf.audio.decode_wav(content, desired_channels=1)
            right = tf.debugging.Assert(
                rate == RATE, ["The rate is not 16000 Hz:", rate]
            )
            with tf.control_dependencies([right]):
                return self.scores(tf.transpose(waveform))

        types = {"fine": tf.float32, "coarse": tf.float32}
        found = tf.map_fn(one, wav, fn_output_signature=types)
        return {name: scores[:, 0] for name, scores in found.items()}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def describe(self, anything):
        return {"contract": tf.strings.join(["{}: ", anything])}

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.int32, name="count"),
            tf.TensorSpec((None, 2), tf.float64, name="pair"),
            tf.TensorSpec((None,), tf.bool, name="is_on"),
        ]
    )
    def mix(self, count, pair, is_on):
        return {
            "count": tf.cast(count, tf.int64) + 1,
            "pair": -pair,
            "is_on": ~is_on,
            "raw_bytes": tf.strings.as_string(count),
            "total": tf.reduce_sum(count),
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32)])
    def wait(self, seconds):
        end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), tf.float64)
        turns = tf.constant(0, tf.int64)
        while tf.timestamp() < end:
            turns += 1
        return {"waited": seconds + 0 * tf.cast(turns, tf.float32)}


def save(base: Path, version: int, *, gain: float = 1.0) -> Path:
    """Export a model as a version that appears whole."""
    tagger = Tagger(gain)
    hidden = base / f".{version}.part"
    tf.saved_model.save(
        tagger,
        str(hidden),
        signatures={
            "serving_default": tagger.tag,
            "wav_bytes": tagger.tag_wav,
            "contract": tagger.describe,
            "mix": tagger.mix,
            "wait": tagger.wait,
        },
    )
    os.replace(hidden, base / str(version))
    return base / str(version)


@functools.cache
def _loaded(folder: Path) -> object:
    return tf.saved_model.load(str(folder))


def copy(folder: Path, base: Path, version: int) -> Path:
    """Copy a version to another base, where it appears whole; quicker than `save`."""
    hidden = base / f".{version}.part"
    shutil.copytree(folder, hidden)
    os.replace(hidden, base / str(version))
    return base / str(version)


def direct(folder: Path, signature: str, **inputs) -> dict[str, np.ndarray]:
    """Compute a signature without a server."""
    found = _loaded(folder).signatures[signature](
        **{name: tf.constant(value) for name, value in inputs.items()}
    )
    return {name: tensor.numpy() for name, tensor in found.items()}


def wav_bytes(seconds: float = 0.1, *, rate: int = RATE, seed: int = 0) -> bytes:
    """Return a WAV file of noise."""
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), 1))
    return tf.audio.encode_wav(tf.constant(noise, tf.float32), rate).numpy()
