"""The yardsticks of a job, worked out once for all experiments of a table.

Logistic regressions and, where a saved model's head is trained further, that model as
it was.
"""

import contextlib

import numpy as np
from tqdm import tqdm

from tfhier import compare, contract, evaluate, frontends, saved, thresholds, yardstick
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.files import read_json, write_json
from tfhier.network_digest import network_digest
from tfhier.train.job import Job
from tfhier.train.request import run_request

# What the model that a job starts from is called in tables.
BEFORE = "the model as it was"
# The settings that decide what the regressions see.
_SEEN = (
    "data",
    "data_fingerprint",
    "num_clips",
    "features",
    "clip_seconds",
    "taxonomy",
    "coarse_negatives",
    "validation_fraction",
    "num_folds",
    "selection",
    "frontend",
)


def of_job(job: Job, setting: Experiment) -> dict[str, dict]:
    """Return the yardsticks on the clips and deals of a job.

    They are kept in the job's folder as `yardstick.json`; those of another experiment
    beside it are taken over if they are the same.

    Args:
        job: Job.
        setting: Experiment. The setting that was chosen.

    Returns:
        Dict of name -> part -> what `compare.aggregate` gives.
    """
    path = job.folder / "yardstick.json"
    wanted = _request(job, setting)
    for other in job.folder.parent.glob("[!.]*/yardstick.json"):
        # A damaged file of another experiment is no business of this one.
        with contextlib.suppress(InputError, KeyError):
            there = read_json(other)
            if there["of"] == wanted:
                write_json(path, there)
                return there["results"]
    found = _fit(job, setting, wanted["deals"])
    write_json(path, {"of": wanted, "results": found})
    return found


def _request(job: Job, setting: Experiment) -> dict:
    """Return what decides the figures."""
    embedded = job.bundle.embedded
    asked = run_request(setting, job.bundle, seed=0, fold=0)
    deals = job.deals() if job.num_folds else [(0, 0)]
    return {
        "strengths": list(yardstick.STRENGTHS),
        "embedded": network_digest(embedded.model) if embedded else "",
        "before": network_digest(job.pretrained) if _is_further(job, setting) else "",
        "deals": [list(deal) for deal in deals],
        **{name: asked[name] for name in _SEEN},
    }


def _fit(job: Job, setting: Experiment, deals: list[list[int]]) -> dict[str, dict]:
    frontend = None if setting.features else frontends.build(setting.frontend)
    parts = [job.bundle.deal(setting, seed=seed, fold=fold) for seed, fold in deals]
    averages, found = yardstick.time_averages(job.bundle, frontend), {}
    num_fits = len(averages) * len(parts)
    with tqdm(total=num_fits, disable=None, leave=False) as bar:
        for name, inputs in averages.items():
            bar.set_description(name)
            results = []
            for dealt in parts:
                fitted = yardstick.logistic_regression(
                    job.bundle,
                    dealt,
                    inputs,
                    setting,
                    of_embeddings=name == yardstick.EMBEDDINGS,
                )
                results.append(fitted)
                bar.update()
            found[name] = {
                part: compare.aggregate(results, part) for part in results[0]
            }
    if _is_further(job, setting):
        results = [_before(job, dealt) for dealt in parts]
        found[BEFORE] = {"test": compare.aggregate(results, "test")}
    return found


def _is_further(job: Job, setting: Experiment) -> bool:
    """Return whether a job trains a saved model's own head further."""
    return bool(job.pretrained and setting.initial_head)


def _before(job: Job, parts: np.ndarray) -> dict[str, dict]:
    """Return the figures of the model that a job starts from, with its thresholds."""
    taxonomy = job.bundle.taxonomy
    test = np.flatnonzero(parts == "test")
    scores = evaluate.score(saved.load(job.pretrained, taxonomy), job.bundle, test)
    kept = contract.read(job.pretrained).thresholds
    fitted = thresholds.of(kept, taxonomy)
    figures = evaluate.evaluate_levels(
        scores, job.bundle.labellings, test, taxonomy, fitted
    )
    return {"test": figures}
