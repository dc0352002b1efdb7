"""The yardsticks: logistic regression on averages over time.

A tagger that does not beat it has learned nothing that a spectrum's average does not
tell.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from tfhier import evaluate, thresholds
from tfhier.data.bundle import Bundle
from tfhier.experiment import Experiment
from tfhier.layers import LogMel
from tfhier.taxonomy import Labelling

# What the regressions see; also what they are called in tables.
MEANS = "regression on means"
DEVIATIONS = "regression on means, stds"
_BATCH_SIZE = 32


def time_averages(bundle: Bundle, frontend: LogMel | None) -> dict[str, np.ndarray]:
    """Return what the regressions see of every clip.

    Args:
        bundle: Bundle.
        frontend: LogMel of audio; None for precomputed features.

    Returns:
        Dict of float32 arrays: under `MEANS` (clips, units) the mean over time of each
        log-mel band or feature, or the features themselves if they have no time axis;
        under `DEVIATIONS`, where there is one, (clips, 2 * units) with the standard
        deviation over time beside each mean.
    """
    batches = []
    starts = range(0, len(bundle.clips), _BATCH_SIZE)
    for start in tqdm(starts, desc="logistic regression", disable=None, leave=False):
        rows = np.arange(start, min(start + _BATCH_SIZE, len(bundle.clips)))
        frames = bundle.source.fetch(rows)
        if frontend is not None:
            frames = np.asarray(frontend(frames))
        if frames.ndim == 3:
            frames = np.concatenate([frames.mean(axis=1), frames.std(axis=1)], axis=1)
        batches.append(frames)
    averages = np.concatenate(batches)
    if bundle.feature_shape is not None and len(bundle.feature_shape) == 1:
        return {MEANS: averages}
    return {MEANS: averages[:, : averages.shape[1] // 2], DEVIATIONS: averages}


def logistic_regression(
    bundle: Bundle, parts: np.ndarray, averages: np.ndarray, experiment: Experiment
) -> dict[str, dict[str, dict]]:
    """Fit one regression a label on observed training clips and evaluate all levels.

    Args:
        bundle: Bundle.
        parts: str array (clips,), see `Bundle.deal`.
        averages: float array (clips, units), see `time_averages`.
        experiment: Experiment. Its `selection` says which clips fit the thresholds.

    Returns:
        Dict with `test` and, where the full truth is known, `test_truth`: level ->
        metrics, as `evaluate.evaluate_run` gives them.
    """
    training, test = (np.flatnonzero(parts == part) for part in ("train", "test"))
    choosing = evaluate.selection_rows(experiment, parts)
    scores, fitted = {}, {}
    for level, (targets, observed) in bundle.labellings.items():
        models = _fit(averages[training], (targets, observed), training)
        scores[level] = np.stack([model(averages[test]) for model in models], axis=1)
        fitted[level] = np.full(targets.shape[1], thresholds.DEFAULT)
        if choosing.size:
            seen = np.stack([model(averages[choosing]) for model in models], axis=1)
            fitted[level] = thresholds.fit(seen, targets[choosing], observed[choosing])
    known = {"test": bundle.labellings}
    if bundle.truth is not None:
        known["test_truth"] = bundle.truth
    return {
        part: evaluate.evaluate_levels(
            scores, labellings, test, bundle.taxonomy, fitted
        )
        for part, labellings in known.items()
    }


def _fit(inputs: np.ndarray, labelling: Labelling, rows: np.ndarray) -> list:
    """Return one function a label: inputs (clips, units) -> probabilities (clips,)."""
    targets, observed = (table[rows] for table in labelling)
    return [
        _fit_label(inputs[seen], targets[seen, label] > 0)
        for label, seen in enumerate(observed.T)
    ]


def _fit_label(inputs: np.ndarray, positive: np.ndarray):
    if not positive.size or positive.all() or not positive.any():
        share = float(positive.mean()) if positive.size else 0.5
        return lambda unseen: np.full(len(unseen), share)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(inputs, positive)
    return lambda unseen: model.predict_proba(unseen)[:, 1]
