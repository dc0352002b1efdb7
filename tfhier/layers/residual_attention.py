"""ResAtt: coarse probabilities as attention-weighted fine probabilities."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfhier.layers.groups import check_groups, check_last_axis


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
        groups: Sequence with one sequence of child indices a coarse tag, such as
            `Taxonomy.groups(level)`. Defaults to None: the layer is not told.
        prior: float >= 0. An untrained map gives a child e^prior times the weight of
            any other fine tag. Above 0 it needs `groups`. Defaults to 0: the paper's.
        scale: float > 0. Factor on what the linear layer says, the prior left as it is:
            below 1 the map leaves its beginning only for what many steps agree on.
            Defaults to 1: the paper's.
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
        groups: Sequence[Sequence[int]] | None = None,
        prior: float = 0.0,
        scale: float = 1.0,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        if units < 1:
            raise ValueError(
                "ResidualAttention needs at least one coarse tag. Received: "
                f"units={units}"
            )
        if groups is not None:
            groups = check_groups("ResidualAttention", groups)
        is_fit = not prior if groups is None else len(groups) == units
        # Not `<`: NaN is neither.
        if not prior >= 0 or not is_fit:
            raise ValueError(
                "ResidualAttention's prior is 0 or, with groups of children for each "
                f"of its units, above 0. Received: prior={prior}, groups={groups}, "
                f"units={units}"
            )
        if not scale > 0:
            raise ValueError(
                f"ResidualAttention's scale is above 0. Received: scale={scale}"
            )
        super().__init__(**kwargs)
        self.units = units
        self.groups = groups
        self.prior = prior
        self.scale = scale
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
        if self.groups is not None:
            num_children = 1 + max(map(max, self.groups))
            what, source = "probability", "groups' children"
            check_last_axis("ResidualAttention", fine, num_children, what, source)
        self._prior = np.zeros((self.num_fine, self.units), np.float32)
        for parent, children in enumerate(self.groups or ()):
            self._prior[children, parent] = self.prior

    def call(self, inputs):
        embedding, fine = inputs
        logits = ops.matmul(embedding, self.kernel) + self.bias
        logits = self.scale * ops.reshape(logits, (-1, self.num_fine, self.units))
        if self.prior:
            logits = logits + ops.cast(self._prior, logits.dtype)
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
            "groups": self.groups,
            "prior": self.prior,
            "scale": self.scale,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
