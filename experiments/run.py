"""Run experiments: `python experiments/run.py --exp openmic_resatt`.

Several names or patterns may follow `--exp`; those of one table are compared at the
end. The same command again goes on where it was stopped.
"""

import argparse
import shlex
import sys
from pathlib import Path

from tfhier import catalogue, console
from tfhier.errors import InputError

FOLDER = Path(__file__).parent


def parse(arguments: list[str]) -> argparse.Namespace:
    p = argparse.ArgumentParser("run.py", description=__doc__.splitlines()[0])
    p.add_argument("--exp", nargs="+", metavar="NAME", help="names or 'patterns_*'")
    p.add_argument("--list", action="store_true", help="list the experiments")
    p.add_argument("--print", action="store_true", help="print settings, run nothing")
    p.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="change a setting, as often as needed (names: --print)",
    )
    p.add_argument("--seeds", metavar="0-7", help="in place of the experiment's")
    p.add_argument("--folds", metavar="0-4", help="some of a cross-validation's folds")
    p.add_argument("--data", default="auto", help="auto, embedded, a folder or file")
    p.add_argument("--profile", default="auto", choices=("auto", "paper", "small"))
    p.add_argument(
        "--output",
        type=Path,
        default=FOLDER.parent / "saved_models",
        help="folder of results (default: saved_models)",
    )
    either = p.add_mutually_exclusive_group()
    either.add_argument("--fresh", action="store_true", help="delete their runs first")
    either.add_argument("--test-only", action="store_true", help="only evaluate again")
    p.add_argument("--skip-bad", action="store_true", help="leave unreadable files out")
    return p.parse_args(arguments)


def main(arguments: list[str]) -> None:
    args = parse(arguments)
    if args.list:
        for name, sentence in catalogue.describe(FOLDER).items():
            print(f"{name:<26} {sentence}")
        return
    if not args.exp:
        raise InputError("name an experiment with --exp, or see them all with --list")
    found = catalogue.find(FOLDER)
    chosen = {name: found[name] for name in catalogue.match(args.exp, found)}
    changed = {n: catalogue.override(e, args.set) for n, e in chosen.items()}
    seeds = None if args.seeds is None else catalogue.parse_numbers(args.seeds)
    folds = None
    if args.folds is not None:
        folds = catalogue.parse_numbers(args.folds, option="--folds")
    if args.print:
        print("\n\n".join(catalogue.card(name, e) for name, e in changed.items()))
        return
    # TensorFlow takes seconds to load: not for --list and typing errors.
    with console.without_native_messages():
        from tfhier import study
    options = study.Options(
        data=args.data,
        profile=args.profile,
        changes=tuple(args.set),
        seeds=seeds,
        folds=folds,
        output=args.output,
        fresh=args.fresh,
        test_only=args.test_only,
        skip_bad=args.skip_bad,
        command=shlex.join(["python", "experiments/run.py", *arguments]),
    )
    study.run(chosen, options)


if __name__ == "__main__":
    sys.exit(console.door("run.py", lambda: main(sys.argv[1:])))
