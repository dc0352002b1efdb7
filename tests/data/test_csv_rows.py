"""CSV read strictly: rows as they are, and nothing swallowed by a stray quote."""

import pytest

from tfhier.data.csv_rows import read_csv
from tfhier.errors import InputError


def write(tmp_path, content: bytes):
    (tmp_path / "a.csv").write_bytes(content)
    return tmp_path / "a.csv"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_rows_are_numbered_and_empty_lines_are_not_rows(tmp_path, mark, end):
    lines = [b"name,label", b"", b' a b ,"x, y"', b",,", b'"say ""hi""",z']
    assert read_csv(write(tmp_path, mark + end.join(lines))) == [
        (1, ["name", "label"]),
        (3, ["a b", "x, y"]),
        (5, ['say "hi"', "z"]),
    ]


def test_other_delimiters_and_quotes_that_mean_nothing(tmp_path):
    path = write(tmp_path, b'a\t"b\n3"\t4\n')
    assert read_csv(path, delimiter="\t", has_quotes=False) == [
        (1, ["a", '"b']),
        (2, ['3"', "4"]),
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'a,b\nc,"d\ne,f\n', 2),
        (b'a,b\n1,2\nc,"d\ne,f"\ng,h\n', 3),
        (b'a,b\nc,"d"x\n', 2),
        (b'a,"b', 1),
    ],
)
def test_a_stray_quote_is_an_error_with_its_line(tmp_path, content, line):
    with pytest.raises(InputError, match=rf"a\.csv, line {line}.* quote"):
        read_csv(write(tmp_path, content))


def test_what_is_no_text_is_an_error(tmp_path):
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_csv(write(tmp_path, "a,b".encode("utf-16")))
    with pytest.raises(FileNotFoundError):
        read_csv(tmp_path / "b.csv")
