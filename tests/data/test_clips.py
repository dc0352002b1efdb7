"""The clip table: what it refuses, and that selecting keeps rows together."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tfhier.data.clips import Clips
from tfhier.errors import InputError


def make(num_clips=6, **changes):
    targets = np.arange(num_clips * 2).reshape(num_clips, 2) % 3 == 0
    fields = {
        "name": "tiny",
        "kind": "other",
        "labels": ("cello", "voice"),
        "keys": np.array([f"clip{i}" for i in range(num_clips)]),
        "targets": targets.astype(np.float32),
        "observed": np.ones((num_clips, 2), bool),
        "parts": np.array((["train", "test", ""] * num_clips)[:num_clips]),
        "paths": tuple(Path(f"clip{i}.ogg") for i in range(num_clips)),
        "features": {"X": np.arange(num_clips * 3.0).reshape(num_clips, 3)},
        "truth": targets,
    }
    return Clips(**(fields | changes))


ORIGIN = {
    "spans": np.array([[i, i + 0.5] for i in range(6)]),
    "groups": np.array(list("aabbcc")),
    "folds": np.array([3, 1, 2, 3, 1, 2]),
    "conditions": np.array(["", "10 dB", "", "0 dB", "", "10 dB"]),
}


def test_length_and_indices_of_parts():
    clips = make()
    assert len(clips) == 6
    assert clips.indices("train").tolist() == [0, 3]
    assert clips.indices("test").tolist() == [1, 4]
    assert clips.indices("").tolist() == [2, 5]
    assert clips.indices("validation").size == 0


@pytest.mark.parametrize(
    "which", [[4, 0], np.array([4, 0]), [-2, -6]], ids=["list", "array", "negative"]
)
def test_select_keeps_every_field_of_a_row_together_and_the_order(which):
    clips, chosen = make(), make().select(which)
    assert chosen.keys.tolist() == ["clip4", "clip0"]
    assert chosen.paths == (Path("clip4.ogg"), Path("clip0.ogg"))
    for field in ("targets", "observed", "parts", "truth"):
        assert np.array_equal(getattr(chosen, field), getattr(clips, field)[[4, 0]])
    assert np.array_equal(chosen.features["X"], clips.features["X"][[4, 0]])
    assert (chosen.name, chosen.kind, chosen.labels) == ("tiny", "other", clips.labels)


@pytest.mark.parametrize("which", [[4, 0], [-2, -6]], ids=["list", "negative"])
def test_select_keeps_where_clips_come_from(which):
    clips = make(**ORIGIN, notes=("Three were silent.",))
    chosen = clips.select(which)
    for name, values in ORIGIN.items():
        assert np.array_equal(getattr(chosen, name), values[[4, 0]])
    assert chosen.notes == ("Three were silent.",)
    mask = clips.groups == "b"
    assert clips.select(mask).folds.tolist() == [2, 3]


def test_other_parts_and_other_columns_keep_where_clips_come_from():
    clips = make(**ORIGIN, notes=("Three were silent.",))
    for changed in (
        clips.with_parts(["train"] * 6),
        clips.reorder([1, 0], ["voice", "cello"]),
    ):
        for name in ("notes", *ORIGIN):
            assert getattr(changed, name) is getattr(clips, name)


def test_a_mask_selects_like_its_indices():
    clips = make()
    mask = clips.parts == "train"
    assert clips.select(mask).keys.tolist() == ["clip0", "clip3"]
    assert len(clips.select([])) == len(clips.select(np.zeros(6, bool))) == 0


def test_what_a_table_lacks_stays_absent():
    chosen = make(paths=None, features={}, truth=None).select([1])
    for name in ("paths", "truth", *ORIGIN):
        assert getattr(chosen, name) is None
    assert chosen.features == {}
    assert chosen.notes == ()


def test_with_parts_replaces_parts_alone():
    clips = make()
    divided = clips.with_parts(["validation"] * 6)
    assert divided.indices("validation").size == 6
    assert clips.indices("validation").size == 0
    assert divided.targets is clips.targets
    with pytest.raises(InputError, match="parts must be"):
        clips.with_parts(["dev"] * 6)


def test_a_table_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().name = "other"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "real"}, "kind must be one of"),
        ({"labels": ("cello", "cello")}, "labels must be unique"),
        ({"labels": ()}, "labels must be unique"),
        ({"labels": ("cello",)}, r"targets must be shape \(6, 1\)"),
        ({"keys": np.array(["a", "a", "b", "c", "d", "e"])}, "keys .* once: a"),
        ({"keys": np.arange(6)}, "keys must be str_"),
        ({"targets": np.ones((6, 3), np.float32)}, "targets must be shape"),
        ({"targets": np.ones((6, 2), int)}, "targets must be float32"),
        ({"targets": np.full((6, 2), 0.5, np.float32)}, "0 or 1. Received: 0.5"),
        ({"targets": np.full((6, 2), np.nan, np.float32)}, "0 or 1. Received: nan"),
        ({"observed": np.ones((6, 2), int)}, "observed must be bool"),
        ({"observed": np.ones((5, 2), bool)}, r"observed must be shape \(6, 2\)"),
        ({"observed": np.zeros((6, 2), bool)}, "targets must be 0 wherever"),
        ({"parts": np.array(["train"] * 5)}, r"parts must be shape \(6,\)"),
        ({"parts": np.array(["dev"] * 6)}, r"parts must be .*\['dev'\]"),
        ({"paths": (Path("a.ogg"),)}, "paths must be 6 files. Received: 1"),
        ({"features": {"X": np.zeros((5, 3))}}, r"features\['X'\] must be 6 rows"),
        ({"truth": np.zeros((6, 3))}, "truth must be shape"),
        ({"truth": np.full((6, 2), 2)}, "truth must be 0 or 1. Received: 2"),
        ({"spans": np.ones((6, 3))}, r"spans must be shape \(6, 2\)"),
        ({"spans": np.tile([0, 1], (6, 1))}, "spans must be floating"),
        ({"groups": np.array(["a"] * 5)}, r"groups must be shape \(6,\)"),
        ({"groups": np.arange(6)}, "groups must be str_"),
        ({"folds": np.arange(5)}, r"folds must be shape \(6,\)"),
        ({"folds": np.arange(6.0)}, "folds must be integer"),
        ({"conditions": np.zeros((6, 1))}, r"conditions must be shape \(6,\)"),
        ({"conditions": np.zeros(6)}, "conditions must be str_"),
    ],
)
def test_a_field_that_does_not_fit_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    "span",
    [[-0.1, 1.0], [1.0, 1.0], [2.0, 1.0], [np.nan, 1.0], [0.0, np.nan], [0.0, np.inf]],
    ids=str,
)
def test_a_span_that_is_no_stretch_of_time_is_named_with_its_clip(span):
    spans = ORIGIN["spans"].copy()
    spans[3] = span
    with pytest.raises(InputError, match=r"0 <= start < end.*for clip3"):
        make(spans=spans)


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ([6], "indices must be below 6"),
        ([-7], "indices must be below 6"),
        (np.ones(5, bool), r"a mask must be shape \(6,\)"),
        ([0.5], "a selection must be"),
        ([[0, 1]], "a selection must be"),
    ],
)
def test_a_selection_outside_the_table_is_refused(which, message):
    with pytest.raises(InputError, match=message):
        make().select(which)


def test_an_unknown_part_is_refused():
    with pytest.raises(InputError, match="a part must be one of"):
        make().indices("dev")
