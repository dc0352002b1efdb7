"""Comparing trained methods: means, spreads and paired differences with intervals.

A *summary* is what `train.sweep` writes as an experiment's `metrics.json`. Its `runs`
are those of the chosen setting, one a seed (and fold), each with its test metrics.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from tfhier.metrics import shown


def mean_and_std(values: Sequence[float]) -> dict[str, float]:
    """Return mean and sample standard deviation; the latter of one value is NaN."""
    values = np.array([_number(value) for value in values])
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
    }


def aggregate(runs: Sequence[dict], part: str) -> dict[str, dict[str, dict]]:
    """Return level -> metric -> mean and std over runs, for the figures shown."""
    return {
        level: {
            metric: mean_and_std([run[part][level][metric] for run in runs])
            for metric in shown(figures)
        }
        for level, figures in runs[0][part].items()
    }


def paired_interval(
    differences: Sequence[float], *, test_share: float = 0.0
) -> dict[str, float]:
    """Return the mean of paired differences with a 95 % t interval.

    For seeds on one fixed split the interval tells what another seed may give; it says
    nothing on other test clips. For cross-validation, runs share training clips and are
    not independent: the variance is enlarged by `test_share`, as Nadeau and Bengio
    ("Inference for the generalization error", 2003) and Bouckaert and Frank (2004)
    advise.

    Args:
        differences: One difference a pair of runs with equal seed and fold.
        test_share: float >= 0. Test clips per training clip of cross-validation, 0 for
            seeds on a fixed split.

    Returns:
        Dict of `mean`, `low`, `high` (NaN with fewer than two pairs) and `num_pairs`.
    """
    differences = np.asarray(differences, np.float64)
    count = len(differences)
    mean = float(differences.mean())
    if count < 2:
        return {
            "mean": mean,
            "low": float("nan"),
            "high": float("nan"),
            "num_pairs": count,
        }
    error = differences.std(ddof=1) * np.sqrt(1 / count + test_share)
    half = float(stats.t.ppf(0.975, count - 1) * error)
    return {"mean": mean, "low": mean - half, "high": mean + half, "num_pairs": count}


def paper_figures(summary: dict, part: str, condition: str = "") -> dict:
    """Return the paper's figures that belong beside a part of a summary.

    Args:
        summary: dict. Its `paper` has the form of a summary: part -> level -> metric,
            and `conditions`: condition -> level -> metric.
        part: "test", "test_truth" or "test_live".
        condition: str. Of the test clips; "" for all.

    Returns:
        Level -> metric -> figure in percent; empty where the paper has none, and for
        all clips together where it tells the data's conditions apart.
    """
    paper = summary["paper"]
    by_condition = paper.get("conditions", {})
    if condition:
        return by_condition.get(condition, {})
    if set(by_condition) & set(summary.get("conditions", {})):
        return {}
    return paper.get(part, {})


def paired_differences(
    summary: dict, baseline: dict, *, part: str = "test", baseline_part: str = ""
) -> dict:
    """Return level -> metric -> paired interval of summary minus baseline.

    Runs are paired by seed and fold; those that only one side has are left out. Without
    any pair the result is empty.

    Args:
        summary: dict. Of the method.
        baseline: dict. Of the method it is compared with.
        part: "test", "test_truth" or "test_live".
        baseline_part: The baseline's part, if it is another.
    """
    others = {(run["seed"], run["fold"]): run for run in baseline["runs"]}
    pairs = [
        (run, others[run["seed"], run["fold"]])
        for run in summary["runs"]
        if (run["seed"], run["fold"]) in others
    ]
    if not pairs:
        return {}
    num_folds = summary["num_folds"]
    test_share = 1 / (num_folds - 1) if num_folds else 0.0
    return {
        level: {
            metric: paired_interval(
                [
                    _number(mine[part][level][metric])
                    - _number(its[baseline_part or part][level][metric])
                    for mine, its in pairs
                ],
                test_share=test_share,
            )
            for metric in shown(figures)
        }
        for level, figures in summary[part].items()
    }


def _number(value: float | None) -> float:
    """Undefined figures are null in JSON and NaN here, and so is all they enter."""
    return float("nan") if value is None else float(value)
