"""One training step against NumPy, and what is random in it against its seeds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfhier import augment, losses
from tfhier.augment import mixup
from tfhier.experiment import Experiment
from tfhier.layers import LogMel, SpecAugment
from tfhier.taxonomy import Taxonomy
from tfhier.train.trainer import Trainer

TREE = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\n")
FLAT = Taxonomy.flat(["a", "b", "c"])
CLIPS, UNITS = 8, 4


def body(taxonomy=TREE, *layers, shape=(UNITS,)) -> keras.Model:
    """A body of some layers and one dense layer, whose units are shared out."""
    keras.utils.set_random_seed(3)
    inputs = hidden = keras.Input(shape)
    for layer in layers:
        hidden = layer(hidden)
    units = sum(taxonomy.sizes.values())
    scores = keras.layers.Dense(
        units, activation="sigmoid", bias_initializer="random_normal", name="dense"
    )(hidden)
    outputs, start = {}, 0
    for level, size in taxonomy.sizes.items():
        outputs[level] = scores[:, start : start + size]
        start += size
    return keras.Model(inputs, outputs, name="body")


def trainer_of(
    own, frontend=None, *, taxonomy=TREE, rate=0.5, seed=0, **settings
) -> Trainer:
    """A trainer with plain SGD: the change of a weight is `-rate` times gradient."""
    trainer = Trainer(
        own, frontend, taxonomy=taxonomy, experiment=Experiment(**settings), seed=seed
    )
    trainer.compile(
        optimizer=keras.optimizers.SGD(rate),
        loss=losses.masked(taxonomy),
        loss_weights=losses.level_weights(taxonomy, fine_weight=0.7),
    )
    return trainer


def batch_of(rng, taxonomy=TREE, shape=(UNITS,)):
    """Inputs, targets and weights; half of the entries are observed, a clip has none.

    The unobserved targets are rubbish, and every level has a mask of its own.
    """
    inputs = rng.normal(size=(CLIPS, *shape)).astype(np.float32)
    targets, weights = {}, {}
    for level, size in taxonomy.sizes.items():
        targets[level] = rng.integers(0, 2, (CLIPS, size)).astype(np.float32)
        weights[level] = (rng.random((CLIPS, size)) < 0.5).astype(np.float32)
        weights[level][0], weights[level][1] = 0.0, 1.0
    return inputs, targets, weights


def step(trainer, batch) -> float:
    """Train one step as `fit` does; return the loss that it reports."""
    data = tf.data.Dataset.from_tensors(batch)
    return trainer.fit(data, shuffle=False, verbose=0).history["loss"][0]


def kernel_and_bias(own) -> list[np.ndarray]:
    return own.get_layer("dense").get_weights()


def by_hand(kernel, bias, batch, taxonomy=TREE, *, fine_weight=0.7):
    """Masked, weighted cross-entropy of a dense layer, and its two gradients."""
    inputs, targets, weights = batch
    kernel, bias = kernel.astype(np.float64), bias.astype(np.float64)
    scores = 1 / (1 + np.exp(-(inputs @ kernel + bias)))
    loss, errors, start = 0.0, np.zeros_like(scores), 0
    upper = len(taxonomy.levels) - 1
    for level, size in taxonomy.sizes.items():
        share = 1.0
        if upper:
            share = fine_weight if level == taxonomy.fine else (1 - fine_weight) / upper
        own = slice(start, start + size)
        p, t, w = scores[:, own], targets[level], weights[level]
        entropy = -t * np.log(p) - (1 - t) * np.log(1 - p)
        loss += share * (w * entropy).sum() / w.sum()
        errors[:, own] = share * w * (p - t) / w.sum()
        start += size
    return loss, inputs.T @ errors, errors.sum(axis=0)


def assert_same(mine, its):
    assert len(mine) == len(its) > 0
    assert all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))


def assert_close(mine, its, **tolerance):
    for a, b in zip(mine, its, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


# -- Loss and gradient -----------------------------------------------------------------


@pytest.mark.parametrize("taxonomy", [TREE, FLAT], ids=["two levels", "one level"])
def test_a_step_is_the_one_by_hand(taxonomy, rng):
    own = body(taxonomy)
    trainer = trainer_of(own, taxonomy=taxonomy, rate=0.5)
    for _ in range(3):
        batch = batch_of(rng, taxonomy)
        kernel, bias = kernel_and_bias(own)
        loss, by_kernel, by_bias = by_hand(kernel, bias, batch, taxonomy)
        assert step(trainer, batch) == pytest.approx(loss, rel=1e-5)
        expected = [kernel - 0.5 * by_kernel, bias - 0.5 * by_bias]
        assert_close(kernel_and_bias(own), expected, rtol=1e-5, atol=1e-6)
        assert np.abs(by_kernel).max() > 1e-2


def test_only_the_body_is_trained(rng):
    own = body()
    trainer = trainer_of(own, mixup_alpha=0.5)
    assert trainer.trainable_variables == own.trainable_variables


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_targets_that_are_not_observed_do_not_exist(alpha, rng):
    inputs, targets, weights = batch_of(rng)

    def trained(flipped):
        """Weights after 3 epochs of 2 steps, with some targets turned round."""
        shown = {
            level: np.where(flipped[level], 1 - targets[level], targets[level])
            for level in targets
        }
        own = body()
        trainer = trainer_of(own, mixup_alpha=alpha, consistency_weight=0.3)
        data = tf.data.Dataset.from_tensor_slices((inputs, shown, weights)).batch(4)
        trainer.fit(data, epochs=3, shuffle=False, verbose=0)
        return own.get_weights()

    unseen = {level: own == 0 for level, own in weights.items()}
    none = {level: np.zeros_like(own) for level, own in unseen.items()}
    assert_same(trained(unseen), trained(none))
    one = {level: own.copy() for level, own in none.items()}
    for own in one.values():
        own[1, 0] = True  # of the clip that is wholly observed
    pairs = zip(trained(one), trained(none), strict=True)
    assert not any(np.array_equal(a, b) for a, b in pairs)


def test_consistency_is_added_to_the_loss_and_to_the_gradient(rng):
    batch = batch_of(rng)
    plain, consistent = body(), body()
    kernel, bias = kernel_and_bias(plain)
    with tf.GradientTape() as tape:
        terms = losses.consistency(plain(batch[0]), TREE)
    gradients = tape.gradient(terms, plain.trainable_variables)
    assert float(terms) > 0.05
    loss = step(trainer_of(plain), batch)
    got = step(trainer_of(consistent, consistency_weight=0.25), batch)
    assert got == pytest.approx(loss + 0.25 * float(terms), rel=1e-5)
    expected = [
        weight - 0.5 * 0.25 * gradient.numpy()
        for weight, gradient in zip(kernel_and_bias(plain), gradients, strict=True)
    ]
    assert_close(kernel_and_bias(consistent), expected, rtol=1e-5, atol=1e-6)


def test_one_level_has_nothing_to_be_consistent_with(rng):
    batch = batch_of(rng, FLAT)
    alone, asked = body(FLAT), body(FLAT)
    step(trainer_of(alone, taxonomy=FLAT), batch)
    step(trainer_of(asked, taxonomy=FLAT, consistency_weight=9.0), batch)
    assert_same(asked.get_weights(), alone.get_weights())


# -- Mixup -----------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.2, 3.0])
def test_mixup_mixes_inputs_targets_and_weights(alpha, rng):
    batch = batch_of(rng)
    own = body()
    trainer = trainer_of(own, mixup_alpha=alpha)
    trainer.reseed(0)
    twin = keras.random.SeedGenerator(0)
    twin.state.assign(trainer.augment_seeds.state)
    mixed = keras.tree.map_structure(np.asarray, mixup(*batch, alpha=alpha, seed=twin))
    kernel, bias = kernel_and_bias(own)
    loss, by_kernel, by_bias = by_hand(kernel, bias, mixed)
    unmixed, _, _ = by_hand(kernel, bias, batch)
    assert step(trainer, batch) == pytest.approx(loss, rel=1e-4)
    expected = [kernel - 0.5 * by_kernel, bias - 0.5 * by_bias]
    assert_close(kernel_and_bias(own), expected, rtol=1e-4, atol=1e-5)
    assert abs(loss - unmixed) > 1e-3


# -- What differs between training and use ---------------------------------------------


def test_batch_normalisation_learns_its_statistics_in_training_alone(rng):
    norm = keras.layers.BatchNormalization(momentum=0.9, name="norm")
    own = body(TREE, norm)
    trainer = trainer_of(own)
    batch = batch_of(rng)
    batch[0][:] = 5.0 + 2.0 * batch[0]
    trainer.predict(batch[0], verbose=0)
    trainer.test_on_batch(*batch)
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(UNITS))
    step(trainer, batch)
    expected = 0.1 * batch[0].mean(axis=0)
    np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-5)
    expected = 0.9 + 0.1 * batch[0].var(axis=0)
    np.testing.assert_allclose(norm.moving_variance, expected, rtol=1e-5)


def test_dropout_is_for_training_alone(rng):
    own = body(TREE, keras.layers.Dropout(0.5, seed=1))
    trainer = trainer_of(own, rate=0.0)
    batch = batch_of(rng)
    whole, _, _ = by_hand(*kernel_and_bias(own), batch)
    assert abs(step(trainer, batch) - whole) > 1e-2
    told = trainer.test_on_batch(*batch, return_dict=True)
    assert told["loss"] == pytest.approx(whole, rel=1e-5)
    scores = trainer.predict(batch[0], verbose=0)
    kernel, bias = kernel_and_bias(own)
    expected = 1 / (1 + np.exp(-(batch[0] @ kernel + bias)))
    got = np.concatenate([scores["fine"], scores["coarse"]], axis=1)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


# -- Seeds -----------------------------------------------------------------------------


def spec_augmented():
    augment = SpecAugment(time_width=6, mel_width=3, seed=1)
    return body(TREE, augment, keras.layers.Flatten(), shape=(12, UNITS))


RANDOM = {
    "dropout": (lambda: body(TREE, keras.layers.Dropout(0.5, seed=1)), {}),
    "SpecAugment": (spec_augmented, {}),
    "mixup": (body, {"mixup_alpha": 0.5}),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_draws_are_a_function_of_seed_and_epoch(kind, rng):
    make, options = RANDOM[kind]

    def epoch_of(seed):
        """A function that trains an epoch of that seed and returns its losses."""
        # Nothing is learnt, so a loss tells of nothing but the draws.
        own = make()
        batch = batch_of(np.random.default_rng(1), shape=own.input_shape[1:])
        trainer = trainer_of(own, rate=0.0, seed=seed, **options)
        data = tf.data.Dataset.from_tensors(batch).repeat(2)

        def epoch(number):
            told = []
            keep = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda _, logs: told.append(float(logs["loss"]))
            )
            trainer.reseed(number)
            trainer.fit(data, shuffle=False, verbose=0, callbacks=[keep])
            return told

        return epoch

    epoch = epoch_of(5)
    first, second = epoch(0), epoch(1)
    assert epoch(0) == first
    assert epoch(1) == second
    assert epoch_of(5)(1) == second
    other = epoch_of(6)(0)
    # A second figure is the mean of both steps: equal to the first if the draws were.
    assert len({*first, *second, *other}) == 6


def test_every_generator_has_draws_of_its_own():
    dropouts = [keras.layers.Dropout(0.5) for _ in range(2)]
    trainer = trainer_of(body(TREE, *dropouts), mixup_alpha=0.5)
    generators = [trainer.augment_seeds, *(item.seed_generator for item in dropouts)]
    trainer.reseed(0)
    states = [tuple(generator.state.numpy()) for generator in generators]
    assert len(set(states)) == 3
    trainer.reseed(1)
    later = [tuple(generator.state.numpy()) for generator in generators]
    assert not set(states) & set(later)


# -- Waveforms -------------------------------------------------------------------------


def log_mel_layer():
    return LogMel(
        sample_rate=8_000,
        num_fft=128,
        hop_length=64,
        num_mels=10,
        min_hertz=200,
        max_hertz=4_000,
    )


def on_log_mel():
    """Decibels brought into a range that a dense layer can use."""
    layers = keras.layers
    return body(
        TREE, layers.Rescaling(0.02), layers.GlobalAveragePooling1D(), shape=(None, 10)
    )


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_waveforms_train_and_score_as_their_log_mels_do(alpha, rng):
    frontend = log_mel_layer()
    waveforms, targets, weights = batch_of(rng, shape=(640,))
    # Clips of different loudness, or their log-mels would be all alike.
    waveforms *= 10.0 ** -np.arange(CLIPS)[:, None] / 10
    log_mels = frontend(waveforms).numpy()
    of_waveforms, of_log_mels = on_log_mel(), on_log_mel()
    before = of_waveforms.get_weights()
    options = {"mixup_alpha": alpha, "seed": 2}
    heard = trainer_of(of_waveforms, frontend, **options)
    given = trainer_of(of_log_mels, **options)
    for _ in range(2):
        loss = step(heard, (waveforms, targets, weights))
        assert loss == pytest.approx(step(given, (log_mels, targets, weights)))
    assert_close(
        of_waveforms.get_weights(), of_log_mels.get_weights(), rtol=1e-4, atol=1e-6
    )
    assert np.abs(of_waveforms.get_weights()[0] - before[0]).max() > 1e-2
    scores = heard.predict(waveforms, verbose=0)
    for level, expected in given.predict(log_mels, verbose=0).items():
        np.testing.assert_allclose(scores[level], expected, rtol=1e-5)


# -- Augmentation of waveforms ---------------------------------------------------------


ALL = {
    "roll_seconds": 0.01,
    "gain_db": 6.0,
    "noise_rate": 0.7,
    "noise_label": "c",
    "noise_snr_db": (-3.0, 3.0),
    "time_stretch": 0.2,
    "pitch_quarter_tones": 4,
}


def test_augmentation_is_roll_gain_noise_stretch_and_pitch(rng):
    frontend = log_mel_layer()
    assert frontend.first_bin > 0
    trainer = trainer_of(on_log_mel(), frontend, **ALL)
    trainer.reseed(0)
    seed = keras.random.SeedGenerator(0)
    seed.state.assign(trainer.augment_seeds.state)
    waveforms, noise = rng.normal(size=(2, CLIPS, 640)).astype(np.float32)
    expected = augment.roll(waveforms, max_samples=80, seed=seed)
    expected = augment.gain(expected, max_db=6.0, seed=seed)
    expected = augment.add_noise(
        expected, noise, rate=0.7, snr_db=(-3.0, 3.0), seed=seed
    )
    power = augment.stretch_time(frontend.power(expected), max_change=0.2, seed=seed)
    power = augment.shift_pitch(
        power, max_quarter_tones=4, first_bin=frontend.first_bin, seed=seed
    )
    found = trainer._log_mel((waveforms, noise))
    np.testing.assert_array_equal(found, frontend.from_power(power))


def test_without_augmentation_the_front_end_stands_alone(rng):
    frontend = log_mel_layer()
    trainer = trainer_of(on_log_mel(), frontend)
    waveforms = rng.normal(size=(CLIPS, 640)).astype(np.float32)
    before = np.array(trainer.augment_seeds.state)
    np.testing.assert_array_equal(trainer._log_mel(waveforms), frontend(waveforms))
    np.testing.assert_array_equal(trainer.augment_seeds.state, before)


@pytest.mark.parametrize(
    "names",
    [
        ("roll_seconds",),
        ("gain_db",),
        ("noise_rate", "noise_label"),
        ("time_stretch",),
        ("pitch_quarter_tones",),
    ],
)
def test_each_augmentation_changes_the_step_and_no_score(names, rng):
    frontend = log_mel_layer()
    waveforms, targets, weights = batch_of(rng, shape=(640,))
    waveforms *= 10.0 ** -np.arange(CLIPS)[:, None] / 10
    waveforms *= np.linspace(0, 1, 640)[None, :].astype(np.float32)
    noise = rng.normal(size=waveforms.shape).astype(np.float32)
    inputs = (waveforms, noise) if "noise_rate" in names else waveforms
    plain, changed = on_log_mel(), on_log_mel()
    loss = step(trainer_of(plain, frontend), (waveforms, targets, weights))
    trainer = trainer_of(changed, frontend, **{name: ALL[name] for name in names})
    scores = trainer.predict(waveforms, verbose=0)["fine"]
    expected = trainer_of(on_log_mel(), frontend).predict(waveforms, verbose=0)["fine"]
    np.testing.assert_array_equal(scores, expected)
    assert step(trainer, (inputs, targets, weights)) != loss
    assert not np.array_equal(changed.get_weights()[0], plain.get_weights()[0])
