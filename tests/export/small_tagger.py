"""A small tagger as TFLite's converter writes it, taken apart and put together."""

from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tfhier.export import metadata

FRAME = 16
SAMPLES = 640
LEVELS = {"fine": ("größe 音", " b, c ", "d\te"), "coarse": ("x", "y")}
FILES = {"contract.json": b'{"sample_rate": 16000}', "taxonomy.csv": b"fine,coarse\n"}
ABOUT = {
    "name": "Tägger",
    "description": "hears 音",
    "version": "2.1",
    "author": "A. Author",
    "licence": "CC BY 4.0",
    "sample_rate": 16_000,
}


def convert(
    shape: tuple[int | None, int | None], folder: Path, units: int = 256
) -> bytes:
    """A small tagger as TFLite's converter writes it: frames, two layers, a mean."""
    rng = np.random.default_rng(4)
    module = tf.Module()
    module.weights = [
        tf.Variable((rng.normal(size=size) / size[0] ** 0.5).astype(np.float32))
        for size in [(FRAME, units), (units, 3), (units, 2)]
    ]

    def call(waveform):
        hidden, fine, coarse = module.weights
        frames = tf.reshape(waveform, (tf.shape(waveform)[0], -1, FRAME))
        embedding = tf.reduce_mean(tf.nn.relu(frames @ hidden), axis=1)
        return {
            "fine": tf.sigmoid(embedding @ fine),
            "coarse": tf.sigmoid(embedding @ coarse),
        }

    waveform = tf.TensorSpec(shape, tf.float32, name="waveform")
    module.call = tf.function(call, input_signature=[waveform])
    tf.saved_model.save(module, folder, signatures={"serving_default": module.call})
    return tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()


def attach(model: bytes, **changes) -> bytes:
    """The tagger with metadata: those of this file, and what a test changes."""
    return metadata.attach(model, **(ABOUT | {"levels": LEVELS} | changes))


def sound(*shape: int) -> np.ndarray:
    """White noise, the same every time."""
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


def scores(model: bytes, waveforms: np.ndarray) -> dict[str, np.ndarray]:
    """The scores by the model's signature, which takes any length it can."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    return interpreter.get_signature_runner()(waveform=waveforms)


def parsed(content: bytes) -> schema.ModelT:
    return schema.ModelT.InitFromPackedBuf(content, 0)


def packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def changed_model(model: bytes, change: Callable[[schema.ModelT], object]) -> bytes:
    """A .tflite file with something about it changed."""
    content = parsed(model)
    change(content)
    return packed(content)
