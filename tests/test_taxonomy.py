"""Taxonomies: reading and writing, who belongs to whom, and what labels imply."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest

from tfhier import taxonomy
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

# `b` has two parents, and the leaves of `s` are not neighbours.
TALL = Taxonomy.parse(
    "leaf,branch,root\na,p,x\nb,p,x\nc,s,y\nd,q,x\nb,q,x\ne,s,y\n", source="TALL"
)
FAMILIES = {
    "bowed_string": "cello violin",
    "plucked_string": "banjo bass guitar mandolin ukulele",
    "woodwind": "clarinet flute saxophone",
    "brass": "trombone trumpet",
    "keyboard": "accordion organ piano synthesizer",
    "percussion": "cymbals drums mallet_percussion",
    "voice": "voice",
}
YAMNET_MAP = Path(__file__).parents[1] / "../shared/data/yamnet/yamnet_class_map.csv"


def children(table: Taxonomy, level: str) -> dict[str, set[str]]:
    """Parent name -> names of its children on `level`."""
    upper = table.labels_of(table.levels[table.depth_of(level) + 1])
    return {
        parent: {table.labels_of(level)[i] for i in own}
        for parent, own in zip(upper, table.groups(level), strict=True)
    }


def labelling(rng, size: int, *, clips: int = 200, share: float = 0.5):
    """Random targets with a mask; unobserved targets are rubbish."""
    observed = rng.uniform(size=(clips, size)) < share
    return rng.integers(0, 2, (clips, size)).astype(np.float32), observed


# -- Reading and writing -------------------------------------------------------------


def test_order_is_that_of_the_table():
    assert TALL.levels == ("leaf", "branch", "root")
    assert TALL.labels == (tuple("abcde"), ("p", "s", "q"), ("x", "y"))
    assert TALL.parents == (((0,), (0, 2), (1,), (2,), (1,)), ((0,), (1,), (0,)))
    assert TALL.fine == "leaf"
    assert TALL.sizes == {"leaf": 5, "branch": 3, "root": 2}
    assert not TALL.is_tree


def test_writing_and_reading_gives_the_same_taxonomy(tmp_path):
    TALL.write(tmp_path / "table.csv")
    assert Taxonomy.read(tmp_path / "table.csv") == TALL
    assert Taxonomy.read(str(tmp_path / "table.csv")) == TALL
    assert Taxonomy.parse(TALL.to_csv()) == TALL


def test_several_parents_on_several_levels_survive_writing():
    text = "leaf,branch,root\na,p,x\na,p,y\na,q,x\nb,q,z\n"
    table = Taxonomy.parse(text)
    again = Taxonomy.parse(table.to_csv())
    assert again == table
    assert table.parents == (((0, 1), (1,)), ((0, 1), (0, 2)))


def test_blank_lines_spaces_and_a_byte_order_mark_do_not_matter(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes("\ufefffine, coarse\r\n a ,x\r\n\r\n,\r\nb,x\r\n".encode())
    assert Taxonomy.read(path) == Taxonomy.parse("fine,coarse\na,x\nb,x\n")


def test_one_level_is_legal():
    flat = Taxonomy.flat(["a", "b"], level="tag")
    assert flat == Taxonomy.parse("tag\na\nb\n")
    assert flat.is_tree
    assert flat.parents == ()
    targets, observed = np.array([[1, 0]]), np.array([[True, False]])
    lifted = flat.lift(targets, observed)
    assert list(lifted) == ["tag"]
    np.testing.assert_array_equal(lifted["tag"][0], targets)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a header of levels"),
        ("fine,coarse\n", "needs a header of levels.*and a row for each leaf"),
        ("fine,coarse\na,x\nb\n", r"row 3: expected 2 names \(fine, coarse\).*\['b'\]"),
        ("fine,coarse\na,\n", "row 2: expected 2 names"),
        ("fine,coarse\na,x,y\n", "row 2: expected 2 names"),
        ("fine,fine\na,x\n", "The level 'fine' appears twice"),
    ],
)
def test_bad_tables_say_what_is_wrong(text, message):
    with pytest.raises(InputError, match=f"^mine.*{message}"):
        Taxonomy.parse(text, source="mine")


@pytest.mark.parametrize(
    ("levels", "labels", "parents", "message"),
    [
        ((), (), (), "at least one level"),
        (("a", "b"), (("x",),), ((),), "labels for each"),
        (("a",), (("x",),), (((0,),),), "needs parents for 0"),
        (("a",), ((),), (), "Level 'a' has no labels"),
        (("a",), (("x", "x"),), (), "label on level 'a' 'x' appears twice"),
        (("a", "b"), (("x",), ("y",)), ((),), "has 1 labels but parents for 0"),
        (("a", "b"), (("x",), ("y",)), (((),),), "Label 'x' needs parents"),
        (("a", "b"), (("x",), ("y",)), (((1,),),), "Label 'x' needs parents"),
        (("a", "b"), (("x",), ("y", "z")), (((0,),),), "without a child: z. Remove"),
    ],
)
def test_bad_taxonomies_say_what_is_wrong(levels, labels, parents, message):
    with pytest.raises(InputError, match=message):
        Taxonomy(levels=levels, labels=labels, parents=parents)


def test_unknown_files_and_names(tmp_path):
    with pytest.raises(
        InputError, match="No taxonomy is called 'openmik'. Close: openm"
    ):
        Taxonomy.read("openmik")
    with pytest.raises(InputError, match="There is no taxonomy file .*none.csv"):
        Taxonomy.read(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("fine\ncaf\u00e9\n".encode("latin-1"))
    with pytest.raises(InputError, match="latin.csv is not a UTF-8 text file"):
        Taxonomy.read(tmp_path / "latin.csv")


# -- Looking things up ---------------------------------------------------------------


def test_groups_and_membership():
    assert TALL.groups("leaf") == ((0, 1), (2, 4), (1, 3))
    assert TALL.groups("branch") == ((0, 2), (1,))
    under = TALL.membership("leaf", "branch")
    assert under.dtype == bool
    np.testing.assert_array_equal(
        under, [[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1], [0, 1, 0]]
    )
    np.testing.assert_array_equal(
        TALL.membership("leaf", "root"), [[1, 0], [1, 0], [0, 1], [1, 0], [0, 1]]
    )
    np.testing.assert_array_equal(TALL.membership("root", "root"), np.eye(2))


def test_looking_up_what_is_not_there():
    with pytest.raises(InputError, match="no level 'leef'. Close: leaf"):
        TALL.labels_of("leef")
    with pytest.raises(InputError, match="Level 'root' is the topmost"):
        TALL.groups("root")
    with pytest.raises(InputError, match="Level 'root' lies above level 'leaf'"):
        TALL.membership("root", "leaf")


# -- The package's own ---------------------------------------------------------------


def test_openmic_families():
    table = Taxonomy.read("openmic")
    assert table.levels == ("fine", "coarse")
    # The official order of OpenMIC-2018's class map is the alphabet's.
    assert table.labels_of("fine") == tuple(sorted(table.labels_of("fine")))
    assert table.sizes == {"fine": 20, "coarse": 7}
    expected = {family: set(names.split()) for family, names in FAMILIES.items()}
    assert children(table, "fine") == expected


def test_esc50_categories():
    table = Taxonomy.read("esc50")
    assert list(table.sizes.values()) == [50, 5]
    assert table.is_tree
    own = children(table, table.fine)
    assert {len(names) for names in own.values()} == {10}
    assert {"dog", "rooster", "crow"} <= own["animals"]
    assert table.labels_of(table.fine)[:3] == ("dog", "rooster", "pig")


def test_audioset_labels_and_those_that_yamnet_leaves_out():
    audioset, yamnet = Taxonomy.read("audioset"), Taxonomy.read("yamnet")
    assert audioset.sizes == {"label": 527}
    assert yamnet.sizes == {"label": 521}
    names = audioset.labels_of("label")
    # Places that PANNs' users index by.
    assert [names[index] for index in (0, 137, 500, 526)] == [
        "Speech", "Music", "Silence", "Field recording",
    ]  # fmt: skip
    left_out = {
        "Male speech, man speaking", "Female speech, woman speaking", "Battle cry",
        "Male singing", "Female singing", "Funny music",
    }  # fmt: skip
    assert yamnet.labels_of("label") == tuple(n for n in names if n not in left_out)


@pytest.mark.skipif(not YAMNET_MAP.is_file(), reason="there is no YAMNet at hand")
def test_yamnet_labels_are_those_of_its_class_map():
    with open(YAMNET_MAP, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(521))
    labels = Taxonomy.read("yamnet").labels_of("label")
    assert labels == tuple(row["display_name"] for row in rows)


@pytest.mark.parametrize("name", taxonomy.names())
def test_every_taxonomy_of_the_package_reads_and_writes(name):
    table = Taxonomy.read(name)
    assert Taxonomy.parse(table.to_csv()) == table
    assert table.to_csv() == (taxonomy.FOLDER / f"{name}.csv").read_text("utf-8")


# -- Lifting -------------------------------------------------------------------------


def lift_by_hand(targets, observed, *, certain: bool) -> dict:
    """Clip by clip and parent by parent."""
    lifted = {"leaf": (np.where(observed, targets, 0), observed)}
    for lower, upper in (("leaf", "branch"), ("branch", "root")):
        below, seen_below = lifted[lower]
        shape = (len(below), TALL.sizes[upper])
        values, seen = np.zeros(shape), np.zeros(shape, bool)
        for clip, parent in itertools.product(*map(range, shape)):
            own = list(TALL.groups(lower)[parent])
            known = below[clip, own][seen_below[clip, own]]
            if (known == 1).any():
                values[clip, parent], seen[clip, parent] = 1, True
            elif len(known) == len(own) or (len(known) and not certain):
                seen[clip, parent] = True
        lifted[upper] = (values, seen)
    return lifted


@pytest.mark.parametrize("coarse_negatives", ["observed", "certain"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_lift_agrees_with_a_plain_loop(coarse_negatives, share, rng):
    targets, observed = labelling(rng, 5, share=share)
    got = TALL.lift(targets, observed, coarse_negatives=coarse_negatives)
    expected = lift_by_hand(targets, observed, certain=coarse_negatives == "certain")
    assert list(got) == list(TALL.levels)
    for level in TALL.levels:
        assert got[level][0].dtype == np.float32
        assert got[level][1].dtype == bool
        np.testing.assert_array_equal(got[level][0], expected[level][0])
        np.testing.assert_array_equal(got[level][1], expected[level][1])


def test_lift_by_hand():
    """Of a, b | c, e | b, d: nothing seen of the last two, then a negative each."""
    targets = np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    observed = np.array([[1, 0, 0, 0, 0], [1, 0, 1, 0, 0]], bool)
    lifted = TALL.lift(targets, observed)
    np.testing.assert_array_equal(lifted["branch"][0], [[1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(lifted["branch"][1], [[1, 0, 0], [1, 1, 0]])
    np.testing.assert_array_equal(lifted["root"][1], [[1, 0], [1, 1]])
    certain = TALL.lift(targets, observed, coarse_negatives="certain")
    np.testing.assert_array_equal(certain["branch"][1], [[1, 0, 0], [0, 0, 0]])


def test_certain_labels_hold_whatever_the_unobserved_ones_are(rng):
    """And they are all that hold: every other parent still depends on them."""
    targets, observed = labelling(rng, 5, clips=1, share=0.6)
    (values, seen) = TALL.lift(targets, observed, coarse_negatives="certain")["branch"]
    hidden = np.flatnonzero(~observed[0])
    possible = []
    for filling in itertools.product((0, 1), repeat=len(hidden)):
        full = targets.copy()
        full[0, hidden] = filling
        possible.append(TALL.lift(full, np.ones_like(observed))["branch"][0][0])
    constant = np.ptp(possible, axis=0) == 0
    np.testing.assert_array_equal(seen[0], constant)
    np.testing.assert_array_equal(values[0][constant], possible[0][constant])


def test_lift_refuses_what_does_not_fit():
    with pytest.raises(InputError, match=r"shape \(clips, 5\) were expected.*\(2, 4\)"):
        TALL.lift(np.zeros((2, 4)), np.ones((2, 4), bool))
    with pytest.raises(InputError, match="must have one shape"):
        TALL.lift(np.zeros((2, 5)), np.ones((3, 5), bool))
    with pytest.raises(InputError, match="'observed' or 'certain'. Received: 'all'"):
        TALL.lift(np.zeros((2, 5)), np.ones((2, 5), bool), coarse_negatives="all")
    for wrong in (0.3, 2.0, np.nan):
        with pytest.raises(InputError, match=r"must be 0 or 1.*Y_true >= 0\.5"):
            TALL.lift(np.full((1, 5), wrong), np.ones((1, 5), bool))
    # What was not observed means nothing, whatever it is.
    TALL.lift(np.full((1, 5), 0.5), np.zeros((1, 5), bool))


# -- Closing -------------------------------------------------------------------------


def consistent(rng, *, clips: int = 100, share: float = 0.3) -> tuple[dict, dict]:
    """A full truth of every level, and what was seen of it."""
    leaves = rng.integers(0, 2, (clips, 5)).astype(np.float32)
    truth = TALL.lift(leaves, np.ones((clips, 5), bool))
    partly = {
        level: (values, rng.uniform(size=values.shape) < share)
        for level, (values, _) in truth.items()
    }
    return truth, partly


def test_closing_says_nothing_false_and_forgets_nothing(rng):
    truth, partly = consistent(rng)
    closed = TALL.close(partly)
    for level, (values, observed) in closed.items():
        np.testing.assert_array_equal(values[observed], truth[level][0][observed])
        assert (observed >= partly[level][1]).all()
        assert (values[~observed] == 0).all()
    assert closed["leaf"][1].sum() > partly["leaf"][1].sum()


def test_closing_twice_changes_nothing(rng):
    _, partly = consistent(rng)
    once = TALL.close(partly)
    twice = TALL.close(once)
    for level in TALL.levels:
        np.testing.assert_array_equal(twice[level][0], once[level][0])
        np.testing.assert_array_equal(twice[level][1], once[level][1])


def test_closing_leaves_alone_equals_the_certain_lift(rng):
    targets, observed = labelling(rng, 5)
    closed = TALL.close({"leaf": (targets, observed)})
    lifted = TALL.lift(targets, observed, coarse_negatives="certain")
    for level in TALL.levels:
        np.testing.assert_array_equal(closed[level][0], lifted[level][0])
        np.testing.assert_array_equal(closed[level][1], lifted[level][1])


def test_closing_carries_labels_up_and_down():
    root = (np.array([[0, 0]]), np.array([[True, False]]))
    closed = TALL.close({"root": root})
    np.testing.assert_array_equal(closed["leaf"][1], [[1, 1, 0, 1, 0]])
    assert not closed["leaf"][0].any()
    leaf = (np.array([[0, 1, 0, 0, 0]]), np.array([[False, True, False, False, False]]))
    closed = TALL.close({"leaf": leaf})
    np.testing.assert_array_equal(closed["branch"][0], [[1, 0, 1]])
    np.testing.assert_array_equal(closed["root"][0], [[1, 0]])


def test_a_label_with_two_parents_passes_on_what_it_learns():
    """q is off, so b is off; a was seen off, so p, the parent of a and b, is off."""
    closed = TALL.close(
        {
            "leaf": (np.zeros((1, 5)), np.array([[True] + 4 * [False]])),
            "branch": (np.zeros((1, 3)), np.array([[False, False, True]])),
        }
    )
    np.testing.assert_array_equal(closed["branch"][1], [[True, False, True]])
    np.testing.assert_array_equal(closed["root"][1], [[True, False]])


def test_contradictions_are_named():
    leaf = (np.array([[0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]), np.ones((2, 5), bool))
    root = (np.array([[0, 0], [0, 0]]), np.ones((2, 2), bool))
    with pytest.raises(InputError, match="Clip 1: label 'a' of level 'leaf'.*positive"):
        TALL.close({"leaf": leaf, "root": root})
    with pytest.raises(InputError, match="no labels to close"):
        TALL.close({})


@pytest.mark.parametrize("level", [*taxonomy.RESERVED, "labels_fine"])
def test_levels_called_as_arrays_of_an_answer_are_refused(level):
    with pytest.raises(InputError, match=f"A level cannot be called '{level}'.*Renam"):
        Taxonomy.parse(f"fine,{level}\na,x\n")
    assert Taxonomy.parse(f"fine,my_{level}\na,x\n").levels[1] == f"my_{level}"


def test_a_label_is_told_with_those_above_it():
    tree = Taxonomy.parse("leaf,branch,root\na,p,x\nb,q,x\nc,q,x\nd,r,y\n")
    assert tree.lineage("leaf", "c") == {"leaf": "c", "branch": "q", "root": "x"}
    assert tree.lineage("branch", "r") == {"leaf": "", "branch": "r", "root": "y"}
    assert tree.lineage("root", "x") == {"leaf": "", "branch": "", "root": "x"}
    both = Taxonomy.parse("fine,coarse\na,x\nb,x\nb,y\n")
    assert both.lineage("fine", "b") == {"fine": "b", "coarse": "x|y"}
