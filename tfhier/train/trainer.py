"""The training step: augmentation and front end on the device, then Keras's step."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from tfhier import augment, losses
from tfhier.experiment import Experiment
from tfhier.taxonomy import Taxonomy


class Trainer(keras.Model):
    """Trains a tagger's body on waveforms; only the body is trained and kept.

    Inputs are waveforms (batch, samples), precomputed features, or a pair of waveforms
    and noise of the same shape. In this order the experiment asks for: roll, gain and
    noise on waveforms, stretched time and shifted pitch on power spectra, mixup on
    log-mels.

    With `ema_decay` an exponential moving average of the trained weights is kept beside
    them: a <- decay * a + (1 - decay) * w after every step behind `ema_start`, and a =
    w before. Batch normalisation's running statistics are averaged with
    `ema_statistics` only; the primates' published code does not. With
    `ema_reset_every` the weights become the average after every so many steps, and with
    `ema_warmup` the decay of the n-th update is at most (1 + n) / (10 + n), as there.
    (Its average begins with the initial weights, of which ten updates leave nothing.)

    Args:
        body: Functional model, log-mel or features -> {level: probabilities}.
        frontend: Layer waveform -> log-mel, or None for precomputed features.
        taxonomy: Taxonomy, for the consistency terms.
        experiment: Experiment. Its augmentation, EMA and `consistency_weight` count.
        seed: int. Of every random draw of a training step, see `reseed`.
    """

    def __init__(
        self,
        body: keras.Model,
        frontend: keras.layers.Layer | None,
        *,
        taxonomy: Taxonomy,
        experiment: Experiment,
        seed: int = 0,
    ):
        super().__init__(name="trainer")
        self.body = body
        self.frontend = frontend
        self.taxonomy = taxonomy
        self.experiment = experiment
        self.seed = seed
        self.augment_seeds = keras.random.SeedGenerator(seed)
        averaged = list(body.trainable_variables) if experiment.is_averaged else []
        if averaged and experiment.ema_statistics:
            averaged += [
                variable
                for variable in body.non_trainable_variables
                if variable.path.endswith(("moving_mean", "moving_variance"))
            ]
        # A plain list would be tracked, and each weight be there twice.
        self._averaged = tuple(averaged)
        self.averages = [
            keras.Variable(weight, trainable=False, name=f"average_{number}")
            for number, weight in enumerate(averaged)
        ]
        self.built = True

    def call(self, inputs, training=False):
        return self.body(inputs, training=training)

    def train_step(self, data):
        inputs, targets, weights = data
        features = inputs if self.frontend is None else self._log_mel(inputs)
        if self.experiment.mixup_alpha:
            features, targets, weights = augment.mixup(
                features,
                targets,
                weights,
                alpha=self.experiment.mixup_alpha,
                per=self.experiment.mixup_per,
                seed=self.augment_seeds,
            )
        if self.averages and self.experiment.ema_reset_every:
            self._reset()
        logs = super().train_step((features, targets, weights))
        if self.averages:
            self._average()
        return logs

    def predict_step(self, data):
        features = data if self.frontend is None else self.frontend(data)
        return super().predict_step(features)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        weight = self.experiment.consistency_weight
        if weight and len(self.taxonomy.levels) > 1:
            loss = loss + weight * losses.consistency(y_pred, self.taxonomy)
        return loss

    def _log_mel(self, inputs):
        """Return the log-mel of augmented waveforms."""
        wanted, seed = self.experiment, self.augment_seeds
        waveform, noise = inputs if isinstance(inputs, tuple) else (inputs, None)
        if wanted.roll_seconds:
            most = round(wanted.roll_seconds * self.frontend.sample_rate)
            waveform = augment.roll(waveform, max_samples=most, seed=seed)
        if wanted.gain_db:
            waveform = augment.gain(waveform, max_db=wanted.gain_db, seed=seed)
        if noise is not None:
            waveform = augment.add_noise(
                waveform,
                noise,
                rate=wanted.noise_rate,
                snr_db=wanted.noise_snr_db,
                seed=seed,
            )
        if not (wanted.time_stretch or wanted.pitch_quarter_tones):
            return self.frontend(waveform)
        power = self.frontend.power(waveform)
        if wanted.time_stretch:
            power = augment.stretch_time(
                power, max_change=wanted.time_stretch, seed=seed
            )
        if wanted.pitch_quarter_tones:
            power = augment.shift_pitch(
                power,
                max_quarter_tones=wanted.pitch_quarter_tones,
                first_bin=self.frontend.first_bin,
                seed=seed,
            )
        return self.frontend.from_power(power)

    def _average(self) -> None:
        """Move the averages after a step."""
        wanted = self.experiment
        updates = self.optimizer.iterations - wanted.ema_start
        decay = wanted.ema_decay
        if wanted.ema_warmup:
            number = ops.cast(updates, "float32")
            decay = ops.minimum(decay, (1.0 + number) / (10.0 + number))
        decay = ops.where(updates > 0, decay, 0.0)
        for average, weight in zip(self.averages, self._averaged, strict=True):
            average.assign(decay * average + (1.0 - decay) * weight)

    def _reset(self) -> None:
        """Before a step, let the weights be the average if that is due.

        Not after the step before it: that may end an epoch, and the weights that are
        then kept beside the average would be the average itself.
        """
        done = self.optimizer.iterations
        is_due = ops.logical_and(
            done > self.experiment.ema_start,
            ops.equal(done % self.experiment.ema_reset_every, 0),
        )
        for average, weight in zip(self.averages, self._averaged, strict=True):
            weight.assign(ops.where(is_due, average, weight))

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the body have the averaged weights for a while."""
        weights = self._averaged
        live = [np.array(weight) for weight in weights]
        for weight, average in zip(weights, self.averages, strict=True):
            weight.assign(average)
        try:
            yield
        finally:
            for weight, value in zip(weights, live, strict=True):
                weight.assign(value)

    def reseed(self, epoch: int) -> None:
        """Set every random generator (dropout, augmentation) for an epoch.

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
