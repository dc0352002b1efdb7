"""Recordings in blocks: every bit as if read whole, in little memory."""

import io
import os
import re
import struct
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tfhier import audio, containers, recordings, sound_files
from tfhier.errors import InputError
from tfhier.recordings import Recording, pcm_blocks

RATES = (8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000, 384_000)
# Encoding of a stream -> what WAV files call it.
SUBTYPES = {
    "u8": "PCM_U8",
    "s16le": "PCM_16",
    "s24le": "PCM_24",
    "s32le": "PCM_32",
    "f32le": "FLOAT",
}
MIB = 1 << 20


class Torn(io.BytesIO):
    """A stream whose reads bring any number of bytes, as a pipe's do."""

    def __init__(self, content: bytes, rng: np.random.Generator, most: int):
        super().__init__(content)
        self._rng, self._most = rng, most

    def read1(self, size: int = -1) -> bytes:
        return super().read1(min(size, int(self._rng.integers(1, self._most + 1))))


def _store(path: Path, sound: np.ndarray, rate: int, **options) -> bytes:
    soundfile.write(path, sound, rate, **options)
    return path.read_bytes()


def _noise(rng, seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    shape = (round(seconds * rate) + 7, channels)
    return rng.uniform(-0.9, 0.9, shape).astype(np.float32)


def _all(path: Path, sample_rate: int) -> np.ndarray:
    with Recording(path) as recording:
        return np.concatenate(list(recording.blocks(sample_rate=sample_rate)))


def _pcm(path: Path) -> bytes:
    """The samples of a WAV file, as bytes."""
    content = path.read_bytes()
    at = content.index(b"data")
    (size,) = struct.unpack("<I", content[at + 4 : at + 8])
    return content[at + 8 : at + 8 + size]


@pytest.mark.parametrize("target", [16_000, 32_000])
@pytest.mark.parametrize("rate", RATES)
def test_no_bit_depends_on_how_a_recording_is_cut(
    tmp_path, monkeypatch, rng, rate, target
):
    path = tmp_path / "a.wav"
    _store(path, _noise(rng, 1.5, rate, 2), rate, subtype="PCM_16")
    expected, _ = audio.read(path, sample_rate=target)
    assert len(expected) == round((round(1.5 * rate) + 7) * target / rate)
    whole = audio.read(path)[0]
    for most in (40, rate // 3, 10 * rate):
        monkeypatch.setattr(sound_files, "_BLOCK", int(rng.integers(most, 2 * most)))
        np.testing.assert_array_equal(_all(path, target), expected)
        stream = Torn(_pcm(path), rng, 8 * most)
        streamed = pcm_blocks(
            stream, source_rate=rate, num_channels=2, sample_rate=target
        )
        np.testing.assert_array_equal(np.concatenate(list(streamed)), expected)
        cuts = np.sort(rng.integers(0, len(whole), 20))
        parts = audio.resample_blocks(
            np.split(whole, cuts), source_rate=rate, target_rate=target
        )
        np.testing.assert_array_equal(np.concatenate(list(parts)), expected)


@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("encoding", SUBTYPES)
def test_a_stream_equals_a_file_of_the_same_samples(tmp_path, rng, encoding, channels):
    path = tmp_path / "a.wav"
    sound = _noise(rng, 0.1, 16_000, channels)
    sound[:2] = [[-1.0], [1.0]]
    _store(path, sound, 16_000, subtype=SUBTYPES[encoding])
    expected, _ = audio.read(path)
    with Recording(path) as recording:
        assert recording.num_channels == channels
    np.testing.assert_array_equal(_all(path, 16_000), expected)
    for most in (1, 5, 1000, 100_000):
        blocks = pcm_blocks(
            Torn(_pcm(path), rng, most),
            source_rate=16_000,
            sample_rate=16_000,
            encoding=encoding,
            num_channels=channels,
        )
        np.testing.assert_array_equal(np.concatenate(list(blocks)), expected)


@pytest.mark.parametrize(
    ("encoding", "content", "expected"),
    [
        ("u8", b"\x00\x80\xff", [-1, 0, 127 / 128]),
        ("s16le", b"\x00\x80\x01\x00", [-1, 2**-15]),
        ("s24le", b"\x00\x00\x80\x01\x00\x00\xff\xff\xff", [-1, 2**-23, -(2**-23)]),
        ("s32le", b"\x00\x00\x00\x80\x00\x01\x00\x00", [-1, 2**-23]),
        ("f32le", struct.pack("<2f", -3.5, 1e-9), [-3.5, np.float32(1e-9)]),
    ],
)
def test_samples_of_known_bytes(encoding, content, expected):
    for cut_frame in (b"", content[:-1][: len(content) // len(expected) - 1]):
        (block,) = pcm_blocks(
            io.BytesIO(content + cut_frame),
            source_rate=8_000,
            sample_rate=8_000,
            encoding=encoding,
        )
        assert block.dtype == np.float32
        np.testing.assert_array_equal(block, np.array(expected, np.float32))


@pytest.mark.parametrize("length", [1, 2, 3, 5, 100, 8191])
@pytest.mark.parametrize("rate", [8_000, 22_050, 47_999, 384_000])
def test_short_sounds_keep_their_end(rng, rate, length):
    sound = rng.uniform(-1, 1, length).astype(np.float32)
    expected = audio.resample(sound, source_rate=rate, target_rate=16_000)
    blocks = list(
        audio.resample_blocks(
            np.split(sound, range(1, length)), source_rate=rate, target_rate=16_000
        )
    )
    np.testing.assert_array_equal(np.concatenate([*blocks, expected[:0]]), expected)
    assert all(block.size for block in blocks)


@pytest.mark.parametrize(
    ("rate", "hours"), [(8_000, 2), (44_100, 0.5), (47_999, 0.5), (384_000, 0.05)]
)
def test_clicks_stay_where_they_are_for_hours(rate, hours):
    num_samples = round(hours * 3600) * rate
    every = 61 * rate + 17
    clicks = np.arange(every // 3, num_samples, every)

    def made():
        for at in range(0, num_samples, 3 * rate + 1):
            block = np.zeros(min(3 * rate + 1, num_samples - at), np.float32)
            block[clicks[(clicks >= at) & (clicks < at + len(block))] - at] = 1
            yield block

    at, places = 0, []
    for block in audio.resample_blocks(made(), source_rate=rate, target_rate=16_000):
        # The two or three largest samples of a click; its side lobes are a quarter.
        for place in np.flatnonzero(np.abs(block) > 0.5 * min(1, 16_000 / rate)):
            if not places or at + place - places[-1] > 3:
                places.append(at + place)
        at += len(block)
    assert at == round(num_samples * 16_000 / rate)
    assert len(places) == len(clicks)
    assert np.abs(np.array(places) - clicks * 16_000 / rate).max() <= 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.rf64", {"format": "RF64"}),
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.ogg", {"subtype": "OPUS"}),
        ("a.mp3", {}),
    ],
)
@pytest.mark.parametrize("target", [48_000, 16_000])
def test_every_format_equals_reading_it_whole(
    tmp_path, monkeypatch, rng, name, options, target
):
    path = tmp_path / name
    sound = _noise(rng, 1.3, 48_000, 2)
    _store(path, sound, 48_000, **options)
    expected, _ = audio.read(path, sample_rate=target)
    monkeypatch.setattr(sound_files, "_BLOCK", 5_000)
    with Recording(path) as recording:
        assert (recording.source_rate, recording.num_channels) == (48_000, 2)
        assert recording.expected_seconds == pytest.approx(len(sound) / 48_000)
        assert recording.seconds == 0
        blocks = list(recording.blocks(sample_rate=target))
        assert recording.seconds == pytest.approx(len(sound) / 48_000)
    assert len(blocks) > 5
    assert all(block.dtype == np.float32 and block.size for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_m4a_comes_in_blocks(tmp_path, rng):
    av = pytest.importorskip("av")
    path = tmp_path / "a.m4a"
    sound = _noise(rng, 5, 44_100, 2).T.copy()
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        for packet in [*track.encode(frame), *track.encode(None)]:
            container.mux(packet)
    expected, _ = audio.read(path, sample_rate=16_000)
    with Recording(path) as recording:
        assert (recording.source_rate, recording.num_channels) == (44_100, 2)
        assert recording.expected_seconds == pytest.approx(5, abs=0.05)
        blocks = list(recording.blocks(sample_rate=16_000))
        assert recording.seconds == pytest.approx(5, abs=0.05)
    assert max(len(block) for block in blocks) < 16_000
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_the_rates_of_recorders_and_bats_are_known(tmp_path, rng):
    path = tmp_path / "a.wav"
    time = np.arange(384_000) / 384_000
    tone = 0.5 * np.sin(2 * np.pi * 1000 * time)
    sound = np.repeat(tone[:, np.newaxis], 8, axis=1)
    _store(path, sound, 384_000, subtype="PCM_24")
    heard = _all(path, 16_000)
    assert len(heard) == 16_000
    np.testing.assert_allclose(heard[800:-800], tone[::24][800:-800], atol=1e-4)


def test_silence_is_in_order(tmp_path):
    path = tmp_path / "a.wav"
    _store(path, np.zeros(100), 8_000)
    np.testing.assert_array_equal(_all(path, 16_000), np.zeros(200))


def _bad_files(folder: Path, rng) -> dict[str, Path]:
    sound = _noise(rng, 3, 16_000, 2)
    paths = {"missing": folder / "missing.wav", "folder": folder}
    contents = {
        "0 bytes": ("a.wav", b""),
        "text": ("b.wav", b"station,date\n" * 99),
        "raw": ("c.raw", bytes(99)),
        "WAV head": ("d.wav", b"RIFF\x24\0\0\0WAVE"),
        "FLAC head": ("e.flac", b"fLaC\0\0\0\x22"),
    }
    for kept in (0.3, 0.6, 0.97):
        for suffix in (".wav", ".flac", ".ogg", ".mp3"):
            whole = _store(folder / f"whole{suffix}", sound, 16_000)
            contents[f"{kept} of {suffix}"] = (
                f"cut{kept}{suffix}",
                whole[: int(kept * len(whole))],
            )
    sound[-5] = np.nan
    contents["NaN"] = (
        "f.wav",
        _store(folder / "nan.wav", sound, 16_000, subtype="FLOAT"),
    )
    contents["no samples"] = (
        "g.wav",
        _store(folder / "none.wav", sound[:0], 16_000),
    )
    for key, (name, content) in contents.items():
        paths[key] = folder / name
        paths[key].write_bytes(content)
    return paths


def test_faults_are_those_of_reading_whole(tmp_path, rng):
    for fault, path in _bad_files(tmp_path, rng).items():
        with pytest.raises(audio.AudioError) as expected:
            audio.read(path, allow_silent=True)
        with pytest.raises(audio.AudioError) as caught:
            _all(path, 8_000)
        assert str(caught.value) == str(expected.value), fault
        assert str(caught.value).startswith(f"{path}: ")


def test_what_was_in_order_comes_before_the_fault(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(sound_files, "_BLOCK", 4_000)
    path = tmp_path / "a.flac"
    sound = _noise(rng, 3, 16_000)
    _store(path, sound, 16_000)
    whole, _ = audio.read(path)
    path.write_bytes(path.read_bytes()[:-30_000])
    heard = []
    with (
        Recording(path) as recording,
        pytest.raises(audio.AudioError, match="a.flac: is truncated"),
    ):
        for block in recording.blocks(sample_rate=16_000):
            heard.append(block)
    heard = np.concatenate(heard)
    assert len(heard) > 16_000
    np.testing.assert_array_equal(heard, whole[: len(heard)])


def test_a_recording_is_read_once_and_closed(tmp_path, rng):
    path = tmp_path / "a.wav"
    content = bytearray(_store(path, _noise(rng, 1, 8_000), 8_000))
    content[4:8] = content[40:44] = bytes(4)
    path.write_bytes(content)
    num_open = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    with Recording(path) as recording:
        with pytest.raises(InputError, match="sample_rate must be a whole"):
            recording.blocks(sample_rate=0)
        next(recording.blocks(sample_rate=8_000))
        with pytest.raises(RuntimeError, match="open it again"):
            recording.blocks(sample_rate=8_000)
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == num_open


def test_rates_that_cannot_be_resampled_are_refused(tmp_path):
    path = tmp_path / "a.wav"
    content = bytearray(_store(path, np.full(100, 0.5), 8_000))
    for rate, reason in ((1, "10000 times the other"), (2_000_000_000, "is at most")):
        content[24:28] = struct.pack("<I", rate)
        path.write_bytes(content)
        with (
            Recording(path) as recording,
            pytest.raises(audio.AudioError, match=f"a.wav: its header.*{reason}"),
        ):
            recording.blocks(sample_rate=16_000)


def test_a_recording_of_less_than_a_sample_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    _store(path, np.array([0.1, 0.2]), 48_000)
    with pytest.raises(audio.AudioError, match="a.wav: is too short .* at 8000 Hz"):
        _all(path, 8_000)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"source_rate": 0}, "source_rate must be a whole"),
        ({"source_rate": 16_000.0}, "source_rate must be a whole"),
        ({"source_rate": 10**9}, "source_rate is at most"),
        ({"source_rate": 1}, "more than 10000 times the other"),
        ({"sample_rate": -1}, "sample_rate must be a whole"),
        ({"encoding": "mp3"}, "encoding must be one of s16le, s24le"),
        ({"num_channels": 0}, "num_channels must be .* got 0"),
        ({"num_channels": 2.0}, "num_channels must be"),
        ({"num_channels": 4096}, "num_channels must be"),
        ({"stream": io.StringIO("text")}, "must be binary"),
    ],
)
def test_streams_of_nonsense_are_refused_at_once(options, reason):
    options = {"source_rate": 48_000, "sample_rate": 16_000} | options
    stream = options.pop("stream", io.BytesIO(bytes(100)))
    with pytest.raises(InputError, match=reason):
        pcm_blocks(stream, **options)


def test_a_wav_file_is_no_stream_of_samples(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(100), 8_000)
    with (
        path.open("rb") as stream,
        pytest.raises(audio.AudioError, match=r"header of a WAV file.*arecord -t raw"),
    ):
        list(pcm_blocks(stream, source_rate=8_000, sample_rate=8_000))


def test_faults_of_a_stream_say_so(tmp_path):
    def heard(stream, **options):
        options = {"source_rate": 8_000, "sample_rate": 8_000} | options
        return list(pcm_blocks(stream, **options))

    for content in (b"", b"\1"):
        with pytest.raises(audio.AudioError, match="The stream: ended without"):
            heard(io.BytesIO(content))
    with pytest.raises(audio.AudioError, match="is too short for a single sample"):
        heard(io.BytesIO(bytes(2)), source_rate=48_000)
    for value in (np.nan, np.inf):
        content = np.array([0.5, value], "<f4").tobytes()
        with pytest.raises(audio.AudioError, match="NaN or infinite"):
            heard(io.BytesIO(content), encoding="f32le")
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with (
            open(folder, "rb", buffering=0, closefd=False) as stream,
            pytest.raises(audio.AudioError, match="cannot be read"),
        ):
            heard(stream)
    except IsADirectoryError:  # refused by Python itself
        pass
    finally:
        os.close(folder)


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_block_is_handed_on_when_it_is_there(buffering):
    away, there = os.pipe()
    with open(away, "rb", buffering=buffering) as stream:
        blocks = pcm_blocks(stream, source_rate=8_000, sample_rate=8_000)
        # A reader that waits for a full buffer hangs here; then the pipe is closed.
        timer = threading.Timer(5, os.close, [there])
        timer.start()
        os.write(there, b"\x00\x40\x00")
        assert next(blocks).tolist() == [0.5]
        os.write(there, b"\xc0\x00\x20")
        assert next(blocks).tolist() == [-0.5, 0.25]
        assert timer.is_alive()
        timer.cancel()
        os.close(there)
        assert list(blocks) == []


def test_a_pipe_that_does_not_block_is_refused():
    away, there = os.pipe()
    os.set_blocking(away, False)
    with open(away, "rb", buffering=0) as stream:
        blocks = pcm_blocks(stream, source_rate=8_000, sample_rate=8_000)
        with pytest.raises(InputError, match="does not block"):
            next(blocks)
    os.close(there)


# ---------------------------------------------------------------- headers of long files


def _wav_head(num_declared: int, outer: int, *, rate: int = 48_000) -> bytes:
    fmt = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    sizes = struct.pack("<I", outer), struct.pack("<I", num_declared)
    return b"RIFF" + sizes[0] + b"WAVEfmt " + fmt + b"data" + sizes[1]


def _sparse(path: Path, head: bytes, num_bytes: int, loud: dict[int, int]) -> None:
    """A WAV file of zeros that takes no space, with a few samples set."""
    with path.open("wb") as file:
        file.write(head)
        for at, value in loud.items():
            file.seek(len(head) + 2 * at)
            file.write(struct.pack("<h", value))
        file.truncate(len(head) + num_bytes)


@pytest.mark.parametrize("tail", [0, 1, 65_535, 65_536, 200_000])
def test_a_spliced_file_is_head_and_tail(rng, tail):
    content = rng.bytes(1000 + tail)
    file = io.BytesIO(content)
    spliced = containers.SplicedFile(b"head", file, start=1000)
    expected = io.BytesIO(b"head" + content[1000:])
    assert spliced.read() == expected.read()
    for _ in range(200):
        whence = int(rng.integers(0, 3))
        offset = int(rng.integers(0, 50)) * int(rng.choice([1, 1000]))
        offset *= -1 if whence == os.SEEK_END else 1
        offset = max(offset, -len(expected.getvalue()))
        size = int(rng.integers(0, 70_000))
        assert spliced.seek(offset, whence) == expected.seek(offset, whence)
        assert spliced.read(size) == expected.read(size)
        assert spliced.tell() == expected.tell()
    with pytest.raises(OSError, match="no place -1"):
        spliced.seek(-1)


def test_an_error_of_the_disk_is_no_end(tmp_path, monkeypatch, rng):
    path = tmp_path / "a.wav"
    content = bytearray(_store(path, _noise(rng, 60, 8_000), 8_000))
    content[4:8] = content[40:44] = bytes(4)
    path.write_bytes(content)

    class Failing(io.FileIO):
        def read(self, size=-1):
            if self.tell() > 300_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    monkeypatch.setattr(Path, "open", lambda path, mode: Failing(path))
    with pytest.raises(audio.AudioError, match=r"cannot be read \(Input/output"):
        audio.read(path)


@pytest.mark.parametrize(
    ("outer", "declared"),
    [
        (0, 0),
        (36, 0),
        (0x80000024, 0x80000000),  # arecord to a pipe
        (0x7FFFF024, 0x7FFFF000),  # sox to a pipe
        (0x7FFFF023, 0x7FFFEFFF),  # the same, whole frames of three bytes
        (0xFFFFFFFF, 0xFFFFFFFF),
    ],
)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_open_headers_equal_closed_ones(tmp_path, rng, outer, declared, subtype):
    path = tmp_path / "a.wav"
    content = bytearray(
        _store(path, _noise(rng, 0.5, 16_000, 2), 16_000, subtype=subtype)
    )
    expected, _ = audio.read(path)
    at = content.index(b"data")
    del content[at + 8 + struct.unpack("<I", content[at + 4 : at + 8])[0] :]
    content[4:8] = struct.pack("<I", outer)
    content[at + 4 : at + 8] = struct.pack("<I", declared)
    path.write_bytes(content)
    np.testing.assert_array_equal(_all(path, 16_000), expected)


def test_an_rf64_that_was_never_closed_is_read_whole(tmp_path, rng):
    path = tmp_path / "a.wav"
    content = bytearray(_store(path, _noise(rng, 0.5, 16_000), 16_000, format="RF64"))
    expected, _ = audio.read(path)
    at = content.index(b"ds64")
    content[at + 8 : at + 32] = bytes(24)
    path.write_bytes(content)
    np.testing.assert_array_equal(_all(path, 16_000), expected)


def test_two_gigabytes_of_a_cut_file_are_no_stream(tmp_path):
    path = tmp_path / "a.wav"
    _sparse(path, _wav_head(3_000_000_000, 3_000_000_036), 2_500_000_000, {})
    with pytest.raises(audio.AudioError, match="is truncated: it declares 3000000000"):
        Recording(path)


GIB = 1 << 30
HUGE = (4 * GIB + 200_000_000) // 2 * 2


@pytest.mark.parametrize(
    ("kind", "num_bytes"),
    [
        ("unclosed", HUGE),
        ("sox stream", 3 * GIB),
        ("sox stream", HUGE),
        ("run over", HUGE),
        ("RF64", HUGE),
        ("RF64 never closed", HUGE),
    ],
)
def test_all_of_a_file_of_gigabytes_is_found(tmp_path, kind, num_bytes):
    path = tmp_path / "a.wav"
    _sparse(path, _huge_head(kind, num_bytes), num_bytes, {})
    with Recording(path) as recording:
        assert recording.expected_seconds == num_bytes / 2 / 48_000


@pytest.mark.parametrize("num_bytes", [0x7FFFF000, 0xFFFFFF00])
def test_a_last_chunk_of_a_file_of_gigabytes_is_no_sound(tmp_path, num_bytes):
    path = tmp_path / "a.wav"
    _sparse(path, _wav_head(num_bytes, num_bytes + 44), num_bytes, {})
    with path.open("ab") as file:
        file.write(b"LIST" + bytes(4))
    with Recording(path) as recording:
        assert recording.expected_seconds == num_bytes / 2 / 48_000


def _huge_head(kind: str, num_bytes: int) -> bytes:
    if kind == "unclosed":
        return _wav_head(0, 36)
    if kind == "sox stream":
        return _wav_head(0x7FFFF000, 0x7FFFF024)
    if kind == "run over":
        return _wav_head(num_bytes % 2**32, (num_bytes + 36) % 2**32)
    plain = _wav_head(0xFFFFFFFF, 0xFFFFFFFF)
    size = 0 if "never" in kind else num_bytes
    sizes = struct.pack("<IQQQI", 28, size and size + 72, size, size // 2, 0)
    return b"RF64" + plain[4:12] + b"ds64" + sizes + plain[12:]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unclosed", "run over", "RF64", "RF64 never closed"])
def test_a_day_of_48_khz_is_read_to_its_end(tmp_path, kind):
    num_samples = 24 * 3600 * 48_000
    loud = {7: 1000, 2**31 + 3: -2000, num_samples - 1: 3000}
    path = tmp_path / "a.wav"
    _sparse(path, _huge_head(kind, 2 * num_samples), 2 * num_samples, loud)
    heard, at = {}, 0
    tracemalloc.start()
    with Recording(path) as recording:
        for block in recording.blocks(sample_rate=48_000):
            for place in np.flatnonzero(block):
                heard[at + int(place)] = round(float(block[place]) * 2**15)
            at += len(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert at == num_samples
    assert heard == loud
    assert peak < 16 * MIB


def _mp3_without_length(path: Path, rng, num_bytes: int) -> float:
    """An MP3 file whose header frame is gone; returns how many seconds it holds."""
    content = _store(path, _noise(rng, 10, 48_000, 2), 48_000, format="MP3")
    second = 4 + re.search(rb"\xff[\xfa\xfb]", content[4:]).start()
    assert b"Xing" in content[:second] or b"Info" in content[:second]
    num_copies = num_bytes // (len(content) - second)
    with path.open("wb") as file:
        for _ in range(num_copies):
            file.write(content[second:])
    return 10 * num_copies


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_an_mp3_that_declares_less_than_it_holds_is_read_whole(
    tmp_path, rng, rate, channels
):
    path = tmp_path / "a.mp3"
    content = _store(path, _noise(rng, 10, rate, channels), rate)
    whole, _ = audio.read(path)
    tag = content.index(b"Xing")
    # Of an encoder that was stopped: neither frames nor bytes were filled in.
    path.write_bytes(content[: tag + 8] + bytes(8) + content[tag + 16 :])
    heard = _all(path, rate)
    assert 0 <= len(heard) - len(whole) < 3 * 1152
    np.testing.assert_array_equal(heard[: len(whole)], whole)
    path.write_bytes(content + content[tag + 2000 :])  # joined: two of a half, or so
    heard = _all(path, rate)
    assert len(heard) > 1.8 * len(whole)
    same = len(whole) - 4 * 1152
    np.testing.assert_array_equal(heard[:same], whole[:same])
    for num_frames, reason in ((100, "goes on behind"), (2**20, "is truncated")):
        frames = struct.pack(">I", num_frames)
        path.write_bytes(content[: tag + 8] + frames + content[tag + 12 :])
        with pytest.raises(audio.AudioError, match=f"a.mp3: {reason}"):
            _all(path, rate)


@pytest.mark.parametrize("kind", ["unclosed WAV", "WAV", "MP3", "stream", "up"])
def test_memory_is_bounded(tmp_path, rng, kind):
    path = tmp_path / "a.wav"
    num_bytes, rate = 60 * MIB, 48_000
    if kind == "MP3":
        seconds = _mp3_without_length(path, rng, 20 * MIB)
    elif kind == "up":
        num_bytes, rate = 4 * MIB, 400  # all at once, it would be 320 MiB
        head = _wav_head(num_bytes, num_bytes + 36, rate=rate)
        _sparse(path, head, num_bytes, {})
    else:
        declared = 0 if kind == "unclosed WAV" else num_bytes
        _sparse(path, _wav_head(declared, declared + 36), num_bytes, {})
    tracemalloc.start()
    num_heard = 0
    if kind == "stream":
        with path.open("rb") as stream:
            stream.seek(44)  # behind the header
            for block in pcm_blocks(stream, source_rate=rate, sample_rate=16_000):
                num_heard += len(block)
    else:
        with Recording(path) as recording:
            for block in recording.blocks(sample_rate=16_000):
                num_heard += len(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * MIB
    if kind == "MP3":  # each copy ends with up to three frames of padding
        assert num_heard == pytest.approx(seconds * 16_000, rel=0.008)
    else:
        expected = num_bytes / 2 * 16_000 / rate
        assert num_heard == pytest.approx(expected, abs=16)  # the head, of a stream


def test_encodings_have_names_of_wav():
    assert set(recordings.PCM_ENCODINGS) == set(SUBTYPES)
