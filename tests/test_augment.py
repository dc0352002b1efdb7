"""Mixup mixes what was observed; SpecAugment's stripes are those of the papers."""

import keras
import numpy as np
import pytest

from tfhier.augment import mixup
from tfhier.layers import SpecAugment
from tfhier.losses import MaskedBinaryCrossentropy

# -- Mixup ---------------------------------------------------------------------------


def batch(rng, *, clips: int = 6, labels: int = 5):
    """Features, targets and 0/1 weights; unobserved targets are rubbish."""
    features = rng.normal(size=(clips, 7, 3)).astype(np.float32)
    targets = rng.integers(0, 2, (clips, labels)).astype(np.float32)
    weights = (rng.uniform(size=(clips, labels)) < 0.5).astype(np.float32)
    targets = np.where(weights > 0, targets, 0.7).astype(np.float32)
    return features, {"fine": targets}, {"fine": weights}


@pytest.fixture
def shares(monkeypatch):
    """Sets the lambdas that mixup draws."""

    def fix(values: np.ndarray) -> None:
        monkeypatch.setattr(
            keras.random,
            "beta",
            lambda shape, *_, **__: keras.ops.convert_to_tensor(values, "float32"),
        )

    return fix


def mix(features, targets, weights, *, alpha: float = 1.0, seed: int = 4, **settings):
    mixed = mixup(
        features,
        targets,
        weights,
        alpha=alpha,
        seed=keras.random.SeedGenerator(seed),
        **settings,
    )
    return keras.tree.map_structure(np.asarray, mixed)


def test_mixup_with_all_of_itself_is_the_identity(rng, shares):
    shares(np.ones(6))
    features, targets, weights = batch(rng)
    mixed_features, mixed_targets, mixed_weights = mix(features, targets, weights)
    np.testing.assert_array_equal(mixed_features, features)
    np.testing.assert_array_equal(mixed_weights["fine"], weights["fine"])
    seen = weights["fine"] > 0
    np.testing.assert_array_equal(mixed_targets["fine"][seen], targets["fine"][seen])


def test_mixup_with_nothing_of_itself_is_the_next_clip(rng, shares):
    shares(np.zeros(6))
    features, targets, weights = batch(rng)
    mixed_features, _, mixed_weights = mix(features, targets, weights)
    np.testing.assert_array_equal(mixed_features, np.roll(features, -1, axis=0))
    np.testing.assert_array_equal(
        mixed_weights["fine"], np.roll(weights["fine"], -1, axis=0)
    )


def test_mixup_by_hand(shares):
    """Seen in both clips, in the first, in the second, in neither."""
    shares([0.75, 0.5])
    features = np.array([[1.0, 2.0], [5.0, -2.0]], np.float32)
    targets = {"fine": np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])}
    weights = {"fine": np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]])}
    features, targets, weights = mix(features, targets, weights)
    np.testing.assert_allclose(features, [[2.0, 1.0], [3.0, 0.0]])
    np.testing.assert_allclose(weights["fine"][0], [1.0, 0.75, 0.25, 0.0])
    np.testing.assert_allclose(targets["fine"][0], [0.75, 1.0, 1.0, 0.0])


def test_loss_of_a_mixture_is_the_mixture_of_the_masked_losses(rng):
    """For every set of predictions; lambdas are read off the mixed features."""
    features, targets, weights = batch(rng)
    features[:, 0, 0] = np.arange(6)
    mixed_features, mixed_targets, mixed_weights = mix(features, targets, weights)
    after = np.roll(np.arange(6), -1)
    share = (mixed_features[:, 0, 0] - after) / (np.arange(6) - after)
    assert ((share > 0) & (share < 1)).all()
    scores = rng.uniform(0.05, 0.95, (6, 5)).astype(np.float32)
    entry = MaskedBinaryCrossentropy(reduction="none")

    def total(target: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return (weight * np.asarray(entry(target, scores))).sum(axis=1)

    own = total(targets["fine"], weights["fine"])
    other = total(targets["fine"][after], weights["fine"][after])
    np.testing.assert_allclose(
        total(mixed_targets["fine"], mixed_weights["fine"]),
        share * own + (1 - share) * other,
        rtol=1e-4,
    )


def test_mixed_targets_and_weights_stay_in_range(rng):
    features, targets, weights = batch(rng, clips=64)
    _, mixed_targets, mixed_weights = mix(features, targets, weights, alpha=0.3)
    for values in (mixed_targets["fine"], mixed_weights["fine"]):
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-6
    unseen = np.maximum(weights["fine"], np.roll(weights["fine"], -1, axis=0)) == 0
    assert unseen.any()
    np.testing.assert_array_equal(mixed_weights["fine"] == 0, unseen)
    np.testing.assert_array_equal(mixed_targets["fine"][unseen], 0)


def test_mixup_draws_for_every_clip_and_again_for_the_same_seed(rng):
    features, targets, weights = batch(rng, clips=32)
    features = np.broadcast_to(
        np.arange(32, dtype=np.float32)[:, None, None], features.shape
    )
    first, *_ = mix(features, targets, weights)
    again, *_ = mix(features, targets, weights)
    other, *_ = mix(features, targets, weights, seed=5)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    shares = first[:-1, 0, 0] - np.arange(31)  # 1 - lambda
    assert shares.std() > 0.1


def test_a_batch_may_share_one_draw(rng):
    """Lambda is read off a ramp; features, targets and weights share it."""
    features, targets, weights = batch(rng, clips=32)
    features[:, 0, 0] = np.arange(32)
    mixed = [
        mix(features, targets, weights, per="batch", seed=seed) for seed in range(40)
    ]
    drawn = []
    for mixed_features, mixed_targets, mixed_weights in mixed:
        share = 1 - mixed_features[0, 0, 0]
        drawn.append(share)

        def blend(values, share=share):
            return share * values + (1 - share) * np.roll(values, -1, axis=0)

        np.testing.assert_allclose(mixed_features, blend(features), atol=2e-5)
        np.testing.assert_allclose(
            mixed_weights["fine"], blend(weights["fine"]), atol=1e-5
        )
        np.testing.assert_allclose(
            mixed_targets["fine"] * mixed_weights["fine"],
            blend(weights["fine"] * targets["fine"]),
            atol=1e-5,
        )
    assert 0 <= min(drawn) < 0.2
    assert 0.8 < max(drawn) <= 1


# -- SpecAugment ---------------------------------------------------------------------


def stripes(shape, *, calls: int = 1, **settings) -> tuple[np.ndarray, np.ndarray]:
    """Boolean masks (clips, frames) and (clips, mels) of what was set to zero."""
    layer = SpecAugment(**{"seed": 11, **settings})
    ones = np.ones(shape, np.float32)
    out = np.concatenate([layer(ones, training=True).numpy() for _ in range(calls)])
    return (out == 0).all(axis=2), (out == 0).all(axis=1)


def runs(mask: np.ndarray) -> np.ndarray:
    """Number of runs of True in each row."""
    padded = np.pad(mask, [(0, 0), (1, 0)])
    return (padded[:, 1:] & ~padded[:, :-1]).sum(axis=1)


def test_spec_augment_is_the_identity_at_inference(rng):
    inputs = rng.normal(size=(2, 100, 64)).astype(np.float32)
    np.testing.assert_array_equal(SpecAugment()(inputs), inputs)
    np.testing.assert_array_equal(SpecAugment()(inputs, training=False), inputs)


def test_spec_augment_leaves_what_it_does_not_mask(rng):
    inputs = rng.normal(size=(8, 100, 64)).astype(np.float32)
    out = SpecAugment(time_width=20, seed=1)(inputs, training=True).numpy()
    assert ((out == inputs) | (out == 0)).all()
    frames, mels = (out == 0).all(axis=2), (out == 0).all(axis=1)
    np.testing.assert_array_equal(out == 0, frames[:, :, None] | mels[:, None, :])


def test_stripes_are_bounded_in_number_and_width():
    frames, mels = stripes((256, 200, 64), time_width=20, mel_width=8)
    for mask, width in ((frames, 20), (mels, 8)):
        assert runs(mask).max() == 2
        assert mask.sum(axis=1).max() <= 2 * (width - 1)
        assert len(np.unique(mask, axis=0)) > 200  # each clip its own


@pytest.mark.parametrize(("axis", "length"), [(0, 50), (1, 24)])
def test_widths_and_starts_of_one_stripe_are_uniform(axis, length):
    """Widths of 0 .. 5, starts below length - width, as the published randint draws."""
    # Stripes narrower than 1 are none: they leave the other axis alone.
    settings = {"time_width": 6 - 5 * axis, "mel_width": 1 + 5 * axis}
    shape = (6_000, 50, 3) if axis == 0 else (6_000, 3, 24)
    mask = stripes(shape, num_stripes=(1, 1), **settings)[axis]
    widths = mask.sum(axis=1)
    assert runs(mask).max() == 1
    counts = np.bincount(widths, minlength=6)
    assert len(counts) == 6
    np.testing.assert_allclose(counts, 1_000, atol=5 * np.sqrt(1_000 * 5 / 6))
    for width in range(1, 6):
        starts = np.bincount(mask[widths == width].argmax(axis=1))
        assert len(starts) == length - width  # the last place is never drawn
        expected = counts[width] / len(starts)
        np.testing.assert_allclose(starts, expected, atol=5.5 * np.sqrt(expected))


def test_masked_share_with_panns_settings():
    """Two stripes of 31.5 frames on average, which may overlap, of 1001; mels alike."""
    frames, mels = stripes((400, 1_001, 64), calls=2)
    assert frames.mean() == pytest.approx(2 * 31.5 / 1_001, rel=0.06)
    assert mels.mean() == pytest.approx(2 * 3.5 / 64, rel=0.08)


def test_the_number_of_stripes_is_drawn_for_each_axis_and_each_clip():
    """Nought, one or two, equally often. Of widths 0 .. 9 one in ten shows nothing."""
    frames, mels = stripes(
        (600, 200, 200), time_width=10, mel_width=10, num_stripes=(0, 2)
    )
    shown, apart = 0.9, 0.95  # two stripes meet in one of twenty cases
    two = shown**2 * apart
    none = (1 - shown) ** 2
    expected = np.array([1 + (1 - shown) + none, shown + 1 - two - none, two]) / 3
    for mask in (frames, mels):
        counts = np.bincount(runs(mask), minlength=3) / 600
        np.testing.assert_allclose(counts, expected, atol=0.08)
    number = np.stack([runs(frames), runs(mels)])
    assert abs(np.corrcoef(number)[0, 1]) < 0.2


def test_a_batch_may_share_its_stripes(rng):
    """The same for all clips of a batch, others in the next, nought to two of them."""
    layer = SpecAugment(
        time_width=16, mel_width=8, num_stripes=(0, 2), per="batch", seed=2
    )
    inputs = rng.uniform(1, 2, (5, 150, 64)).astype(np.float32)
    masks = []
    for _ in range(120):
        out = layer(inputs, training=True).numpy()
        zero = out == 0
        np.testing.assert_array_equal(zero, np.broadcast_to(zero[:1], zero.shape))
        np.testing.assert_array_equal(out[~zero], inputs[~zero])
        masks.append(zero[0])
    masks = np.stack(masks)
    frames, mels = masks.all(axis=2), masks.all(axis=1)
    np.testing.assert_array_equal(masks, frames[:, :, None] | mels[:, None, :])
    for mask, width in ((frames, 16), (mels, 8)):
        assert set(runs(mask)) == {0, 1, 2}
        assert mask.sum(axis=1).max() <= 2 * (width - 1)
        assert len(np.unique(mask, axis=0)) > 40


def test_equal_seeds_give_equal_masks_and_calls_go_on():
    first, again = stripes((4, 80, 64)), stripes((4, 80, 64))
    other = stripes((4, 80, 64), seed=12)
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).any()
    frames, _ = stripes((4, 80, 64), calls=2)
    assert (frames[:4] != frames[4:]).any()


@pytest.mark.parametrize("length", [1, 2, 5])
def test_inputs_shorter_than_a_stripe_keep_something(length):
    frames, mels = stripes((64, length, length), num_stripes=(1, 1))
    for mask in (frames, mels):
        assert mask.sum(axis=1).max() <= length - 1
    assert (length == 1) == (not frames.any())


def test_no_stripes_is_the_identity_in_training_too(rng):
    inputs = rng.normal(size=(2, 100, 64)).astype(np.float32)
    layer = SpecAugment(num_stripes=(0, 0))
    np.testing.assert_array_equal(layer(inputs, training=True), inputs)


def test_spec_augment_takes_any_length_in_a_graph(rng):
    inputs = keras.Input((None, 64))
    layer = SpecAugment(seed=3)
    model = keras.Model(inputs, layer(inputs))
    for frames in (30, 70):
        ones = np.ones((2, frames, 64), np.float32)
        assert (model(ones, training=True).numpy() == 0).any()


@pytest.mark.parametrize(
    "settings",
    [
        {"time_width": 0},
        {"mel_width": 0},
        {"num_stripes": (-1, 2)},
        {"num_stripes": (2, 1)},
    ],
)
def test_spec_augment_refuses_impossible_settings(settings):
    with pytest.raises(ValueError, match="widths >= 1 and 0 <= fewest <= most"):
        SpecAugment(**settings)


def test_spec_augment_refuses_another_owner_of_stripes():
    with pytest.raises(ValueError, match="per is 'clip' or 'batch'.*'label'"):
        SpecAugment(per="label")


def test_settings_of_spec_augment_survive_saving():
    layer = SpecAugment(time_width=16, num_stripes=(0, 2), per="batch", seed=4)
    again = SpecAugment.from_config(layer.get_config())
    ones = np.ones((3, 60, 20), np.float32)
    for _ in range(5):
        np.testing.assert_array_equal(
            again(ones, training=True), layer(ones, training=True)
        )
