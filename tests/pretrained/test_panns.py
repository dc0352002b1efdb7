"""State dicts of PANNs and of the primates: recognised, carried over, refused."""

import functools

import keras
import numpy as np
import pytest

from tests.pretrained import published, torch_writer
from tests.pretrained.published import NETWORKS
from tfhier import frontends, taxonomy
from tfhier.backbones import BACKBONES
from tfhier.errors import InputError
from tfhier.frontends import FRONTENDS
from tfhier.heads import HEADS
from tfhier.layers import LogMel
from tfhier.pretrained import front_end, panns
from tfhier.pretrained.ported import Ported
from tfhier.taxonomy import Taxonomy

# Those that checkpoints of this family were trained behind.
OWN_FRONTENDS = [name for name in FRONTENDS if not name.startswith("yamnet")]
KERNEL = "spectrogram_extractor.stft.conv_real.weight"


@functools.cache
def source(backbone: str) -> keras.Model:
    """A body of random weights, for tests that only read it."""
    return published.body(backbone)


def state(backbone: str = "cnn6", frontend: str = "panns_16k", **more) -> dict:
    """What the published code would save of a network, front end included."""
    model = published.body(backbone, **more) if more else source(backbone)
    return published.front_end(FRONTENDS[frontend]) | published.state_dict(model)


def body(ported: Ported) -> keras.Model:
    return ported.tagger.get_layer("body")


def sounds(rng, *, samples: int = 8_000) -> np.ndarray:
    return rng.uniform(-0.5, 0.5, (2, samples)).astype(np.float32)


# -- What is carried over ------------------------------------------------------------


def test_every_network_on_maps_is_known():
    assert set(panns.NETWORKS) == set(NETWORKS) == set(BACKBONES) - {"mlp", "yamnet"}


@pytest.mark.parametrize("backbone", NETWORKS)
def test_every_variable_arrives_where_it_came_from(backbone):
    tensors = state(backbone)
    shuffled = np.random.default_rng(1).permutation(list(tensors))
    ported = panns.convert({str(name): tensors[name] for name in shuffled})
    own = {variable.path: np.array(variable) for variable in body(ported).weights}
    expected = {
        variable.path: np.array(variable) for variable in source(backbone).weights
    }
    assert own.keys() == expected.keys()
    for path, values in expected.items():
        np.testing.assert_array_equal(own[path], values)
    assert {item.name for item in ported.skipped} == {
        name
        for name in tensors
        if name.endswith(("num_batches_tracked", "melW")) or ".stft." in name
    }
    assert all(item.reason for item in ported.skipped)


@pytest.mark.parametrize("backbone", NETWORKS)
def test_the_tagger_answers_as_its_source(backbone, rng):
    ported = panns.convert(state(backbone))
    log_mel, _ = front_end.build({}, "panns_16k")
    inputs = sounds(rng)
    assert list(ported.tagger.input_shape) == [None, None]
    np.testing.assert_allclose(
        ported.tagger(inputs)["label"],
        source(backbone)(log_mel(inputs))["label"],
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_tagger_is_saved_and_loaded(rng, tmp_path):
    ported = panns.convert(state())
    ported.tagger.save(tmp_path / "ported.keras")
    again = keras.models.load_model(tmp_path / "ported.keras")
    inputs = sounds(rng)
    np.testing.assert_array_equal(
        again(inputs)["label"], ported.tagger(inputs)["label"]
    )


def classifier(ported: Ported) -> list[np.ndarray]:
    (level,) = ported.contract.taxonomy.levels
    return body(ported).get_layer(f"{level}_classifier").get_weights()


def trained_on(name: str, units: int) -> dict[str, np.ndarray]:
    """A last layer of three classes, whose biases count them."""
    return {
        f"{name}.weight": np.full((3, units), 0.5),
        f"{name}.bias": np.arange(3.0),
    }


@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_network_that_was_trained_on_keeps_its_own_classifier(is_wrapped):
    plain = state()
    base = {f"base.{name}" if is_wrapped else name: plain[name] for name in plain}
    units = plain["fc_audioset.weight"].shape[1]
    ported = panns.convert(base | trained_on("fc_transfer", units))
    kernel, bias = classifier(ported)
    np.testing.assert_array_equal(kernel, np.full((units, 3), 0.5))
    np.testing.assert_array_equal(bias, [0.0, 1.0, 2.0])
    replaced = [s.name for s in ported.skipped if "fc_transfer replaces" in s.reason]
    start = "base." if is_wrapped else ""
    assert replaced == [f"{start}fc_audioset.weight", f"{start}fc_audioset.bias"]
    assert "if these do, give softmax" in " ".join(ported.notes)
    expected = published.body("cnn6").get_layer("fc1").get_weights()
    np.testing.assert_array_equal(
        body(ported).get_layer("fc1").get_weights()[0], expected[0]
    )


def test_a_last_layer_of_another_name_is_given(tmp_path):
    plain = without(state(), "fc_audioset.")
    tensors = plain | trained_on("fc_out", plain["fc1.weight"].shape[0])
    path = tmp_path / "tuned.pth"
    torch_writer.write(path, {f"model.{name}": tensors[name] for name in tensors})
    ported = panns.port(path, classifier="fc_out", softmax=True)
    np.testing.assert_array_equal(classifier(ported)[1], [0.0, 1.0, 2.0])
    with pytest.raises(InputError, match="A last layer of another name"):
        panns.port(path)


def test_what_lies_beside_the_network_is_named(tmp_path):
    tensors = {f"net.{name}": tensor for name, tensor in state().items()}
    beside = {"loss.weight": np.ones(3), "metric.count": np.ones(1)}
    path = tmp_path / "last.ckpt"
    torch_writer.write(
        path, {"pytorch-lightning_version": "2", "state_dict": tensors | beside}
    )
    ported = panns.port(path)
    reasons = {skipped.name: skipped.reason for skipped in ported.skipped}
    assert set(beside) <= set(reasons)
    assert {reasons[name] for name in beside} == {"beside the network"}


def test_softmax_lets_classes_exclude_each_other(rng):
    sums = [
        panns.convert(state(), softmax=softmax)
        .tagger(sounds(rng))["label"]
        .numpy()
        .sum(axis=1)
        for softmax in (True, False)
    ]
    np.testing.assert_allclose(sums[0], 1.0, rtol=1e-5)
    assert np.abs(sums[1] - 1.0).min() > 1e-3


# -- Which network it is -------------------------------------------------------------


@functools.cache
def full_size(backbone: str, width: float, num_classes: int) -> dict[str, np.ndarray]:
    """Published names and shapes, the values a single zero each."""
    with keras.StatelessScope():  # which keeps the weights symbolic
        inputs = keras.Input((None, 64))
        embedding = BACKBONES[backbone](inputs, width=width)
        labels = Taxonomy.flat([f"l{number}" for number in range(num_classes)])
        model = keras.Model(inputs, HEADS["flat"](embedding, labels))
    tensors = {}
    for layer in model.layers:
        for variable in layer.weights:
            zeros = np.broadcast_to(np.float32(0), variable.shape)
            name = published.name_of(variable.path)
            tensors[name] = published.turned(zeros, layer)
    return tensors


@pytest.mark.parametrize(
    ("backbone", "width", "num_classes", "num_tensors", "some"),
    [
        # Numbers of tensors, and names and shapes that are easily mistaken, from the
        # constructors of the published code.
        ("cnn6", 1, 527, 33, {"conv_block1.conv1.weight": (64, 1, 5, 5)}),
        ("cnn10", 1, 5, 57, {"conv_block4.conv1.weight": (512, 256, 3, 3)}),
        ("cnn14", 1, 527, 81, {"fc_audioset.weight": (527, 2_048)}),
        (
            "mobilenet_v1",
            1,
            527,
            171,
            {
                "features.0.0.weight": (32, 1, 3, 3),
                "features.1.0.weight": (32, 1, 3, 3),
                "features.1.4.weight": (64, 32, 1, 1),
                "features.13.5.running_var": (1_024,),
            },
        ),
        (
            "resnet22",
            1,
            527,
            147,
            {
                "conv_block_after1.conv1.weight": (2_048, 512, 3, 3),
                "resnet.layer1.1.bn2.weight": (64,),
                "resnet.layer2.0.downsample.1.weight": (128, 64, 1, 1),
                "resnet.layer2.0.downsample.2.running_mean": (128,),
            },
        ),
        (
            "wide_resnet28",
            2,
            5,
            171,
            {
                "conv1.weight": (64, 1, 3, 3),
                "bn1.running_var": (64,),
                "layer2.0.down_sample.0.weight": (128, 64, 1, 1),
                "layer3.3.conv2.weight": (256, 256, 3, 3),
                "fc1.weight": (256, 256),
            },
        ),
        ("wide_resnet28", 1, 5, 171, {"layer2.0.down_sample.1.bias": (64,)}),
        ("cnn10", 2, 10, 57, {"fc1.weight": (1_024, 1_024)}),
        ("mobilenet_v1", 0.25, 10, 171, {"features.12.4.weight": (256, 128, 1, 1)}),
    ],
)
def test_network_width_and_classes_follow_from_the_tensors(
    backbone, width, num_classes, num_tensors, some
):
    tensors = full_size(backbone, width, num_classes)
    assert panns.architecture(tensors) == (backbone, width, num_classes)
    counters = sum(name.endswith("running_var") for name in tensors)
    assert len(tensors) + counters == num_tensors
    assert {name: tensors[name].shape for name in some} == some


@pytest.mark.parametrize("width", [0.03, 0.3])
def test_any_width_is_found(width):
    for backbone in ("cnn6", "wide_resnet28", "resnet22"):
        tensors = full_size(backbone, width, 3)
        found, narrow, _ = panns.architecture(tensors)
        again = full_size(found, narrow, 3)
        shapes = [{name: x.shape for name, x in t.items()} for t in (tensors, again)]
        assert shapes[0] == shapes[1]


def without(tensors: dict, *beginnings: str) -> dict:
    return {name: x for name, x in tensors.items() if not name.startswith(beginnings)}


def renamed(tensors: dict, old: str, new: str) -> dict:
    return {name.replace(old, new): values for name, values in tensors.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: {}, "none of the networks cnn6, cnn10, .*wide_resnet28.* 0 tensors"),
        (
            lambda: {"encoder.weight": np.ones(2), "loss.weight": np.ones(2)},
            "of encoder.weight, .*; first kernel: none.* as prefix; .*: encoder, loss$",
        ),
        # ResNet38 has more blocks, LeeNet11 convolutions over one axis.
        (
            lambda: (
                state("resnet22")
                | {"resnet.layer1.2.conv1.weight": np.ones((2, 2, 3, 3))}
            ),
            r"none of the networks.*resnet\.layer1\.2",
        ),
        (
            lambda: state("cnn14") | {"conv_block1.conv1.weight": np.ones((2, 1, 3))},
            r"none of the networks.*first kernel: conv_block1\.conv1\.weight \(2, 1, 3",
        ),
        (
            lambda: state() | {"conv_block1.conv1.weight": np.ones((4, 1, 7, 7))},
            r"none of the networks.*\(4, 1, 7, 7\)",
        ),
        (lambda: without(state("cnn10"), "conv_block3."), "none of the networks"),
        (
            lambda: without(state("mobilenet_v1"), "features.13."),
            "none of the networks",
        ),
        (
            lambda: renamed(state(), "fc_audioset", "fc_out"),
            r"look like cnn6, .* and none.*given as classifier",
        ),
        (
            lambda: state() | {"fc1.weight": np.ones(3)},
            r"look like cnn6.*Received: \(3,\) and",
        ),
    ],
    ids=range(9),
)
def test_unknown_networks_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        panns.convert(change())


@pytest.mark.parametrize("backbone", NETWORKS)
def test_a_width_that_the_first_kernel_denies_is_refused_before_it_is_made(
    backbone, monkeypatch
):
    tensors = state(backbone)
    units = panns.NETWORKS[backbone].units * 20
    tensors["fc1.weight"] = np.broadcast_to(np.float32(0), (units, units))
    monkeypatch.setattr(panns.tagger, "build", None)
    with pytest.raises(InputError, match=rf"{backbone}, .* in width: .* says 20, and"):
        panns.convert(tensors, frontend="panns_16k")


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["panns_32k", "primates_8k"])
def test_tensors_rounded_to_16_bits_are_known_by_the_name_of_the_front_end(kind, name):
    tensors = {
        each: values
        if values.dtype.kind == "i"
        else np.array(keras.ops.cast(keras.ops.cast(values, kind), "float32"))
        for each, values in state(frontend=name).items()
    }
    assert name in panns.convert(tensors, frontend=name).notes[1]
    with pytest.raises(InputError, match="name it as frontend"):
        panns.convert(tensors)
    other = {"panns_32k": "panns_16k", "primates_8k": "panns_8k"}[name]
    with pytest.raises(InputError, match=f"is not {other}"):
        panns.convert(tensors, frontend=other)


def test_the_name_of_a_file_tells_what_its_tensors_do_not(tmp_path):
    path = tmp_path / "Cnn14_DecisionLevelMax_mAP=0.385.pth"
    torch_writer.write(path, state("cnn14"))
    with pytest.raises(InputError, match="classifies every frame.*backbone=cnn14"):
        panns.port(path)
    assert "cnn14" in panns.port(path, backbone="cnn14").notes[0]


def test_another_backbone_than_the_callers_is_refused():
    assert (
        panns.convert(state(), backbone="cnn6")
        .notes[0]
        .startswith("The network is cnn6")
    )
    with pytest.raises(InputError, match="of cnn6, not of cnn10. Leave backbone"):
        panns.convert(state(), backbone="cnn10")


@pytest.mark.parametrize("backbone", NETWORKS)
def test_every_fault_of_a_file_is_one_message(backbone):
    tensors = state(backbone) | {"att_block.att.weight": np.ones((5, 4, 1))}
    broken = next(name for name in tensors if name.endswith("running_mean"))
    tensors[broken] = np.full_like(tensors[broken], np.nan)
    del tensors["fc1.bias"]
    tensors["fc_audioset.bias"] = np.zeros(6, np.float32)
    with pytest.raises(InputError) as error:
        panns.convert(tensors)
    for part in (
        "(1): att_block.att.weight (5, 4, 1).",
        f"{broken} ",
        "no tensor fills (1): fc1/bias",
        "fc_audioset.bias (6,) instead of (7,)",
    ):
        assert part in str(error.value)


# -- What it hears -------------------------------------------------------------------


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("hop_length", [None, 77])
def test_every_front_end_has_its_name_whatever_its_hop(frontend, hop_length):
    settings = FRONTENDS[frontend]
    settings = settings | {"hop_length": hop_length or settings["hop_length"]}
    assert frontends.name_of(LogMel(**settings), any_hop=True) == frontend
    assert frontends.name_of(LogMel(**settings, floor=1e-5), any_hop=True) == ""


@pytest.mark.parametrize("frontend", OWN_FRONTENDS)
def test_the_front_end_follows_from_the_tensors(frontend):
    ported = panns.convert(state(frontend=frontend))
    config = ported.tagger.get_layer("log_mel").get_config()
    assert {key: config[key] for key in FRONTENDS[frontend]} == FRONTENDS[frontend]
    hop = FRONTENDS[frontend]["hop_length"]
    assert ported.notes[1] == (
        f"The front end is {frontend}, by the tensors; its hop, {hop} samples, is in "
        "no tensor."
    )


def test_an_assumed_hop_is_said():
    odd = {**FRONTENDS["panns_16k"], "max_hertz": 7_000.0}
    tensors = state() | published.front_end(odd)
    ported = panns.convert(tensors)
    assert ported.tagger.get_layer("log_mel").hop_length == 160
    assert (
        "50-7000 Hz, by the tensors; a hop of 160 samples is assumed" in ported.notes[1]
    )
    given = panns.convert(tensors, hop_length=100)
    assert given.tagger.get_layer("log_mel").hop_length == 100
    assert "with a hop of 100 samples as given." in given.notes[1]


def test_other_numbers_of_mels_are_ported(rng):
    odd = {**FRONTENDS["panns_32k"], "num_mels": 40}
    model = published.body("cnn6")
    tensors = published.front_end(odd) | published.state_dict(model)
    for kind in ("weight", "bias", "running_mean", "running_var"):
        tensors[f"bn0.{kind}"] = tensors[f"bn0.{kind}"][:40]
    ported = panns.convert(tensors)
    assert body(ported).input_shape == (None, None, 40)
    answers = ported.tagger(sounds(rng))["label"].numpy()
    assert np.isfinite(answers).all()


def test_a_front_end_is_named_or_known_but_never_guessed():
    bare = without(state(), "spectrogram_extractor", "logmel_extractor")
    with pytest.raises(InputError, match="do not say what the network hears.*panns_8k"):
        panns.convert(bare)
    ported = panns.convert(bare, frontend="panns_32k", hop_length=400)
    log_mel = ported.tagger.get_layer("log_mel")
    assert (log_mel.sample_rate, log_mel.hop_length) == (32_000, 400)
    assert ported.notes[1] == (
        "The front end is panns_32k, as named, with a hop of 400 samples as given."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frontend": "panns_32k"}, "is not panns_32k: .* 512 points"),
        ({"frontend": "pans_16k"}, "no frontend 'pans_16k'. Close: panns_16k"),
        ({"frontend": ""}, "no frontend ''"),
        ({"hop_length": 0}, "hop_length=0"),
    ],
)
def test_a_wrong_front_end_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        panns.convert(state(), **options)


def test_tensors_of_the_front_end_that_lie_are_refused():
    with pytest.raises(InputError, match="contradict each other"):
        panns.convert(state() | {KERNEL: np.ones((5, 1, 8), np.float32)})


def test_more_mels_than_the_front_end_has_are_refused():
    tensors = without(state(), "spectrogram_extractor", "logmel_extractor")
    tensors["bn0.weight"] = np.ones(128, np.float32)
    with pytest.raises(InputError, match=r"shape \(128,\), but its front end has 64"):
        panns.convert(tensors, frontend="panns_16k")


# -- What its classes are called -----------------------------------------------------


def test_the_primates_have_their_names(rng):
    ported = panns.convert(state(frontend="primates_16k", num_classes=5))
    assert ported.contract.taxonomy == Taxonomy.read("primates")
    assert "taxonomy primates" in ported.notes[2]
    answers = {level: x.numpy() for level, x in ported.tagger(sounds(rng)).items()}
    assert [x.shape for x in answers.values()] == [(2, 5), (2, 2)]
    np.testing.assert_allclose(
        answers["group"][:, 1], answers["species"][:, 1:].max(axis=1)
    )


def test_the_published_order_of_primates_is_ours():
    # metadata/class_labels_indices.csv of the published code, first letters
    published_order = ("background", "chimp", "g", "mandril", "red")
    species = Taxonomy.read("primates").labels_of("species")
    for ours, theirs in zip(species, published_order, strict=True):
        assert ours.startswith(theirs)


def test_five_classes_behind_another_front_end_are_no_primates():
    ported = panns.convert(state(num_classes=5))
    assert ported.contract.taxonomy.labels == (tuple(f"class_00{n}" for n in range(5)),)
    assert "class_000 to class_004" in ported.notes[2]
    assert ported.notes[2].endswith("A taxonomy gives them.")


def test_audioset_has_its_names_where_they_are_known():
    ported = panns.convert(state(num_classes=527))
    if "audioset" in taxonomy.names():
        assert ported.contract.taxonomy == Taxonomy.read("audioset")
    else:
        assert ported.contract.taxonomy.labels_of("label")[-1] == "class_526"


def test_labels_are_the_given_ones_on_any_levels(rng):
    tree = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,x\nd,y\ne,y\nf,y\ng,y\n")
    ported = panns.convert(state(), taxonomy=tree)
    assert ported.contract.taxonomy is tree
    assert list(ported.tagger(sounds(rng))) == ["fine", "coarse"]
    np.testing.assert_array_equal(
        body(ported).get_layer("fine_classifier").kernel,
        source("cnn6").get_layer("label_classifier").kernel,
    )
    with pytest.raises(InputError, match="has 2 labels on level 'label', .* 7 classes"):
        panns.convert(state(), taxonomy=Taxonomy.flat(["a", "b"]))
