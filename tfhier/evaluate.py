"""Scores and metrics of a tagger: thresholds from validation, figures from test."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from tfhier import clip_table, contract, metrics, saved, tagger, thresholds
from tfhier.contract import Contract
from tfhier.data.bundle import Bundle
from tfhier.data.pipeline import scoring_batches
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.files import replacing, write_json
from tfhier.taxonomy import Labelling, Taxonomy

# Clips scored at once: answers do not depend on it, only memory does.
BATCH_SIZE = 32


def score(
    model: keras.Model, bundle: Bundle, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Return {level: probabilities (len(rows), labels)} of whole clips, in order.

    Where the bundle has embeddings of the model's frozen backbone, only what comes
    behind them is computed.
    """
    if bundle.embedded is not None:
        model, bundle = tagger.head_of(model), bundle.on_embeddings()
    batches = scoring_batches(bundle.source, rows, batch_size=BATCH_SIZE)
    return model.predict(batches, verbose=0)


def selection_rows(experiment: Experiment, parts: np.ndarray) -> np.ndarray:
    """Return the clips that choose epoch and thresholds; none for "last".

    Args:
        experiment: Experiment. Its `selection` counts.
        parts: str array (clips,), see `Bundle.deal`.
    """
    if experiment.selection == "last":
        return np.zeros(0, int)
    return np.flatnonzero(parts == experiment.selection)


def evaluate_levels(
    scores: Mapping[str, np.ndarray],
    labellings: Mapping[str, Labelling],
    rows: np.ndarray,
    taxonomy: Taxonomy,
    fitted: Mapping[str, np.ndarray],
) -> dict[str, dict]:
    """Return `metrics.evaluate` of every level for the clips of `rows`.

    Args:
        scores: Dict of level -> float array (len(rows), labels).
        labellings: Dict of level -> (targets, observed), each (clips, labels).
        rows: int array. Clips that the scores are of.
        taxonomy: Taxonomy.
        fitted: Dict of level -> thresholds (labels,).
    """
    uppers = dict(zip(taxonomy.levels[:-1], taxonomy.levels[1:], strict=True))
    return {
        level: metrics.evaluate(
            scores[level],
            labellings[level][0][rows],
            labellings[level][1][rows],
            thresholds=fitted[level],
            labels=taxonomy.labels_of(level),
            # By all clips, so that the same figures come out of every part.
            single_label=metrics.is_single_label(*labellings[level]),
            membership=(
                taxonomy.membership(level, uppers[level]) if level in uppers else None
            ),
        )
        for level in taxonomy.levels
    }


def violations(
    scores: Mapping[str, np.ndarray],
    fitted: Mapping[str, np.ndarray],
    taxonomy: Taxonomy,
) -> float:
    """Return how often a given tag lacks its parent, over all neighbouring levels."""
    rates = [
        metrics.violation_rate(
            scores[lower] >= fitted[lower],
            scores[upper] >= fitted[upper],
            taxonomy.membership(lower, upper),
        )
        for lower, upper in zip(taxonomy.levels[:-1], taxonomy.levels[1:], strict=True)
    ]
    return float(np.mean(rates)) if rates else 0.0


def evaluate_run(
    folder: Path, bundle: Bundle, parts: np.ndarray, experiment: Experiment
) -> dict:
    """Evaluate a run's models and write its results beside them.

    Thresholds are fitted on the clips that chose the epoch (0.5 where none did) and
    applied to the test clips. Writes `thresholds.json`, `scores.npz` (test keys and
    probabilities), `test_clips.csv` (the finest level as text) and, last,
    `metrics.json`; thresholds and figures also into the model's contract.

    Args:
        folder: Path of the run.
        bundle: Bundle.
        parts: str array (clips,), see `Bundle.deal`.
        experiment: Experiment of the run.

    Returns:
        Dict of `test` (level -> metrics against observed labels), `validation` where
        clips chose the epoch, `violation_rate`, `test_truth` where the data set knows
        the full truth, `test_live` for the live weights where an EMA differs from them,
        and `conditions` (name -> level -> metrics) where the data set breaks its test
        clips down.
    """
    taxonomy = bundle.taxonomy
    model = saved.load(folder / "best.keras", taxonomy)
    trained_on = Taxonomy.read(folder / "taxonomy.csv")
    if trained_on != taxonomy:
        raise InputError(
            f"{folder} was trained on another taxonomy, or on its labels in another "
            f"order ({folder / 'taxonomy.csv'}). Give that one with --set taxonomy=..."
        )
    choosing = selection_rows(experiment, parts)
    rows = np.flatnonzero(parts == "test")
    before = _before(experiment)
    scores, fitted, precise, result = _results(model, bundle, choosing, rows, before)
    result["violation_rate"] = violations(scores, fitted, taxonomy)
    if bundle.truth is not None:
        result["test_truth"] = evaluate_levels(
            scores, bundle.truth, rows, taxonomy, fitted
        )
    conditions = _by_condition(scores, bundle, rows, fitted)
    if conditions:
        result["conditions"] = conditions
    if experiment.is_averaged:
        live = saved.load(folder / "live.keras", taxonomy)
        # Alike where training ended before the average began to lag behind.
        if not _are_alike(model, live):
            *_, own = _results(live, bundle, choosing, rows, before)
            result["test_live"] = own["test"]
    thresholds.write(folder / "thresholds.json", fitted, taxonomy)
    _promise(
        folder / "best.keras",
        thresholds=_plain(fitted) if choosing.size else {},
        precise={f"{share:g}": _plain(own) for share, own in precise.items()},
        results={level: _headline(found) for level, found in result["test"].items()},
        tested=f"{len(rows)} test clips",
    )
    with replacing(folder / "scores.npz") as temporary:
        arrays = {f"scores_{level}": values for level, values in scores.items()}
        np.savez(temporary, sample_key=bundle.clips.keys[rows], **arrays)
    fine = scores[taxonomy.fine]
    clip_table.write(
        folder / "test_clips.csv",
        bundle,
        rows,
        fine,
        _decided(fine, fitted[taxonomy.fine], "uar" in result["test"][taxonomy.fine]),
    )
    write_json(folder / "metrics.json", result)
    return result


def _promise(path: Path, **facts) -> None:
    """Put thresholds, as far as they were fitted, and results into a contract."""
    before = contract.read(path)
    after = dataclasses.replace(before, **facts)
    if after != before:
        contract.attach(path, after)


def _plain(fitted: Mapping[str, np.ndarray]) -> dict[str, tuple[float, ...]]:
    return {level: tuple(map(float, bounds)) for level, bounds in fitted.items()}


def _headline(found: Mapping) -> dict[str, float]:
    """Return the figures over all labels that are defined."""
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, float | np.floating) and np.isfinite(value)
    }


def _are_alike(one: keras.Model, other: keras.Model) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(mine, its) for mine, its in pairs)


def _decided(scores: np.ndarray, fitted: np.ndarray, is_single: bool) -> np.ndarray:
    """Return which labels a clip was decided for: bool (clips, labels)."""
    if not is_single:
        return scores >= fitted
    return np.arange(scores.shape[1]) == np.argmax(scores, axis=1)[:, None]


def _before(experiment: Experiment) -> Contract | None:
    """Return the contract of the model whose head an experiment trains further."""
    if not (experiment.initial_head and experiment.pretrained):
        return None
    return contract.read(Path(experiment.pretrained).expanduser())


def _results(
    model: keras.Model,
    bundle: Bundle,
    choosing: np.ndarray,
    rows: np.ndarray,
    before: Contract | None,
) -> tuple[dict, dict, dict, dict]:
    """Return test scores, thresholds and metrics (`test`, `validation`) of a model.

    Thresholds are those of the best F1 and, by precision, those of others. They are
    not below those of the model `before`, which found the clips.
    """
    taxonomy, labellings = bundle.taxonomy, bundle.labellings
    scores = score(model, bundle, rows)
    kept = thresholds.of(before.thresholds if before else {}, taxonomy)
    if not choosing.size:
        fitted = kept
        test = evaluate_levels(scores, labellings, rows, taxonomy, fitted)
        return scores, fitted, {}, {"test": test}
    seen = score(model, bundle, choosing)
    fitted = {
        level: thresholds.fit(
            seen[level],
            targets[choosing],
            observed[choosing],
            before=kept[level] if before else None,
        )
        for level, (targets, observed) in labellings.items()
    }
    result = {
        "validation": evaluate_levels(seen, labellings, choosing, taxonomy, fitted),
        "test": evaluate_levels(scores, labellings, rows, taxonomy, fitted),
    }
    precise = {
        share: {
            level: thresholds.at_precision(
                seen[level],
                targets[choosing],
                observed[choosing],
                precision=share,
                before=kept[level] if before else None,
            )
            for level, (targets, observed) in labellings.items()
        }
        for share in thresholds.PRECISIONS
    }
    return scores, fitted, precise, result


def _by_condition(
    scores: Mapping[str, np.ndarray],
    bundle: Bundle,
    rows: np.ndarray,
    fitted: Mapping[str, np.ndarray],
) -> dict[str, dict]:
    """Return the metrics of the test clips of each condition, in order of the clips."""
    if bundle.clips.conditions is None:
        return {}
    conditions = bundle.clips.conditions[rows]
    found = {}
    for name in dict.fromkeys(conditions[conditions != ""].tolist()):
        inside = conditions == name
        own = {level: values[inside] for level, values in scores.items()}
        found[name] = evaluate_levels(
            own, bundle.labellings, rows[inside], bundle.taxonomy, fitted
        )
    return found
