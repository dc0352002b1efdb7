"""Gibbon calls found in forest, event by event: recall, precision, false alarms.

    python experiments/run.py --exp gibbons_cnn10 --seeds 0 --data primates_cc0
    tfhier export saved_models/gibbons_cnn10@.../seed0 --to tflite
    python tests/benchmarks/gibbon_events.py MODEL.tflite --data primates_cc0

The test clips of one signal-to-noise ratio (`tfhier.data.gibbons`: real calls mixed
into real forest of sites that were not trained on) are joined in random order into one
recording of 12 minutes, and `tfhier` hears it as any other: windows fall where they
fall, across the seams too. An event matches a call by `tfhier.event_metrics`. False
alarms are told by the hour of clips without a call of any animal (96 a ratio).
`--free FOLDER` counts them in other sound, too, in which there is none: its files are
joined in the order of their names.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

import tfhier
from tfhier import audio, console, event_metrics, predict
from tfhier.data import gibbons
from tfhier.data.gibbons import mixtures
from tfhier.data.gibbons.calls import MAX_SAMPLES, SAMPLE_RATE
from tfhier.detect.detector import Detector
from tfhier.detect.options import Options
from tfhier.events import Event
from tfhier.taxonomy import Taxonomy

SECONDS = MAX_SAMPLES / SAMPLE_RATE


def joined(rows: list[dict], folder: Path) -> tuple[np.ndarray, list[Event]]:
    """Return clips end to end, and the calls in them."""
    parts, calls = [], []
    taxonomy = Taxonomy.read("gibbons")
    fine = taxonomy.fine
    for place, row in enumerate(rows):
        waveform, _ = audio.read(folder / f"{row['key']}.flac", sample_rate=SAMPLE_RATE)
        parts.append(audio.fix_length(waveform, MAX_SAMPLES))
        label = mixtures.KINDS[row["kind"]]
        if label == "background":
            continue
        start = SECONDS * place + float(row["onset"])
        length = float(row["focal_stop"]) - float(row["focal_start"])
        calls.append(
            Event(
                start=start,
                end=min(start + length, SECONDS * (place + 1)),
                level=fine,
                label=label,
                score=1.0,
                labels=taxonomy.lineage(fine, label),
            )
        )
    return np.concatenate(parts), calls


def alarms(events: list[Event], rows: list[dict], label: str, level: str) -> int:
    """Return how many events of a label begin and end in clips without any call."""
    free = [mixtures.KINDS[row["kind"]] == "background" for row in rows]
    found = 0
    for event in events:
        if event.label_on(level) == label:
            last = min(int(event.end / SECONDS - 1e-9), len(rows) - 1)
            found += all(free[int(event.start / SECONDS) : last + 1])
    return found


def alarms_in(files: list[Path], detector: Detector, levels: tuple[str, ...]) -> None:
    """Print how many events of each label are found in sound that has none."""
    sounds = [audio.read(file, sample_rate=SAMPLE_RATE)[0] for file in files]
    blocks = audio.resample_blocks(
        sounds, source_rate=SAMPLE_RATE, target_rate=detector.sample_rate
    )
    events = list(detector.events(blocks))
    hours = sum(map(len, sounds)) / SAMPLE_RATE / 3600
    rows = []
    for level in levels:
        for label in sorted({event.label_on(level) for event in events}):
            num = sum(event.label_on(level) == label for event in events)
            rows.append([level, label or "(open)", str(num), f"{num / hours:.0f}"])
    print(f"{len(files)} files without a call, {hours:.2f} h")
    print(console.table(["level", "label", "alarms", "an hour"], rows))


def rows_of(data: Path, part: str) -> tuple[list[dict], Path]:
    """Return what is known of the clips of a part, and the folder they lie in."""
    folder = gibbons.load(data).paths[0].parent
    with (folder.parent / "clips.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["part"] == part], folder


def report(
    model: Path, data: Path, *, threshold: float | None = None, free: Path | None = None
) -> None:
    """Print what a detector finds in the test clips, and in sound without calls."""
    all_rows, folder = rows_of(data, "test")
    detector = Detector(tfhier.load(model), Options(threshold=threshold))
    fine, group = Taxonomy.read("gibbons").levels
    table = []
    for condition in dict.fromkeys(row["condition"] for row in all_rows):
        rows = [row for row in all_rows if row["condition"] == condition]
        np.random.default_rng(0).shuffle(rows)
        waveform, calls = joined(rows, folder)
        blocks = audio.resample_blocks(
            [waveform], source_rate=SAMPLE_RATE, target_rate=detector.sample_rate
        )
        events = list(detector.events(blocks))
        for level, labels in ((group, ("gibbon",)), (fine, mixtures.LABELS)):
            for label in labels:
                if label == "background":
                    continue
                own = [e for e in events if e.label_on(level) == label]
                there = [c for c in calls if c.labels[level] == label]
                found = event_metrics.count(own, there, level=level)
                num_free = sum(
                    mixtures.KINDS[row["kind"]] == "background" for row in rows
                )
                hours = num_free * SECONDS / 3600
                table.append(
                    [
                        f"{condition}, {label}",
                        f"{found.num_found} of {found.num_calls}",
                        console.percent(found.recall),
                        f"{found.num_right} of {found.num_events}",
                        console.percent(found.precision),
                        f"{alarms(own, rows, label, level) / hours:.0f}",
                    ]
                )
    header = ["ratio, label", "found", "recall", "right", "precision", "alarms an hour"]
    print(console.table(header, table))
    if free:
        alarms_in(predict.find_clips([free]), detector, (group, fine))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("model", type=Path)
    p.add_argument("--data", type=Path, default=gibbons.default_folder())
    p.add_argument("--threshold", type=float)
    p.add_argument("--free", type=Path, help="folder of sound without such calls")
    args = p.parse_args()
    report(args.model, args.data, threshold=args.threshold, free=args.free)


if __name__ == "__main__":
    main()
