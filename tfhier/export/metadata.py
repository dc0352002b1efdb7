"""What a .tflite file says of itself, for MediaPipe and TFLite's Task Library.

Their audio classifiers look for the sample rate and for the names of the labels in the
file: in a flatbuffer of metadata among the buffers of the network, which names files in
an archive behind it. TensorFlow's own writer of both, `tflite-support`, is no longer
kept up; tables, their fields and numbers below follow its schema, 1.5.0
(metadata_schema.fbs of TensorFlow Lite, also part of MediaPipe).
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import flatbuffers
import numpy as np

from tfhier.errors import InputError
from tfhier.export import archive, tflite_model

_ENTRY = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_PARSER = "1.3.0"  # the first version of the schema that knows AudioProperties
_AUDIO_PROPERTIES = 4  # in the union ContentProperties
_DESCRIPTIONS, _TENSOR_AXIS_LABELS = 1, 2  # in the enum AssociatedFileType

# Fields of the tables that are written, in the order of their slots.
_FIELDS = {
    "AssociatedFile": ("name", "description", "type", "locale", "version"),
    "AudioProperties": ("sample_rate", "channels"),
    "Content": ("content_properties_type", "content_properties", "range"),
    "TensorMetadata": (
        "name", "description", "dimension_names", "content", "process_units", "stats",
        "associated_files",
    ),
    "SubGraphMetadata": (
        "name", "description", "input_tensor_metadata", "output_tensor_metadata",
    ),
    "ModelMetadata": (
        "name", "description", "version", "subgraph_metadata", "author", "license",
        "associated_files", "min_parser_version",
    ),
}  # fmt: skip
_NUMBERS = {  # the other fields are strings, tables or vectors of tables
    "type": flatbuffers.Builder.PrependInt8Slot,
    "content_properties_type": flatbuffers.Builder.PrependUint8Slot,
    "sample_rate": flatbuffers.Builder.PrependUint32Slot,
    "channels": flatbuffers.Builder.PrependUint32Slot,
}


def attach(
    model: bytes,
    *,
    name: str,
    description: str,
    version: str,
    author: str,
    licence: str,
    sample_rate: int,
    levels: Mapping[str, Sequence[str]],
    files: Mapping[str, bytes] | None = None,
    default_samples: int | None = None,
) -> bytes:
    """Return a .tflite file that says what it hears and what its scores mean.

    Every level's labels become a file LEVEL.txt, one label a line. Metadata and files
    that the model has already are replaced.

    Args:
        model: bytes of a .tflite file with the one signature `serving_default`: one
            input, waveforms (batch, samples), and an output (batch, labels) a level.
        name: str. Of the model, for people, as are the next four.
        description: str.
        version: str.
        author: str.
        licence: str.
        sample_rate: int. Of the waveforms, in Hz.
        levels: Mapping of every output's name to its labels in the order of the scores.
        files: Mapping of names to contents of further files.
        default_samples: int. Length that a waveform has where a runtime asks for none,
            for a model that takes any. Defaults to the model's own, which is fixed, or
            1 sample.

    Raises:
        InputError: The model is damaged, its outputs are not the levels, the sample
            rate is not above 0, a label is empty or more than a line, a file's name is
            taken or unfit, or the model takes waveforms of one length only and
            `default_samples` is given.
    """
    if sample_rate < 1:
        raise InputError(
            "The .tflite model needs the sample rate of the waveforms it takes, in Hz; "
            f"got {sample_rate}. A tagger of precomputed features has none."
        )
    content = tflite_model.read(model)
    with tflite_model.refusing_damage():
        inputs, outputs = tflite_model.signature(content)
        graph = content.subgraphs[0]
        _check_ends(inputs, outputs, levels, graph.tensors)
    if default_samples is not None:
        _set_default_samples(graph.tensors[graph.inputs[0]], default_samples)
    texts = {level: _label_text(level, labels) for level, labels in levels.items()}
    names = dict(zip(levels, _file_names(levels), strict=True))
    files = dict(files or {})
    if taken := set(files) & set(names.values()):
        raise InputError(
            f"{sorted(taken)[0]} is the name of a level's labels in the .tflite file. "
            "Give your file another name."
        )
    about = {
        "name": name,
        "description": description,
        "version": version,
        "author": author,
        "license": licence,
    }
    ends = (
        [inputs[index] for index in graph.inputs],
        [outputs[index] for index in graph.outputs],
    )
    tables = _metadata(about, ends, sample_rate, levels, names, files)
    tflite_model.set_metadata(content, _ENTRY, tables)
    labels = {names[level]: text for level, text in texts.items()}
    return archive.append(tflite_model.write(content), labels | files)


class _Tables:
    """Tables of the metadata schema, written one after another, children first."""

    def __init__(self):
        self._builder = flatbuffers.Builder(1024)

    def add(self, table: str, **fields: str | int | list[int]) -> int:
        """Write a table and return its place, for the table that refers to it."""
        builder = self._builder
        # Nothing else may be written while a table is.
        values = {field: self._place(value) for field, value in fields.items()}
        builder.StartObject(len(_FIELDS[table]))
        for field, value in values.items():
            prepend = _NUMBERS.get(
                field, flatbuffers.Builder.PrependUOffsetTRelativeSlot
            )
            prepend(builder, _FIELDS[table].index(field), value, 0)
        return builder.EndObject()

    def finish(self, root: int) -> bytes:
        self._builder.Finish(root, _IDENTIFIER)
        return bytes(self._builder.Output())

    def _place(self, value: str | int | list[int]) -> int:
        """Write strings and vectors; numbers and places of tables are as they are."""
        if isinstance(value, str):
            try:
                return self._builder.CreateString(value)
            except UnicodeEncodeError:
                raise InputError(
                    f"{value!r} cannot be written as UTF-8. Take out what is no text."
                ) from None
        if isinstance(value, list):
            self._builder.StartVector(4, len(value), 4)
            for place in reversed(value):
                self._builder.PrependUOffsetTRelative(place)
            return self._builder.EndVector()
        return value


def _metadata(
    about: Mapping[str, str],
    ends: tuple[Sequence[str], Sequence[str]],
    sample_rate: int,
    levels: Mapping[str, Sequence[str]],
    names: Mapping[str, str],
    files: Iterable[str],
) -> bytes:
    """Write the metadata of a model whose inputs and outputs come in the order `ends`.

    `names` are those of the levels' files, `files` those of all others.
    """
    tables = _Tables()
    inputs, outputs = ends
    subgraph = tables.add(
        "SubGraphMetadata",
        input_tensor_metadata=[
            _input_table(tables, name, sample_rate) for name in inputs
        ],
        output_tensor_metadata=[
            _level_table(tables, level, len(levels[level]), names[level])
            for level in outputs
        ],
    )
    root = tables.add(
        "ModelMetadata",
        **about,
        subgraph_metadata=[subgraph],
        associated_files=[
            tables.add("AssociatedFile", name=file, type=_DESCRIPTIONS)
            for file in files
        ],
        min_parser_version=_PARSER,
    )
    return tables.finish(root)


def _input_table(tables: _Tables, name: str, sample_rate: int) -> int:
    audio = tables.add("AudioProperties", sample_rate=sample_rate, channels=1)
    return tables.add(
        "TensorMetadata",
        name=name,
        description=(
            f"Waveform (batch, samples) of one channel at {sample_rate} Hz, full scale "
            "at -1 and 1."
        ),
        content=tables.add(
            "Content",
            content_properties_type=_AUDIO_PROPERTIES,
            content_properties=audio,
        ),
    )


def _level_table(tables: _Tables, level: str, num_labels: int, file: str) -> int:
    labels = tables.add(
        "AssociatedFile",
        name=file,
        description=f"Labels of the level {level}, in the order of its scores.",
        type=_TENSOR_AXIS_LABELS,
    )
    return tables.add(
        "TensorMetadata",
        name=level,
        description=f"Scores (batch, {num_labels}) of the level {level}, from 0 to 1.",
        associated_files=[labels],
    )


def _check_ends(
    inputs: Mapping[int, str],
    outputs: Mapping[int, str],
    levels: Mapping[str, Sequence[str]],
    tensors: Sequence,
) -> None:
    """Raise an InputError unless waveforms go in and the levels come out."""
    if len(inputs) != 1:
        raise InputError(
            "The .tflite model needs one input, waveforms. Received: "
            f"{', '.join(sorted(inputs.values())) or 'none'}"
        )
    if sorted(outputs.values()) != sorted(levels):
        raise InputError(
            f"The levels are {', '.join(levels)}; the .tflite model's outputs are "
            f"{', '.join(sorted(outputs.values()))}. Give the labels of its outputs."
        )
    for index, level in outputs.items():
        num_scores = tensors[index].shape[-1]
        if num_scores != len(levels[level]):
            raise InputError(
                f"Level '{level}' has {len(levels[level])} labels, and the .tflite "
                f"model gives {num_scores} scores for it. Give one label a score."
            )


def _set_default_samples(tensor, num_samples: int) -> None:
    if num_samples < 1:
        raise InputError(f"default_samples must be 1 or more; got {num_samples}.")
    signature = tensor.shapeSignature
    if signature is None or len(signature) != 2 or signature[1] != -1:
        raise InputError(
            f"The .tflite model takes the shape {tuple(map(int, tensor.shape))} alone, "
            "so it has no length to choose. Leave default_samples out, or convert the "
            "model for any length."
        )
    tensor.shape = np.array([1, num_samples], np.int32)


def _label_text(level: str, labels: Sequence[str]) -> bytes:
    """Return the labels of a level as a file of lines."""
    for label in labels:
        # Readers differ in what ends a line; none ends one where Python sees no end.
        if label.splitlines() != [label]:
            raise InputError(
                f"Label {label!r} of level '{level}' is not one line of text, as a "
                "file of labels needs. Rename it."
            )
    try:
        return "".join(f"{label}\n" for label in labels).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"A label of level '{level}' cannot be written as UTF-8. Rename it."
        ) from None


def _file_names(levels: Sequence[str]) -> list[str]:
    """Return a plain name for the file of every level, each another one."""
    names = []
    for level in levels:
        plain = re.sub("[^A-Za-z0-9_]", "_", level)
        name, number = f"{plain}.txt", 1
        while name.lower() in map(str.lower, names):
            number += 1
            name = f"{plain}-{number}.txt"
        names.append(name)
    return names
