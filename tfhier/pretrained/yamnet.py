"""YAMNet's published weights, from its TFLite file and without running it.

The file (Google, Apache-2.0) takes 15,600 samples at 16 kHz and gives 521 scores. Its
normalisations are folded into the convolutions, and most kernels are int8 with a scale
for each channel. Read back as floats they are the weights of `tfhier.backbones.yamnet`.

TFLite itself does not compute with these floats: in front of every int8 kernel, that of
the mel bands included, it rounds what comes to 8 bits as well. The front end
`yamnet_16k_tflite` rounds alike, so that a port answers as the file does, up to what
the convolutions round; `yamnet_16k` does not round and is the better start for others.
"""

import itertools
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tfhier import tagger
from tfhier.backbones.mobilenet import BLOCKS
from tfhier.backbones.yamnet import PATCH_FRAMES, PATCH_HOP
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.pretrained import labels, rules
from tfhier.pretrained.ported import Ported
from tfhier.pretrained.registry import CHECKPOINTS
from tfhier.pretrained.rules import Rule
from tfhier.taxonomy import Taxonomy

NUM_CLASSES = 521
FRONTEND_NAMES = CHECKPOINTS["yamnet"].frontends

# Our order of a kernel's axes in TFLite's: (units, rows, columns, channels) of a
# convolution, (1, rows, columns, channels) of a depthwise one, (units, inputs) of a
# dense layer.
_AXES = {
    "CONV_2D": (1, 2, 3, 0),
    "DEPTHWISE_CONV_2D": (1, 2, 3, 0),
    "FULLY_CONNECTED": (1, 0),
}
_ADVICE = "Give the TFLite file of YAMNet that takes waveforms and gives 521 scores."


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Read the weights of YAMNet.

    Args:
        path: str or Path of the published TFLite file.

    Returns:
        Dict of "layer/kernel" and "layer/bias" to float32 arrays in Keras's shapes:
        the layers of the backbone by their names, and the published "classifier",
        (1024, 521).

    Raises:
        InputError: The file cannot be read, is damaged, or holds another network.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}. {_ADVICE}"
        ) from None
    if content[4:8] != b"TFL3":
        raise InputError(f"{path} is no TFLite file. {_ADVICE}")
    try:
        return _weights(content, path)
    except InputError:
        raise
    # The reader follows whatever offsets, types and lengths the bytes spell.
    except (struct.error, ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged, or its weights are not the float32, int8 and int32 "
            f"constants that are read here ({type(error).__name__}: {error}). {_ADVICE}"
        ) from error


def port(
    path: str | Path,
    *,
    frontend: str = "yamnet_16k_tflite",
    taxonomy: Taxonomy | None = None,
) -> Ported:
    """Return YAMNet as a tagger, from waveforms to the scores of its 521 classes.

    Args:
        path: str or Path of the published TFLite file.
        frontend: "yamnet_16k_tflite", what the file hears, or "yamnet_16k".
        taxonomy: Taxonomy whose finest level are the classes, in their order. Defaults
            to the published one.

    Raises:
        InputError: The file holds another network, the front end is another network's,
            or the taxonomy has more or fewer labels.
    """
    if frontend not in FRONTEND_NAMES:
        raise InputError(
            f"YAMNet hears through {' or '.join(FRONTEND_NAMES)}. Received: "
            f"frontend='{frontend}'"
        )
    taxonomy = taxonomy or Taxonomy.read("yamnet")
    labels.check(taxonomy, NUM_CLASSES)
    experiment = Experiment(
        frontend=frontend, backbone="yamnet", head="flat", spec_augment=False
    )
    log_mel, body = tagger.build(experiment, taxonomy)
    rules.assign(body, read(path), rules_of(f"{taxonomy.fine}_classifier"))
    patch, hop = PATCH_FRAMES * log_mel.hop_length, PATCH_HOP * log_mel.hop_length
    overhang = log_mel.window_length - log_mel.hop_length
    return Ported(
        tagger=tagger.end_to_end(log_mel, body),
        contract=Contract(
            taxonomy=taxonomy,
            sample_rate=log_mel.sample_rate,
            window_seconds=(patch + overhang) / log_mel.sample_rate,
            hop_seconds=hop / log_mel.sample_rate,
        ),
        notes=(
            "The network is YAMNet, with 521 classes.",
            f"The front end is {frontend}.",
        ),
    )


def rules_of(classifier: str) -> tuple[Rule, ...]:
    """Return the rules of what `read` gives, whose layouts are ours already.

    Args:
        classifier: str. Name of our dense layer behind the backbone.
    """
    return (
        Rule(r"(layer\w+/(?:kernel|bias))", r"\1"),
        Rule(r"classifier/(kernel|bias)", rf"{classifier}/\1"),
    )


def _architecture() -> Iterator[tuple[str, str]]:
    """Our name of every layer of YAMNet and what its operator is, in running order."""
    channels = [units for units, _ in BLOCKS]
    yield "layer1_conv", _described("CONV_2D", (channels[0], 3, 3, 1), channels[0])
    for number, (inputs, units) in enumerate(itertools.pairwise(channels), start=2):
        name = f"layer{number}"
        yield (
            f"{name}_depthwise",
            _described("DEPTHWISE_CONV_2D", (1, 3, 3, inputs), inputs),
        )
        yield f"{name}_pointwise", _described("CONV_2D", (units, 1, 1, inputs), units)
    shape = (NUM_CLASSES, channels[-1])
    yield "classifier", _described("FULLY_CONNECTED", shape, NUM_CLASSES)


def _described(kind: str, shape: Iterable[int], num_biases: int) -> str:
    """Say what an operator is, for comparison and for messages."""
    sizes = " x ".join(str(int(size)) for size in shape)
    return f"{kind} with a kernel {sizes} and {num_biases} biases"


def _weights(content: bytes, path: str | Path) -> dict[str, np.ndarray]:
    """Read every layer of a TFLite file that has to be YAMNet."""
    # Part of TensorFlow and heavy to import.
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    weights = {}
    for (name, wanted), operator in itertools.zip_longest(
        _architecture(), _operators(model, schema), fillvalue=("the end", "nothing")
    ):
        found = operator[1]
        if operator[0] != "the end":
            kind, kernel, bias = operator
            num_biases = bias.Shape(0) if bias else 0
            found = _described(kind, kernel.ShapeAsNumpy(), num_biases)
        if found != wanted:
            raise InputError(
                f"{path} is no YAMNet: at {name} it has {found}; expected was "
                f"{wanted}. {_ADVICE}"
            )
        weights[f"{name}/kernel"] = _values(kernel, model, schema).transpose(
            _AXES[kind]
        )
        weights[f"{name}/bias"] = _values(bias, model, schema)
    if not all(np.isfinite(values).all() for values in weights.values()):
        raise ValueError("there are weights that are not finite")
    return weights


def _operators(model, schema) -> Iterator[tuple]:
    """Kind, kernel and bias of convolutions and dense layers, in running order.

    What comes before the first convolution is the front end, whose mel bands are a
    dense layer too. A bias that is missing is None.
    """
    kinds = {getattr(schema.BuiltinOperator, name): name for name in _AXES}
    graph = model.Subgraphs(0)
    is_network = False
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        # The second is the only one in files older than the first.
        kind = kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        is_network = is_network or kind == "CONV_2D"
        if kind and is_network:
            _, kernel, bias = (*operator.InputsAsNumpy(), -1)[:3]
            yield (
                kind,
                graph.Tensors(int(kernel)),
                graph.Tensors(int(bias)) if bias >= 0 else None,
            )


def _values(tensor, model, schema) -> np.ndarray:
    """Values of a constant tensor as float32, whatever they are stored as."""
    kinds = schema.TensorType
    dtype = {kinds.FLOAT32: "<f4", kinds.INT32: "<i4", kinds.INT8: "i1"}[tensor.Type()]
    shape = tensor.ShapeAsNumpy()
    data = model.Buffers(tensor.Buffer()).DataAsNumpy()
    values = np.frombuffer(data, dtype).reshape(shape).astype(np.float32)
    if tensor.Type() == kinds.FLOAT32:
        return values
    quantization = tensor.Quantization()
    axis = quantization.QuantizedDimension()
    scale, zero = quantization.ScaleAsNumpy(), quantization.ZeroPointAsNumpy()
    if scale.size not in (1, shape[axis]):
        raise ValueError(f"{scale.size} scales for {shape[axis]} channels")
    along = [-1 if number == axis else 1 for number in range(values.ndim)]
    with np.errstate(over="ignore", invalid="ignore"):
        return scale.reshape(along) * (values - zero.reshape(along).astype(np.float32))
