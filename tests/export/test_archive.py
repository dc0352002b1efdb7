"""Files behind a .tflite network come back as they were, or not at all."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tfhier.errors import InputError
from tfhier.export import archive

ROOT = Path(__file__).parents[2]
NETWORK = b"\x1c\0\0\0TFL3" + bytes(range(200))
FILES = {"fine.txt": "größe\n音\n".encode(), "empty": b"", "contract.json": b"{}"}


@pytest.fixture(scope="module")
def content() -> bytes:
    return archive.append(NETWORK, FILES)


def test_files_and_network_come_back(tmp_path, content):
    path = tmp_path / "größe.tflite"
    path.write_bytes(content)
    for source in (content, path, str(path)):
        assert list(archive.files(source).items()) == list(FILES.items())
        assert archive.flatbuffer_bytes(source) == NETWORK


def test_the_archive_is_one_for_every_reader_and_not_compressed(tmp_path):
    zeros = {"zeros": bytes(5_000)}
    path = tmp_path / "a.tflite"
    path.write_bytes(archive.append(NETWORK, zeros))
    assert zeros["zeros"] in path.read_bytes()
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        (member,) = found.infolist()
        # Counted from the start of the file, as TFLite's own writer does.
        assert member.header_offset == len(NETWORK)
        assert (member.compress_type, member.file_size) == (zipfile.ZIP_STORED, 5_000)


def test_equal_files_give_equal_bytes(monkeypatch, content):
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("sys.platform", "win32")
    assert archive.append(NETWORK, FILES) == content


def test_the_network_may_hold_an_archive_of_its_own():
    inner = archive.append(NETWORK, {"inner": b"1"})
    outer = archive.append(inner, FILES)
    assert archive.files(outer) == FILES
    assert archive.flatbuffer_bytes(outer) == inner


def test_cut_files_are_refused(content):
    for size in range(len(content)):
        with pytest.raises(InputError, match="no .tflite file|carries no|damaged"):
            archive.files(content[:size])


def test_a_cut_never_makes_an_inner_archive_the_outer_one():
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("a.txt", b"1")
    outer = archive.append(NETWORK, {"inner.zip": inner.getvalue(), "b": b"2"})
    end = outer.index(b"PK\5\6") + 22
    with zipfile.ZipFile(io.BytesIO(outer[:end])) as found:
        assert found.namelist() == ["a.txt"]
    with pytest.raises(InputError, match="is damaged: .*list of files is elsewhere"):
        archive.files(outer[:end])


def test_every_changed_bit_is_refused_or_does_no_harm(content):
    num_refused = 0
    for place in range(len(NETWORK), len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            try:
                found = archive.files(bytes(damaged))
                network = archive.flatbuffer_bytes(bytes(damaged))
            except InputError as error:
                assert "\n" not in str(error)
                num_refused += 1
            else:
                assert found == FILES
                assert network == NETWORK
    assert num_refused > 1_000


def test_a_file_that_a_changed_length_hides_is_missed(content):
    # The comment of the first entry (length: 32 bytes into it) swallows the second.
    directory = content.index(b"PK\1\2")
    damaged = bytearray(content)
    damaged[directory + 32] = 46 + len("empty")
    with zipfile.ZipFile(io.BytesIO(damaged)) as found:
        assert found.namelist() == ["fine.txt", "contract.json"]
    with pytest.raises(InputError, match="is damaged: .*2 files of 3"):
        archive.files(bytes(damaged))


def test_content_under_another_name_is_missed(content):
    assert content.count(b"contract.json") == 2
    with pytest.raises(InputError, match="is damaged"):
        archive.files(content.replace(b"contract.json", b"contracs.json", 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "a.tflite cannot be read .No such file"),
        (lambda path: path.mkdir(), "a.tflite cannot be read .Is a directory"),
        (lambda path: path.write_bytes(b""), "a.tflite is no .tflite file"),
        (lambda path: path.write_bytes(b"PK" * 100), "a.tflite is no .tflite file"),
        (lambda path: path.write_bytes(NETWORK), "a.tflite carries no files: it was"),
    ],
)
def test_bad_files_are_named(tmp_path, make, message):
    path = tmp_path / "a.tflite"
    make(path)
    for function in (archive.files, archive.flatbuffer_bytes):
        with pytest.raises(InputError, match=message):
            function(path)


@pytest.mark.parametrize(
    "names",
    [("../a",), ("/a",), ("a/b",), ("",), (".a",), ("ä",), ("a b",), ("a\n",)]
    + [("a", "A"), ("a:b",), ("a\\b",)],
)
def test_names_that_some_disk_would_not_take_are_refused(names):
    with pytest.raises(InputError, match="cannot be the name of a file inside"):
        archive.append(NETWORK, dict.fromkeys(names, b""))


def test_reading_needs_the_standard_library_alone():
    code = (
        "import sys; before = set(sys.modules); from tfhier.export import archive;"
        "new = {m.split('.')[0] for m in set(sys.modules) - before};"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split() == ["tfhier"], done.stderr
