"""Scores and metrics of a tagger: thresholds from validation, figures from test."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from tfhier import metrics, thresholds
from tfhier.data.bundle import Bundle
from tfhier.data.pipeline import scoring_batches
from tfhier.errors import InputError
from tfhier.files import replacing, write_json
from tfhier.taxonomy import Labelling, Taxonomy

# Clips scored at once: answers do not depend on it, only memory does.
BATCH_SIZE = 32


def score(
    tagger: keras.Model, bundle: Bundle, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Return {level: probabilities (len(rows), labels)} of whole clips, in order."""
    batches = scoring_batches(bundle.source, rows, batch_size=BATCH_SIZE)
    return tagger.predict(batches, verbose=0)


def evaluate_levels(
    scores: Mapping[str, np.ndarray],
    labellings: Mapping[str, Labelling],
    rows: np.ndarray,
    taxonomy: Taxonomy,
    fitted: Mapping[str, np.ndarray],
) -> dict[str, dict]:
    """Return `metrics.evaluate` of every level for the clips of `rows`."""
    return {
        level: metrics.evaluate(
            scores[level],
            labellings[level][0][rows],
            labellings[level][1][rows],
            thresholds=fitted[level],
            labels=taxonomy.labels_of(level),
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


def evaluate_run(folder: Path, bundle: Bundle, parts: np.ndarray) -> dict:
    """Evaluate a run's `best.keras` and write its results beside it.

    Thresholds are fitted on the validation clips and applied to the test clips. Writes
    `thresholds.json`, `scores.npz` (test keys and probabilities) and, last,
    `metrics.json`.

    Args:
        folder: Path of the run.
        bundle: Bundle.
        parts: str array (clips,), see `Bundle.deal`.

    Returns:
        Dict of `validation` and `test` (level -> metrics against observed labels),
        `violation_rate`, and `test_truth` where the data set knows the full truth.
    """
    taxonomy = bundle.taxonomy
    tagger = load_tagger(folder / "best.keras", taxonomy)
    trained_on = Taxonomy.read(folder / "taxonomy.csv")
    if trained_on != taxonomy:
        raise InputError(
            f"{folder} was trained on another taxonomy, or on its labels in another "
            f"order ({folder / 'taxonomy.csv'}). Give that one with --set taxonomy=..."
        )
    rows = {part: np.flatnonzero(parts == part) for part in ("validation", "test")}
    scores = {part: score(tagger, bundle, rows[part]) for part in rows}
    fitted = {
        level: thresholds.fit(
            scores["validation"][level],
            bundle.labellings[level][0][rows["validation"]],
            bundle.labellings[level][1][rows["validation"]],
        )
        for level in taxonomy.levels
    }
    result = {
        part: evaluate_levels(
            scores[part], bundle.labellings, rows[part], taxonomy, fitted
        )
        for part in rows
    }
    result["violation_rate"] = violations(scores["test"], fitted, taxonomy)
    if bundle.truth is not None:
        result["test_truth"] = evaluate_levels(
            scores["test"], bundle.truth, rows["test"], taxonomy, fitted
        )
    thresholds.write(folder / "thresholds.json", fitted, taxonomy)
    with replacing(folder / "scores.npz") as temporary:
        arrays = {f"scores_{level}": values for level, values in scores["test"].items()}
        np.savez(temporary, sample_key=bundle.clips.keys[rows["test"]], **arrays)
    write_json(folder / "metrics.json", result)
    return result


def load_tagger(path: Path, taxonomy: Taxonomy) -> keras.Model:
    """Load a saved tagger and check that it answers for the taxonomy.

    Raises:
        InputError: The file is missing or broken, or answers on other levels.
    """
    if not path.is_file():
        raise InputError(
            f"There is no model {path}. Train it first, without --test-only."
        )
    try:
        tagger = keras.models.load_model(path)
    except (
        ValueError, OSError, KeyError, TypeError, AttributeError, EOFError,
        zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise InputError(
            f"{path} is no usable Keras model ({str(error).splitlines()[0]}). Train "
            "again with --fresh."
        ) from None
    sizes = {level: tensor.shape[-1] for level, tensor in tagger.output.items()}
    if sizes != taxonomy.sizes:
        raise InputError(
            f"{path} answers with {sizes} labels, but the taxonomy has "
            f"{taxonomy.sizes}."
        )
    return tagger
