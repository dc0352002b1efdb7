"""tfhier train: a tagger of one's own recordings, or further, on verdicts."""

import argparse
import shlex
from pathlib import Path

from tfhier import console
from tfhier.errors import InputError

HELP = "on your own recordings, or further on verdicts of tfhier review"


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    p.add_argument(
        "data",
        nargs="?",
        metavar="CALLS",
        help="a folder of class folders, a CSV table or Raven tables (docs/data.md)",
    )
    p.add_argument(
        "--from",
        dest="verdicts",
        type=Path,
        metavar="EVENTS-reviewed.csv",
        help="train the head of the model that found these events on the verdicts",
    )
    p.add_argument(
        "--model",
        type=Path,
        help="that found them (default: as tfhier detect noted it)",
    )
    p.add_argument(
        "--recordings", type=Path, metavar="FOLDER", help="where they lie, if moved"
    )
    p.add_argument("-o", "--output", type=Path, help="folder of the result")
    p.add_argument(
        "--test-site",
        nargs="+",
        default=[],
        metavar="NAME",
        help="sites or groups that are the test (default: a fifth of the recordings)",
    )
    p.add_argument(
        "--profile",
        choices=("small", "full"),
        default="small",
        help="minutes on a laptop, or hours on a GPU",
    )
    p.add_argument("--seeds", metavar="0-2", help="in place of the profile's")
    p.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="change a setting: backbone=mobilenet_v1, background=gaps, head=resatt",
    )
    p.add_argument("--fresh", action="store_true", help="delete earlier results first")
    p.add_argument("--skip-bad", action="store_true", help="leave unreadable files out")


def run(args: argparse.Namespace) -> None:
    """Train, or go on where it was stopped.

    Raises:
        InputError: Arguments contradict each other, or nothing can be trained.
    """
    from tfhier import catalogue, fine_tuning, recipes

    if bool(args.data) == bool(args.verdicts):
        raise InputError(
            "Give recordings to train on (tfhier train calls/ -o saved_models/NAME), "
            "or a reviewed table: tfhier train --from events-reviewed.csv"
        )
    seeds = None if args.seeds is None else catalogue.parse_numbers(args.seeds)
    if args.verdicts:
        model = _model(args)
        output = args.output or _beside(model)
        experiment = fine_tuning.on_verdicts(model).but(
            recordings=str(args.recordings or "")
        )
    else:
        if args.model or args.recordings:
            raise InputError("--model and --recordings are for --from.")
        if not args.output:
            raise InputError("Name the folder of the result: -o saved_models/NAME")
        output = args.output
        experiment = recipes.OWN_RECORDINGS
    experiment = experiment.but(test_groups=tuple(args.test_site))
    # TensorFlow takes seconds to load: not for typing errors.
    with console.without_native_messages():
        from tfhier import study
    (summary,) = study.run(
        {output.name: experiment},
        study.Options(
            data=str(args.verdicts or args.data),
            profile="paper" if args.profile == "full" else "small",
            changes=tuple(args.set),
            seeds=seeds,
            output=output.parent,
            marks_data=False,
            fresh=args.fresh,
            skip_bad=args.skip_bad,
            command=_typed(args),
        ),
    )
    if args.verdicts:
        _compare(summary)
    console.line("next", f"tfhier export {shlex.quote(str(output))} --to tflite")


def _typed(args: argparse.Namespace) -> str:
    """Return the command, for the record."""
    given = {
        "--from": args.verdicts,
        "--model": args.model,
        "--recordings": args.recordings,
        "--output": args.output,
        "--seeds": args.seeds,
    }
    words = ["tfhier", "train", *([args.data] if args.data else [])]
    for name, value in given.items():
        words += [name, str(value)] if value else []
    words += ["--test-site", *args.test_site] if args.test_site else []
    words += ["--profile", args.profile] if args.profile != "small" else []
    words += ["--set", *args.set] if args.set else []
    return shlex.join([*words, *(["--skip-bad"] if args.skip_bad else [])])


def _compare(summary: dict) -> None:
    """Say whether verdicts made a model better, on clips that are held out."""
    from tfhier.train.yardsticks import BEFORE

    before = summary["yardsticks"][BEFORE]["test"]
    gains = {
        level: found["mAP"]["mean"] - before[level]["mAP"]["mean"]
        for level, found in summary["test"].items()
        if None not in (found["mAP"]["mean"], before[level]["mAP"]["mean"])
    }
    if not gains:
        console.line("before", "not to be compared: too few verdicts of both kinds")
        return
    told = ", ".join(f"{level} mAP {100 * gain:+.1f}" for level, gain in gains.items())
    advice = ""
    if min(gains.values()) <= 0:
        advice = ": no better on every level, judge more events or keep the old model"
    console.line("before", f"to now, on the clips held out, {told}{advice}")


def _model(args: argparse.Namespace) -> Path:
    """Return the trained model that found the events of a reviewed table.

    Raises:
        InputError: It is not known, or not there.
    """
    from tfhier import fine_tuning
    from tfhier.detect import journal
    from tfhier.event_tables import verdict

    if args.model:
        return fine_tuning.trained_of(args.model)
    noted = journal.model_of(verdict.detected_path(args.verdicts))
    if noted is None:
        raise InputError(
            f"Which model found the events of {args.verdicts} is not noted beside it. "
            "Say it: --model saved_models/NAME"
        )
    place, digest = noted
    trained = fine_tuning.trained_of(place)
    if journal.digest_of(place) != digest:
        raise InputError(
            f"{place} is another model than the one that found the events of "
            f"{args.verdicts}: it was exported again since. Detect and judge anew or, "
            "if its training is the same, say --model saved_models/NAME"
        )
    console.line("model", f"{trained}, by what tfhier detect noted")
    return trained


def _beside(model: Path) -> Path:
    """Return a folder for a result, beside that of the model it starts from."""
    from tfhier import model_paths

    name = model_paths.model_name(model)
    home = next(
        (folder for folder in model.resolve().parents if folder.name == name),
        model.parent,
    )
    return home.with_name(f"{name}-reviewed")
