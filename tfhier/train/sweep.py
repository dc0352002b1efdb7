"""A sweep: all runs of an experiment, the choice of a setting, and the summary of it.

The experiment's folder holds one folder a run (`seed3/`, or `fine_weight=0.85/seed3/`
where a grid is searched, and `fold2/` below that for cross-validation) and
`metrics.json`, the summary: the chosen setting, its runs, their means, the paper's
figures beside them, and where, when and on what the numbers were made.
"""

import re
import shutil
from pathlib import Path

import numpy as np

from tfhier import compare, console, evaluate, machine
from tfhier.data.bundle import Bundle
from tfhier.data.pipeline import steps_per_epoch
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.files import locked, read_json, write_json
from tfhier.train import reuse, yardsticks
from tfhier.train import run as training
from tfhier.train.job import Job
from tfhier.train.request import check_settings, is_trained, run_request

# What training, reports and exports leave in an experiment's folder.
_RESULTS = {
    "metrics.json", "yardstick.json", "report.html", "plots", "serving", "export.json",
    "model_card.md",
}  # fmt: skip
_RESULT = re.compile(r"seed\d+|.+=.+|.+\.tflite")


def run(job: Job, *, fresh: bool = False, test_only: bool = False) -> dict:
    """Train what is not trained yet, evaluate, choose, and write the summary.

    Args:
        job: Job.
        fresh: bool. Whether to delete earlier results of the job first.
        test_only: bool. Whether to evaluate the saved models again without training.

    Returns:
        The summary, as written to `metrics.json`.

    Raises:
        InputError: Another process works in the folder, it holds runs of other
            settings, or a run failed.
    """
    if fresh and test_only:
        raise InputError(
            "--fresh deletes the models that --test-only evaluates. Give one of them."
        )
    _check_folder(job.folder)
    with locked(job.folder / ".lock", task=f"working on {job.name}"):
        settings = list(job.experiment.runs())
        if not test_only:
            _check(job, settings, fresh=fresh)
        if fresh:
            _clear(job.folder)
        done = []
        num_kept = sum(
            is_trained(job.run_folder(setting, seed=seed, fold=fold))
            for setting in settings
            for seed, fold in job.deals()
        )
        if num_kept and not test_only:
            console.line("kept", f"{num_kept} finished runs; --fresh trains them anew")
        for number, setting in enumerate(settings):
            for seed, fold in job.deals():
                title = _title(job, setting, seed, fold)
                result = _one(
                    job, setting, seed, fold, title, fresh=fresh, test_only=test_only
                )
                done.append({"number": number, "seed": seed, "fold": fold, **result})
        summary = _summarise(job, settings, done)
        write_json(job.folder / "metrics.json", summary)
    # What was written, not what was computed: NaN is null in both.
    return read_json(job.folder / "metrics.json")


def _check_folder(folder: Path) -> None:
    """Raise an InputError for a folder with anything but results in it.

    Results would be scattered among it, and `fresh` would delete it.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [
        name
        for name in names
        if not (name.startswith(".") or name in _RESULTS or _RESULT.fullmatch(name))
    ]
    if foreign:
        raise InputError(
            f"{folder} holds {', '.join(foreign[:3])}{' ...' * (len(foreign) > 3)}, no "
            "results of an experiment. Give another --output, or move that away."
        )


def _check(job: Job, settings: list[Experiment], *, fresh: bool) -> None:
    """Raise the InputErrors of all runs still to train, before anything is deleted."""
    if len(settings) > 1 and job.experiment.selection == "last":
        raise InputError(
            f"{job.name} has a grid to choose a setting from, but selection='last' "
            "holds no clips out to choose by. Set the grid's settings, or use "
            "--set selection=validation."
        )
    for setting in settings:
        is_built = False
        for seed, fold in job.deals():
            folder = job.run_folder(setting, seed=seed, fold=fold)
            if is_trained(folder) and not fresh:
                continue
            initial = job.initial(seed=seed, fold=fold)
            if fresh:
                _keep_starts(job, initial)
            parts = job.bundle.deal(setting, seed=seed, fold=fold)
            # Networks of other seeds are of the same shape.
            if not is_built:
                training.build(
                    setting, job.bundle, seed=seed, parts=parts, initial=initial
                )
            is_built = True


def _keep_starts(job: Job, initial: list[Path]) -> None:
    """Raise an InputError if deleting a job's results would delete its start."""
    for path in initial:
        if path.resolve().is_relative_to(job.folder.resolve()):
            raise InputError(
                f"{job.name} starts from {path}, which --fresh would delete with all "
                f"of {job.folder}. Choose another --output folder, or copy that model "
                "elsewhere and start from the copy."
            )


def _clear(folder: Path) -> None:
    """Delete results, but not the lock that is being held.

    Moved away in one step each before they are deleted: a kill in between leaves no run
    that looks whole.
    """
    trash = folder / ".deleted"
    trash.mkdir(exist_ok=True)
    for path in list(folder.iterdir()):
        if path.name not in (".lock", trash.name):
            path.rename(trash / f"{len(list(trash.iterdir()))}-{path.name}")
    shutil.rmtree(trash)


def _title(job: Job, setting: Experiment, seed: int, fold: int) -> str:
    parts = [f"seed {seed}"]
    if job.num_folds:
        parts.append(f"fold {fold}")
    parts += [
        f"{field} {getattr(setting, field)}"
        for field, values in job.experiment.grid.items()
        if len(values) > 1
    ]
    return ", ".join(parts)


def _one(
    job: Job,
    setting: Experiment,
    seed: int,
    fold: int,
    title: str,
    *,
    fresh: bool,
    test_only: bool,
) -> dict:
    """Take over, train or evaluate one run as needed; return its results."""
    folder = job.run_folder(setting, seed=seed, fold=fold)
    initial = job.initial(seed=seed, fold=fold)
    wanted = run_request(setting, job.bundle, seed=seed, fold=fold, initial=initial)
    check_settings(folder, wanted)
    parts = job.bundle.deal(setting, seed=seed, fold=fold)
    if not test_only and not is_trained(folder):
        is_begun = folder.is_dir() and any(folder.iterdir())
        # Who wants fresh results wants none of another's.
        same = None if fresh or is_begun else reuse.find(job.folder.parent, wanted)
        if same is None:
            _train(job, setting, seed, fold, folder, parts, title, initial)
        else:
            reuse.take(same, folder)
            source = same.relative_to(job.folder.parent)
            console.line("the same", f"{title} is {source}: copied")
    if test_only or not (folder / "metrics.json").is_file():
        results = evaluate.evaluate_run(folder, job.bundle, parts, setting)
    else:
        results = read_json(folder / "metrics.json")
    return {
        "folder": str(folder.relative_to(job.folder)),
        "code": read_json(folder / "experiment.json").get("code"),
        **results,
    }


def _train(
    job: Job,
    setting: Experiment,
    seed: int,
    fold: int,
    folder: Path,
    parts: np.ndarray,
    title: str,
    initial: list[Path],
) -> None:
    steps = setting.steps_per_epoch or steps_per_epoch(
        int((parts == "train").sum()), setting.batch_size
    )
    bar = console.TrainingBar(
        title,
        num_epochs=setting.epochs,
        steps_per_epoch=steps,
        levels=job.bundle.taxonomy.levels,
    )
    try:
        training.train(
            setting,
            job.bundle,
            folder,
            seed=seed,
            fold=fold,
            parts=parts,
            progress=bar,
            initial=initial,
        )
    finally:
        bar.close()


def _summarise(job: Job, settings: list[Experiment], done: list[dict]) -> dict:
    fine = job.bundle.taxonomy.fine
    choice = [
        {
            "setting": {
                field: getattr(setting, field) for field in job.experiment.grid
            },
            f"validation_{fine}_loss": compare.mean_and_std(
                [
                    _validation_loss(result, fine)
                    for result in done
                    if result["number"] == number
                ]
            )["mean"],
        }
        for number, setting in enumerate(settings)
    ]
    # The setting with the lowest validation loss for fine tags, Zhong et al., Sec. 4.2.
    best = _lowest([entry[f"validation_{fine}_loss"] for entry in choice])
    chosen = [
        {key: value for key, value in result.items() if key != "number"}
        for result in done
        if result["number"] == best
    ]
    losses = [_validation_loss(result, fine) for result in chosen]
    summary = {
        "experiment": job.name,
        "row": job.experiment.row,
        "table": job.experiment.table,
        "baseline": job.experiment.baseline,
        "command": job.command,
        "profile": job.profile,
        "settings": {**settings[best].settings(), "seeds": list(job.experiment.seeds)},
        "num_folds": job.num_folds,
        "folds": None if job.folds is None else list(job.folds),
        "paper_settings": {
            **job.paper.settings(),
            "seeds": list(job.paper.seeds),
            "grid": job.paper.grid,
        },
        "data": {**describe_data(job.bundle), "notes": list(job.notes)},
        "machine": machine.describe(),
        "choice": choice,
        "chosen": choice[best]["setting"],
        "best_run": chosen[_lowest(losses)]["folder"],
        "runs": chosen,
        "paper": job.experiment.paper,
        "departures": list(job.paper.departures),
        "yardsticks": yardsticks.of_job(job, settings[best]),
    }
    for part in ("test", "test_truth", "test_live"):
        if part in chosen[0]:
            summary[part] = compare.aggregate(chosen, part)
    # A fold may lack a condition that another has.
    told = [run.get("conditions", {}) for run in chosen]
    shared = [name for name in told[0] if all(name in found for found in told)]
    if shared:
        summary["conditions"] = {name: compare.aggregate(told, name) for name in shared}
    return summary


def _validation_loss(result: dict, fine: str) -> float | None:
    """Return a run's validation loss; None where no clip was held out."""
    return result["validation"][fine]["loss"] if "validation" in result else None


def _lowest(losses: list[float | None]) -> int:
    """Position of the lowest loss; undefined ones never win over defined ones."""
    known = [np.inf if loss is None or np.isnan(loss) else loss for loss in losses]
    return int(np.argmin(known))


def describe_data(bundle: Bundle) -> dict:
    """Return what a reader must know of the data that numbers were made on."""
    clips = bundle.clips
    return {
        "name": clips.name,
        "kind": clips.kind,
        "num_clips": len(clips),
        "num_train": int((clips.parts == "train").sum()),
        "num_test": int((clips.parts == "test").sum()),
        "observed_per_clip": float(clips.observed.sum() / len(clips)),
        "positive_share": float(clips.targets[clips.observed].mean()),
        "wrong_negatives": _wrong_negatives(bundle),
    }


def _wrong_negatives(bundle: Bundle) -> dict[str, float]:
    """Return what share of each level's observed negatives the full truth denies.

    Families get negatives from few observed children (`Taxonomy.lift`): without this
    share nobody can tell what a figure of an upper level is worth.
    """
    shares = {}
    for level, (truth, _) in (bundle.truth or {}).items():
        targets, observed = bundle.labellings[level]
        shares[level] = float(truth[observed & (targets == 0)].mean())
    return shares
