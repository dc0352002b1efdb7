"""Run experiments: `python experiments/run.py --exp openmic_resatt`.

Several names or patterns may follow `--exp`; those of one table are compared at the
end. The same command again goes on where it was stopped.
"""

import argparse
import shlex
import sys
from pathlib import Path

from tfhier import console, experiment
from tfhier.errors import InputError

FOLDER = Path(__file__).parent


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("run.py", description=__doc__.splitlines()[0])
    p.add_argument(
        "--exp", nargs="+", metavar="NAME", help="names or patterns ('gap_*')"
    )
    p.add_argument("--list", action="store_true", help="list the experiments")
    p.add_argument(
        "--print", action="store_true", help="print the settings, run nothing"
    )
    p.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    p.add_argument("--seeds", metavar="0-7", help="seeds in place of the experiment's")
    p.add_argument("--data", default="auto", help="auto, embedded, or a folder or file")
    p.add_argument("--profile", default="auto", choices=("auto", "paper", "small"))
    p.add_argument("--output", type=Path, default=FOLDER.parent / "saved_models")
    p.add_argument("--fresh", action="store_true", help="delete earlier results first")
    p.add_argument(
        "--test-only", action="store_true", help="evaluate saved models again"
    )
    p.add_argument("--skip-bad", action="store_true", help="leave unreadable files out")
    return p


def main(arguments: list[str]) -> int:
    args = parser().parse_args(arguments)
    experiments = experiment.find(FOLDER)
    if args.list:
        for name, sentence in experiment.describe(FOLDER).items():
            print(f"{name:<24} {sentence}")
        return 0
    if not args.exp:
        raise InputError("name an experiment with --exp, or see them all with --list")
    seeds = experiment.parse_seeds(args.seeds) if args.seeds else None
    names = experiment.match(args.exp, experiments)
    changed = {n: experiment.override(experiments[n], args.set) for n in names}
    if args.print:
        print("\n\n".join(experiment.card(name, e) for name, e in changed.items()))
        return 0
    from tfhier import (
        study,
    )  # TensorFlow takes seconds: not for --list and typing errors

    study.run(
        {name: experiments[name] for name in names},
        study.Options(
            data=args.data,
            profile=args.profile,
            changes=tuple(args.set),
            seeds=seeds,
            output=args.output,
            fresh=args.fresh,
            test_only=args.test_only,
            skip_bad=args.skip_bad,
            command=shlex.join(["python", "experiments/run.py", *arguments]),
        ),
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (InputError, OSError) as error:
        sys.exit(console.fail("run.py", str(error)))
    except KeyboardInterrupt:
        print("\nrun.py: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
