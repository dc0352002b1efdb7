"""WAV files in a graph: equal to `audio.read`, and the first fault is what is said."""

import io
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfhier import audio
from tfhier.errors import InputError
from tfhier.graph_audio import wav

RATE = 16_000
SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
# Odd sizes are followed by a byte that they do not count.
LIST = b"LIST\x05\0\0\0INFOx\0"
BEXT = b"bext\x03\0\0\0abc\0"
GUID_END = bytes.fromhex("000000001000800000aa00389b71")
SCALAR = tf.TensorSpec([], tf.string)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A SavedModel of one clip, of a batch of clips, and of decoding alone."""
    module = tf.Module()
    module.one = tf.function(
        lambda content: wav.read(content, target_rate=RATE), input_signature=[SCALAR]
    )
    module.decode = tf.function(wav.decode, input_signature=[SCALAR])
    module.sizes = tf.function(
        lambda contents: tf.map_fn(
            lambda content: tf.size(wav.read(content, target_rate=RATE)),
            contents,
            fn_output_signature=tf.int32,
        ),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    path = tmp_path_factory.mktemp("wav") / "model"
    tf.saved_model.save(module, str(path))
    return path


@pytest.fixture(scope="module")
def loaded(saved):
    return tf.saved_model.load(str(saved))


def noise(num_samples: int = 2_001, channels: int = 1, seed: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.9, 0.9, (num_samples, channels))


def stored(sound: np.ndarray, rate: int = RATE, **options) -> bytes:
    """The bytes of a file as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, sound, rate, **{"format": "WAV", **options})
    return file.getvalue()


def riff(*chunks: bytes) -> bytes:
    """A file of these chunks, with an honest outer size."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    size = len(content) if size is None else size
    return name + struct.pack("<I", size) + content + bytes(len(content) % 2)


def layout(tag: int = 1, channels: int = 1, bits: int = 16, rate: int = RATE) -> bytes:
    """A fmt chunk."""
    frame = channels * -(-bits // 8)
    fields = (tag, channels, rate, rate * frame % 2**32, frame, bits)
    return chunk(b"fmt ", struct.pack("<HHIIHH", *fields))


def extensible(guid: bytes, bits: int = 16, valid: int = 16) -> bytes:
    """A fmt chunk of WAVE_FORMAT_EXTENSIBLE for one channel."""
    size = bits // 8
    fields = (0xFFFE, 1, RATE, RATE * size, size, bits, 22, valid, 4)
    return chunk(b"fmt ", struct.pack("<HHIIHHHHI", *fields) + guid)


def between(content: bytes, *, start: bytes, middle: bytes, end: bytes) -> bytes:
    """A file with more chunks before `fmt `, before `data` and at its end."""
    content = content[: 8 + struct.unpack("<I", content[4:8])[0]]
    content += bytes(len(content) % 2)
    at = content.index(b"data")
    return riff(start, content[12:at], middle, content[at:], end)


def assert_read_alike(loaded, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    expected, rate = audio.read(path)
    waveform, got_rate = loaded.decode(content)
    assert (int(got_rate), waveform.dtype) == (rate, tf.float32)
    np.testing.assert_allclose(waveform, expected, rtol=2e-7, atol=1e-7)


def said(run, *arguments) -> str:
    """What a graph ends with."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        run(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_every_encoding_is_read_as_from_a_file(
    loaded, tmp_path, container, subtype, channels
):
    content = stored(noise(channels=channels), format=container, subtype=subtype)
    assert_read_alike(loaded, tmp_path / "a.wav", content)
    more = between(content, start=LIST, middle=BEXT, end=LIST)
    assert_read_alike(loaded, tmp_path / "a.wav", more)
    np.testing.assert_array_equal(loaded.decode(more)[0], loaded.decode(content)[0])


@pytest.mark.parametrize("seed", range(40))
def test_files_of_chance_are_read_as_from_a_file(loaded, tmp_path, seed):
    rng = np.random.default_rng(seed)
    content = stored(
        noise(int(rng.integers(1, 400)), int(rng.integers(1, 9)), seed),
        int(rng.integers(1_000, 400_001)),
        subtype=str(rng.choice(SUBTYPES)),
        format=str(rng.choice(["WAV", "WAVEX"])),
    )
    extra = [
        b"".join(
            chunk(b"junk", rng.bytes(rng.integers(0, 9)))
            for _ in range(rng.integers(0, 4))
        )
        for _ in range(3)
    ]
    content = between(content, start=extra[0], middle=extra[1], end=extra[2])
    assert_read_alike(loaded, tmp_path / "a.wav", content)


def test_known_bytes_have_known_values(loaded):
    """Least, greatest and middle of every kind of PCM, by hand."""
    for bits, raw, expected in [
        (8, b"\x00\xff\x80", [-1, 127 / 128, 0]),
        (16, b"\x00\x80\xff\x7f\x00\x00", [-1, 32767 / 32768, 0]),
        (24, b"\0\0\x80\xff\xff\x7f\1\0\0", [-1, 1 - 2.0**-23, 2.0**-23]),
        (32, b"\0\0\0\x80\0\0\0\x40\0\0\1\0", [-1, 0.5, 2.0**-15]),
    ]:
        waveform, rate = loaded.decode(riff(layout(bits=bits), chunk(b"data", raw)))
        np.testing.assert_array_equal(waveform, expected, err_msg=f"{bits} bits")
        assert int(rate) == RATE


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("channels", [1, 3])
def test_streams_are_read_to_their_end(loaded, tmp_path, size, channels):
    header = riff(layout(channels=channels), chunk(b"data", b"", size))
    samples = noise(1, 501).astype(np.float16).tobytes()
    for left_over in (b"", b"x"):
        assert_read_alike(loaded, tmp_path / "a.wav", header + samples + left_over)


@pytest.mark.parametrize("outer", [0, 36, 0xFFFFFFFF])
def test_files_that_were_never_closed_are_read_to_their_end(loaded, tmp_path, outer):
    content = riff(layout(), chunk(b"data", b"")) + noise(300).astype("f2").tobytes()
    content = b"RIFF" + struct.pack("<I", outer) + content[8:]
    assert_read_alike(loaded, tmp_path / "a.wav", content)


def test_a_frame_that_is_not_whole_is_left_out(loaded, tmp_path):
    content = riff(layout(channels=3), chunk(b"data", bytes(range(1, 24))))
    assert_read_alike(loaded, tmp_path / "a.wav", content)
    assert loaded.decode(content)[0].shape == (3,)


def test_fewer_valid_bits_count_as_all_of_the_container(loaded, tmp_path):
    samples = (noise(100) * 2**31).astype("<i4").tobytes()
    content = riff(
        extensible(b"\1\0" + GUID_END, bits=32, valid=24), chunk(b"data", samples)
    )
    assert_read_alike(loaded, tmp_path / "a.wav", content)


def test_a_clip_is_resampled_as_from_a_file(loaded, tmp_path):
    time = np.arange(48_000) / 48_000
    sound = 0.3 * np.sin(2 * np.pi * 440 * time) * np.hanning(48_000)
    content = stored(np.stack([sound, 0.5 * sound], axis=1), 48_000, subtype="PCM_24")
    (tmp_path / "a.wav").write_bytes(content)
    expected, _ = audio.read(tmp_path / "a.wav", sample_rate=RATE)
    np.testing.assert_allclose(loaded.one(content), expected, rtol=0, atol=2e-6)


SAMPLES = chunk(b"data", bytes(range(64)))
WHOLE = riff(layout(), SAMPLES)
FAULTS = {
    "empty": (b"", r"is empty \(0 bytes\)\. Send the bytes"),
    "one byte": (b"R", "is not a WAV file"),
    "riff only": (b"RIFF\4\0\0\0WAV", "is not a WAV file"),
    "another riff": (b"RIFF\4\0\0\0AVI " + WHOLE[12:], "is not a WAV file"),
    "flac": (stored(noise(), format="FLAC"), "FLAC, MP3, Ogg .* by the client"),
    "ogg": (stored(noise(), format="OGG"), "FLAC, MP3, Ogg .* by the client"),
    "text": (b"station,date\n" * 99, "is not a WAV file"),
    "rf64": (stored(noise(), format="RF64"), "of the kind RF64, of which only RIFF"),
    "rifx": (stored(noise(), endian="BIG"), "of the kind RIFX, of which only RIFF"),
    "no data": (riff(layout(), LIST), "has no data chunk"),
    "nothing": (riff(), "has no data chunk"),
    "no fmt": (riff(LIST, SAMPLES), "has no whole fmt chunk"),
    "fmt behind": (riff(SAMPLES, layout()), "has no whole fmt chunk"),
    "short fmt": (riff(chunk(b"fmt ", bytes(14)), SAMPLES), "has no whole fmt chunk"),
    "a-law": (stored(noise(), subtype="ALAW"), r"A-law samples of 8 bits \(.* tag 6\)"),
    "mu-law": (stored(noise(), subtype="ULAW"), "mu-law samples"),
    "adpcm": (stored(noise(), subtype="MS_ADPCM"), r"holds ADPCM .*\(format tag 2\)"),
    "ima": (stored(noise(), subtype="IMA_ADPCM"), r"IMA ADPCM .*\(format tag 17\)"),
    "gsm": (stored(noise(), subtype="GSM610"), r"GSM 6.10 .*\(format tag 49\)"),
    "unknown": (riff(layout(tag=999), SAMPLES), r"unknown samples .*tag 999\)"),
    "wide pcm": (riff(layout(bits=64), SAMPLES), "holds PCM samples of 64 bits"),
    "no bits": (riff(layout(bits=0), SAMPLES), "holds PCM samples of 0 bits"),
    "half": (riff(layout(tag=3), SAMPLES), "holds floating-point samples of 16 bits"),
    "guid of a-law": (riff(extensible(b"\6\0" + GUID_END), SAMPLES), "holds A-law"),
    "no guid": (riff(layout(tag=0xFFFE), SAMPLES), r"\(format tag 65534\)"),
    "no channels": (riff(layout(channels=0), SAMPLES), "damaged fmt chunk: 0 channels"),
    "odd frames": (
        WHOLE[:32] + b"\7" + WHOLE[33:],
        "1 channels of 16 bits do not make frames of 7 bytes",
    ),
    "slow": (riff(layout(rate=999), SAMPLES), "sample rate of 999 Hz; expected 1000"),
    "fast": (riff(layout(rate=400_001), SAMPLES), "rate of 400001 Hz; .* to 400000"),
    "wrapped rate": (riff(layout(rate=2**32 - 1), SAMPLES), "of 4294967295 Hz"),
    "cut": (WHOLE[:-1], "is cut short: it declares 64 bytes of samples, 63 are there"),
    "cut at once": (WHOLE[:44], "it declares 64 bytes of samples, 0 are there"),
    "no samples": (stored(np.zeros(0)), "has a WAV header but no samples"),
    "no samples, more": (riff(layout(), chunk(b"data", b""), LIST), "but no samples"),
    "half a frame": (riff(layout(), chunk(b"data", b"x")), "but no samples"),
    "endless stream": (riff(layout()) + b"data\xff\xff\xff\xff", "but no samples"),
    "long": (
        riff(layout(rate=1_000, bits=8), chunk(b"data", bytes(60_250))),
        r"lasts 60\.2 s; at most 60 s are accepted",
    ),
    "nan": (stored(np.array([0, np.nan]), subtype="FLOAT"), "NaN or infinite"),
    "infinite": (stored(np.array([0, -np.inf]), subtype="DOUBLE"), "NaN or infinite"),
    "too large": (stored(np.array([0, 1e300]), subtype="DOUBLE"), "NaN or infinite"),
    "odd rate": (
        stored(noise(), 44_101),
        "rate of 44101 Hz, which cannot be resampled exactly to 16000 Hz",
    ),
    "too short": (stored(np.ones(1), 48_000), "too short for a single sample at 16000"),
    "crumbs": (riff(b"junk\0\0\0\0" * 5_000, layout(), SAMPLES), "has 1000 chunks"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_fault_is_what_is_said(loaded, fault):
    content, reason = FAULTS[fault]
    pattern = rf"assertion failed: \[The clip [^\]]*{reason}"
    assert re.search(pattern, said(loaded.one, content))
    assert re.search(pattern, said(loaded.sizes, [WHOLE, content, WHOLE]))


def test_what_is_faulty_in_every_way_is_told_of_the_first(loaded):
    """From each fault mended the next one shows, in the order of the file."""
    steps = [
        (b"RIFF\0\0\0\0" + WHOLE[8:12] + layout(tag=6, channels=0), "no data"),
        (riff(layout(tag=6, channels=0), chunk(b"data", b"", 9)), "A-law"),
        (riff(layout(tag=1, channels=0, rate=5), chunk(b"data", b"", 9)), "0 channels"),
        (riff(layout(rate=5), chunk(b"data", b"", 9)), "of 5 Hz"),
        (riff(layout(rate=44_101), chunk(b"data", b"", 9)), "is cut short"),
        (riff(layout(rate=44_101), chunk(b"data", b"")), "no samples"),
        (
            riff(layout(3, 1, 32, 1_001), chunk(b"data", b"\xff" * 4 * 70_000)),
            "lasts 69",
        ),
        (riff(layout(3, 1, 32, 1_001), chunk(b"data", b"\xff" * 400)), "NaN"),
        (riff(layout(rate=1_001), SAMPLES), "of 1001 Hz, which cannot"),
    ]
    for content, reason in steps:
        assert re.search(rf"\[The clip [^\]]*{reason}", said(loaded.one, content))


def test_every_check_waits_for_the_one_before():
    """Otherwise chance would tell which of two faults is named."""
    run = tf.function(
        lambda content: wav.read(content, target_rate=RATE), input_signature=[SCALAR]
    )
    operations = run.get_concrete_function().graph.get_operations()

    def awaited(operation: tf.Operation, known: set[str]) -> set[str]:
        for each in [
            *(part.op for part in operation.inputs),
            *operation.control_inputs,
        ]:
            if each.name not in known:
                known.add(each.name)
                awaited(each, known)
        return known

    # The check of the ratio is inside of the condition on equal rates.
    checks = [each for each in operations if each.type in ("Assert", "If")]
    assert len(checks) == 16
    for at, check in enumerate(checks):
        assert {each.name for each in checks[:at]} <= awaited(check, set()), check.name


def test_good_clips_of_one_batch_may_differ_in_everything(loaded):
    contents = [
        WHOLE,
        stored(noise(4_410, 2), 44_100, subtype="FLOAT"),
        stored(noise(800, 3), 8_000, subtype="PCM_24", format="WAVEX"),
    ]
    np.testing.assert_array_equal(loaded.sizes(contents), [32, 1_600, 1_600])


@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
def test_a_file_cut_anywhere_is_refused_with_a_reason(loaded, kind):
    content = stored(noise(20, 2), format=kind, subtype="PCM_24")
    content = between(content, start=BEXT, middle=LIST, end=b"")
    for kept in range(len(content)):
        assert "assertion failed: [The clip " in said(loaded.one, content[:kept]), kept


@pytest.mark.parametrize("seed", range(4))
def test_damaged_headers_are_read_or_refused_with_a_reason(loaded, seed):
    rng = np.random.default_rng(seed)
    whole = stored(noise(200, 2), format="WAVEX", subtype="PCM_16")
    num_refused = 0
    for _ in range(100):
        content = bytearray(whole)
        for at in rng.integers(0, whole.index(b"data") + 8, rng.integers(1, 4)):
            content[at] = rng.choice([0, 1, 0x7F, 0xFF, rng.integers(256)])
        try:
            waveform = loaded.one(bytes(content))
        except tf.errors.InvalidArgumentError as error:
            assert "assertion failed: [The clip " in str(error)
            num_refused += 1
        else:
            assert 0 < waveform.shape[0] <= 60 * RATE
            assert np.isfinite(waveform).all()
    assert 20 < num_refused < 100


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_claims_of_a_header_take_no_memory(loaded):
    """65,535 channels, 4 GB of samples, sizes beyond the file, an odd rate."""
    contents = [
        riff(layout(channels=65_535, bits=8), chunk(b"data", bytes(64), 2**31 - 1)),
        riff(layout(), chunk(b"data", bytes(64), 0x7FFFEFFF)),
        riff(chunk(b"junk", b"", 0xFFFFFFFF), layout(), SAMPLES),
        riff(chunk(b"fmt ", layout()[8:], 0xFFFFFFF0), SAMPLES),
        riff(layout(rate=399_999), SAMPLES),
    ]
    status = Path("/proc/self/status")

    def peak() -> int:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text()).group(1))

    said(loaded.one, b"")
    before = peak()
    for content in contents:
        assert "[The clip " in said(loaded.one, content)
    assert peak() - before < 50_000  # kB


def test_the_graph_needs_no_python(saved):
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((saved / "saved_model.pb").read_bytes())
    library = model.meta_graphs[0].graph_def.library.function
    nodes = [node for function in library for node in function.node_def]
    assert {"Substr", "Conv2D", "Assert"} <= {node.op for node in nodes}
    assert not [node.op for node in nodes if "Py" in node.op or "Numpy" in node.op]
    # On a GPU it would compute with fewer digits.
    assert all("CPU" in node.device for node in nodes if node.op == "Conv2D")


def test_it_runs_outside_of_a_graph():
    np.testing.assert_array_equal(
        wav.read(WHOLE, target_rate=RATE), np.frombuffer(SAMPLES[8:], "<i2") / 2**15
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="The clip is empty"):
        wav.read(b"", target_rate=RATE)


def test_the_limit_is_the_caller_s():
    second = stored(noise(RATE))
    assert wav.read(second, target_rate=RATE, max_seconds=1).shape == (RATE,)
    assert wav.decode(second, max_seconds=None)[0].shape == (RATE,)
    with pytest.raises(tf.errors.InvalidArgumentError, match="1.0 s; at most 0.5 s"):
        wav.read(second, target_rate=RATE, max_seconds=0.5)


@pytest.mark.parametrize("rate", [0, 999, 400_001, 16_000.0, True, "16000", None])
def test_the_wanted_rate_is_whole_and_within_limits(rate):
    with pytest.raises(InputError, match="target_rate must be a whole number .* got"):
        wav.read(WHOLE, target_rate=rate)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_the_limit_is_positive(seconds):
    with pytest.raises(InputError, match="max_seconds must be above 0; got"):
        wav.read(WHOLE, target_rate=RATE, max_seconds=seconds)
