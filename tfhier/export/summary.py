"""What an export gave: tried on test clips, timed, told as a table, JSON and a card."""

import collections
import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfhier import clip_table, console, contract, machine, members
from tfhier.clip_table import Listed
from tfhier.errors import InputError
from tfhier.export import card, trial
from tfhier.export.proof import Proof
from tfhier.files import read_json, write_json, write_text
from tfhier.runtime import LoadedTagger

REPORT = "export.json"
# Points of the headline's figure that a file may lose without a warning.
_LOSS = 0.05
_THREADS = (1, 2, 4)
# Of the finest level; the first that is defined is shown.
_HEADLINE = ("accuracy", "mAP")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """One exported file, or folder, and how it did.

    Args:
        path: Path.
        weights: str. How weights are kept: "float32", "float16", "dynamic", "int8".
        num_bytes: int.
        proof: Proof. Against the Keras model.
        operations: Dict of kind -> how often; empty for a SavedModel.
        figures: Dict of level -> {metric: value} on test clips, empty without any.
        milliseconds: Dict of threads -> ms for the sound that was timed.
    """

    path: Path
    weights: str
    num_bytes: int
    proof: Proof
    operations: dict[str, int] = field(default_factory=dict)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    milliseconds: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an export gave.

    Args:
        name: str. Of the model.
        folder: Path that it was written to.
        source: Path of the `.keras` file.
        files: Tuple of Exported.
        before: Figures of the Keras model on the same test clips, empty without any.
        num_test_clips: int.
        timed_seconds: float. Of the sound that was timed; 0 if none was.
    """

    name: str
    folder: Path
    source: Path
    files: tuple[Exported, ...]
    before: dict[str, dict[str, float]]
    num_test_clips: int
    timed_seconds: float


def conclude(
    files: Sequence[Exported],
    *,
    name: str,
    folder: Path,
    source: Path,
    test_clips: Listed | None,
    timed: bool,
) -> Report:
    """Try and time exported files, and write `export.json` and `model_card.md`.

    Args:
        files: Exported, as they were proved; those that have figures already were
            tried on the same clips.
        name: str. Of the model.
        folder: Path of the report.
        source: Path of the `.keras` file.
        test_clips: Listed, or None: they are not tried.
        timed: bool. Whether `.tflite` files are timed.
    """
    report = _earlier(folder, files)
    # All files of the table in turns: else times and clips would not be the same.
    known = {each.path: each.figures for each in files if each.figures}
    files = [*report.files, *files]
    if test_clips is not None:
        untried = [source, *(each.path for each in files if each.path not in known)]
        taggers = {path: LoadedTagger(path) for path in untried}
        found = known | trial.figures(taggers, test_clips)
        files = [dataclasses.replace(each, figures=found[each.path]) for each in files]
        report = dataclasses.replace(
            report, before=found[source], num_test_clips=len(test_clips)
        )
    if timed:
        files, seconds = _timed(files)
        report = dataclasses.replace(report, timed_seconds=seconds)
    report = dataclasses.replace(report, name=name, source=source, files=tuple(files))
    write_json(folder / REPORT, to_dict(report))
    promised = dataclasses.replace(contract.read(source), name=name)
    told = [f"* {topic}: {text}" for topic, text in notes(report).items()]
    files = [markdown(report), "\n".join(told[:-2])]
    write_text(folder / members.CARD, card.text(promised, files=files))
    return report


def _earlier(folder: Path, anew: Sequence[Exported]) -> Report:
    """Return what is on record of files of earlier exports that are still there.

    Of those that were damaged since or have other labels there is nothing to say.
    """
    place = folder / REPORT
    record = read_json(place) if place.is_file() else {}
    taxonomy = contract.read(anew[0].path).taxonomy
    found = []
    for told in record.get("files", []):
        path = folder / told["path"]
        if path in [each.path for each in anew] or not path.exists():
            continue
        try:
            members.verify(path)
            if contract.read(path).taxonomy != taxonomy:
                continue
        except InputError:
            continue
        times = {int(n): each for n, each in told["milliseconds"].items()}
        facts = {**told, "path": path, "milliseconds": times}
        found.append(Exported(**{**facts, "proof": Proof(**told["proof"])}))
    return Report(
        name="",
        folder=folder,
        source=folder,
        files=tuple(found),
        before=record.get("before", {}) if found else {},
        num_test_clips=record.get("num_test_clips", 0) if found else 0,
        timed_seconds=record.get("timed_seconds", 0.0) if found else 0.0,
    )


def listed_test_clips(run: Path) -> Listed | None:
    """Return all test clips of a run; None where there is no table of them."""
    path = run / "test_clips.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        if not file.readline().startswith(",".join(clip_table.HEADER)):
            return None  # of an earlier version
    return clip_table.read(path)


def test_clips(run: Path, most: int) -> Listed | None:
    """Return at most so many test clips of a run; None where it has none to hear."""
    listed = listed_test_clips(run) if most else None
    if listed is None:
        return None
    found = listed.some(most)
    return found if all(file.is_file() for file in found.files) else None


def count(kinds: Iterable[str]) -> dict[str, int]:
    """Return how often each kind occurs, in the order of the alphabet."""
    return dict(sorted(collections.Counter(kinds).items()))


def _timed(files: Sequence[Exported]) -> tuple[list[Exported], float]:
    """Return files with what LiteRT takes for the same sound, and its length."""
    own = {
        each.path: contract.read(each.path)
        for each in files
        if each.path.suffix == ".tflite"
    }
    if not own:
        return list(files), 0.0
    last = list(own.values())[-1]
    fixed = [each.window_seconds for each in own.values() if each.window_seconds]
    seconds = fixed[-1] if fixed else last.usual_seconds
    # A file of a fixed length takes no other.
    fit = [path for path, each in own.items() if each.window_seconds in (0.0, seconds)]
    samples = round(seconds * last.sample_rate)
    taken = trial.latency(fit, samples, num_threads=_THREADS)
    return [
        dataclasses.replace(each, milliseconds=taken.get(each.path, {}))
        for each in files
    ], seconds


def to_dict(report: Report) -> dict:
    """Return a report as JSON has it, with the machine."""
    return {
        "name": report.name,
        "machine": machine.describe(),
        "timed_seconds": report.timed_seconds,
        "num_test_clips": report.num_test_clips,
        "before": report.before,
        "files": [
            {
                **dataclasses.asdict(each),
                "path": str(each.path.relative_to(report.folder)),
            }
            for each in report.files
        ],
    }


def rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of files."""
    metric = headline(report)
    header = ["file", "MB", "largest difference", "same best"]
    header += [f"{metric} before", "after"] if metric else []
    threads = _THREADS if report.timed_seconds else ()
    header += [f"ms, {n} thread{'s' * (n > 1)}" for n in threads]
    found = []
    for each in report.files:
        row = [
            str(each.path.relative_to(report.folder)),
            f"{each.num_bytes / 1e6:.2f}",
            f"{each.proof.max_difference:.1e}",
            console.percent(each.proof.top1),
        ]
        if metric:
            fine = next(iter(report.before))
            row += [
                console.percent(figures.get(fine, {}).get(metric))
                for figures in (report.before, each.figures)
            ]
        row += [
            f"{each.milliseconds[n]:.1f}" if n in each.milliseconds else "-"
            for n in threads
        ]
        found.append(row)
    return header, found


def headline(report: Report) -> str:
    """Return the figure of the finest level that the table shows, "" without any."""
    fine = next(iter(report.before.values()), {})
    return next((name for name in _HEADLINE if name in fine), "")


def _loss(report: Report, exported: Exported) -> float:
    """Return what a file lost of the headline's figure; 0 where it was not tried."""
    metric, fine = headline(report), next(iter(report.before), "")
    after = exported.figures.get(fine, {}).get(metric)
    return 0.0 if after is None else report.before[fine][metric] - after


def markdown(report: Report) -> str:
    """Return the table of files as Markdown."""
    header, body = rows(report)
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def notes(report: Report) -> dict[str, str]:
    """Return what the table's columns are of and where it all is: topic -> sentence."""
    made = machine.describe()
    place = os.path.relpath(report.source, report.folder)
    found = {
        "proof": "largest difference of any score from the Keras model's "
        f"({place}), over {report.files[0].proof.num_clips} synthetic clips, quiet "
        "and loud, short and long; same best: clips (%) whose likeliest label is the "
        "same. Beside a file of one length Keras hears its windows too, filled up with "
        "zeros",
    }
    if report.num_test_clips:
        found["tested"] = (
            "before (Keras) and after, in %: the finest level, on "
            f"{report.num_test_clips} test clips of the run"
        )
    lost = [
        f"{each.path.name} {100 * loss:.1f}"
        for each in report.files
        if (loss := _loss(report, each)) > _LOSS
    ]
    if lost:
        found["LOST"] = (
            f"points of {headline(report)}: {', '.join(lost)}. Test it before you use "
            "it; int8 needs sounds like those to come (--calibration)"
        )
    if report.timed_seconds:
        found["times"] = (
            f"LiteRT on {report.timed_seconds:g} s of sound, medians of rounds in "
            f"which all files take turns ({made['processor']}, {os.cpu_count()} cores, "
            f"{made['date']}): trust their ratios; '-': another length, or not timed"
        )
    found["report"] = f"{report.folder / REPORT} (operations of every file)"
    found["card"] = str(report.folder / members.CARD)
    return found
