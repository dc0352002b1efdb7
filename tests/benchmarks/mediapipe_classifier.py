"""Whether MediaPipe's AudioClassifier reads and runs an exported .tflite file as we do.

    pip install mediapipe ai-edge-litert     # an environment of its own
    python tests/benchmarks/mediapipe_classifier.py FILE.tflite SOUND.wav

Prints the metadata as MediaPipe's own reader finds it and the best labels of every
head, and compares all scores with LiteRT's, window by window. The WAV file has 16 bits
and the model's sample rate, since MediaPipe resamples in its own way. Exits with 1 if a
score is further off than the tolerance.
"""

import argparse
import io
import sys
import wave
import zipfile
from pathlib import Path

import mediapipe
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata_schema
from mediapipe.tasks.metadata import schema_py_generated as schema
from mediapipe.tasks.python import BaseOptions, audio
from mediapipe.tasks.python.components.containers import AudioData


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("file", type=Path, help="of the export, .tflite")
    p.add_argument("sound", type=Path, help="16 bits, at the model's sample rate")
    p.add_argument("--tolerance", type=float, default=1e-4)
    args = p.parse_args()
    content = args.file.read_bytes()
    rate, labels = show_metadata(content)
    waveform, found_rate = read(args.sound)
    if found_rate != rate:
        sys.exit(f"{args.sound} has {found_rate} Hz; the model takes {rate} Hz.")
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    num_samples = int(interpreter.get_input_details()[0]["shape"][1])
    num_windows = -(-len(waveform) // num_samples)
    windows = np.zeros((num_windows, num_samples), np.float32)
    windows.ravel()[: len(waveform)] = waveform
    results = classify(args.file, waveform, rate)
    if len(results) != num_windows:
        sys.exit(f"MediaPipe gave {len(results)} results for {num_windows} windows.")
    worst = max(
        compare(result, run(interpreter, window), labels)
        for result, window in zip(results, windows, strict=True)
    )
    print(
        f"MediaPipe {mediapipe.__version__}: {num_windows} windows of {num_samples} "
        f"samples, largest difference from LiteRT {worst:.2g}"
    )
    if worst > args.tolerance:
        sys.exit(1)


def show_metadata(content: bytes) -> tuple[int, dict[str, list[str]]]:
    """Print every field; return the sample rate and every head's labels."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    entry = next(entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    data = model.buffers[entry.buffer].data.tobytes()
    if not metadata_schema.ModelMetadata.ModelMetadataBufferHasIdentifier(data, 0):
        sys.exit("The metadata have another identifier than M001.")
    found = metadata_schema.ModelMetadataT.InitFromPackedBuf(data, 0)
    show(found, "")
    graph = found.subgraphMetadata[0]
    labels = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        print("archive:", ", ".join(archive.namelist()))
        for tensor in graph.outputTensorMetadata:
            text = archive.read(tensor.associatedFiles[0].name.decode()).decode()
            labels[tensor.name.decode()] = text.split("\n")[:-1]
    return graph.inputTensorMetadata[0].content.contentProperties.sampleRate, labels


def show(table, indent: str) -> None:
    """Print the fields of a table that are set, and of the tables in it."""
    for field, value in vars(table).items():
        for item in value if isinstance(value, list) else [value]:
            if hasattr(item, "__dict__"):
                print(f"{indent}{field}: {type(item).__name__}")
                show(item, indent + "    ")
            elif item is not None:
                text = item.decode() if isinstance(item, bytes) else item
                print(f"{indent}{field}: {text}")


def read(path: Path) -> tuple[np.ndarray, int]:
    """Return the mean of a WAV file's channels, and its sample rate."""
    with wave.open(str(path)) as file:
        if file.getsampwidth() != 2:
            sys.exit(f"{path} has no 16 bits. Convert it.")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        channels = samples.reshape(-1, file.getnchannels())
        return (channels.mean(axis=1) / 32_768).astype(np.float32), file.getframerate()


def classify(path: Path, waveform: np.ndarray, rate: int) -> list:
    """Return MediaPipe's answers, one a window."""
    options = audio.AudioClassifierOptions(
        base_options=BaseOptions(model_asset_path=str(path))
    )
    with audio.AudioClassifier.create_from_options(options) as classifier:
        return classifier.classify(AudioData.create_from_array(waveform, rate))


def run(interpreter: Interpreter, window: np.ndarray) -> list[np.ndarray]:
    """Return LiteRT's scores of a window, an array a head."""
    taken = interpreter.get_input_details()[0]["index"]
    interpreter.set_tensor(taken, window[None])
    interpreter.invoke()
    return [
        interpreter.get_tensor(given["index"])[0]
        for given in interpreter.get_output_details()
    ]


def compare(result, expected: list[np.ndarray], labels: dict[str, list[str]]) -> float:
    """Print the best labels of every head; return the largest difference of scores."""
    worst = 0.0
    print(f"{result.timestamp_ms} ms")
    for head, scores in zip(result.classifications, expected, strict=True):
        names = labels[head.head_name]
        found = {category.category_name: category.score for category in head.categories}
        if set(found) != set(names) or len(names) != len(scores):
            sys.exit(f"The labels of {head.head_name} are not those of its file.")
        by_file = np.array([found[name] for name in names])
        worst = max(worst, float(np.abs(by_file - scores).max()))
        best = ", ".join(
            f"{c.category_name} {c.score:.3f}" for c in head.categories[:3]
        )
        print(f"    {head.head_index} {head.head_name}: {best}")
    return worst


if __name__ == "__main__":
    main()
