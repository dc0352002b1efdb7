"""What a port of published weights gives."""

from dataclasses import dataclass

import keras

from tfhier import tagger
from tfhier.pretrained.rules import Skipped
from tfhier.taxonomy import Taxonomy


@dataclass(frozen=True, kw_only=True)
class Ported:
    """A published network as a tagger.

    Args:
        tagger: Model from waveforms (batch, samples) to {level: probabilities}.
        taxonomy: Taxonomy that it answers for.
        skipped: Tuple of Skipped. Tensors that were not used.
        notes: Tuple of str. What was found and what had to be assumed, in sentences.
        window_seconds: float. Length of sound that it takes at a time; 0 for whole
            clips.
        hop_seconds: float. From window to window.
    """

    tagger: keras.Model
    taxonomy: Taxonomy
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    window_seconds: float = 0.0
    hop_seconds: float = 0.0

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveforms that the tagger takes, in Hz."""
        return tagger.frontend_of(self.tagger).sample_rate
