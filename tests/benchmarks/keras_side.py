"""What is timed of the project: a ported tagger, and a training step of it."""

from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from tfhier import losses, tagger
from tfhier.experiment import Experiment
from tfhier.pretrained import panns
from tfhier.train.optimizer import adam
from tfhier.train.trainer import Trainer


class Side:
    """A tagger as a user has it, in graph mode.

    Args:
        threads: int > 0. That an operation may use, and operations side by side.
        tensors: State dict of the network it is compared with.
    """

    def __init__(self, threads: int, tensors: Mapping[str, np.ndarray]):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self._ported = panns.convert(tensors)
        self._graph = tf.function(lambda waveform: self._ported.tagger(waveform))
        self.work: Callable[[], object] | None = None

    def answer(self, waveform: np.ndarray) -> np.ndarray:
        """Return probabilities (batch, classes) of waveforms (batch, samples)."""
        return self._graph(waveform)[self._ported.contract.taxonomy.fine].numpy()

    def prepare_inference(self, waveform: np.ndarray) -> None:
        """Let `work` be to answer to waveforms."""
        self.work = lambda: self.answer(waveform)

    def prepare_training(self, waveform: np.ndarray, targets: np.ndarray) -> None:
        """Let `work` be a training step on waveforms and targets."""
        taxonomy = self._ported.contract.taxonomy
        model = self._ported.tagger
        trainer = Trainer(
            tagger.body_of(model),
            tagger.frontend_of(model),
            taxonomy=taxonomy,
            experiment=Experiment(head="flat", spec_augment=False, mixup_alpha=0.0),
        )
        trainer.compile(
            optimizer=adam(1e-3, weight_decay=0.0, decoupled=False),
            loss=losses.masked(taxonomy),
            loss_weights=losses.level_weights(taxonomy, fine_weight=1.0),
        )
        batch = (
            waveform,
            {taxonomy.fine: targets},
            {taxonomy.fine: np.ones_like(targets)},
        )
        self.work = lambda: trainer.train_on_batch(*batch)

    def version(self) -> str:
        return f"Keras {keras.__version__} on TensorFlow {tf.__version__}"
