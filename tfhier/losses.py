"""Losses over partly observed targets on several levels.

A mask of observed entries travels as Keras's sample weights, one weight for every label
(batch, labels), and the loss is the mean over the *observed* entries alone:
`BCE(predictions[mask], labels[mask])`, Zhong et al. (2023, Sec. 4.1).
"""

import keras
from keras import ops

from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy


@keras.saving.register_keras_serializable(package="tfhier")
class MaskedBinaryCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of probabilities, averaged by the weights of the entries.

    With 0/1 weights it equals the loss of the observed subset; without weights it is
    the plain mean; where no entry of a batch is observed it is 0.

    Call arguments:
        y_true: (batch, labels), targets in [0, 1].
        y_pred: (batch, labels), probabilities.
        sample_weight: (batch, labels), >= 0; 1 where observed.
    """

    def __init__(
        self,
        name="masked_binary_crossentropy",
        reduction="mean_with_sample_weight",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        # Per label, not per sample, so that weights of the same shape meet it.
        return ops.binary_crossentropy(y_true, y_pred)


@keras.saving.register_keras_serializable(package="tfhier")
class MaskedCategoricalCrossentropy(keras.losses.Loss):
    """Categorical cross-entropy of a softmax, over the clips whose labels are known.

    A clip counts if all of its labels are observed, with their mean weight; others say
    too little where labels exclude each other. Where no clip counts the loss is 0.

    Call arguments:
        y_true: (batch, labels), targets in [0, 1] that sum to 1.
        y_pred: (batch, labels), probabilities that sum to 1.
        sample_weight: (batch, labels), >= 0; 0 where not observed.
    """

    def __init__(
        self,
        name="masked_categorical_crossentropy",
        reduction="mean_with_sample_weight",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            known = ops.min(sample_weight, axis=-1) > 0
            sample_weight = ops.mean(sample_weight, axis=-1) * ops.cast(
                known, sample_weight.dtype
            )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        # Keras's own finds the logits behind a softmax: no gradient is lost where a
        # probability rounds to 0.
        return ops.categorical_crossentropy(y_true, y_pred)


def masked(
    taxonomy: Taxonomy, *, softmax: bool = False
) -> dict[str, keras.losses.Loss]:
    """Return one masked loss a level, for `Model.compile(loss=...)`.

    Args:
        taxonomy: Taxonomy.
        softmax: bool. Whether the leaves exclude each other: categorical cross-entropy
            for the finest level, binary for the others.
    """
    found = {level: MaskedBinaryCrossentropy() for level in taxonomy.levels}
    if softmax:
        found[taxonomy.fine] = MaskedCategoricalCrossentropy()
    return found


def level_weights(taxonomy: Taxonomy, *, fine_weight: float) -> dict[str, float]:
    """Return the weight of every level's loss, for `Model.compile(loss_weights=...)`.

    `fine_weight` (lambda, Eq. 2) goes to the finest level, the rest in equal parts to
    the levels above it. With one level the weight is 1.

    Args:
        taxonomy: Taxonomy.
        fine_weight: float in [0, 1].
    """
    if not 0 <= fine_weight <= 1:
        raise InputError(f"fine_weight must lie in [0, 1]. Received: {fine_weight}")
    upper = taxonomy.levels[1:]
    if not upper:
        return {taxonomy.fine: 1.0}
    share = (1.0 - fine_weight) / len(upper)
    return {taxonomy.fine: fine_weight, **dict.fromkeys(upper, share)}


def consistency(probabilities: dict, taxonomy: Taxonomy):
    """Return how far probabilities of neighbouring levels contradict each other.

    Two hinge terms, after Krause & Mueller (ICASSP 2022): how far a child lies above
    its parent, and how far a parent lies above its largest child. Each is a mean over
    batch and labels; no target is needed, so unobserved labels take part. Their paper's
    text was not at hand: that the hinges are linear and equally weighted is our
    reading.

    Args:
        probabilities: Dict of level -> (batch, labels).
        taxonomy: Taxonomy with two levels or more.

    Returns:
        Scalar tensor >= 0; 0 if and only if every parent equals its largest child.
    """
    total = 0.0
    for lower, upper in zip(taxonomy.levels[:-1], taxonomy.levels[1:], strict=True):
        children, parents = probabilities[lower], probabilities[upper]
        edges = [
            (child, parent)
            for child, own in enumerate(taxonomy.parents_of(lower))
            for parent in own
        ]
        child_of_edge = ops.take(children, [child for child, _ in edges], axis=-1)
        parent_of_edge = ops.take(parents, [parent for _, parent in edges], axis=-1)
        largest = ops.stack(
            [
                ops.max(ops.take(children, list(own), axis=-1), axis=-1)
                for own in taxonomy.groups(lower)
            ],
            axis=-1,
        )
        total += ops.mean(ops.relu(child_of_edge - parent_of_edge))
        total += ops.mean(ops.relu(parents - largest))
    return total
