"""Augmentation of whole batches: `(features, targets, weights) -> the same`.

Targets and weights are dicts of level -> (batch, labels). SpecAugment is a layer of its
own (`tfhier.layers.SpecAugment`), because it belongs inside the networks.
"""

import keras
from keras import ops


def mixup(features, targets: dict, weights: dict, *, alpha: float, seed):
    """Mix every clip with the next one of its batch.

    With lambda from Beta(alpha, alpha), drawn for each clip, features become
    `lambda x_i + (1 - lambda) x_j`. The loss of a mixture is the same mixture of the
    two clips' masked losses: the weight of a label is `lambda w_i + (1 - lambda) w_j`,
    and its target the weighted mean of the two targets, so a label seen in only one of
    the clips is trained by that clip alone. (PaSST's published code applies the first
    clip's mask to both.)

    Args:
        features: (batch, ...), float.
        targets: Dict of level -> (batch, labels) in [0, 1].
        weights: Dict of level -> (batch, labels), >= 0.
        alpha: float > 0.
        seed: `keras.random.SeedGenerator`.

    Returns:
        Tuple of features, targets, weights.

    Reference:
        Zhang et al., "mixup", ICLR 2018.
    """
    batch = ops.shape(features)[0]
    share = keras.random.beta((batch,), alpha, alpha, seed=seed)

    def blend(values, own):
        own = ops.reshape(own, (-1,) + (1,) * (len(values.shape) - 1))
        own = ops.cast(own, values.dtype)
        return own * values + (1 - own) * ops.roll(values, -1, axis=0)

    mixed_weights = {level: blend(weights[level], share) for level in weights}
    mixed_targets = {
        level: ops.divide_no_nan(
            blend(weights[level] * targets[level], share), mixed_weights[level]
        )
        for level in targets
    }
    return blend(features, share), mixed_targets, mixed_weights
