"""Taggers: pieces that share weights, names that must exist, attention maps."""

import functools

import keras
import numpy as np
import pytest

from tfhier import saved, tagger
from tfhier.backbones import BACKBONES
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.heads import HEADS
from tfhier.layers import LogMel, SpecAugment
from tfhier.taxonomy import Taxonomy

TREE = Taxonomy.parse("zebra,animal\na,x\nb,x\nc,y\nd,y\ne,z\n")
TALL = Taxonomy.parse("leaf,branch,root\na,p,x\nb,p,x\nc,q,x\nd,r,y\n")
SMALL = Experiment(backbone="cnn6", width=1 / 16, head="resatt", clip_seconds=1.0)


def whole(experiment: Experiment = SMALL, taxonomy: Taxonomy = TREE, **more):
    return tagger.end_to_end(*tagger.build(experiment, taxonomy, **more))


@functools.cache
def reference() -> keras.Model:
    """One tagger for the tests that only read it."""
    return whole()


def sounds(rng, *, clips: int = 2, samples: int = 16_000) -> np.ndarray:
    return rng.uniform(-0.5, 0.5, (clips, samples)).astype(np.float32)


@pytest.mark.parametrize("head", HEADS)
def test_waveform_in_probabilities_out(head, rng):
    answers = whole(SMALL.but(head=head), TALL)(sounds(rng))
    assert list(answers) == ["leaf", "branch", "root"]
    for level, values in answers.items():
        assert values.shape == (2, TALL.sizes[level])
        assert ((values.numpy() >= 0) & (values.numpy() <= 1)).all()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_joins(backbone, rng):
    answers = whole(SMALL.but(backbone=backbone))(sounds(rng))
    assert {level: values.shape for level, values in answers.items()} == {
        "zebra": (2, 5),
        "animal": (2, 3),
    }


def test_the_front_end_is_the_named_one():
    frontend, body = tagger.build(SMALL.but(frontend="panns_32k"), TREE)
    assert isinstance(frontend, LogMel)
    assert (frontend.sample_rate, frontend.hop_length) == (32_000, 320)
    assert body.input_shape == (None, None, 64)
    assert body.name == "body"


def test_a_front_end_takes_the_place_of_the_named_one(rng):
    own = LogMel(
        sample_rate=22_050,
        num_fft=4_096,
        hop_length=441,
        num_mels=20,
        min_hertz=20.0,
        max_hertz=11_025.0,
        name="own",
    )
    frontend, body = tagger.build(SMALL, TREE, frontend=own)
    assert frontend is own
    assert body.input_shape == (None, None, 20)
    assert tagger.end_to_end(frontend, body)(sounds(rng))["zebra"].shape == (2, 5)


def test_joined_pieces_share_their_weights(rng):
    frontend, body = tagger.build(SMALL, TREE)
    joined = tagger.end_to_end(frontend, body)
    inputs = sounds(rng)
    before = joined(inputs)["zebra"].numpy()
    np.testing.assert_array_equal(body(frontend(inputs))["zebra"], before)
    bias = body.get_layer("zebra_classifier").bias
    bias.assign(bias + 1.0)
    after = joined(inputs)["zebra"].numpy()
    assert (after > before).all()
    np.testing.assert_array_equal(body(frontend(inputs))["zebra"], after)


def test_equal_seeds_give_equal_weights():
    first, again = (tagger.build(SMALL, TREE, seed=4)[1] for _ in range(2))
    other = tagger.build(SMALL, TREE, seed=5)[1]
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    kernels = [model.get_layer("fc1").kernel.numpy() for model in (first, other)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3


def test_clips_of_any_length_and_of_any_batch(rng):
    model = reference()
    for clips, samples in ((1, 8_000), (3, 20_000)):
        assert model(sounds(rng, clips=clips, samples=samples))["zebra"].shape == (
            clips,
            5,
        )


def test_a_saved_tagger_answers_alike_in_its_own_order(rng, tmp_path):
    inputs = sounds(rng)
    reference().save(tmp_path / "tagger.keras")
    again = keras.saving.load_model(tmp_path / "tagger.keras")(inputs)
    expected = reference()(inputs)
    assert list(again) == ["zebra", "animal"]
    for level, values in expected.items():
        np.testing.assert_array_equal(again[level], values)


# -- SpecAugment ---------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [True, False])
def test_spec_augment_is_there_when_asked_for(wanted):
    _, body = tagger.build(SMALL.but(spec_augment=wanted), TREE)
    found = [layer for layer in body.layers if isinstance(layer, SpecAugment)]
    assert len(found) == int(wanted)
    if wanted:
        names = [layer.name for layer in body.layers]
        assert names.index("spec_augment") == names.index("bn0") + 1


def test_spec_augment_changes_no_answer(rng):
    inputs = sounds(rng)
    without = whole(SMALL.but(spec_augment=False))
    without.set_weights(
        [
            w
            for w, v in zip(reference().get_weights(), reference().weights, strict=True)
            if "spec_augment" not in v.path
        ]
    )
    np.testing.assert_array_equal(
        without(inputs)["zebra"], reference()(inputs)["zebra"]
    )


# -- Precomputed features ------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12,), (10, 12)])
def test_features_take_the_place_of_the_front_end(shape, rng):
    experiment = SMALL.but(backbone="mlp", head="gmp")
    frontend, body = tagger.build(experiment, TREE, feature_shape=shape)
    assert frontend is None
    assert not any(isinstance(layer, SpecAugment) for layer in body.layers)
    features = rng.normal(size=(3, *shape)).astype(np.float32)
    joined = tagger.end_to_end(frontend, body)
    assert joined.name == "tagger"
    np.testing.assert_array_equal(joined(features)["zebra"], body(features)["zebra"])


# -- Attention maps ------------------------------------------------------------------


def test_attention_maps_explain_the_answers(rng):
    model = whole(taxonomy=TALL)
    answers = {
        k: v.numpy() for k, v in tagger.attention_maps(model)(sounds(rng)).items()
    }
    plain = model(sounds(np.random.default_rng(20_230_604)))
    assert list(answers) == [*TALL.levels, "branch_attention", "root_attention"]
    for lower, upper in (("leaf", "branch"), ("branch", "root")):
        maps = answers[f"{upper}_attention"]
        assert maps.shape == (2, TALL.sizes[lower], TALL.sizes[upper])
        np.testing.assert_allclose(maps.sum(axis=1), 1, atol=1e-5)
        weighed = np.einsum("bfc,bf->bc", maps, answers[lower])
        np.testing.assert_allclose(answers[upper], weighed, atol=1e-6)
    for level in TALL.levels:
        np.testing.assert_allclose(answers[level], plain[level], atol=1e-6)


def test_attention_maps_follow_a_reloaded_tagger(rng, tmp_path):
    reference().save(tmp_path / "tagger.keras")
    again = keras.saving.load_model(tmp_path / "tagger.keras")
    inputs = sounds(rng)
    maps = [
        tagger.attention_maps(m)(inputs)["animal_attention"]
        for m in (again, reference())
    ]
    np.testing.assert_array_equal(*maps)


def test_attention_maps_of_features(rng):
    experiment = SMALL.but(backbone="mlp")
    model = whole(experiment, feature_shape=(12,))
    features = rng.normal(size=(3, 12)).astype(np.float32)
    assert tagger.attention_maps(model)(features)["animal_attention"].shape == (3, 5, 3)


def test_attention_maps_of_a_network_of_ones_own(rng):
    inputs = keras.Input((6,))
    model = keras.Model(inputs, HEADS["resatt"](inputs, TALL))
    found = tagger.attention_maps(model)(rng.normal(size=(3, 6)))
    assert found["branch_attention"].shape == (3, 4, 3)
    np.testing.assert_allclose(
        np.sum(found["root_attention"], axis=1), np.ones((3, 2)), rtol=1e-5
    )


def test_other_heads_have_no_attention():
    with pytest.raises(InputError, match="Only taggers with the head 'resatt'"):
        tagger.attention_maps(whole(SMALL.but(head="gmp")))


# -- Backbones of one's own ----------------------------------------------------------


@keras.saving.register_keras_serializable("tests")
class Registered(keras.layers.Layer):
    """A layer that a saved model can be loaded with."""

    def call(self, inputs):
        return inputs


class Forgotten(keras.layers.Layer):
    """A layer that was not registered."""

    def call(self, inputs):
        return inputs


def own_backbone(layer, *, pooled: bool = True):
    def build(log_mel, *, width=1.0, dropout_scale=1.0, augment=None):
        x = layer()(log_mel)
        return keras.layers.GlobalAveragePooling1D()(x) if pooled else x

    return build


def test_a_backbone_of_ones_own_is_taken(monkeypatch, rng):
    monkeypatch.setitem(BACKBONES, "mine", own_backbone(Registered))
    model = whole(SMALL.but(backbone="mine", spec_augment=False))
    saved.check_loadable(model)
    assert model(sounds(rng))["zebra"].shape == (2, 5)


def test_a_backbone_that_leaves_a_map_is_refused(monkeypatch):
    def build(log_mel, *, width, dropout_scale, augment):
        return Registered()(keras.ops.expand_dims(log_mel, -1))

    monkeypatch.setitem(BACKBONES, "mine", build)
    with pytest.raises(InputError, match=r"embedding of shape \(batch, units\)"):
        whole(SMALL.but(backbone="mine"))


# -- The neck ------------------------------------------------------------------------


def test_frames_of_an_embedding_are_averaged(monkeypatch, rng):
    inputs = rng.normal(size=(3, 7, 5)).astype(np.float32)
    answers = {}
    for name, pooled in (("pooled", True), ("frames", False)):
        monkeypatch.setitem(BACKBONES, "mine", own_backbone(Registered, pooled=pooled))
        experiment = SMALL.but(backbone="mine", spec_augment=False)
        body = tagger.build(experiment, TREE, feature_shape=(7, 5), seed=4)[1]
        answers[name] = body(inputs)
    for level in TREE.levels:
        np.testing.assert_allclose(
            answers["frames"][level], answers["pooled"][level], rtol=1e-5
        )


def test_the_hidden_layer_hears_every_frame_and_then_averages(monkeypatch, rng):
    monkeypatch.setitem(BACKBONES, "mine", own_backbone(Registered, pooled=False))
    experiment = SMALL.but(
        backbone="mine", spec_augment=False, head="flat", hidden_units=6
    )
    body = settled(tagger.build(experiment, TREE, feature_shape=(7, 5))[1], 1)
    inputs = rng.normal(size=(3, 7, 5)).astype(np.float32)
    gamma, beta, mean, variance = body.get_layer("hidden_bn").get_weights()
    kernel, bias = body.get_layer("hidden").get_weights()
    last, shift = body.get_layer("zebra_classifier").get_weights()
    x = (inputs - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    x = np.maximum(x @ kernel + bias, 0).mean(axis=1)
    expected = 1 / (1 + np.exp(-(x @ last + shift)))
    np.testing.assert_allclose(body(inputs)["zebra"], expected, rtol=1e-4)


def test_dropout_of_the_neck_is_the_identity_at_inference(rng):
    features = rng.normal(size=(4, 6)).astype(np.float32)
    experiment = SMALL.but(backbone="mlp", spec_augment=False)
    plain, dropped = (
        tagger.build(
            experiment.but(hidden_dropout=rate), TREE, feature_shape=(6,), seed=2
        )[1]
        for rate in (0.0, 0.5)
    )
    for level, values in plain(features).items():
        np.testing.assert_allclose(dropped(features)[level], values, rtol=1e-6)
    twice = [dropped(features, training=True)["zebra"] for _ in range(2)]
    assert np.abs(twice[0] - twice[1]).max() > 0


def test_a_layer_that_no_file_could_be_loaded_with_is_named(monkeypatch):
    monkeypatch.setitem(BACKBONES, "mine", own_backbone(Forgotten))
    model = whole(SMALL.but(backbone="mine"))
    with pytest.raises(InputError, match="Forgotten.*register_keras_serializable"):
        saved.check_loadable(model)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_house_has_nothing_that_cannot_be_loaded(backbone):
    experiment = Experiment(backbone=backbone, width=1 / 16)
    shape = (10, 8) if backbone == "mlp" else None
    saved.check_loadable(whole(experiment, feature_shape=shape))


# -- Errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"frontend": "panns_16"},
            "no frontend 'panns_16'. Close: .*tfhier list front",
        ),
        ({"backbone": "cnn"}, "no backbone 'cnn'. Close: .*cnn6"),
        ({"head": "resat"}, "no head 'resat'. Close: resatt.*tfhier list heads"),
    ],
)
def test_unknown_names_are_refused_with_close_ones(change, message):
    with pytest.raises(InputError, match=message):
        tagger.build(SMALL.but(**change), TREE)


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({"frontend": "primates_8k", "clip_seconds": 0.0642}, True),  # 513 samples
        ({"frontend": "primates_8k", "clip_seconds": 0.064}, False),
        ({"frontend": "primates_8k", "crop_seconds": 0.064}, False),
    ],
)
def test_clips_too_short_for_the_front_end_are_refused(change, fits, rng):
    experiment = SMALL.but(**change)
    if not fits:
        with pytest.raises(
            InputError, match="primates_8k needs clips of 0.064125 s or more"
        ):
            tagger.build(experiment, TREE)
        return
    samples = int(experiment.clip_seconds * 8_000)
    assert whole(experiment)(sounds(rng, samples=samples))["zebra"].shape == (2, 5)


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "mlp"])
def test_clips_shorter_than_the_poolings_are_answered(backbone, rng):
    """0.3 s at 8 kHz are 8 frames."""
    experiment = SMALL.but(backbone=backbone, frontend="primates_8k", clip_seconds=0.3)
    frontend, body = tagger.build(experiment, TREE)
    inputs = sounds(rng, samples=2_400)
    assert frontend(inputs).shape == (2, 8, 64)
    answers = tagger.end_to_end(frontend, body)(inputs)["zebra"].numpy()
    assert answers.shape == (2, 5)
    assert np.isfinite(answers).all()


@pytest.mark.parametrize(
    ("backbone", "shape", "fits"),
    [
        ("cnn6", (3, 16), True),
        ("cnn6", (100, 15), False),
        ("mobilenet_v1", (3, 32), True),
        ("mobilenet_v1", (100, 31), False),
        ("wide_resnet28", (3, 1), True),
        ("wide_resnet28", (64,), False),
    ],
)
def test_maps_of_too_few_bands_are_refused(backbone, shape, fits, rng):
    experiment = SMALL.but(backbone=backbone)
    if fits:
        body = tagger.build(experiment, TREE, feature_shape=shape)[1]
        features = rng.normal(size=(2, *shape)).astype(np.float32)
        assert np.isfinite(body(features)["zebra"]).all()
        return
    with pytest.raises(InputError, match=rf"{backbone} needs maps .* bands.*=mlp"):
        tagger.build(experiment, TREE, feature_shape=shape)


# -- Several backbones ---------------------------------------------------------------

FUSION = SMALL.but(backbone="cnn10+resnet22", head="levelwise")


def units(experiment: Experiment) -> int:
    """Width of what the classifier of the finest level sees."""
    body = tagger.build(experiment, TREE)[1]
    return body.get_layer("zebra_classifier").kernel.shape[0]


def settled(model: keras.Model, seed: int) -> keras.Model:
    """Give a model weights of its own everywhere, statistics included."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        noise = rng.uniform(0.5, 1.5, weight.shape)
        weight.assign(weight * noise + 1e-3 * noise)
    return model


@pytest.fixture(scope="module")
def parents(tmp_path_factory):
    """Saved taggers of the two backbones, and of a wider one: path by name."""
    folder = tmp_path_factory.mktemp("parents")
    found = {}
    for number, (name, experiment) in enumerate(
        {
            "cnn10": FUSION.but(backbone="cnn10"),
            "resnet22": FUSION.but(backbone="resnet22"),
            "wide": FUSION.but(backbone="cnn10", width=1 / 8),
        }.items()
    ):
        frontend, body = tagger.build(experiment, TREE, seed=number)
        found[name] = folder / f"{name}.keras"
        tagger.end_to_end(frontend, settled(body, number)).save(found[name])
    return found


def begun(parents, experiment, *names) -> tuple[LogMel, keras.Model]:
    """A body that starts from some of the parents."""
    experiment = experiment.but(initial=names)
    frontend, body = tagger.build(experiment, TREE, seed=9)
    saved.start_from(body, [parents[name] for name in names], experiment)
    return frontend, body


def test_a_fusion_sees_what_its_backbones_see(parents, rng):
    inputs = sounds(rng)
    fused = tagger.embedder(
        tagger.end_to_end(*begun(parents, FUSION, "cnn10", "resnet22")), TREE
    )(inputs)
    alone = [
        tagger.embedder(keras.models.load_model(parents[name]), TREE)(inputs)
        for name in ("cnn10", "resnet22")
    ]
    assert fused.shape[1] == units(FUSION) == sum(part.shape[1] for part in alone)
    np.testing.assert_allclose(fused, np.concatenate(alone, axis=1), rtol=1e-5)
    assert all(np.abs(part).max() > 1e-3 for part in alone)


def test_a_fusion_is_saved_and_loaded(rng, tmp_path):
    model = whole(FUSION)
    saved.check_loadable(model)
    body = model.get_layer("body")
    names = [layer.name for layer in body.layers]
    assert {"cnn10", "resnet22", "fusion"} <= set(names)
    own = {name: {x.name for x in body.get_layer(name).layers} for name in names[1:3]}
    assert set.intersection(*own.values())  # the same names, in models of their own
    model.save(tmp_path / "fusion.keras")
    again = keras.models.load_model(tmp_path / "fusion.keras")
    inputs = sounds(rng)
    for level, values in model(inputs).items():
        np.testing.assert_array_equal(again(inputs)[level], values)


def test_every_backbone_of_a_fusion_is_checked():
    with pytest.raises(InputError, match="no backbone 'cnn11'. Close: cnn1"):
        tagger.build(FUSION.but(backbone="cnn10+cnn11"), TREE)
    with pytest.raises(InputError, match="resnet22 needs maps"):
        tagger.build(FUSION.but(backbone="mlp+resnet22"), TREE, feature_shape=(64,))


# -- Starting from saved taggers -----------------------------------------------------


def backbone_weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    """Weights by layer, of all but the classifiers."""
    return {
        layer.name: layer.get_weights()
        for layer in model.layers
        if layer.weights and "classifier" not in layer.name
    }


def test_a_start_carries_the_backbone_exactly_and_nothing_else(parents, rng):
    experiment = FUSION.but(backbone="cnn10")
    frontend, body = begun(parents, experiment, "cnn10")
    saved = keras.models.load_model(parents["cnn10"])
    found, expected = map(backbone_weights, (body, saved.get_layer("body")))
    assert found.keys() == expected.keys()
    assert len(found) > 8
    for name, weights in found.items():
        for mine, its in zip(weights, expected[name], strict=True):
            np.testing.assert_array_equal(mine, its)
    fresh = tagger.build(experiment, TREE, seed=9)[1]
    for level in TREE.levels:
        mine, own = (m.get_layer(f"{level}_classifier").kernel for m in (body, fresh))
        np.testing.assert_array_equal(mine, own)


@pytest.mark.parametrize(
    ("backbone", "names", "message"),
    [
        ("cnn10", ("wide",), "wide.keras has other layers than cnn10 at width"),
        ("cnn10", ("resnet22",), "resnet22.keras has other layers than cnn10"),
        ("cnn10+resnet22", ("resnet22", "cnn10"), "has other layers than cnn10"),
        ("cnn10+resnet22", ("cnn10",), "one experiment for each .*Received: cnn10"),
        ("cnn10", ("cnn10", "resnet22"), "here cnn10. Received: cnn10, resnet22"),
        ("cnn10", (), "one experiment for each"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(parents, backbone, names, message):
    with pytest.raises(InputError, match=message):
        begun(parents, FUSION.but(backbone=backbone), *names)


@pytest.mark.parametrize(
    ("backbone", "names"),
    [("cnn10", ("cnn10",)), ("cnn10+resnet22", ("cnn10", "resnet22"))],
)
def test_a_frozen_backbone_keeps_weights_and_statistics(parents, backbone, names, rng):
    experiment = FUSION.but(backbone=backbone, frozen=True, initial=names)
    _, body = begun(parents, experiment, *names)
    heads = [f"{level}_classifier" for level in TREE.levels]
    own = [w for name in heads for w in body.get_layer(name).weights]
    assert {id(w) for w in body.trainable_variables} == {id(w) for w in own}
    before = backbone_weights(body)
    kernels = [body.get_layer(name).get_weights()[0] for name in heads]
    body.compile(keras.optimizers.SGD(1.0), loss=dict.fromkeys(TREE.levels, "mse"))
    log_mels = rng.uniform(-60, 0, (4, 64, 64)).astype(np.float32)
    targets = {level: rng.random((4, size)) for level, size in TREE.sizes.items()}
    body.fit(log_mels, targets, batch_size=4, epochs=2, verbose=0)
    for name, weights in backbone_weights(body).items():
        for mine, its in zip(weights, before[name], strict=True):
            np.testing.assert_array_equal(mine, its)
    for name, kernel in zip(heads, kernels, strict=True):
        assert np.abs(body.get_layer(name).get_weights()[0] - kernel).max() > 1e-6


# -- Embeddings ----------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("head", ["flat", "resatt", "levelwise"])
def test_the_embedding_is_what_the_classifier_sees(head, rng, tmp_path):
    model = whole(SMALL.but(head=head))
    model.save(tmp_path / "tagger.keras")
    model = keras.models.load_model(tmp_path / "tagger.keras")
    inputs = sounds(rng)
    embeddings = tagger.embedder(model, TREE)(inputs).numpy()
    kernel, bias = model.get_layer("body").get_layer("zebra_classifier").get_weights()
    np.testing.assert_allclose(
        sigmoid(embeddings @ kernel + bias), model(inputs)["zebra"], rtol=1e-5
    )


def test_embeddings_of_features(rng):
    model = whole(SMALL.but(backbone="mlp"), feature_shape=(12,))
    features = rng.normal(size=(3, 12)).astype(np.float32)
    embeddings = tagger.embedder(model, TREE)(features).numpy()
    kernel, bias = model.get_layer("body").get_layer("zebra_classifier").get_weights()
    np.testing.assert_allclose(
        sigmoid(embeddings @ kernel + bias), model(features)["zebra"], rtol=1e-5
    )


def test_a_start_from_another_front_end_is_refused(parents):
    experiment = FUSION.but(backbone="cnn10", frontend="primates_8k")
    with pytest.raises(
        InputError, match=r"cnn10\.keras has another front end than pri"
    ):
        begun(parents, experiment, "cnn10")


@pytest.mark.parametrize(
    ("setting", "fits"),
    [({}, True), ({"offset": 0.002}, False), ({"center": True}, False)],
)
def test_a_start_looks_at_every_setting_of_the_front_end(setting, fits, tmp_path):
    experiment = FUSION.but(backbone="cnn10", frontend="yamnet_16k")
    frontend, body = tagger.build(experiment, TREE)
    other = LogMel.from_config({**frontend.get_config(), **setting})
    tagger.end_to_end(other, body).save(tmp_path / "parent.keras")
    parents = {"parent": tmp_path / "parent.keras"}
    if fits:
        begun(parents, experiment, "parent")
        return
    with pytest.raises(InputError, match=r"parent\.keras has another front end"):
        begun(parents, experiment, "parent")


@pytest.mark.parametrize("place", [200, -30])
def test_a_start_from_a_damaged_file_is_refused(parents, tmp_path, place):
    content = bytearray(parents["cnn10"].read_bytes())
    content[place] ^= 255
    (tmp_path / "damaged.keras").write_bytes(content)
    with pytest.raises(InputError, match=r"damaged\.keras is no usable Keras model"):
        begun({"d": tmp_path / "damaged.keras"}, FUSION.but(backbone="cnn10"), "d")
