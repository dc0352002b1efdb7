"""Two-step attention pooling: over frequency, then over time, a class at a time."""

from typing import Literal, get_args

import keras
from keras import ops

Squash = Literal["attention", "classification"]

# A masked frame's logit: finite, and its share of a softmax 0, in every float type.
_NEVER = -1e4


@keras.saving.register_keras_serializable(package="tfhier")
class TwoStepAttentionPool(keras.layers.Layer):
    """Pools a map of each class over mel bands, then over frames, to a probability.

    Deshmukh, Raj & Singh, "Multi-Task Learning for Interpretable Weakly Labelled Sound
    Event Detection" (2020), Sec. III-C. With x a row of a class's map, one value a mel
    band, the first step is v = sum_f(c_f a_f) with a = softmax_f(sigmoid(W_a x + b_a))
    and c = W_c x + b_c (Eq. 8-11); the second does the same with the v of all frames
    (Eq. 12-15). Weights are shared by all classes, and each step has its own.

    The paper's probabilities lie in (0, 1), which these equations alone do not give:
    a sigmoid of the last sum does, as we read it. The published code puts the sigmoid
    on the classification branch instead, leaves the attention linear before its
    softmax, and clips the last sum to [0, 1] (`squash="classification"`).

    Args:
        num_frames: int or None. Frames of the maps, for weights frames x frames as
            published; None for maps of any length, by a convolution over time.
        time_kernel: int, odd. Frames that this convolution sees; 1 weighs each frame
            by itself. Without effect where `num_frames` is given.
        squash: "attention" (the paper's form) or "classification" (the code's).
        return_maps: bool. Whether to return what was pooled, too.

    Call arguments:
        inputs: (batch, frames, mels, classes).
        frame_mask: (batch, frames), true where a clip has sound; None for all. Not
            with `num_frames`. Masked frames change nothing of a clip's answer.

    Output shape:
        (batch, classes), probabilities; with `return_maps` a dict of these as `clip`,
        `frames` (batch, frames, classes): what the first step gives, `frame_scores`
        (batch, frames, classes) and `time_attention` (batch, frames, classes): the
        second step's branches, and `mel_attention` (batch, frames, mels, classes).
    """

    def __init__(
        self,
        num_frames: int | None = None,
        *,
        time_kernel: int = 1,
        squash: Squash = "attention",
        return_maps: bool = False,
        **kwargs,
    ):
        if squash not in get_args(Squash):
            raise ValueError(
                f"TwoStepAttentionPool squashes one of {', '.join(get_args(Squash))}. "
                f"Received: squash={squash!r}"
            )
        if time_kernel < 1 or time_kernel % 2 == 0:
            raise ValueError(
                "TwoStepAttentionPool needs an odd time_kernel, so that a frame lies "
                f"in its middle. Received: time_kernel={time_kernel}"
            )
        super().__init__(**kwargs)
        self.num_frames = num_frames
        self.time_kernel = time_kernel
        self.squash = squash
        self.return_maps = return_maps

    def build(self, input_shape):
        if len(input_shape) != 4 or input_shape[2] is None:
            raise ValueError(
                "TwoStepAttentionPool takes maps (batch, frames, mels, classes) of a "
                f"known number of mels. Received: shape={tuple(input_shape)}"
            )
        if self.num_frames not in (None, input_shape[1]):
            raise ValueError(
                f"TwoStepAttentionPool was made for {self.num_frames} frames. "
                f"Received: shape={tuple(input_shape)}. Without num_frames it takes "
                "any number."
            )
        mels = input_shape[2]
        self._mel_attention = self._affine("mel_attention", (mels, mels))
        self._mel_scores = self._affine("mel_scores", (mels, mels))
        if self.num_frames is None:
            time_shape = (self.time_kernel, 1, 1)
        else:
            time_shape = (self.num_frames, self.num_frames)
        self._time_attention = self._affine("time_attention", time_shape)
        self._time_scores = self._affine("time_scores", time_shape)

    def _affine(self, name: str, shape: tuple[int, ...]):
        # Uniform in +-1 / sqrt(fan in), as in the published code; biases too.
        uniform = keras.initializers.RandomUniform(
            -(shape[0] ** -0.5), shape[0] ** -0.5
        )
        return (
            self.add_weight(
                shape=shape, initializer=uniform.clone(), name=f"{name}_kernel"
            ),
            self.add_weight(
                shape=shape[-1:], initializer=uniform.clone(), name=f"{name}_bias"
            ),
        )

    def call(self, inputs, frame_mask=None):
        if frame_mask is not None and self.num_frames is not None:
            raise ValueError(
                "TwoStepAttentionPool with num_frames takes whole maps: no frame_mask."
            )
        maps = ops.transpose(inputs, (0, 3, 1, 2))  # (batch, classes, frames, mels)
        frames, mel_attention, _ = self._step(
            _dense(maps, *self._mel_attention), _dense(maps, *self._mel_scores)
        )
        keep = None
        if frame_mask is not None:
            keep = ops.cast(frame_mask, frames.dtype)[:, None]  # (batch, 1, frames)
            frames = frames * keep
        clip, time_attention, scores = self._step(
            self._over_time(frames, *self._time_attention),
            self._over_time(frames, *self._time_scores),
            keep=keep,
        )
        if self.squash == "attention":
            clip = ops.sigmoid(clip)
        else:
            clip = ops.clip(clip, 0.0, 1.0)
        if not self.return_maps:
            return clip
        return {
            "clip": clip,
            "frames": ops.transpose(frames, (0, 2, 1)),
            "frame_scores": ops.transpose(scores, (0, 2, 1)),
            "time_attention": ops.transpose(time_attention, (0, 2, 1)),
            "mel_attention": ops.transpose(mel_attention, (0, 2, 3, 1)),
        }

    def _step(self, attention, scores, *, keep=None):
        """Return the weighted sum over the last axis, the weights and the scores."""
        if self.squash == "attention":
            attention = ops.sigmoid(attention)
        else:
            scores = ops.sigmoid(scores)
        if keep is not None:
            attention = ops.where(keep > 0, attention, _NEVER)
        weights = _softmax(attention)
        return ops.sum(scores * weights, axis=-1), weights, scores

    def _over_time(self, frames, kernel, bias):
        if self.num_frames is not None:
            return _dense(frames, kernel, bias)
        shape = ops.shape(frames)  # (batch, classes, frames)
        rows = ops.reshape(frames, (-1, shape[2], 1))
        found = ops.conv(rows, kernel, padding="same", data_format="channels_last")
        return ops.reshape(found, (-1, shape[1], shape[2])) + bias

    def compute_output_shape(self, inputs_shape, frame_mask_shape=None):
        batch, frames, mels, classes = inputs_shape
        if not self.return_maps:
            return (batch, classes)
        return {
            "clip": (batch, classes),
            "frames": (batch, frames, classes),
            "frame_scores": (batch, frames, classes),
            "time_attention": (batch, frames, classes),
            "mel_attention": (batch, frames, mels, classes),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "num_frames": self.num_frames,
            "time_kernel": self.time_kernel,
            "squash": self.squash,
            "return_maps": self.return_maps,
        }


def _dense(values, kernel, bias):
    return ops.matmul(values, kernel) + bias


def _softmax(logits):
    # Keras's own warns of maps with one frame, which are in order here.
    powers = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    return powers / ops.sum(powers, axis=-1, keepdims=True)
