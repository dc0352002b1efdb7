"""What a checkpoint's own front-end tensors say of what the network hears.

PANNs and the networks that descend from it keep their front end in the state dict (the
modules of torchlibrosa): the real and imaginary part of a DFT as convolution kernels
that hold the window, and the matrix that sums its power into mel bands. From these
follow all settings but one: the hop is in no tensor. Every published network of these
families has a window of 3.2 hops (256 / 80, 512 / 160, 1024 / 320), which is assumed
where the front end is none of the named ones.
"""

from collections.abc import Mapping

import numpy as np
from scipy import optimize

from tfhier import mel
from tfhier.errors import InputError
from tfhier.frontends import FRONTENDS
from tfhier.pretrained import torchlibrosa
from tfhier.pretrained.torchlibrosa import REMEDY

WINDOW_HOPS = 3.2
SAMPLE_RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
# Largest difference, relative to the largest value: float32 and a margin; and where the
# front end is named, enough for copies that were rounded to 16 bits (bfloat16 is
# off by up to 2^-8 of a value).
TOLERANCE = 1e-5
NAMED_TOLERANCE = 2**-8


def settings(
    tensors: Mapping[str, np.ndarray], *, hop_length: int | None = None
) -> dict | None:
    """Return the settings of `LogMel` that front-end tensors were made with.

    Args:
        tensors: Mapping of published name -> array.
        hop_length: int > 0. Samples between frames. Defaults to that of the named front
            end with these tensors; without one the window is taken for 3.2 hops.

    Returns:
        Dict as in `FRONTENDS`, equal to that of a named front end where there is one;
        None if there are no front-end tensors.

    Raises:
        InputError: Some of the tensors are missing, they contradict each other, or no
            settings lead to them.
    """
    found = torchlibrosa.read(tensors, TOLERANCE)
    if found is None:
        return None
    matrix, num_fft = found
    for known in FRONTENDS.values():
        # Those of another scale have other bands, whatever their edges.
        if "scale" not in known and difference(matrix, known) <= TOLERANCE:
            return known | ({"hop_length": hop_length} if hop_length else {})
    fitted = _fit(matrix, num_fft)
    if hop_length is None:
        hop_length = round(num_fft / WINDOW_HOPS)
        if hop_length * WINDOW_HOPS != num_fft:
            raise InputError(
                f"The weights do not say how far the frames of {num_fft} samples are "
                "apart, and no usual hop fits that window. Give hop_length."
            )
    return {**fitted, "hop_length": hop_length}


def check(tensors: Mapping[str, np.ndarray], name: str) -> None:
    """Raise an InputError if front-end tensors are not those of a named front end.

    Args:
        tensors: Mapping of published name -> array; without front-end tensors all is
            well.
        name: str. A name of `FRONTENDS`.
    """
    found = torchlibrosa.read(tensors, NAMED_TOLERANCE)
    if found is None:
        return
    matrix, num_fft = found
    named = FRONTENDS[name]
    off = difference(matrix, named)
    if off <= NAMED_TOLERANCE:
        return
    if np.isfinite(off):
        what = f"a mel matrix that differs by {off:.2g} of its largest value"
    else:
        what = (
            f"a DFT of {num_fft} points and {matrix.shape[1]} mels instead of "
            f"{named['num_fft']} and {named['num_mels']}"
        )
    raise InputError(
        f"The front end in the weights is not {name}: they hold {what}. Leave "
        "frontend out to take the one in the weights."
    )


def difference(matrix: np.ndarray, settings: Mapping) -> float:
    """Return how far a mel matrix is from that of settings, relative to its largest.

    Infinite for settings of another shape.
    """
    keys = ("sample_rate", "num_fft", "num_mels", "min_hertz", "max_hertz")
    if matrix.shape != (settings["num_fft"] // 2 + 1, settings["num_mels"]):
        return np.inf
    expected = mel.triangles(**{key: settings[key] for key in keys})
    return float(np.abs(matrix - expected).max() / np.abs(matrix).max())


def _fit(matrix: np.ndarray, num_fft: int) -> dict:
    """Return the sample rate and the edges of a mel matrix of Slaney's scale.

    Its triangles have an area of 1 over Hz, so that their sums over bins tell how many
    Hz a bin has, and thereby the sample rate.
    """
    sums = matrix.sum(axis=0)[-8:]  # of the widest bands, which hold most bins
    rough = num_fft / max(np.median(sums), np.finfo(float).tiny)
    nearest = sorted(SAMPLE_RATES, key=lambda rate: abs(np.log(rate / rough)))
    fits = {}
    for rate in nearest[:2]:
        fit = _fit_edges(matrix, num_fft, rate)
        off = difference(matrix, fit)
        if off <= TOLERANCE:
            return fit
        fits[off] = fit
    off = min(fits)
    best = fits[off]
    raise InputError(
        "The mel matrix of the weights is none of Slaney's scale at a usual sample "
        f"rate. The nearest is that of {best['sample_rate']} Hz, {matrix.shape[1]} "
        f"mels {best['min_hertz']:.6g}-{best['max_hertz']:.6g} Hz, off by {off:.2g} of "
        f"the largest value. {REMEDY}"
    )


def _fit_edges(matrix: np.ndarray, num_fft: int, sample_rate: int) -> dict:
    """Return settings with the edges that come nearest at a sample rate.

    Edges are rounded to whole Hz, or to a few decimals, where that fits as well.
    """
    fixed = {
        "sample_rate": sample_rate,
        "num_fft": num_fft,
        "num_mels": matrix.shape[1],
    }

    def residuals(mels: np.ndarray) -> np.ndarray:
        low, high = mel.mel_to_hertz(mels, scale="slaney")
        bank = mel.triangles(**fixed, min_hertz=low, max_hertz=high)
        return (bank - matrix).ravel()

    # The bands lie evenly in mel; where the upper, wider half is tells where all are.
    hertz = np.arange(len(matrix)) * (sample_rate / num_fft)
    centres = mel.hertz_to_mel(hertz @ matrix / matrix.sum(axis=0), scale="slaney")
    bands = np.arange(1, len(centres) + 1)
    wide = slice(-max(2, len(centres) // 2), None)
    step, lowest = np.polyfit(bands[wide], centres[wide], 1)
    step = max(step, 1e-3)  # whatever else the matrix may be, the edges stay in order
    start = lowest + step * np.array([0, len(centres) + 1])
    reach = np.ptp(start) / 4  # the edges never meet
    fit = optimize.least_squares(
        residuals, start, bounds=(start - reach, start + reach), max_nfev=30
    )
    edges = np.clip(mel.mel_to_hertz(fit.x, scale="slaney"), 0.0, sample_rate / 2)
    for digits in range(4):
        low, high = np.round(edges, digits).tolist()
        rounded = {**fixed, "min_hertz": low, "max_hertz": high}
        if difference(matrix, rounded) <= TOLERANCE:
            return rounded
    return {**fixed, "min_hertz": float(edges[0]), "max_hertz": float(edges[1])}
