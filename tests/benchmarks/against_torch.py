"""Time the project's networks against the same ones in PyTorch, on the CPU.

    python tests/benchmarks/against_torch.py --network cnn10 --rounds 15

Inference on 1 and 8 clips and a training step on 8, clips of 10 s; waveforms in,
probabilities of 527 classes out. The twins have the same weights, and must answer alike
before anything is timed.

Conventions: each side has a process of its own, on the same cores, and waits while the
other one works. In one process each would suffer the other's threads and allocator, and
both bring an LLVM, of which a second one ends the process. A round is a run of the one
and a run of the other, each of so many calls that it lasts half a second or more. A
ratio is PyTorch's time over ours, above 1 where we are faster: the geometric mean over
rounds, with a 95 % interval.
"""

import argparse
import contextlib
import importlib
import importlib.util
import math
import multiprocessing
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfhier import console
from tfhier.errors import InputError
from tfhier.files import write_json

# What imports TensorFlow is imported in functions: each worker process imports this
# file, and that of PyTorch is to be without.

NETWORKS = ("cnn14", "cnn10", "mobilenet_v1")
FRONTENDS = ("panns_32k", "panns_16k")
WORK = (("inference", 1), ("inference", 8), ("training", 8))
NUM_CLASSES = 527
CLIP_SECONDS = 10
WARM_UP_CALLS = 3  # the first one traces graphs and chooses kernels
LEAST_SECONDS = 0.5
# OpenMP's threads spin for some milliseconds behind their last task.
PAUSE_SECONDS = 0.05
# One-minute load average above which other programs disturb.
BUSY_LOAD = 0.5
CORES = sorted(os.sched_getaffinity(0))  # that this process may use

Ask = Callable[..., object]
Pair = tuple[float, float]


def parse(arguments: list[str]) -> argparse.Namespace:
    p = argparse.ArgumentParser("against_torch.py", description=__doc__.splitlines()[0])
    p.add_argument("--network", nargs="+", choices=NETWORKS, default=NETWORKS)
    p.add_argument("--frontend", choices=FRONTENDS, default=FRONTENDS[0])
    p.add_argument("--rounds", type=int, default=15, help="pairs of runs (default: 15)")
    p.add_argument(
        "--threads", type=int, default=len(CORES), help="default: one a core"
    )
    p.add_argument(
        "--channels-last",
        action="store_true",
        help="give PyTorch the layout of maps that it recommends for convolutions",
    )
    p.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    return p.parse_args(arguments)


def main(arguments: list[str]) -> None:
    args = parse(arguments)
    if args.rounds < 2:
        raise InputError("An interval needs --rounds 2 or more.")
    if not 1 <= args.threads <= len(CORES):
        raise InputError(
            f"--threads is 1 to {len(CORES)}, the cores there are. Received: "
            f"{args.threads}"
        )
    if importlib.util.find_spec("torch") is None:
        raise InputError("PyTorch is not installed: pip install torch")
    load = os.getloadavg()[0]
    if warning := busy(load):
        print(f"against_torch.py: {warning}", file=sys.stderr)
    with console.without_native_messages():
        from tfhier import frontends, machine
    settings = frontends.FRONTENDS[args.frontend]
    found, versions = [], {}
    num_runs = len(args.network) * len(WORK) * args.rounds
    with tqdm(total=num_runs, unit="round", disable=None, leave=False) as bar:
        for network in args.network:
            with twins(args, network, settings) as (ours, theirs):
                versions = {"ours": ours("version"), "theirs": theirs("version")}
                for task, batch in WORK:
                    bar.set_description(f"{network} {task} {batch}")
                    prepare(ours, theirs, task, batch, settings["sample_rate"])
                    pairs = time_pairs(ours, theirs, args.rounds, bar.update)
                    found.append(summary(network, task, batch, pairs))
    conditions = {
        **machine.describe(),
        **versions,
        "threads": args.threads,
        "load_average": round(load, 2),
        "frontend": args.frontend,
        "channels_last": args.channels_last,
        "rounds": args.rounds,
    }
    show(conditions, found)
    if args.json:
        write_json(args.json, {**conditions, "results": found})


def busy(load: float) -> str:
    """Return a warning for a load average that timings suffer from, "" if none."""
    if load <= BUSY_LOAD:
        return ""
    return (
        f"the machine is busy (load average {load:.1f}), and these figures are no more "
        "than a trial: PyTorch's threads wait for each other and lose more than ours. "
        "Repeat it when nothing else runs."
    )


@contextlib.contextmanager
def twins(
    args: argparse.Namespace, network: str, settings: Mapping
) -> Iterator[tuple[Ask, Ask]]:
    """Yield our side and PyTorch's, each in a process, with the same weights."""
    asked = (network, settings, args.channels_last)
    with (
        worker("torch_side", args.threads, *asked) as theirs,
        worker("keras_side", args.threads, theirs("tensors")) as ours,
    ):
        yield ours, theirs


@contextlib.contextmanager
def worker(module: str, threads: int, *arguments) -> Iterator[Ask]:
    """Run the `Side` of a module in a process of its own.

    Yields:
        Function from the name of a method and its arguments to what it returns.

    Raises:
        InputError: The process ended early.
    """
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(
        target=_serve, args=(far, module, threads, arguments), daemon=True
    )
    process.start()
    far.close()  # so that the end of the process is seen here

    def ask(*request):
        try:
            near.send(request)
            return near.recv()
        except (EOFError, ConnectionError):
            process.join()
            why = {
                -signal.SIGKILL: "If memory ran out, leave cnn14 out of --network",
                -signal.SIGTERM: "It was told to: run the same command again",
            }.get(process.exitcode, "A message above says why")
            raise InputError(
                f"{module} ended early with exit code {process.exitcode}. {why}."
            ) from None

    try:
        yield ask
    finally:
        process.terminate()
        process.join()


def _serve(connection, module: str, threads: int, arguments: Sequence) -> None:
    """Do what the other end asks of a side, until it ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends
    os.sched_setaffinity(0, CORES[:threads])
    with console.without_native_messages():
        side = importlib.import_module(module).Side(threads, *arguments)
    while True:
        name, *rest = connection.recv()
        if name == "seconds":
            connection.send(_seconds(side.work, *rest))
        else:
            connection.send(getattr(side, name)(*rest))


def _seconds(work: Callable[[], object], calls: int) -> float:
    """Return the seconds a call, of so many calls one after the other."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def prepare(ours: Ask, theirs: Ask, task: str, batch: int, sample_rate: int) -> None:
    """Give both sides the same work, and check that they answer alike to it.

    Raises:
        RuntimeError: They do not: the networks are no twins.
    """
    rng = np.random.default_rng(0)
    shape = (batch, CLIP_SECONDS * sample_rate)
    waveform = rng.normal(0.0, 0.1, shape).astype(np.float32)
    if task == "training":
        targets = (rng.random((batch, NUM_CLASSES)) < 0.01).astype(np.float32)
        for side in (ours, theirs):
            side("prepare_training", waveform, targets)
        return
    answers = [side("answer", waveform) for side in (ours, theirs)]
    if not np.allclose(*answers, rtol=1e-4, atol=0.0):
        raise RuntimeError(f"The twins differ by {np.ptp(answers, axis=0).max():.2g}")
    for side in (ours, theirs):
        side("prepare_inference", waveform)


def time_pairs(
    ours: Ask, theirs: Ask, rounds: int, progress: Callable[[], object]
) -> list[Pair]:
    """Return the seconds a call of ours and of theirs, a pair a round.

    Args:
        ours: Our side, prepared.
        theirs: PyTorch's side, prepared.
        rounds: int > 0.
        progress: Called after every round.
    """
    for side in (ours, theirs):
        side("seconds", WARM_UP_CALLS)
    calls = math.ceil(LEAST_SECONDS / min(ours("seconds", 1), theirs("seconds", 1)))
    pairs = []
    for _ in range(rounds):
        pair = []
        for side in (ours, theirs):
            time.sleep(PAUSE_SECONDS)
            pair.append(side("seconds", calls))
        pairs.append(tuple(pair))
        progress()
    return pairs


def summary(network: str, task: str, batch: int, pairs: Sequence[Pair]) -> dict:
    """Return the figures of one line of the table, and the pairs themselves."""
    ours, theirs = zip(*pairs, strict=True)
    return {
        "network": network,
        "task": task,
        "batch": batch,
        "ours_seconds": statistics.median(ours),
        "theirs_seconds": statistics.median(theirs),
        "ratio": ratio(pairs),
        "pairs": [list(pair) for pair in pairs],
    }


def ratio(pairs: Sequence[Pair]) -> dict[str, float]:
    """Return the geometric mean of theirs / ours over pairs with its 95 % interval."""
    from tfhier.compare import paired_interval

    found = paired_interval([math.log(theirs / ours) for ours, theirs in pairs])
    return {name: math.exp(found[name]) for name in ("mean", "low", "high")}


def show(conditions: Mapping, found: Sequence[Mapping]) -> None:
    """Print where the figures come from, and the table."""
    console.line(
        "machine",
        f"{conditions['processor']}, {conditions['threads']} threads on "
        f"{conditions['num_cores']} cores, load average {conditions['load_average']}, "
        f"{conditions['date']}",
    )
    layout = "channels last" if conditions["channels_last"] else "default layout"
    console.line("versions", f"{conditions['ours']}; {conditions['theirs']}, {layout}")
    console.line(
        "input",
        f"clips of {CLIP_SECONDS} s through {conditions['frontend']}; "
        f"{conditions['rounds']} rounds",
    )
    header = ["network", "work", "tfhier ms", "PyTorch ms", "PyTorch / tfhier"]
    print(f"\n{console.table(header, [_row(line) for line in found])}")


def _row(line: Mapping) -> list[str]:
    low, mean, high = (line["ratio"][name] for name in ("low", "mean", "high"))
    return [
        line["network"],
        f"{line['task']}, batch {line['batch']}",
        f"{1_000 * line['ours_seconds']:.0f}",
        f"{1_000 * line['theirs_seconds']:.0f}",
        f"{mean:.2f} [{low:.2f}, {high:.2f}]",
    ]


if __name__ == "__main__":
    sys.exit(console.door("against_torch.py", lambda: main(sys.argv[1:])))
