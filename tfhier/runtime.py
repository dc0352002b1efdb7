"""A saved tagger as one object: clips in, scores by label out.

    import tfhier

    tagger = tfhier.load("cnn14_16k.keras")
    tagger.tag("clip.wav")["label"]  # {"Speech": 0.81, ...}

What sample rate a model needs and how much sound it takes at a time is in its contract
(`tfhier.contract`). Files are resampled to that rate; an array comes with its own.
"""

import dataclasses
from pathlib import Path

import numpy as np

from tfhier import audio, contract, saved, tagger
from tfhier.errors import InputError
from tfhier.pretrained import porting
from tfhier.pretrained.registry import CHECKPOINTS

# Sound answered at once, in windows: answers do not depend on it, only memory does.
BATCH_SECONDS = 60
_LOUDEST = 1e6


class LoadedTagger:
    """A tagger loaded from a `.keras` file.

    Args:
        path: str or Path. A file written by `tfhier port` or by training; or the name
            of published weights (`tfhier list weights`), which are fetched and ported.
        window_seconds: float. Length of sound that a model of whole clips takes at a
            time. Memory then no longer grows with the clip. Defaults to 0: whole clips.

    Raises:
        InputError: The file is missing, broken, no tagger of waveforms, or contradicts
            its contract; the weights cannot be had; or the model has windows of its
            own.
    """

    def __init__(self, path: str | Path, *, window_seconds: float = 0.0):
        published = CHECKPOINTS.get(str(path))
        if published and not Path(path).exists():
            # The last one answers as the published file does.
            path = porting.find(published.name, frontend=published.frontends[-1])
        self.contract = contract.read(path)
        if window_seconds:
            self._choose_window(path, window_seconds)
        if not self.contract.sample_rate:
            raise InputError(
                f"{path} takes precomputed features, not sound: it cannot tag audio."
            )
        self.taxonomy = self.contract.taxonomy
        self.model = saved.load(Path(path), self.taxonomy)
        self.frontend = tagger.frontend_of(self.model)
        self._check_frontend(path)
        self._answers = tagger.answers(self.model, self.taxonomy)

    def _choose_window(self, path: str | Path, seconds: float) -> None:
        """Replace the contract's whole clips by windows."""
        own = self.contract.window_seconds
        if own:
            raise InputError(
                f"{path} hears {own:g} s at a time by itself. Leave the window out."
            )
        self.contract = dataclasses.replace(
            self.contract, window_seconds=seconds, hop_seconds=seconds
        )

    def _check_frontend(self, path: str | Path) -> None:
        """Raise an InputError if the front end is not what the contract promises."""
        if self.frontend is None:
            fault = "it takes precomputed features"
        elif self.frontend.sample_rate != self.sample_rate:
            fault = f"its front end takes {self.frontend.sample_rate} Hz"
        elif 0 < self._window_and_hop()[0] < self.frontend.min_samples:
            fault = f"its front end needs {self.frontend.min_samples} samples"
        else:
            return
        window = self.contract.window_seconds
        length = f"windows of {window:g} s" if window else "whole clips"
        raise InputError(
            f"{path} contradicts itself: its contract promises {length} at "
            f"{self.sample_rate} Hz, but {fault}. Save it again."
        )

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
        found = self.answer(clip, sample_rate=sample_rate)
        return {
            level: dict(zip(labels, map(float, found[level]), strict=True))
            for level, labels in self.levels.items()
        }

    def embed(self, clip, *, sample_rate: int | None = None) -> np.ndarray:
        """Return the embedding (units,) of a clip, arguments as `answer`."""
        return self.answer(clip, sample_rate=sample_rate)["embedding"]

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
            Dict of float32 arrays: `log_mel` (frames, mels) of the whole clip,
            `embedding` (units,), `logits` (labels,) of the finest level, and by level
            probabilities (labels,).

        Raises:
            InputError: The clip cannot be read, is too short, or is an array without
                its rate, of another shape or type, or not finite.
        """
        waveform = self._waveform(clip, sample_rate)
        if not self.contract.window_seconds:
            found = self._answers.predict_on_batch(waveform[None])
            found = {name: values[0] for name, values in found.items()}
        else:
            found = self._mean_over_windows(waveform)
            if with_log_mel:
                least = max(len(waveform), self.frontend.min_samples)
                heard = audio.fix_length(waveform, least)
                found["log_mel"] = np.asarray(self.frontend(heard[None]))[0]
        if not with_log_mel:
            found.pop("log_mel", None)
        return found

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
        # Beyond it the power spectrum overflows, and scores are of nothing.
        if np.abs(waveform).max(initial=0.0) > _LOUDEST:
            raise InputError(
                f"{name}: has samples above {_LOUDEST:g}, where sound lies in [-1, 1]. "
                "The file is damaged, or its samples were never scaled."
            )
        least = 1 if self.contract.window_seconds else self.frontend.min_samples
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

    def _mean_over_windows(self, waveform: np.ndarray) -> dict[str, np.ndarray]:
        """Return the answers but the log-mel, means over the windows of a clip."""
        windows = self._windows(waveform)
        step = max(1, int(BATCH_SECONDS / self.contract.window_seconds))
        sums: dict[str, np.ndarray] = {}
        for start in range(0, len(windows), step):
            found = self._answers.predict_on_batch(windows[start : start + step])
            del found["log_mel"]
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

    def _windows(self, waveform: np.ndarray) -> np.ndarray:
        """Cut a waveform into windows (windows, samples) that cover it."""
        length, hop = self._window_and_hop()
        hops = max(0, -(-(len(waveform) - length) // hop))
        padded = np.zeros(length + hops * hop, np.float32)
        padded[: len(waveform)] = waveform
        return np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
