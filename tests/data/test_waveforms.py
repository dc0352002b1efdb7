"""Decoded waveforms: equal to the files, whole after a kill, and made once."""

import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tfhier import audio
from tfhier.data import decoding, waveforms
from tfhier.errors import InputError

RATE = 8_000
STEP = 1 / 32767


def _make_clips(
    folder: Path, num_clips: int = 6, *, seconds: float = 0.25
) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for clip in range(num_clips):
        sound = np.random.default_rng(clip).uniform(-1, 1, round(seconds * RATE))
        paths.append(folder / f"{clip}.wav")
        soundfile.write(paths[-1], sound, RATE, subtype="FLOAT")
    return paths


def _decode(paths: list[Path], folder: Path, **changes) -> waveforms.Waveforms:
    settings = {"sample_rate": RATE, "seconds": 0.25} | changes
    keys = [path.stem for path in paths]
    return waveforms.decode(paths, keys=keys, folder=folder, **settings)


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    return _make_clips(tmp_path / "clips")


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch) -> list[Path]:
    """Paths in the order in which files were read: whole, or for stretches."""
    asked = []

    def recorded(read):
        def record(path, *args, **options):
            asked.append(path)
            return read(path, *args, **options)

        return record

    monkeypatch.setattr(audio, "read", recorded(audio.read))
    monkeypatch.setattr(decoding, "_cut", recorded(decoding._cut))
    return asked


def _contents(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.iterdir()}


def test_rows_are_the_files_within_half_a_step(paths, cache):
    clips = _decode(paths, cache)
    fetched = clips.fetch(np.arange(len(paths)))
    expected = np.stack([audio.read(path)[0] for path in paths])
    assert fetched.dtype == np.float32
    assert np.abs(fetched - expected).max() <= 0.5 * STEP + 1e-7
    assert (clips.sample_rate, clips.num_longer, clips.num_shorter) == (RATE, 0, 0)
    assert clips.bad == {}
    assert clips.samples.dtype == np.int16
    assert not clips.samples.flags.writeable


def test_full_scale_and_zero_return_exactly_and_beyond_is_clipped(tmp_path, cache):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0.0, 1.0, -1.0, 1.7, -9.0]), RATE, subtype="FLOAT")
    clips = _decode([path], cache, seconds=5 / RATE)
    np.testing.assert_array_equal(clips.samples[0], [0, 32767, -32767, 32767, -32767])
    np.testing.assert_array_equal(clips.fetch([0])[0], [0, 1, -1, 1, -1])


def test_rows_are_resampled_as_audio_reads(paths, cache):
    clips = _decode(paths, cache, sample_rate=16_000)
    assert clips.samples.shape == (len(paths), 4_000)
    expected, _ = audio.read(paths[3], sample_rate=16_000)
    difference = clips.fetch([3])[0] - np.clip(expected, -1, 1)
    assert np.abs(difference).max() <= 0.5 * STEP + 1e-7


def test_clips_of_other_lengths_are_padded_or_cut_and_counted(tmp_path, cache):
    short = _make_clips(tmp_path / "short", 1, seconds=0.1)
    long = _make_clips(tmp_path / "long", 2, seconds=0.5)
    near = _make_clips(tmp_path / "near", 1, seconds=0.25 + 1 / RATE)
    everything = short + long + near
    clips = waveforms.decode(
        everything, keys=list("abcd"), sample_rate=RATE, seconds=0.25, folder=cache
    )
    assert (clips.num_shorter, clips.num_longer) == (1, 2)
    assert clips.lengths.tolist() == [800, 2000, 2000, 2000]
    assert np.all(clips.samples[0, 800:] == 0)
    assert np.all(clips.samples[0, :800].any())
    expected = audio.read(long[1])[0][:2000]
    np.testing.assert_allclose(clips.fetch([2])[0], expected, atol=0.5 * STEP + 1e-7)


def test_any_number_of_workers_writes_the_same_bytes(paths, tmp_path):
    one, many = tmp_path / "one", tmp_path / "many"
    _decode(paths, one, num_workers=1)
    _decode(paths, many, num_workers=5)
    assert _contents(one) == _contents(many)


def test_a_second_call_reads_no_file(paths, cache, reads):
    first = _decode(paths, cache)
    assert sorted(reads) == paths
    before = _contents(cache)
    second = _decode(paths, cache)
    assert len(reads) == len(paths)
    assert _contents(cache) == before
    np.testing.assert_array_equal(second.samples, first.samples)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".lock", ".npy"]


@pytest.mark.parametrize(
    "changes", [{"sample_rate": 4_000}, {"seconds": 0.125}, {"seconds": 0.3}]
)
def test_other_settings_make_another_set(paths, cache, changes):
    _decode(paths, cache)
    _decode(paths, cache, **changes)
    assert len(list(cache.glob("*.npy"))) == 2


def test_a_changed_file_is_decoded_again(paths, cache, reads):
    before = _decode(paths, cache).fetch([2])
    content, changed = paths[2].read_bytes(), paths[2].stat().st_mtime_ns + 1
    paths[2].write_bytes(content[:-4] + paths[3].read_bytes()[-4:])
    os.utime(paths[2], ns=(changed, changed))
    after = _decode(paths, cache).fetch([2])
    assert len(reads) == 2 * len(paths)
    np.testing.assert_array_equal(before[0, :-1], after[0, :-1])
    assert before[0, -1] != after[0, -1]


def test_other_keys_use_the_same_set(paths, cache, reads):
    _decode(paths, cache)
    keys = [f"clip-{path.stem}" for path in paths]
    waveforms.decode(paths, keys=keys, sample_rate=RATE, seconds=0.25, folder=cache)
    assert len(reads) == len(paths)


class _Killed(BaseException):
    """Ends a decode as a signal does: no handler of the library sees it."""


def test_a_killed_decode_goes_on_where_it_was(
    paths, cache, tmp_path, reads, monkeypatch
):
    whole = _decode(paths, tmp_path / "whole")
    reads.clear()
    monkeypatch.setattr(decoding, "_BATCH", 2)
    store = decoding._store
    num_stored = 0

    def store_then_die(*args):
        nonlocal num_stored
        num_stored += 1
        if num_stored == 4:  # the second batch is stored, but not recorded
            raise _Killed
        store(*args)

    monkeypatch.setattr(decoding, "_store", store_then_die)
    with pytest.raises(_Killed):
        _decode(paths, cache, num_workers=1)
    assert not [path for path in cache.glob("*.npy") if "partial" not in path.name]
    monkeypatch.setattr(decoding, "_store", store)
    reads.clear()
    resumed = _decode(paths, cache)
    assert sorted(reads) == paths[2:]
    np.testing.assert_array_equal(resumed.samples, whole.samples)
    assert _contents(cache) == _contents(tmp_path / "whole")


def test_a_kill_before_the_last_rename_decodes_nothing_again(
    paths, cache, reads, monkeypatch
):
    rename = os.replace

    def die_at_last(source, target):
        if Path(target).suffix == ".npy":
            raise _Killed
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die_at_last)
        with pytest.raises(_Killed):
            _decode(paths, cache)
    reads.clear()
    clips = _decode(paths, cache)
    assert reads == []
    assert clips.samples.any(axis=1).all()


def _spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_a_bad_file_stops_with_its_reason_and_the_remedy(paths, cache, reads):
    _spoil(paths[1])
    _spoil(paths[4])
    reason = "1.wav: is truncated.*4 clips are decoded and kept.*--skip-bad"
    with pytest.raises(audio.AudioError, match=reason):
        _decode(paths, cache)
    reads.clear()
    clips = _decode(paths, cache, skip_bad=True)
    assert sorted(reads) == [paths[1], paths[4]]  # the good ones were kept
    assert list(clips.bad) == ["1", "4"]


def test_bad_files_can_be_left_out(paths, cache, reads):
    _spoil(paths[1])
    paths[3].unlink()
    soundfile.write(paths[5], np.zeros(100), RATE)
    clips = _decode(paths, cache, skip_bad=True)
    assert list(clips.bad) == ["1", "3", "5"]
    assert clips.bad["1"].startswith("is truncated")
    assert clips.bad["3"].startswith("there is no such file")
    assert clips.bad["5"].startswith("is silent")
    np.testing.assert_array_equal(clips.samples.any(axis=1), [1, 0, 1, 0, 1, 0])
    reads.clear()
    assert _decode(paths, cache, skip_bad=True).bad == clips.bad
    with pytest.raises(audio.AudioError, match="1.wav: is truncated.*3 clips"):
        _decode(paths, cache)
    assert reads == []


def test_a_file_that_comes_back_is_decoded(paths, cache):
    content = paths[2].read_bytes()
    paths[2].unlink()
    assert list(_decode(paths, cache, skip_bad=True).bad) == ["2"]
    paths[2].write_bytes(content)
    assert _decode(paths, cache).samples[2].any()


def test_a_missing_decoder_is_no_bad_file(tmp_path, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A ")
    with pytest.raises(InputError, match="PyAV"):
        _decode([path], cache, skip_bad=True)


def test_a_full_disk_is_seen_before_the_work(paths, cache, reads, monkeypatch):
    full = SimpleNamespace(free=1_000)
    monkeypatch.setattr(waveforms.shutil, "disk_usage", lambda folder: full)
    with pytest.raises(InputError, match="needs 24,000 more bytes.*1,000 are free"):
        _decode(paths, cache)
    assert reads == []


def test_wrong_requests_say_what_is_wrong(paths, cache):
    settings = {"sample_rate": RATE, "seconds": 0.25, "folder": cache}
    with pytest.raises(InputError, match="no clips"):
        waveforms.decode([], keys=[], **settings)
    with pytest.raises(InputError, match="6 files and 1 keys"):
        waveforms.decode(paths, keys=["a"], **settings)
    with pytest.raises(InputError, match="'b' is there twice"):
        waveforms.decode(paths, keys=list("abcbef"), **settings)
    with pytest.raises(InputError, match="at least one sample"):
        _decode(paths, cache, seconds=0)
    with pytest.raises(InputError, match="at least one sample"):
        _decode(paths, cache, sample_rate=-8_000)


def test_crops_start_at_their_offsets(paths, cache):
    clips = _decode(paths, cache)
    whole = clips.fetch(np.arange(len(paths)))
    indices, offsets = np.array([5, 0, 5, 2]), np.array([0, 1500, 3, 700])
    crops = clips.fetch(indices, offsets=offsets, num_samples=500)
    for crop, row, at in zip(crops, indices, offsets, strict=True):
        np.testing.assert_array_equal(crop, whole[row, at : at + 500])
    np.testing.assert_array_equal(
        clips.fetch(indices, num_samples=9), whole[indices, :9]
    )
    assert clips.fetch(np.zeros(0, int)).shape == (0, 2000)


@pytest.mark.parametrize(
    ("indices", "options", "reason"),
    [
        ([6], {}, "rows 0 to 5"),
        ([-1], {}, "rows 0 to 5"),
        ([0], {"offsets": [1501], "num_samples": 500}, "crops within 2000"),
        ([0], {"offsets": [-1], "num_samples": 500}, "crops within 2000"),
        ([0], {"num_samples": 2001}, "crops within 2000"),
        ([0], {"num_samples": 0}, "crops within 2000"),
        ([0, 1], {"offsets": [0], "num_samples": 5}, "one shape"),
        ([[0, 1]], {}, "one shape"),
    ],
)
def test_crops_that_do_not_exist_are_refused(paths, cache, indices, options, reason):
    clips = _decode(paths, cache)
    with pytest.raises(ValueError, match=reason):
        clips.fetch(np.array(indices), **options)


_DECODE = """
import sys
from pathlib import Path
from tfhier.data import decoding, waveforms
cache, *paths = map(Path, sys.argv[1:])
keys = [path.stem for path in paths]
print("ready", flush=True)
sys.stdin.readline()
waveforms.decode(paths, keys=keys, sample_rate=8000, seconds=0.25, folder=cache)
"""


def test_two_processes_make_one_set(tmp_path, paths, cache):
    _decode(paths, tmp_path / "alone")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _DECODE, cache, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(waveforms.__file__).parents[2],
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    assert _contents(cache) == _contents(tmp_path / "alone")


def test_a_second_decode_waits_for_the_lock(paths, cache, caplog):
    _decode(paths, cache)
    (lock,) = cache.glob("*.lock")
    for end in (".json", ".npy"):
        lock.with_suffix(end).unlink()
    with ThreadPoolExecutor(1) as pool:
        with waveforms._only_one(lock):
            second = pool.submit(_decode, paths, cache)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.2)
            assert list(cache.iterdir()) == [lock]
        assert second.result(timeout=10).samples.any(axis=1).all()
    assert "Another process decodes the same clips" in caplog.text


def test_the_index_says_what_the_set_holds(paths, cache):
    clips = _decode(paths, cache)
    (index,) = cache.glob("*.json")
    content = json.loads(index.read_text())
    assert content == {
        "format": 2,
        "sample_rate": RATE,
        "num_clips": 6,
        "lengths": [2000] * 6,
        "num_longer": 0,
        "digest": hashlib.sha256(clips.samples.tobytes()).hexdigest(),
        "bad": [],
    }


# -- Several clips of one file ---------------------------------------------------------

SPANS = np.array([[0.1, 0.2], [0.0, 0.25], [0.15, 0.2], [0.05, 0.25], [0.2, 0.25]])
FILES = (0, 2, 0, 1, 0)  # which file each of these is cut from


def _decode_spans(paths, folder, *, spans=SPANS, files=FILES, **changes):
    settings = {"sample_rate": RATE, "seconds": 0.2} | changes
    keys = [f"clip{i}" for i in range(len(files))]
    return waveforms.decode(
        [paths[i] for i in files], keys=keys, folder=folder, spans=spans, **settings
    )


@pytest.mark.parametrize("sample_rate", [RATE, 4_000, 11_025])
def test_spans_are_cut_from_their_files_to_the_sample(paths, cache, reads, sample_rate):
    clips = _decode_spans(paths, cache, sample_rate=sample_rate)
    assert sorted(reads) == paths[:3]  # each once, whatever is cut from it
    num_samples = round(0.2 * sample_rate)
    assert clips.samples.shape == (5, num_samples)
    for row, (file, span) in enumerate(zip(FILES, SPANS, strict=True)):
        sound, _ = audio.read(paths[file], sample_rate=sample_rate)
        start, end = (round(second * sample_rate) for second in span)
        expected = np.clip(sound[start:end][:num_samples], -1, 1)
        got = clips.fetch([row])[0]
        assert abs(got[: len(expected)] - expected).max() <= 0.5 * STEP + 1e-7
        assert not got[len(expected) :].any()
        assert clips.lengths[row] == len(expected)
    assert (clips.num_longer, clips.num_shorter) == (1, 3)


def test_whole_files_as_spans_are_whole_files(paths, cache, tmp_path):
    spans = np.tile([0.0, 0.25], (6, 1))
    cut = _decode_spans(paths, cache, spans=spans, files=range(6), seconds=0.25)
    whole = _decode(paths, tmp_path / "whole")
    np.testing.assert_array_equal(cut.samples, whole.samples)
    assert cut.digest == whole.digest
    assert _contents(cache).keys() != _contents(tmp_path / "whole").keys()


def test_other_spans_make_another_set(paths, cache):
    first = _decode_spans(paths, cache)
    moved = SPANS.copy()
    moved[2] += 1 / RATE
    second = _decode_spans(paths, cache, spans=moved)
    assert len(list(cache.glob("*.npy"))) == 2
    differ = (first.samples != second.samples).any(axis=1)
    assert differ.tolist() == [False, False, True, False, False]
    np.testing.assert_array_equal(first.samples[2, 1:400], second.samples[2, :399])


def test_a_span_that_ends_behind_the_file_is_cut_there(paths, cache):
    clips = _decode_spans(paths, cache, spans=[[0.2, 0.9]], files=[0])
    assert clips.lengths.tolist() == [400]
    assert (clips.num_longer, clips.num_shorter) == (0, 1)


def test_a_span_outside_its_file_is_named_and_can_be_left_out(paths, cache, reads):
    spans = SPANS.copy()
    spans[2] = [0.25, 0.5]
    reason = r"0\.wav: has no sound at 0\.25 to 0\.5 s.*table of selections\. \(4 clips"
    with pytest.raises(audio.AudioError, match=reason):
        _decode_spans(paths, cache, spans=spans)
    reads.clear()
    clips = _decode_spans(paths, cache, spans=spans, skip_bad=True)
    assert reads == [paths[0]]  # the clips of the other files were kept
    assert list(clips.bad) == ["clip2"]
    assert clips.bad["clip2"].startswith("has no sound at 0.25 to 0.5 s")
    assert clips.samples.any(axis=1).tolist() == [True, True, False, True, True]
    assert clips.lengths[2] == 0


def test_clips_of_a_long_recording_take_no_more_memory_than_themselves(tmp_path, cache):
    # Ten minutes: 38 MB as float32, of which two seconds are wanted.
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 600 * 16_000)
    path = tmp_path / "long.wav"
    soundfile.write(path, sound.astype(np.float32), 16_000, subtype="PCM_16")
    spans = np.array([[2.0, 3.0], [597.0, 598.0]])
    tracemalloc.start()
    clips = waveforms.decode(
        [path, path],
        keys=["a", "b"],
        folder=cache,
        spans=spans,
        sample_rate=16_000,
        seconds=1.0,
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16e6
    expected = sound[597 * 16_000 : 598 * 16_000]
    assert abs(clips.fetch([1])[0] - expected).max() < 2**-14  # two 16-bit roundings


def test_silent_spans_are_in_order_where_they_may_be(paths, cache):
    sound, _ = audio.read(paths[0])
    sound[400:800] = 0
    soundfile.write(paths[0], sound, RATE)
    spans = np.array([[0.2, 0.25], [0.0, 0.25]]) * len(sound) / RATE / 0.25
    spans[0] = [450 / RATE, 700 / RATE]
    with pytest.raises(audio.AudioError, match="has no sound at"):
        _decode_spans(paths, cache, spans=spans, files=(0, 1))
    clips = _decode_spans(paths, cache, spans=spans, files=(0, 1), may_be_silent=True)
    assert not clips.samples[0].any() and clips.samples[1].any()
    assert clips.lengths[0] == 250


def test_all_clips_of_a_bad_file_are_bad(paths, cache):
    _spoil(paths[0])
    clips = _decode_spans(paths, cache, skip_bad=True)
    assert list(clips.bad) == ["clip0", "clip2", "clip4"]
    assert all(reason.startswith("is truncated") for reason in clips.bad.values())
    assert clips.samples.any(axis=1).tolist() == [False, True, False, True, False]


def test_a_killed_decode_of_spans_goes_on_with_whole_files(
    paths, cache, tmp_path, reads, monkeypatch
):
    _decode_spans(paths, tmp_path / "whole")
    monkeypatch.setattr(decoding, "_BATCH", 1)
    store = decoding._store
    num_stored = 0

    def store_then_die(*args):
        nonlocal num_stored
        num_stored += 1
        if num_stored == 5:  # file 0 has three clips, file 2 one, then comes file 1
            raise _Killed
        store(*args)

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "_store", store_then_die)
        with pytest.raises(_Killed):
            _decode_spans(paths, cache, num_workers=1)
    reads.clear()
    _decode_spans(paths, cache)
    assert reads == [paths[1]]
    assert _contents(cache) == _contents(tmp_path / "whole")


def test_a_silent_span_is_an_error_or_left_out(cache, tmp_path):
    sound = np.zeros(8000, np.float32)
    sound[:2000] = np.sin(np.arange(2000))
    audio.write(tmp_path / "a.wav", sound, sample_rate=8000)
    spans = np.array([[0.0, 0.25], [0.5, 0.75]])
    settings = {
        "keys": ["a", "b"],
        "folder": cache,
        "sample_rate": 8000,
        "seconds": 0.25,
        "spans": spans,
    }
    paths = [tmp_path / "a.wav"] * 2
    with pytest.raises(InputError, match=r"a\.wav: has no sound at 0\.5 to 0\.75 s"):
        waveforms.decode(paths, **settings)
    clips = waveforms.decode(paths, skip_bad=True, **settings)
    assert list(clips.bad) == ["b"]
