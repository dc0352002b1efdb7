"""A saved tagger as one object, whatever its format: clips in, scores by label out.

    import tfhier

    tagger = tfhier.load("cnn14_16k.keras")  # or .tflite, a SavedModel, a server's URL
    tagger.tag("clip.wav")["label"]  # {"Speech": 0.81, ...}

What sample rate a model needs and how much sound it takes at a time is in its contract
(`tfhier.contract`). Files are resampled to that rate; an array comes with its own.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from tfhier import audio, console, golden, members, model_paths
from tfhier.errors import InputError
from tfhier.events import Event
from tfhier.windows import Windowing

# Sound answered at once, in windows: answers do not depend on it, only memory does.
BATCH_SECONDS = 60


class LoadedTagger:
    """A saved tagger.

    Args:
        path: str or Path. A `.keras` or `.tflite` file, a SavedModel folder, the folder
            of a run or an experiment; the name of published weights (`tfhier list
            weights`), which are fetched and ported; or the URL of a model on a server,
            `http://HOST:PORT/v1/models/NAME`.
        window_seconds: float. Length of sound that a model of whole clips takes at a
            time. Memory then no longer grows with the clip. Defaults to 0: whole clips.
        num_threads: int > 0. Threads that share the work of a clip, of a `.tflite`
            file: its scores do not depend on them. Others choose themselves.

    Raises:
        InputError: The file is missing, broken, no tagger of waveforms, or contradicts
            its contract; the weights cannot be had; or the model has windows of its
            own.
    """

    def __init__(
        self, path: str | Path, *, window_seconds: float = 0.0, num_threads: int = 1
    ):
        # A URL's password is nothing to be repeated in messages.
        self.path = _without_password(path)
        self._file = _find(path)
        self._engine = _open(path, self._file, num_threads)
        self.contract = self._engine.contract
        if window_seconds:
            self._choose_window(window_seconds)
        self.taxonomy = self.contract.taxonomy
        self.min_samples = self._engine.min_samples
        window = self.contract.window_seconds
        if 0 < self._window_and_hop()[0] < self.min_samples:
            raise InputError(
                f"{path} contradicts itself: its contract promises windows of "
                f"{window:g} s at {self.sample_rate} Hz, but its front end needs "
                f"{self.min_samples} samples. Save it again."
            )

    def _choose_window(self, seconds: float) -> None:
        """Replace the contract's whole clips by windows."""
        own = self.contract.window_seconds
        if own:
            raise InputError(
                f"{self.path} hears {own:g} s at a time by itself. Leave the window "
                "out."
            )
        self.contract = dataclasses.replace(
            self.contract, window_seconds=seconds, hop_seconds=seconds
        )

    @property
    def model(self):
        """The Keras model.

        Raises:
            InputError: The tagger was not loaded from a `.keras` file.
        """
        try:
            return self._engine.model
        except AttributeError:
            raise InputError(
                f"{self.path} is no .keras file: its layers are not to be had. Load "
                "the file that it was exported from."
            ) from None

    @property
    def frontend(self):
        """The front end of a Keras model, a `tfhier.layers.LogMel`; None of others."""
        return getattr(self._engine, "frontend", None)

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveforms that the model works on, in Hz."""
        return self.contract.sample_rate

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Labels of every level, in the order of the scores, finest level first."""
        return {level: self.taxonomy.labels_of(level) for level in self.taxonomy.levels}

    def tag(self, clip, *, sample_rate: int | None = None) -> dict[str, dict]:
        """Return {level: {label: probability}} of a clip, arguments as `answer`."""
        found = self.scores(clip, sample_rate=sample_rate)
        return {
            level: dict(zip(labels, map(float, found[level]), strict=True))
            for level, labels in self.levels.items()
        }

    def embed(self, clip, *, sample_rate: int | None = None) -> np.ndarray:
        """Return the embedding (units,) of a clip, arguments as `answer`.

        Raises:
            InputError: As of `answer`; or the file answers with scores only.
        """
        found = self.answer(clip, sample_rate=sample_rate, with_log_mel=False)
        if "embedding" not in found:
            raise InputError(
                f"{self.path} answers with scores only. For embeddings load the "
                ".keras file or the SavedModel."
            )
        return found["embedding"]

    def scores(self, clip, *, sample_rate: int | None = None) -> dict[str, np.ndarray]:
        """Return {level: scores (labels,)} of a clip, arguments as `answer`."""
        waveform = self._waveform(clip, sample_rate)
        return self._answers(waveform, only_scores=True)

    def detect(self, recording: str | Path, **options) -> list[Event]:
        """Return the events of a recording of any length, see `tfhier detect`.

        Args:
            recording: str or Path of a sound file.
            **options: As of `tfhier.detect.options.Options`: threshold, precision ...

        Returns:
            List of Event by start: `start`, `end` in seconds, `label`, `level`,
            `score`.

        Raises:
            InputError: The recording cannot be read, or an option does not fit the
                model.
        """
        from tfhier.detect import detector
        from tfhier.detect import options as choices

        found = detector.Detector(self, choices.Options(**options))
        return list(detector.hear(found, Path(recording)).events)

    def window_scores(self, window: np.ndarray) -> dict[str, np.ndarray]:
        """Return {level: scores (labels,)} of one window as it is.

        Args:
            window: float32 array (samples,) at the model's rate, in [-1, 1], of the
                contract's window, or of any length where it has none. It is not
                checked: `scores` takes what comes from elsewhere.
        """
        found = self._engine.answers(window[None], only_scores=True)
        return {level: found[level][0] for level in self.taxonomy.levels}

    @property
    def has_golden_clip(self) -> bool:
        """Whether the model carries a clip for `selftest`."""
        if self._file is None:
            return False
        try:
            members.read(self._file, members.GOLDEN_SCORES)
        except KeyError:
            return False
        return True

    def selftest(self) -> tuple[float, float]:
        """Replay the golden clip that the model carries.

        Returns:
            Largest difference of its scores from those expected, and the largest that
            passes.

        Raises:
            InputError: The model has no golden clip, answers on other levels, or is on
                a server.
        """
        if self._file is None:
            raise InputError(
                f"The golden clip of {self.path} is in its files: test them where they "
                "lie, with tfhier selftest .../serving."
            )
        expected = golden.read(self._file)
        found = self._answers(expected.waveform, only_scores=True)
        sizes = {level: len(each) for level, each in expected.scores.items()}
        # The same names in the same order: other names would be other answers.
        if sizes != self.taxonomy.sizes or expected.labels not in ({}, self.levels):
            raise InputError(
                f"{self.path} contradicts itself: its golden clip has scores of other "
                "levels or labels than its contract. Export it again."
            )
        if expected.sample_rate != self.sample_rate:
            raise InputError(
                f"{self.path} contradicts itself: its golden clip has "
                f"{expected.sample_rate} Hz, its contract {self.sample_rate} Hz. "
                "Export it again."
            )
        return expected.difference(found), expected.tolerance

    def answer(
        self,
        clip: str | Path | np.ndarray,
        *,
        sample_rate: int | None = None,
        with_log_mel: bool = True,
    ) -> dict[str, np.ndarray]:
        """Return all that the model computes of a whole clip.

        A model with a window hears the clip window by window, the last one filled up
        with zeros, and the answers are the means over windows.

        Args:
            clip: str or Path of an audio file, which is resampled as needed; or array
                (samples,) of floats in [-1, 1].
            sample_rate: int > 0. Of an array, in Hz; another than the model's is
                resampled.
            with_log_mel: bool. Whether the answer holds the log-mel.

        Returns:
            Dict of float32 arrays: by level probabilities (labels,) and, as far as the
            format has them, `log_mel` (frames, mels) of the whole clip, `embedding`
            (units,) and `logits` (labels,) of the finest level. A `.keras` file has
            all, a SavedModel and a server the embedding, a `.tflite` file none.

        Raises:
            InputError: The clip cannot be read, is too short, or is an array without
                its rate, of another shape or type, or not finite.
        """
        waveform = self._waveform(clip, sample_rate)
        found = self._answers(waveform)
        if not with_log_mel:
            found.pop("log_mel", None)
        elif self.contract.window_seconds and self.frontend is not None:
            least = max(len(waveform), self.min_samples)
            log_mel = self._engine.log_mel(audio.fix_length(waveform, least))
            found["log_mel"] = log_mel
        return found

    def _answers(
        self, waveform: np.ndarray, *, only_scores: bool = False
    ) -> dict[str, np.ndarray]:
        """Return the answers to a waveform, means over its windows if there are."""
        own = self._engine.contract.window_seconds
        if self.contract.window_seconds and not (own and self._engine.cuts_windows):
            return self._mean_over_windows(waveform, only_scores)
        found = self._engine.answers(waveform[None], only_scores=only_scores)
        return {name: values[0] for name, values in found.items()}

    def _waveform(self, clip, sample_rate: int | None) -> np.ndarray:
        """Return a clip as a waveform (samples,) at the model's rate."""
        if isinstance(clip, str | Path):
            name = str(clip)
            waveform, _ = audio.read(
                clip, sample_rate=self.sample_rate, allow_silent=True
            )
        else:
            name = "The array"
            waveform = self._resampled(clip, sample_rate)
        loudest = np.abs(waveform).max(initial=0.0)
        if loudest > audio.LOUDEST:
            raise InputError(
                f"{name}: has samples up to {loudest:g}, where sound lies in [-1, 1]. "
                "Scale it: 16-bit samples are divided by 32,768."
            )
        least = 1 if self.contract.window_seconds else self.min_samples
        if len(waveform) < least:
            raise InputError(
                f"{name}: is too short, {len(waveform)} samples at "
                f"{self.sample_rate} Hz; the model needs {least}, "
                f"{1000 * least / self.sample_rate:.2g} ms. Pad it with zeros."
            )
        return waveform

    def _resampled(self, waveform, sample_rate: int | None) -> np.ndarray:
        if sample_rate is None:
            raise InputError(
                "An array needs its sample rate: tag(waveform, sample_rate=44_100). "
                f"The model's own is {self.sample_rate} Hz."
            )
        waveform = np.asarray(waveform)
        # Integers are samples of 16 or 24 bits that nobody has scaled yet.
        is_float = waveform.dtype.kind == "f"
        if not is_float or waveform.ndim != 1 or not waveform.size:
            raise InputError(
                "A clip is an array (samples,) of floats in [-1, 1], one channel. "
                f"Received: shape={waveform.shape}, dtype={waveform.dtype}"
            )
        # A peak beyond float32, NaN or infinite.
        if not np.abs(waveform).max() <= np.finfo(np.float32).max:
            raise InputError(
                "The array holds NaN or infinite samples. Leave them out or set them "
                "to zero."
            )
        return audio.resample(
            waveform, source_rate=sample_rate, target_rate=self.sample_rate
        )

    def _mean_over_windows(
        self, waveform: np.ndarray, only_scores: bool
    ) -> dict[str, np.ndarray]:
        """Return the answers but the log-mel, means over the windows of a clip."""
        length, hop = self._window_and_hop()
        windows = Windowing(length=length, hop=hop).cut(waveform)
        step = max(1, int(BATCH_SECONDS / self.contract.window_seconds))
        sums: dict[str, np.ndarray] = {}
        for start in range(0, len(windows), step):
            found = self._engine.answers(
                windows[start : start + step], only_scores=only_scores
            )
            found.pop("log_mel", None)
            for name, values in found.items():
                sums[name] = sums.get(name, 0.0) + values.sum(axis=0, dtype=np.float64)
        return {
            name: (each / len(windows)).astype(np.float32)
            for name, each in sums.items()
        }

    def _window_and_hop(self) -> tuple[int, int]:
        """Return length and hop of the contract's windows in samples."""
        seconds = self.contract.window_seconds, self.contract.hop_seconds
        length, hop = (round(each * self.sample_rate) for each in seconds)
        return length, hop


def _without_password(path: str | Path) -> str | Path:
    """Return a URL as messages may repeat it; a path as it is."""
    if isinstance(path, Path):
        return path
    return re.sub("^(https?:)//[^/]*@", r"\1//", path)


def _find(path: str | Path) -> Path | None:
    """Return the file or folder of a model; None for one on a server."""
    if str(path).startswith(("http://", "https://")):
        return None
    if not Path(path).exists() and (published := _published(str(path))):
        return published
    return model_paths.find(path)


def _open(name: str | Path, path: Path | None, num_threads: int):
    """Return the engine of a model, see `tfhier.engines`; import it only now."""
    if path is None:
        from tfhier.engines.server import ServerEngine

        return ServerEngine(str(name))
    if path.suffix == ".tflite":
        from tfhier.engines.litert import LiteRTEngine

        return LiteRTEngine(path, num_threads=num_threads)
    if path.is_dir():
        with console.without_native_messages():
            from tfhier.engines.saved_model import SavedModelEngine
        return SavedModelEngine(path)
    with console.without_native_messages():
        from tfhier.engines.keras_file import KerasEngine
    return KerasEngine(path)


def _published(name: str) -> Path | None:
    """Return published weights of a name as a saved tagger; None if there are none."""
    if "/" in name or "." in name:  # a path: what follows is slow to import
        return None
    from tfhier.pretrained import porting, registry

    if name not in registry.CHECKPOINTS:
        return None
    # The last one answers as the published file does.
    frontend = registry.CHECKPOINTS[name].frontends[-1]
    return porting.find(name, frontend=frontend)
