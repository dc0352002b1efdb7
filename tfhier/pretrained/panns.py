"""State dicts of PANNs and of the primates' networks into taggers of ours.

Kong et al., "PANNs", TASLP 2020 (published code audioset_tagging_cnn), and Pellegrini
2021 (published code ComParE2021_PRS, both pytorch/models.py), who has PANNs' networks
with PANNs' names and WideResNet28 besides. Which network it is, how wide, with how many
classes and behind which front end: all that follows from the tensors.

Networks that differ in nothing with weights cannot be told apart. One of PANNs' has the
tensors of CNN14, but classifies every frame and takes the maximum over time: it is
known by its file's name alone, Cnn14_DecisionLevelMax.
"""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfhier import frontends, tagger
from tfhier.backbones.blocks import scaled
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.layers import LogMel
from tfhier.pretrained import front_end, labels, rules, torch_file, torchlibrosa
from tfhier.pretrained.ported import Ported
from tfhier.pretrained.rules import Rule, Skipped
from tfhier.taxonomy import Taxonomy

_CLASSIFIER = "fc_audioset"
# What the published code for transfer learning (panns_transfer_to_gtzan) calls its own
# classifier, and PANNs' network below it.
_TRANSFERRED = "fc_transfer"
_BASE = "base."


@dataclass(frozen=True)
class _Network:
    """How the tensors of a backbone are recognised and carried over.

    Args:
        blocks: Tuple of str. Published names of its blocks, all of them.
        kernel: str. Published name of its first kernel.
        size: int. Height and width of that.
        channels: int. That kernel's, at width 1.
        units: int. Of the embedding at width 1.
        rules: Tuple of Rule. Of what lies between `bn0` and `fc1`.
    """

    blocks: tuple[str, ...]
    kernel: str
    size: int
    channels: int
    units: int
    rules: tuple[Rule, ...]


def _conv_blocks(count: int) -> tuple[str, ...]:
    return tuple(f"conv_block{number}" for number in range(1, count + 1))


def _stages(prefix: str, stages: int, blocks: int) -> tuple[str, ...]:
    pairs = itertools.product(range(1, stages + 1), range(blocks))
    return tuple(f"{prefix}{stage}.{block}" for stage, block in pairs)


_BLOCK = r"(?:conv_block|conv_block_after|features\.|(?:resnet\.)?layer\d+\.)\d+"
_CONV_BLOCK = r"conv_block(?:_after)?\d"
_BASIC_BLOCK = r"(?:resnet\.)?layer\d\.\d"
_CONV_RULES = (
    *rules.convolution(rf"{_CONV_BLOCK}\.conv\d"),
    *rules.norm(rf"{_CONV_BLOCK}\.bn\d"),
)
# PANNs counts the pooling in front of a shortcut's convolution, the primates have none.
_RESIDUAL_RULES = (
    *rules.convolution(rf"{_BASIC_BLOCK}\.(?:conv\d|downsample\.1|down_sample\.0)"),
    *rules.norm(rf"{_BASIC_BLOCK}\.(?:bn\d|downsample\.2|down_sample\.1)"),
)

NETWORKS = {
    "cnn6": _Network(
        _conv_blocks(4), "conv_block1.conv1.weight", 5, 64, 512, _CONV_RULES
    ),
    "cnn10": _Network(
        _conv_blocks(4), "conv_block1.conv1.weight", 3, 64, 512, _CONV_RULES
    ),
    "cnn14": _Network(
        _conv_blocks(6), "conv_block1.conv1.weight", 3, 64, 2_048, _CONV_RULES
    ),
    "mobilenet_v1": _Network(
        tuple(f"features.{number}" for number in range(14)),
        "features.0.0.weight",
        3,
        32,
        1_024,
        (
            *rules.convolution(r"features\.(?:0\.0|\d+\.4)"),
            *rules.depthwise(r"features\.\d+\.0"),
            *rules.norm(r"features\.\d+\.[25]"),
        ),
    ),
    "resnet22": _Network(
        ("conv_block1", *_stages("resnet.layer", 4, 2), "conv_block_after1"),
        "conv_block1.conv1.weight",
        3,
        64,
        2_048,
        (*_CONV_RULES, *_RESIDUAL_RULES),
    ),
    "wide_resnet28": _Network(
        _stages("layer", 3, 4),
        "conv1.weight",
        3,
        32,
        128,
        (*rules.convolution("conv1"), *rules.norm("bn1"), *_RESIDUAL_RULES),
    ),
}


def architecture(tensors: Mapping[str, np.ndarray]) -> tuple[str, float, int]:
    """Return backbone, width and number of classes of a state dict.

    Raises:
        InputError: It is of none of the known networks.
    """
    blocks = {
        match[0] for name in tensors if (match := re.match(rf"{_BLOCK}(?=\.)", name))
    }
    alike = [
        backbone
        for backbone, network in NETWORKS.items()
        if blocks == set(network.blocks)
        and _shape(tensors, network.kernel)[2:] == (network.size, network.size)
    ]
    if not alike:
        names = ", ".join(sorted(blocks) or list(tensors)[:12])
        parts = ", ".join({name.partition(".")[0]: 0 for name in tensors})
        kernels = {network.kernel for network in NETWORKS.values()}
        first = [f"{name} {tensors[name].shape}" for name in tensors if name in kernels]
        raise InputError(
            f"The weights are of none of the networks {', '.join(NETWORKS)}. Received: "
            f"{len(tensors)} tensors, of {names or 'nothing'}; first kernel: "
            f"{first[0] if first else 'none'}. If the network is a part of a module, "
            f"name the part as prefix; there are: {parts:.200}"
        )
    (backbone,) = alike
    shapes = [_shape(tensors, f"{name}.weight") for name in ("fc1", _CLASSIFIER)]
    if not all(len(shape) == 2 and min(shape) for shape in shapes):
        raise InputError(
            f"The weights look like {backbone}, but a network of this family ends in "
            f"fc1.weight (units, channels) and {_CLASSIFIER}.weight (classes, units). "
            f"Received: {' and '.join(str(shape or 'none') for shape in shapes)}. A "
            "last layer of another name is given as classifier."
        )
    network = NETWORKS[backbone]
    width = shapes[0][1] / network.units
    # Before a network of that width is made: a small file can claim a giant.
    channels = _shape(tensors, network.kernel)[0]
    if channels != scaled(network.channels, width):
        raise InputError(
            f"The weights look like {backbone}, but contradict each other in width: "
            f"fc1.weight says {width:g}, and {network.kernel} has {channels} of "
            f"{network.channels} channels."
        )
    return backbone, width, shapes[1][0]


def port(
    path: str | Path,
    *,
    prefix: str | None = None,
    classifier: str | None = None,
    backbone: str | None = None,
    frontend: str | None = None,
    hop_length: int | None = None,
    taxonomy: Taxonomy | None = None,
    softmax: bool = False,
) -> Ported:
    """Return the network of a PyTorch checkpoint as a tagger.

    Args:
        path: str or Path of the checkpoint.
        prefix: str. Which network of a checkpoint that holds several.
        classifier, backbone, frontend, hop_length, taxonomy, softmax: As of `convert`.

    Raises:
        InputError: The file cannot be read, is by its name another network with the
            tensors of CNN14, or see `convert`.
    """
    if "DecisionLevel" in Path(path).name and backbone is None:
        raise InputError(
            f"{path} is by its name a network that classifies every frame. It has the "
            "tensors of CNN14 and another answer. If they are CNN14's after all, give "
            "backbone=cnn14."
        )
    network = torch_file.network(path, prefix=prefix)
    ported = convert(
        network.tensors,
        classifier=classifier,
        backbone=backbone,
        frontend=frontend,
        hop_length=hop_length,
        taxonomy=taxonomy,
        softmax=softmax,
    )
    beside = (Skipped(name, "beside the network") for name in network.beside)
    return replace(ported, skipped=(*ported.skipped, *beside))


def convert(
    tensors: Mapping[str, np.ndarray],
    *,
    classifier: str | None = None,
    backbone: str | None = None,
    frontend: str | None = None,
    hop_length: int | None = None,
    taxonomy: Taxonomy | None = None,
    softmax: bool = False,
) -> Ported:
    """Return a published network as a tagger, from waveforms to probabilities.

    Args:
        tensors: State dict: published name -> array in PyTorch's layout.
        classifier: str. Published name of the last layer. Defaults to PANNs'
            fc_audioset, or to the fc_transfer of networks that were trained on by the
            authors' code for that, whose tensors lie beside the network's in `base`.
        backbone: str. What it must be. Defaults to what the tensors say.
        frontend: str. Name of a front end; tensors of another are refused. Defaults to
            what the tensors say.
        hop_length: int > 0. Samples between frames. Defaults to the front end's.
        taxonomy: Taxonomy whose finest level are the classes, in their order. Defaults
            to that of the published weights, or numbered labels.
        softmax: bool. Whether classes exclude each other, for networks that were
            trained with cross-entropy. Defaults to False: sigmoids.

    Raises:
        InputError: The network is unknown or another one, the front end is unknown or
            another one, tensors do not fit, or the taxonomy has more or fewer labels.
    """
    tensors, replaced, transferred = _with_classifier(tensors, classifier)
    found, width, num_classes = architecture(tensors)
    if backbone not in (None, found):
        raise InputError(
            f"The weights are of {found}, not of {backbone}. Leave backbone out, or "
            "give other weights."
        )
    log_mel, heard = front_end.build(tensors, frontend, hop_length=hop_length)
    _check_mels(tensors, log_mel)
    if taxonomy is None:
        heard_as = frontends.name_of(log_mel, any_hop=True)
        taxonomy, named = labels.of(num_classes, heard=heard_as)
    else:
        labels.check(taxonomy, num_classes)
        named = "The labels are the given ones."
    experiment = Experiment(
        backbone=found,
        width=width,
        head="flat",
        loss="cce" if softmax else "bce",
        spec_augment=False,
    )
    _, body = tagger.build(experiment, taxonomy, frontend=log_mel)
    skipped = rules.assign(body, tensors, _rules(found, taxonomy.fine))
    if transferred and not softmax:
        named += (
            " The published code for networks with fc_transfer trains them for classes "
            "that exclude each other: if these do, give softmax."
        )
    return Ported(
        tagger=tagger.end_to_end(log_mel, body),
        contract=Contract(
            taxonomy=taxonomy, sample_rate=log_mel.sample_rate, softmax=softmax
        ),
        skipped=(*replaced, *skipped),
        notes=(
            f"The network is {found} at width {width:g}, with {num_classes} classes.",
            heard,
            named,
        ),
    )


def _with_classifier(
    tensors: Mapping[str, np.ndarray], classifier: str | None
) -> tuple[Mapping[str, np.ndarray], list[Skipped], bool]:
    """Give the last layer PANNs' name.

    Returns:
        The tensors, what another classifier takes the place of, and whether that is the
        one of the published code for transfer learning.
    """
    is_transferred = classifier is None and f"{_TRANSFERRED}.weight" in tensors
    own = _TRANSFERRED if is_transferred else classifier or _CLASSIFIER
    if own == _CLASSIFIER:
        return tensors, [], False
    others = [name for name in tensors if not name.startswith(f"{own}.")]
    base = _BASE if all(name.startswith(_BASE) for name in others) else ""
    renamed, replaced = {}, []
    for name, tensor in tensors.items():
        if name not in others:
            renamed[_CLASSIFIER + name.removeprefix(own)] = tensor
        elif name.startswith(f"{base}{_CLASSIFIER}."):
            replaced.append(Skipped(name, f"of a classifier that {own} replaces"))
        else:
            renamed[name.removeprefix(base)] = tensor
    return renamed, replaced, is_transferred


def _check_mels(tensors: Mapping[str, np.ndarray], log_mel: LogMel) -> None:
    """Raise an InputError if the network normalises other bands than it hears."""
    mels = _shape(tensors, "bn0.weight")
    if mels not in ((), (log_mel.num_mels,)):
        raise InputError(
            f"The network normalises mel bands with a tensor of shape {mels}, but its "
            f"front end has {log_mel.num_mels}. Name the right one as frontend."
        )


def _rules(backbone: str, level: str) -> tuple[Rule, ...]:
    return (
        rules.COUNTERS,
        Rule(
            "|".join(map(re.escape, torchlibrosa.NAMES)),
            reason="of the front end, whose settings it was checked against",
        ),
        *rules.norm("bn0"),
        *NETWORKS[backbone].rules,
        *rules.linear("fc1"),
        *rules.linear(_CLASSIFIER, f"{level}_classifier"),
    )


def _shape(tensors: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
    """Return the shape of a tensor, () if there is none."""
    return tensors[name].shape if name in tensors else ()
