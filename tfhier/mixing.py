"""Adding a signal to noise at a signal-to-noise ratio.

Conventions: waveforms are float, mono, (samples,); powers are means of squares; ratios
are in dB, 10 log10 of a ratio of powers. The noise keeps its level and the signal is
scaled, until a peak is too high: then both are scaled by one factor, which leaves the
ratio as it is.
"""

from typing import NamedTuple

import numpy as np

from tfhier.errors import InputError


class Mixture(NamedTuple):
    """A mixture and what it is the sum of, float64 arrays (samples,) of one length."""

    mixture: np.ndarray
    signal: np.ndarray
    noise: np.ndarray


def gain_at_snr(
    signal: np.ndarray,
    noise: np.ndarray,
    snr_db: float,
    *,
    active: np.ndarray | None = None,
) -> float:
    """Return the factor that brings a signal to a ratio with noise.

    Args:
        signal: float array (samples,).
        noise: float array (other samples,); its power is taken over all of it.
        snr_db: float. The wanted ratio in dB.
        active: bool array (samples,), where the signal sounds: its power is the mean
            over these samples alone, so that pauses do not make it louder. Defaults to
            None: everywhere.

    Returns:
        float > 0. `gain * signal` has `snr_db` more power than `noise`.

    Raises:
        InputError: A waveform is of another shape, not finite or silent, `active` has
            another length or names no sample, or the ratio is not finite.
    """
    signal, noise = _checked(signal, "signal"), _checked(noise, "noise")
    if not np.isfinite(snr_db):
        raise InputError(f"A signal-to-noise ratio is a number of dB. Got: {snr_db}")
    if active is not None:
        active = np.asarray(active)
        if active.shape != signal.shape or active.dtype != bool or not active.any():
            raise InputError(
                f"The active part of a signal is a bool array {signal.shape} with a "
                f"True in it. Got: {active.dtype} {active.shape}, {active.sum()} True"
            )
        signal = signal[active]
    return float(
        np.sqrt(10 ** (snr_db / 10) * _power(noise, "noise") / _power(signal, "signal"))
    )


def mix_at_snr(
    signal: np.ndarray,
    noise: np.ndarray,
    snr_db: float,
    *,
    onset: int = 0,
    active: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    peak: float = 1.0,
) -> Mixture:
    """Add a signal to noise at a signal-to-noise ratio.

    Args:
        signal: float array (samples,). Not longer than the noise after `onset`.
        noise: float array (length,).
        snr_db: float. The ratio in dB.
        onset: int >= 0. Sample of the noise at which the signal begins.
        active: bool array (samples,), where the signal sounds: see `gain_at_snr`.
        reference: float array. What the power of the noise is measured on, such as the
            noise in the band of the signal. Defaults to None: the noise, all of it.
        peak: float > 0. Largest absolute value of the mixture. Where the sum exceeds
            it, mixture, signal and noise are scaled down by the same factor.

    Returns:
        Mixture of arrays (length,); `signal` is 0 outside its span.

    Raises:
        InputError: As `gain_at_snr`; or the signal does not fit into the noise, or
            `peak` is not above 0.
    """
    gain = gain_at_snr(
        signal, noise if reference is None else reference, snr_db, active=active
    )
    signal, noise = _checked(signal, "signal"), _checked(noise, "noise")
    if onset < 0 or onset + len(signal) > len(noise):
        raise InputError(
            f"A signal of {len(signal)} samples from sample {onset} on does not fit "
            f"into noise of {len(noise)} samples."
        )
    if not peak > 0:
        raise InputError(f"The peak of a mixture must be above 0. Got: {peak}")
    placed = np.zeros_like(noise)
    placed[onset : onset + len(signal)] = gain * signal
    mixture = placed + noise
    scale = min(1.0, peak / np.max(np.abs(mixture)))
    return Mixture(scale * mixture, scale * placed, scale * noise)


def _checked(waveform: np.ndarray, what: str) -> np.ndarray:
    waveform = np.asarray(waveform, np.float64)
    if waveform.ndim != 1 or not waveform.size or not np.isfinite(waveform).all():
        raise InputError(
            f"The {what} must be finite samples of shape (samples,). Got: shape "
            f"{waveform.shape}"
        )
    return waveform


def _power(waveform: np.ndarray, what: str) -> float:
    power = np.mean(waveform**2)
    if power == 0:
        raise InputError(
            f"The {what} is silent, so it has no signal-to-noise ratio. Leave it out."
        )
    return power
