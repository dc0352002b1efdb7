"""Augmentation of whole batches on the device, by stage.

* of waveforms (batch, samples): `roll`, `gain`, `add_noise`
* of power spectra (batch, frames, bins): `stretch_time`, `shift_pitch`
* of log-mels and their labels: `mixup`

Every clip has draws of its own, by `keras.random` with a `SeedGenerator`. SpecAugment
is a layer (`tfhier.layers.SpecAugment`), because it belongs inside the networks.
"""

import math
from typing import Literal

import keras
from keras import ops


def roll(waveform, *, max_samples: int, seed):
    """Rotate clips by up to `max_samples` in either direction; the end comes first.

    Args:
        waveform: (batch, samples), float.
        max_samples: int >= 0.
        seed: `keras.random.SeedGenerator`.

    Returns:
        Tensor of the same shape.
    """
    batch, samples = ops.shape(waveform)[0], ops.shape(waveform)[1]
    moves = keras.random.randint((batch, 1), -max_samples, max_samples + 1, seed=seed)
    places = ops.mod(ops.arange(samples, dtype="int32")[None, :] - moves, samples)
    return ops.take_along_axis(waveform, places, axis=1)


def gain(waveform, *, max_db: float, seed):
    """Make clips louder or softer by up to `max_db`, uniformly in dB.

    Args:
        waveform: (batch, samples), float. The result may leave [-1, 1].
        max_db: float >= 0.
        seed: `keras.random.SeedGenerator`.

    Returns:
        Tensor of the same shape.
    """
    batch = ops.shape(waveform)[0]
    change = keras.random.uniform((batch, 1), -max_db, max_db, seed=seed)
    return waveform * ops.power(10.0, change / 20.0)


def add_noise(waveform, noise, *, rate: float, snr_db: tuple[float, float], seed):
    """Mix noise into some clips at a signal-to-noise ratio uniform in dB.

    The ratio is that of mean powers, each taken over the samples that are not exactly
    0: zeros after a short clip are no sound. Clips or noise of zeros stay as they are.

    Args:
        waveform: (batch, samples), float.
        noise: Tensor of the same shape.
        rate: float in [0, 1]. Share of clips that get noise.
        snr_db: Lowest and highest ratio in dB.
        seed: `keras.random.SeedGenerator`.

    Returns:
        Tensor of the same shape.
    """
    batch = ops.shape(waveform)[0]
    chosen = keras.random.uniform((batch, 1), seed=seed) < rate
    ratio = keras.random.uniform((batch, 1), *snr_db, seed=seed)
    wanted = _power(waveform) * ops.power(10.0, -ratio / 10.0)
    scale = ops.sqrt(ops.divide_no_nan(wanted, _power(noise)))
    return ops.where(chosen, waveform + scale * noise, waveform)


def _power(waveform):
    """Mean power (batch, 1) over the samples that are not 0."""
    count = ops.sum(ops.cast(waveform != 0, waveform.dtype), axis=1, keepdims=True)
    return ops.divide_no_nan(
        ops.sum(ops.square(waveform), axis=1, keepdims=True), count
    )


def stretch_time(power, *, max_change: float, seed):
    """Play spectra faster or slower, at a speed uniform in 1 - max_change to 1 + it.

    Frames between frames are interpolated, as a phase vocoder does with magnitudes;
    phases, which a log-mel does not see, need no care. A faster clip ends early, in
    frames of 0; a slower one loses its end. (Pellegrini 2021, Sec. 3.3: 0.9 to 1.1.)

    Args:
        power: (batch, frames, bins), >= 0.
        max_change: float in [0, 1).
        seed: `keras.random.SeedGenerator`.

    Returns:
        Tensor of the same shape.
    """
    batch, frames = ops.shape(power)[0], ops.shape(power)[1]
    speed = keras.random.uniform(
        (batch, 1), 1.0 - max_change, 1.0 + max_change, seed=seed
    )
    places = speed * ops.arange(frames, dtype="float32")[None, :]  # (batch, frames)
    last = ops.cast(frames - 1, "float32")
    inside = ops.cast(places <= last, power.dtype)
    return _interpolate(power, places, axis=1) * inside[:, :, None]


def shift_pitch(power, *, max_quarter_tones: int, first_bin: int, seed):
    """Raise or lower spectra by a whole number of quarter tones, uniformly drawn.

    Bin k of the result is taken from k / 2 ** (steps / 24), between bins interpolated.
    What would come from beyond the first or the last bin repeats it. (Pellegrini 2021,
    Sec. 3.3: 0 to 3 quarter tones.)

    Args:
        power: (batch, frames, bins), >= 0. Bins are equally spaced in frequency.
        max_quarter_tones: int >= 0.
        first_bin: int >= 0. DFT bin of the first of these, so that frequency is 0 at
            bin 0.
        seed: `keras.random.SeedGenerator`.

    Returns:
        Tensor of the same shape.
    """
    batch, bins = ops.shape(power)[0], ops.shape(power)[2]
    steps = keras.random.randint(
        (batch, 1), -max_quarter_tones, max_quarter_tones + 1, seed=seed
    )
    factor = ops.exp(ops.cast(steps, "float32") * (math.log(2.0) / 24.0))
    numbers = ops.arange(bins, dtype="float32")[None, :] + first_bin
    return _interpolate(power, numbers / factor - first_bin, axis=2)


def _interpolate(values, places, *, axis: int):
    """Read (batch, frames, bins) between its values along an axis, clipped to its ends.

    Args:
        values: (batch, frames, bins).
        places: float (batch, n). Where to read, n the length of the axis.
        axis: 1 or 2.
    """
    last = ops.shape(values)[axis] - 1
    places = ops.clip(places, 0.0, ops.cast(last, "float32"))
    below = ops.cast(ops.floor(places), "int32")
    above = ops.minimum(below + 1, last)
    share = places - ops.cast(below, "float32")
    other = 3 - axis
    lower = ops.take_along_axis(values, ops.expand_dims(below, other), axis=axis)
    upper = ops.take_along_axis(values, ops.expand_dims(above, other), axis=axis)
    share = ops.expand_dims(share, other)
    return (1.0 - share) * lower + share * upper


def mixup(
    features,
    targets: dict,
    weights: dict,
    *,
    alpha: float,
    seed,
    per: Literal["clip", "batch"] = "clip",
):
    """Mix every clip with the next one of its batch.

    With lambda from Beta(alpha, alpha), drawn for each clip as in PANNs' published code
    or once for the batch as in Pellegrini 2021 (Sec. 3.3), features become
    `lambda x_i + (1 - lambda) x_j`. The loss of a mixture is the same mixture of the
    two clips' masked losses: the weight of a label is `lambda w_i + (1 - lambda) w_j`,
    and its target the weighted mean of the two targets, so a label seen in only one of
    the clips is trained by that clip alone. (PaSST's published code applies the first
    clip's mask to both.)

    Args:
        features: (batch, ...), float.
        targets: Dict of level -> (batch, labels) in [0, 1].
        weights: Dict of level -> (batch, labels), >= 0.
        alpha: float > 0.
        seed: `keras.random.SeedGenerator`.
        per: "clip" or "batch". What has a lambda of its own.

    Returns:
        Tuple of features, targets, weights.

    Reference:
        Zhang et al., "mixup", ICLR 2018.
    """
    batch = ops.shape(features)[0]
    share = keras.random.beta((batch if per == "clip" else 1,), alpha, alpha, seed=seed)

    def blend(values, own):
        own = ops.reshape(own, (-1,) + (1,) * (len(values.shape) - 1))
        own = ops.cast(own, values.dtype)
        return own * values + (1 - own) * ops.roll(values, -1, axis=0)

    mixed_weights = {level: blend(weights[level], share) for level in weights}
    mixed_targets = {
        level: ops.divide_no_nan(
            blend(weights[level] * targets[level], share), mixed_weights[level]
        )
        for level in targets
    }
    return blend(features, share), mixed_targets, mixed_weights
