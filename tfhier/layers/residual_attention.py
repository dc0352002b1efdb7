"""ResAtt: coarse probabilities as attention-weighted fine probabilities."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class ResidualAttention(keras.layers.Layer):
    """Predicts coarse tags from fine ones by an attention map drawn from the embedding.

    A linear layer on the embedding, reshaped to (fine, coarse) and normalised by a
    softmax over the fine axis, says which fine tags matter for which coarse tag in this
    very clip: `coarse = attention^T fine` (Eq. 1). The layer is not told which tags
    belong together.

    Args:
        units: int > 0. Number of coarse tags.
        return_attention_scores: bool. Whether to return the map too.
        kernel_initializer: Initializer of the linear layer. Defaults to Glorot uniform,
            as PANNs' own linear layers.

    Input shape:
        A list of the embedding (batch, units of the embedding) and the fine
        probabilities (batch, fine).

    Output shape:
        (batch, coarse), within [0, 1] if the fine probabilities are; with
        `return_attention_scores` also (batch, fine, coarse), whose columns sum to 1.

    Reference:
        Zhong et al. 2023, Sec. 3.2, Eq. 1 and Fig. 2 (d).
    """

    def __init__(
        self,
        units: int,
        *,
        return_attention_scores: bool = False,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        if units < 1:
            raise ValueError(
                "ResidualAttention needs at least one coarse tag. Received: "
                f"units={units}"
            )
        super().__init__(**kwargs)
        self.units = units
        # Of the constructor, not of the call: Keras's functional models take the number
        # of a layer's outputs from its first call.
        self.return_attention_scores = return_attention_scores
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        embedding, fine = input_shape
        if len(embedding) != 2 or len(fine) != 2 or None in (embedding[1], fine[1]):
            raise ValueError(
                "ResidualAttention expects [embedding (batch, units), fine "
                f"probabilities (batch, fine)]. Received: shapes {tuple(embedding)}, "
                f"{tuple(fine)}"
            )
        self.num_fine = fine[1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(embedding[1], self.num_fine * self.units),
            initializer=self.kernel_initializer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.num_fine * self.units,), initializer="zeros"
        )

    def call(self, inputs):
        embedding, fine = inputs
        logits = ops.matmul(embedding, self.kernel) + self.bias
        logits = ops.reshape(logits, (-1, self.num_fine, self.units))
        attention = ops.softmax(logits, axis=1)  # (batch, fine, coarse)
        coarse = ops.sum(attention * fine[:, :, None], axis=1)  # W^T P_fine, Eq. 1
        return (coarse, attention) if self.return_attention_scores else coarse

    def compute_output_shape(self, input_shape):
        embedding, fine = input_shape
        coarse = (embedding[0], self.units)
        attention = (embedding[0], fine[1], self.units)
        return (coarse, attention) if self.return_attention_scores else coarse

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "return_attention_scores": self.return_attention_scores,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
