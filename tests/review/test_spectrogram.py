"""Spectrograms: tones and clicks lie where they sound."""

import struct
import zlib

import numpy as np
import pytest

from tfhier.review import spectrogram


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000, 384_000])
@pytest.mark.parametrize("seconds", [0.05, 3.0])
def test_a_tone_lies_at_its_frequency(rng, rate, seconds):
    time = np.arange(round(rate * seconds)) / rate
    tone = np.sin(2 * np.pi * rate / 8 * time) + rng.normal(0, 1e-3, len(time))
    picture = spectrogram.picture(tone.astype(np.float32), rate)
    rows, columns = picture.shape
    assert columns <= spectrogram.MOST_COLUMNS
    middle = picture[:, columns // 3 : -columns // 3]
    # Half the sample rate is the top: an eighth of it is three quarters down.
    np.testing.assert_allclose(middle.argmax(axis=0), 0.75 * rows, atol=2)


@pytest.mark.parametrize("seconds", [1.0, 6.0, 59.0])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_click_lies_at_its_time_however_long_the_excerpt(rng, seconds, place):
    sound = rng.normal(0, 1e-4, round(16_000 * seconds)).astype(np.float32)
    sound[round(place * len(sound))] = 1.0
    picture = spectrogram.picture(sound, 16_000)
    # Several frames hear the click; the middle one is where it is.
    loud = picture.astype(int).sum(axis=0)
    column = np.flatnonzero(loud > 0.9 * loud.max()).mean()
    assert abs((column + 0.5) / picture.shape[1] - place) < 1.5 / picture.shape[1]


@pytest.mark.parametrize("length", [1, 2, 100, 511, 513])
def test_short_and_silent_sounds_have_pictures(length):
    picture = spectrogram.picture(np.zeros(length, np.float32), 16_000)
    assert picture.shape[1] >= 1
    assert not picture.any()


def test_a_png_file_holds_the_picture(rng):
    picture = rng.integers(0, 256, (37, 61)).astype(np.uint8)
    content = spectrogram.png(picture)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        data = content[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack(">I", content[at + 8 + size : at + 12 + size])
        assert checksum == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + size
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (61, 37, 8, 0, 0, 0, 0)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(37, 62)
    assert not lines[:, 0].any()
    np.testing.assert_array_equal(lines[:, 1:], picture)
