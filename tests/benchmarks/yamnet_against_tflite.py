"""How close ports of YAMNet are to the TFLite file: the table of docs/weights.md.

    python tests/benchmarks/yamnet_against_tflite.py FILE.tflite ESC-50-FOLDER

Every fifth clip in order of name, three windows of 0.975 s each, resampled to 16 kHz.
Windows whose peak is below 0.01 are left out: on next to silence all agree.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

import tfhier
from tfhier import audio, console
from tfhier.pretrained import porting

SAMPLES = 15_600
WINDOWS = 3
EVERY = 5
QUIET_PEAK = 0.01


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("file", type=Path, help="yamnet.tflite")
    p.add_argument("esc50", type=Path, help="the folder with audio/")
    p.add_argument("--clips", type=int, default=300)
    args = p.parse_args()
    files = sorted((args.esc50 / "audio").iterdir())[::EVERY][: args.clips]
    windows = np.concatenate([cut(file) for file in files])
    is_loud = np.abs(windows).max(axis=1) >= QUIET_PEAK
    windows = windows[is_loud]
    resolvers = tf.lite.experimental.OpResolverType
    plain = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    reference = interpret(args.file, windows, resolvers.AUTO)
    rows = [
        ("TFLite without XNNPACK", interpret(args.file, windows, plain)),
        *(
            (f"port, {frontend}", ported(args.file, windows, frontend))
            for frontend in ("yamnet_16k_tflite", "yamnet_16k")
        ),
    ]
    print(
        f"{len(windows)} windows of {len(files)} clips ({np.sum(~is_loud)} quiet ones "
        "left out), against TFLite's default:"
    )
    header = ["", "same best", "same five best", "mean difference", "largest"]
    print(console.table(header, [[name, *compare(reference, s)] for name, s in rows]))


def cut(file: Path) -> np.ndarray:
    """Return the first windows (windows, samples) of a clip, zeros behind its end."""
    waveform, _ = audio.read(file, sample_rate=16_000, allow_silent=True)
    padded = np.zeros(WINDOWS * SAMPLES, np.float32)
    padded[: len(waveform)] = waveform[: len(padded)]
    return padded.reshape(WINDOWS, SAMPLES)


def interpret(file: Path, windows: np.ndarray, resolver) -> np.ndarray:
    """Return the scores (windows, 521) of the file as TFLite runs it."""
    interpreter = tf.lite.Interpreter(str(file), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    taken = interpreter.get_input_details()[0]["index"]
    given = interpreter.get_output_details()[0]["index"]
    scores = []
    for window in windows:
        interpreter.set_tensor(taken, window)
        interpreter.invoke()
        scores.append(interpreter.get_tensor(given)[0])
    return np.array(scores)


def ported(file: Path, windows: np.ndarray, frontend: str) -> np.ndarray:
    """Return the scores of a port."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "yamnet.keras")
        porting.port("yamnet", file, path, frontend=frontend)
        model = tfhier.load(path).model
    return model.predict(windows, verbose=0)["label"]


def compare(expected: np.ndarray, found: np.ndarray) -> list[str]:
    """Return how alike scores are, as the cells of a row."""
    orders = [np.argsort(-scores, axis=1) for scores in (expected, found)]
    best = np.mean(orders[0][:, 0] == orders[1][:, 0])
    pairs = zip(orders[0][:, :5], orders[1][:, :5], strict=True)
    five = np.mean([set(one) == set(two) for one, two in pairs])
    off = np.abs(expected - found)
    return [f"{best:.0%}", f"{five:.0%}", f"{off.mean():.4f}", f"{off.max():.2f}"]


if __name__ == "__main__":
    main()
