"""SpecAugment: random stripes of frames and mel bands set to zero in training."""

from typing import Literal

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class SpecAugment(keras.layers.Layer):
    """Masks random stripes along time and frequency; identity at inference.

    A stripe's width is uniform in 0 .. width - 1, its start in 0 .. length - width - 1
    (so the very last frame is never masked, as in PANNs' published code). By default
    every clip gets exactly two stripes of its own on each axis, as in PANNs; with
    `num_stripes=(0, 2), per="batch"` it is Pellegrini's: zero, one or two, the same for
    all clips of a batch. Masked values become 0, so the layer belongs behind a
    normalisation (PANNs' `bn0`), where 0 is the mean.

    Args:
        time_width: int >= 1. Widths of time stripes stay below it, in frames.
        mel_width: int >= 1. Widths of mel stripes stay below it, in bands.
        num_stripes: Pair of int, 0 <= fewest <= most. Stripes on each axis; where they
            differ, the number is drawn uniformly, for each axis anew.
        per: "clip" or "batch". What has stripes of its own.
        seed: int or None. Seed of the layer's own random generator.

    Input shape:
        (batch, frames, mels)

    Output shape:
        The same.

    Reference:
        Park et al., Interspeech 2019. Widths 64 and 8, two stripes each: PANNs'
        published settings, the natural reading of Zhong et al. 2023 (Sec. 4.2), which
        gives none. Pellegrini 2021, Sec. 3.3: widths 16 and 8.
    """

    def __init__(
        self,
        time_width: int = 64,
        mel_width: int = 8,
        num_stripes: tuple[int, int] = (2, 2),
        per: Literal["clip", "batch"] = "clip",
        seed: int | None = None,
        **kwargs,
    ):
        fewest, most = num_stripes
        if min(time_width, mel_width) < 1 or not 0 <= fewest <= most:
            raise ValueError(
                "SpecAugment needs widths >= 1 and 0 <= fewest <= most stripes. "
                f"Received: time_width={time_width}, mel_width={mel_width}, "
                f"num_stripes={num_stripes}"
            )
        if per not in ("clip", "batch"):
            raise ValueError(f"per is 'clip' or 'batch'. Received: per={per!r}")
        super().__init__(**kwargs)
        self.time_width = time_width
        self.mel_width = mel_width
        self.num_stripes = (fewest, most)
        self.per = per
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs, training=False):
        if not training:
            return inputs
        shape = ops.shape(inputs)
        batch = shape[0] if self.per == "clip" else 1
        keep_frames = self._keep(batch, shape[1], self.time_width)
        keep_mels = self._keep(batch, shape[2], self.mel_width)
        keep = ops.logical_and(keep_frames[:, :, None], keep_mels[:, None, :])
        return ops.where(keep, inputs, ops.zeros_like(inputs))

    def _keep(self, batch, length, width):
        """Return a boolean mask (batch, length) that is False inside the stripes."""
        fewest, most = self.num_stripes
        positions = ops.arange(length, dtype="int32")[None, None, :]
        # Two draws a stripe: its width and its start.
        draws = keras.random.uniform((batch, 2, most, 1), seed=self.seed_generator)
        longest = ops.cast(ops.minimum(width, length), draws.dtype)
        widths = ops.floor(draws[:, 0] * longest)
        starts = ops.floor(draws[:, 1] * (ops.cast(length, draws.dtype) - widths))
        widths, starts = ops.cast(widths, "int32"), ops.cast(starts, "int32")
        inside = ops.logical_and(positions >= starts, positions < starts + widths)
        if fewest < most:
            count = keras.random.randint(
                (batch, 1, 1), fewest, most + 1, seed=self.seed_generator
            )
            number = ops.arange(most, dtype="int32")[None, :, None]
            inside = ops.logical_and(inside, number < count)
        return ops.logical_not(ops.any(inside, axis=1))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "time_width": self.time_width,
            "mel_width": self.mel_width,
            "num_stripes": self.num_stripes,
            "per": self.per,
            "seed": self.seed,
        }
