"""A small perceptron over precomputed features, such as OpenMIC's VGGish embeddings."""

from collections.abc import Callable

from keras import layers, ops

from tfhier.backbones.blocks import batch_norm


def mlp(
    features,
    *,
    width: float = 1.0,
    dropout_scale: float = 1.0,
    augment: Callable | None = None,
):
    """One hidden layer of 256 units on normalised features, averaged over time if any.

    Args:
        features: Keras tensor (batch, units) or (batch, frames, units).
        width: float > 0. Multiplies the number of hidden units.
        dropout_scale: float >= 0. Multiplies the dropout rate.
        augment: Layer applied to the normalised features; None for none.

    Returns:
        Keras tensor (batch, round(256 * width)), non-negative.
    """
    # As bn0 of the convolutional networks: features come in their own units (Hz, dB).
    x = batch_norm("bn0")(features)
    if augment is not None:
        x = augment(x)
    hidden = layers.Dense(max(1, round(256 * width)), activation="relu", name="fc1")(x)
    if len(features.shape) == 3:
        hidden = ops.mean(hidden, axis=1)
    return layers.Dropout(0.5 * dropout_scale, name="dropout")(hidden)
