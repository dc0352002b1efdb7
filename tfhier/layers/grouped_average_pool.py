"""Grouped average-pooling: a parent is as likely as its children on average."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfhier.layers.groups import check_groups, check_last_axis


@keras.saving.register_keras_serializable(package="tfhier")
class GroupedAveragePool(keras.layers.Layer):
    """Takes the mean of each parent's children.

    Args:
        groups: Sequence with one sequence of child indices a parent, such as
            `Taxonomy.groups(level)`.

    Input shape:
        (batch, children)

    Output shape:
        (batch, parents)

    Reference:
        Zhong et al. 2023, Sec. 4.2 (GAP).
    """

    def __init__(self, groups: Sequence[Sequence[int]], **kwargs):
        super().__init__(**kwargs)
        self.groups = check_groups("GroupedAveragePool", groups)
        self.num_children = 1 + max(map(max, self.groups))
        self._shares = np.zeros((self.num_children, len(self.groups)), np.float32)
        for parent, own in enumerate(self.groups):
            self._shares[own, parent] = 1.0 / len(own)

    def build(self, input_shape):
        check_last_axis(
            "GroupedAveragePool",
            input_shape,
            self.num_children,
            "child score",
            "groups",
        )

    def call(self, inputs):
        return ops.matmul(inputs, ops.cast(self._shares, inputs.dtype))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], len(self.groups))

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}
