"""Each part of the published layout: how it is read, and what is refused."""

import json

import numpy as np
import pytest

from tfhier.data.openmic import layout
from tfhier.errors import InputError

KEYS = np.array(["000046_3840", "000135_483840", "001000_0", "001001_5"])
LABELS = ("owl", "crow")


def write_arrays(path, **changes):
    arrays = {
        "Y_true": np.full((4, 2), 0.5),
        "Y_mask": np.zeros((4, 2), bool),
        "sample_key": KEYS,
    } | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def read(path):
    return layout.check_arrays(path, layout.read_arrays(path))


# -- The file of arrays ----------------------------------------------------------------


def test_a_missing_folder_names_the_command(tmp_path):
    with pytest.raises(InputError, match=r"no .*nowhere.*prepare openmic.*--data"):
        layout.find_arrays(tmp_path / "nowhere")


def test_a_folder_without_the_arrays_lists_others(tmp_path):
    with pytest.raises(InputError, match="has no openmic-2018.npz"):
        layout.find_arrays(tmp_path)
    write_arrays(tmp_path / "part.npz")
    with pytest.raises(InputError, match="It has part.npz: give such a file"):
        layout.find_arrays(tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a")
    with pytest.raises(InputError, match="not an .npz file"):
        layout.find_arrays(tmp_path / "a.csv")
    (tmp_path / "a.npz").write_text("a")
    with pytest.raises(InputError, match="not an .npz file, or not whole"):
        layout.read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("num_keys", [1, 999, 1000, 1001, 2500])
def test_keys_stored_as_objects_are_read_in_order(tmp_path, num_keys):
    keys = [f"{i:06d}_{i}" for i in reversed(range(num_keys))]
    blank = np.zeros((num_keys, 2))
    path = write_arrays(
        tmp_path / "a.npz",
        Y_true=blank,
        Y_mask=blank,
        sample_key=np.array(keys, object),
    )
    assert read(path)[0].tolist() == keys


class Hostile:
    """Pickles to a call that would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["sample_key", "Y_true", "extra"])
def test_a_hostile_pickle_is_never_run(tmp_path, name):
    trap = tmp_path / "trap"
    path = write_arrays(tmp_path / "a.npz", **{name: np.array([Hostile(trap)] * 4)})
    with pytest.raises(InputError, match="objects are refused"):
        layout.read_arrays(path)
    assert not trap.exists()


def nan_at_one():
    relevance = np.full((4, 2), 0.5)
    relevance[1, 1] = np.nan
    return relevance


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Y_mask": None}, "lacks Y_mask"),
        ({"Y_true": np.zeros((3, 2))}, r"expected Y_true \(N, L\)"),
        ({"Y_true": np.zeros(4)}, r"expected Y_true \(N, L\)"),
        ({"Y_mask": np.zeros((4, 1), bool)}, r"expected Y_true \(N, L\)"),
        ({"sample_key": np.arange(4)}, r"sample_key \(N,\) of strings"),
        ({"Y_true": nan_at_one()}, "without NaN"),
        ({"Y_true": np.full((4, 2), "yes")}, "Y_true must be numbers"),
        ({"Y_true": np.full((4, 2), -1.0)}, r"\[0, 1\]. Received: -1"),
        ({"Y_mask": np.full((4, 2), 0.5)}, "Y_mask must be boolean"),
        ({"Y_mask": np.full((4, 2), np.nan)}, "Y_mask must be boolean"),
        ({"Y_true": np.full((4, 2), None)}, "objects are refused"),
        ({"sample_key": np.array([1, "a", "b", "c"], object)}, "objects are refused"),
    ],
)
def test_broken_arrays_are_explained(tmp_path, changes, message):
    path = write_arrays(tmp_path / "a.npz", **changes)
    with pytest.raises(InputError, match=message):
        read(path)


def test_a_mask_of_0_and_1_will_do(tmp_path):
    path = write_arrays(tmp_path / "a.npz", Y_mask=np.tile([0, 1], (4, 1)))
    mask = read(path)[2]
    assert mask.dtype == bool
    assert mask.tolist() == [[False, True]] * 4


# -- Labels ----------------------------------------------------------------------------


def labels_of(folder, num_columns, **arrays):
    arrays = {"Y_true": np.zeros((4, num_columns))} | arrays
    return layout.read_labels(folder / "a.npz", arrays, official=LABELS)


def test_labels_come_from_the_array_then_the_map_then_the_official_ones(tmp_path):
    assert labels_of(tmp_path, 2) == LABELS
    (tmp_path / "class-map.json").write_text(json.dumps({"b": 1, "a": 0}))
    assert labels_of(tmp_path, 2) == ("a", "b")
    assert labels_of(tmp_path, 2, classes=np.array(["x", "y"])) == ("x", "y")


def test_labels_must_fit_the_columns(tmp_path):
    with pytest.raises(InputError, match="nothing names the 3 columns"):
        labels_of(tmp_path, 3)
    with pytest.raises(InputError, match="names 1 labels, but Y_true has 2"):
        labels_of(tmp_path, 2, classes=np.array(["x"]))


@pytest.mark.parametrize(
    "content",
    [{"owl": 0, "crow": 0}, {"owl": 0}, ["owl", "crow"], {"owl": [], "a": 1}],
)
def test_a_class_map_must_name_each_column_once(tmp_path, content):
    (tmp_path / "class-map.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="columns 0 to 1 of Y_true"):
        labels_of(tmp_path, 2)


# -- Parts -----------------------------------------------------------------------------


def write_split(folder, train, test):
    folder.mkdir(exist_ok=True)
    (folder / "split01_train.csv").write_text("".join(f"{key}\n" for key in train))
    (folder / "split01_test.csv").write_text("".join(f"{key}\n" for key in test))


@pytest.mark.parametrize("where", [".", "partitions"])
def test_clips_that_no_file_names_have_no_part(tmp_path, where):
    write_split(tmp_path / where, KEYS[[2]], KEYS[[0]])
    for is_alone in (True, False):
        parts = layout.read_parts(tmp_path, KEYS, is_alone=is_alone)
        assert parts.tolist() == ["test", "", "train", ""]


def test_a_lone_file_has_parts_only_if_both_are_among_its_clips(tmp_path):
    def parts():
        return layout.read_parts(tmp_path, KEYS, is_alone=True).tolist()

    assert parts() == [""] * 4
    write_split(tmp_path, [KEYS[0], "elsewhere_1"], ["elsewhere_2"])
    assert parts() == [""] * 4
    write_split(tmp_path, [KEYS[0], "elsewhere_1"], [KEYS[1]])
    assert parts() == ["train", "test", "", ""]


def test_split_files_must_fit_the_arrays(tmp_path):
    with pytest.raises(InputError, match="no .*split01_train.csv"):
        layout.read_parts(tmp_path, KEYS, is_alone=False)
    write_split(tmp_path / "partitions", KEYS[:2], [KEYS[2], "other_1"])
    with pytest.raises(InputError, match="names 1 clips that .* lacks: other_1"):
        layout.read_parts(tmp_path, KEYS, is_alone=False)
    write_split(tmp_path / "partitions", KEYS[:2], KEYS[1:])
    for is_alone in (True, False):
        with pytest.raises(InputError, match=f"clip {KEYS[1]}, which is in the train"):
            layout.read_parts(tmp_path, KEYS, is_alone=is_alone)


def test_a_split_file_must_be_text(tmp_path):
    write_split(tmp_path, KEYS[:2], KEYS[2:])
    (tmp_path / "split01_test.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="split01_test.csv is not UTF-8 text"):
        layout.read_parts(tmp_path, KEYS, is_alone=True)


# -- Audio and full labels -------------------------------------------------------------


def test_missing_audio_is_counted_and_named(tmp_path):
    assert layout.find_audio(tmp_path, KEYS) is None
    for key in KEYS[[0, 3]]:
        path = tmp_path / "audio" / key[:3] / f"{key}.ogg"
        path.parent.mkdir(parents=True)
        path.touch()
    assert layout.find_audio(tmp_path, KEYS[[3, 0]])[0].stem == KEYS[3]
    recorder = tmp_path / "audio" / f"{KEYS[1]}.WAV"
    recorder.touch()
    assert layout.find_audio(tmp_path, KEYS[[1]]) == (recorder,)
    recorder.unlink()
    with pytest.raises(InputError, match=f"2 of 4 clips .*: {KEYS[1]}, {KEYS[2]}. A"):
        layout.find_audio(tmp_path, KEYS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a header"),
        ("sample_key,owl\n", "must have a header"),
        ("sample_key,owl,crow\n000046_3840,1,0\n", "no whole row for 3 clips"),
        ("sample_key,owl,crow\n" + "".join(f"{k},1,x\n" for k in KEYS), "hold 0 and 1"),
    ],
)
def test_full_labels_must_be_full(tmp_path, text, message):
    assert layout.read_truth(tmp_path, KEYS, LABELS) is None
    (tmp_path / "all-labels.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        layout.read_truth(tmp_path, KEYS, LABELS)
