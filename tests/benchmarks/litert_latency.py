r"""How fast .tflite files are on one core: seconds of audio in a second, paired.

    python -m venv litert && litert/bin/pip install ai-edge-litert numpy
    litert/bin/python tests/benchmarks/litert_latency.py yamnet.tflite:16000 \
        mine.tflite:16000

Every file is given as FILE:SAMPLE_RATE. All take turns, round by round, on the same
length of sound (`--seconds`; a file of a fixed length keeps its own), so that whatever
else the machine does meets all of them alike. Needs LiteRT and NumPy only; says so if
TensorFlow is there.
"""

import argparse
import importlib.util
import statistics
import time
from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter


@dataclass
class Runner:
    """A file made ready: `run` computes once."""

    name: str
    interpreter: Interpreter
    seconds: float
    taken: list[float]

    def run(self) -> None:
        start = time.perf_counter()
        self.interpreter.invoke()
        self.taken.append(time.perf_counter() - start)


def prepare(argument: str, seconds: float, threads: int) -> Runner:
    """Return a file ready for sound of a length, or of its own fixed one."""
    name, _, rate = argument.rpartition(":")
    rate = int(rate)
    interpreter = Interpreter(model_path=name, num_threads=threads)
    details = interpreter.get_input_details()[0]
    if -1 in details["shape_signature"]:
        shape = [1, round(seconds * rate)]
        interpreter.resize_tensor_input(details["index"], shape, strict=True)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, details["shape"])
    interpreter.set_tensor(details["index"], sound.astype(np.float32))
    return Runner(name, interpreter, details["shape"][-1] / rate, [])


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("files", nargs="+", metavar="FILE:RATE")
    p.add_argument("--seconds", type=float, default=0.975, help="of sound at a time")
    p.add_argument("--rounds", type=int, default=200)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    if importlib.util.find_spec("tensorflow"):
        print("TensorFlow is installed here too; it is not imported.")
    runners = [prepare(file, args.seconds, args.threads) for file in args.files]
    for _ in range(args.rounds + 5):
        for runner in runners:
            runner.run()
    first = np.array(runners[0].taken[5:]) / runners[0].seconds
    print(f"{args.rounds} rounds, {args.threads} thread(s); against {runners[0].name}:")
    for runner in runners:
        own = np.array(runner.taken[5:])
        per_second = own / runner.seconds
        ratio = statistics.median(first / per_second)
        print(
            f"{runner.seconds:6.3f} s in {1000 * np.median(own):7.2f} ms  "
            f"{1 / np.median(per_second):6.0f} x real time  "
            f"{ratio:5.2f} x as fast  {runner.name}"
        )


if __name__ == "__main__":
    main()
