"""Adam with the weight decay that the papers' PyTorch code means."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class L2Adam(keras.optimizers.Adam):
    """Adam whose weight decay is an L2 term of the gradient, as in `torch.optim.Adam`.

    Keras's own `weight_decay` is decoupled (AdamW). Here `l2 * variable` is added to
    each gradient before the moments, for every trainable variable alike.

    Args:
        learning_rate: float or schedule.
        l2: float >= 0.
        **kwargs: See `keras.optimizers.Adam`.
    """

    def __init__(self, learning_rate=1e-3, *, l2: float = 0.0, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype)
        super().update_step(gradient + self.l2 * variable, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


def adam(
    learning_rate, *, weight_decay: float, decoupled: bool, amsgrad: bool = False
) -> keras.optimizers.Optimizer:
    """Return Adam with L2 weight decay, or AdamW if `decoupled`.

    Args:
        learning_rate: float or schedule.
        weight_decay: float >= 0.
        decoupled: bool. The papers' "Adam with weight decay" is not
            (`torch.optim.Adam`).
        amsgrad: bool. Whether second moments never fall, as in PANNs' and the primates'
            published code.
    """
    # PyTorch's epsilon. It stands behind the bias correction there and before it in
    # Keras; the two differ where gradients are below 1e-7 or so.
    if decoupled:
        return keras.optimizers.AdamW(
            learning_rate, weight_decay=weight_decay, epsilon=1e-8, amsgrad=amsgrad
        )
    return L2Adam(learning_rate, l2=weight_decay, epsilon=1e-8, amsgrad=amsgrad)
