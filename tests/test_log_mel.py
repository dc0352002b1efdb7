"""The front end against librosa, its padding, its frames and its absolute floor."""

import os
from pathlib import Path

import keras
import librosa
import numpy as np
import pytest
import tensorflow as tf

from tfhier import audio, frontends, mel
from tfhier.layers import LogMel, log_mel

# The front ends that are settings of librosa's, and those that are not.
LIBROSAS = [name for name in frontends.FRONTENDS if not name.startswith("yamnet")]
ORCHESTRA = (
    Path(os.environ.get("TFHIER_DATA") or Path(__file__).parents[1] / "../shared/data")
    / "orchestra"
)
SMALL = {
    "sample_rate": 16_000,
    "num_fft": 512,
    "hop_length": 160,
    "num_mels": 40,
    "min_hertz": 50.0,
    "max_hertz": 8_000.0,
}


def signals(sample_rate: int) -> dict[str, np.ndarray]:
    """One second each of what clips are made of."""
    rng = np.random.default_rng(1)
    time = np.arange(sample_rate) / sample_rate
    noise = rng.uniform(-1, 1, sample_rate)
    tones = 0.3 * (np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 3_100 * time))
    return {
        "noise": noise,
        "quiet noise": 1e-3 * noise,
        "tones in noise": tones + 1e-2 * noise,
        "chirp in noise": np.sin(2 * np.pi * (60 + 3_000 * time) * time) + 1e-2 * noise,
    }


def reference(sound: np.ndarray, settings: dict, **changes) -> np.ndarray:
    """librosa's log-mel in float64: (frames, mels) in dB."""
    power = librosa.feature.melspectrogram(
        y=np.asarray(sound, np.float64),
        sr=settings["sample_rate"],
        n_fft=settings["num_fft"],
        hop_length=settings["hop_length"],
        n_mels=settings["num_mels"],
        fmin=settings["min_hertz"],
        fmax=settings["max_hertz"],
        win_length=settings.get("window_length"),
        **{"center": True, "pad_mode": "reflect", "power": 2.0, **changes},
    )
    return librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).T


def apply(layer: LogMel, *sounds: np.ndarray) -> np.ndarray:
    return layer(np.stack(sounds).astype(np.float32)).numpy()


@pytest.mark.parametrize("name", LIBROSAS)
def test_panns_front_ends_are_librosas(name):
    settings = frontends.FRONTENDS[name]
    layer = frontends.build(name)
    for kind, sound in signals(settings["sample_rate"]).items():
        sound = sound.astype(np.float32)
        got = apply(layer, sound)[0]
        np.testing.assert_allclose(
            got, reference(sound, settings), atol=1e-3, rtol=0, err_msg=kind
        )


@pytest.mark.parametrize("name", LIBROSAS)
def test_pure_tones_agree_where_there_is_sound(name):
    """Far below a tone float32 sees rounding, not sound; both stay down there."""
    settings = frontends.FRONTENDS[name]
    time = np.arange(settings["sample_rate"]) / settings["sample_rate"]
    sound = (0.1 * np.sin(2 * np.pi * 1_000 * time)).astype(np.float32)
    expected = reference(sound, settings)
    got = apply(frontends.build(name), sound)[0]
    loud = expected > -50
    assert loud.any()
    np.testing.assert_allclose(got[loud], expected[loud], atol=1e-3)
    assert got[~loud].max() < -49


def assert_close_near_the_loudest(name: str, sound: np.ndarray) -> None:
    """Within 1e-3 dB of librosa less than 60 dB below the loudest cell of a frame."""
    sound = sound.astype(np.float32)
    expected = reference(sound, frontends.FRONTENDS[name])
    got = apply(frontends.build(name), sound)[0]
    near = expected > expected.max(axis=1, keepdims=True) - 60
    assert near.mean() > 0.25
    np.testing.assert_allclose(got[near], expected[near], atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", LIBROSAS)
def test_a_decaying_vibrato_agrees_near_the_loudest_cell(name):
    """No noise covers what lies between and above the harmonics of this tone."""
    rate = frontends.FRONTENDS[name]["sample_rate"]
    time = np.arange(2 * rate) / rate
    phase = 2 * np.pi * 220 * time - 8 / 5.5 * np.cos(2 * np.pi * 5.5 * time)
    sound = sum(
        0.4 / order * np.exp(-(1 + order / 2) * time) * np.sin(order * phase)
        for order in range(1, 20)
    )
    assert_close_near_the_loudest(name, sound)


@pytest.mark.parametrize("name", LIBROSAS)
def test_real_clips_agree_near_the_loudest_cell(name):
    paths = sorted(ORCHESTRA.glob("audio/*/*.ogg"))[::160]
    if not paths:
        pytest.skip(f"no clips in {ORCHESTRA}; set TFHIER_DATA")
    rate = frontends.FRONTENDS[name]["sample_rate"]
    for path in paths:
        sound, _ = audio.read(path, sample_rate=rate)
        assert_close_near_the_loudest(name, sound)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("name", frontends.FRONTENDS)
def test_both_transforms_agree(name, center):
    settings = {**frontends.FRONTENDS[name], "center": center, "eight_bit": False}
    by_fft, by_convolution = (
        LogMel(**settings, transform=transform) for transform in log_mel.TRANSFORMS
    )
    for kind, sound in signals(settings["sample_rate"]).items():
        fft, convolution = apply(by_fft, sound), apply(by_convolution, sound)
        np.testing.assert_allclose(fft, convolution, atol=2e-3, rtol=0, err_msg=kind)


def test_an_unknown_transform_is_refused():
    with pytest.raises(ValueError, match="one of fft, convolution. Received: .*'dct'"):
        LogMel(**SMALL, transform="dct")


def numpy_power(sound: np.ndarray, settings: dict) -> np.ndarray:
    """NumPy's FFT of every frame, in float64: (frames, 1 + num_fft // 2)."""
    num_fft, length = settings["num_fft"], settings.get("window_length")
    length = length or num_fft
    window = np.zeros(num_fft)
    before = (num_fft - length) // 2
    window[before : before + length] = 0.5 - 0.5 * np.cos(
        2 * np.pi * np.arange(length) / length
    )
    padded = np.pad(sound.astype(np.float64), num_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, num_fft)
    spectrum = np.fft.rfft(frames[:: settings["hop_length"]] * window)
    return np.abs(spectrum) ** 2


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, 2),  # bins of 31.25 Hz: the first above 50 Hz
        ({"min_hertz": 0.0}, 1),  # the lowest band is 0 at its lower edge
        ({"min_hertz": 1_000.0, "max_hertz": 4_000.0}, 33),
        ({"window_length": 400}, 2),
    ],
)
def test_power_is_numpys_from_the_first_bin_of_any_band(changes, first, rng):
    settings = {**SMALL, **changes}
    layer = LogMel(**settings)
    assert layer.first_bin == first
    sounds = rng.uniform(-1, 1, (2, 4_000)).astype(np.float32)
    power = layer.power(sounds).numpy()
    for got, sound in zip(power, sounds, strict=True):
        expected = numpy_power(sound, settings)
        expected = expected[:, first : first + got.shape[1]]
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
    highest = (first + power.shape[2] - 1) * 31.25
    top = settings["max_hertz"]
    assert top - 31.25 <= highest < top or highest == top == 8_000


@pytest.mark.parametrize("name", LIBROSAS)
def test_a_log_mel_is_that_of_its_power(name, rng):
    layer = frontends.build(name)
    sounds = rng.uniform(-1, 1, (2, 8_000)).astype(np.float32)
    power = layer.power(sounds)
    np.testing.assert_array_equal(layer.from_power(power), layer(sounds))
    # 10 dB more of power are 10 dB more in every band.
    louder = layer.from_power(10.0 * power).numpy()
    np.testing.assert_allclose(louder - layer(sounds), 10.0, atol=1e-3)


def test_no_power_lies_on_the_floor():
    layer = LogMel(**SMALL)
    power = np.zeros((1, 3, layer.power(np.zeros((1, 600), np.float32)).shape[2]))
    np.testing.assert_allclose(
        layer.from_power(power.astype(np.float32)), -100, atol=1e-4
    )


# -- Whole windows, magnitudes, natural logarithms ------------------------------------


def windows(sound: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Windows of a waveform, none padded, in float64: (frames, length)."""
    frames = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float64), length)
    turns = np.arange(length) / length
    return frames[::hop] * (0.5 - 0.5 * np.cos(2 * np.pi * turns))


@pytest.mark.parametrize("samples", [400, 559, 560, 561, 15_599, 15_600, 15_759])
def test_yamnets_front_end_by_hand(samples, rng):
    """Every 160 samples 400 of them, zeros up to 512 behind: 15,600 make 96 frames."""
    sound = rng.uniform(-1, 1, samples).astype(np.float32)
    magnitudes = np.abs(np.fft.rfft(windows(sound, 400, 160), 512))
    bank = mel.filter_bank(
        sample_rate=16_000,
        num_fft=512,
        num_mels=64,
        min_hertz=125.0,
        max_hertz=7_500.0,
        scale="kaldi",
    )
    expected = np.log(magnitudes @ bank + 0.001)
    assert len(expected) == {15_599: 95, 15_600: 96, 15_759: 96}.get(
        samples, 1 + (samples >= 560)
    )
    layer = frontends.build("yamnet_16k")
    assert layer.compute_output_shape((2, samples)) == (2, len(expected), 64)
    np.testing.assert_allclose(apply(layer, sound)[0], expected, atol=1e-4)


@pytest.mark.parametrize("exponent", [1, 2])
@pytest.mark.parametrize("offset", [None, 1e-5, 1e-8])
@pytest.mark.parametrize("center", [True, False])
def test_every_kind_of_log_mel_by_hand(exponent, offset, center, rng):
    sound = rng.uniform(-1, 1, 4_000).astype(np.float32)
    layer = LogMel(**SMALL, exponent=exponent, offset=offset, center=center)
    power = numpy_power(sound, SMALL)
    if not center:
        power = np.abs(np.fft.rfft(windows(sound, 512, 160))) ** 2
    first = layer.first_bin
    names = [name for name in SMALL if name != "hop_length"]
    mels = power ** (exponent / 2) @ mel.filter_bank(**{k: SMALL[k] for k in names})
    expected = np.log(mels + offset) if offset else 10 * np.log10(mels)
    np.testing.assert_allclose(apply(layer, sound)[0], expected, atol=1e-3)
    # Powers are powers whatever is made of them.
    got = layer.power(sound[None])
    expected = power[None, :, first : first + got.shape[2]]
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(layer.from_power(got), layer(sound[None]))


def test_frames_begin_with_the_first_sample_of_their_window():
    """Not with the zeros that a longer DFT has in front of it."""
    sound = np.zeros(1_600, np.float32)
    sound[160] = 1.0  # the first sample of frame 1, where the window is 0
    layer = frontends.build("yamnet_16k")
    heard = np.exp(apply(layer, sound)[0]).max(axis=1) > 0.0011
    np.testing.assert_array_equal(heard, [True, *7 * [False]])


@pytest.mark.parametrize("offset", [1e-3, 1e-8])
def test_silence_is_the_logarithm_of_the_offset(offset):
    layer = LogMel(**SMALL, exponent=1, offset=offset)
    got = apply(layer, np.zeros(1_600))
    np.testing.assert_allclose(got, np.log(offset), atol=1e-4)


# -- Rounded to 8 bits ----------------------------------------------------------------


def rounded_bank() -> np.ndarray:
    """YAMNet's mel bands in 127 steps: (bins, mels)."""
    names = ("sample_rate", "num_fft", "num_mels", "min_hertz", "max_hertz", "scale")
    settings = frontends.FRONTENDS["yamnet_16k"]
    bank = mel.filter_bank(**{name: settings[name] for name in names})
    return np.round(bank / bank.max() * 127) * bank.max() / 127


def rounded_spectrum(magnitudes: np.ndarray) -> np.ndarray:
    """Magnitudes (frames, bins) in 255 steps of the loudest of a frame."""
    step = magnitudes.max(axis=1, keepdims=True) / 255
    return np.round(magnitudes / step) * step


def test_eight_bits_by_hand(rng):
    """Bins, then bands, in steps; a bin half way between may fall to either side."""
    sound = rng.uniform(-1, 1, 15_600).astype(np.float32)
    magnitudes = np.abs(np.fft.rfft(windows(sound, 400, 160), 512))
    expected = np.log(rounded_spectrum(magnitudes) @ rounded_bank() + 0.001)
    got = apply(frontends.build("yamnet_16k_tflite"), sound)[0]
    off = np.abs(got - expected)
    assert (off < 1e-4).mean() > 0.99
    assert off.max() < 0.1
    plain = apply(frontends.build("yamnet_16k"), sound)[0]
    assert (np.abs(plain - expected) < 1e-4).mean() < 0.1


def test_every_frame_has_steps_of_its_own():
    """Known magnitudes: the loudest bin is 255 steps, half a step is nothing."""
    layer = frontends.build("yamnet_16k_tflite")
    magnitudes = np.zeros((2, 257), np.float32)
    magnitudes[:, 200] = 255.0
    magnitudes[:, [20, 50, 100]] = [0.4, 0.6, 1.4]
    magnitudes[1] *= 1e-3
    kept = np.zeros_like(magnitudes)
    kept[:, 200], kept[:, [50, 100]] = 255.0, 1.0
    kept[1] *= 1e-3
    got = layer.from_power(magnitudes[None] ** 2)[0]
    np.testing.assert_allclose(got, np.log(kept @ rounded_bank() + 0.001), atol=1e-4)


def test_the_loudest_bin_may_lie_outside_all_bands():
    """A loud hum below the lowest band takes the steps from what is in the bands."""
    time = np.arange(1_600) / 16_000
    hum = 0.5 * np.sin(2 * np.pi * 62.5 * time)
    quiet = 5e-4 * np.sin(2 * np.pi * 1_000 * time)
    layer = frontends.build("yamnet_16k_tflite")
    assert layer.first_bin == 0
    assert layer.power(np.zeros((1, 400), np.float32)).shape == (1, 1, 257)
    # Bands above 600 Hz: the window's side lobes of the hum are gone there.
    alone, both = apply(layer, quiet, hum + quiet)[:, :, 20:]
    assert alone.max() > np.log(0.02)
    np.testing.assert_allclose(both, np.log(0.001), atol=1e-4)
    without_rounding = apply(frontends.build("yamnet_16k"), hum + quiet)[0, :, 20:]
    assert without_rounding.max() > np.log(0.02)


@pytest.mark.parametrize("settings", [{}, {"exponent": 1}, {"offset": 1e-3}])
def test_eight_bits_survive_the_configuration(settings, rng):
    layer = LogMel(**SMALL, eight_bit=True, **settings)
    again = LogMel.from_config(layer.get_config())
    sound = rng.uniform(-1, 1, 1_600)
    np.testing.assert_array_equal(apply(again, sound), apply(layer, sound))
    plain = LogMel.from_config({**layer.get_config(), "eight_bit": False})
    assert np.abs(apply(plain, sound) - apply(layer, sound)).max() > 1e-3


def test_silence_in_eight_bits_is_silence():
    got = apply(frontends.build("yamnet_16k_tflite"), np.zeros(1_600))
    np.testing.assert_allclose(got, np.log(0.001), atol=1e-4)


# -- Other scales and windows, ends, lengths, levels ----------------------------------


def test_htk_scale_is_librosas_htk(rng):
    sound = rng.uniform(-1, 1, 16_000).astype(np.float32)
    got = apply(LogMel(**SMALL, scale="htk"), sound)[0]
    expected = reference(sound, SMALL, htk=True, norm=None)
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_kaldi_scale_sums_the_power_spectrum_with_its_bank(rng):
    sound = rng.uniform(-1, 1, 4_000).astype(np.float32)
    spectrum = librosa.stft(
        sound.astype(np.float64), n_fft=512, hop_length=160, pad_mode="reflect"
    )
    bank = mel.filter_bank(
        **{k: v for k, v in SMALL.items() if k != "hop_length"}, scale="kaldi"
    )
    expected = 10 * np.log10(np.abs(spectrum.T) ** 2 @ bank)
    got = apply(LogMel(**SMALL, scale="kaldi"), sound)[0]
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize("window_length", [2, 399, 400, 511, 512])
def test_a_shorter_window_is_centred_in_the_dft(window_length, rng):
    sound = rng.uniform(-1, 1, 4_000).astype(np.float32)
    got = apply(LogMel(**SMALL, window_length=window_length), sound)[0]
    settings = {**SMALL, "window_length": window_length}
    np.testing.assert_allclose(got, reference(sound, settings), atol=1e-3)


def test_ends_are_reflected(rng):
    """Padding by hand and dropping the frames at the ends gives the frames between."""
    sound = rng.uniform(-1, 1, 1_600).astype(np.float32)
    padded = np.pad(sound, 320, mode="reflect")
    got = apply(LogMel(**SMALL), sound)[0]
    longer = apply(LogMel(**SMALL), padded)[0]
    np.testing.assert_allclose(got, longer[2:-2], atol=1e-3)
    zeros = apply(LogMel(**SMALL), np.pad(sound, 320))[0][2:-2]
    assert np.abs(got - zeros)[[0, -1]].max() > 0.1


@pytest.mark.parametrize("samples", [257, 319, 320, 321, 1_599, 1_600])
def test_number_of_frames(samples):
    layer = LogMel(**SMALL)
    frames = 1 + samples // 160
    assert apply(layer, np.zeros(samples)).shape == (1, frames, 40)
    assert layer.compute_output_shape((None, samples)) == (None, frames, 40)
    assert layer.compute_output_shape((None, None)) == (None, None, 40)


def test_one_model_takes_any_length(rng):
    waveform = keras.Input((None,))
    layer = LogMel(**SMALL)
    model = keras.Model(waveform, layer(waveform))
    for samples in (900, 2_000):
        sound = rng.uniform(-1, 1, (2, samples)).astype(np.float32)
        np.testing.assert_allclose(model(sound), layer(sound), atol=1e-5)


def test_floor_is_absolute(rng):
    """A quiet clip's answer is its own, however loud the other clips are."""
    layer = LogMel(**SMALL)
    quiet = 1e-4 * rng.uniform(-1, 1, 1_600)
    loud = rng.uniform(-1, 1, 1_600)
    beside_loud = apply(layer, quiet, loud)[0]
    beside_quiet = apply(layer, quiet, quiet)[0]
    np.testing.assert_array_equal(beside_loud, beside_quiet)
    assert beside_loud.max() < apply(layer, loud).max() - 70


def test_silence_lies_on_the_floor():
    np.testing.assert_allclose(apply(LogMel(**SMALL), np.zeros(1_600)), -100, atol=1e-4)
    higher = LogMel(**SMALL, floor=1e-5)
    np.testing.assert_allclose(apply(higher, np.zeros(1_600)), -50, atol=1e-4)


def test_twice_the_amplitude_is_six_decibels_more(rng):
    sound = 0.1 * rng.uniform(-1, 1, 1_600)
    quiet, loud = apply(LogMel(**SMALL), sound, 2 * sound)
    np.testing.assert_allclose(loud - quiet, 20 * np.log10(2), atol=1e-3)


@pytest.mark.parametrize("exponent", [1, 2])
def test_gradient_of_silence_is_finite(exponent):
    layer = LogMel(**SMALL, exponent=exponent)
    silence = tf.zeros((1, 1_600))
    with tf.GradientTape() as tape:
        tape.watch(silence)
        total = tf.reduce_sum(layer(silence))
    assert np.isfinite(tape.gradient(total, silence)).all()


def test_a_half_precision_policy_changes_nothing():
    """The power of a full-scale tone, 256^2 here, lies above float16's 65504."""
    time = np.arange(32_000) / 32_000
    tone = np.sin(2 * np.pi * 1_000 * time)
    expected = apply(frontends.build("panns_32k"), tone)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        got = apply(frontends.build("panns_32k"), tone)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(got, expected)


def test_nothing_of_the_front_end_is_trained():
    layer = LogMel(**SMALL)
    layer.build((None, 1_600))
    assert layer.weights == []
    assert not layer.trainable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop_length": 0}, "hop_length >= 1 samples. Received: num_fft=512, hop_len"),
        ({"num_fft": 1}, "num_fft >= 2"),
        ({"window_length": 513}, "2 <= window_length <= num_fft"),
        ({"window_length": 0}, "2 <= window_length <= num_fft"),
        ({"floor": 0.0}, "must be positive. Received: floor=0.0, offset=None"),
        ({"offset": 0.0}, "must be positive. Received: floor=1e-10, offset=0.0"),
        ({"exponent": 0.5}, r"magnitudes \(exponent=1\). Received: exponent=0.5"),
        ({"max_hertz": 9_000.0}, "max_hertz <= sample_rate / 2"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LogMel(**{**SMALL, **changes})


def test_short_or_misshapen_inputs_are_refused():
    with pytest.raises(ValueError, match=r"257 samples or more.*256 samples. Pad"):
        LogMel(**SMALL)(np.zeros((1, 256), np.float32))
    with pytest.raises(ValueError, match=r"400 samples or more \(one window\).*399"):
        frontends.build("yamnet_16k")(np.zeros((1, 399), np.float32))
    with pytest.raises(ValueError, match=r"shape \(batch, samples\)"):
        LogMel(**SMALL)(np.zeros((1, 600, 1), np.float32))


def test_front_ends_are_described():
    sentences = frontends.describe()
    assert set(sentences) == set(frontends.FRONTENDS)
    assert sentences["panns_32k"] == (
        "32000 Hz, 64 mels 50-14000 Hz, 32-ms Hann, 10-ms hop"
    )
    assert sentences["yamnet_16k"] == (
        "16000 Hz, 64 mels 125-7500 Hz, 25-ms Hann, 10-ms hop"
    )
