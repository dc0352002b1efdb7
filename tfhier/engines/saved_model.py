"""Answers of an exported SavedModel, computed by TensorFlow without Keras."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfhier import contract, members
from tfhier.errors import InputError


class SavedModelEngine:
    """A tagger exported as a SavedModel, see `tfhier.engines`.

    Its graph cuts a clip into the contract's windows by itself.

    Args:
        path: Path of its folder, with `saved_model.pb`.

    Raises:
        InputError: A file of it is missing or altered, or it has no contract.
    """

    cuts_windows = True

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
        scores = self.ask("serving_default", waveform=waveforms)
        # In every process signatures answer in another order.
        found = {level: scores[level] for level in self.contract.taxonomy.levels}
        if not only_scores:
            found |= self.ask("embedding", waveform=waveforms)
        return found

    def ask(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """Return what a signature answers: arrays (batch, ...) by name.

        Raises:
            InputError: The graph refuses the inputs.
        """
        taken = {name: tf.constant(each) for name, each in inputs.items()}
        try:
            found = self._signatures[signature](**taken)
        except tf.errors.InvalidArgumentError as error:
            said = error.message.partition("assertion failed: [")[2].partition("]")[0]
            raise InputError(
                f"The model refuses the clip: {said or error.message:.300}"
            ) from None
        return {name: values.numpy() for name, values in found.items()}

    @property
    def signatures(self) -> tuple[str, ...]:
        """Names of what can be asked."""
        return tuple(sorted(self._signatures))
