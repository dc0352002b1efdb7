"""Grouped noisy-or: a parent is there unless every child is missing."""

from collections.abc import Sequence

import keras
from keras import ops

from tfhier.layers.groups import check_groups, check_last_axis


@keras.saving.register_keras_serializable(package="tfhier")
class GroupedNoisyOr(keras.layers.Layer):
    """Takes one minus the product of what each parent's children lack of 1.

    This is the probability that any of independent children is there (Pearl 1988,
    "Probabilistic Reasoning in Intelligent Systems", Sec. 4.3.2, without a leak).

    Args:
        groups: Sequence with one sequence of child indices a parent, such as
            `Taxonomy.groups(level)`.

    Input shape:
        (batch, children), probabilities.

    Output shape:
        (batch, parents)

    Example:

    >>> layer = GroupedNoisyOr([[0, 2], [1]])
    >>> layer(keras.ops.array([[0.5, 0.2, 0.5]])).numpy().round(2).tolist()
    [[0.75, 0.2]]
    """

    def __init__(self, groups: Sequence[Sequence[int]], **kwargs):
        super().__init__(**kwargs)
        self.groups = check_groups("GroupedNoisyOr", groups)
        self.num_children = 1 + max(map(max, self.groups))

    def build(self, input_shape):
        check_last_axis(
            "GroupedNoisyOr", input_shape, self.num_children, "child score", "groups"
        )

    def call(self, inputs):
        lacking = 1.0 - inputs
        return ops.stack(
            [
                1.0 - ops.prod(ops.take(lacking, own, axis=-1), axis=-1)
                for own in self.groups
            ],
            axis=-1,
        )

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], len(self.groups))

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}
