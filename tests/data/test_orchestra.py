"""The synthetic orchestra: its sounds, its clips, its labels and its files."""

import csv
import json
import os

import numpy as np
import pytest
import soundfile

from tfhier.data import orchestra
from tfhier.data.orchestra import instruments, ogg
from tfhier.data.orchestra.synthesis import Score, ringing
from tfhier.errors import InputError

RATE = 16_000
WINDS = ("flute", "trombone", "trumpet", "clarinet")
TONAL = sorted(set(instruments.INSTRUMENTS) - {"drums", "cymbals"})


def one_note(pitch, *, seconds=1.0, loudness=0.8):
    return Score(
        starts=np.zeros(1),
        lengths=np.full(1, seconds),
        pitches=np.full(1, float(pitch)),
        loudness=np.full(1, loudness),
        voices=np.zeros(1, int),
        num_samples=round(seconds * RATE),
        sample_rate=RATE,
    )


def sound_of(name, pitch, *, seed=0, **note):
    rng = np.random.default_rng(seed)
    return instruments.play(name, one_note(pitch, **note), rng=rng)


def tune_of(name, seed, seconds=3.0):
    rng = np.random.default_rng(seed)
    song = instruments.random_song(rng)
    score = instruments.compose(name, song, seconds=seconds, sample_rate=RATE, rng=rng)
    return score, instruments.play(name, score, rng=rng)


def harmonics(wave, hertz, count):
    """Strongest magnitude near each of the first `count` multiples of `hertz`."""
    size = 1 << 18
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size), size))
    found = []
    for order in range(1, count + 1):
        low, high = (int(order * hertz * r * size / RATE) for r in (0.97, 1.03))
        place = low + np.argmax(spectrum[low:high])
        found.append((place * RATE / size, spectrum[place]))
    return np.array(found)


def flatness(wave):
    """Geometric over arithmetic mean of the power spectrum: 1 for white noise."""
    power = np.abs(np.fft.rfft(wave)) ** 2 + 1e-9
    return np.exp(np.mean(np.log(power))) / np.mean(power)


def test_ringing_is_the_sum_of_decaying_cosines():
    rng = np.random.default_rng(0)
    hertz = rng.uniform(50, 6000, (3, 5))
    decays = rng.uniform(1, 30, (3, 5))
    weights = rng.normal(size=(3, 5)) + 1j * rng.normal(size=(3, 5))
    times = np.arange(4001) / RATE
    rates = 2j * np.pi * hertz - decays
    expected = (weights[..., None] * np.exp(rates[..., None] * times)).real.sum(axis=1)
    found = ringing(hertz, decays, weights, length=4001, sample_rate=RATE)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_modes_above_the_band_are_not_folded_back():
    above = np.full((1, 1), 9000.0)
    found = ringing(above, above * 0, above + 0j, length=100, sample_rate=RATE)
    assert not found.any()


@pytest.mark.parametrize("name", TONAL)
def test_pitch_is_the_asked_one(name):
    instrument = instruments.INSTRUMENTS[name]
    for pitch in (instrument.low, instrument.low + 12):
        wave = sound_of(name, pitch, seconds=1.5)[RATE // 5 :]
        hertz = 440.0 * 2.0 ** ((pitch - 69) / 12)
        # Wind, bow and voice come up to the pitch and swing about it; the reeds of an
        # accordion and the oscillators of a synthesizer lie beside it.
        moving = {"voice": 75, "saxophone": 40, "violin": 40, "cello": 40}
        beating = {"accordion": 25, "synthesizer": 20, "mandolin": 12}
        allowed = (moving | beating).get(name, 12 if name in WINDS else 4)
        found = harmonics(wave, hertz, 1)[0, 0]
        assert abs(1200 * np.log2(found / hertz)) < allowed


@pytest.mark.parametrize("name", instruments.INSTRUMENTS)
def test_every_instrument_sounds_in_every_window(name):
    for seed in range(4):
        score, wave = tune_of(name, seed, seconds=5.0)
        assert wave.dtype == np.float32 and wave.shape == (5 * RATE,)
        assert np.isfinite(wave).all()
        loud = np.sqrt(np.mean(wave.reshape(2, -1) ** 2, axis=1))
        assert loud.min() > 0.1  # of 1 for the whole clip
        assert (np.diff(score.starts)[np.diff(score.voices) == 0] >= 0).all()


@pytest.mark.parametrize("name", ["bass", "guitar", "banjo", "mandolin", "ukulele"])
def test_strings_decay_high_harmonics_first(name):
    pitch = instruments.INSTRUMENTS[name].low
    hertz = 440.0 * 2.0 ** ((pitch - 69) / 12)
    # Over many plucks, since the strings of a pair beat.
    waves = [sound_of(name, pitch, seed=seed) for seed in range(6)]
    early, late = (
        sum(harmonics(wave[first : first + 1600], hertz, 12)[:, 1] for wave in waves)
        for first in (0, 2400)
    )
    assert late.sum() < early.sum()
    assert late[6:].sum() / early[6:].sum() < late[:2].sum() / early[:2].sum()


@pytest.mark.parametrize("name", ["violin", "clarinet", "trumpet", "organ", "voice"])
def test_held_instruments_do_not_decay(name):
    wave = sound_of(name, instruments.INSTRUMENTS[name].low + 5)
    middle = [np.mean(wave[i : i + 4000] ** 2) for i in (4000, 10_000)]
    assert 0.3 < middle[1] / middle[0] < 3.0


def test_clarinet_has_weak_even_harmonics_and_flute_more_noise():
    for seed in range(3):
        wave = sound_of("clarinet", 50, seed=seed)
        hertz = 440.0 * 2.0 ** ((50 - 69) / 12)
        levels = harmonics(wave, hertz, 6)[:, 1]
        assert levels[1::2].sum() < 0.25 * levels[::2].sum()
        flute = sound_of("flute", 72, seed=seed)
        assert flatness(flute) > 3 * flatness(sound_of("clarinet", 72, seed=seed))


def test_brass_brightens_with_loudness():
    hertz = 440.0 * 2.0 ** ((60 - 69) / 12)
    for name in ("trumpet", "trombone"):
        soft, loud = (
            harmonics(sound_of(name, 60, loudness=level), hertz, 12)[:, 1]
            for level in (0.3, 1.0)
        )
        assert loud[5:].sum() / loud.sum() > 1.5 * soft[5:].sum() / soft.sum()


def test_piano_strings_are_stiff_and_cymbals_are_noise():
    hertz = 440.0 * 2.0 ** ((45 - 69) / 12)
    found = harmonics(sound_of("piano", 45), hertz, 10)[:, 0] / hertz
    assert found[9] > 10.02 and abs(found[0] - 1) < 0.003
    noisy = flatness(tune_of("cymbals", 1)[1])
    assert noisy > 10 * flatness(tune_of("organ", 1)[1])
    assert noisy > 10 * flatness(tune_of("piano", 1)[1])


def test_mandolin_strokes_are_a_tremolo_of_ten_to_fifteen_a_second():
    score, wave = tune_of("mandolin", 2, seconds=4.0)
    rate = 1.0 / np.median(np.diff(score.starts))
    assert 9.0 < rate < 16.0
    starts = np.round(score.starts[1:-1] * RATE).astype(int)
    before, after = (
        np.mean(wave[starts[:, None] + shift + np.arange(320)] ** 2, axis=1)
        for shift in (-320, 0)
    )
    assert np.mean(after > before) > 0.7


def test_equal_seeds_make_equal_clips():
    first, present = orchestra.render_clip([3, 1], seconds=2.0, sample_rate=RATE)
    again, same = orchestra.render_clip([3, 1], seconds=2.0, sample_rate=RATE)
    other, _ = orchestra.render_clip([3, 2], seconds=2.0, sample_rate=RATE)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(present, same)
    assert not np.array_equal(first, other)


def test_clips_are_in_range_and_not_silent():
    counts = []
    for seed in range(40):
        wave, present = orchestra.render_clip(seed, seconds=1.5, sample_rate=RATE)
        assert wave.dtype == np.float32 and wave.shape == (24_000,)
        assert np.isfinite(wave).all()
        assert 0.05 < np.abs(wave).max() <= 1.0
        assert present.shape == (20,) and present.dtype == bool
        counts.append(present.sum())
    assert set(counts) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("seconds", "rate"), [(0.5, 16_000), (np.nan, 16_000), (5, 400), (np.inf, 16_000)]
)
def test_impossible_clips_are_refused(seconds, rate):
    with pytest.raises(InputError, match="1 to 600 s and 8000 to 192,000 Hz"):
        orchestra.render_clip(0, seconds=seconds, sample_rate=rate)


def test_labels_are_sparse_balanced_and_true():
    rng = np.random.default_rng(0)
    present = rng.random((1000, 20)) < 0.15
    labels = orchestra.sparse_labels(present, rng=rng)
    observed = labels != 0.5
    assert observed.sum() == 2000 and observed.any(axis=1).all()
    np.testing.assert_array_equal(observed.sum(axis=0), 100)
    np.testing.assert_array_equal((labels > 0.5).sum(axis=0), 41)
    np.testing.assert_array_equal(labels[observed] > 0.5, present[observed])
    assert labels.max() <= 1.0 and labels.min() >= 0.0
    assert (np.abs(labels[observed] - 0.5) >= 0.05).all()
    assert len(np.unique(observed.sum(axis=1))) >= 3


def test_features_follow_the_sound():
    wave = np.zeros(2 * RATE, np.float32)
    wave[RATE:] = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    found = orchestra.features(wave, sample_rate=RATE)
    assert found.shape == (10, 128) and found.dtype == np.uint8
    assert not found[:4].any()
    # A steady tone stands in one band and does not vary.
    assert (np.argmax(found[6:, :64], axis=1) == np.argmax(found[6, :64])).all()
    assert found[7, 64 + np.argmax(found[7, :64])] <= 2


def test_ogg_number_makes_files_equal_and_readable(tmp_path):
    wave = np.sin(np.arange(RATE) / 10).astype(np.float32) / 2
    files = [ogg.encode(wave, sample_rate=RATE, serial=n) for n in (7, 7, 8)]
    assert files[0] == files[1] != files[2]
    assert ogg.numbered(files[2], 7) == files[0]
    (tmp_path / "a.ogg").write_bytes(files[0])
    found, rate = soundfile.read(tmp_path / "a.ogg")
    assert rate == RATE and len(found) == len(wave)
    assert np.corrcoef(found, wave)[0, 1] > 0.99


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "orchestra"
    orchestra.write(folder, num_train=14, num_test=6, seconds=1.5, seed=4)
    return folder


def table_of(folder):
    text = (folder / "all-labels.csv").read_text(encoding="utf-8")
    return list(csv.reader(text.splitlines()))


def all_files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_layout_is_that_of_openmic(written):
    with np.load(written / "openmic-2018.npz", allow_pickle=False) as arrays:
        data = dict(arrays)
    keys = data["sample_key"].tolist()
    assert keys[:2] == ["000000_0001", "000001_0001"] and len(keys) == 20
    assert data["X"].shape == (20, 10, 128) and data["X"].dtype == np.uint8
    assert data["Y_true"].dtype == np.float64 and data["Y_mask"].dtype == bool
    np.testing.assert_array_equal(data["Y_mask"], data["Y_true"] != 0.5)
    parts = [
        (written / "partitions" / f"split01_{part}.csv").read_text().split()
        for part in ("train", "test")
    ]
    assert [len(part) for part in parts] == [14, 6] and sum(parts, []) == keys
    class_map = json.loads((written / "class-map.json").read_text())
    assert class_map == {label: i for i, label in enumerate(orchestra.LABELS)}
    assert list(orchestra.LABELS) == sorted(orchestra.LABELS)
    header, *rows = table_of(written)
    assert header == ["sample_key", "part", *orchestra.LABELS]
    truth = np.array([row[2:] for row in rows], int)
    observed = data["Y_mask"]
    np.testing.assert_array_equal(data["Y_true"][observed] > 0.5, truth[observed] == 1)
    assert "no sound was recorded" in (written / "README.txt").read_text()
    for key in keys:
        sound, rate = soundfile.read(written / "audio" / key[:3] / f"{key}.ogg")
        assert rate == RATE and sound.shape == (24_000,) and np.abs(sound).max() > 0.02


def test_truth_is_what_is_rendered_for_part_and_index(written):
    rows = table_of(written)[1:]
    for number, seed in ((0, [4, 0, 0]), (14, [4, 1, 0])):
        wave, present = orchestra.render_clip(seed, seconds=1.5, sample_rate=RATE)
        assert rows[number][2:] == [str(int(value)) for value in present]
        key = rows[number][0]
        sound, _ = soundfile.read(written / "audio" / "000" / f"{key}.ogg")
        assert np.corrcoef(sound, wave)[0, 1] > 0.9


def test_writing_twice_gives_equal_files_for_any_number_of_workers(
    written, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    arguments = {"num_train": 14, "num_test": 6, "seconds": 1.5, "seed": 4}
    orchestra.write(tmp_path / "orchestra", **arguments)
    assert all_files(tmp_path / "orchestra") == all_files(written)


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(waveform, **_):
        raise OSError("disk full")

    monkeypatch.setattr(orchestra, "features", fail)
    with pytest.raises(OSError, match="disk full"):
        orchestra.write(tmp_path / "new", num_train=1, num_test=1, seconds=1.0)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_content_is_refused(written):
    with pytest.raises(InputError, match="exists already"):
        orchestra.write(written, num_train=1, num_test=1)


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (-3, 5), (999_999, 2)])
def test_impossible_sizes_are_refused(tmp_path, sizes):
    with pytest.raises(InputError, match="each part needs a clip"):
        orchestra.write(tmp_path / "new", num_train=sizes[0], num_test=sizes[1])
    assert not list(tmp_path.iterdir())
