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


def test_a_mask_selects_like_its_indices():
    clips = make()
    mask = clips.parts == "train"
    assert clips.select(mask).keys.tolist() == ["clip0", "clip3"]
    assert len(clips.select([])) == len(clips.select(np.zeros(6, bool))) == 0


def test_what_a_table_lacks_stays_absent():
    chosen = make(paths=None, features={}, truth=None).select([1])
    assert chosen.paths is None
    assert chosen.truth is None
    assert chosen.features == {}


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
    ],
)
def test_a_field_that_does_not_fit_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        make(**changes)


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
