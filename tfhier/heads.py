"""Heads: from an embedding and a taxonomy to probabilities on every level.

Every head is a function `(embedding, taxonomy) -> {level: probabilities}` over Keras
tensors, with the levels in the taxonomy's order (finest first), and works for any
depth; a model has one head, since heads name their layers after the levels. The names
are those of Zhong et al. (2023), Sec. 3 and Fig. 2. Each reads like
its figure:

* `flat`       fine classifier; coarse by grouped maximum that training does not see
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
    ResidualAttention,
    SoftDecisionTree,
)
from tfhier.taxonomy import Taxonomy


def flat(embedding, taxonomy: Taxonomy) -> dict:
    """Fine classifier alone; grouped maximum at inference gives the levels above."""
    probabilities = {taxonomy.fine: _classifier(embedding, taxonomy, taxonomy.fine)}
    for lower, upper in _steps(taxonomy):
        pool = GroupedMaxPool(taxonomy.groups(lower), name=f"{upper}_max_pool")
        # A loss on an upper level must not reach the classifier.
        probabilities[upper] = pool(ops.stop_gradient(probabilities[lower]))
    return probabilities


def levelwise(embedding, taxonomy: Taxonomy) -> dict:
    """One independent classifier a level (Fig. 2 a)."""
    return {level: _classifier(embedding, taxonomy, level) for level in taxonomy.levels}


def sdt(embedding, taxonomy: Taxonomy) -> dict:
    """Soft decision tree, top-down: own probability times the parent's (Fig. 2 b)."""
    if not taxonomy.is_tree:
        raise InputError(
            "The head 'sdt' multiplies a label by its only parent, but this taxonomy "
            "has a label with several parents. Use a taxonomy that is a tree, or "
            "another head: flat, levelwise, gap, lp, gmp, resatt."
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


def gap(embedding, taxonomy: Taxonomy) -> dict:
    """Grouped average pooling, bottom-up (Fig. 2 c)."""
    return _bottom_up(
        embedding,
        taxonomy,
        lambda fine, lower, upper: GroupedAveragePool(
            taxonomy.groups(lower), name=f"{upper}_average_pool"
        )(fine),
    )


def lp(embedding, taxonomy: Taxonomy) -> dict:
    """Linear projection of the fine probabilities, with bias and sigmoid (Fig. 2 c).

    The paper says only "linear projection layer"; bias and sigmoid are our reading.
    """
    return _bottom_up(
        embedding,
        taxonomy,
        lambda fine, lower, upper: _classifier(
            fine, taxonomy, upper, name="projection"
        ),
    )


def gmp(embedding, taxonomy: Taxonomy) -> dict:
    """Grouped max-pooling in training and inference, bottom-up (Fig. 2 c)."""
    return _bottom_up(
        embedding,
        taxonomy,
        lambda fine, lower, upper: GroupedMaxPool(
            taxonomy.groups(lower), name=f"{upper}_max_pool"
        )(fine),
    )


def resatt(embedding, taxonomy: Taxonomy) -> dict:
    """Residual attention over the fine tags, bottom-up (Fig. 2 d)."""
    return _bottom_up(
        embedding,
        taxonomy,
        lambda fine, lower, upper: ResidualAttention(
            taxonomy.sizes[upper], name=f"{upper}_attention"
        )([embedding, fine]),
    )


def _bottom_up(embedding, taxonomy: Taxonomy, aggregate: Callable) -> dict:
    """Classify the finest level, then aggregate it level by level."""
    probabilities = {taxonomy.fine: _classifier(embedding, taxonomy, taxonomy.fine)}
    for lower, upper in _steps(taxonomy):
        probabilities[upper] = aggregate(probabilities[lower], lower, upper)
    return probabilities


def _steps(taxonomy: Taxonomy) -> list[tuple[str, str]]:
    """Neighbouring levels, from the leaves upward."""
    return list(zip(taxonomy.levels[:-1], taxonomy.levels[1:], strict=True))


def _classifier(inputs, taxonomy: Taxonomy, level: str, *, name: str = "classifier"):
    """A single linear layer with a sigmoid."""
    if len(inputs.shape) != 2:
        raise InputError(
            "A head takes an embedding of shape (batch, units), pooled over time and "
            f"frequency. Received: shape={inputs.shape}"
        )
    return layers.Dense(
        taxonomy.sizes[level], activation="sigmoid", name=f"{level}_{name}"
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
