"""Audio files: what is read equals what was stored, and bad files say why."""

import os
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tfhier import audio, sound_files
from tfhier.errors import InputError

RATE = 16_000
DATA = Path(
    os.environ.get("TFHIER_DATA") or Path(__file__).parents[1] / "../shared/data"
)


def _noise(num_samples: int = RATE, channels: int = 1) -> np.ndarray:
    shape = (num_samples, channels) if channels > 1 else num_samples
    return np.random.default_rng(7).uniform(-0.8, 0.8, shape)


def _tone(seconds: float, *, sample_rate: int, frequency: float = 440.0) -> np.ndarray:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return 0.5 * np.sin(2 * np.pi * frequency * time)


def _store(path: Path, sound: np.ndarray, rate: int = RATE, **options) -> bytes:
    soundfile.write(path, sound, rate, **options)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("container", "subtype", "step"),
    [
        ("WAV", "PCM_U8", 2**-7),
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_24", 2**-22),
        ("WAV", "PCM_32", 2**-23),
        ("WAV", "FLOAT", 1e-7),
        ("WAV", "DOUBLE", 1e-7),
        ("WAVEX", "PCM_24", 2**-22),
        ("RF64", "PCM_16", 2**-15),
        ("FLAC", "PCM_16", 2**-15),
        ("FLAC", "PCM_24", 2**-23),
        ("AIFF", "PCM_16", 2**-15),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_files_return_the_mean_of_their_channels(
    tmp_path, container, subtype, step, channels
):
    # An odd number of bytes: 8 bits, an odd number of frames.
    sound = _noise(4001, channels)
    path = tmp_path / f"a.{container.lower()}"
    _store(path, sound, format=container, subtype=subtype)
    waveform, rate = audio.read(path)
    expected = sound if channels == 1 else sound.mean(axis=1)
    assert rate == RATE
    assert waveform.dtype == np.float32
    assert waveform.flags.c_contiguous
    np.testing.assert_allclose(waveform, expected, rtol=0, atol=1.01 * step)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_files_sound_as_what_was_stored(tmp_path, container, subtype, channels):
    tone = _tone(1.0, sample_rate=RATE)
    path = tmp_path / f"a.{container.lower()}"
    _store(path, np.stack([tone] * channels, axis=1), format=container, subtype=subtype)
    waveform, rate = audio.read(path)
    assert (rate, len(waveform)) == (RATE, len(tone))
    assert np.corrcoef(waveform, tone)[0, 1] > 0.99


def test_long_files_are_the_same_as_short_blocks(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    _store(path, _noise(10_000, 2))
    whole, _ = audio.read(path)
    monkeypatch.setattr(sound_files, "_BLOCK", 1_000)
    blocks, _ = audio.read(path)
    np.testing.assert_array_equal(blocks, whole)


def test_content_decides_and_not_the_name(tmp_path):
    path = tmp_path / "a.mp3"
    _store(path, _noise(), format="FLAC")
    assert len(audio.read(path)[0]) == RATE


@pytest.mark.parametrize(
    "name", ["größe 音.wav", "a.WAV", "no_suffix", os.fsdecode(b"latin \xe4.wav")]
)
def test_names_may_be_of_any_kind(tmp_path, name):
    _store(tmp_path / "any.wav", _noise(), format="WAV")
    path = (tmp_path / "any.wav").rename(tmp_path / name)
    assert len(audio.read(str(path))[0]) == RATE


def test_floating_point_files_stay_as_loud_as_they_are(tmp_path):
    path = tmp_path / "loud.wav"
    _store(path, np.array([0.0, 3.5, -2.0]), subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(path)[0], [0.0, 3.5, -2.0])


@pytest.mark.parametrize(
    ("riff_size", "data_size"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg to a pipe
        (0x7FFFF024, 0x7FFFF000),  # sox to a pipe
        (0, 0),
        (8, 0),
        (36, 0),  # a recorder that was switched off
        (0xFFFFFFFF, 0),
    ],
)
def test_wav_streams_of_unknown_length_are_read_whole(tmp_path, riff_size, data_size):
    path = tmp_path / "stream.wav"
    content = bytearray(_store(path, _noise()))
    expected, _ = audio.read(path)
    content[4:8] = struct.pack("<I", riff_size)
    content[40:44] = struct.pack("<I", data_size)
    path.write_bytes(content)
    np.testing.assert_array_equal(audio.read(path)[0], expected)


def test_chunks_of_odd_size_are_stepped_over(tmp_path):
    path = tmp_path / "chunks.wav"
    content = _store(path, _noise(1001), subtype="PCM_U8")
    expected, _ = audio.read(path)
    odd = b"note" + struct.pack("<I", 3) + b"abc\0"
    content = content[:36] + odd + content[36:] + odd
    path.write_bytes(b"RIFF" + struct.pack("<I", len(content) - 8) + content[8:])
    np.testing.assert_array_equal(audio.read(path)[0], expected)


def test_flac_streams_of_unknown_length_are_read_whole(tmp_path):
    path = tmp_path / "stream.flac"
    content = bytearray(_store(path, _noise(50_000)))
    expected, _ = audio.read(path)
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    np.testing.assert_array_equal(audio.read(path)[0], expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {"subtype": "PCM_16"}),
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.wav", {"format": "RF64"}),
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.ogg", {"subtype": "OPUS"}),
        ("a.mp3", {}),
    ],
)
@pytest.mark.parametrize("kept", [0.25, 0.5, 0.9, 0.97])
def test_truncated_files_are_refused(tmp_path, name, options, kept):
    path = tmp_path / name
    content = _store(path, _noise(3 * RATE, 2), **options)
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(audio.AudioError, match="a\\..*: is truncated"):
        audio.read(path)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_one_missing_byte_is_seen(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(_store(path, _noise())[:-1])
    with pytest.raises(audio.AudioError, match="is truncated"):
        audio.read(path)


def test_an_ogg_cut_between_two_pages_is_refused(tmp_path):
    path = tmp_path / "a.ogg"
    content = _store(path, _noise(3 * RATE))
    path.write_bytes(content[: content.rindex(b"OggS")])
    with pytest.raises(audio.AudioError, match="does not end the stream"):
        audio.read(path)


def _mp3_frame_size(header: bytes) -> int:
    """Size in bytes of an MPEG-2 layer III frame at 16 kHz."""
    kbits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    return 72 * 1000 * kbits[header[2] >> 4] // RATE + (header[2] >> 1 & 1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\1\0" + bytes(128 + 100)])
def test_an_mp3_without_a_length_is_read_as_far_as_it_goes(tmp_path, channels, tag):
    path = tmp_path / "a.mp3"
    # Quiet, then loud: the first frame's bit rate tells nothing of the length.
    sound = _noise(4 * RATE, channels)
    sound[: 2 * RATE] *= 0.001
    content = _store(path, sound)
    whole, _ = audio.read(path)
    assert content[4:48].find(b"Xing") >= 0
    content = content[_mp3_frame_size(content) :]
    path.write_bytes(tag + content)
    waveform, rate = audio.read(path)
    assert rate == RATE
    # The lost header also told how many samples of the encoder's delay to drop.
    lag = np.argmax(np.correlate(waveform, whole[3 * RATE : 3 * RATE + 4000]))
    lag -= 3 * RATE
    assert 0 <= lag <= 3 * 576
    np.testing.assert_allclose(
        waveform[lag + 4000 : lag + 4000 + 50_000], whole[4000:54_000], atol=1e-4
    )
    path.write_bytes(tag + content[: len(content) // 2])
    assert 0.4 * len(whole) < len(audio.read(path)[0]) < 0.9 * len(whole)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_mpeg_version_without_a_length_is_read_whole(tmp_path, rate, channels):
    path = tmp_path / "a.mp3"
    sound = _noise(2 * rate, channels)
    sound[:rate] *= 0.001
    content = _store(path, sound, rate)
    second = re.search(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", content[4:]).start() + 4
    assert b"Xing" in content[:second]
    path.write_bytes(content[second:])
    assert 2 * rate <= len(audio.read(path)[0]) <= 2 * rate + 3 * 1152


def test_an_mp3_with_tags_at_both_ends_is_whole(tmp_path):
    path = tmp_path / "a.mp3"
    content = _store(path, _noise())
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
    path.write_bytes(tag + content + b"TAG" + bytes(125))
    assert len(audio.read(path)[0]) == RATE


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.wav", b"", "is empty \\(0 bytes\\)"),
        ("one.wav", b"\xff", "is not audio"),
        ("text.wav", b"station,date\n" * 99, "is not audio"),
        ("text.mp3", b"station,date\n" * 99, "is not audio"),
        ("text.m4a", b"station,date\n" * 99, "is not audio"),
        ("text.raw", b"station,date\n" * 99, "is raw audio without a header"),
        ("text.gsm", b"station,date\n" * 99, "has no audio header"),
        ("head.wav", b"RIFF\x24\x00\x00\x00WAVE", "is truncated, damaged or"),
        ("head.ogg", b"OggS\0\2", "is truncated: its last OGG page is cut"),
        ("head.flac", b"fLaC\0\0\0\x22", "is truncated, damaged or"),
    ],
)
def test_what_is_not_audio_says_so(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(audio.AudioError, match=f"{name}: {reason}") as caught:
        audio.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert isinstance(caught.value, InputError)


def test_missing_files_and_folders_say_so(tmp_path):
    with pytest.raises(audio.AudioError, match="gone.wav: there is no such file"):
        audio.read(tmp_path / "gone.wav")
    with pytest.raises(audio.AudioError, match="is a folder"):
        audio.read(tmp_path)


def test_files_without_permission_say_so(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.wav"
    _store(path, _noise())
    monkeypatch.setattr(Path, "open", refuse)  # root may read any file
    with pytest.raises(audio.AudioError, match="a.wav: may not be read"):
        audio.read(path)


@pytest.mark.parametrize("name", ["a.wav", "a.ogg"])
def test_a_header_without_samples_is_refused(tmp_path, name):
    path = tmp_path / name
    _store(path, np.zeros(0))
    with pytest.raises(audio.AudioError, match="header but no samples"):
        audio.read(path, allow_silent=True)


def test_an_empty_wav_with_a_last_chunk_has_no_samples(tmp_path):
    path = tmp_path / "a.wav"
    content = _store(path, np.zeros(0)) + b"LIST\x04\0\0\0abcd"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(content) - 8) + content[8:])
    with pytest.raises(audio.AudioError, match="header but no samples"):
        audio.read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_no_numbers_are_refused(tmp_path, value, channels):
    sound = _noise(100, channels)
    sound[50] = value
    path = tmp_path / "a.wav"
    _store(path, sound, subtype="DOUBLE")
    with pytest.raises(audio.AudioError, match="NaN or infinite"):
        audio.read(path)


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_silent_files_are_refused_unless_allowed(tmp_path, level):
    path = tmp_path / "a.wav"
    _store(path, np.full(100, level))
    with pytest.raises(audio.AudioError, match="is silent"):
        audio.read(path)
    waveform, _ = audio.read(path, allow_silent=True)
    np.testing.assert_array_equal(waveform, np.full(100, level))


def test_channels_of_opposite_sign_are_a_silent_mean(tmp_path):
    path = tmp_path / "a.wav"
    left = _noise(100)
    _store(path, np.stack([left, -left], axis=1), subtype="FLOAT")
    with pytest.raises(audio.AudioError, match="is silent"):
        audio.read(path)


@pytest.mark.parametrize("target", [8_000, 16_000, 32_000, 22_050])
def test_reading_resamples_a_tone_to_the_same_tone(tmp_path, target):
    path = tmp_path / "a.wav"
    _store(path, _tone(1.0, sample_rate=44_100), 44_100, subtype="FLOAT")
    waveform, rate = audio.read(path, sample_rate=target)
    expected = _tone(1.0, sample_rate=target)
    assert rate == target
    assert len(waveform) == len(expected)
    middle = slice(target // 10, -target // 10)
    np.testing.assert_allclose(waveform[middle], expected[middle], atol=1e-4)


def test_resampling_leaves_no_alias():
    high = _tone(1.0, sample_rate=44_100, frequency=15_000)
    low = audio.resample(high, source_rate=44_100, target_rate=16_000)
    assert np.abs(low[800:-800]).max() < 1e-4


def test_resampling_to_the_same_rate_returns_the_input():
    waveform = _noise(10).astype(np.float32)
    same = audio.resample(waveform, source_rate=RATE, target_rate=RATE)
    assert same is waveform
    empty = audio.resample(waveform[:0], source_rate=RATE, target_rate=8_000)
    assert empty.shape == (0,)


@pytest.mark.parametrize("rate", [0, -1, 16_000.0, True, None, "16000"])
def test_rates_are_whole_and_positive(tmp_path, rate):
    waveform = _noise(10)
    with pytest.raises(InputError, match="target_rate must be a whole number"):
        audio.resample(waveform, source_rate=RATE, target_rate=rate)
    with pytest.raises(InputError, match="source_rate must be a whole number"):
        audio.resample(waveform, source_rate=rate, target_rate=RATE)
    with pytest.raises(InputError, match="sample_rate must be a whole number"):
        audio.write(tmp_path / "a.wav", waveform, sample_rate=rate)
    if rate is not None:
        with pytest.raises(InputError, match="sample_rate must be a whole number"):
            audio.read(tmp_path / "a.wav", sample_rate=rate)


def test_a_file_shorter_than_one_sample_of_the_new_rate_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    _store(path, np.array([0.1, 0.2]), 48_000)
    with pytest.raises(audio.AudioError, match="too short"):
        audio.read(path, sample_rate=8_000)


@pytest.mark.parametrize(("name", "step"), [("a.wav", 2**-15), ("a.FLAC", 2**-15)])
def test_written_waveforms_are_read_back(tmp_path, name, step):
    waveform = _noise(50_001).astype(np.float32)
    waveform[:2] = [-1, 1]
    path = tmp_path / "new" / name
    audio.write(path, waveform, sample_rate=RATE)
    again, rate = audio.read(path)
    assert rate == RATE
    np.testing.assert_allclose(again, waveform, rtol=0, atol=1.01 * step)
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_a_long_waveform_is_written_as_ogg(tmp_path):
    tone = _tone(60.0, sample_rate=RATE)
    path = tmp_path / "a.ogg"
    audio.write(path, tone, sample_rate=RATE)
    again, _ = audio.read(path)
    assert len(again) == len(tone)
    assert np.corrcoef(again, tone)[0, 1] > 0.99


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        ([0.0, 1.5], "its peak is 1.5"),
        ([0.0, -1.01], "its peak is 1.01"),
        ([0.0, np.nan], "must be finite"),
        ([np.inf, 0.0], "must be finite"),
        ([[0.0, 0.5]], "shape \\(samples,\\); got \\(1, 2\\)"),
        ([], "has no samples"),
    ],
)
def test_waveforms_that_would_be_distorted_are_not_written(tmp_path, waveform, reason):
    path = tmp_path / "a.wav"
    with pytest.raises(InputError, match=reason):
        audio.write(path, np.array(waveform), sample_rate=RATE)
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_written_say_so(tmp_path):
    waveform = _noise(100)
    with pytest.raises(audio.AudioError, match="must end in .wav, .flac, .ogg"):
        audio.write(tmp_path / "a.mp4", waveform, sample_rate=RATE)
    with pytest.raises(audio.AudioError, match="cannot be written at 9000000 Hz"):
        audio.write(tmp_path / "a.flac", waveform, sample_rate=9_000_000)
    (tmp_path / "file").write_text("")
    with pytest.raises(audio.AudioError, match="a.wav: cannot be written"):
        audio.write(tmp_path / "file" / "a.wav", waveform, sample_rate=RATE)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_fix_length_pads_with_zeros_and_cuts_at_the_end():
    waveform = np.array([1, 2, 3], np.float32)
    np.testing.assert_array_equal(audio.fix_length(waveform, 5), [1, 2, 3, 0, 0])
    np.testing.assert_array_equal(audio.fix_length(waveform, 2), [1, 2])
    np.testing.assert_array_equal(audio.fix_length(waveform, 3), waveform)
    assert audio.fix_length(waveform, 5).dtype == np.float32
    with pytest.raises(InputError, match="shape"):
        audio.fix_length(np.zeros((2, 3)), 3)
    with pytest.raises(InputError, match="0 or more; got -1"):
        audio.fix_length(waveform, -1)


@pytest.mark.parametrize("start", [b"\0\0\0\x20ftypM4A ", b"\xff\xf1\x50\x80aaaaaaaa"])
def test_m4a_without_pyav_names_the_remedy(tmp_path, monkeypatch, start):
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.m4a"
    path.write_bytes(start)
    with pytest.raises(InputError, match=r"pip install 'tfhier\[m4a\]'") as caught:
        audio.read(path)
    assert not isinstance(caught.value, audio.AudioError)


def _encode(path: Path, sound: np.ndarray, codec: str, **options) -> bytes:
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options) as container:
        track = container.add_stream(codec, rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.stack([sound, sound]).astype(np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = 44_100
        for packet in [*track.encode(frame), *track.encode(None)]:
            container.mux(packet)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.aac", "aac"),
        ("a.mp4", "aac"),
        ("b.m4a", "alac"),
        ("a.mp3", "libmp3lame"),
    ],
)
def test_files_of_another_encoder_are_whole(tmp_path, name, codec):
    tone = _tone(2.0, sample_rate=44_100)
    _encode(tmp_path / name, tone, codec)
    waveform, rate = audio.read(tmp_path / name)
    assert rate == 44_100
    assert abs(len(waveform) - len(tone)) <= 2048
    spectrum = np.abs(
        np.fft.rfft(waveform[4096:-4096] * np.hanning(len(waveform) - 8192))
    )
    peak = np.argmax(spectrum) * rate / (len(waveform) - 8192)
    assert abs(peak - 440) < 1
    assert abs(np.sqrt(2 * np.mean(waveform[4096:-4096] ** 2)) - 0.5) < 0.05


@pytest.mark.parametrize("flags", [{}, {"movflags": "faststart"}])
def test_a_truncated_m4a_is_refused(tmp_path, flags):
    path = tmp_path / "a.m4a"
    content = _encode(path, _noise(2 * 44_100), "aac", **flags)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(audio.AudioError, match="a.m4a: is truncated"):
        audio.read(path)


def test_an_m4a_cut_between_two_packets_is_refused(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "a.m4a"
    content = _encode(path, _noise(2 * 44_100), "aac", movflags="faststart")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
    path.write_bytes(content[: packets[len(packets) // 2].pos])
    with pytest.raises(audio.AudioError, match="is truncated: it declares"):
        audio.read(path)


def test_real_clips_are_whole():
    paths = sorted(DATA.glob("**/*.ogg"))[::40]
    if not paths:
        pytest.skip("the real clips are not here")
    for path in paths:
        waveform, rate = audio.read(path)
        assert len(waveform) > rate
        assert np.abs(waveform).max() <= 1.5
