"""What is said of labels: by a verdict, of a window in which several events are heard.

Conventions: `Said` maps (level, label) to whether it is there. What is not in it is not
known.
"""

from collections.abc import Sequence

import numpy as np

from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.event_tables.rows import Row
from tfhier.event_tables.verdict import Verdict
from tfhier.taxonomy import BACKGROUND, Labelling, Taxonomy

Said = dict[tuple[str, str], bool]


def of_verdict(row: Row, given: Verdict, taxonomy: Taxonomy) -> Said:
    """Return what a verdict says of labels.

    Background is none of the labels, also of a model that has no such label.
    """
    leaves = taxonomy.labels_of(taxonomy.fine)
    if given.label == BACKGROUND and BACKGROUND not in leaves:
        return {(taxonomy.fine, leaf): False for leaf in leaves}
    said: Said = {}
    if given.verdict != "unsure":
        said[row.level, row.label] = given.verdict == "accepted"
    if level := _level_of(given.label, taxonomy):
        said.setdefault((level, given.label), True)  # those above follow
    return said


def agrees(row: Row, given: Verdict, taxonomy: Taxonomy) -> bool:
    """Return whether what was heard may stand beside an accepted label.

    It is the same, a finer one, none, or one that the model does not know.
    """
    if given.verdict != "accepted":
        return True
    if given.label == BACKGROUND:
        return row.label == BACKGROUND
    if level := _level_of(given.label, taxonomy):
        above = taxonomy.lineage(level, given.label)[row.level]
        return row.label in above.split("|")
    return True


def _level_of(label: str, taxonomy: Taxonomy) -> str:
    """Return the finest level that has a label; "" for none."""
    return next((lv for lv in taxonomy.levels if label in taxonomy.labels_of(lv)), "")


def there(said: Said, taxonomy: Taxonomy) -> set[tuple[str, str]]:
    """Return what is there: labels, and those above them."""
    found = set()
    for (level, label), is_so in said.items():
        if is_so:
            for upper, names in taxonomy.lineage(level, label).items():
                found |= {(upper, name) for name in names.split("|") if name}
    return found


def beside(said: Said, near: set[tuple[str, str]]) -> Said:
    """Return what holds for a window too, in which other events are heard."""
    is_alone = all(name == BACKGROUND for _, name in near)
    return {
        place: is_so
        for place, is_so in said.items()
        if (is_so or place not in near)
        and (is_alone or not (is_so and place[1] == BACKGROUND))
    }


def complete(said: Said, promised: Contract) -> Said | None:
    """Return also what cannot be beside what is there; None where nothing is known.

    A model whose labels exclude each other needs all of them known.
    """
    taxonomy = promised.taxonomy
    leaves = taxonomy.labels_of(taxonomy.fine)
    heard = {label for (_, label), is_so in said.items() if is_so}
    own = heard & set(leaves)
    others: set[str] = set()
    if own == {BACKGROUND} or (promised.softmax and len(own) == 1):
        others = set(leaves) - own
    elif heard and BACKGROUND in leaves:
        others = {BACKGROUND}
    found = {**{(taxonomy.fine, label): False for label in others}, **said}
    if promised.softmax and (
        len(own) != 1 or any((taxonomy.fine, leaf) not in found for leaf in leaves)
    ):
        return None
    return found or None


def is_possible(said: Said, taxonomy: Taxonomy) -> bool:
    """Return whether no label would have to be there and not."""
    try:
        taxonomy.close(labellings([said], taxonomy))
    except InputError:
        return False
    return True


def labellings(said: Sequence[Said], taxonomy: Taxonomy) -> dict[str, Labelling]:
    """Return what is said of clips as level -> (targets, observed)."""
    found = {
        level: (
            np.zeros((len(said), size), np.float32),
            np.zeros((len(said), size), bool),
        )
        for level, size in taxonomy.sizes.items()
    }
    for at, own in enumerate(said):
        for (level, label), is_so in own.items():
            column = taxonomy.labels_of(level).index(label)
            targets, observed = found[level]
            targets[at, column], observed[at, column] = is_so, True
    return found
