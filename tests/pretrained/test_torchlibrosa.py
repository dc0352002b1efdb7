"""Front-end tensors as torchlibrosa's modules keep them: read whole, or refused."""

import numpy as np
import pytest

from tests.pretrained.published import front_end
from tfhier import mel
from tfhier.errors import InputError
from tfhier.frontends import FRONTENDS
from tfhier.pretrained import mel_matrix, torchlibrosa

PANNS = FRONTENDS["panns_32k"]
TOLERANCES = (mel_matrix.TOLERANCE, mel_matrix.NAMED_TOLERANCE)
KERNEL = "spectrogram_extractor.stft.conv_real.weight"
SINE = "spectrogram_extractor.stft.conv_imag.weight"
BANK = "logmel_extractor.melW"


def test_matrix_and_length_of_the_dft_are_read():
    tensors = front_end(PANNS)
    matrix, num_fft = torchlibrosa.read(tensors, TOLERANCES[0])
    np.testing.assert_array_equal(matrix, tensors[BANK])
    assert num_fft == 1_024
    assert torchlibrosa.read({"bn0.weight": np.ones(64)}, TOLERANCES[0]) is None


def changed(name: str, change) -> dict:
    tensors = front_end(PANNS)
    tensors[name] = change(tensors[name])
    return tensors


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (KERNEL, lambda x: x[:-1], r"contradict .*\(512, 1, 1024\), \(513, 1, 1024\)"),
        (SINE, lambda x: x[:, 0], r"contradict .*\(513, 1024\) and \(513, 64\)"),
        (BANK, lambda x: x[:257], r"contradict .* and \(257, 64\)"),
        (BANK, lambda x: x[:, :1], r"contradict .* and \(513, 1\)"),
        (KERNEL, lambda x: x[0, 0, 0], r"contradict .*Received: \(\), "),
        (BANK, lambda x: np.full_like(x, np.nan), "is no mel matrix"),
        (BANK, lambda x: np.full_like(x, np.inf), "is no mel matrix"),
        (BANK, lambda x: -x, "negative weights"),
        (BANK, lambda x: x * (np.arange(64) != 9), "bands without any"),
        (KERNEL, lambda x: x * np.nan, "differ by nan from a DFT of 1024 points"),
        (SINE, lambda x: -x, "differ by 2 from a DFT"),
        (KERNEL, lambda x: x / mel.hann_window(1_024).clip(0.01), "periodic Hann"),
        # The end of a symmetric window is zero, that of a periodic one 1e-5.
        (
            KERNEL,
            lambda x: (
                x
                / mel.hann_window(1_024).clip(1e-9)
                * mel.hann_window(1_024, periodic=False)
            ),
            "differ by 0.00.* under a periodic Hann window",
        ),
    ],
)
def test_tensors_that_contradict_each_other_are_refused(name, change, message):
    tensors = changed(name, change)
    for tolerance in TOLERANCES:
        with pytest.raises(InputError, match=message):
            torchlibrosa.read(tensors, tolerance)


@pytest.mark.parametrize("name", [KERNEL, SINE, BANK])
def test_a_part_of_a_front_end_is_refused(name):
    tensors = front_end(PANNS)
    del tensors[name]
    with pytest.raises(InputError, match=f"a part of a front end, without {name}"):
        torchlibrosa.read(tensors, TOLERANCES[0])
