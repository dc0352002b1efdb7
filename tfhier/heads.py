"""Heads: from an embedding and a taxonomy to probabilities on every level.

Every head is a function `(embedding, taxonomy, *, softmax=False)` over Keras tensors
that returns `{level: probabilities}`, with the levels in the taxonomy's order (finest
first), and works for any depth; a model has one head, since heads name their layers
after the levels. With `softmax` the leaves exclude each other: their probabilities sum
to 1, while those of the levels above stay independent. The names are those of Zhong et
al. (2023), Sec. 3 and Fig. 2. Each reads like its figure:

* `flat`       fine classifier; coarse by a rule, grouped maximum, that training does
               not see
* `levelwise`  (a) one classifier a level
* `sdt`        (b) top-down: a child's probability times its parent's
* `gap` `lp` `gmp`  (c) bottom-up: grouped average, linear projection, grouped maximum
* `resatt`     (d) bottom-up: attention over the fine tags, drawn from the embedding
"""

from collections.abc import Callable

from keras import layers, ops

from tfhier.errors import InputError
from tfhier.layers import (
    GroupedAveragePool,
    GroupedMaxPool,
    GroupedNoisyOr,
    ResidualAttention,
    SoftDecisionTree,
)
from tfhier.taxonomy import Taxonomy


def flat(
    embedding, taxonomy: Taxonomy, *, softmax: bool = False, flat_pool: str = "max"
) -> dict:
    """Fine classifier alone; grouped maximum at inference gives the levels above.

    Other rules than the paper's (`flat_pool`, of `FLAT_POOLS`) tell how much of a
    head's gain over this one is learned, and how much a better rule gives for nothing.
    """
    probabilities = {taxonomy.fine: _leaves(embedding, taxonomy, softmax=softmax)}
    for lower, upper in _steps(taxonomy):
        layer = FLAT_POOLS[flat_pool]
        pool = layer(taxonomy.groups(lower), name=f"{upper}_{flat_pool}_pool")
        # A loss on an upper level must not reach the classifier.
        probabilities[upper] = pool(ops.stop_gradient(probabilities[lower]))
    return probabilities


FLAT_POOLS = {
    "max": GroupedMaxPool,
    "average": GroupedAveragePool,
    "noisy_or": GroupedNoisyOr,
}


def levelwise(embedding, taxonomy: Taxonomy, *, softmax: bool = False) -> dict:
    """One independent classifier a level (Fig. 2 a)."""
    return {
        taxonomy.fine: _leaves(embedding, taxonomy, softmax=softmax),
        **{
            level: _classifier(embedding, taxonomy, level)
            for level in taxonomy.levels[1:]
        },
    }


def sdt(embedding, taxonomy: Taxonomy, *, softmax: bool = False) -> dict:
    """Soft decision tree, top-down: own probability times the parent's (Fig. 2 b)."""
    if not taxonomy.is_tree:
        raise InputError(
            "The head 'sdt' multiplies a label by its only parent, but this taxonomy "
            "has a label with several parents. Use a taxonomy that is a tree, or "
            "another head: flat, levelwise, gap, lp, gmp, resatt."
        )
    if softmax:
        raise InputError(
            "The head 'sdt' scales each label by its parent, so its leaves cannot sum "
            "to 1. Use --set loss=bce, or another head."
        )
    probabilities = {
        taxonomy.levels[-1]: _classifier(embedding, taxonomy, taxonomy.levels[-1])
    }
    for lower, upper in reversed(_steps(taxonomy)):
        own = _classifier(embedding, taxonomy, lower)
        parents = [parents[0] for parents in taxonomy.parents_of(lower)]
        tree = SoftDecisionTree(parents, name=f"{lower}_tree")
        probabilities[lower] = tree([own, probabilities[upper]])
    return {level: probabilities[level] for level in taxonomy.levels}


def gap(embedding, taxonomy: Taxonomy, *, softmax: bool = False) -> dict:
    """Grouped average pooling, bottom-up (Fig. 2 c)."""
    return _bottom_up(
        embedding,
        taxonomy,
        softmax,
        lambda fine, lower, upper: GroupedAveragePool(
            taxonomy.groups(lower), name=f"{upper}_average_pool"
        )(fine),
    )


def lp(embedding, taxonomy: Taxonomy, *, softmax: bool = False) -> dict:
    """Linear projection of the fine probabilities, with bias and sigmoid (Fig. 2 c).

    The paper says only "linear projection layer"; bias and sigmoid are our reading.
    """
    return _bottom_up(
        embedding,
        taxonomy,
        softmax,
        lambda fine, lower, upper: _classifier(
            fine, taxonomy, upper, name="projection"
        ),
    )


def gmp(embedding, taxonomy: Taxonomy, *, softmax: bool = False) -> dict:
    """Grouped max-pooling in training and inference, bottom-up (Fig. 2 c)."""
    return _bottom_up(
        embedding,
        taxonomy,
        softmax,
        lambda fine, lower, upper: GroupedMaxPool(
            taxonomy.groups(lower), name=f"{upper}_max_pool"
        )(fine),
    )


def resatt(
    embedding,
    taxonomy: Taxonomy,
    *,
    softmax: bool = False,
    attention_prior: float = 0.0,
    attention_scale: float = 1.0,
) -> dict:
    """Residual attention over the fine tags, bottom-up (Fig. 2 d).

    `attention_prior` > 0 is our departure: attention begins at the taxonomy, with that
    `prior` of `ResidualAttention`. The paper's layer has to find it in the clips. With
    an `attention_scale` < 1, its `scale`, it learns the more slowly, for few clips.
    """
    return _bottom_up(
        embedding,
        taxonomy,
        softmax,
        lambda fine, lower, upper: ResidualAttention(
            taxonomy.sizes[upper],
            groups=taxonomy.groups(lower),
            prior=attention_prior,
            scale=attention_scale,
            name=f"{upper}_attention",
        )([embedding, fine]),
    )


def _bottom_up(
    embedding, taxonomy: Taxonomy, softmax: bool, aggregate: Callable
) -> dict:
    """Classify the finest level, then aggregate it level by level."""
    probabilities = {taxonomy.fine: _leaves(embedding, taxonomy, softmax=softmax)}
    for lower, upper in _steps(taxonomy):
        probabilities[upper] = aggregate(probabilities[lower], lower, upper)
    return probabilities


def _steps(taxonomy: Taxonomy) -> list[tuple[str, str]]:
    """Neighbouring levels, from the leaves upward."""
    return list(zip(taxonomy.levels[:-1], taxonomy.levels[1:], strict=True))


def _leaves(embedding, taxonomy: Taxonomy, *, softmax: bool):
    """The classifier of the finest level."""
    activation = "softmax" if softmax else "sigmoid"
    return _classifier(embedding, taxonomy, taxonomy.fine, activation=activation)


def _classifier(
    inputs,
    taxonomy: Taxonomy,
    level: str,
    *,
    name: str = "classifier",
    activation: str = "sigmoid",
):
    """A single linear layer with a sigmoid or, for the leaves, a softmax."""
    if len(inputs.shape) != 2:
        raise InputError(
            "A head takes an embedding of shape (batch, units), pooled over time and "
            f"frequency. Received: shape={inputs.shape}"
        )
    return layers.Dense(
        taxonomy.sizes[level], activation=activation, name=f"{level}_{name}"
    )(inputs)


HEADS: dict[str, Callable] = {
    "flat": flat,
    "levelwise": levelwise,
    "sdt": sdt,
    "gap": gap,
    "lp": lp,
    "gmp": gmp,
    "resatt": resatt,
}


def describe() -> dict[str, str]:
    """Return a sentence on every head: the first line of its documentation."""
    return {name: head.__doc__.splitlines()[0] for name, head in HEADS.items()}
