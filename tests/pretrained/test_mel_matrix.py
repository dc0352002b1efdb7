"""Settings from front-end tensors: named ones, odd ones, and tensors that lie."""

import itertools

import numpy as np
import pytest

from tests.pretrained.published import front_end
from tfhier import mel
from tfhier.errors import InputError
from tfhier.frontends import FRONTENDS
from tfhier.layers import LogMel
from tfhier.pretrained import mel_matrix

PANNS = FRONTENDS["panns_32k"]
# Those whose bands checkpoints of these families hold.
NAMED = [name for name, found in FRONTENDS.items() if "scale" not in found]
BANDS = {key: value for key, value in PANNS.items() if key != "hop_length"}
BANK = "logmel_extractor.melW"


def settings(rate, num_fft, num_mels, low, high) -> dict:
    return {
        "sample_rate": rate,
        "num_fft": num_fft,
        "num_mels": num_mels,
        "min_hertz": low,
        "max_hertz": high,
        "hop_length": int(num_fft / 3.2),
    }


@pytest.mark.parametrize("name", NAMED)
def test_a_named_front_end_is_recognised(name):
    tensors = front_end(FRONTENDS[name])
    assert mel_matrix.settings(tensors) == FRONTENDS[name]
    mel_matrix.check(tensors, name)


def test_no_two_front_ends_have_the_same_tensors():
    for one, two in itertools.permutations(FRONTENDS, 2):
        if one in NAMED:
            with pytest.raises(InputError, match=f"is not {two}"):
                mel_matrix.check(front_end(FRONTENDS[one]), two)


def test_bands_with_the_edges_of_yamnets_are_not_yamnets():
    """Its triangles are straight in mel and sum magnitudes, whole frames only."""
    same_edges = settings(16_000, 512, 64, 125.0, 7_500.0)
    found = mel_matrix.settings(front_end(same_edges), hop_length=160)
    assert found == pytest.approx(same_edges)


@pytest.mark.parametrize(
    "expected",
    [
        settings(22_050, 1_024, 128, 20.0, 11_025.0),
        settings(44_100, 2_048, 64, 0.0, 22_050.0),
        settings(48_000, 1_536, 96, 50.0, 14_000.0),
        settings(24_000, 1_024, 80, 125.0, 7_600.0),
        settings(11_025, 512, 40, 60.0, 5_512.5),  # a half of an odd rate
        settings(16_000, 512, 64, 27.5, 7_999.75),
        settings(8_000, 256, 32, 300.0, 3_400.0),
        settings(32_000, 1_024, 2, 500.0, 4_000.0),
        settings(22_050, 1_536, 229, 27.5, 10_887.75),  # narrow bands: few bins each
        settings(16_000, 1_024, 20, 100.0, 900.0),  # below the logarithmic range
    ],
)
def test_odd_settings_are_found_from_the_tensors(expected):
    found = mel_matrix.settings(front_end(expected))
    # Decimals are given as far as the matrix tells them.
    assert found == pytest.approx(expected, abs=0.01)
    assert found["sample_rate"] == expected["sample_rate"]
    bank = LogMel(**found).get_config()
    assert bank["num_mels"] == expected["num_mels"]
    assert mel_matrix.difference(front_end(expected)[BANK], found) <= 1e-5


def test_whole_hertz_come_out_whole():
    found = mel_matrix.settings(front_end(settings(22_050, 1_024, 128, 20.0, 11_025.0)))
    assert (found["min_hertz"], found["max_hertz"]) == (20.0, 11_025.0)


def test_the_hop_is_the_callers_if_given():
    assert mel_matrix.settings(front_end(PANNS), hop_length=500) == {
        **PANNS,
        "hop_length": 500,
    }
    odd = settings(22_050, 1_000, 64, 50.0, 10_000.0)
    with pytest.raises(InputError, match="frames of 1000 samples .*Give hop_length"):
        mel_matrix.settings(front_end(odd))
    assert mel_matrix.settings(front_end(odd), hop_length=441)["hop_length"] == 441
    assert PANNS["hop_length"] == 320  # the table is as it was


def test_without_tensors_nothing_is_said():
    assert mel_matrix.settings({"bn0.weight": np.ones(64)}) is None
    mel_matrix.check({"bn0.weight": np.ones(64)}, "panns_8k")


@pytest.mark.parametrize(
    "bank",
    [
        mel.filter_bank(**BANDS, scale="htk"),
        mel.filter_bank(**BANDS, scale="kaldi"),
        front_end(PANNS | {"sample_rate": 28_000})[BANK],
        np.ones((513, 64), np.float32),
        np.random.default_rng(3).random((513, 64)),
    ],
    ids=["htk", "kaldi", "unusual rate", "constant", "random"],
)
def test_another_matrix_is_refused_with_what_was_found(bank):
    tensors = front_end(PANNS, bank=bank)
    with pytest.raises(
        InputError, match="nearest is that of .* off by .*name it as frontend"
    ):
        mel_matrix.settings(tensors)


def test_a_wrong_name_is_refused_by_how_much():
    tensors = front_end(PANNS | {"max_hertz": 14_100.0})
    with pytest.raises(InputError, match=r"is not panns_32k: .* differs by 0\.0\d+ of"):
        mel_matrix.check(tensors, "panns_32k")
    with pytest.raises(InputError, match="1024 points and 64 mels instead of 512 and"):
        mel_matrix.check(tensors, "panns_16k")


def test_rounded_tensors_pass_where_the_front_end_is_named():
    tensors = {
        name: values.astype(np.float16) for name, values in front_end(PANNS).items()
    }
    with pytest.raises(InputError, match="name it as frontend"):
        mel_matrix.settings(tensors)
    mel_matrix.check(tensors, "panns_32k")
