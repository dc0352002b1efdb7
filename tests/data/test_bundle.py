"""A data set made ready: columns in order, bad files out, parts dealt without leaks."""

import dataclasses

import numpy as np
import pytest

from tests import tiny
from tfhier.audio import AudioError
from tfhier.data import bundle as bundles
from tfhier.data import find_clips, openmic
from tfhier.errors import InputError
from tfhier.files import write_text
from tfhier.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data")) as folder:
        yield folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHIER_CACHE", str(tmp_path / "cache"))


# -- Labels meet the taxonomy ----------------------------------------------------------


def test_columns_take_the_order_of_the_taxonomy(data, tmp_path):
    shuffled = tiny.write(
        tmp_path / "shuffled", columns=("d", "f", "a", "c", "b", "e"), with_audio=False
    )
    mine, its = (
        tiny.bundle(folder, tiny.on_features(folder)) for folder in (shuffled, data)
    )
    assert mine.clips.labels == its.clips.labels == tiny.LABELS
    for level in ("fine", "coarse"):
        for ours, theirs in zip(mine.labellings[level], its.labellings[level],
                                strict=True):  # fmt: skip
            assert np.array_equal(ours, theirs)
        assert np.array_equal(mine.truth[level][0], its.truth[level][0])


def test_observed_labels_agree_with_the_truth_on_every_level(data):
    bundle = tiny.bundle(data, tiny.on_features(data, coarse_negatives="certain"))
    for level, (targets, observed) in bundle.labellings.items():
        truth, everywhere = bundle.truth[level]
        assert everywhere.all()
        assert np.array_equal(targets[observed], truth[observed])
        assert 0 < observed.mean() < 1


def test_a_taxonomy_with_other_leaves_is_refused(data, tmp_path):
    write_text(tmp_path / "t.csv", "fine,coarse\na,x\nb,x\nc,y\nd,y\ne,z\nother,z\n")
    experiment = tiny.on_features(data, taxonomy=str(tmp_path / "t.csv"))
    with pytest.raises(InputError, match=r"does not fit tiny: it lacks f and also has "
                       r"other\. Its leaves must be the data's 6 labels"):  # fmt: skip
        tiny.bundle(data, experiment)


def test_long_lists_of_differences_are_cut(data):
    experiment = tiny.on_features(data, taxonomy="openmic")
    with pytest.raises(InputError, match=r"lacks a, b, c, d \.\.\. and also has acc"):
        tiny.bundle(data, experiment)


# -- Where inputs come from ------------------------------------------------------------


def test_features_that_are_not_there_are_named(data):
    with pytest.raises(InputError, match=r"no precomputed features 'Z' \(there: X\)"):
        tiny.bundle(data, tiny.on_features(data, features="Z"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(data, value):
    experiment = tiny.on_features(data)
    clips = openmic.load(data)
    clips.features["X"][5, 1, 2] = value
    with pytest.raises(InputError, match="features 'X' of tiny hold NaN or infinity"):
        bundles.build(
            clips, experiment, Taxonomy.parse(tiny.TAXONOMY), sample_rate=16_000
        )


def test_without_audio_an_experiment_on_audio_says_so(tmp_path):
    folder = tiny.write(tmp_path / "mute", with_audio=False)
    with pytest.raises(InputError, match="mute has no audio, and the experiment needs"):
        tiny.bundle(folder, tiny.on_audio(folder))
    bundle = tiny.bundle(folder, tiny.on_features(folder))
    assert (bundle.clip_samples, bundle.feature_shape) == (0, (4, 8))


def test_audio_is_decoded_at_the_rate_of_the_front_end(data):
    bundle = tiny.bundle(data, tiny.on_audio(data))
    assert bundle.clip_samples == 9_600
    assert bundle.feature_shape is None
    assert bundle.notes == ()
    assert bundle.usable.all()
    faster = tiny.bundle(data, tiny.on_audio(data, frontend="panns_32k"))
    assert faster.clip_samples == 19_200


@pytest.mark.parametrize(
    ("seconds", "note"),
    [(0.5, "48 clips are longer than 0.5 s"), (0.8, "48 clips are shorter than 0.8 s")],
)
def test_cut_and_padded_clips_are_told(data, seconds, note):
    bundle = tiny.bundle(data, tiny.on_audio(data, clip_seconds=seconds))
    assert bundle.clip_samples == round(seconds * 16_000)
    assert len(bundle.notes) == 1
    assert bundle.notes[0].startswith(note)


def spoil(folder, clip):
    """Replace the audio of a clip by something else; return its key."""
    path = tiny.audio_path(folder, tiny.KEYS[clip], ".ogg")
    path.write_bytes(b"OggS, and then nothing that makes sense")
    return tiny.KEYS[clip]


def test_a_broken_file_stops_with_its_name(tmp_path, cache):
    folder = tiny.write(tmp_path / "tiny", suffix=".ogg")
    key = spoil(folder, 4)
    with pytest.raises(AudioError, match=rf"{key}\.ogg: .*--skip-bad"):
        tiny.bundle(folder, tiny.on_audio(folder))


def test_broken_files_are_left_out_counted_and_named_with_skip_bad(tmp_path, cache):
    folder = tiny.write(tmp_path / "tiny", suffix=".ogg")
    bad = [spoil(folder, clip) for clip in (4, 40)]
    experiment = tiny.on_audio(folder)
    bundle = tiny.bundle(folder, experiment, skip_bad=True)
    assert bundle.clips.keys[~bundle.usable].tolist() == bad
    (note,) = bundle.notes
    assert note.startswith("unreadable files left out (--skip-bad): 2; first: ")
    assert bad[0] in note
    parts = bundle.deal(experiment, seed=0, fold=0)
    assert parts[[4, 40]].tolist() == ["", ""]
    assert np.count_nonzero(parts == "") == 2
    folds = experiment.but(num_folds=3)
    for fold in range(3):
        assert bundle.deal(folds, seed=0, fold=fold)[[4, 40]].tolist() == ["", ""]


def test_a_test_part_of_broken_files_alone_is_refused(tmp_path, cache):
    folder = tiny.write(tmp_path / "tiny", suffix=".ogg")
    for clip in range(tiny.NUM_TRAIN, len(tiny.KEYS)):
        spoil(folder, clip)
    experiment = tiny.on_audio(folder)
    bundle = tiny.bundle(folder, experiment, skip_bad=True)
    with pytest.raises(InputError, match="All 12 test clips of tiny are unreadable"):
        bundle.deal(experiment, seed=0, fold=0)


# -- Dealing ---------------------------------------------------------------------------


def test_validation_comes_from_training_and_is_the_same_for_every_seed(data):
    experiment = tiny.on_features(data, validation_fraction=0.25)
    bundle = tiny.bundle(data, experiment)
    own = bundle.clips.parts
    deals = [bundle.deal(experiment, seed=seed, fold=0) for seed in (0, 1, 7)]
    assert all(np.array_equal(deal, deals[0]) for deal in deals)
    assert np.array_equal(deals[0] == "test", own == "test")
    assert np.all(own[deals[0] == "validation"] == "train")
    assert np.count_nonzero(deals[0] == "validation") == 9
    assert np.count_nonzero(deals[0] == "train") == 27


def test_dealing_changes_no_clip_of_the_bundle(data):
    experiment = tiny.on_features(data)
    bundle = tiny.bundle(data, experiment)
    before = bundle.clips.parts.copy()
    bundle.deal(experiment, seed=0, fold=0)[:] = ""
    assert np.array_equal(bundle.clips.parts, before)


def test_folds_test_every_clip_once_a_seed_and_seeds_differ(data):
    experiment = tiny.on_features(data, num_folds=4)
    bundle = tiny.bundle(data, experiment)
    deals = {
        seed: np.stack([bundle.deal(experiment, seed=seed, fold=f) for f in range(4)])
        for seed in (0, 1)
    }
    for dealt in deals.values():
        assert np.all((dealt == "test").sum(axis=0) == 1)
        for parts in dealt:
            assert set(parts) == {"train", "validation", "test"}
            assert np.count_nonzero(parts == "test") == 12
            assert np.count_nonzero(parts == "validation") == 5  # 15 % of 36
    assert not np.array_equal(deals[0] == "test", deals[1] == "test")


def test_a_set_without_parts_asks_for_folds(data):
    lone = data / "openmic-2018.npz"
    experiment = tiny.on_features(data)
    clips = openmic.load(lone).with_parts([""] * 48)
    bundle = bundles.build(
        clips, experiment, Taxonomy.parse(tiny.TAXONOMY), sample_rate=16_000
    )
    with pytest.raises(InputError, match=r"has no train clips .*--set num_folds=5"):
        bundle.deal(experiment, seed=0, fold=0)
    assert "test" in bundle.deal(experiment.but(num_folds=5), seed=0, fold=0)


def test_more_folds_than_clips_are_refused(data):
    experiment = tiny.on_features(data, num_folds=49)
    bundle = tiny.bundle(data, experiment)
    with pytest.raises(InputError, match="2 to 48 folds"):
        bundle.deal(experiment, seed=0, fold=0)


def test_a_validation_part_of_its_own_is_kept(data):
    experiment = tiny.on_features(data)
    clips = openmic.load(data)
    parts = clips.parts.astype("<U10")
    parts[:3] = "validation"
    bundle = bundles.build(
        clips.with_parts(parts), experiment, Taxonomy.parse(tiny.TAXONOMY),
        sample_rate=16_000,
    )  # fmt: skip
    assert np.array_equal(bundle.deal(experiment, seed=0, fold=0), parts)


def own(data, *, parts=None, **fields):
    """Return the bundle of the tiny clips with other fields, and its experiment."""
    experiment = tiny.on_features(data)
    clips = openmic.load(data)
    clips = clips if parts is None else clips.with_parts(parts)
    clips = dataclasses.replace(clips, **fields)
    taxonomy = Taxonomy.parse(tiny.TAXONOMY)
    return bundles.build(clips, experiment, taxonomy, sample_rate=16_000), experiment


def whole_groups(parts, groups) -> bool:
    """Return whether no group is in two parts."""
    return len(set(zip(parts, groups, strict=True))) == len(set(groups))


FOLDS = np.array([7, 2, 5, 9] * 12)  # counted from anything
GROUPS = np.repeat([f"g{i:02}" for i in range(16)], 3)


def test_own_folds_are_the_division_where_there_is_no_other(data):
    bundle, experiment = own(data, folds=FOLDS)
    assert bundle.num_folds(experiment) == 4
    for seed in (0, 1):
        for fold, number in enumerate((2, 5, 7, 9)):
            parts = bundle.deal(experiment, seed=seed, fold=fold)
            np.testing.assert_array_equal(parts == "test", number == FOLDS)
            assert np.count_nonzero(parts == "validation") == 5
    first, other = (bundle.deal(experiment, seed=seed, fold=1) for seed in (0, 1))
    assert not np.array_equal(first, other)  # validation is each seed's own


def test_the_experiments_folds_come_before_the_datas_own(data):
    bundle, experiment = own(data, folds=FOLDS)
    experiment = experiment.but(num_folds=3)
    assert bundle.num_folds(experiment) == 3
    tested = [bundle.deal(experiment, seed=0, fold=f) == "test" for f in range(3)]
    assert np.all(np.sum(tested, axis=0) == 1)
    assert [test.sum() for test in tested] == [16, 16, 16]


def test_a_set_with_its_own_split_has_no_folds(data):
    bundle, experiment = own(data)
    assert bundle.num_folds(experiment) == 0
    assert bundle.num_folds(experiment.but(num_folds=5)) == 5


@pytest.mark.parametrize("num_folds", [0, 4])
def test_groups_are_never_divided(data, num_folds):
    """With the data's own split, whose test clips are whole groups, and with folds."""
    bundle, experiment = own(data, groups=GROUPS)
    experiment = experiment.but(num_folds=num_folds, validation_fraction=0.25)
    for seed in range(3):
        for fold in range(max(1, num_folds)):
            parts = bundle.deal(experiment, seed=seed, fold=fold)
            assert whole_groups(parts, GROUPS)
            assert set(parts) == {"train", "validation", "test"}


def test_without_groups_these_groups_would_be_divided(data):
    bundle, experiment = own(data)
    parts = bundle.deal(experiment.but(num_folds=4), seed=0, fold=0)
    assert not whole_groups(parts, GROUPS)


def test_own_folds_with_groups_hold_out_whole_groups(data):
    folds = np.repeat([0, 1, 2, 3], 12)
    bundle, experiment = own(data, groups=GROUPS, folds=folds)
    for fold in range(4):
        parts = bundle.deal(experiment, seed=0, fold=fold)
        np.testing.assert_array_equal(parts == "test", folds == fold)
        assert whole_groups(parts, GROUPS)
        assert "validation" in parts


@pytest.mark.parametrize("selection", ["last", "test"])
def test_other_selections_hold_nothing_out(data, selection):
    parts = openmic.load(data).parts.astype("<U10")
    parts[:5] = "validation"
    bundle, experiment = own(data, parts=parts)
    dealt = bundle.deal(experiment.but(selection=selection), seed=0, fold=0)
    assert np.count_nonzero(dealt == "train") == tiny.NUM_TRAIN
    np.testing.assert_array_equal(dealt == "test", parts == "test")


@pytest.mark.parametrize("selection", ["last", "test"])
def test_other_selections_train_on_all_other_folds(data, selection):
    bundle, experiment = own(data, folds=FOLDS)
    experiment = experiment.but(selection=selection)
    for fold, number in enumerate((2, 5, 7, 9)):
        parts = bundle.deal(experiment, seed=0, fold=fold)
        expected = np.where(number == FOLDS, "test", "train")
        np.testing.assert_array_equal(parts, expected)


def test_one_group_alone_asks_for_training_without_validation(data):
    groups = np.repeat(["all", "test"], [tiny.NUM_TRAIN, tiny.NUM_TEST])
    bundle, experiment = own(data, groups=groups)
    with pytest.raises(InputError, match=r"of tiny can be held out for validation: .*"
                       r"--set selection=last"):  # fmt: skip
        bundle.deal(experiment, seed=0, fold=0)
    parts = bundle.deal(experiment.but(selection="last"), seed=0, fold=0)
    assert np.count_nonzero(parts == "train") == tiny.NUM_TRAIN


def test_more_folds_than_groups_are_refused(data):
    bundle, experiment = own(data, groups=GROUPS)
    with pytest.raises(InputError, match="16 groups cannot be divided into 17"):
        bundle.deal(experiment.but(num_folds=17), seed=0, fold=0)


def test_what_a_loader_noted_comes_first(data):
    notes = ("Two clips lie in both parts.", "One recording is silent.")
    bundle, _ = own(data, notes=notes)
    assert bundle.notes == notes
    on_audio = tiny.on_audio(data, clip_seconds=0.5)
    clips = dataclasses.replace(openmic.load(data), notes=notes)
    taxonomy = Taxonomy.parse(tiny.TAXONOMY)
    longer = bundles.build(clips, on_audio, taxonomy, sample_rate=16_000).notes
    assert longer[:2] == notes
    assert longer[2].startswith("48 clips are longer")


def test_spans_are_cut_on_the_way(data):
    halves = dataclasses.replace(openmic.load(data), spans=np.tile([0.3, 0.6], (48, 1)))
    experiment = tiny.on_audio(data, clip_seconds=0.3)
    taxonomy = Taxonomy.parse(tiny.TAXONOMY)
    cut = bundles.build(halves, experiment, taxonomy, sample_rate=16_000)
    whole = tiny.bundle(data, tiny.on_audio(data))
    np.testing.assert_array_equal(cut.source.samples, whole.source.samples[:, 4_800:])


# -- Finding ---------------------------------------------------------------------------


def test_an_unknown_data_set_offers_the_nearest():
    with pytest.raises(InputError, match=r"no dataset 'openmc'\. Close: openmic"):
        find_clips("openmc", "auto")


def test_auto_takes_the_folder_where_it_is_looked_for(data, monkeypatch, tmp_path):
    monkeypatch.setenv("TFHIER_DATA", str(tmp_path))
    (tmp_path / "openmic-2018").symlink_to(data)
    clips = find_clips("openmic", "auto")
    assert clips.keys.tolist() == list(tiny.KEYS)
    assert clips.kind == "other"


def test_auto_without_it_and_embedded_take_the_stand_in(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHIER_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(openmic, "embedded", lambda: "the stand-in")
    for where in ("auto", "embedded"):
        assert find_clips("openmic", where) == "the stand-in"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone"):
        find_clips("openmic", str(tmp_path / "gone"))


# -- What tells one set of data from another -------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"suffix": ".ogg"}, {"columns": tiny.LABELS[::-1]}, {}],
    ids=["other labels", "other files", "other order of columns", "a copy"],
)
def test_fingerprints_differ_where_data_do(data, tmp_path, cache, change):
    folder = tiny.write(tmp_path / "tiny", **change)
    is_same = [
        tiny.bundle(folder, make(folder)).fingerprint
        == tiny.bundle(data, make(data)).fingerprint
        for make in (tiny.on_features, tiny.on_audio)
    ]
    if "suffix" in change:
        assert is_same == [True, False]
    else:
        assert is_same == [change.keys() != {"seed"}] * 2


def test_a_fingerprint_knows_other_sound_of_the_same_length(tmp_path, cache):
    folder = tiny.write(tmp_path / "tiny")
    experiment = tiny.on_audio(folder)
    before = tiny.bundle(folder, experiment).fingerprint
    first, second = (tiny.audio_path(folder, key) for key in tiny.KEYS[:2])
    assert first.stat().st_size == second.stat().st_size
    first.write_bytes(second.read_bytes())
    assert tiny.bundle(folder, experiment).fingerprint != before
