"""Global weighted rank pooling: a mean that weighs the largest values most."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class GlobalWeightedRankPool(keras.layers.Layer):
    """Sorts each class's map and averages it with weights that decay by rank.

    With z_0 >= z_1 >= ... the values of a map, the answer is the mean of z_i weighted
    by decay^i (Kolesnikov & Lampert, ECCV 2016, Eq. 4). A decay of 0 is the maximum
    (GMP), 1 the mean (GAP).

    Args:
        decay: float in [0, 1]. The default is of the code of Deshmukh et al. (2020),
            for 311 x 64 values.

    Call arguments:
        inputs: (batch, frames, mels, classes).
        frame_mask: (batch, frames), true where a clip has sound; None for all. Masked
            frames change nothing of a clip's answer.

    Output shape:
        (batch, classes)

    Example:

    >>> layer = GlobalWeightedRankPool(0.5)
    >>> maps = keras.ops.reshape(keras.ops.array([0.4, 0.1, 0.2]), (1, 3, 1, 1))
    >>> layer(maps).numpy().round(4).tolist()
    [[0.3]]
    """

    def __init__(self, decay: float = 0.9998, **kwargs):
        if not 0.0 <= decay <= 1.0:
            raise ValueError(
                f"GlobalWeightedRankPool takes a decay in [0, 1]. Received: {decay}"
            )
        super().__init__(**kwargs)
        self.decay = decay
        self.built = True

    def call(self, inputs, frame_mask=None):
        _, frames, mels, classes = ops.shape(inputs)
        values = ops.reshape(inputs, (-1, frames * mels, classes))
        ranks = ops.arange(frames * mels)
        # 0 ** 0 is 1: a decay of 0 leaves the first.
        weights = ops.power(ops.cast(self.decay, values.dtype), ranks)[None, :, None]
        if frame_mask is not None:
            kept = ops.repeat(ops.cast(frame_mask, values.dtype), mels, axis=1)
            # Masked values go last, where the weights of a clip's own values end.
            lowest = ops.min(values) - 1.0
            values = ops.where(kept[..., None] > 0, values, lowest)
            count = ops.sum(kept, axis=1, keepdims=True)
            inside = ops.cast(ranks, values.dtype)[None] < count
            weights = weights * ops.cast(inside, values.dtype)[..., None]
        values = ops.flip(ops.sort(values, axis=1), axis=1)
        return ops.sum(values * weights, axis=1) / ops.sum(weights, axis=1)

    def compute_output_shape(self, inputs_shape, frame_mask_shape=None):
        return (inputs_shape[0], inputs_shape[3])

    def get_config(self):
        return {**super().get_config(), "decay": self.decay}
