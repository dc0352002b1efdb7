"""A saved tagger taken out of the laboratory: its files, each proved before it is kept.

saved_models/openmic_resatt/serving/1/           for TF Serving, `tfhier serve`
saved_models/openmic_resatt/openmic_resatt.tflite        and -float16, -int8 ...
saved_models/openmic_resatt/{export.json, model_card.md}
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from tfhier import audio, clip_table, golden, members, model_paths, saved
from tfhier.clip_table import Listed
from tfhier.contract import Contract
from tfhier.engines.saved_model import SavedModelEngine
from tfhier.errors import InputError
from tfhier.export import (
    archive,
    card,
    metadata,
    proof,
    quantization,
    saved_model,
    summary,
    tflite,
    tflite_file,
    trial,
)
from tfhier.export.signatures import MAX_SECONDS
from tfhier.export.summary import Exported, Report
from tfhier.files import replacing, require_space
from tfhier.predict import find_clips
from tfhier.runtime import LoadedTagger

FORMATS = ("savedmodel", "tflite")
WEIGHTS = ("float32", *quantization.KINDS)
# Another kernel of 8 bits may round the other way in every layer.
_TOLERANCE_OF_8_BITS = 0.05
_NUM_CALIBRATION = 100
# Of a run's folder: where its training clips are.
SOUNDS = "training_sounds.csv"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is exported, and how it is tried.

    Args:
        formats: Of `FORMATS`.
        weights: Of `WEIGHTS`: how a `.tflite` file keeps them, a file each.
        seconds: float. Length of sound that files of a fixed length take, and that the
            others take until they are resized; 0 for what the model was trained on.
        fixed: bool. Whether all `.tflite` files take that length only; "int8" always
            does.
        calibration: Paths of sounds, or folders of them, that "int8" takes its ranges
            from. Defaults to the run's own training clips.
        test_clips: int. Test clips of the run that all files are tried on, at most.
        timed: bool. Whether `.tflite` files are timed.
        output: Path of the folder to write to; None for the model's own.
        name: str. What the model is called; "" for its experiment's name.
        source: str. Where the weights come from; "" for what the model says.
        licence: str. Of the weights; "" for what the model says.
        citation: str. What to cite; "" for what the model says.

    Raises:
        InputError: A number is negative, or the name is unfit for files and URLs.
    """

    formats: tuple[str, ...] = FORMATS
    weights: tuple[str, ...] = ("float32",)
    seconds: float = 0.0
    fixed: bool = False
    calibration: tuple[Path, ...] = ()
    test_clips: int = 200
    timed: bool = True
    output: Path | None = None
    name: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""

    def __post_init__(self):
        if not 0 <= self.seconds <= MAX_SECONDS or self.test_clips < 0:
            raise InputError(
                f"A length is 0 to {MAX_SECONDS:g} s, and a number of test clips 0 or "
                "more. "
                f"Received: {self.seconds:g} s, {self.test_clips} clips"
            )
        if "tflite" not in self.formats and set(self.weights) != {"float32"}:
            raise InputError(
                f"Weights are chosen of .tflite files, and none is asked for: --to "
                f"tflite. Received: {', '.join(self.weights)}"
            )
        # In names of files and in URLs.
        if not re.fullmatch(r"(?!\.)[\w@.-]{0,100}", self.name):
            raise InputError(
                "A model's name is made of up to 100 letters, digits and '_', '-', "
                f"'.', '@'. Received: '{self.name}'"
            )


@dataclass(frozen=True)
class _Source:
    """The saved tagger that is exported."""

    path: Path
    tagger: LoadedTagger
    promised: Contract
    folder: Path

    @property
    def model(self) -> keras.Model:
        return self.tagger.model

    def reference(self, promised: Contract) -> LoadedTagger:
        """Return the Keras model, hearing the windows that an export hears."""
        if promised.window_seconds == self.promised.window_seconds:
            return self.tagger
        return LoadedTagger(self.path, window_seconds=promised.window_seconds)


def export(
    place: str | Path,
    options: Options,
    *,
    progress: Callable[[Exported], None] = lambda _: None,
) -> Report:
    """Write a saved tagger in other formats, each proved equal before it is kept.

    Args:
        place: str or Path. A `.keras` file, or the folder of a run or an experiment.
        options: Options.
        progress: Function that is told each file when it is proved.

    Returns:
        Report, which is written too: `export.json` and `model_card.md`.

    Raises:
        InputError: There is no such model, it takes no sound, an option does not fit,
            or an export answers otherwise than the model.
    """
    place = model_paths.existing(place)
    path = model_paths.find(place)
    if path.suffix != ".keras":
        raise InputError(
            f"{path} is no .keras file. Give the one that it was exported from."
        )
    listed = path.parent / SOUNDS
    if "int8" in options.weights and not (options.calibration or listed.is_file()):
        raise InputError(
            "For 8 bits sounds like those to come are needed, and there is no "
            f"{listed}: --calibration FOLDER"
        )
    tagger = LoadedTagger(path)
    _require_as_saved(tagger)
    name = options.name or model_paths.model_name(path)
    told = {
        field: getattr(options, field) or getattr(tagger.contract, field)
        for field in ("source", "licence", "citation")
    }
    if tagger.contract.tested:
        told["tested"] = f"the Keras model on {tagger.contract.tested}"
    promised = saved.with_frontend(
        tagger.model, dataclasses.replace(tagger.contract, name=name, **told)
    )
    folder = options.output or _home(place, path)
    source = _Source(path, tagger, promised, folder)
    # First all that may be refused: an export takes minutes.
    contracts = {
        weights: _contract_of_file(promised, weights, options)
        for weights in (options.weights if "tflite" in options.formats else ())
    }
    test_clips = summary.test_clips(path.parent, options.test_clips)
    sounds = _sounds(source, contracts, options)
    found = []
    with _folder(folder):
        if "savedmodel" in options.formats:
            found.append(_export_saved_model(source))
            progress(found[-1])
        for weights, own in contracts.items():
            exported = _export_tflite(
                source, own, sounds.get(weights, ()), test_clips, options
            )
            found.append(exported)
            progress(found[-1])
    return summary.conclude(
        found,
        name=name,
        folder=folder,
        source=path,
        test_clips=test_clips,
        timed=options.timed,
    )


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make a folder; take it away again if the block raises before it is filled."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _home(place: Path, path: Path) -> Path:
    """Return the folder that exports go to: what was named, or one of its name."""
    if place.is_dir():
        return place
    # Two models of one folder do not become versions of each other.
    return path.parent if path.name == model_paths.BEST else path.with_suffix("")


def _require_as_saved(tagger: LoadedTagger) -> None:
    """Raise an InputError for a model that no longer answers as when it was saved."""
    if not tagger.has_golden_clip:
        return  # of an earlier version
    difference, tolerance = tagger.selftest()
    if not difference <= tolerance:
        raise InputError(
            f"{tagger.path} does not answer as when it was saved: its golden clip is "
            f"off by {difference:.2g}, {tolerance:g} is allowed. Export it where it "
            "does, or use the versions that it was saved with (tfhier describe)."
        )


def _contract_of_file(promised: Contract, weights: str, options: Options) -> Contract:
    """Return what a `.tflite` file promises.

    Raises:
        InputError: It must have a length, and there is none or another.
    """
    own = dataclasses.replace(promised, weights=weights)
    if promised.window_seconds:
        if options.seconds not in (0.0, promised.window_seconds):
            raise InputError(
                f"{promised.name} hears {promised.window_seconds:g} s at a time by "
                "itself. Leave --seconds out."
            )
        return own
    if not (options.fixed or weights == "int8"):
        return own
    seconds = options.seconds or promised.clip_seconds
    if not seconds:
        raise InputError(
            f"{promised.name} does not say how long its clips are, and a file of a "
            "fixed length needs one: --seconds 5"
        )
    if round(seconds * promised.sample_rate) < promised.min_samples:
        raise InputError(
            f"{seconds:g} s are too short: the front end needs {promised.min_samples} "
            f"samples at {promised.sample_rate} Hz."
        )
    return dataclasses.replace(own, window_seconds=seconds, hop_seconds=seconds)


def _sounds(
    source: _Source, contracts: Mapping[str, Contract], options: Options
) -> dict[str, list[np.ndarray]]:
    """Return the sounds (1, samples) that a kind of weights is fitted to."""
    if "int8" not in contracts:
        return {}
    own = contracts["int8"]
    rate, length = own.sample_rate, round(own.window_seconds * own.sample_rate)
    if options.calibration:
        files = tuple(find_clips(options.calibration))
        found = Listed(files, (None,) * len(files), ("",) * len(files))
        _require_unheard(found, source.path.parent)
    else:
        found = clip_table.read(source.path.parent / SOUNDS)
    found = found.some(_NUM_CALIBRATION)
    waveforms = [found.waveform(i, sample_rate=rate) for i in range(len(found))]
    return {"int8": [audio.fix_length(each, length)[None] for each in waveforms]}


def _require_unheard(sounds: Listed, run: Path) -> None:
    """Raise an InputError for sounds that the run is tested on."""
    listed = summary.listed_test_clips(run)
    tested = {file.resolve() for file in listed.files} if listed else set()
    if both := [file for file in sounds.files if file.resolve() in tested]:
        raise InputError(
            f"{len(both)} of the sounds for 8 bits are test clips of the run (such as "
            f"{both[0]}): figures on these would be too good. Give others."
        )


def _export_saved_model(source: _Source) -> Exported:
    reference = source.reference(source.promised)
    proofs = []

    def prove(folder: Path) -> None:
        found = proof.compare(
            reference, LoadedTagger(folder), proof.clips(source.promised)
        )
        proof.require_equal(source.folder / "serving", found, weights="float32")
        proof.require_signatures(reference, SavedModelEngine(folder))
        proofs.append(found)

    path = saved_model.write(
        source.folder / "serving",
        source.model,
        source.promised,
        card=card.text(source.promised),
        prove=prove,
    )
    size = sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
    return Exported(path=path, weights="float32", num_bytes=size, proof=proofs[0])


def _export_tflite(
    source: _Source,
    own: Contract,
    sounds: list[np.ndarray],
    test_clips: Listed | None,
    options: Options,
) -> Exported:
    """Write one `.tflite` file, whole and proved or not at all."""
    is_fixed = own.window_seconds > 0
    length = round((own.window_seconds or options.seconds) * own.sample_rate)
    content = tflite.convert(source.model, num_samples=length if is_fixed else None)
    if own.weights == "float32":
        clip = saved.golden_of(source.model, own)
    else:
        content = quantization.quantize(content, own.weights, waveforms=sounds)
        clip = _golden_of_file(content, own, saved.golden_of(source.model, own))
    ending = "" if own.weights == "float32" else f"-{own.weights}"
    path = source.folder / f"{own.name}{ending}.tflite"
    usual = length or round(own.usual_seconds * own.sample_rate)
    default = None if is_fixed else usual
    answers_alike = own == dataclasses.replace(source.promised, weights="float32")
    if not answers_alike:  # what Keras scored says nothing of this file
        own = dataclasses.replace(own, results={}, tested="")
    whole = _with_contract(content, own, clip, default_samples=default)
    require_space(path.parent, 2 * len(whole))
    with replacing(path) as temporary:
        temporary.write_bytes(whole)
        tagger = LoadedTagger(temporary)
        found = proof.compare(source.reference(own), tagger, proof.clips(own))
        proof.require_equal(path, found, weights=own.weights)
        figures = {}
        if not answers_alike and test_clips is not None:
            figures = trial.figures({path: tagger}, test_clips)[path]
            own = dataclasses.replace(
                own,
                results=figures,
                tested=f"this file on {len(test_clips)} test clips",
            )
            whole = _with_contract(content, own, clip, default_samples=default)
            temporary.write_bytes(whole)
    return Exported(
        path=path,
        weights=own.weights,
        num_bytes=len(whole),
        proof=found,
        figures=figures,
        operations=summary.count(kind for kind, _ in tflite_file.operations(content)),
    )


def _golden_of_file(
    content: bytes, own: Contract, clip: golden.Golden
) -> golden.Golden:
    """Return the golden clip with a quantised file's own scores, not Keras's."""
    length = round(own.window_seconds * own.sample_rate) or len(clip.waveform)
    scores = tflite_file.scores(content, audio.fix_length(clip.waveform, length))
    is_rounded = own.weights in ("dynamic", "int8")
    tolerance = _TOLERANCE_OF_8_BITS if is_rounded else clip.tolerance
    return dataclasses.replace(clip, scores=scores, tolerance=tolerance)


def _with_contract(
    content: bytes, own: Contract, clip: golden.Golden, *, default_samples: int | None
) -> bytes:
    """Return a file with metadata, contract, golden clip, card and checksums."""
    carried = {
        members.CONTRACT: own.to_json().encode(),
        members.CARD: card.text(own).encode(),
        **clip.to_members(),
    }

    whole = metadata.attach(
        content,
        name=own.name,
        description=f"{own.source}. Scores: {own.score_meaning}.",
        version=own.versions.get("date", ""),
        author="",
        licence=own.licence,
        sample_rate=own.sample_rate,
        levels={level: own.taxonomy.labels_of(level) for level in own.taxonomy.levels},
        files={**carried, members.CHECKSUMS: b""},
        default_samples=default_samples,
    )
    # The network depends on the files' names only, so that its sum can be in one.
    network, files = archive.flatbuffer_bytes(whole), archive.files(whole)
    del files[members.CHECKSUMS]
    sums = members.checksums({members.NETWORK: network, **files})
    return archive.append(network, {**files, members.CHECKSUMS: sums})
