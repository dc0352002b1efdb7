"""Proof that an exported file answers as the model that it was made from.

The clips are made here: quiet and loud, short and long, tones, noise, a click and
silence. Nothing is told from one average: what counts is the worst score of all.
"""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import soundfile

from tfhier import audio, golden, tagger
from tfhier.contract import Contract
from tfhier.engines.saved_model import SavedModelEngine
from tfhier.errors import InputError
from tfhier.runtime import LoadedTagger

# Of any score, by how weights are kept. In float32 other orders of summation make 1e-6
# of it, seldom 1e-5. Where weights are rounded the clips here, of no sound that a model
# was trained on, show what goes wrong altogether; what it costs is told by test clips.
TOLERANCES = {"float32": 1e-4, "float16": 0.05, "dynamic": 0.5, "int8": 0.7}
# On the average over all scores and clips, so that no constant passes.
_MEAN_TOLERANCES = {"float32": 1e-4, "float16": 0.01, "dynamic": 0.1, "int8": 0.1}
# The graph's resampling is not soxr's: they differ where both begin to damp.
_TOLERANCE_OF_OTHER_RATES = 0.02
_SHORT_SECONDS = 0.3
_LONG_SECONDS = 12.3


@dataclass(frozen=True)
class Proof:
    """How alike two models answered.

    Args:
        num_clips: int. Clips that both were given.
        mean_difference: float. Over all scores of all clips; NaN where it is not known.
        max_difference: float. Of any score of any clip.
        top1: float in [0, 1]. Share of clips whose likeliest label of the finest level
            is the same.
    """

    num_clips: int
    max_difference: float
    top1: float
    mean_difference: float = math.nan


def clips(promised: Contract) -> dict[str, np.ndarray]:
    """Return clips to compare models on: name -> waveform (samples,), float32."""
    rate = promised.sample_rate
    own = promised.usual_seconds
    sound = golden.clip(rate)
    noise = np.random.default_rng(11).uniform(-1.0, 1.0, round(own * rate))
    noise = noise.astype(np.float32)
    short = max(round(_SHORT_SECONDS * rate), promised.min_samples)
    click = np.zeros(round(own * rate), np.float32)
    click[len(click) // 2] = 1.0
    found = {
        "golden": sound,
        "quiet": 1e-3 * sound,
        "loud": 2.0 * sound,
        "short": sound[:short],
        "long": np.resize(sound, round(_LONG_SECONDS * rate))
        * np.linspace(0.1, 1.0, round(_LONG_SECONDS * rate), dtype=np.float32),
        "noise": noise,
        "faint noise": 1e-4 * noise,
        "click": click,
        "silence": np.zeros(round(own * rate), np.float32),
    }
    least = promised.min_samples
    return {name: each for name, each in found.items() if len(each) >= least}


def compare(
    reference: LoadedTagger, other: LoadedTagger, waveforms: Mapping[str, np.ndarray]
) -> Proof:
    """Return how alike two models answer to waveforms at their rate."""
    differences, same = [], []
    fine = reference.taxonomy.fine
    for waveform in waveforms.values():
        expected = reference.scores(waveform, sample_rate=reference.sample_rate)
        found = other.scores(waveform, sample_rate=other.sample_rate)
        differences += [np.abs(found[level] - each) for level, each in expected.items()]
        same.append(expected[fine].argmax() == found[fine].argmax())
    every = np.concatenate(differences)
    return Proof(
        num_clips=len(waveforms),
        max_difference=float(every.max()),
        top1=float(np.mean(same)),
        mean_difference=float(every.mean()),
    )


def require_equal(path: Path, proof: Proof, *, weights: str) -> None:
    """Raise an InputError for an export that does not answer as its model."""
    tolerance, mean_tolerance = TOLERANCES[weights], _MEAN_TOLERANCES[weights]
    # Also of NaN.
    if not proof.max_difference <= tolerance:
        said = f"by up to {proof.max_difference:.2g}, and {tolerance:g} was"
    elif not proof.mean_difference <= mean_tolerance:
        said = f"by {proof.mean_difference:.2g} on average, and {mean_tolerance:g} was"
    else:
        return
    remedy = "Please report this with the model's card."
    if weights == "int8":
        remedy = "Give more sounds like those to come: --calibration FOLDER"
    raise InputError(
        f"{path.name} does not answer as the model that it was made from: scores "
        f"differ {said} expected. It was not kept. {remedy}"
    )


def require_signatures(reference: LoadedTagger, engine: SavedModelEngine) -> None:
    """Raise an InputError if a signature of a SavedModel does not answer as Keras does.

    `serving_default` is what `compare` asks; here are the others.

    Args:
        reference: LoadedTagger of the Keras model.
        engine: SavedModelEngine.
    """
    rate = reference.sample_rate
    sound = 0.5 * golden.clip(rate, seconds=1.5 * reference.contract.usual_seconds)
    expected = reference.answer(sound, sample_rate=rate, with_log_mel=False)
    levels = reference.taxonomy.levels
    for name in engine.signatures:
        tolerance = TOLERANCES["float32"]
        if name == "wav_bytes":
            for other in (rate, 44_100):
                wav = audio.to_wav(golden.clip(other), sample_rate=other)
                heard, _ = soundfile.read(io.BytesIO(wav), dtype="float32")
                wanted = reference.scores(heard, sample_rate=other)
                found = engine.ask(name, wav=[wav])
                _require(
                    f"{name} at {other} Hz",
                    {level: found[level][0] for level in levels},
                    wanted,
                    tolerance if other == rate else _TOLERANCE_OF_OTHER_RATES,
                )
        elif name == "embedding":
            found = engine.ask(name, waveform=sound[None])["embedding"][0]
            # Of no fixed range: as large as its largest.
            size = max(1.0, float(np.abs(expected["embedding"]).max()))
            wanted = {"embedding": expected["embedding"] / size}
            _require(name, {"embedding": found / size}, wanted, tolerance)
        elif name in _EXPECTED:
            # One window, so that windows and whole clips are asked alike.
            window = sound[: round(reference.contract.usual_seconds * rate)][None]
            wanted = _EXPECTED[name](reference.model, window)
            _require(name, engine.ask(name, waveform=window), wanted, tolerance)


def _frames(model: keras.Model, waveform: np.ndarray) -> dict[str, np.ndarray]:
    """Return Keras's {level: scores (1, frames, labels)}, each frame answered alone."""
    backbone = tagger.backbone_of(tagger.body_of(model))
    embedding = backbone(tagger.frontend_of(model)(waveform), training=False)
    found = tagger.head_of(model)(np.asarray(embedding)[0][:, None], training=False)
    return {level: np.asarray(scores)[None] for level, scores in found.items()}


def _attention(model: keras.Model, waveform: np.ndarray) -> dict[str, np.ndarray]:
    """Return Keras's attention maps: the outputs that are no level's scores."""
    found = tagger.attention_maps(model)(waveform, training=False)
    return {
        name: np.asarray(each)
        for name, each in found.items()
        if name not in model.output
    }


_EXPECTED = {"frames": _frames, "attention": _attention}


def _require(signature: str, found: Mapping, wanted: Mapping, tolerance: float) -> None:
    """Raise an InputError unless arrays agree; NaN agrees with nothing."""
    for part, values in wanted.items():
        difference = float(np.abs(found[part] - values).max())
        if not difference <= tolerance:
            raise InputError(
                f"The SavedModel's signature {signature} answers with a {part} that is "
                f"off by {difference:.2g}, and {tolerance:g} was expected. It was not "
                "kept. Please report this with the model's card."
            )
