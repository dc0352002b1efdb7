"""Smaller `.tflite` files: weights of 16 or 8 bits, or 8 bits throughout.

The front end always stays in float32: its powers span more than 8 or 16 bits can hold.
So do, of an "int8" file, the normalisation before the first convolution and what
follows the last: the scores of 8 bits would come in 256 steps, and thresholds with
them.
"""

import re
import warnings
from collections.abc import Callable, Iterable

import numpy as np
from ai_edge_quantizer import qtyping, quantizer
from ai_edge_quantizer.algorithm_manager import AlgorithmName

from tfhier import console
from tfhier.errors import InputError
from tfhier.export import tflite_file

KINDS = ("float16", "dynamic", "int8")
_Op = qtyping.TFLOperationName
_CONVOLUTIONS = (_Op.CONV_2D, _Op.DEPTHWISE_CONV_2D)
_WEIGHTY = (*_CONVOLUTIONS, _Op.FULLY_CONNECTED)
# What stands between convolutions; pooling may stand behind the last.
_POOLING = (_Op.AVERAGE_POOL_2D, _Op.MAX_POOL_2D)
_BETWEEN = (*_POOLING, _Op.ADD, _Op.MUL, _Op.SUB, _Op.PAD, _Op.RELU, _Op.CONCATENATION)
_FRONT_END = f"/{tflite_file.FRONT_END}"


def quantize(
    content: bytes, kind: str, *, waveforms: Iterable[np.ndarray] = ()
) -> bytes:
    """Return a smaller file that answers nearly alike.

    Args:
        content: bytes. A float32 file of `tflite.convert`, without metadata.
        kind: "float16": weights of 16 bits, computed with in float32. "dynamic":
            weights of 8 bits, and inputs of 8 bits where they meet them. "int8":
            weights and activations of 8 bits behind the log-mel; the classifiers and
            what follows them keep float activations, or scores would come in 256 steps.
        waveforms: float32 arrays (1, samples) of sounds as the model will hear them,
            which "int8" takes the ranges of activations from.

    Raises:
        InputError: The kind is unknown, or "int8" is given no sounds.
    """
    if kind not in KINDS:
        raise InputError(f"There is no quantisation '{kind}': {', '.join(KINDS)}.")
    sounds = [{"waveform": each} for each in waveforms]
    if kind == "int8" and not sounds:
        raise InputError("To quantise to int8, sounds like those to come are needed.")
    work = quantizer.Quantizer(bytearray(content))
    _CONFIGURE[kind](work, tflite_file.operations(content))
    work.update_quantization_recipe(
        regex=_FRONT_END,
        operation_name=_Op.ALL_SUPPORTED,
        algorithm_key=AlgorithmName.NO_QUANTIZE,
    )
    # It draws bars that no setting turns off, and looks into the interpreter, which
    # warns of that use.
    with warnings.catch_warnings(), console.without_native_messages():
        warnings.filterwarnings("ignore", ".*preserve_all_tensors")
        found = work.quantize(
            _ranges(work, sounds) if work.need_calibration else None,
            enable_progress_bar=False,
            enable_progress_report=False,
        )
    return bytes(found.quantized_model)


def _ranges(work: quantizer.Quantizer, sounds: list[dict]) -> dict[str, dict]:
    """Return the least and the greatest of every activation over all sounds.

    Of sounds given together the quantiser keeps moving averages that begin with the
    first: what is fainter or louder than most would be cut off, and their order count.
    """
    ranges: dict[str, dict] = {}
    for sound in sounds:
        found = work.calibrate({"serving_default": [sound]}, num_threads=2)
        for name, own in found.items():
            known = ranges.setdefault(name, own)
            ranges[name] = {
                "min": np.minimum(known["min"], own["min"]),
                "max": np.maximum(known["max"], own["max"]),
            }
    return ranges


def _float16(work: quantizer.Quantizer, operations: list[tuple[str, str]]) -> None:
    del operations  # every weight, wherever it is
    for kind in _WEIGHTY:
        work.add_weight_only_config(
            ".*", kind, num_bits=16, algorithm_key=AlgorithmName.FLOAT_CASTING
        )


def _dynamic(work: quantizer.Quantizer, operations: list[tuple[str, str]]) -> None:
    del operations  # every weight, wherever it is
    for kind in _WEIGHTY:
        work.add_dynamic_config(".*", kind, num_bits=8)


def _int8(work: quantizer.Quantizer, operations: list[tuple[str, str]]) -> None:
    work.add_dynamic_config(".*", _Op.FULLY_CONNECTED, num_bits=8)
    kinds = [kind for kind, _ in operations]
    inside = [
        place
        for place, (kind, name) in enumerate(operations)
        # A front end may convolve too.
        if kind in _CONVOLUTIONS and _FRONT_END not in name
    ]
    if not inside:
        return
    last = inside[-1]
    while last + 1 < len(kinds) and kinds[last + 1] in _POOLING:
        last += 1
    names = [name for _, name in operations[inside[0] : last + 1]]
    together = "|".join(map(re.escape, names))
    for kind in (*_CONVOLUTIONS, *_BETWEEN):
        work.add_static_config(
            f"^({together})$", kind, activation_num_bits=8, weight_num_bits=8
        )


_CONFIGURE: dict[str, Callable] = {
    "float16": _float16,
    "dynamic": _dynamic,
    "int8": _int8,
}
