"""Answers of a `.keras` file, computed by Keras."""

from pathlib import Path

import numpy as np

from tfhier import contract, members, saved, tagger
from tfhier.errors import InputError


class KerasEngine:
    """A tagger in a `.keras` file, see `tfhier.engines`.

    Args:
        path: Path of a file of `tfhier port` or of training.

    Raises:
        InputError: The file is broken, no tagger of waveforms, or contradicts its
            contract.
    """

    cuts_windows = False

    def __init__(self, path: Path):
        self.contract = contract.read(path)
        if not self.contract.sample_rate:
            raise InputError(
                f"{path} takes precomputed features, not sound: it cannot tag audio."
            )
        members.verify(path)
        self.model = saved.load(path, self.contract.taxonomy)
        self.frontend = tagger.frontend_of(self.model)
        self._check_frontend(path)
        self._answers = tagger.answers(self.model, self.contract.taxonomy)

    @property
    def min_samples(self) -> int:
        """Fewest samples that a waveform may have."""
        return self.frontend.min_samples

    def answers(
        self, waveforms: np.ndarray, *, only_scores: bool = False
    ) -> dict[str, np.ndarray]:
        """Return all that the model computes: arrays (batch, ...) by name.

        Args:
            waveforms: float32 array (batch, samples).
            only_scores: bool. Whether the levels' scores are enough.
        """
        found = self._answers.predict_on_batch(waveforms)
        if only_scores:
            return {level: found[level] for level in self.contract.taxonomy.levels}
        return found

    def log_mel(self, waveform: np.ndarray) -> np.ndarray:
        """Return the log-mel (frames, mels) of a waveform (samples,)."""
        return np.asarray(self.frontend(waveform[None]))[0]

    def _check_frontend(self, path: Path) -> None:
        """Raise an InputError if the front end is not what the contract promises."""
        promised = self.contract
        if self.frontend is None:
            fault = "it takes precomputed features"
        elif self.frontend.sample_rate != promised.sample_rate:
            fault = f"its front end takes {self.frontend.sample_rate} Hz"
        else:
            return
        window = promised.window_seconds
        length = f"windows of {window:g} s" if window else "whole clips"
        raise InputError(
            f"{path} contradicts itself: its contract promises {length} at "
            f"{promised.sample_rate} Hz, but {fault}. Save it again."
        )
