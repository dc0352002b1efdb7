"""One step of a soft decision tree: a child needs its parent."""

from collections.abc import Sequence

import keras
from keras import ops

from tfhier.layers.groups import check_last_axis


@keras.saving.register_keras_serializable(package="tfhier")
class SoftDecisionTree(keras.layers.Layer):
    """Multiplies every child's own probability by its parent's.

    A tree of any depth is one such layer a level, from the root downward: the product
    that leaves one step is the parent's probability of the next.

    Args:
        parents: Sequence of int. Index of each child's only parent.

    Input shape:
        A list of two tensors, (batch, children) and (batch, parents), probabilities.

    Output shape:
        (batch, children); never above the parent's probability.

    Example:

    >>> layer = SoftDecisionTree([0, 0, 1])
    >>> children = keras.ops.array([[0.5, 1.0, 0.5]])
    >>> layer([children, keras.ops.array([[0.4, 0.8]])]).numpy().round(1).tolist()
    [[0.2, 0.4, 0.4]]

    Reference:
        Zhong et al. 2023, Sec. 3.1 and Fig. 2 (b); Wan et al., NBDT, ICLR 2021.
    """

    def __init__(self, parents: Sequence[int], **kwargs):
        super().__init__(**kwargs)
        self.parents = [int(parent) for parent in parents]
        if not self.parents or min(self.parents) < 0:
            raise ValueError(
                "SoftDecisionTree needs the index of one parent for every child. "
                f"Received: parents={parents}"
            )

    def build(self, input_shape):
        children, parents = input_shape
        check_last_axis(
            "SoftDecisionTree", children, len(self.parents), "probability", "children"
        )
        if len(parents) != 2 or parents[-1] is None or parents[-1] <= max(self.parents):
            raise ValueError(
                f"SoftDecisionTree expects (batch, {1 + max(self.parents)}) parent "
                f"probabilities as its second input. Received: shape={tuple(parents)}"
            )

    def call(self, inputs):
        children, parents = inputs
        return children * ops.take(parents, self.parents, axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "parents": self.parents}
