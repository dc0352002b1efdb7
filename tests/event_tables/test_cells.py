"""Text in cells: hostile text survives, and a spreadsheet runs none of it."""

import csv
import io
import random

import pytest

from tests.event_tables.made import HOSTILE
from tfhier.event_tables import cells

# What the property tests string together: all that is escaped, and its escapes.
_PIECES = (
    "'", "\\", "\udce9", "udce9", "u", "\ud800", "=", "@", "-", " ", "\t", "\r", "\n",
    ",", ";", '"', "é", "x", "\u2028",
)  # fmt: skip


def random_texts(count=3000):
    draw = random.Random(20_230_604)
    return ["".join(draw.choices(_PIECES, k=draw.randrange(8))) for _ in range(count)]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("gibbon", "gibbon"),
        ("'i'iwi", "'i'iwi"),
        ("a-b=c", "a-b=c"),
        ("größe \U0001f412", "größe \U0001f412"),
        ("a\udce9b", "a\\udce9b"),
        ("a\\udce9b", "a\\\\udce9b"),
        ("\\\udce9", "\\\\\\udce9"),
        ("C:\\udon", "C:\\udon"),
        ("=1+1", "'=1+1"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("@x", "'@x"),
        (" \t=x", "' \t=x"),
        ("'=x", "''=x"),
        ("＝x", "'＝x"),
    ],
)
def test_cells_written_out_by_hand(text, cell):
    assert cells.quotable(text) == cell
    assert cells.unquotable(cell) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_every_text_comes_back(text):
    assert cells.unquotable(cells.quotable(text)) == text
    assert cells.unspelled(cells.spelled(text)) == text


def test_random_texts_come_back_and_differ():
    texts = random_texts()
    for text in texts:
        assert cells.unquotable(cells.quotable(text)) == text
        assert cells.unspelled(cells.spelled(text)) == text
        cells.quotable(text).encode("utf-8")
    assert len({cells.quotable(text) for text in texts}) == len({*texts})


def test_no_cell_is_a_formula():
    dangerous = tuple("=+-@＝＋－＠")
    for text in (*HOSTILE, *random_texts()):
        # Some programs cut spaces off the cells of a CSV table.
        assert not cells.quotable(text).lstrip().startswith(dangerous)
        assert not cells.one_line(text).startswith(dangerous)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("gibbon call", "gibbon call"),
        ("a\tb", "a\\tb"),
        ("a\r\nb", "a\\r\\nb"),
        ("a\x07\x85\u2028", "a\\x07\\x85\\u2028"),
        ("a\udce9", "a\\udce9"),
        ("=1", " =1"),
        (" =1", "  =1"),
        ("\t=1", "\\t=1"),
        ("'x'", "'x'"),
    ],
)
def test_one_line_written_out_by_hand(text, cell):
    assert cells.one_line(text) == cell


def test_one_line_is_one_cell_of_one_line():
    for text in (*HOSTILE, *random_texts()):
        cell = cells.one_line(text)
        assert len(f"a{cell}a".splitlines()) == 1
        assert "\t" not in cell


def test_lines_of_a_csv_table_come_back():
    rows = [[text, "1", cells.quotable(text)] for text in HOSTILE]
    text = "".join(cells.csv_line(row) for row in rows)
    assert [*csv.reader(io.StringIO(text, newline=""), strict=True)] == rows


def test_ends_of_lines():
    assert cells.csv_line(["a", "b, c", 1]) == 'a,"b, c",1\n'
    assert cells.csv_line(["a\r", ""]) == '"a\r",\n'
    assert cells.tab_line(["a", "b"]) == "a\tb\n"
