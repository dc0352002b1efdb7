"""Each head beside its formula: reference numbers, hand-worked numbers, properties."""

import functools
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfhier import heads, losses, tagger
from tfhier.experiment import Experiment
from tfhier.layers import (
    GroupedAveragePool,
    GroupedMaxPool,
    GroupedNoisyOr,
    ResidualAttention,
    SoftDecisionTree,
)
from tfhier.taxonomy import Taxonomy

PARITY = Path(
    os.environ.get("TFHIER_PARITY") or Path(__file__).parents[1] / "../shared/parity"
)
TREE = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\nd,y\ne,z\n")
TALL = Taxonomy.parse("leaf,branch,root\na,p,x\nb,p,x\nc,q,x\nd,r,y\ne,s,y\nf,s,y\n")
TWO_PARENTS = Taxonomy.parse("fine,coarse\na,x\nb,x\nb,y\nc,y\n")


def build(
    head: str, taxonomy: Taxonomy, *, units: int = 6, softmax: bool = False
) -> keras.Model:
    keras.utils.set_random_seed(3)
    embedding = keras.Input((units,))
    outputs = heads.HEADS[head](embedding, taxonomy, softmax=softmax)
    return keras.Model(embedding, outputs)


def answers(model: keras.Model, inputs: np.ndarray) -> dict[str, np.ndarray]:
    return {level: values.numpy() for level, values in model(inputs).items()}


def random_answers(head: str, taxonomy: Taxonomy, rng) -> dict[str, np.ndarray]:
    inputs = rng.normal(0, 2, (32, 6)).astype(np.float32)
    return answers(build(head, taxonomy), inputs)


# -- Numbers of the reference file ---------------------------------------------------


@functools.cache
def reference() -> dict:
    path = PARITY / "misc" / "hierarchy.json"
    if not path.is_file():
        pytest.skip(f"no reference numbers at {path}; set TFHIER_PARITY")
    return json.loads(path.read_text(encoding="utf-8"))


def reference_taxonomy() -> Taxonomy:
    rows = [f"f{i},c{parent}" for i, parent in enumerate(reference()["parents"])]
    return Taxonomy.parse("\n".join(["fine,coarse", *rows]))


def reference_model(head: str, **kernels: str) -> keras.Model:
    """The head with layers whose logits are those of the file.

    The embedding of clip i is the i-th unit vector, so row i of a kernel without bias
    is what the layer gives for clip i.
    """
    model = build(head, reference_taxonomy(), units=3)
    for layer, key in kernels.items():
        kernel, bias = model.get_layer(layer).weights
        kernel.assign(np.reshape(reference()[key], kernel.shape))
        bias.assign(np.zeros(bias.shape))
    return model


def assert_reference(values: np.ndarray, key: str) -> None:
    np.testing.assert_allclose(values, reference()[key], atol=reference()["tolerance"])


@pytest.mark.parametrize("head", ["gmp", "gap", "flat"])
def test_pooling_heads_give_the_reference_numbers(head):
    model = reference_model(head, fine_classifier="fine_logits")
    outputs = answers(model, np.eye(3, dtype=np.float32))
    assert_reference(outputs["fine"], "fine")
    assert_reference(outputs["coarse"], "gap" if head == "gap" else "gmp")


def test_sdt_gives_the_reference_numbers():
    model = reference_model(
        "sdt", fine_classifier="fine_logits", coarse_classifier="coarse_logits"
    )
    outputs = answers(model, np.eye(3, dtype=np.float32))
    assert_reference(outputs["coarse"], "coarse")
    assert_reference(outputs["fine"], "sdt_fine")


def test_levelwise_gives_the_reference_numbers():
    model = reference_model(
        "levelwise", fine_classifier="fine_logits", coarse_classifier="coarse_logits"
    )
    outputs = answers(model, np.eye(3, dtype=np.float32))
    assert_reference(outputs["fine"], "fine")
    assert_reference(outputs["coarse"], "coarse")


def test_resatt_gives_the_reference_numbers():
    model = reference_model(
        "resatt", fine_classifier="fine_logits", coarse_attention="attention_logits"
    )
    outputs = answers(model, np.eye(3, dtype=np.float32))
    assert_reference(outputs["fine"], "fine")
    assert_reference(outputs["coarse"], "resatt_coarse")


def test_lp_gives_the_reference_numbers():
    model = reference_model(
        "lp", fine_classifier="fine_logits", coarse_projection="lp_weight"
    )
    model.get_layer("coarse_projection").bias.assign(reference()["lp_bias"])
    outputs = answers(model, np.eye(3, dtype=np.float32))
    assert_reference(outputs["coarse"], "lp_coarse")


def test_loss_of_gmp_is_the_reference_loss():
    model = reference_model("gmp", fine_classifier="fine_logits")
    taxonomy, expected = reference_taxonomy(), reference()["loss"]
    model.compile(
        loss=losses.masked(taxonomy),
        loss_weights=losses.level_weights(taxonomy, fine_weight=expected["lambda"]),
    )
    targets = {
        "fine": np.array(reference()["fine_labels"], np.float32),
        "coarse": np.array(reference()["coarse_labels"], np.float32),
    }
    got = model.test_on_batch(np.eye(3, dtype=np.float32), targets, return_dict=True)
    assert got["loss"] == pytest.approx(expected["total"], abs=1e-6)
    assert got["fine_loss"] == pytest.approx(expected["fine_bce"], abs=1e-6)
    assert got["coarse_loss"] == pytest.approx(expected["coarse_bce_of_gmp"], abs=1e-6)


# -- Numbers worked out by hand ------------------------------------------------------


def test_pools_by_hand():
    fine = np.array([[0.1, 0.6, 0.5, 0.3, 0.2]], np.float32)
    groups = TREE.groups("fine")
    np.testing.assert_allclose(GroupedMaxPool(groups)(fine), [[0.6, 0.5, 0.2]])
    np.testing.assert_allclose(
        GroupedAveragePool(groups)(fine), [[0.35, 0.4, 0.2]], rtol=1e-6
    )
    np.testing.assert_allclose(
        GroupedNoisyOr(groups)(fine), [[0.64, 0.65, 0.2]], rtol=1e-6
    )
    shared = TWO_PARENTS.groups("fine")  # b belongs to x and to y
    np.testing.assert_allclose(GroupedMaxPool(shared)(fine[:, :3]), [[0.6, 0.6]])
    np.testing.assert_allclose(
        GroupedAveragePool(shared)(fine[:, :3]), [[0.35, 0.55]], rtol=1e-6
    )
    np.testing.assert_allclose(
        GroupedNoisyOr(shared)(fine[:, :3]), [[0.64, 0.8]], rtol=1e-6
    )


@pytest.mark.parametrize("pool", heads.FLAT_POOLS)
def test_a_flat_tagger_follows_its_rule_and_learns_nothing_from_it(pool, rng):
    embedding = keras.Input((6,))
    model = keras.Model(embedding, heads.flat(embedding, TREE, flat_pool=pool))
    inputs = tf.constant(rng.normal(size=(4, 6)).astype(np.float32))
    with tf.GradientTape() as tape:
        found = model(inputs)
        loss = tf.reduce_sum(found["coarse"])
    expected = heads.FLAT_POOLS[pool](TREE.groups("fine"))(found["fine"])
    np.testing.assert_allclose(found["coarse"], expected, rtol=1e-6)
    assert tape.gradient(loss, model.trainable_weights) == [None, None]


def test_an_experiment_chooses_the_rule_of_its_flat_tagger():
    experiment = Experiment(backbone="cnn6", width=1 / 32, head="flat")
    for pool, layer in heads.FLAT_POOLS.items():
        _, body = tagger.build(experiment.but(flat_pool=pool), TREE)
        assert isinstance(body.get_layer(f"coarse_{pool}_pool"), layer)


def test_maximum_of_negative_scores_is_not_zero():
    """Groups of unequal length must not be filled up with zeros."""
    scores = np.array([[-3.0, -1.0, -2.0]], np.float32)
    np.testing.assert_array_equal(GroupedMaxPool([[0, 1], [2]])(scores), [[-1.0, -2.0]])


def test_soft_decision_tree_by_hand():
    children = np.array([[0.5, 1.0, 0.5]], np.float32)
    parents = np.array([[0.4, 0.8]], np.float32)
    layer = SoftDecisionTree([1, 0, 1])
    np.testing.assert_allclose(layer([children, parents]), [[0.4, 0.4, 0.4]])


def test_residual_attention_by_hand():
    layer = ResidualAttention(2, return_attention_scores=True)
    embedding = np.array([[1.0], [2.0]], np.float32)
    fine = np.array([[0.2, 0.8], [0.5, 1.0]], np.float32)
    layer.build([embedding.shape, fine.shape])
    # Rows are fine tags, columns coarse ones: column 0 prefers tag 0 by 3 to 1 (clip 0)
    # and by 9 to 1 (clip 1), column 1 is undecided but for the bias of 1 to 4.
    layer.kernel.assign([[np.log(3.0), 0.0, 0.0, 0.0]])
    layer.bias.assign([0.0, 0.0, 0.0, np.log(4.0)])
    coarse, attention = layer([embedding, fine])
    np.testing.assert_allclose(
        attention,
        [[[0.75, 0.2], [0.25, 0.8]], [[0.9, 0.2], [0.1, 0.8]]],
        rtol=1e-5,
    )
    np.testing.assert_allclose(coarse, [[0.35, 0.68], [0.55, 0.9]], rtol=1e-5)


# -- Properties ----------------------------------------------------------------------


@pytest.mark.parametrize("taxonomy", [TREE, TALL], ids=["two levels", "three levels"])
def test_sdt_child_is_never_above_its_parent(taxonomy, rng):
    outputs = random_answers("sdt", taxonomy, rng)
    for lower, upper in zip(taxonomy.levels, taxonomy.levels[1:], strict=False):
        parents = [own[0] for own in taxonomy.parents_of(lower)]
        assert (outputs[lower] <= outputs[upper][:, parents]).all()
        assert (outputs[lower] < outputs[upper][:, parents]).any()


def test_sdt_multiplies_all_the_way_down(rng):
    inputs = rng.normal(0, 2, (8, 6)).astype(np.float32)
    model = build("sdt", TALL)
    own = {
        level: model.get_layer(f"{level}_classifier")(inputs).numpy()
        for level in TALL.levels
    }
    under_root = TALL.membership("leaf", "root").argmax(axis=1)
    under_branch = TALL.membership("leaf", "branch").argmax(axis=1)
    expected = own["leaf"] * own["branch"][:, under_branch] * own["root"][:, under_root]
    np.testing.assert_allclose(answers(model, inputs)["leaf"], expected, rtol=1e-5)


@pytest.mark.parametrize("head", ["gmp", "flat"])
@pytest.mark.parametrize("taxonomy", [TREE, TALL, TWO_PARENTS], ids=lambda t: t.levels)
def test_gmp_parent_equals_its_largest_child(head, taxonomy, rng):
    outputs = random_answers(head, taxonomy, rng)
    for lower, upper in zip(taxonomy.levels, taxonomy.levels[1:], strict=False):
        for parent, children in enumerate(taxonomy.groups(lower)):
            largest = outputs[lower][:, list(children)].max(axis=1)
            np.testing.assert_array_equal(outputs[upper][:, parent], largest)


def test_gap_parent_lies_among_its_children(rng):
    outputs = random_answers("gap", TALL, rng)
    for lower, upper in (("leaf", "branch"), ("branch", "root")):
        for parent, children in enumerate(TALL.groups(lower)):
            own = outputs[lower][:, list(children)]
            np.testing.assert_allclose(
                outputs[upper][:, parent], own.mean(axis=1), rtol=1e-5
            )


@pytest.mark.parametrize("head", ["gmp", "flat", "gap"])
def test_parents_of_a_softmax_are_pooled_from_it(head, rng):
    """Grouped pools read the leaves that sum to 1, and no sum of them is taken."""
    inputs = rng.normal(0, 1, (16, 6)).astype(np.float32)
    outputs = answers(build(head, TALL, softmax=True), inputs)
    pool = np.mean if head == "gap" else np.max
    for lower, upper in (("leaf", "branch"), ("branch", "root")):
        for parent, children in enumerate(TALL.groups(lower)):
            own = pool(outputs[lower][:, list(children)], axis=1)
            np.testing.assert_allclose(outputs[upper][:, parent], own, rtol=1e-5)


def test_attention_columns_sum_to_one_and_weigh_the_fine_tags(rng):
    layer = ResidualAttention(3, return_attention_scores=True)
    embedding = rng.normal(0, 3, (16, 6)).astype(np.float32)
    fine = rng.uniform(0, 1, (16, 5)).astype(np.float32)
    coarse, attention = (values.numpy() for values in layer([embedding, fine]))
    np.testing.assert_allclose(attention.sum(axis=1), 1.0, atol=1e-6)
    assert attention.min() >= 0
    weighed = np.stack([a.T @ f for a, f in zip(attention, fine, strict=True)])
    np.testing.assert_allclose(coarse, weighed, atol=1e-6)
    assert np.abs(attention[0] - attention[1]).max() > 0.01  # a map of its own per clip
    silent = ResidualAttention.from_config(
        {**layer.get_config(), "return_attention_scores": False}
    )
    silent.build([embedding.shape, fine.shape])
    silent.set_weights(layer.get_weights())
    np.testing.assert_array_equal(silent([embedding, fine]), coarse)


@pytest.mark.parametrize(
    ("head", "reaches"),
    [("flat", False), ("gmp", True), ("gap", True), ("lp", True), ("resatt", True)],
)
def test_loss_on_coarse_tags_reaches_the_fine_classifier(head, reaches, rng):
    """Only the flat head keeps the loss of upper levels away from its classifier."""
    model = build(head, TALL)
    inputs = rng.normal(0, 1, (8, 6)).astype(np.float32)
    for level in ("branch", "root"):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model(inputs)[level])
        gradient = tape.gradient(total, model.get_layer("leaf_classifier").kernel)
        assert (gradient is not None and bool(np.any(gradient))) == reaches


def test_levelwise_levels_share_no_weight(rng):
    model = build("levelwise", TREE)
    inputs = rng.normal(0, 1, (8, 6)).astype(np.float32)
    before = answers(model, inputs)
    kernel = model.get_layer("coarse_classifier").kernel
    kernel.assign(kernel + 1.0)
    after = answers(model, inputs)
    np.testing.assert_array_equal(after["fine"], before["fine"])
    assert np.abs(after["coarse"] - before["coarse"]).max() > 0.01


# -- Attention that begins at the taxonomy -------------------------------------------


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the fine axis of (batch, fine, coarse), in float64."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("scale", [1.0, 0.02])
@pytest.mark.parametrize("prior", [0.0, 0.7, 3.0, 100.0])
@pytest.mark.parametrize("taxonomy", [TREE, TWO_PARENTS], ids=["tree", "two parents"])
def test_the_prior_is_added_to_the_logits_of_children(taxonomy, prior, scale, rng):
    groups, (fines, coarses) = taxonomy.groups("fine"), taxonomy.sizes.values()
    layer = ResidualAttention(
        coarses, groups=groups, prior=prior, scale=scale, return_attention_scores=True
    )
    embedding = rng.normal(0, 1, (8, 6)).astype(np.float32)
    fine = rng.uniform(0, 1, (8, fines)).astype(np.float32)
    layer.build([embedding.shape, fine.shape])
    layer.bias.assign(rng.normal(size=layer.bias.shape))
    logits = embedding.astype(np.float64) @ np.array(layer.kernel) + layer.bias
    logits = scale * logits.reshape(8, fines, coarses)
    for parent, children in enumerate(groups):
        for child in children:
            logits[:, child, parent] += prior
    expected = softmax(logits)
    coarse, attention = layer([embedding, fine])
    np.testing.assert_allclose(attention, expected, rtol=1e-4, atol=1e-6)
    weighed = np.einsum("bfc,bf->bc", expected, fine)
    np.testing.assert_allclose(coarse, weighed, rtol=1e-4)


def test_an_untrained_map_weighs_children_by_the_prior():
    prior = np.log(4.0)
    layer = ResidualAttention(
        2,
        groups=TWO_PARENTS.groups("fine"),  # a, b under x; b, c under y
        prior=prior,
        kernel_initializer="zeros",
        return_attention_scores=True,
    )
    _, attention = layer([np.ones((1, 6), np.float32), np.ones((1, 3), np.float32)])
    expected = [[4 / 9, 1 / 9], [4 / 9, 4 / 9], [1 / 9, 4 / 9]]
    np.testing.assert_allclose(attention[0], expected, rtol=1e-5)


@pytest.mark.parametrize("taxonomy", [TREE, TALL, TWO_PARENTS], ids=lambda t: t.levels)
def test_without_a_prior_it_is_the_papers_layer(taxonomy, rng):
    inputs = rng.normal(0, 2, (16, 6)).astype(np.float32)
    told = build("resatt", taxonomy)
    untold = keras.Input((6,))
    probabilities = told.get_layer(f"{taxonomy.fine}_classifier")(untold)
    for upper in taxonomy.levels[1:]:
        probabilities = ResidualAttention(taxonomy.sizes[upper], name=upper)(
            [untold, probabilities]
        )
    paper = keras.Model(untold, probabilities)
    for upper in taxonomy.levels[1:]:
        weights = told.get_layer(f"{upper}_attention").get_weights()
        paper.get_layer(upper).set_weights(weights)
    top = taxonomy.levels[-1]
    np.testing.assert_array_equal(paper(inputs), answers(told, inputs)[top])


@pytest.mark.parametrize("taxonomy", [TREE, TALL, TWO_PARENTS], ids=lambda t: t.levels)
def test_a_strong_prior_is_the_average_of_the_children(taxonomy, rng):
    """On every level: what is not a child has no weight left."""
    keras.utils.set_random_seed(3)
    embedding = keras.Input((6,))
    model = keras.Model(
        embedding, heads.resatt(embedding, taxonomy, attention_prior=50.0)
    )
    for upper in taxonomy.levels[1:]:
        kernel = model.get_layer(f"{upper}_attention").kernel
        kernel.assign(np.zeros(kernel.shape))
    outputs = answers(model, rng.normal(0, 2, (16, 6)).astype(np.float32))
    for lower, upper in zip(taxonomy.levels, taxonomy.levels[1:], strict=False):
        for parent, children in enumerate(taxonomy.groups(lower)):
            own = outputs[lower][:, list(children)].mean(axis=1)
            np.testing.assert_allclose(outputs[upper][:, parent], own, rtol=1e-5)


def test_the_prior_is_kept_by_maps_and_by_files(rng, tmp_path):
    keras.utils.set_random_seed(3)
    embedding = keras.Input((6,))
    model = keras.Model(
        embedding,
        heads.resatt(embedding, TALL, attention_prior=2.0, attention_scale=0.3),
    )
    inputs = rng.normal(0, 2, (16, 6)).astype(np.float32)
    expected = answers(model, inputs)
    model.save(tmp_path / "head.keras")
    again = keras.models.load_model(tmp_path / "head.keras")
    for each in (model, again):
        found = answers(tagger.attention_maps(each), inputs)
        for lower, upper in (("leaf", "branch"), ("branch", "root")):
            np.testing.assert_array_equal(found[upper], expected[upper])
            maps = found[f"{upper}_attention"]
            weighed = np.einsum("bfc,bf->bc", maps, expected[lower])
            np.testing.assert_allclose(expected[upper], weighed, rtol=1e-5)


# -- Errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": -0.1}, r"prior is 0 or, .*Received: prior=-0\.1"),
        ({"prior": float("nan")}, "prior is 0 or, .*Received: prior=nan"),
        ({"prior": 1.0}, "above 0. Received: prior=1.0, groups=None, units=2"),
        ({"groups": [[0], [1], [2]]}, "for each of its units.* units=2"),
        ({"groups": [[0, 1, 2]], "prior": 1.0}, "for each of its units.* units=2"),
        ({"scale": 0.0}, "scale is above 0. Received: scale=0.0"),
        ({"scale": float("nan")}, "scale is above 0. Received: scale=nan"),
        ({"groups": []}, "ResidualAttention needs a non-empty list of child"),
        ({"groups": [[0, 1], []]}, "ResidualAttention needs a non-empty list of ch"),
        ({"groups": [[0], [2]]}, "together covering 0 .. children - 1"),
    ],
)
def test_residual_attention_refuses_priors_and_groups(changes, message):
    with pytest.raises(ValueError, match=message):
        ResidualAttention(2, **changes)


@pytest.mark.parametrize("prior", [0.0, 1.0])
@pytest.mark.parametrize("num_fine", [2, 4])
def test_residual_attention_refuses_scores_of_another_taxonomy(prior, num_fine):
    layer = ResidualAttention(2, groups=[[0, 1], [2]], prior=prior)
    with pytest.raises(ValueError, match=r"expects \(batch, 3\).*Rebuild the layer"):
        layer([np.zeros((1, 6)), np.zeros((1, num_fine))])


@pytest.mark.parametrize("layer", [GroupedMaxPool, GroupedAveragePool, GroupedNoisyOr])
@pytest.mark.parametrize("groups", [[], [[0], []], [[0, 2]], [[-1, 0]]])
def test_pools_refuse_groups_that_do_not_cover_the_children(layer, groups):
    with pytest.raises(
        ValueError, match=f"{layer.__name__} needs .* Received: groups="
    ):
        layer(groups)


@pytest.mark.parametrize("layer", [GroupedMaxPool, GroupedAveragePool, GroupedNoisyOr])
def test_pools_refuse_scores_of_another_taxonomy(layer):
    with pytest.raises(ValueError, match=r"expects \(batch, 3\).*Rebuild the layer"):
        layer([[0, 2], [1]])(np.zeros((2, 4), np.float32))


@pytest.mark.parametrize("parents", [[], [0, -1]])
def test_soft_decision_tree_refuses_bad_parents(parents):
    with pytest.raises(ValueError, match="index of one parent for every child"):
        SoftDecisionTree(parents)


@pytest.mark.parametrize(
    ("children", "parents", "message"),
    [(4, 2, r"expects \(batch, 3\)"), (3, 1, r"expects \(batch, 2\) parent")],
)
def test_soft_decision_tree_refuses_other_shapes(children, parents, message):
    layer = SoftDecisionTree([0, 0, 1])
    with pytest.raises(ValueError, match=message):
        layer([np.zeros((2, children)), np.zeros((2, parents))])


def test_residual_attention_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="at least one coarse tag.*units=0"):
        ResidualAttention(0)
    with pytest.raises(ValueError, match=r"expects \[embedding \(batch, units\)"):
        ResidualAttention(2)([np.zeros((2, 3, 6)), np.zeros((2, 4))])
