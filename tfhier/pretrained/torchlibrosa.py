"""Tensors of torchlibrosa's front end, as PANNs and their descendants keep them.

Its modules compute a DFT as two convolutions, the real and the imaginary part, whose
kernels hold the window, and sum the power into mel bands by a matrix. All three are
stored with the network's weights.
"""

from collections.abc import Mapping

import numpy as np

from tfhier import mel
from tfhier.errors import InputError

REAL = "spectrogram_extractor.stft.conv_real.weight"
IMAGINARY = "spectrogram_extractor.stft.conv_imag.weight"
MATRIX = "logmel_extractor.melW"
NAMES = (REAL, IMAGINARY, MATRIX)

_LEAST = 1e-5  # float32, and a margin
REMEDY = "If it is one of the named front ends, rounded, name it as frontend."


def read(
    tensors: Mapping[str, np.ndarray], tolerance: float
) -> tuple[np.ndarray, int] | None:
    """Return mel matrix and DFT length; None if there are no front-end tensors."""
    missing = [name for name in NAMES if name not in tensors]
    if len(missing) == len(NAMES):
        return None
    if missing:
        raise InputError(
            f"The weights hold a part of a front end, without {', '.join(missing)}. "
            "Give the whole file."
        )
    real, imaginary, matrix = (tensors[name] for name in NAMES)
    num_fft = real.shape[-1] if real.ndim else 0
    num_bins = num_fft // 2 + 1
    if (
        num_fft < 2
        or real.shape != (num_bins, 1, num_fft)
        or imaginary.shape != real.shape
        or matrix.ndim != 2
        or matrix.shape[0] != num_bins
        or matrix.shape[1] < 2
    ):
        raise InputError(
            "The tensors of the front end contradict each other. Kernels of shape "
            "(num_fft / 2 + 1, 1, num_fft) and a mel matrix (num_fft / 2 + 1, mels) "
            f"were expected. Received: {real.shape}, {imaginary.shape} and "
            f"{matrix.shape}. Give the whole file as it was published."
        )
    sums = matrix.sum(axis=0)
    if not (np.isfinite(sums).all() and matrix.min() >= 0 and sums.min() > 0):
        raise InputError(
            f"{MATRIX} is no mel matrix: it holds NaN, infinity, negative weights or "
            "bands without any. Give the whole file as it was published."
        )
    _check_kernels(real[:, 0], imaginary[:, 0], tolerance)
    return matrix.astype(np.float64), num_fft


def _check_kernels(real: np.ndarray, imaginary: np.ndarray, tolerance: float) -> None:
    """Raise an InputError for kernels that are no DFT under a periodic Hann window."""
    num_bins, num_fft = real.shape
    turns = np.outer(np.arange(num_bins), np.arange(num_fft)) / num_fft
    kernels = mel.hann_window(num_fft) * np.exp(-2j * np.pi * (turns % 1.0))
    off, allowed = 0.0, True
    for found, exact in ((real, kernels.real), (imaginary, kernels.imag)):
        # Rounding is a share of every value; another window is far off at its ends.
        away = np.abs(found - exact)
        allowed &= bool((away <= tolerance * np.abs(exact) + _LEAST).all())
        off = np.maximum(off, away.max())  # NaN stays
    if not allowed:
        raise InputError(
            f"The kernels of the front end differ by {off:.2g} from a DFT of {num_fft} "
            f"points under a periodic Hann window of that length. {REMEDY}"
        )
