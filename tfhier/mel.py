"""Mel filter banks and windows in NumPy, the constants of every log-mel front end.

Conventions: frequencies in Hz, linear-frequency bins are those of a real DFT of
`num_fft` points, filters are columns. Computed in float64 and returned as float32.

Two scales are offered because published networks used both:

* `"slaney"`: linear below 1 kHz and logarithmic above (Slaney's Auditory Toolbox), each
  triangle divided by half its width in Hz so that all have the same area. librosa's
  default, used by PANNs.
* `"htk"`: 2595 log10(1 + f / 700), triangles of height 1 that are straight in Hz.
* `"kaldi"`: the same curve, 1127 ln(1 + f / 700), but triangles that are straight in
  mel. Used by PaSST.
"""

from typing import Literal

import numpy as np

Scale = Literal["slaney", "htk", "kaldi"]

_LINEAR_HERTZ_PER_MEL = 200.0 / 3.0
_LOG_START_HERTZ = 1000.0
_LOG_START_MEL = _LOG_START_HERTZ / _LINEAR_HERTZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def hertz_to_mel(hertz: np.ndarray | float, *, scale: Scale) -> np.ndarray:
    """Convert frequencies in Hz (>= 0) to mels of the given scale."""
    hertz = np.asarray(hertz, np.float64)
    if scale in ("htk", "kaldi"):
        return 1127.0 * np.log1p(hertz / 700.0)
    linear = hertz / _LINEAR_HERTZ_PER_MEL
    ratio = np.maximum(hertz, _LOG_START_HERTZ) / _LOG_START_HERTZ
    return np.where(
        hertz < _LOG_START_HERTZ, linear, _LOG_START_MEL + np.log(ratio) / _LOG_STEP
    )


def mel_to_hertz(mel: np.ndarray | float, *, scale: Scale) -> np.ndarray:
    """Convert mels of the given scale to frequencies in Hz."""
    mel = np.asarray(mel, np.float64)
    if scale in ("htk", "kaldi"):
        return 700.0 * np.expm1(mel / 1127.0)
    above = np.maximum(mel, _LOG_START_MEL) - _LOG_START_MEL
    return np.where(
        mel < _LOG_START_MEL,
        mel * _LINEAR_HERTZ_PER_MEL,
        _LOG_START_HERTZ * np.exp(_LOG_STEP * above),
    )


def filter_bank(
    *,
    sample_rate: int,
    num_fft: int,
    num_mels: int,
    min_hertz: float,
    max_hertz: float,
    scale: Scale = "slaney",
) -> np.ndarray:
    """Return the matrix that sums a power spectrum into mel bands.

    Args:
        sample_rate: int > 0. In Hz.
        num_fft: int > 0. Points of the DFT.
        num_mels: int > 0. Number of bands.
        min_hertz: float >= 0. Lower edge of the lowest band.
        max_hertz: float, above `min_hertz` and at most `sample_rate / 2`. Upper edge of
            the highest band.
        scale: One of "slaney", "htk", "kaldi"; see the module docstring.

    Returns:
        float32 array (num_fft // 2 + 1, num_mels), non-negative.

    Raises:
        ValueError: The edges are out of order or beyond the Nyquist frequency, or a
            band is so narrow that no DFT bin falls into it.
    """
    if scale not in ("slaney", "htk", "kaldi"):
        raise ValueError(
            f"A mel scale is one of 'slaney', 'htk', 'kaldi'. Received: scale={scale!r}"
        )
    if not 0 <= min_hertz < max_hertz <= sample_rate / 2:
        raise ValueError(
            "Mel bands need 0 <= min_hertz < max_hertz <= sample_rate / 2. Received: "
            f"min_hertz={min_hertz}, max_hertz={max_hertz}, sample_rate={sample_rate}"
        )
    bank = triangles(
        sample_rate=sample_rate,
        num_fft=num_fft,
        num_mels=num_mels,
        min_hertz=min_hertz,
        max_hertz=max_hertz,
        scale=scale,
    )
    empty = np.flatnonzero(bank.max(axis=0) == 0)
    if empty.size:
        raise ValueError(
            f"{empty.size} of {num_mels} mel bands hold no DFT bin (first: band "
            f"{empty[0]}). Use fewer bands, a longer DFT or a wider range. Received: "
            f"num_mels={num_mels}, num_fft={num_fft}, min_hertz={min_hertz}, "
            f"max_hertz={max_hertz}, sample_rate={sample_rate}"
        )
    return bank.astype(np.float32)


def triangles(
    *,
    sample_rate: int,
    num_fft: int,
    num_mels: int,
    min_hertz: float,
    max_hertz: float,
    scale: Scale = "slaney",
) -> np.ndarray:
    """Return the matrix of `filter_bank` in float64 and unchecked, for fits.

    It changes smoothly with the edges, which may lie anywhere, and bands may be empty.
    """
    bins = np.arange(num_fft // 2 + 1) * (sample_rate / num_fft)
    edges = np.linspace(
        hertz_to_mel(min_hertz, scale=scale),
        hertz_to_mel(max_hertz, scale=scale),
        num_mels + 2,
    )
    if scale == "kaldi":
        bins = hertz_to_mel(bins, scale=scale)
    else:
        edges = mel_to_hertz(edges, scale=scale)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - lower) / (centre - lower)
    falling = (upper - bins[:, None]) / (upper - centre)
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if scale == "slaney":
        bank *= 2.0 / (upper - lower)
    return bank


def hann_window(length: int, *, periodic: bool = True) -> np.ndarray:
    """Return a Hann window (length,), float64; `periodic=False` ends in zeros.

    Raises:
        ValueError: A window of fewer than 2 samples is no window.
    """
    if length < 2:
        raise ValueError(f"A window needs 2 samples or more. Received: length={length}")
    steps = length if periodic else length - 1
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / steps)
