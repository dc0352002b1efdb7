"""The exports of several runs in one table of Markdown: folds of one experiment, say.

    for run in saved_models/NAME@DATA/seed0/fold*; do
        tfhier export $run --to tflite --weights float32 float16 dynamic int8
    done
    python tests/benchmarks/exports_table.py saved_models/NAME@DATA/seed0/fold*

Figures are of all test clips of all runs together, differences the largest of any run,
times the median over runs of the ratio to the float32 file of the same run, which was
timed in turns with it.
"""

import argparse
import json
import statistics
from pathlib import Path

HEADER = (
    "weights", "MB", "of float32", "largest difference", "Keras", "file", "points",
    "time",
)  # fmt: skip


def rows(reports: list[dict], metric: str, threads: str) -> list[tuple[str, ...]]:
    """Return a row for each kind of weights that all reports have."""
    by_weights = [
        {
            each["weights"]: each
            for each in report["files"]
            if each["path"].endswith(".tflite")
        }
        for report in reports
    ]
    clips = [report["num_test_clips"] for report in reports]

    def mean(figures: list[dict]) -> float:
        """Return a figure of the finest level, runs weighed by their clips."""
        values = [next(iter(each.values()))[metric] for each in figures]
        return 100 * sum(map(float.__mul__, values, map(float, clips))) / sum(clips)

    before = mean([report["before"] for report in reports])
    found = []
    for weights in by_weights[0]:
        files = [own[weights] for own in by_weights]
        plain = [own["float32"] for own in by_weights]
        after = mean([each["figures"] for each in files])
        share = statistics.mean(
            each["num_bytes"] / own["num_bytes"]
            for each, own in zip(files, plain, strict=True)
        )
        times = [
            each["milliseconds"][threads] / own["milliseconds"][threads]
            for each, own in zip(files, plain, strict=True)
        ]
        found.append(
            (
                weights,
                f"{statistics.mean(each['num_bytes'] for each in files) / 1e6:.2f}",
                f"{100 * share:.0f} %",
                f"{max(each['proof']['max_difference'] for each in files):.1e}",
                f"{before:.1f}",
                f"{after:.1f}",
                f"{after - before:+.1f}",
                f"{statistics.median(times):.2f}",
            )
        )
    return found


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("runs", type=Path, nargs="+", help="folders with an export.json")
    p.add_argument("--metric", default="accuracy", help="of the finest level")
    p.add_argument("--threads", default="1", help="of the times")
    args = p.parse_args()
    reports = [json.loads((run / "export.json").read_text()) for run in args.runs]
    total = sum(report["num_test_clips"] for report in reports)
    print(f"{len(reports)} runs, {total} test clips, {args.metric}\n")
    table = rows(reports, args.metric, args.threads)
    for row in (HEADER, ["---"] * len(HEADER), *table):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
