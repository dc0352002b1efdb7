"""The synthetic forest: its voices, its sites, its clips and its files."""

import csv
import dataclasses
import os

import numpy as np
import pytest
import soundfile
from scipy import stats

from tfhier.data import forest, primates
from tfhier.data.forest import (
    calls,
    chimpanzee,
    guenon,
    mandrill,
    mangabey,
    sites,
    voice,
)
from tfhier.data.forest.distractors import DISTRACTORS, distractor
from tfhier.data.forest.individuals import Individual, random_individual
from tfhier.errors import InputError
from tfhier.mel import filter_bank, hann_window

RATE = voice.RATE
AVERAGE = Individual(pitch=1.0, tract=1.0, tempo=1.0, rough=0.2, dark=0.0, manner=0.5)
SEEDS = range(5)


def units_of(kind, seed, seconds=2.5, animal=AVERAGE):
    units = kind(animal, seconds, np.random.default_rng(seed))
    assert units
    return units


def power_of(wave):
    """Power spectrum on bins of 1 Hz, up to 8 kHz."""
    return np.abs(np.fft.rfft(wave * np.hanning(wave.size), RATE)) ** 2


def share(wave, low, high):
    """Share of the power between two frequencies."""
    power = power_of(wave[:RATE])
    return power[int(low) : int(high)].sum() / power.sum()


def pitch_of(wave, low, high):
    """Pitch between two frequencies: the first high peak of the autocorrelation."""
    wave = wave * np.hanning(wave.size)
    found = np.fft.irfft(np.abs(np.fft.rfft(wave, 2 * wave.size)) ** 2)
    lags = np.arange(int(RATE / high), int(RATE / low) + 1)
    before, at, after = (found[lags + shift] for shift in (-1, 0, 1))
    is_peak = (at >= before) & (at >= after)
    return RATE / lags[is_peak & (at > 0.85 * at[is_peak].max())][0]


def third(wave, number):
    return np.array_split(wave, 3)[number]


def flatness(wave):
    """Geometric over arithmetic mean of the power spectrum: 1 for white noise."""
    power = np.abs(np.fft.rfft(wave)) ** 2 + 1e-9
    return np.exp(np.mean(np.log(power))) / np.mean(power)


# -- The voice -------------------------------------------------------------------------


def test_a_voice_is_made_of_the_multiples_of_its_pitch(rng):
    wave = voice.sing(voice.contour((500, 500), 1.0), [], rng=rng, jitter=0, breath=0)
    power = power_of(wave)
    near = np.abs(np.arange(power.size) % 500 - 250) > 240
    assert power[near].sum() / power.sum() > 0.999
    # With a flat tract, harmonic k has the amplitude 1 / k.
    levels = np.sqrt(power[500:7500:500])
    np.testing.assert_allclose(levels / levels[0], 1 / np.arange(1, 15), rtol=0.02)
    assert voice.rms(wave) == pytest.approx(1.0, rel=1e-4)


def test_harmonics_above_the_band_are_not_folded_back(rng):
    wave = voice.sing(voice.contour((3000, 3000), 1.0), [], rng=rng, jitter=0, breath=0)
    # 9 and 12 kHz would be heard at 7 and 4 kHz.
    assert share(wave, 6900, 7100) < 1e-6 and share(wave, 3900, 4100) < 1e-6


def test_a_contour_passes_through_its_values_evenly_in_octaves():
    pitch = voice.contour((200, 800, 400), 0.5)
    assert pitch.shape == (8000,)
    assert pitch[[0, -1]] == pytest.approx([200, 400])
    assert pitch[2000] == pytest.approx(400, rel=1e-3)
    assert pitch.max() == pytest.approx(800, rel=1e-3)


def test_formants_breath_and_doubling_do_what_they_say(rng):
    pitch = voice.contour((200, 200), 1.0)
    plain = voice.sing(pitch, [], rng=rng, breath=0)
    tract = voice.sing(pitch, [(2000, 150, 10.0)], rng=rng, breath=0)
    assert share(tract, 1800, 2200) > 5 * share(plain, 1800, 2200)
    hissing = voice.sing(pitch, [], rng=rng, breath=1.0)
    assert flatness(hissing) > 10 * flatness(plain)
    double = voice.sing(pitch, [], rng=rng, breath=0, jitter=0, doubling=0.8)
    assert share(double, 95, 105) > 0.02 > share(plain, 95, 105)


def test_placed_units_start_where_they_should_and_end_with_the_clip():
    one = np.ones(8, np.float32)
    sound = voice.placed([(0.0, 2.0, one), (4 / RATE, 1.0, one), (9.0, 1.0, one)], 10)
    assert sound.tolist() == [2, 2, 2, 2, 3, 3, 3, 3, 1, 1]


# -- The four primates -----------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_chimpanzee_hoots_are_low_speed_up_and_climb(seed):
    units = units_of(chimpanzee.hoots, seed)
    hoots = [(at, wave) for at, gain, wave in units if gain > 0.5]
    gaps = np.diff([at for at, _ in hoots])
    assert len(hoots) >= 5 and gaps[-2:].mean() < 0.85 * gaps[:2].mean()
    first, last = (pitch_of(hoots[i][1], 180, 700) for i in (0, -1))
    assert 230 < first < 1.03 * last < 600
    assert all(share(wave, 0, 1500) > 0.8 for _, wave in hoots)
    assert any(gain == 0.4 for _, gain, _ in units)  # breaths drawn in between


@pytest.mark.parametrize("seed", SEEDS)
def test_chimpanzee_screams_are_high_and_rich(seed):
    units = units_of(chimpanzee.screams, seed)
    for _, _, wave in units:
        assert 0.3 < wave.size / RATE < 1.05
        assert 650 < pitch_of(third(wave, 1), 500, 1700) < 1650
        assert share(wave, 2000, 8000) > 0.03
    climax = units_of(chimpanzee.climax, seed)
    assert pitch_of(climax[0][2], 180, 1700) < 500
    assert share(climax[-1][2], 0, 650) < 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_guenon_pyows_fall_hacks_are_dry_and_chirps_are_chevrons(seed):
    for _, _, wave in units_of(guenon.pyows, seed):
        start, end = (pitch_of(third(wave, i), 500, 1600) for i in (0, 2))
        assert wave.size == 0.15 * RATE
        assert 1000 < start < 1500 and end < 0.75 * start
    for _, _, hack in units_of(guenon.hacks, seed):
        assert hack.size <= 0.06 * RATE
        assert share(hack, 500, 4000) > 0.8 and share(hack, 2000, 4000) > 0.05
    for _, _, wave in units_of(guenon.chirps, seed):
        a, b, c = (np.argmax(power_of(third(wave, i))) for i in range(3))
        assert min(a, b, c) > 1800 and b > a and b > c and b < 4000
        assert wave.size < 0.1 * RATE


@pytest.mark.parametrize("seed", SEEDS)
def test_mandrill_grunts_are_low_and_in_two_phases_and_crows_start_abruptly(seed):
    phases = units_of(mandrill.two_phase_grunts, seed)
    assert len(phases) % 2 == 0
    for short, long in zip(phases[::2], phases[1::2], strict=True):
        assert long[2].size > 1.4 * short[2].size
        assert short[0] + short[2].size / RATE <= long[0] < short[0] + 0.2
        assert 45 < pitch_of(long[2], 40, 200) < 110
        assert share(long[2], 0, 1500) > 0.75
    gaps = np.diff([at for at, _, _ in units_of(mandrill.grunt_series, seed)])
    assert gaps.max() < 1.3 * gaps.min() and 0.2 < gaps.mean() < 0.45
    for _, _, crow in units_of(mandrill.crows, seed):
        assert 0.24 < crow.size / RATE < 0.61
        assert 240 < pitch_of(third(crow, 1), 150, 600) < 460
        start, end = (np.mean(part**2) for part in (crow[:480], crow[-480:]))
        assert start > 2 * end


@pytest.mark.parametrize("seed", SEEDS)
def test_mangabey_whoops_rise_and_gobbles_pulse(seed):
    units = units_of(mangabey.whoop_gobbles, seed)
    whoop = units[0][2]
    start, end = (pitch_of(third(whoop, i), 250, 700) for i in (0, 2))
    assert start > 320 and 1.1 * start < end < 580
    pulses = [(at, wave) for at, _, wave in units[1:] if wave.size < 0.1 * RATE]
    starts = np.array([at for at, _ in pulses])
    # Gobbles of one clip are parted by a whoop; inside one, pulses are even.
    gaps = np.diff(starts)
    gaps = gaps[gaps < 0.15]
    assert len(gaps) >= 3 and (gaps > 1 / 13.01).all() and (gaps < 1 / 8.99).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_mangabey_screams_are_first_clear_then_rattling(seed):
    units = units_of(mangabey.two_phase_screams, seed)
    for (at, _, clear), (then, _, harsh) in zip(units[::2], units[1::2], strict=True):
        assert then == pytest.approx(at + clear.size / RATE, abs=1e-3)
        low, high = (pitch_of(third(clear, i), 400, 1700) for i in (0, 2))
        assert 550 < low < 0.85 * high < 1300

        def beating(wave):
            level = np.convolve(wave**2, np.ones(80) / 80, "valid")[::80]
            level = level[len(level) // 6 : -len(level) // 6]
            return np.std(level) / np.mean(level)

        assert beating(harsh) > 1.5 * beating(clear)


@pytest.mark.parametrize("species", calls.CALLS)
def test_every_call_sounds_in_clips_of_any_length(species):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        seconds = (0.7, 1.3, 3.0)[seed % 3]
        wave = calls.call(species, random_individual(rng), seconds=seconds, rng=rng)
        assert wave.dtype == np.float32 and wave.shape == (round(seconds * RATE),)
        assert np.isfinite(wave).all()
        assert voice.rms(wave) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("kind", DISTRACTORS)
def test_every_distractor_sounds(kind):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        wave = distractor(kind, seconds=0.7 + 0.4 * seed, rng=rng)
        assert wave.dtype == np.float32 and np.isfinite(wave).all()
        assert voice.rms(wave) == pytest.approx(1.0, rel=1e-4)


def test_individuals_differ_and_shift_the_whole_call():
    high = dataclasses.replace(AVERAGE, pitch=2.0)
    for seed in SEEDS:
        low_crow, high_crow = (
            units_of(mandrill.crows, seed, animal=animal)[0][2]
            for animal in (AVERAGE, high)
        )
        ratio = pitch_of(third(high_crow, 1), 150, 1200) / pitch_of(
            third(low_crow, 1), 150, 600
        )
        assert ratio == pytest.approx(2.0, rel=0.06)
    drawn = [random_individual(np.random.default_rng(seed)) for seed in range(20)]
    assert len({animal.pitch for animal in drawn}) == 20


# -- Sites -----------------------------------------------------------------------------


def quiet_site(**changes):
    site = sites.random_site(np.random.default_rng(1))
    levels = dict.fromkeys(site.levels, -60.0) | changes
    return dataclasses.replace(site, levels=levels, floor_slope=0.0)


def long_weather(site, seed=0):
    """Weather of many clips in which the dice let everything sound or not."""
    waves = [
        sites.weather(site, count=RATE, rng=np.random.default_rng([seed, n]))
        for n in range(8)
    ]
    return np.concatenate(waves)


def test_weather_is_where_the_site_has_it():
    floor = power_of(long_weather(quiet_site())[:RATE])
    assert floor[100:7900].reshape(-1, 780).sum(axis=1).std() < 0.2 * floor.sum()
    site = quiet_site(cicadas=40.0)
    site = dataclasses.replace(site, cicadas=np.array([[5000.0, 200.0, 30.0]]))
    assert np.mean([share(long_weather(site, s), 4200, 5800) for s in SEEDS]) > 0.5
    crickets = quiet_site(crickets=40.0)
    hertz = crickets.cricket[0]
    found = [share(long_weather(crickets, s), 0.9 * hertz, 1.1 * hertz) for s in SEEDS]
    assert max(found) > 0.9
    wind = [share(long_weather(quiet_site(wind=40.0), s), 0, 500) for s in SEEDS]
    assert max(wind) > 0.6


def test_distance_takes_high_frequencies_and_adds_echo(rng):
    site = quiet_site()
    click = np.zeros(RATE, np.float32)
    click[100] = 1.0
    near, far = (
        sites.heard(click, site, meters=meters, rng=np.random.default_rng(0))
        for meters in (5.0, 80.0)
    )
    # 1 dB for each 10 m and octave: 4 kHz lies two octaves up.
    shapes = [power_of(np.roll(wave[:400], -100)) for wave in (near, far)]
    fall = [10 * np.log10(p[1000] / p[4000]) for p in shapes]
    assert fall[1] - fall[0] > 5.0
    assert np.sum(far[400:] ** 2) > 4 * np.sum(near[400:] ** 2)


def test_a_recorder_is_linear(rng):
    site = sites.random_site(rng)
    one, two = rng.standard_normal((2, 4000)).astype(np.float32)
    both = sites.recorded(one + two, site)
    apart = sites.recorded(one, site) + sites.recorded(two, site)
    np.testing.assert_allclose(both, apart, atol=1e-4)


# -- Clips -----------------------------------------------------------------------------


@pytest.mark.parametrize("label", forest.LABELS)
def test_a_clip_has_the_stated_level_length_and_ratio(label):
    lengths, ratios = [], []
    for index in range(12):
        scene = forest.render(label, seed=5, part="devel", index=index, site=index % 7)
        wave = scene.waveform
        lengths.append(wave.size / RATE)
        assert wave.dtype == np.float32 and np.isfinite(wave).all()
        assert np.abs(wave).max() == pytest.approx(scene.peak, rel=1e-5)
        mix = scene.call + scene.background
        np.testing.assert_allclose(wave / scene.peak, mix / np.abs(mix).max(), 1e-4)
        if label == "background":
            assert not scene.call.any() and np.isnan(scene.snr)
            continue
        frames = scene.call[: wave.size // 320 * 320].astype(float).reshape(-1, 320)
        power = (frames**2).mean(axis=1)
        active = power[power > power.max() / 100].mean()
        found = 10 * np.log10(active / np.mean(scene.background.astype(float) ** 2))
        assert found == pytest.approx(scene.snr, abs=0.01)
        ratios.append(scene.snr)
    assert 0.7 <= min(lengths) < 1.2 and 2.5 < max(lengths) <= 3.0
    assert not ratios or -5 <= min(ratios) < 2 and 13 < max(ratios) <= 20


def test_seed_part_index_and_site_choose_the_clip():
    where = {"seed": 1, "part": "train", "index": 2, "site": 3}
    first = forest.render("mandrill", **where).waveform
    np.testing.assert_array_equal(first, forest.render("mandrill", **where).waveform)
    for change in ({"seed": 2}, {"part": "devel"}, {"index": 3}, {"site": 4}):
        other = forest.render("mandrill", **where | change).waveform
        assert not np.array_equal(first, other)
    assert not np.array_equal(first, forest.render("guenon", **where).waveform)


def test_no_site_and_no_animal_is_in_both_parts(monkeypatch):
    places = [
        forest.find_site(number, seed=0, part=part).low_cut
        for part in forest.PARTS
        for number in range(forest.NUM_SITES[part])
    ]
    assert len(set(places)) == len(places)
    heard = {part: set() for part in forest.PARTS}

    def call(species, individual, **_):
        heard[part].add(individual)
        return np.ones(RATE, np.float32)

    monkeypatch.setattr(forest, "call", call)
    for part in forest.PARTS:
        for index in range(30):
            forest.render("guenon", seed=0, part=part, index=index, site=index % 3)
    # Three animals at each of three sites, heard again and again.
    assert [len(animals) for animals in heard.values()] == [9, 9]
    assert not heard["train"] & heard["devel"]


# -- The data set ----------------------------------------------------------------------


def test_level_length_and_ratio_do_not_hang_on_the_label(monkeypatch):
    """Nothing but the sounds themselves is to tell the labels apart."""
    assert forest.SNR == (-5.0, 20.0) and forest.SECONDS == (0.7, 3.0)
    others = []

    def noise(*_, count=0, seconds=0.0, rng, **__):
        return rng.standard_normal(count or round(seconds * RATE), dtype=np.float32)

    def other(*args, **named):
        others.append(1)
        return noise(*args, **named)

    for name, stub in {
        "weather": noise,
        "call": noise,
        "distractor": other,
        "heard": lambda wave, *_, **__: wave,
        "recorded": lambda wave, *_: wave,
        "random_individual": lambda _: None,
    }.items():
        monkeypatch.setattr(forest, name, stub)
    peaks, lengths, ratios, shares = {}, {}, {}, {}
    for label in forest.LABELS:
        del others[:]
        scenes = [
            forest.render(label, seed=0, part="train", index=i) for i in range(300)
        ]
        peaks[label] = 20 * np.log10([scene.peak for scene in scenes])
        lengths[label] = [scene.background.size for scene in scenes]
        ratios[label] = [scene.snr for scene in scenes]
        shares[label] = len(others) / len(scenes)
    for label in forest.LABELS[1:]:
        assert lengths[label] == lengths["background"]
        assert ratios[label] == ratios["chimpanzee"]
        assert stats.ks_2samp(peaks[label], peaks["background"]).pvalue > 0.01
        assert shares[label] == pytest.approx(0.35, abs=0.08)
    assert shares["background"] == pytest.approx(0.75, abs=0.08)
    assert (min(ratios["chimpanzee"]), max(ratios["chimpanzee"])) == pytest.approx(
        forest.SNR, abs=0.3
    )
    for values in peaks.values():
        assert (values.min(), values.max()) == pytest.approx((-16, -1), abs=0.3)


def test_class_shares_are_the_papers():
    assert forest.SHARES == (500, 321, 23, 126, 30)
    assert forest.label_quotas(1000) == [500, 321, 23, 126, 30]
    assert forest.label_quotas(1500) == [750, 481, 35, 189, 45]
    assert forest.label_quotas(700) == [350, 225, 16, 88, 21]
    for count in (1, 7, 99, 6915):
        quotas = np.array(forest.label_quotas(count))
        assert quotas.sum() == count
        assert (np.abs(quotas - count * np.array(forest.SHARES) / 1000) < 1).all()


def test_every_label_is_heard_at_every_site():
    labels, places = forest.plan(1500, seed=0, part="train")
    assert np.bincount(labels).tolist() == forest.label_quotas(1500)
    for label in range(5):
        counts = np.bincount(places[labels == label], minlength=14)
        assert counts.min() >= 1 and counts.max() - counts.min() <= 1
    # In a random order.
    assert 0.4 < np.mean(labels[:750] == 0) < 0.6


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "forest"
    forest.write(folder, num_train=40, num_devel=20, seed=4)
    return folder


def table_of(folder, part):
    with open(folder / "lab" / f"{part}.csv", newline="") as file:
        return list(csv.DictReader(file))


def all_files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_layout_is_that_of_the_challenge(written):
    clips = primates.load(written, kind="embedded")
    counts = [
        clips.targets[clips.indices(part)].sum(axis=0).tolist()
        for part in ("train", "test")
    ]
    assert counts == [[20, 13, 1, 5, 1], [10, 6, 0, 3, 1]]
    assert clips.labels == forest.LABELS and clips.conditions is None
    parts = (set(clips.groups[clips.indices(part)]) for part in ("train", "test"))
    assert set.isdisjoint(*parts)
    assert len(set(clips.groups.tolist())) > 10
    for path in clips.paths:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (RATE, 1)
        assert info.subtype == "PCM_16" and 0.7 <= info.duration <= 3.0
    assert "no sound was recorded" in (written / "README.txt").read_text()
    assert sorted(path.name for path in written.iterdir()) == [
        "README.txt",
        "lab",
        "wav",
    ]


def test_files_hold_what_is_rendered_for_part_and_index(written):
    for part in ("train", "devel"):
        for index in (0, 7):
            row = table_of(written, part)[index]
            number = int(row["site"].removeprefix(f"{part}-"))
            scene = forest.render(
                row["label"], seed=4, part=part, index=index, site=number
            )
            sound, _ = soundfile.read(written / "wav" / row["filename"])
            np.testing.assert_allclose(sound, scene.waveform, atol=1e-4)
            snr = "" if row["label"] == "background" else f"{scene.snr:.1f}"
            assert row["snr"] == snr


def test_writing_twice_gives_equal_files_for_any_number_of_workers(
    written, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    forest.write(tmp_path / "forest", num_train=40, num_devel=20, seed=4)
    assert all_files(tmp_path / "forest") == all_files(written)


def test_devel_clips_do_not_hang_on_the_size_of_the_train_part(written, tmp_path):
    forest.write(tmp_path / "new", num_train=2, num_devel=20, seed=4)
    new, old = all_files(tmp_path / "new"), all_files(written)
    names = [name for name in old if "devel" in name]
    assert len(names) == 21 and all(new[name] == old[name] for name in names)


@pytest.mark.slow
def test_a_linear_model_finds_it_neither_easy_nor_hopeless(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    clips = primates.embedded(tmp_path / "forest")
    bank = filter_bank(
        sample_rate=RATE,
        num_fft=1024,
        num_mels=64,
        min_hertz=10.0,
        max_hertz=8000.0,
        scale="slaney",
    )

    def describe(path):
        wave, _ = soundfile.read(path)
        frames = np.lib.stride_tricks.sliding_window_view(wave, 1024)[::320]
        power = np.abs(np.fft.rfft(frames * hann_window(1024))) ** 2
        level = 10 * np.log10(np.maximum(power @ bank, 1e-10))
        return np.concatenate([level.mean(axis=0), level.std(axis=0)])

    rows = np.stack([describe(path) for path in clips.paths])
    labels = clips.targets.argmax(axis=1)
    train, test = clips.indices("train"), clips.indices("test")
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000),
    )
    guesses = model.fit(rows[train], labels[train]).predict(rows[test])
    recall = balanced_accuracy_score(labels[test], guesses)
    assert 0.5 < recall < 0.72  # chance is 0.2


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(soundfile, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        forest.write(tmp_path / "new", num_train=1, num_devel=1)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_content_is_refused(written):
    with pytest.raises(InputError, match="exists already"):
        forest.write(written, num_train=1, num_devel=1)


@pytest.mark.parametrize(
    ("num_train", "num_devel", "seed"),
    [(0, 1, 0), (1, 0, 0), (-3, 5, 0), (100_000, 1, 0), (1, 1, -1)],
)
def test_impossible_sizes_are_refused(tmp_path, num_train, num_devel, seed):
    with pytest.raises(InputError, match="each part needs 1 to 99,999 clips"):
        forest.write(
            tmp_path / "new", num_train=num_train, num_devel=num_devel, seed=seed
        )
    assert not list(tmp_path.iterdir())
