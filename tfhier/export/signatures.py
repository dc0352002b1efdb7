"""What a SavedModel of a tagger is asked by: its signatures, in TensorFlow alone.

    serving_default   waveform (batch, samples)   -> {level: (batch, labels)}
    wav_bytes         wav, strings (batch,)       -> {level: (batch, labels)}
    embedding         waveform                    -> embedding (batch, units)
    frames            waveform                    -> {level: (batch, frames, labels)}
    attention         waveform                    -> {LEVEL_attention: (batch, ...)}
    contract          request, strings (batch,)   -> contract, strings (batch,)

`frames` only where the embedding has a time axis, `attention` only of the head
`resatt`. Waveforms are float32 in [-1, 1] at the contract's sample rate; `wav` is
the content of WAV files of any common rate. What cannot be answered is refused inside
the graph, so that TF Serving refuses it too: with status 400, or INVALID_ARGUMENT.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from tfhier import audio, tagger
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.graph_audio import refusals, wav

# Longer sound has to be cut by the client; memory grows with its length.
MAX_SECONDS = 600.0

Answers = dict[str, tf.Tensor]


class ServedTagger(tf.Module):
    """A tagger with the signatures that it is served by.

    Its variables are tracked once: `keras.Model.export` of Keras 3.15 writes all of
    them twice.

    Args:
        model: End-to-end tagger of waveforms.
        promised: Contract.
    """

    def __init__(self, model: keras.Model, promised: Contract):
        super().__init__()
        self._promised = promised
        parts = {"serving_default": model, "embedding": _embedding(model)}
        if (frames := _frames(model)) is not None:
            parts["frames"] = frames
        if (maps := _attention(model, promised)) is not None:
            parts["attention"] = maps
        # Together they have more than the model: maps come from twins of layers.
        found = {
            id(variable.value): variable.value
            for part in parts.values()
            for variable in part.variables
        }
        self._values = list(found.values())
        waveform = tf.TensorSpec((None, None), tf.float32, name="waveform")
        functions = {
            name: tf.function(self._answering(part), input_signature=[waveform])
            for name, part in parts.items()
        }
        functions["wav_bytes"] = tf.function(
            self._wav_bytes(model),
            input_signature=[tf.TensorSpec((None,), tf.string, name="wav")],
        )
        functions["contract"] = tf.function(
            self._contract,
            input_signature=[tf.TensorSpec((None,), tf.string, name="request")],
        )
        self.by_name = {
            name: function.get_concrete_function()
            for name, function in functions.items()
        }

    def _answering(self, part: Callable) -> Callable:
        """Return a part of the model behind the checks, and window by window."""
        # What comes out over time keeps to the clip as a whole.
        is_windowed = self._promised.window_seconds and not isinstance(part, _Frames)

        def answer(waveform):
            # Windows are filled up, so that they take the shortest sound.
            least = 1 if is_windowed else self._promised.min_samples
            waveform = _checked(waveform, least, self._promised.sample_rate)
            if not is_windowed:
                return part(waveform, training=False)
            return self._mean_over_windows(part, waveform)

        return answer

    def _wav_bytes(self, model: keras.Model) -> Callable:
        answer = self._answering(model)
        levels = self._promised.taxonomy.sizes

        def answer_wav(wav):  # the argument's name is that of the input
            return tf.map_fn(
                lambda content: {
                    level: scores[0]
                    for level, scores in answer(self._decoded(content)[None]).items()
                },
                wav,
                fn_output_signature={
                    level: tf.TensorSpec((size,), tf.float32)
                    for level, size in levels.items()
                },
                # Otherwise ten clips are decoded at once, long ones too.
                parallel_iterations=1,
            )

        return answer_wav

    def _decoded(self, content):
        return wav.read(
            content, target_rate=self._promised.sample_rate, max_seconds=MAX_SECONDS
        )

    def _contract(self, request):
        text = tf.constant(self._promised.to_json())
        return {"contract": tf.fill(tf.shape(request), text)}

    def _mean_over_windows(self, part: Callable, waveform) -> Answers:
        """Return means over windows that cover the clip, the last filled with zeros."""
        rate = self._promised.sample_rate
        length = round(self._promised.window_seconds * rate)
        hop = round(self._promised.hop_seconds * rate)
        samples = tf.shape(waveform)[1]
        hops = tf.maximum(0, -(-(samples - length) // hop))
        waveform = tf.pad(waveform, [[0, 0], [0, length + hops * hop - samples]])
        windows = tf.signal.frame(waveform, length, hop)  # (batch, windows, length)
        # One after the other: all at once a long clip would not fit into memory.
        found = tf.map_fn(
            lambda window: part(window, training=False),
            tf.transpose(windows, (1, 0, 2)),
            fn_output_signature={
                name: tf.TensorSpec((None, *tensor.shape[1:]), tf.float32)
                for name, tensor in part.output.items()
            },
            parallel_iterations=1,
        )
        return {name: tf.reduce_mean(each, axis=0) for name, each in found.items()}


def _checked(waveform, least: int, sample_rate: int):
    """Return waveforms that can be answered; the graph refuses all others."""
    clips, samples = tf.unstack(tf.shape(waveform))
    waveform = refusals.passed(
        waveform, clips > 0, "There is no clip: the batch is empty."
    )
    most = int(MAX_SECONDS * sample_rate)
    waveform = refusals.passed(
        waveform,
        samples <= most,
        "The waveform has ",
        samples,
        f" samples, and {most} are the most that are heard at once. Send it in parts.",
    )
    waveform = refusals.passed(
        waveform,
        samples >= least,
        "The waveform has ",
        samples,
        f" samples. The model needs {least} or more at {sample_rate} Hz.",
    )
    waveform = refusals.passed(
        waveform,
        tf.reduce_all(tf.math.is_finite(waveform)),
        "The waveform holds NaN or infinite samples.",
    )
    loudest = tf.reduce_max(tf.abs(waveform))
    return refusals.passed(
        waveform,
        loudest <= audio.LOUDEST,
        "The waveform has samples up to ",
        loudest,
        ", where sound lies in [-1, 1]. Scale it: 16-bit samples are divided by 32768.",
    )


def _embedding(model: keras.Model) -> keras.Model:
    """Return a tagger up to its embedding: {"embedding": (batch, units)}."""
    body = tagger.body_of(model)
    embedding = body.get_layer(tagger.EMBEDDING).output
    if len(embedding.shape) == 3:
        embedding = keras.layers.GlobalAveragePooling1D()(embedding)
    part = keras.Model(body.input, {"embedding": embedding})
    return tagger.end_to_end(tagger.frontend_of(model), part)


class _Frames:
    """A tagger whose head answers to every frame of its embedding by itself."""

    def __init__(self, model: keras.Model):
        body = tagger.body_of(model)
        self._backbone = tagger.end_to_end(
            tagger.frontend_of(model), tagger.backbone_of(body)
        )
        self._head = tagger.head_of(model)
        self.variables = model.variables

    def __call__(self, waveform, *, training: bool) -> Answers:
        embedding = self._backbone(waveform, training=training)
        batch, frames, _ = tf.unstack(tf.shape(embedding))
        rows = tf.reshape(embedding, (batch * frames, 1, embedding.shape[-1]))
        return {
            level: tf.reshape(scores, (batch, frames, scores.shape[-1]))
            for level, scores in self._head(rows, training=training).items()
        }


def _frames(model: keras.Model) -> _Frames | None:
    """Return a tagger that answers over time, None where there is no time axis."""
    embedding = tagger.body_of(model).get_layer(tagger.EMBEDDING).output
    return _Frames(model) if len(embedding.shape) == 3 else None


def _attention(model: keras.Model, promised: Contract) -> keras.Model | None:
    """Return a model of ResAtt's attention maps, None for other heads."""
    try:
        wide = tagger.attention_maps(model)
    except InputError:
        return None
    levels = promised.taxonomy.levels
    maps = {name: each for name, each in wide.output.items() if name not in levels}
    return keras.Model(wide.input, maps)
