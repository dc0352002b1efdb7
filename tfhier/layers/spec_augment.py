"""SpecAugment: random stripes of frames and mel bands set to zero in training."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class SpecAugment(keras.layers.Layer):
    """Masks random stripes along time and frequency, each clip its own; identity at
    inference.

    As in PANNs: every clip gets exactly `num_time_stripes` and `num_mel_stripes`
    stripes, a stripe's width is uniform in 0 .. width - 1, its start in 0 .. length -
    width - 1 (so the very last frame is never masked, as in the published code). Masked
    values become 0, so the layer belongs behind a normalisation (PANNs' `bn0`), where 0
    is the mean.

    Args:
        time_width: int >= 1. Widths of time stripes stay below it, in frames.
        num_time_stripes: int >= 0.
        mel_width: int >= 1. Widths of mel stripes stay below it, in bands.
        num_mel_stripes: int >= 0.
        seed: int or None. Seed of the layer's own random generator.

    Input shape:
        (batch, frames, mels)

    Output shape:
        The same.

    Reference:
        Park et al., Interspeech 2019. Widths 64 and 8, two stripes each: PANNs'
        published settings, the natural reading of Zhong et al. 2023 (Sec. 4.2), which
        gives none.
    """

    def __init__(
        self,
        time_width: int = 64,
        num_time_stripes: int = 2,
        mel_width: int = 8,
        num_mel_stripes: int = 2,
        seed: int | None = None,
        **kwargs,
    ):
        if min(time_width, mel_width) < 1 or min(num_time_stripes, num_mel_stripes) < 0:
            raise ValueError(
                "SpecAugment needs widths >= 1 and numbers of stripes >= 0. Received: "
                f"time_width={time_width}, num_time_stripes={num_time_stripes}, "
                f"mel_width={mel_width}, num_mel_stripes={num_mel_stripes}"
            )
        super().__init__(**kwargs)
        self.time_width = time_width
        self.num_time_stripes = num_time_stripes
        self.mel_width = mel_width
        self.num_mel_stripes = num_mel_stripes
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs, training=False):
        if not training:
            return inputs
        shape = ops.shape(inputs)
        keep_frames = self._keep(
            shape[0], shape[1], self.time_width, self.num_time_stripes
        )
        keep_mels = self._keep(shape[0], shape[2], self.mel_width, self.num_mel_stripes)
        keep = ops.logical_and(keep_frames[:, :, None], keep_mels[:, None, :])
        return ops.where(keep, inputs, ops.zeros_like(inputs))

    def _keep(self, batch, length, width, num_stripes):
        """Return a boolean mask (batch, length) that is False inside the stripes."""
        positions = ops.arange(length, dtype="int32")[None, None, :]
        # Two draws a stripe: its width and its start.
        draws = keras.random.uniform(
            (batch, 2, num_stripes, 1), seed=self.seed_generator
        )
        longest = ops.cast(ops.minimum(width, length), draws.dtype)
        widths = ops.floor(draws[:, 0] * longest)
        starts = ops.floor(draws[:, 1] * (ops.cast(length, draws.dtype) - widths))
        widths, starts = ops.cast(widths, "int32"), ops.cast(starts, "int32")
        inside = ops.logical_and(positions >= starts, positions < starts + widths)
        return ops.logical_not(ops.any(inside, axis=1))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "time_width": self.time_width,
            "num_time_stripes": self.num_time_stripes,
            "mel_width": self.mel_width,
            "num_mel_stripes": self.num_mel_stripes,
            "seed": self.seed,
        }
