"""How long `tfhier` takes to start, in the environment that runs this.

    python3.11 -m venv lite && lite/bin/pip install '.[detect]'
    lite/bin/python tests/benchmarks/start_up.py [--rounds 5] [MODEL.tflite]

Printed are medians of wall time from the start of the process: until the help is
printed; until the first window of a stream was scored; and of a whole job over one
recording of 3 s, from the start of its processes to its table, which is more than the
time to its first window. Without a model the demo's is taken.

2026-12-01, AMD EPYC, 2 cores that others used too, LiteRT 2.3.0 and nothing of
TensorFlow (an environment of 174 MB, pip and setuptools included): 0.067, 0.068, 0.141
and 0.358 s.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tfhier import audio, contract
from tfhier.detect import demo

# The command line, which ends at once when the first window was scored.
_FIRST_WINDOW = """
import os, sys
from tfhier import __main__
from tfhier.detect import detector

def first(self, window, scores=detector.Detector._scores):
    scores(self, window)
    os._exit(0)

detector.Detector._scores = first
sys.exit(__main__.main(sys.argv[1:]))
"""


def median(rounds: int, command: list[str], *, sound: bytes = b"") -> float:
    """Return the median of the wall times of a command, in seconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, input=sound, capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("model", nargs="?", type=Path, default=demo.MODEL)
    p.add_argument("--rounds", type=int, default=5)
    args = p.parse_args()
    model = str(args.model)
    rate = contract.read(model).sample_rate
    tfhier = [sys.executable, "-m", "tfhier"]
    stream = ["detect", model, "--stream", "--rate", str(rate)]
    with tempfile.TemporaryDirectory() as folder:
        file, table = Path(folder, "short.wav"), Path(folder, "events.csv")
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * rate)
        audio.write(file, noise, sample_rate=rate)
        job = ["detect", model, str(file), "-o", str(table), "--fresh"]
        figures = {
            "tfhier --help": median(args.rounds, [*tfhier, "--help"]),
            "tfhier detect --help": median(args.rounds, [*tfhier, "detect", "--help"]),
            "first window of a stream": median(
                args.rounds,
                [sys.executable, "-c", _FIRST_WINDOW, *stream],
                sound=bytes(20 * rate),
            ),
            "job of one file of 3 s": median(args.rounds, [*tfhier, *job]),
        }
    for name, seconds in figures.items():
        print(f"{name:<26} {seconds:.3f} s")


if __name__ == "__main__":
    main()
