"""Spectra of made sound: resonances, and waves filtered by a gain over frequency.

What the two synthetic stand-ins, `orchestra` and `forest`, have in common. NumPy alone:
the forest is also made where nothing but a LiteRT runtime is installed.
"""

from collections.abc import Callable

import numpy as np


def peaks(hertz: np.ndarray, *peaks: tuple[float, float, float]) -> np.ndarray:
    """Gain of a body: 1 plus resonances given as (center Hz, half width Hz, gain)."""
    gain = np.ones_like(hertz)
    for center, width, height in peaks:
        gain = gain + height / (1.0 + ((hertz - center) / width) ** 2)
    return gain


def shaped(
    wave: np.ndarray, response: Callable[[np.ndarray], np.ndarray], *, sample_rate: int
) -> np.ndarray:
    """Filter a wave by a gain over frequency, with zero phase.

    Args:
        wave: float (samples,).
        response: Function from Hz (bins,), each above 0, to a gain (bins,).
        sample_rate: int. Hz.

    Returns:
        float32 (samples,).
    """
    size = fast_length(wave.size)
    hertz = np.arange(size // 2 + 1, dtype=np.float32) * np.float32(sample_rate / size)
    hertz[0] = hertz[1]  # a gain may be a power of the frequency
    gain = response(hertz).astype(np.float32)
    spectrum = np.fft.rfft(wave.astype(np.float32, copy=False), size)
    return np.fft.irfft(spectrum * gain, size)[: wave.size]


def fast_length(size: int) -> int:
    """Return the least length >= size, 1 or more, whose Fourier transform is fast.

    It has no prime factors but 2, 3 and 5.
    """
    best = 1 << (size - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            quotient = -(-size // three)
            best = min(best, three << (quotient - 1).bit_length())
            three *= 3
        five *= 5
    return best
