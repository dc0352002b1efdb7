"""OpenMIC-2018 from tiny copies of its published layout, and from real parts of it."""

import csv
import hashlib
import json
import os
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tfhier.data
from tfhier.data import download, openmic
from tfhier.errors import InputError

DATA = Path(
    os.environ.get("TFHIER_DATA") or Path(__file__).parents[2] / "../shared/data"
)
KEYS = ("000046_3840", "000135_483840", "001000_0", "001001_5")
NUM_IN_PART = {"train": 3, "test": 1}


def md5_of(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_arrays(path, num_labels=20, **changes):
    """Write labels of which clip i has label i relevant, i + 1 not, others unseen."""
    relevance = np.full((len(KEYS), num_labels), 0.5)
    mask = np.zeros((len(KEYS), num_labels), bool)
    for clip in range(len(KEYS)):
        relevance[clip, [clip % num_labels, (clip + 1) % num_labels]] = 0.9, 0.1
        mask[clip, [clip % num_labels, (clip + 1) % num_labels]] = True
    arrays = {
        "X": np.arange(len(KEYS) * 1280).reshape(len(KEYS), 10, 128),
        "Y_true": relevance,
        "Y_mask": mask,
        "sample_key": np.array(KEYS),
    } | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})


def write_layout(folder, *, suffix=".ogg", labels=openmic.LABELS, **changes):
    """Write a tiny copy of the published folder: three clips to train, one to test."""
    (folder / "partitions").mkdir(parents=True)
    write_arrays(folder / "openmic-2018.npz", len(labels), **changes)
    (folder / "class-map.json").write_text(
        json.dumps({label: column for column, label in enumerate(labels)})
    )
    (folder / "partitions" / "split01_train.csv").write_text("\n".join(KEYS[:3]) + "\n")
    (folder / "partitions" / "split01_test.csv").write_text(KEYS[3] + "\n")
    rng = np.random.default_rng(0)
    for key in KEYS:
        path = folder / "audio" / key[:3] / (key + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(3200), 16000)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_layout(tmp_path / "openmic-2018")


@pytest.fixture
def small_official(monkeypatch):
    """Take the numbers of the tiny copy for the published ones."""
    monkeypatch.setattr(openmic, "NUM_CLIPS", len(KEYS))
    monkeypatch.setattr(openmic, "NUM_IN_PART", NUM_IN_PART)


# -- Loading ---------------------------------------------------------------------------


def test_the_published_layout_loads(folder):
    clips = openmic.load(folder)
    assert (clips.name, clips.kind, clips.labels) == (
        "openmic-2018",
        "other",
        openmic.LABELS,
    )
    assert clips.keys.tolist() == list(KEYS)
    assert clips.parts.tolist() == ["train", "train", "train", "test"]
    assert clips.paths[1] == folder / "audio" / "000" / "000135_483840.ogg"
    assert clips.targets.dtype == np.float32
    assert np.array_equal(clips.targets, np.eye(4, 20))
    assert clips.observed.sum() == 8
    assert clips.features["X"].shape == (4, 10, 128)
    assert clips.features["X"].dtype == np.float32
    assert clips.truth is None


def test_the_folder_above_will_do(folder):
    assert openmic.load(folder.parent).paths == openmic.load(folder).paths


def test_official_numbers_make_it_the_published_set(folder, small_official):
    clips = openmic.load(folder)
    assert (clips.name, clips.kind) == ("OpenMIC-2018", "published")
    clips = openmic.load(folder, kind="embedded", name="ours")
    assert (clips.name, clips.kind) == ("ours", "embedded")


def test_a_relevance_of_one_half_is_positive_where_observed(tmp_path):
    mask = np.zeros((4, 20), int)
    mask[:, 2] = 1
    folder = write_layout(tmp_path / "set", Y_true=np.full((4, 20), 0.5), Y_mask=mask)
    clips = openmic.load(folder)
    assert np.array_equal(clips.targets, mask)
    assert clips.observed.dtype == bool


def test_the_class_map_orders_the_labels(tmp_path):
    folder = write_layout(tmp_path / "set", labels=("owl", "crow", "ape"))
    (folder / "class-map.json").write_text('{"ape": 2, "owl": 0, "crow": 1}')
    assert openmic.load(folder).labels == ("owl", "crow", "ape")
    assert openmic.load(folder).name == "set"


def test_other_formats_and_no_audio_and_no_x_load(tmp_path):
    folder = write_layout(tmp_path / "set", suffix=".wav", X=None)
    assert openmic.load(folder).paths[0].name == "000046_3840.wav"
    assert openmic.load(folder).features == {}
    (folder / "audio").rename(tmp_path / "away")
    assert openmic.load(folder).paths is None


def test_keys_stored_as_python_objects_are_read_without_a_pickle(tmp_path):
    folder = write_layout(tmp_path / "set", sample_key=np.array(KEYS, object), X=None)
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(folder / "openmic-2018.npz", allow_pickle=False)["sample_key"]
    assert openmic.load(folder).keys.tolist() == list(KEYS)


def test_full_labels_are_read_by_name(folder):
    header = ["sample_key", "part", *reversed(openmic.LABELS)]
    truth = np.random.default_rng(0).integers(0, 2, (4, 20))
    with open(folder / "all-labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for key, row in reversed(list(zip(KEYS, truth, strict=True))):
            writer.writerow([key, "train", *reversed(row.tolist())])
    assert np.array_equal(openmic.load(folder).truth, truth)


def test_a_lone_file_has_labels_and_features_but_no_audio(tmp_path):
    write_arrays(
        tmp_path / "mine.npz",
        num_labels=2,
        classes=np.array(["ape", "owl"]),
        features=np.ones((4, 34), np.float32),
        feature_names=np.array(["a"] * 34),
        durations=np.ones(4),
    )
    clips = openmic.load(tmp_path / "mine.npz")
    assert (clips.name, clips.kind, clips.labels) == ("mine", "other", ("ape", "owl"))
    assert clips.paths is None
    assert set(clips.features) == {"X", "features"}
    assert set(clips.parts.tolist()) == {""}


# -- What is refused -------------------------------------------------------------------


def test_a_clip_listed_twice_is_refused(tmp_path):
    write_arrays(tmp_path / "mine.npz", sample_key=np.array([*KEYS[:3], KEYS[0]]))
    with pytest.raises(InputError, match=f"more than once: {KEYS[0]}"):
        openmic.load(tmp_path / "mine.npz")


@pytest.mark.parametrize("missing", ["openmic-2018.npz", "partitions", "audio/001"])
def test_a_folder_that_lacks_something_is_refused(folder, tmp_path, missing):
    (folder / missing).rename(tmp_path / "away")
    with pytest.raises(InputError, match=missing.split("/")[-1]):
        openmic.load(folder)


# -- Validating and preparing ----------------------------------------------------------


def write_md5_list(folder, path):
    rows = [
        f"{key},{md5_of(folder / 'audio' / key[:3] / f'{key}.ogg')}" for key in KEYS
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text(",md5\n" + "\n".join(rows) + "\n")
    return path


def test_a_whole_set_has_no_problems(folder, small_official):
    assert openmic.validate(folder) == []
    write_md5_list(folder, folder / "checksums" / "openmic-2018-audio.csv")
    assert openmic.validate(folder.parent) == []


def test_a_changed_clip_is_found_by_either_list(folder, small_official, tmp_path):
    lists = [
        write_md5_list(folder, folder / "checksums" / "openmic-2018-audio.csv"),
        write_md5_list(folder, tmp_path / "list.csv"),
    ]
    changed = folder / "audio" / "001" / "001001_5.ogg"
    soundfile.write(changed, np.zeros(3200), 16000)
    for given in (None, lists[1]):
        (problem,) = openmic.validate(folder, md5_list=given)
        assert str(changed) in problem
    lists[0].unlink()
    assert openmic.validate(folder) == []


def test_a_clip_that_does_not_open_is_found(folder, small_official):
    broken = folder / "audio" / "001" / "001001_5.ogg"
    broken.write_bytes(broken.read_bytes()[:50])
    (problem,) = openmic.validate(folder)
    assert problem.startswith(f"{broken} cannot be opened")
    soundfile.write(broken, np.zeros(0), 16000, format="WAV")
    assert openmic.validate(folder) == [f"{broken} is empty."]


def test_other_numbers_labels_and_missing_parts_are_problems(tmp_path):
    folder = write_layout(tmp_path / "set", labels=("owl", "crow"))
    (folder / "audio").rename(tmp_path / "away")
    numbers, labels, audio = openmic.validate(folder)
    assert "4 clips with parts" in numbers
    assert "labels are not the published" in labels
    assert "no folder 'audio'" in audio
    assert "There is no" in openmic.validate(tmp_path / "nowhere")[0]


@pytest.mark.parametrize("text", ["", "key,md5\n", "key,md5\na,b,c\n"])
def test_a_broken_list_of_checksums_is_refused(folder, tmp_path, text):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match="not a list of checksums"):
        openmic.validate(folder, md5_list=tmp_path / "list.csv")
    with pytest.raises(InputError, match="no list of checksums"):
        openmic.validate(folder, md5_list=tmp_path / "none.csv")


@pytest.fixture
def archive(folder, small_official, tmp_path, monkeypatch):
    """The tiny copy, packed and put by hand where the download would lie."""
    data = tmp_path / "data"
    data.mkdir()
    path = data / "openmic-2018-v1.0.0.tgz"
    with tarfile.open(path, "w:gz") as packed:
        packed.add(folder, "openmic-2018")
    promise = {"size": path.stat().st_size, "md5": md5_of(path)}
    monkeypatch.setattr(openmic, "REMOTE", openmic.REMOTE | promise)
    monkeypatch.setenv("TFHIER_OFFLINE", "1")
    return path


@pytest.mark.parametrize("name", [".", "openmic-2018"])
def test_prepare_unpacks_checks_and_explains(archive, capsys, name):
    home = openmic.prepare(archive.parent / name)
    assert home == archive.parent / "openmic-2018"
    assert openmic.load(home).kind == "published"
    printed = capsys.readouterr().out
    assert openmic.REMOTE["url"] in printed
    assert f"complete in {home}" in printed
    assert openmic.prepare(archive.parent) == home
    assert capsys.readouterr().out == f"OpenMIC-2018 is complete in {home}.\n"


def test_prepare_refuses_what_is_not_the_published_set(archive):
    home = openmic.prepare(archive.parent)
    (home / "partitions" / "split01_test.csv").unlink()
    with pytest.raises(InputError, match=r"1 problem\(s\): There is no .*split01_test"):
        openmic.prepare(archive.parent)


def test_prepare_without_a_network_says_where_the_archive_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHIER_OFFLINE", "1")
    with pytest.raises(InputError, match=r"put it at .*openmic-2018-v1\.0\.0\.tgz"):
        openmic.prepare(tmp_path)


def test_the_remote_is_complete():
    assert set(openmic.REMOTE) == {"url", "size", "md5"}
    assert len(openmic.REMOTE["md5"]) == 32
    assert sum(openmic.NUM_IN_PART.values()) == openmic.NUM_CLIPS
    assert "Humphrey" in openmic.CITATION


# -- The stand-in ----------------------------------------------------------------------


@pytest.fixture
def orchestra(monkeypatch):
    """Stands for the synthesizer of the stand-in, which takes minutes."""
    module = types.ModuleType("tfhier.data.orchestra")
    module.calls = []

    def write(folder, **settings):
        module.calls.append(settings)
        write_layout(folder)

    module.write = write
    monkeypatch.setitem(sys.modules, "tfhier.data.orchestra", module)
    monkeypatch.setattr(tfhier.data, "orchestra", module, raising=False)
    return module


def test_the_stand_in_is_made_once_in_the_cache(orchestra, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHIER_CACHE", str(tmp_path / "cache"))
    first, second = openmic.embedded(), openmic.embedded()
    assert orchestra.calls == [{"num_train": 1200, "num_test": 400, "seconds": 5.0}]
    assert (first.name, first.kind) == ("embedded orchestra", "embedded")
    assert first.paths == second.paths
    assert os.listdir(tmp_path / "cache") == ["embedded-orchestra-v1"]


def test_the_stand_in_lies_where_asked(orchestra, tmp_path):
    clips = openmic.embedded(tmp_path / "sets" / "mine")
    assert clips.paths[0].is_relative_to(tmp_path / "sets" / "mine")
    assert clips.labels == openmic.LABELS


# -- Real material ---------------------------------------------------------------------


def real(*parts):
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def test_real_labels_load():
    clips = openmic.load(real("openmic", "openmic-real-labels-part.npz"))
    assert (len(clips), clips.labels, clips.kind) == (3000, openmic.LABELS, "other")
    assert clips.observed.sum() == 6161
    assert clips.features["features"].shape == (3000, 34)
    assert clips.paths is None
    assert set(clips.parts.tolist()) == {""}


def test_real_class_map_is_the_official_order():
    columns = json.loads(real("openmic", "class-map.json").read_text())
    assert tuple(sorted(columns, key=columns.get)) == openmic.LABELS


def test_real_split_files_have_the_official_numbers():
    for part, count in openmic.NUM_IN_PART.items():
        lines = real("openmic", f"split01_{part}.csv").read_text().split()
        assert len(set(lines)) == len(lines) == count


def test_the_real_clip_has_the_listed_checksum():
    clip = real("openmic", "000046_3840.ogg")
    rows = real("openmic", "openmic-2018-audio.csv").read_text().split()
    assert len(rows) == openmic.NUM_CLIPS + 1
    assert f"{clip.stem},{download.checksum(clip)}" in rows


def test_the_real_orchestra_loads():
    clips = openmic.load(real("orchestra"))
    assert (clips.name, clips.kind, len(clips)) == ("orchestra", "other", 1140)
    assert len(clips.indices("train")) == 900
    assert len(clips.indices("test")) == 240
    assert clips.truth.shape == (1140, 20)
    # What was observed is what is true.
    assert np.array_equal(clips.targets[clips.observed], clips.truth[clips.observed])
    assert all(path.is_file() for path in clips.paths)
