"""Text in the cells of tables, whatever a file name or a label holds.

Conventions: names of files are bytes, which Python keeps as surrogates where they are
no UTF-8. They are spelled as `\\udce9`, in every table and with nothing lost: a name
that has these six characters itself gets a second backslash.

A spreadsheet takes a cell that begins with = + - or @ for a formula, and runs it. In
tables that spreadsheets open such text begins with an apostrophe, which reading takes
off again. In tables without quotes it begins with a space, which readers cut off.
"""

import csv
import io
import re
from collections.abc import Sequence

_SURROGATE = re.compile(r"(\\*)(?:([\ud800-\udfff])|(?=ud[89a-f][0-9a-f]{2}))")
_SPELLED = re.compile(r"(\\+)(ud[89a-f][0-9a-f]{2})")
# Apostrophes belong to it, so that text which begins with one of its own comes back.
_FORMULA = re.compile(r"'*\s*[=+\-@＝＋－＠]")
# What ends a line somewhere, and what no screen shows.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def spelled(text: str) -> str:
    """Return text that UTF-8 can hold; `unspelled` gives the text back."""

    def spell(found: re.Match) -> str:
        # Backslashes in front are doubled, or they could not be told from the new one.
        end = f"\\u{ord(found[2]):04x}" if found[2] else ""
        return 2 * found[1] + end

    return _SURROGATE.sub(spell, text)


def unspelled(text: str) -> str:
    """Return the text that was `spelled`."""

    def read(found: re.Match) -> str:
        pairs, is_odd = divmod(len(found[1]), 2)
        return "\\" * pairs + (chr(int(found[2][1:], 16)) if is_odd else found[2])

    return _SPELLED.sub(read, text)


def quotable(text: str) -> str:
    """Return text for a table with quotes; `unquotable` gives the text back.

    What is no UTF-8 is spelled, and an apostrophe stands before what a spreadsheet
    would take for a formula.
    """
    text = spelled(text)
    return f"'{text}" if _FORMULA.match(text) else text


def unquotable(cell: str) -> str:
    """Return the text that `quotable` made a cell of."""
    is_guarded = cell.startswith("'") and _FORMULA.match(cell)
    return unspelled(cell[1:] if is_guarded else cell)


def one_line(text: str) -> str:
    """Return text for a table that has no quotes; it cannot always be given back.

    What is no UTF-8 is spelled, tabs, ends of lines and other control characters become
    their escapes (`\\t`, `\\n`, `\\x07`, `\\u2028`), and a space stands before what a
    spreadsheet would take for a formula.
    """
    text = _CONTROL.sub(
        lambda found: found[0].encode("unicode_escape").decode(), spelled(text)
    )
    return f" {text}" if _FORMULA.match(text) else text


def csv_line(cells: Sequence[object]) -> str:
    """Return a line of a CSV table with its end."""
    text = io.StringIO()
    # With this end, cells that hold a carriage return are quoted too.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def tab_line(cells: Sequence[str]) -> str:
    """Return a line of tab-separated cells with its end."""
    return "\t".join(cells) + "\n"
