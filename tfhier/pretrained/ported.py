"""What a port of published weights gives."""

from dataclasses import dataclass

import keras

from tfhier.contract import Contract
from tfhier.pretrained.rules import Skipped


@dataclass(frozen=True, kw_only=True)
class Ported:
    """A published network as a tagger.

    Args:
        tagger: Model from waveforms (batch, samples) to {level: probabilities}.
        contract: Contract. What it must be given and what its numbers mean; whose the
            weights are is filled in by `porting.port`.
        skipped: Tuple of Skipped. Tensors that were not used.
        notes: Tuple of str. What was found and what had to be assumed, in sentences.
    """

    tagger: keras.Model
    contract: Contract
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
