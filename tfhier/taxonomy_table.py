"""A taxonomy as a CSV table: levels as header, finest first, and one row a leaf.

One more row stands for each further parent of the same leaf. Labels are numbered, on
every level, in the order they first appear in:

    fine,coarse
    cello,bowed_string
    violin,bowed_string
"""

import csv
import io

from tfhier.errors import InputError

Names = tuple[str, ...]
# For each level but the last, for each label: indices of its parents, ascending.
Parents = tuple[tuple[tuple[int, ...], ...], ...]


def parse(text: str, *, source: str) -> tuple[Names, tuple[Names, ...], Parents]:
    """Read a table.

    Args:
        text: str. The CSV text.
        source: str. What to call it in error messages.

    Returns:
        (levels, labels of every level, parents), as `Taxonomy` takes them.

    Raises:
        InputError: It is no CSV, has no leaf, or a row has too few or too many names.
    """
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(io.StringIO(text))
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise InputError(f"{source} is not a CSV table ({error}).") from None
    if len(rows) < 2:
        raise InputError(
            f"{source} needs a header of levels (finest first) and a row for each leaf."
        )
    header, *body = rows
    for number, row in enumerate(body, start=2):
        if len(row) != len(header) or not all(row):
            raise InputError(
                f"{source}, row {number}: expected {len(header)} names "
                f"({', '.join(header)}). Received: {row}"
            )
    labels = tuple(tuple(dict.fromkeys(column)) for column in zip(*body, strict=True))
    parents = []
    for depth in range(len(header) - 1):
        edges = {name: set() for name in labels[depth]}
        for row in body:
            edges[row[depth]].add(labels[depth + 1].index(row[depth + 1]))
        parents.append(tuple(tuple(sorted(edges[name])) for name in labels[depth]))
    return tuple(header), labels, tuple(parents)


def write(levels: Names, labels: tuple[Names, ...], parents: Parents) -> str:
    """Return the table as CSV text; `parse` gives the same back.

    Raises:
        InputError: No order of rows keeps the order of the labels on every level.
    """
    waiting = [
        row for leaf in range(len(labels[0])) for row in _rows(labels, parents, 0, leaf)
    ]
    # `parse` numbers labels as they appear, so a row must wait until every label of it
    # has either appeared or is the next of its level.
    seen = [0] * len(levels)
    rows = []
    while waiting:
        for row in waiting:
            places = [own.index(name) for own, name in zip(labels, row, strict=True)]
            if all(place <= num for place, num in zip(places, seen, strict=True)):
                break
        else:
            raise InputError(
                "A table cannot keep this order of labels, since it numbers them as "
                f"they appear. Order the upper levels as '{waiting[0][0]}' and the "
                "leaves after it need them."
            )
        waiting.remove(row)
        rows.append(row)
        seen = [max(n, place + 1) for n, place in zip(seen, places, strict=True)]
    output = io.StringIO()
    csv.writer(output, lineterminator="\n").writerows([levels, *rows])
    return output.getvalue()


def _rows(
    labels: tuple[Names, ...], parents: Parents, depth: int, index: int
) -> list[list[str]]:
    """All ways from a label up to a root, as lists of names."""
    name = labels[depth][index]
    if depth == len(labels) - 1:
        return [[name]]
    return [
        [name, *row]
        for parent in parents[depth][index]
        for row in _rows(labels, parents, depth + 1, parent)
    ]
