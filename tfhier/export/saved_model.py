"""Taggers as SavedModels in TF Serving's layout: `serving/1/`, `serving/2/` ..."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfhier import audio, golden, members, saved
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.export import warmup
from tfhier.export.signatures import ServedTagger
from tfhier.files import remove_stale, require_space

_TEMPORARY = ".export-"
_WARMUP = "tf_serving_warmup_requests"


def write(
    folder: Path,
    model: keras.Model,
    promised: Contract,
    *,
    card: str,
    prove: Callable[[Path], None],
) -> Path:
    """Write a tagger as the next version of a folder, whole or not at all.

    Beside what TensorFlow writes the version holds `assets/tfhier.json` (the contract),
    `assets/golden.flac` and `.json`, and in `assets.extra/` the requests that TF
    Serving warms up with, the model card and the checksums of all files.

    Args:
        folder: Path of the versions, `.../serving`.
        model: End-to-end tagger of waveforms.
        promised: Contract.
        card: str. Model card, Markdown.
        prove: Function of the new folder, called before it gets its name. What it
            raises stops the export, and nothing is left behind.

    Returns:
        Path of the new version.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder, f"{_TEMPORARY}*.part")
    require_space(folder, 5 * model.count_params() + 2**22)
    try:
        with tempfile.TemporaryDirectory(
            prefix=_TEMPORARY, suffix=".part", dir=folder
        ) as temporary:
            # A folder inside, since the temporary one itself has private rights.
            content = Path(temporary, "saved_model")
            _fill(content, model, promised, card)
            prove(content)
            return _name(content, folder)
    except BaseException as error:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # unless another export has begun in it
        if not isinstance(error, tf.errors.OpError):
            raise
        said = str(error.message).splitlines()[0]
        raise InputError(
            f"No version could be written to {folder} ({said:.200}). What was there is "
            "as it was: make room, and export again."
        ) from None


def _fill(folder: Path, model: keras.Model, promised: Contract, card: str) -> None:
    servable = ServedTagger(model, promised)
    tf.saved_model.save(servable, str(folder), signatures=servable.by_name)
    clip = saved.golden_of(model, promised)
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets.extra").mkdir()
    carried = {members.CONTRACT: promised.to_json().encode(), **clip.to_members()}
    for name, content in carried.items():
        (folder / "assets" / name).write_bytes(content)
    (folder / "assets.extra" / members.CARD).write_text(card, encoding="utf-8")
    heard = _heard(clip, promised)
    warmup.write(
        folder / "assets.extra" / _WARMUP,
        {
            "serving_default": {"waveform": heard},
            "wav_bytes": {"wav": audio.to_wav(heard, sample_rate=clip.sample_rate)},
            "embedding": {"waveform": heard},
        },
    )
    sums = members.checksums(
        {
            item.relative_to(folder).as_posix(): item.read_bytes()
            for item in folder.rglob("*")
            if item.is_file()
        }
    )
    (folder / "assets.extra" / members.CHECKSUMS).write_bytes(sums)


def _heard(clip: golden.Golden, promised: Contract) -> np.ndarray:
    """Return a clip of the length that requests will mostly have: (samples,)."""
    return np.resize(
        clip.waveform, round(promised.usual_seconds * promised.sample_rate)
    )


def _name(content: Path, folder: Path) -> Path:
    """Rename a finished SavedModel to the next version; TF Serving sees it whole."""
    while True:
        numbers = [int(item.name) for item in folder.iterdir() if item.name.isdecimal()]
        target = folder / str(max(numbers, default=0) + 1)
        try:
            os.rename(content, target)
        except OSError:
            if not target.exists():
                raise
            continue  # another export was quicker: the next number is ours
        return target
