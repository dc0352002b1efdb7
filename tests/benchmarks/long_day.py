"""A day of sound through `tfhier detect --stream`: memory, speed, and no drift.

    python tests/benchmarks/long_day.py --hours 24

Ten minutes of the SYNTHETIC forest, rendered on the spot, are piped again and again
into the command, as a microphone would. Whatever was heard in the second ten minutes
must be heard in all others (but the last) at the same times after their start: the
largest deviation is printed, beside the highest memory of the process and the seconds
of sound that one second of its processor time was enough for.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from tfhier import console, machine
from tfhier.data.forest import soundscapes
from tfhier.data.forest.voice import RATE
from tfhier.detect import demo

SECONDS = 600
CHUNK = 2 * RATE  # bytes written at once: a second


def stream(model: Path, samples: np.ndarray, times: int) -> tuple[list[dict], float]:
    """Pipe a recording so many times, end to end; return events and highest memory."""
    words = [sys.executable, "-m", "tfhier", "detect", str(model), "--stream"]
    process = subprocess.Popen(
        [*words, "--rate", str(RATE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    found = []
    reader = threading.Thread(
        target=lambda: found.extend(map(json.loads, process.stdout))
    )
    reader.start()
    content = samples.tobytes()
    for _ in range(times):
        for start in range(0, len(content), CHUNK):
            process.stdin.write(content[start : start + CHUNK])
    memory = highest_memory(process.pid)
    process.stdin.close()
    reader.join()
    if process.wait():
        sys.exit("tfhier detect failed, see above.")
    return found, memory


def highest_memory(pid: int) -> float:
    """Return the most memory that a process had so far, in MB."""
    # Not from getrusage: it counts what the process was forked from.
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def drift(found: list[dict], times: int) -> tuple[float, int]:
    """Return the largest deviation from the second repetition, in s, and its events."""
    by_part = [[] for _ in range(times)]
    for each in sorted(found, key=lambda each: (each["label"], each["start"])):
        part = int(each["start"] // SECONDS)
        own = (each[end] - SECONDS * part for end in ("start", "end"))
        by_part[part].append((each["label"], *own))
    reference = by_part[1]
    deviations = [0.0]
    for part in by_part[2:-1]:
        if [label for label, *_ in part] != [label for label, *_ in reference]:
            sys.exit("Another part of the day has other events.")
        deviations += [
            abs(mine - its)
            for one, other in zip(part, reference, strict=True)
            for mine, its in zip(one[1:], other[1:], strict=True)
        ]
    return max(deviations), len(reference)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--hours", type=float, default=24.0)
    p.add_argument("--model", type=Path, default=demo.MODEL)
    args = p.parse_args()
    times = max(4, round(3600 * args.hours / SECONDS))
    made = soundscapes.render(float(SECONDS), seed=20, part="devel", site=0)
    samples = np.round(32_767 * made.waveform).astype("<i2")
    found, memory = stream(args.model, samples, times)
    deviation, number = drift(found, times)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime
    facts = machine.describe()
    console.line("machine", f"{facts['processor']}, {facts['date']}")
    console.line("sound", f"{times * SECONDS / 3600:.1f} h, SYNTHETIC, {RATE} Hz")
    console.line("events", f"{len(found)}, {number} in every ten minutes")
    console.line("drift", f"{1000 * deviation:.0f} ms at most")
    console.line("memory", f"{memory:.0f} MB at most")
    rate = times * SECONDS / seconds
    console.line("speed", f"{rate:.0f} s of sound a second and core")


if __name__ == "__main__":
    main()
