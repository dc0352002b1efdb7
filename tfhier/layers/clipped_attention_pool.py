"""Attention pooling whose weights neither vanish nor take over."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class ClippedAttentionPool(keras.layers.Layer):
    """Pools classification scores by attention clipped to a range, over the whole map.

    The baseline "Atrous AP" of Deshmukh et al. (2020), after Ren et al. (2019): a
    sigmoid of one affine map of the channels, clipped to [0.1, 0.9] and divided by its
    sum over frames and mels, weighs the log-softmax over the classes of another; a
    sigmoid of the sum is the answer. As the log-softmax is below 0, no answer exceeds
    0.5: so it is in the published code, and thresholds are to be fitted.

    Args:
        num_classes: int >= 1.
        lowest, highest: float, 0 < lowest <= highest <= 1. Of the attention.

    Call arguments:
        inputs: (batch, frames, mels, channels).
        frame_mask: (batch, frames), true where a clip has sound; None for all.

    Output shape:
        (batch, num_classes), probabilities.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        lowest: float = 0.1,
        highest: float = 0.9,
        **kwargs,
    ):
        if not 0.0 < lowest <= highest <= 1.0:
            raise ValueError(
                "ClippedAttentionPool takes 0 < lowest <= highest <= 1. Received: "
                f"lowest={lowest}, highest={highest}"
            )
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.lowest = lowest
        self.highest = highest
        self.attention = keras.layers.Dense(num_classes, name="attention")
        self.classifier = keras.layers.Dense(num_classes, name="classifier")

    def build(self, input_shape):
        self.attention.build(input_shape)
        self.classifier.build(input_shape)

    def call(self, inputs, frame_mask=None):
        weights = ops.clip(
            ops.sigmoid(self.attention(inputs)), self.lowest, self.highest
        )
        if frame_mask is not None:
            weights *= ops.cast(frame_mask, weights.dtype)[:, :, None, None]
        weights /= ops.sum(weights, axis=(1, 2), keepdims=True)
        scores = ops.log_softmax(self.classifier(inputs), axis=-1)
        return ops.sigmoid(ops.sum(scores * weights, axis=(1, 2)))

    def compute_output_shape(self, inputs_shape, frame_mask_shape=None):
        return (inputs_shape[0], self.num_classes)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "lowest": self.lowest,
            "highest": self.highest,
        }
