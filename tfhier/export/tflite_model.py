"""The flatbuffer of a .tflite file as objects that can be changed, and back.

Written by the schema that comes with LiteRT.
"""

import contextlib
import struct
from collections.abc import Iterator

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfhier.errors import InputError
from tfhier.export.archive import IDENTIFIER

SIGNATURE = "serving_default"
# TFLite's schema asks for it (force_align), so that kernels may read weights in place.
_ALIGNMENT = 16
_DAMAGE = (struct.error, ValueError, TypeError, LookupError, AttributeError)


class _Data:
    """A buffer of constants that is written where `_ALIGNMENT` wants it.

    The schema's own class for Python does not heed the alignment.
    """

    def __init__(self, data: bytes | None):
        self.data = data

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - schema's name
        # None stays None: a tensor whose buffer holds nothing is no constant, one of
        # no elements is.
        if self.data is not None:
            builder.Prep(_ALIGNMENT, len(self.data))
            data = builder.CreateByteVector(self.data)
        schema.BufferStart(builder)
        if self.data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


@contextlib.contextmanager
def refusing_damage() -> Iterator[None]:
    """Turn what a damaged model makes of its reader into an InputError.

    The reader follows whatever offsets, numbers and lengths the bytes spell.
    """
    try:
        yield
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(
            f"The .tflite model is damaged ({type(error).__name__}: {error}). Convert "
            "it again."
        ) from error


def read(content: bytes) -> schema.ModelT:
    """Read a .tflite file, with all of its constants inside.

    Converters may leave constants behind the flatbuffer, at places counted from the
    start of the file, where an archive may come to stand.

    Args:
        content: bytes of the file. What it carries behind the network is not read.

    Raises:
        InputError: It is no .tflite file, is damaged, or has options of custom
            operators behind the flatbuffer.
    """
    if content[4:8] != IDENTIFIER:
        raise InputError("The model is no .tflite file. Give the converter's output.")
    with refusing_damage():
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        model.buffers = [_Data(_constants(buffer, content)) for buffer in model.buffers]
        for graph in model.subgraphs:
            if any(operator.largeCustomOptionsSize > 1 for operator in graph.operators):
                raise InputError(
                    "The .tflite model keeps options of custom operators behind its "
                    "flatbuffer. Convert it with TFLite's own operators alone."
                )
        return model


def write(model: schema.ModelT) -> bytes:
    """Return the .tflite file of what `read` gave."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def signature(model: schema.ModelT) -> tuple[dict[int, str], dict[int, str]]:
    """Return the names of inputs and outputs by their tensors' numbers.

    Raises:
        InputError: The model has another signature than the one, or several.
        ValueError: Its ends are not those of the graph; see `refusing_damage`.
    """
    signatures = model.signatureDefs or []
    keys = [text(found.signatureKey) for found in signatures]
    if keys != [SIGNATURE] or signatures[0].subgraphIndex != 0:
        raise InputError(
            f"The .tflite model needs one signature, '{SIGNATURE}', of its first "
            f"graph. Received: {', '.join(keys) or 'none'}"
        )
    found, graph = signatures[0], model.subgraphs[0]
    inputs, outputs = (
        {end.tensorIndex: text(end.name) for end in ends}
        for ends in (found.inputs, found.outputs)
    )
    if set(inputs) != set(graph.inputs) or set(outputs) != set(graph.outputs):
        raise ValueError("the signature and the graph have other ends")
    return inputs, outputs


def set_metadata(model: schema.ModelT, name: str, content: bytes) -> None:
    """Give a model a piece of metadata, in the place of one of that name.

    Raises:
        InputError: The model's own metadata are damaged.
    """
    with refusing_damage():
        entries = model.metadata or []
        entry = next((entry for entry in entries if text(entry.name) == name), None)
        if entry is None:
            entry = schema.MetadataT(name=name, buffer=len(model.buffers))
            model.metadata = [*entries, entry]
            model.buffers.append(None)
        model.buffers[entry.buffer] = _Data(content)


def text(name: bytes | str | None) -> str:
    """Return a name as str, whichever way the schema keeps it."""
    return name.decode() if isinstance(name, bytes) else name or ""


def _constants(buffer: schema.BufferT, content: bytes) -> bytes | None:
    """Return the bytes of a buffer, wherever in the file they are."""
    if buffer.data is not None:
        return np.asarray(buffer.data, np.uint8).tobytes()
    # Places and sizes of 0 and 1 stand for "none" in the schema.
    if buffer.offset <= 1 or buffer.size <= 1:
        return None
    data = content[buffer.offset : buffer.offset + buffer.size]
    if len(data) < buffer.size:
        raise ValueError("constants behind the flatbuffer are cut")
    return data
