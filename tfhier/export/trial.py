"""Exported files tried on test clips and timed, beside the model that they are of."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfhier import audio, metrics, thresholds
from tfhier.clip_table import Listed
from tfhier.engines.litert import LiteRTEngine
from tfhier.runtime import LoadedTagger

_ROUNDS = 7


def figures(
    taggers: Mapping[str, LoadedTagger], clips: Listed
) -> dict[str, dict[str, dict[str, float]]]:
    """Return what taggers of one taxonomy score on labelled clips.

    Clips are cut or filled up to the contract's `clip_seconds`, as they were when the
    model was tested first.

    Args:
        taggers: Dict of name -> LoadedTagger.
        clips: Listed, with labels.

    Returns:
        Dict of name -> level -> {metric: value}, see `metrics.evaluate`.
    """
    first = next(iter(taggers.values()))
    promised, taxonomy = first.contract, first.taxonomy
    length = round(promised.clip_seconds * promised.sample_rate)
    scores = {name: [] for name in taggers}
    for place in tqdm(
        range(len(clips)), desc="test clips", unit="clip", disable=None, leave=False
    ):
        waveform = clips.waveform(place, sample_rate=promised.sample_rate)
        waveform = audio.fix_length(waveform, length or len(waveform))
        for name, tagger in taggers.items():
            found = tagger.scores(waveform, sample_rate=promised.sample_rate)
            scores[name].append(found)
    labellings = taxonomy.lift(*clips.labelling(taxonomy))
    return {
        name: {
            level: _figures(
                np.stack([each[level] for each in own]),
                *labellings[level],
                promised.thresholds.get(level),
            )
            for level in taxonomy.levels
        }
        for name, own in scores.items()
    }


def _figures(scores, targets, observed, fitted) -> dict[str, float]:
    if fitted is None:
        fitted = np.full(scores.shape[1], thresholds.DEFAULT)
    found = metrics.evaluate(
        scores,
        targets,
        observed,
        thresholds=np.asarray(fitted),
        single_label=metrics.is_single_label(targets, observed),
    )
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, float | np.floating) and np.isfinite(value)
    }


def latency(
    files: Sequence[Path], num_samples: int, *, num_threads: Sequence[int]
) -> dict[Path, dict[int, float]]:
    """Return the milliseconds that LiteRT takes for a waveform: file -> threads -> ms.

    All files and numbers of threads take turns, round by round, so that what else the
    machine does meets all of them alike; medians over rounds.

    Args:
        files: Paths of `.tflite` files.
        num_samples: int > 0. Length of the waveform.
        num_threads: Numbers of threads to try.
    """
    waveform = np.random.default_rng(0).uniform(-0.3, 0.3, (1, num_samples))
    waveform = waveform.astype(np.float32)
    engines = {
        (path, threads): LiteRTEngine(path, num_threads=threads)
        for path in files
        for threads in num_threads
    }
    taken = {key: [] for key in engines}
    for _ in range(_ROUNDS + 1):
        for key, engine in engines.items():
            start = time.perf_counter()
            engine.answers(waveform)
            taken[key].append(1000 * (time.perf_counter() - start))
    # The first round allocates.
    return {
        path: {t: float(np.median(taken[path, t][1:])) for t in num_threads}
        for path in files
    }
