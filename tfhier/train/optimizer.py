"""Adam with weight decay as the papers' PyTorch code means it, and rates by layer."""

from collections.abc import Sequence

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class LayerwiseAdam(keras.optimizers.Adam):
    """Adam with L2 or decoupled weight decay and a share of the rate for each variable.

    Keras's own `weight_decay` is decoupled (AdamW) and knows one rate. Here `l2 *
    variable` is added to each gradient before the moments, as in `torch.optim.Adam`,
    and `rate * decoupled * variable` is taken off before the step, as in
    `torch.optim.AdamW`, for every trainable variable alike.

    Args:
        learning_rate: float or schedule.
        l2: float >= 0.
        decoupled: float >= 0.
        shares: Sequence of floats >= 0, one a variable in the order in which they are
            trained: what each has of the learning rate. Defaults to None: all of it.
        **kwargs: See `keras.optimizers.Adam`.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        *,
        l2: float = 0.0,
        decoupled: float = 0.0,
        shares: Sequence[float] | None = None,
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.l2 = l2
        self.decoupled = decoupled
        self.shares = None if shares is None else list(shares)

    def build(self, variables):
        if self.shares is not None and len(self.shares) != len(variables):
            raise ValueError(
                "LayerwiseAdam needs one share a variable. Received: "
                f"{len(self.shares)} shares, {len(variables)} variables"
            )
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype)
        if self.shares is not None:
            share = self.shares[self._get_variable_index(variable)]
            learning_rate = share * ops.cast(learning_rate, variable.dtype)
        if self.decoupled:
            rate = ops.cast(learning_rate, variable.dtype)
            self.assign_sub(variable, rate * self.decoupled * variable)
        if self.l2:
            gradient = gradient + self.l2 * variable
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {
            **super().get_config(),
            "l2": self.l2,
            "decoupled": self.decoupled,
            "shares": self.shares,
        }


def adam(
    learning_rate,
    *,
    weight_decay: float,
    decoupled: bool,
    amsgrad: bool = False,
    shares: Sequence[float] | None = None,
) -> keras.optimizers.Optimizer:
    """Return Adam with L2 weight decay, or AdamW if `decoupled`.

    Args:
        learning_rate: float or schedule.
        weight_decay: float >= 0.
        decoupled: bool. The papers' "Adam with weight decay" is not
            (`torch.optim.Adam`).
        amsgrad: bool. Whether second moments never fall, as in PANNs' and the primates'
            published code.
        shares: What each variable has of the learning rate, see `LayerwiseAdam`.
    """
    # PyTorch's epsilon. It stands behind the bias correction there and before it in
    # Keras; the two differ where gradients are below 1e-7 or so.
    kind = "decoupled" if decoupled else "l2"
    return LayerwiseAdam(
        learning_rate,
        epsilon=1e-8,
        amsgrad=amsgrad,
        shares=shares,
        **{kind: weight_decay},
    )


def shares(
    body: keras.Model, backbone: keras.Model, *, backbone_rate: float, decay: float
) -> list[float]:
    """Return what each trained variable of a body has of the learning rate.

    Neck and head have all of it. The backbone's last layer with a kernel has
    `backbone_rate * decay`, and each one before it `decay` times what the next one has;
    a normalisation goes with the kernel before it. What lies side by side, as the
    shortcut of a residual block or the backbones of a fusion, is counted on its own,
    along the longest way to the end.

    Args:
        body: Body of `tagger.build`.
        backbone: Its backbone, weights shared.
        backbone_rate: float >= 0.
        decay: float in (0, 1]. 1 gives all layers of the backbone one rate.
    """
    depths = _depths(backbone)
    return [
        backbone_rate * decay ** depths[id(variable)] if id(variable) in depths else 1.0
        for variable in body.trainable_variables
    ]


def _depths(network: keras.Model) -> dict[int, int]:
    """Return, by id, how many kernels lead from a variable to the end, its own too."""
    depths: dict[int, int] = {}
    behind: dict[int, int] = {}  # of every tensor, by id
    for operation in reversed(network.operations):
        if isinstance(operation, keras.Model):  # a backbone of a fusion
            depths.update(_depths(operation))
            continue
        outputs = keras.tree.flatten(operation.output)
        depth = max(behind.get(id(tensor), 0) for tensor in outputs)
        if isinstance(operation, keras.layers.Layer) and operation.weights:
            own = operation.trainable_variables
            depths.update(dict.fromkeys(map(id, own), depth + 1))
            depth += not isinstance(operation, keras.layers.BatchNormalization)
        for tensor in keras.tree.flatten(operation.input):
            behind[id(tensor)] = max(behind.get(id(tensor), 0), depth)
    return depths
