"""Grouped max-pooling: a parent is as likely as its likeliest child."""

from collections.abc import Sequence

import keras
from keras import ops

from tfhier.layers.groups import check_groups, check_last_axis


@keras.saving.register_keras_serializable(package="tfhier")
class GroupedMaxPool(keras.layers.Layer):
    """Takes the maximum of each parent's children.

    Args:
        groups: Sequence with one sequence of child indices a parent, such as
            `Taxonomy.groups(level)`. Groups may overlap (a child with two parents);
            every child index up to the largest belongs to some group.

    Input shape:
        (batch, children), probabilities or any scores.

    Output shape:
        (batch, parents)

    Example:

    >>> layer = GroupedMaxPool([[0, 2], [1]])
    >>> layer(keras.ops.array([[0.1, 0.2, 0.7]])).numpy().round(1).tolist()
    [[0.7, 0.2]]

    Reference:
        Zhong et al. 2023, Sec. 3.1 and Fig. 2 (c).
    """

    def __init__(self, groups: Sequence[Sequence[int]], **kwargs):
        super().__init__(**kwargs)
        self.groups = check_groups("GroupedMaxPool", groups)
        self.num_children = 1 + max(map(max, self.groups))
        longest = max(map(len, self.groups))
        # A static gather needs equal lengths; repeating a child leaves the maximum.
        padded = [own + own[:1] * (longest - len(own)) for own in self.groups]
        self._index = [child for own in padded for child in own]

    def build(self, input_shape):
        check_last_axis(
            "GroupedMaxPool", input_shape, self.num_children, "child score", "groups"
        )

    def call(self, inputs):
        members = ops.take(inputs, self._index, axis=-1)  # (batch, parents * longest)
        members = ops.reshape(members, (-1, len(self.groups), self._longest))
        return ops.max(members, axis=-1)

    @property
    def _longest(self) -> int:
        return len(self._index) // len(self.groups)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], len(self.groups))

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}
