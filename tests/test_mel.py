"""Mel scales, filter banks and windows against librosa, SciPy and plain formulas."""

import librosa
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from tfhier import mel
from tfhier.frontends import FRONTENDS

BANK = {"sample_rate": 16_000, "num_fft": 512, "num_mels": 40}
EDGES = {"min_hertz": 50.0, "max_hertz": 8_000.0}
SCALES = ("slaney", "htk", "kaldi")


def triangles(*, warp, height) -> np.ndarray:
    """A bank of 40 bands by a plain loop, its triangles straight on the warped axis."""
    bins = np.arange(257) * 16_000 / 512
    mels = np.linspace(1127 * np.log(1 + 50 / 700), 1127 * np.log(1 + 8_000 / 700), 42)
    hertz = 700 * (np.exp(mels / 1127) - 1)
    bank = np.zeros((257, 40))
    for band in range(40):
        left, top, right = warp(hertz[band : band + 3])
        for number, place in enumerate(warp(bins)):
            if left < place <= top:
                bank[number, band] = (place - left) / (top - left)
            elif top < place < right:
                bank[number, band] = (right - place) / (right - top)
    return bank * height


@pytest.mark.parametrize("name", [n for n in FRONTENDS if not n.startswith("yamnet")])
def test_bank_of_panns_front_ends_is_librosas(name):
    settings = {k: v for k, v in FRONTENDS[name].items() if k != "hop_length"}
    expected = librosa.filters.mel(
        sr=settings["sample_rate"],
        n_fft=settings["num_fft"],
        n_mels=settings["num_mels"],
        fmin=settings["min_hertz"],
        fmax=settings["max_hertz"],
    )
    np.testing.assert_allclose(mel.filter_bank(**settings), expected.T, atol=1e-8)


def test_bank_of_yamnet_is_tensorflows():
    """Straight in mel, which TensorFlow computes in float32."""
    settings = FRONTENDS["yamnet_16k"]
    edges = [settings[name] for name in ("min_hertz", "max_hertz")]
    expected = tf.signal.linear_to_mel_weight_matrix(64, 257, 16_000, *edges)
    names = ("sample_rate", "num_fft", "num_mels", "min_hertz", "max_hertz", "scale")
    bank = mel.filter_bank(**{name: settings[name] for name in names})
    np.testing.assert_allclose(bank, expected, atol=2e-5)
    assert not bank[0].any()


def test_htk_bank_is_librosas_and_that_of_the_plain_formula():
    expected = librosa.filters.mel(
        sr=16_000, n_fft=512, n_mels=40, fmin=50, fmax=8_000, htk=True, norm=None
    )
    bank = mel.filter_bank(**BANK, **EDGES, scale="htk")
    # librosa's 2595 log10(1 + f / 700) and 1127 ln(1 + f / 700) differ by 1e-5.
    np.testing.assert_allclose(bank, expected.T, atol=2e-4)
    plain = triangles(warp=lambda hertz: hertz, height=1.0)
    np.testing.assert_allclose(bank, plain, atol=1e-6)


def test_kaldi_bank_is_that_of_the_plain_formula():
    bank = mel.filter_bank(**BANK, **EDGES, scale="kaldi")
    plain = triangles(warp=lambda hertz: 1127 * np.log(1 + hertz / 700), height=1.0)
    np.testing.assert_allclose(bank, plain, atol=1e-6)
    htk = mel.filter_bank(**BANK, **EDGES, scale="htk")
    assert np.abs(bank - htk).max() > 0.005


def test_slaney_triangles_have_equal_areas():
    bank = mel.filter_bank(
        sample_rate=16_000, num_fft=8_192, num_mels=20, min_hertz=0.0, max_hertz=8_000.0
    )
    np.testing.assert_allclose(bank.sum(axis=0) * 16_000 / 8_192, 1.0, rtol=1e-3)


@pytest.mark.parametrize("scale", SCALES)
def test_banks_are_non_negative_and_within_their_edges(scale):
    bank = mel.filter_bank(**BANK, min_hertz=300.0, max_hertz=6_000.0, scale=scale)
    assert bank.dtype == np.float32
    assert bank.min() == 0
    hertz = np.arange(257) * 16_000 / 512
    assert not bank[(hertz <= 300) | (hertz >= 6_000)].any()
    assert bank.max(axis=0).min() > 0


@pytest.mark.parametrize("scale", SCALES)
def test_mels_and_hertz_are_inverse_and_rise(scale):
    hertz = np.linspace(0, 20_000, 997)
    mels = mel.hertz_to_mel(hertz, scale=scale)
    assert (np.diff(mels) > 0).all()
    np.testing.assert_allclose(mel.mel_to_hertz(mels, scale=scale), hertz, atol=1e-6)


def test_known_mels():
    assert mel.hertz_to_mel(0.0, scale="slaney") == 0
    assert mel.hertz_to_mel(500.0, scale="slaney") == pytest.approx(7.5)
    assert mel.hertz_to_mel(1_000.0, scale="slaney") == pytest.approx(15.0)
    assert mel.hertz_to_mel(6_400.0, scale="slaney") == pytest.approx(42.0)
    assert mel.hertz_to_mel(700.0, scale="htk") == pytest.approx(1127 * np.log(2))
    assert mel.hertz_to_mel(1_000.0, scale="kaldi") == pytest.approx(1_000, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_hertz": 4_000.0, "max_hertz": 400.0}, "0 <= min_hertz < max_hertz"),
        ({"min_hertz": -1.0, "max_hertz": 400.0}, "0 <= min_hertz < max_hertz"),
        ({"min_hertz": 0.0, "max_hertz": 8_001.0}, "max_hertz <= sample_rate / 2"),
        ({**EDGES, "num_mels": 200}, "of 200 mel bands hold no DFT bin.*fewer bands"),
        (
            {**EDGES, "scale": "bark"},
            "'slaney', 'htk', 'kaldi'. Received: scale='bark'",
        ),
    ],
)
def test_impossible_banks_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        mel.filter_bank(**{**BANK, **settings})


@pytest.mark.parametrize("length", [2, 7, 400])
def test_windows_are_scipys(length):
    periodic = scipy.signal.get_window("hann", length, fftbins=True)
    np.testing.assert_allclose(mel.hann_window(length), periodic, atol=1e-12)
    symmetric = scipy.signal.get_window("hann", length, fftbins=False)
    np.testing.assert_allclose(
        mel.hann_window(length, periodic=False), symmetric, atol=1e-12
    )
