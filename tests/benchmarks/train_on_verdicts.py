"""What verdicts bring: a detector before and after `tfhier train --from`, SYNTHETIC.

    python tests/benchmarks/train_on_verdicts.py --folder /tmp/verdicts

A detector is trained on recordings of the synthetic forest (`tfhier train`), exported,
and hears recordings of sites that it does not know (`tfhier detect`). Somebody who
never errs judges its events as on the review page: right, another primate, or none at
all (background). Its head is trained further on that (`tfhier train --from`), and both
detectors hear recordings of other unknown sites. An event matches a call by
`tfhier.event_metrics`. About 5 minutes on 2 CPU cores; the same command goes on where
it was stopped.
"""

import argparse
from pathlib import Path

import listener

from tfhier import audio, event_metrics, event_tables
from tfhier.__main__ import main as tfhier
from tfhier.data.forest import soundscapes
from tfhier.detect.demo import truth_of
from tfhier.events import Event
from tfhier.taxonomy import Taxonomy

SECONDS = 600.0
NUM_JUDGED, NUM_HEARD = 6, 6
FIRST_SITE = 100  # of the forest's part "devel", none of which is trained on
TAXONOMY = Taxonomy.read("primates")


def record(folder: Path, sites: range) -> dict[str, tuple[Event, ...]]:
    """Write a recording of each site; return the calls in each by its name."""
    truths = {}
    for site in sites:
        made = soundscapes.render(SECONDS, seed=0, part="devel", site=site)
        file = folder / f"site{site}.wav"
        if not file.is_file():
            audio.write(file, made.waveform, sample_rate=soundscapes.RATE)
        truths[file.name] = truth_of(made, TAXONOMY)
    return truths


def report(name: str, table: Path, truths: dict[str, tuple[Event, ...]]) -> None:
    """Print how many calls were found, and how many events are right."""
    heard = {Path(each.file).name: each.events for each in event_tables.read(table)}
    for level in TAXONOMY.levels:
        counts = [
            event_metrics.count(heard.get(file, ()), truth, level=level)
            for file, truth in truths.items()
        ]
        found, calls, right, events = (
            sum(getattr(each, what) for each in counts)
            for what in ("num_found", "num_calls", "num_right", "num_events")
        )
        hours = SECONDS * len(truths) / 3600
        print(
            f"{name:<8} {level:<8} found {found} of {calls}, right {right} of {events}"
            f" ({right / max(1, events):.1%}), {(events - right) / hours:.0f} false "
            "alarms an hour"
        )


def run(*arguments: object) -> None:
    """Run a command of tfhier; end where it fails."""
    print("$ tfhier", *arguments, flush=True)
    if status := tfhier([str(each) for each in arguments]):
        raise SystemExit(status)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--folder", type=Path, required=True)
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    folder, seed = args.folder, args.seed
    calls, first = folder / "calls", folder / "first"
    if not calls.exists():
        soundscapes.write_labelled(calls, num_recordings=(60, 12, 12), seconds=60.0)
    run(
        "train", calls / "labels.csv", "-o", first, "--seeds", seed, "--set",
        "taxonomy=primates", "head=levelwise", "fine_weight=0.8",
        "frontend=primates_8k", "clip_seconds=2.0", "mixup_alpha=0.2",
    )  # fmt: skip
    run("export", first, "--to", "tflite", "--no-times")
    judged = record(folder / "judged", range(FIRST_SITE, FIRST_SITE + NUM_JUDGED))
    start = FIRST_SITE + NUM_JUDGED
    others = record(folder / "others", range(start, start + NUM_HEARD))
    model = first / "first.tflite"
    run("detect", model, folder / "judged", "-o", folder / "events.csv")
    print("verdicts:", listener.judge(folder / "events.csv", judged))
    further = folder / "further"
    run("train", "--from", folder / "events-reviewed.csv", "-o", further, "--fresh")
    run("export", further, "--to", "tflite", "--no-times")
    for name, tagger in (("before", model), ("after", further / "further.tflite")):
        table = folder / f"{name}.csv"
        run("detect", tagger, folder / "others", "-o", table, "--fresh")
        report(name, table, others)


if __name__ == "__main__":
    main()
