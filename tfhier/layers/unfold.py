"""Give rows that were folded into the batch axis their own axis back."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class Unfold(keras.layers.Layer):
    """Undoes a reshape of (batch, patches, ...) to (batch * patches, ...).

    A network of maps takes the patches of all clips as one batch. What it makes of
    them is sorted by clip again here; how many patches a clip has is read from the
    tensor before the reshape, because it may be unknown until the call.

    Call arguments:
        inputs: List of two tensors: the folded one, and one with the axes (batch,
            patches) that it was folded from, whatever comes behind them.

    Input shape:
        [(batch * patches, units), (batch, patches, ...)]

    Output shape:
        (batch, patches, units)

    Example:

    >>> folded = keras.ops.reshape(keras.ops.arange(6), (6, 1))
    >>> Unfold()([folded, keras.ops.zeros((2, 3, 4))])[..., 0].numpy().tolist()
    [[0, 1, 2], [3, 4, 5]]
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def call(self, inputs):
        folded, like = inputs
        return ops.reshape(folded, (-1, ops.shape(like)[1], folded.shape[-1]))

    def compute_output_shape(self, input_shape):
        folded, like = input_shape
        return (like[0], like[1], folded[-1])
