"""The yardsticks: logistic regression on averages over time.

A tagger that does not beat those on log-mels has learned nothing that a spectrum's
average does not tell; one on a frozen backbone that does not beat that on embeddings,
nothing that a regression does not find in them.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from tfhier import evaluate, thresholds
from tfhier.data.bundle import Bundle
from tfhier.experiment import Experiment
from tfhier.layers import LogMel
from tfhier.taxonomy import Labelling

# What the regressions see; also what they are called in tables.
MEANS = "regression on means"
DEVIATIONS = "regression on means, stds"
EMBEDDINGS = "regression on embeddings"
_BATCH_SIZE = 32
# scikit-learn's C: the first of log-mels; for embeddings, which have many more units
# than log-mels have bands, one of these is chosen.
STRENGTHS = (1.0, 0.1, 0.01, 0.001)
_HELD_OUT = 1 / 3


def time_averages(bundle: Bundle, frontend: LogMel | None) -> dict[str, np.ndarray]:
    """Return what the regressions see of every clip.

    Args:
        bundle: Bundle.
        frontend: LogMel of audio; None for precomputed features.

    Returns:
        Dict of float32 arrays: under `MEANS` (clips, units) the mean over time of each
        log-mel band or feature, or the features themselves if they have no time axis;
        under `DEVIATIONS`, where there is one, (clips, 2 * units) with the standard
        deviation over time beside each mean; under `EMBEDDINGS`, where a frozen
        backbone has embedded the clips, (clips, units) the mean embedding.
    """
    batches, embeddings = [], []
    starts = range(0, len(bundle.clips), _BATCH_SIZE)
    for start in tqdm(starts, desc="averages", disable=None, leave=False):
        rows = np.arange(start, min(start + _BATCH_SIZE, len(bundle.clips)))
        if bundle.embedded is not None:
            found = bundle.embedded.fetch(rows)
            embeddings.append(found.mean(axis=1) if found.ndim == 3 else found)
        frames = bundle.source.fetch(rows)
        if frontend is not None:
            frames = np.asarray(frontend(frames))
        if frames.ndim == 3:
            frames = np.concatenate([frames.mean(axis=1), frames.std(axis=1)], axis=1)
        batches.append(frames)
    averages = np.concatenate(batches)
    if bundle.feature_shape is not None and len(bundle.feature_shape) == 1:
        return {MEANS: averages}
    means = averages[:, : averages.shape[1] // 2]
    embedded = {EMBEDDINGS: np.concatenate(embeddings)} if embeddings else {}
    return {MEANS: means, DEVIATIONS: averages, **embedded}


def logistic_regression(
    bundle: Bundle,
    parts: np.ndarray,
    averages: np.ndarray,
    experiment: Experiment,
    *,
    of_embeddings: bool = False,
) -> dict[str, dict[str, dict]]:
    """Fit one regression a label on observed training clips and evaluate all levels.

    What it sees is centred and divided by its standard deviation, and regularised with
    scikit-learn's C = 1. Embeddings are divided by one number, the root mean square
    over units, since weak units are better left weak; their C is the one of 1, 0.1,
    0.01 and 0.001 with the least loss on a third of the training clips, one a level.

    Args:
        bundle: Bundle.
        parts: str array (clips,), see `Bundle.deal`.
        averages: float array (clips, units), see `time_averages`.
        experiment: Experiment. Its `selection` says which clips fit the thresholds.
        of_embeddings: bool. Whether the averages are of embeddings.

    Returns:
        Dict with `test` and, where the full truth is known, `test_truth`: level ->
        metrics, as `evaluate.evaluate_run` gives them.
    """
    training, test = (np.flatnonzero(parts == part) for part in ("train", "test"))
    choosing = evaluate.selection_rows(experiment, parts)
    scores, fitted = {}, {}
    for level, (targets, observed) in bundle.labellings.items():
        labelling = targets[training], observed[training]
        seen = averages[training]
        strength = STRENGTHS[0]
        if of_embeddings:
            strength = _choose_strength(seen, labelling)
        settings = {"one_scale": of_embeddings, "strength": strength}
        models = _fit(seen, labelling, **settings)
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


def _choose_strength(inputs: np.ndarray, labelling: Labelling) -> float:
    """Return the C with the least loss on observed labels of held-out clips."""
    is_held = np.random.default_rng(0).random(len(inputs)) < _HELD_OUT
    rest = tuple(table[~is_held] for table in labelling)
    targets, observed = (table[is_held] for table in labelling)
    losses = []
    for strength in STRENGTHS:
        models = _fit(inputs[~is_held], rest, one_scale=True, strength=strength)
        scores = np.stack([model(inputs[is_held]) for model in models], axis=1)
        right = np.where(targets > 0, scores, 1.0 - scores)
        losses.append(-np.log(np.maximum(right, 1e-7))[observed].sum())
    return STRENGTHS[int(np.argmin(losses))]


def _fit(
    inputs: np.ndarray, labelling: Labelling, *, one_scale: bool, strength: float
) -> list:
    """Return one function a label: inputs (clips, units) -> probabilities (clips,)."""
    targets, observed = labelling
    return [
        _fit_label(
            inputs[seen],
            targets[seen, label] > 0,
            one_scale=one_scale,
            strength=strength,
        )
        for label, seen in enumerate(observed.T)
    ]


def _fit_label(
    inputs: np.ndarray, positive: np.ndarray, *, one_scale: bool, strength: float
):
    if not positive.size or positive.all() or not positive.any():
        share = float(positive.mean()) if positive.size else 0.5
        return lambda unseen: np.full(len(unseen), share)
    center, scale = inputs.mean(axis=0), inputs.std(axis=0)
    if one_scale:
        scale = np.sqrt(np.mean(scale**2))
    scale = np.where(scale > 0.0, scale, 1.0)
    model = LogisticRegression(C=strength, max_iter=1000)
    model.fit((inputs - center) / scale, positive)
    return lambda unseen: model.predict_proba((unseen - center) / scale)[:, 1]
