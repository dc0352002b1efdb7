"""tfhier detect: events of recordings, or of a microphone as they happen."""

import argparse
import dataclasses
import itertools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tfhier import console
from tfhier.errors import InputError

HELP = "find events in long recordings, or in a stream"
# Some recordings could not be heard; the others' events are there.
SOME_FAILED = 3
_ENCODINGS = ("s16le", "s24le", "s32le", "f32le", "u8")


class _Demo(argparse.Action):
    """`--demo`: a flag that makes MODEL needless.

    Args:
        model: The argument MODEL.
    """

    def __init__(self, *args, model: argparse.Action, **settings):
        super().__init__(*args, nargs=0, default=False, **settings)
        self._model = model

    def __call__(self, parser, namespace, values, option_string=None):
        namespace.demo = True
        self._model.required = False


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    model = p.add_argument("model", metavar="MODEL", help="best a .tflite file")
    p.add_argument(
        "audio",
        type=Path,
        nargs="*",
        default=[],
        metavar="AUDIO",
        help="files, or folders of them",
    )
    p.add_argument(
        "-o",
        "--output",
        type=Path,
        help="table of events, events.csv; needed with recordings",
    )
    p.add_argument(
        "--demo",
        action=_Demo,
        model=model,
        help="try it: a SYNTHETIC model on a SYNTHETIC forest, compared with the truth",
    )
    p.add_argument(
        "--format", default="", help="of the table (default: told by its name)"
    )
    p.add_argument("--workers", type=int, help="processes (default: one a core)")
    p.add_argument("--fresh", action="store_true", help="hear everything anew")
    _add_rules(p)
    _add_stream(p)


class _Default:
    """A default of `Options` in words; they are imported when help is printed."""

    def __init__(self, name: str):
        self._name = name

    def __str__(self) -> str:
        from tfhier.detect.options import Options

        value = getattr(Options, self._name)
        return " ".join(value) if isinstance(value, tuple) else f"{value:g}"


def _add_rules(p: argparse.ArgumentParser) -> None:
    p = p.add_argument_group(
        "what is an event (default: by the model's contract)",
        argument_default=argparse.SUPPRESS,  # those of `Options`
    )
    p.add_argument(
        "--threshold", type=float, help="of all labels, in place of the model's own"
    )
    p.add_argument(
        "--precision",
        type=float,
        metavar="SHARE",
        help="thresholds at which so many events were right on validation clips",
    )
    p.add_argument("--window", dest="window_seconds", type=float, metavar="SECONDS")
    p.add_argument(
        "--overlap", type=float, metavar="SHARE", help="of windows, 0 or more, below 1"
    )
    p.add_argument("--combine", choices=("mean", "max"), help="scores of windows")
    p.add_argument(
        "--release",
        type=float,
        metavar="SHARE",
        help="of the threshold, down to which an event goes on (default: %(own)s)",
    ).own = _Default("release")
    p.add_argument(
        "--smooth",
        dest="smooth_slots",
        type=int,
        metavar="SLOTS",
        help="of a running median",
    )
    p.add_argument(
        "--gap",
        dest="gap_seconds",
        type=float,
        metavar="SECONDS",
        help="longest pause inside an event",
    )
    p.add_argument(
        "--min-seconds", type=float, metavar="SECONDS", help="shortest event"
    )
    p.add_argument(
        "--max-seconds",
        type=float,
        metavar="SECONDS",
        help="longest event: longer ones come in pieces (default: %(own)s; 0: none)",
    ).own = _Default("max_seconds")
    p.add_argument(
        "--ignore",
        dest="ignored",
        nargs="*",
        metavar="LABEL",
        help="that is never an event (default: %(own)s)",
    ).own = _Default("ignored")


def _add_stream(p: argparse.ArgumentParser) -> None:
    p = p.add_argument_group("raw samples on standard input")
    p.add_argument(
        "--stream",
        action="store_true",
        help="hear them, print an event a line (JSON) as each ends",
    )
    p.add_argument("--rate", type=int, metavar="HZ", help="their sample rate")
    p.add_argument("--encoding", choices=_ENCODINGS, default="s16le")
    p.add_argument("--channels", type=int, default=1)


def run(args: argparse.Namespace) -> int:
    """Find events; return the exit status.

    Raises:
        InputError: Arguments contradict each other, or nothing can be heard.
    """
    wanted = _options(args)
    if args.demo:
        return _demo(args, wanted)
    if args.stream:
        if args.audio or args.output or not args.rate:
            raise InputError(
                "--stream hears standard input and prints events: give --rate HZ, and "
                "no recordings or --output."
            )
        return _stream(args, wanted)
    if not args.audio or not args.output:
        raise InputError(
            "Give recordings, or folders of them, and a table to write: "
            "tfhier detect MODEL recordings/ -o events.csv"
        )
    return _files(args, wanted)


def _options(args: argparse.Namespace):
    """Return `Options`: what was given, and their own defaults."""
    from tfhier.detect.options import Options

    names = [each.name for each in dataclasses.fields(Options) if each.name in args]
    given = {name: getattr(args, name) for name in names}
    if "ignored" in given:
        given["ignored"] = tuple(given["ignored"])
    return Options(**given)


def _demo(args: argparse.Namespace, wanted) -> int:
    from tfhier import event_tables
    from tfhier.detect import demo
    from tfhier.detect.demo import report
    from tfhier.files import cache_folder

    if args.model or args.audio or args.stream:
        raise InputError(
            "--demo brings its own model and recording: give none, and no --stream."
        )
    # Its name is in every row of the tables.
    folder = cache_folder("SYNTHETIC-demo")
    output = args.output or folder / "events.csv"
    form = event_tables.format_of(output, args.format)
    console.line("demo", report.NOTICE)
    found = demo.run(
        folder,
        wanted,
        num_workers=_num_workers(args),
        seconds=demo.SECONDS,
        seed=demo.SEED,
    )
    demo.write(output, found.heard, format=form)
    minutes = found.heard.seconds / 60
    console.line(
        "forest",
        f"{found.heard.file}, {minutes:g} min with {len(found.made.calls)} calls, "
        f"listed in {found.truth_table}",
    )
    print(report.events(found))
    for topic, text in report.lines(found):
        console.line(topic, text)
    console.line("table", str(output))
    console.line("model", f"{demo.MODEL}: try it on files of yours, or train your own")
    console.line(
        "next",
        "on your own recordings, with a model that knows your species (docs/data.md): "
        "tfhier detect MODEL.tflite recordings/ -o events.csv",
    )
    return 0


def _num_workers(args: argparse.Namespace) -> int:
    if args.workers is not None and args.workers < 1:
        raise InputError(f"--workers is 1 or more. Received: {args.workers}")
    if args.workers:
        return args.workers
    # macOS does not tell which cores a process may use.
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def _files(args: argparse.Namespace, wanted) -> int:
    from tfhier import contract, event_tables, model_paths, predict
    from tfhier.detect import job, journal
    from tfhier.event_tables import effort

    num_workers = _num_workers(args)
    if missing := [place for place in args.audio if not os.path.lexists(place)]:
        raise InputError(f"There is no {missing[0]}. Check the path.")
    form = event_tables.format_of(args.output, args.format)
    if args.output.name.lower() in (effort.HEARD, effort.FAILED):
        raise InputError(
            f"{args.output} is where the recordings are listed that were heard or "
            "failed. Call the table of events otherwise: events.csv"
        )
    if not args.output.name:
        raise InputError(f"{args.output} is no name for a table. Give one: events.csv")
    files = predict.find_clips(args.audio)
    event_tables.check(args.output, len(files), format=form)
    kept = journal.Journal(journal.folder_of(args.output))
    heard, failed = (
        _beside(args.output, name, kept) for name in (effort.HEARD, effort.FAILED)
    )
    for path in (args.output, heard, failed):
        if not kept.may_write(path):
            raise InputError(
                f"{path} is there already and not as this job of tfhier detect wrote "
                "it: it may hold corrections or verdicts. Give another --output, or "
                "move it away."
            )
    model = model_paths.find(args.model)
    outcome = job.run(
        model,
        files,
        kept.folder,
        wanted,
        num_workers=num_workers,
        fresh=args.fresh,
    )
    promised = contract.read(model)
    event_tables.write(args.output, outcome.heard, promised, format=form)
    effort.write(heard, outcome.heard)
    effort.write_failed(failed, outcome.failed)
    for path in (args.output, heard, failed):
        kept.note_result(path)
    digest = journal.digest_of(model)
    console.line("model", f"{model} ({digest}), {_told(wanted, promised)}")
    _show(args.output, heard, failed, outcome)
    return SOME_FAILED if outcome.failed else 0


def _beside(table: Path, name: str, kept) -> Path:
    """Return where a list of recordings goes: by the table's name, if it is not alone.

    Args:
        table: Path of the table of events.
        name: str. What the list is called beside a table that is alone.
        kept: Journal of the job.
    """
    plain = table.with_name(name)
    return plain if kept.may_write(plain) else table.with_name(f"{table.stem}-{name}")


def _told(wanted, promised) -> str:
    """Return the thresholds that were used, of the finest level."""
    level = promised.taxonomy.fine
    bounds = wanted.thresholds(promised)[level]
    pairs = [
        f"{label} {bound:.2f}"
        for label, bound in zip(promised.taxonomy.labels_of(level), bounds, strict=True)
        if label not in wanted.ignored
    ]
    more = f" ... ({len(pairs)} labels)" if len(pairs) > 6 else ""
    return f"thresholds: {', '.join(pairs[:6])}{more}"


def _show(table: Path, heard: Path, failed: Path, outcome) -> None:
    hours = sum(each.seconds for each in outcome.heard) / 3600
    counts: dict[str, int] = {}
    for each in outcome.heard:
        for event in each.events:
            counts[event.label] = counts.get(event.label, 0) + 1
    before = f", {outcome.num_before} of them before" if outcome.num_before else ""
    console.line(
        "heard",
        f"{len(outcome.heard)} recordings, {hours:.2f} h{before}, see {heard}",
    )
    told = ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
    console.line("events", f"{sum(counts.values())}{': ' * bool(told)}{told}")
    console.line("table", str(table))
    if outcome.failed:
        console.line(
            "failed",
            f"{len(outcome.failed)} recordings, see {failed}",
        )


def _stream(args: argparse.Namespace, wanted) -> int:
    import tfhier
    from tfhier import recordings
    from tfhier.detect.detector import Detector
    from tfhier.event_tables import json_lines

    detector = Detector(tfhier.load(args.model), wanted)
    blocks = recordings.pcm_blocks(
        sys.stdin.buffer,
        source_rate=args.rate,
        encoding=args.encoding,
        num_channels=args.channels,
        sample_rate=detector.sample_rate,
    )
    # As the table of the format is, whatever the terminal has.
    sys.stdout.reconfigure(encoding="utf-8")
    for event in detector.events(_until_stopped(blocks)):
        print(json_lines.line(event), flush=True)
    return 0


def _until_stopped(blocks: Iterator) -> Iterator:
    """Yield blocks until Ctrl-C or a stopped service, so that open events are told.

    The second time the process ends at once, as it does where no more sound comes.
    """
    stops = []

    def stop(number: int, _: object) -> None:
        stops.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    yield from itertools.takewhile(lambda _: not stops, blocks)
