"""Average pooling that keeps the size and counts the zeros around the map."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class PaddedAveragePool(keras.layers.Layer):
    """Means over squares around every place, zeros outside of the map included.

    PyTorch's `AvgPool2d(size, 1, size // 2)` divides by the whole square also at the
    border; Keras's "same" pooling by what lies inside. The blocks of Deshmukh et al.
    (2020), Table I, are of the first kind.

    Args:
        size: int, odd. Side of the squares.

    Input shape:
        (batch, frames, mels, channels)

    Output shape:
        The input's.

    Example:

    >>> layer = PaddedAveragePool(3)
    >>> layer(keras.ops.ones((1, 1, 2, 1))).numpy().round(4).ravel().tolist()
    [0.2222, 0.2222]
    """

    def __init__(self, size: int = 3, **kwargs):
        if size < 1 or size % 2 == 0:
            raise ValueError(
                "PaddedAveragePool needs squares of an odd side, so that a place lies "
                f"in their middle. Received: size={size}"
            )
        super().__init__(**kwargs)
        self.size = size
        self.built = True

    def call(self, inputs):
        around = self.size // 2
        sides = [[0, 0], [around, around], [around, around], [0, 0]]
        padded = ops.pad(inputs, sides)
        return ops.average_pool(
            padded, self.size, strides=1, padding="valid", data_format="channels_last"
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "size": self.size}
