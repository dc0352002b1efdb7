"""Answers of a `.tflite` file, computed by LiteRT: no TensorFlow, no Keras."""

from pathlib import Path

import numpy as np

from tfhier import console, contract, members
from tfhier.errors import InputError


class LiteRTEngine:
    """A tagger exported to TFLite, see `tfhier.engines`.

    Waveforms are computed one by one: then a clip's scores do not depend, in any bit,
    on what stands beside it.

    Args:
        path: Path of the `.tflite` file.
        num_threads: int > 0. Threads that share the work of one clip.

    Raises:
        InputError: The file is damaged or has no contract, or LiteRT is not installed.
    """

    cuts_windows = False

    def __init__(self, path: Path, *, num_threads: int = 1):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise InputError(
                "To run .tflite files LiteRT is needed: pip install 'tfhier[detect]'"
            ) from None
        self._path = path
        members.verify(path)
        self.contract = contract.read(path)
        try:
            with console.without_native_messages():
                self._interpreter = Interpreter(
                    model_path=str(path), num_threads=num_threads
                )
                self._interpreter.allocate_tensors()
                self._run = self._interpreter.get_signature_runner("serving_default")
        except (ValueError, RuntimeError) as error:
            raise members.damaged(path, str(error).splitlines()[0]) from None
        self.min_samples = self.contract.min_samples

    def answers(
        self, waveforms: np.ndarray, *, only_scores: bool = False
    ) -> dict[str, np.ndarray]:
        """Return scores: arrays (batch, labels) by level; a file has nothing else."""
        del only_scores  # there is nothing to leave out
        try:
            found = [self._run(waveform=each[None]) for each in waveforms]
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{self._path} cannot compute a waveform of {waveforms.shape[1]} "
                f"samples ({str(error).splitlines()[0]:.200}). Where it is long, hear "
                "it in windows: tfhier.load(..., window_seconds=10), --window 10"
            ) from None
        return {
            level: np.concatenate([np.array(each[level]) for each in found])
            for level in self.contract.taxonomy.levels
        }
