"""Excerpts: the right samples, from wherever the recording lies now."""

import time
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.review import made
from tfhier import audio, recordings
from tfhier.audio import AudioError
from tfhier.review import table as tables
from tfhier.review.excerpts import LONGEST_SECONDS, Excerpts


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_an_excerpt_is_a_part_of_the_whole(tmp_path, rng, suffix):
    path = tmp_path / f"a.{suffix}"
    frames = rng.uniform(-0.5, 0.5, (16_000 * 40, 2)).astype(np.float32)
    with soundfile.SoundFile(path, "w", 16_000, 2) as file:
        for at in range(0, len(frames), 10_000):  # more at once overflows libsndfile
            file.write(frames[at : at + 10_000])
    whole, _ = audio.read(path)
    for start, end in ((0.0, 1.0), (7.25, 9.5), (33.0, 39.9), (38.0, 45.0)):
        part, rate = recordings.excerpt(path, start=start, end=end)
        assert rate == 16_000
        # An MP3's decoder comes to other last bits on another way.
        np.testing.assert_allclose(
            part,
            whole[round(start * rate) : round(end * rate)],
            rtol=0,
            atol=1e-6 if suffix == "mp3" else 0,
        )
    with pytest.raises(AudioError, match=r"ends before 41.000 s"):
        recordings.excerpt(path, start=41.0, end=42.0)


def test_what_cannot_be_wound_is_read_through(tmp_path, rng):
    pytest.importorskip("av")
    import av

    path = tmp_path / "a.m4a"
    sound = rng.uniform(-0.5, 0.5, 16_000 * 4).astype(np.float32)
    with av.open(str(path), "w") as file:
        track = file.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        file.mux(track.encode(frame))
        file.mux(track.encode(None))
    whole, rate = audio.read(path)
    part, _ = recordings.excerpt(path, start=2.0, end=2.5)
    np.testing.assert_array_equal(part, whole[2 * rate : round(2.5 * rate)])


def test_hour_23_of_a_day_is_as_quick_as_its_first(tmp_path):
    path, rate = tmp_path / "day.wav", 8_000
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 24 * 3600 * rate, "NONE", ""))
        file.writeframes(b"")
    header = bytearray(path.read_bytes()[:44])
    size = 24 * 3600 * rate * 2
    header[4:8] = (size + 36).to_bytes(4, "little")
    header[40:44] = size.to_bytes(4, "little")
    at = 23 * 3600 * rate
    with path.open("wb") as file:  # a file with a hole takes no room
        file.write(header)
        file.truncate(44 + size)
        file.seek(44 + 2 * at)
        file.write(np.arange(rate, dtype="<i2").tobytes())
    began = time.perf_counter()
    part, _ = recordings.excerpt(path, start=23 * 3600.0, end=23 * 3600.0 + 1)
    assert time.perf_counter() - began < 1.0  # reading it through takes over 5 s
    np.testing.assert_array_equal(part * 2**15, np.arange(rate))


def test_spans_stay_inside_the_recording_and_are_bounded(tmp_path):
    rows = tables.read(made.write(tmp_path)).rows
    excerpts = Excerpts(tmp_path, context=2.0)
    assert excerpts.span(rows[0]) == (0.0, 4.0)  # the event begins at 0.5 s
    assert excerpts.span(rows[1]) == (1.5, 7.0)
    long = made.event(0.5)
    object.__setattr__(long, "end", 19.0)
    found = tables.read(made.write(tmp_path / "long", found=(long,))).rows[0]
    assert excerpts.span(found) == (0.0, 20.0)
    object.__setattr__(found, "end", 500.0)
    object.__setattr__(found, "duration", 500.0)
    assert excerpts.span(found) == (0.0, LONGEST_SECONDS)
    object.__setattr__(found, "sample_rate", 384_000)
    assert excerpts.span(found)[1] < 11.0


def test_names_of_any_bytes_are_read(tmp_path):
    table = tables.read(made.write(tmp_path))
    for row in table.rows[: 3 * len(made.events())]:
        waveform = Excerpts(tmp_path).read(row)
        assert np.abs(waveform).max() > 0.25


def test_recordings_are_looked_for_where_they_lie_now(tmp_path, monkeypatch):
    path = made.write(tmp_path / "card")
    row = tables.read(path).rows[0]
    moved = tmp_path / "shelf" / "card"
    moved.mkdir(parents=True)
    (tmp_path / "card" / made.NAMES[0]).rename(moved / made.NAMES[0])
    with pytest.raises(AudioError, match="no such file.*--recordings"):
        Excerpts(path.parent).read(row)
    # A file of that name in the folder itself is another recording.
    (tmp_path / "shelf" / made.NAMES[0]).write_bytes(b"")
    assert Excerpts(path.parent, tmp_path / "shelf").find(row.file) == (
        moved / made.NAMES[0]
    )
    assert len(Excerpts(path.parent, tmp_path / "shelf").read(row)) == 4 * made.RATE
    # Names that are relative hold from the folder of the table, too.
    assert Excerpts(moved).find(Path(row.file).name) == moved / made.NAMES[0]


def test_another_recording_of_that_name_is_refused(tmp_path):
    path = made.write(tmp_path)
    audio.write(tmp_path / made.NAMES[0], np.ones(80_000) / 2, sample_rate=8000)
    with pytest.raises(AudioError, match="has 8000 Hz, but the table"):
        Excerpts(tmp_path).read(tables.read(path).rows[0])


def test_a_recording_that_became_shorter_keeps_the_times(tmp_path):
    path = made.write(tmp_path)
    audio.write(tmp_path / made.NAMES[0], np.ones(16_000) / 2, sample_rate=16_000)
    waveform = Excerpts(tmp_path).read(tables.read(path).rows[0])
    assert len(waveform) == 4 * made.RATE
    assert not waveform[16_000:].any()
