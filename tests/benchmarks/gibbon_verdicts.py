"""What verdicts bring on real sound: a gibbon detector that answers to everything.

    python experiments/run.py --exp gibbons_cnn10 --seeds 0 --data primates_cc0
    python tests/benchmarks/gibbon_verdicts.py --model saved_models/gibbons_cnn10@... \\
        --data primates_cc0 --esc50 ESC-50 --folder /tmp/gibbons

The detector hears the joined training clips (`tfhier.data.gibbons`, one recording for
each ratio and 60 clips) and ESC-50's folds 1 and 2, in which there is no such animal.
A listener who never errs judges all events; `tfhier train --from` trains the head on
that. The detectors before and after then hear the test clips (calls of other
recordings, forest of another island) and ESC-50's folds 3 and 4: see `gibbon_events`.
Almost all clips of one recording on Freesound are in one fold (two are not). About 5
minutes on 2 CPU cores.
"""

import argparse
import csv
from pathlib import Path

import gibbon_events
import listener
import numpy as np

from tfhier import audio
from tfhier.__main__ import main as tfhier
from tfhier.data import gibbons
from tfhier.data.gibbons.calls import SAMPLE_RATE
from tfhier.events import Event

CLIPS = 60  # of a recording


def write_esc50(esc50: Path, folds: set[str], folder: Path) -> dict[str, list[Event]]:
    """Join clips of some folds in random order; return no calls for each recording."""
    with (esc50 / "meta" / "esc50.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["fold"] in folds]
    np.random.default_rng(0).shuffle(rows)
    truths = {}
    for first in range(0, len(rows), CLIPS):
        name = f"esc50-{first:04d}.wav"
        truths[name] = []
        if (folder / name).is_file():
            continue
        clips = [
            audio.read(
                next((esc50 / "audio").glob(f"{Path(row['filename']).stem}.*")),
                sample_rate=SAMPLE_RATE,
            )[0]
            for row in rows[first : first + CLIPS]
        ]
        sound = np.clip(np.concatenate(clips), -1, 1)
        audio.write(folder / name, sound, sample_rate=SAMPLE_RATE)
    return truths


def write_training(data: Path, folder: Path) -> dict[str, list[Event]]:
    """Join the training clips of each ratio; return the calls in each recording."""
    rows, clips = gibbon_events.rows_of(data, "train")
    truths = {}
    for condition in dict.fromkeys(row["condition"] for row in rows):
        own = [row for row in rows if row["condition"] == condition]
        np.random.default_rng(0).shuffle(own)
        for first in range(0, len(own), CLIPS):
            sound, calls = gibbon_events.joined(own[first : first + CLIPS], clips)
            name = f"forest{condition.replace(' ', '')}-{first:04d}.wav"
            truths[name] = calls
            sound = np.clip(sound, -1, 1)
            audio.write(folder / name, sound, sample_rate=SAMPLE_RATE)
    return truths


def run(*arguments: object) -> None:
    """Run a command of tfhier; end where it fails."""
    print("$ tfhier", *arguments, flush=True)
    if status := tfhier([str(each) for each in arguments]):
        raise SystemExit(status)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--model", type=Path, required=True, help="folder of a run")
    p.add_argument("--data", type=Path, default=gibbons.default_folder())
    p.add_argument("--esc50", type=Path, required=True)
    p.add_argument("--folder", type=Path, required=True)
    p.add_argument("--background", choices=("gaps", "none"), default="gaps")
    args = p.parse_args()
    judged, others = args.folder / "judged", args.folder / "others"
    truths = write_esc50(args.esc50, {"1", "2"}, judged)
    truths |= write_training(args.data, judged)
    write_esc50(args.esc50, {"3", "4"}, others)
    before, after = args.folder / "before", args.folder / "after"
    export = ("--to", "tflite", "--no-times", "--test-clips", 0)
    run("export", args.model, *export, "--output", before, "--name", "before")
    table = args.folder / "events.csv"
    run("detect", before / "before.tflite", judged, "-o", table, "--fresh")
    print("verdicts:", listener.judge(table, truths))
    run(
        "train", "--from", args.folder / "events-reviewed.csv", "--model", args.model,
        "-o", after, "--fresh", "--set", f"background={args.background}",
    )  # fmt: skip
    run("export", after, *export)
    for name, threshold in (
        (before / "before.tflite", None),
        (before / "before.tflite", 0.7),
        (before / "before.tflite", 0.8),
        (after / "after.tflite", None),
    ):
        print(f"\n{name}, threshold {threshold or 'as fitted'}")
        gibbon_events.report(name, args.data, threshold=threshold, free=others)


if __name__ == "__main__":
    main()
