"""Answers of an exported SavedModel, computed by TensorFlow without Keras."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfhier import contract, members


class SavedModelEngine:
    """A tagger exported as a SavedModel, see `tfhier.engines`.

    Args:
        path: Path of its folder, with `saved_model.pb`.

    Raises:
        InputError: A file of it is missing or altered, or it has no contract.
    """

    def __init__(self, path: Path):
        members.verify(path)
        self.contract = contract.read(path)
        self.min_samples = self.contract.min_samples
        # Its variables live as long as the object they were loaded as.
        self._loaded = tf.saved_model.load(str(path))
        self._signatures = self._loaded.signatures

    def answers(
        self, waveforms: np.ndarray, *, only_scores: bool = False
    ) -> dict[str, np.ndarray]:
        """Return scores and embedding: arrays (batch, ...) by name."""
        taken = tf.constant(waveforms)
        scores = self._signatures["serving_default"](waveform=taken)
        # Signatures answer in the order of the alphabet.
        found = {level: scores[level] for level in self.contract.taxonomy.levels}
        if not only_scores:
            found |= self._signatures["embedding"](waveform=taken)
        return {name: values.numpy() for name, values in found.items()}
