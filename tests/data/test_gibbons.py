"""Gibbons: from a synthetic copy of the recordings' layout, and from the real ones."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tfhier import audio
from tfhier.data import gibbons
from tfhier.data.gibbons import calls, mixtures
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

DATA = Path(
    os.environ.get("TFHIER_DATA") or Path(__file__).parents[2] / "../shared/data"
)
REAL = DATA / "primates_cc0"
RATE = calls.SAMPLE_RATE
WINDOWS = 2
# Seconds of the synthetic notes: two close ones, a lone one, and a trill of 4.5 s.
NOTES = [(1.0, 1.4), (2.0, 2.5), (6.0, 6.3), (8.0, 12.5)]


def focal(rng, *, low=700.0, seconds=14.0):
    """Rising notes over noise, with a loud insect above the band and a click."""
    times = np.arange(round(seconds * RATE)) / RATE
    wave = 1e-3 * rng.standard_normal(len(times))
    wave += 0.3 * np.sin(2 * np.pi * 3000 * times) - 0.01
    for start, stop in NOTES:
        inside = (times >= start) & (times < stop)
        sweep = np.cumsum(low + 400 * ((times - start) % 0.5)) / RATE
        wave[inside] += 0.1 * np.sin(2 * np.pi * sweep)[inside]
    wave[round(4.5 * RATE)] += 0.5
    return wave


def write_layout(folder, *, seconds=20.0):
    """Write noise of another level for every soundscape, and calls of other pitches."""
    rng = np.random.default_rng(0)
    for part in mixtures.CALLERS.values():
        for names in part.values():
            for name in names:
                path = folder / gibbons.FOCAL / f"{name}.flac"
                path.parent.mkdir(parents=True, exist_ok=True)
                wave = focal(rng, low=rng.uniform(600, 900))
                soundfile.write(path, wave, RATE)
    for part in mixtures.STRETCHES.values():
        for name in part:
            path = folder / gibbons.FOREST / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = rng.standard_normal(round(seconds * 8000))
            soundfile.write(path, rng.uniform(0.01, 0.05) * noise + 0.01, 8000)
    return folder


def shrink(monkeypatch, cache):
    monkeypatch.setattr(mixtures, "TRAIN_WINDOWS", WINDOWS)
    monkeypatch.setattr(mixtures, "TEST_WINDOWS", WINDOWS)
    monkeypatch.setenv("TFHIER_CACHE", str(cache))


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return write_layout(tmp_path_factory.mktemp("recordings") / gibbons.FOLDER)


@pytest.fixture(scope="module")
def made(layout, tmp_path_factory):
    """Clips of the synthetic layout, their table and their waveforms."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, tmp_path_factory.mktemp("cache"))
        clips = gibbons.load(layout)
    with (clips.paths[0].parents[1] / "clips.csv").open(newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    waves = {
        key: audio.read(path)[0].astype(float)
        for key, path in zip(clips.keys.tolist(), clips.paths, strict=True)
    }
    return clips, rows, waves


@pytest.fixture
def small(monkeypatch, tmp_path):
    shrink(monkeypatch, tmp_path / "cache")
    return tmp_path / "cache"


# -- Finding calls ---------------------------------------------------------------------


def test_notes_are_found_where_they_are_and_nothing_else(rng):
    recording = calls.listen("one", focal(rng))
    np.testing.assert_allclose(recording.notes / RATE, NOTES, atol=0.06)
    assert recording.active.sum() == np.diff(recording.notes).sum()


def test_nothing_is_found_in_noise_or_next_to_nothing(rng):
    assert not len(calls.listen("noise", rng.standard_normal(5 * RATE)).excerpts)
    assert not len(calls.find_notes(np.zeros(10)))


def test_excerpts_begin_with_a_note_and_hold_whole_ones():
    notes = np.array(NOTES) * RATE
    spans = calls.excerpts_of(notes.astype(int), 14 * RATE) / RATE
    np.testing.assert_allclose(
        spans,
        [
            (0.95, 2.55),  # both close notes, and 0.05 s
            (1.95, 2.55),
            (5.95, 8.95),  # the trill goes on: 3 s
            (7.95, 10.95),
            (9, 12),
            (10, 12.55),
            (11, 12.55),
            (12, 12.55),
        ],
    )


def test_excerpts_stay_in_the_recording():
    spans = calls.excerpts_of(np.array([[100, 9000]]), 9000)
    assert spans.tolist() == [[0, 9000]]


@pytest.mark.parametrize(
    ("hertz", "gain"), [(100, 0), (440, 0), (550, 1), (900, 1), (1250, 1), (1400, 0)]
)
def test_the_band(hertz, gain):
    tone = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
    np.testing.assert_allclose(calls.in_band(tone), gain * tone, atol=1e-9)


def test_hiss_is_the_noise_without_calls_and_insects(rng):
    noise = 1e-3 * rng.standard_normal(14 * RATE)
    recording = calls.listen("one", focal(rng))
    hiss = calls.hiss(recording, 3 * RATE, rng)
    expected = np.mean(calls.in_band(noise) ** 2)
    # The quietest frames of noise are a little quieter than noise is.
    assert -3 < 10 * np.log10(np.mean(hiss**2) / expected) < 0.5
    power = np.abs(np.fft.rfft(hiss)) ** 2
    hertz = np.fft.rfftfreq(3 * RATE, 1 / RATE)
    assert power[(hertz < 400) | (hertz > 1400)].sum() < 1e-3 * power.sum()
    assert len(calls.hiss(recording, 1000, rng)) == 1000


def test_fades_reach_both_ends_and_leave_the_middle():
    faded = calls.faded(np.ones(1000))
    assert faded[0] < 0.001 and faded[-1] < 0.001
    np.testing.assert_allclose(faded, faded[::-1])
    assert np.all(faded[320:-320] == 1)
    assert len(calls.faded(np.ones(1))) == 1


# -- The data set ----------------------------------------------------------------------


def test_the_table(made):
    clips, _, waves = made
    assert len(clips) == 5 * WINDOWS * (7 + 4 * 8)
    assert (clips.name, clips.kind, clips.max_seconds) == (gibbons.NAME, "other", 3.0)
    assert clips.labels == Taxonomy.read("gibbons").labels[0]
    assert np.all(clips.targets.sum(axis=1) == 1) and clips.observed.all()
    test = clips.parts == "test"
    assert set(clips.conditions[~test]) == {""}
    for condition in ("-10 dB", "0 dB", "10 dB", "20 dB"):
        counts = clips.targets[clips.conditions == condition].sum(axis=0)
        assert counts.tolist() == [16, 16, 16, 32]
    assert {len(wave) for wave in waves.values()} == {3 * RATE}
    assert "7 soundscapes" in clips.notes[0] and "8 soundscapes" in clips.notes[1]
    assert "gibbon_female 2 recordings, 8 notes" in clips.notes[0]


def test_parts_share_neither_forest_nor_callers(made):
    clips, rows, _ = made
    for column in ("soundscape", "focal"):
        used = {
            part: {row[column] for row in rows.values() if row["part"] == part} - {""}
            for part in ("train", "test")
        }
        assert used["train"] and used["test"]
        assert not used["train"] & used["test"]
    test = clips.parts == "test"
    assert not set(clips.groups[test]) & set(clips.groups[~test])
    assert {group.split("_")[0] for group in clips.groups[test]} == {"Sulawesi"}
    assert "Borneo_Morning_03" not in clips.groups


def test_every_group_holds_every_label_equally(made):
    clips, _, _ = made
    for group in set(clips.groups.tolist()):
        counts = clips.targets[clips.groups == group].sum(axis=0)
        assert np.array_equal(counts / counts[0], [1, 1, 1, 2])


def test_training_keeps_to_the_stretches_without_gibbons(layout, small, monkeypatch):
    monkeypatch.setattr(mixtures, "TRAIN_WINDOWS", 40)
    forest, focals = recordings(layout)
    starts = {}
    for row in mixtures.plan("train", forest, focals):
        starts.setdefault(row.soundscape, set()).add(row.start)
    assert max(starts["Borneo_Morning_01"]) <= 2.7
    fourth = np.array(sorted(starts["Borneo_Morning_04"]))
    assert np.all((fourth <= 3.1) | ((fourth >= 8.6) & (fourth <= 17)))
    assert fourth.min() < 3.1 and fourth.max() > 8.6
    assert max(starts["Borneo_Night_01"]) > 15


def recordings(folder):
    """The soundscapes and focal recordings of a folder, as the recipe takes them."""
    waves = {
        name: audio.read(path, sample_rate=RATE)[0].astype(float)
        for name, path in gibbons._find(folder).items()
    }
    names = {name for part in mixtures.STRETCHES.values() for name in part}
    forest = {name: mixtures.Soundscape.of(waves[name]) for name in names}
    return forest, {n: calls.listen(n, w) for n, w in waves.items() if n not in names}


def test_the_ratio_is_what_the_table_says(made, layout):
    _, rows, waves = made
    _, focals = recordings(layout)
    errors = []
    for key, row in rows.items():
        if row["kind"] not in ("female", "male", "argus") or float(row["snr_db"]) < 5:
            continue
        forest = waves[key.replace(f"_{row['kind']}", "_forest")]
        added = waves[key] - forest
        first = round(float(row["focal_start"]) * RATE)
        last = round(float(row["focal_stop"]) * RATE)
        active = np.flatnonzero(focals[row["focal"]].active[first:last])
        call = added[active + round(float(row["onset"]) * RATE)]
        ratio = np.mean(call**2) / np.mean(calls.in_band(forest) ** 2)
        errors.append(10 * np.log10(ratio) - float(row["snr_db"]))
    assert len(errors) > 100
    # Only a window's own edges in the filter and 16 bits are in the way.
    assert np.abs(errors).max() < 0.3


def test_conditions_differ_by_the_ratio_alone(made):
    clips, _, waves = made
    zero = [key for key in clips.keys.tolist() if key.endswith("_0dB")]
    assert len(zero) == 80
    for key in zero:
        if "forest" in key:
            continue
        added = {
            db: waves[key.replace("_0dB", f"_{db}dB")]
            - waves[key.replace(key.split("_")[-2], "forest")]
            for db in (-10, 0, 10, 20)
        }
        step = 2 / 32768
        np.testing.assert_allclose(added[10], added[0] * 10**0.5, atol=4 * step)
        np.testing.assert_allclose(added[20], added[0] * 10, atol=11 * step)
        np.testing.assert_allclose(added[-10], added[0] / 10**0.5, atol=4 * step)


def test_clips_of_a_window_differ_in_the_band_of_calls_alone(made):
    _, rows, waves = made
    hertz = np.fft.rfftfreq(3 * RATE, 1 / RATE)
    # Between the two lies what the fades at the ends of an excerpt may reach.
    outside = (hertz < 350) | (hertz > 1450)
    for key, row in rows.items():
        forest = waves[key.replace(f"_{row['kind']}", "_forest")]
        added = np.fft.rfft(waves[key] - forest)
        power = np.sum(np.abs(added[outside]) ** 2) / len(forest) ** 2
        assert power < 1e-9  # 16 bits


def test_hiss_is_as_loud_as_beside_a_call(made):
    """The synthetic noise has 775 of 8,000 Hz of 1e-6; tones of 0.1 have 0.005."""
    _, rows, waves = made
    expected = 10 * np.log10(1e-6 * 775 / 8000 / 0.005)  # -47 dB
    found = []
    for key, row in rows.items():
        if row["kind"] != "hiss" or float(row["snr_db"]) < 10:
            continue
        forest = waves[key.replace("hiss", "forest")]
        seconds = float(row["focal_stop"]) - float(row["focal_start"])
        first = round(float(row["onset"]) * RATE)
        added = (waves[key] - forest)[first : first + round(seconds * RATE)]
        ratio = np.mean(added**2) / np.mean(calls.in_band(forest) ** 2)
        found.append(10 * np.log10(ratio) - float(row["snr_db"]))
    assert len(found) > 30
    # Quiet frames, fades and parts of notes above the band: a few dB either way.
    assert np.median(found) == pytest.approx(expected, abs=2)
    assert np.abs(np.array(found) - expected).max() < 6


# -- The cache -------------------------------------------------------------------------


def test_clips_are_written_once_and_named_by_their_sources(made, layout, tmp_path):
    clips, _, _ = made
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, clips.paths[0].parents[3])
        patch.setattr(mixtures, "render", None)
        copy = shutil.copytree(layout, tmp_path / "elsewhere" / gibbons.FOLDER)
        again = gibbons.load(copy.parent)
    assert again.paths == clips.paths and again.notes == clips.notes


def test_other_recordings_are_other_clips(made, layout, small, tmp_path):
    clips, _, _ = made
    copy = shutil.copytree(layout, tmp_path / "copy")
    path = copy / gibbons.FOCAL / "MaleSolo_1.flac"
    wave, rate = soundfile.read(path)
    soundfile.write(path, 0.5 * wave, rate)
    assert gibbons._digest(gibbons._find(copy)) != clips.paths[0].parts[-3]


def test_a_making_cut_short_leaves_nothing(layout, small, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(audio, "write", fail)
        with pytest.raises(OSError, match="no space left"):
            gibbons.load(layout)
    assert list((small / "gibbons").iterdir()) == []


# -- What a user can mend --------------------------------------------------------------


def test_missing_recordings_are_named_with_where_they_come_from(
    layout, small, tmp_path
):
    with pytest.raises(InputError, match="lacks 26 of 26 .*behaviouR"):
        gibbons.load(tmp_path / "nowhere")
    copy = shutil.copytree(layout, tmp_path / "copy")
    (copy / gibbons.FOREST / "Sulawesi_Night_04.wav").unlink()
    with pytest.raises(InputError, match="lacks 1 of 26 .*/Sulawesi_Night_04 "):
        gibbons.load(copy)


@pytest.mark.parametrize(
    ("name", "seconds", "message"),
    [
        (f"{gibbons.FOCAL}/MaleSolo_3.flac", 10, "No call was found .* MaleSolo_3"),
        (f"{gibbons.FOCAL}/MaleSolo_3.flac", 0.02, "No call was found .* MaleSolo_3"),
        (f"{gibbons.FOREST}/Sulawesi_Night_04.wav", 2, "Night_04 has 2.0 s and no 3 s"),
        (f"{gibbons.FOREST}/Borneo_Morning_02.wav", 7, "has 7.0 s and no 3 s within"),
    ],
)
def test_recordings_that_cannot_be_used_are_named(
    layout, small, tmp_path, rng, name, seconds, message
):
    copy = shutil.copytree(layout, tmp_path / "copy")
    noise = 0.01 * rng.standard_normal(round(seconds * RATE))
    soundfile.write(copy / name, noise, RATE)
    with pytest.raises(InputError, match=message):
        gibbons.load(copy)


def test_an_empty_file_is_named(layout, small, tmp_path):
    copy = shutil.copytree(layout, tmp_path / "copy")
    (copy / gibbons.FOCAL / "MaleSolo_3.flac").write_bytes(b"")
    with pytest.raises(InputError, match="MaleSolo_3.flac: is empty"):
        gibbons.load(copy)


def test_preparing_says_what_there_is(made, layout, tmp_path, capsys):
    clips, _, _ = made
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, clips.paths[0].parents[3])
        assert gibbons.prepare(layout.parent) == layout
        with pytest.raises(InputError, match="behaviouR: copy both folders to"):
            gibbons.prepare(tmp_path)
    assert "390 clips of 3 s" in capsys.readouterr().out


def test_the_default_folder(monkeypatch):
    monkeypatch.setenv("TFHIER_DATA", "/somewhere")
    assert gibbons.default_folder() == Path("/somewhere/primates_cc0")


# -- The real recordings ---------------------------------------------------------------


def area(positive, negative):
    """ROC-AUC of one number."""
    above = positive[:, None] > negative[None, :]
    return above.mean() + 0.5 * (positive[:, None] == negative[None, :]).mean()


@pytest.mark.skipif(not REAL.is_dir(), reason="no real recordings")
def test_real_recordings(small, monkeypatch):
    monkeypatch.setattr(mixtures, "TEST_WINDOWS", 3)
    forest, focals = recordings(REAL)
    # Seen in spectrograms: a great call fills most of 12 s; MaleSolo_1 has four
    # phrases; the first argus calls 47 times.
    assert focals["FemaleGibbon_1"].active.mean() > 0.7
    assert len(focals["GreatArgus_1"].notes) == 47
    for name, one in focals.items():
        assert 13 <= len(one.excerpts) <= 60, name
    phrases = focals["MaleSolo_1"].notes / RATE
    assert phrases[:, 0] == pytest.approx([0.3, 10.6, 19.3, 28.2, 30.3], abs=0.1)

    rows = [row for row in mixtures.plan("test", forest, focals) if row.snr_db == 0]
    rows = [row for row in rows if row.condition == "0 dB"]
    waves = np.stack([mixtures.render(row, forest, focals) for row in rows])
    is_call = np.array([row.kind in ("female", "male", "argus") for row in rows])
    is_gibbon = np.array([row.kind in ("female", "male") for row in rows])
    high = np.fft.rfft(waves)[:, 3 * 6000 :]
    for cue in (np.mean(waves**2, axis=1), np.sum(np.abs(high) ** 2, axis=1)):
        assert area(cue[is_call], cue[~is_call]) == pytest.approx(0.5, abs=0.04)
        assert area(cue[is_gibbon], cue[~is_gibbon]) == pytest.approx(0.5, abs=0.04)
