"""Taggers as TFLite files of built-in operations, front end included.

The front end converts as it is trained: its fast Fourier transform is TFLite's own
`RFFT2D`, faster than a convolution with windowed sines and without its megabytes of
constants.
"""

import re
import tempfile

import keras
import tensorflow as tf

from tfhier import console, tagger
from tfhier.errors import InputError
from tfhier.export import tflite_file
from tfhier.layers import LogMel, MatmulConv2D


def convert(model: keras.Model, *, num_samples: int | None) -> bytes:
    """Return a tagger as the content of a `.tflite` file, float32, without metadata.

    Its only signature is `serving_default`: `waveform` (clips, samples) in, scores
    (clips, labels) out by level.

    Args:
        model: End-to-end tagger of waveforms.
        num_samples: int > 0. Fixed length of the one waveform that it then takes, so
            that every shape is known; None for any number of clips of any length.

    Raises:
        InputError: The network needs operations that TFLite has not built in.
    """
    portable = _portable(model)
    shape = (None, None) if num_samples is None else (1, num_samples)
    holder = tf.Module()
    holder.values = [variable.value for variable in portable.variables]
    function = tf.function(
        lambda waveform: portable(waveform, training=False),
        input_signature=[tf.TensorSpec(shape, tf.float32, name="waveform")],
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        console.without_native_messages(),
    ):
        tf.saved_model.save(
            holder,
            folder,
            signatures={"serving_default": function.get_concrete_function()},
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return converter.convert()
        except Exception as error:  # of a private class
            if not (needed := _not_built_in(str(error))):
                raise
            raise InputError(
                "The network needs operations that TFLite has not built in "
                f"({needed}). Write that layer with others."
            ) from None


def _not_built_in(said: str) -> str:
    """Return the operations that the converter lacks by what it says, "" for none."""
    # "Custom" are those that TensorFlow's own additions to TFLite lack too.
    return ", ".join(re.findall("(?:TF Select|Custom) ops: (.+)", said))


def _portable(model: keras.Model) -> keras.Model:
    """Return a tagger with plain convolutions, which TFLite has kernels for.

    Its front end goes by the name that quantisation knows it by.
    """

    def portable(layer):
        if isinstance(layer, MatmulConv2D):
            return keras.layers.Conv2D.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    body = tagger.body_of(model)
    twin = keras.models.clone_model(body, clone_function=portable, recursive=True)
    twin.set_weights(body.get_weights())
    config = tagger.frontend_of(model).get_config()
    frontend = LogMel.from_config({**config, "name": tflite_file.FRONT_END})
    return tagger.end_to_end(frontend, twin)
