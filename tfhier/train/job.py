"""A job: one experiment on one data set, and the folders of its runs."""

from dataclasses import dataclass
from pathlib import Path

from tfhier.data.bundle import Bundle
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.files import read_json
from tfhier.train.request import run_request

# What a model must share with those that start from it: what it hears, and which clips
# it was not trained on.
_SAME_ORIGIN = (
    "data",
    "frontend",
    "features",
    "selection",
    "validation_fraction",
    "num_folds",
    "data_fingerprint",
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One experiment on one data set at one profile, and where its results go.

    Args:
        name: str. Of the experiment.
        profile: "paper" or "small".
        experiment: Experiment at that profile.
        paper: Experiment at the paper's size.
        bundle: Bundle.
        folder: Path of the results.
        command: str. What the user typed, for the record.
        folds: Folds of the cross-validation to run. Defaults to None: all.
        pretrained: Path of the saved tagger that the experiment's `pretrained` names.
            Defaults to None: it names none.
    """

    name: str
    profile: str
    experiment: Experiment
    paper: Experiment
    bundle: Bundle
    folder: Path
    command: str
    folds: tuple[int, ...] | None = None
    pretrained: Path | None = None

    def deals(self):
        """Yield (seed, fold) of every run of a setting.

        Raises:
            InputError: A fold is asked for that there is not.
        """
        there = range(max(1, self.num_folds))
        if self.folds is not None and not set(self.folds) <= set(there):
            raise InputError(
                f"{self.name} on {self.bundle.clips.name} has "
                + (f"folds 0 to {there[-1]}" if self.num_folds else "no folds")
                + f". Received: {', '.join(map(str, self.folds))}"
            )
        for seed in self.experiment.seeds:
            for fold in there if self.folds is None else self.folds:
                yield seed, fold

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known of the data, and of the first run's validation part."""
        seed, fold = next(self.deals())
        setting = next(self.experiment.runs())
        if setting.selection != "validation":
            return self.bundle.notes
        dealt = self.bundle.deal(setting, seed=seed, fold=fold)
        missing = self.bundle.without_clips(dealt == "validation")
        if not missing:
            return self.bundle.notes
        names = ", ".join(missing[:10]) + " ..." * (len(missing) > 10)
        note = (
            f"no validation clip has {names}: no say in which epoch is kept, and the "
            "threshold is 50 %, not fitted"
        )
        return (*self.bundle.notes, note)

    @property
    def num_folds(self) -> int:
        """Folds of the cross-validation, 0 for one split."""
        return self.bundle.num_folds(self.experiment)

    def run_folder(self, setting: Experiment, *, seed: int, fold: int) -> Path:
        """Return the folder of one run."""
        folder = self.folder
        for field, values in self.experiment.grid.items():
            if len(values) > 1:
                folder /= f"{field}={getattr(setting, field)}"
        folder /= f"seed{seed}"
        return folder / f"fold{fold}" if self.num_folds else folder

    def initial(self, *, seed: int, fold: int) -> list[Path]:
        """Return the saved models that a run's backbone starts from.

        The pretrained one; or those of the experiments that `initial` names, trained on
        the same data with the same seed (and fold), in the folder beside this one's.

        Raises:
            InputError: One of them is not trained.
        """
        if self.pretrained:
            return [self.pretrained]
        mark = self.folder.name.removeprefix(self.name)
        found = []
        for name in self.experiment.initial:
            if name == self.name:
                raise InputError(
                    f"{name} cannot start from its own results. Give the second stage "
                    "a name of its own (docs/weights.md, Fine-tuning), or start from "
                    "a saved model: --set pretrained=FILE.keras."
                )
            home = self.folder.parent / (name + mark)
            runs = {}
            if (home / "metrics.json").is_file():
                runs = {
                    (run["seed"], run["fold"]): home / run["folder"] / "best.keras"
                    for run in read_json(home / "metrics.json")["runs"]
                }
            path = runs.get((seed, fold))
            if path is None or not path.is_file():
                raise InputError(
                    f"{self.name} starts from {name} with seed {seed}, which is not "
                    f"trained in {home}. Train it first, with the same --data and "
                    f"--output: python experiments/run.py --exp {name}"
                )
            self._check_origin(name, path.parent)
            found.append(path)
        return found

    def _check_origin(self, name: str, folder: Path) -> None:
        """Raise an InputError for a model of other clips: ours may be its test."""
        theirs = read_json(folder / "experiment.json")
        ours = run_request(self.experiment, self.bundle, seed=0, fold=0)
        differing = [
            f"{what} {theirs.get(what)!r} there, {ours[what]!r} here"
            for what in _SAME_ORIGIN
            if theirs.get(what) != ours[what]
        ]
        if differing:
            raise InputError(
                f"{self.name} starts from {name}, which was trained otherwise: "
                f"{'; '.join(differing)}. Train it again on this data (--fresh), or "
                "give another --output folder."
            )
