"""The training step: front end and mixup on the device, then Keras's own step."""

import keras
import numpy as np

from tfhier import losses
from tfhier.augment import mixup
from tfhier.taxonomy import Taxonomy


class Trainer(keras.Model):
    """Trains a tagger's body on waveforms; only the body is trained and kept.

    Args:
        body: Functional model, log-mel or features -> {level: probabilities}.
        frontend: Layer waveform -> log-mel, or None for precomputed features.
        taxonomy: Taxonomy, for the consistency terms.
        mixup_alpha: float >= 0; 0 for no mixup.
        consistency_weight: float >= 0; weight of `losses.consistency`.
        seed: int. Of every random draw of a training step, see `reseed`.
    """

    def __init__(
        self,
        body: keras.Model,
        frontend: keras.layers.Layer | None,
        *,
        taxonomy: Taxonomy,
        mixup_alpha: float = 0.0,
        consistency_weight: float = 0.0,
        seed: int = 0,
    ):
        super().__init__(name="trainer")
        self.body = body
        self.frontend = frontend
        self.taxonomy = taxonomy
        self.mixup_alpha = mixup_alpha
        self.consistency_weight = consistency_weight
        self.seed = seed
        self.mixup_seeds = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs, training=False):
        return self.body(inputs, training=training)

    def train_step(self, data):
        inputs, targets, weights = data
        features = inputs if self.frontend is None else self.frontend(inputs)
        if self.mixup_alpha:
            features, targets, weights = mixup(
                features,
                targets,
                weights,
                alpha=self.mixup_alpha,
                seed=self.mixup_seeds,
            )
        return super().train_step((features, targets, weights))

    def predict_step(self, data):
        features = data if self.frontend is None else self.frontend(data)
        return super().predict_step(features)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if self.consistency_weight and len(self.taxonomy.levels) > 1:
            terms = losses.consistency(y_pred, self.taxonomy)
            loss = loss + self.consistency_weight * terms
        return loss

    def reseed(self, epoch: int) -> None:
        """Set every random generator (dropout, SpecAugment, mixup) for an epoch.

        Keras does not save the states of seed generators. Making them a function of
        (seed, epoch) leaves nothing to save: a resumed run draws what it would have
        drawn.
        """
        states = [
            variable
            for variable in self.non_trainable_variables
            if variable.path.endswith("seed_generator_state")
        ]
        draws = np.random.default_rng((self.seed, epoch)).integers(
            0, 2**31, size=(len(states), 2)
        )
        for state, draw in zip(states, draws, strict=True):
            state.assign(draw.astype(state.dtype))
