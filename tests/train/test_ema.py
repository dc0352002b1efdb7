"""The moving average of the weights: against a loop, and what it leaves alone."""

import keras
import numpy as np
import pytest

from tests.train.test_trainer import (
    TREE,
    assert_close,
    assert_same,
    batch_of,
    body,
    step,
    trainer_of,
)
from tfhier import losses
from tfhier.experiment import Experiment
from tfhier.train.trainer import Trainer

STEPS = 10


def adam_trainer(own, **settings) -> Trainer:
    trainer = Trainer(own, None, taxonomy=TREE, experiment=Experiment(**settings))
    trainer.compile(
        optimizer=keras.optimizers.Adam(0.05),
        loss=losses.masked(TREE),
        loss_weights=losses.level_weights(TREE, fine_weight=0.7),
    )
    return trainer


def arrays(variables) -> list[np.ndarray]:
    return [np.array(variable) for variable in variables]


@pytest.mark.parametrize("start", [0, 3])
def test_averages_are_those_of_a_loop(start, rng):
    own = body()
    trainer = trainer_of(own, ema_decay=0.8, ema_start=start)
    expected = arrays(own.trainable_variables)
    assert_same(arrays(trainer.averages), expected)
    for number in range(1, STEPS + 1):
        step(trainer, batch_of(rng))
        weights = arrays(own.trainable_variables)
        if number <= start:
            expected = weights
            assert_same(arrays(trainer.averages), weights)
            continue
        pairs = zip(expected, weights, strict=True)
        expected = [0.8 * average + 0.2 * weight for average, weight in pairs]
        assert_close(arrays(trainer.averages), expected, rtol=1e-5, atol=1e-6)
        assert np.abs(expected[0] - weights[0]).max() > 1e-3


@pytest.mark.parametrize("start", [0, 3])
def test_the_decay_warms_up_as_in_the_published_code(start, rng):
    """Decay min(0.5, (1 + n) / (10 + n)): 2 / 11, 3 / 12, ... and 0.5 from n = 8 on.

    With 0.995 the published code's decays at n = 1, 2, 3 and 10 are .1818, .25, .3077
    and .55, and it averages 1, -2 and 2, -1 to 1.8182, -1.1818.
    """
    own = body()
    trainer = trainer_of(own, ema_decay=0.5, ema_start=start, ema_warmup=True)
    expected = arrays(own.trainable_variables)
    for number in range(1 - start, 12):
        step(trainer, batch_of(rng))
        weights = arrays(own.trainable_variables)
        decay = min(0.5, (1 + number) / (10 + number)) if number > 0 else 0.0
        pairs = zip(expected, weights, strict=True)
        expected = [decay * old + (1 - decay) * new for old, new in pairs]
        assert_close(arrays(trainer.averages), expected, rtol=1e-5, atol=1e-6)


def test_an_average_changes_nothing_of_the_training(rng):
    plain, followed = body(), body()
    trainers = trainer_of(plain), trainer_of(followed, ema_decay=0.8, ema_start=1)
    for _ in range(4):
        batch = batch_of(rng)
        assert step(trainers[0], batch) == step(trainers[1], batch)
    assert_same(plain.get_weights(), followed.get_weights())


def test_a_reset_makes_the_weights_the_average_and_keeps_the_moments(rng):
    """After every third step behind the fourth, 6 and 9, and at no other.

    It is seen at the beginning of the next step: what is kept when an epoch ends are
    the weights as they were trained.
    """
    own, twin = body(), body()
    settings = {"ema_decay": 0.8, "ema_start": 4}
    trainer = adam_trainer(own, **settings, ema_reset_every=3)
    by_hand = adam_trainer(twin, **settings)
    for number in range(1, 12):
        batch = batch_of(rng)
        if number - 1 in (6, 9):
            for weight, average in zip(
                twin.trainable_variables, by_hand.averages, strict=True
            ):
                weight.assign(average)
        step(trainer, batch)
        step(by_hand, batch)
        close = {"rtol": 1e-4, "atol": 1e-6}
        assert_close(own.get_weights(), twin.get_weights(), **close)
        assert_close(arrays(trainer.averages), arrays(by_hand.averages), **close)
        moments = (arrays(each.optimizer.variables) for each in (trainer, by_hand))
        assert_close(*moments, **close)
        pairs = zip(own.get_weights(), arrays(trainer.averages), strict=True)
        is_same = all(np.array_equal(a, b) for a, b in pairs)
        assert is_same == (number <= 4)


def test_averages_are_lent_and_given_back(rng):
    own = body()
    trainer = trainer_of(own, ema_decay=0.8)
    step(trainer, batch_of(rng))
    live, averages = own.get_weights(), arrays(trainer.averages)
    assert not np.array_equal(live[0], averages[0])
    inputs = batch_of(rng)[0]
    before = trainer.predict(inputs, verbose=0)["fine"]
    with trainer.averaged():
        assert_same(own.get_weights(), averages)
        within = trainer.predict(inputs, verbose=0)["fine"]
    assert_same(own.get_weights(), live)
    assert np.abs(within - before).max() > 1e-3
    np.testing.assert_array_equal(trainer.predict(inputs, verbose=0)["fine"], before)
    with pytest.raises(RuntimeError, match="inside"), trainer.averaged():
        raise RuntimeError("inside")
    assert_same(own.get_weights(), live)
    assert_same(arrays(trainer.averages), averages)


def test_statistics_of_batch_normalisation_are_not_averaged(rng):
    norm = keras.layers.BatchNormalization(name="norm")
    own = body(TREE, norm)
    trainer = trainer_of(own, ema_decay=0.9)
    shapes = [average.shape for average in trainer.averages]
    assert shapes == [weight.shape for weight in own.trainable_variables]
    assert len(shapes) == len(own.weights) - 2
    for _ in range(2):
        step(trainer, batch_of(rng))
    live = np.array(norm.moving_mean), np.array(norm.moving_variance)
    assert np.abs(live[0]).max() > 0
    with trainer.averaged():
        np.testing.assert_array_equal(norm.moving_mean, live[0])
        np.testing.assert_array_equal(norm.moving_variance, live[1])


def test_statistics_are_averaged_if_that_is_asked_for(rng):
    """With `ema_statistics` moving mean and variance follow the same rule."""
    norm = keras.layers.BatchNormalization(momentum=0.5, name="norm")
    own = body(TREE, norm)
    trainer = trainer_of(own, ema_decay=0.8, ema_start=2, ema_statistics=True)
    expected = None
    for number in range(1, 6):
        step(trainer, batch_of(rng))
        live = np.array(norm.moving_mean), np.array(norm.moving_variance)
        late = number > 2
        expected = [
            0.8 * old + 0.2 * new if late else new
            for old, new in zip(expected or live, live, strict=True)
        ]
    with trainer.averaged():
        np.testing.assert_allclose(norm.moving_mean, expected[0], rtol=1e-5)
        np.testing.assert_allclose(norm.moving_variance, expected[1], rtol=1e-5)
    np.testing.assert_array_equal(norm.moving_mean, live[0])


def test_what_is_frozen_has_no_average(rng):
    frozen = keras.layers.Dense(4, trainable=False, name="frozen")
    trainer = trainer_of(body(TREE, frozen), ema_decay=0.9)
    assert len(trainer.averages) == 2


def test_without_an_average_there_is_nothing_to_keep(rng):
    with_it = trainer_of(body(), ema_decay=0.9, ema_start=3, ema_reset_every=2)
    without = trainer_of(body(), ema_decay=0.0, ema_start=3)
    assert without.averages == []
    assert len(with_it.variables) == len(without.variables) + 2
    step(without, batch_of(rng))
    names = [variable.name for variable in without.variables]
    assert not [name for name in names if name.startswith("average")]
