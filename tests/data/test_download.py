"""Downloads against a server of our own, honest and otherwise; hostile archives."""

import hashlib
import http.server
import io
import os
import re
import shutil
import socket
import stat
import tarfile
import threading
import zipfile
from collections import namedtuple

import numpy as np
import pytest

from tfhier.data import download
from tfhier.errors import InputError

CONTENT = np.random.default_rng(0).integers(0, 256, 700_000, dtype=np.uint8).tobytes()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how: range, plain, drop, stuck, busy, gone."""

    def do_GET(self):
        mode, asked = self.path.strip("/"), self.headers.get("Range")
        self.server.asked.append(asked)
        is_first = len(self.server.asked) == 1
        if mode == "gone" or (mode == "busy" and is_first):
            self.send_error(404 if mode == "gone" else 503)
            return
        start = int(asked[6:-1]) if asked and mode != "plain" else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        drops = mode == "stuck" or (mode == "drop" and is_first)
        end = start + (len(CONTENT) - start) // 2 if drops else len(CONTENT)
        self.wfile.write(CONTENT[start : 0 if mode == "stuck" and start else end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSES_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.delenv("TFHIER_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_file_arrives_whole_in_a_new_folder(server, tmp_path):
    path = tmp_path / "new" / "file.bin"
    got = download.fetch(
        f"{server.url}/range", path, size=len(CONTENT), md5=MD5, sha256=SHA256.upper()
    )
    assert got == path
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == ["file.bin"]


def test_a_part_is_resumed_where_it_ended(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    download.fetch(f"{server.url}/range", tmp_path / "file", md5=MD5)
    assert server.asked == ["bytes=1000-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_starts_over(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    download.fetch(f"{server.url}/plain", tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_complete_part_is_checked_and_renamed(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    download.fetch(f"{server.url}/range", tmp_path / "file", md5=MD5)
    assert server.asked == [f"bytes={len(CONTENT)}-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_replaced(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    download.fetch(f"{server.url}/range", tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_dropped_connection_is_taken_up_again(server, tmp_path):
    download.fetch(f"{server.url}/drop", tmp_path / "file", md5=MD5)
    assert server.asked == [None, f"bytes={len(CONTENT) // 2}-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, tmp_path):
    download.fetch(f"{server.url}/busy", tmp_path / "file", md5=MD5)
    assert len(server.asked) == 2


def test_a_connection_that_brings_nothing_more_ends_and_keeps_the_part(
    server, tmp_path
):
    with pytest.raises(InputError, match=r"ended early\. 350,000 bytes are kept"):
        download.fetch(f"{server.url}/stuck", tmp_path / "file", md5=MD5)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:350_000]
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("promise", "message"),
    [
        ({"md5": "0" * 32}, f"its md5 is {MD5}, expected 000"),
        ({"sha256": "0" * 64}, f"its sha256 is {SHA256}"),
        ({"size": 5}, "it has 700,000 bytes, expected 5"),
    ],
)
def test_a_file_that_is_not_the_promised_one_is_removed(
    server, tmp_path, promise, message
):
    with pytest.raises(InputError, match=message):
        download.fetch(f"{server.url}/range", tmp_path / "file", **promise)
    assert os.listdir(tmp_path) == []


def test_a_missing_address_is_asked_once_and_explained(server, tmp_path):
    with pytest.raises(InputError, match=r"answered 404 Not Found.*put it at .*file"):
        download.fetch(f"{server.url}/gone", tmp_path / "file")
    assert len(server.asked) == 1


def test_an_unreachable_address_is_explained(server, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with pytest.raises(InputError, match=rf"{url} could not be .* refused.*put it"):
            download.fetch(url, tmp_path / "file")


@pytest.mark.parametrize(
    "url", ["mirror.local/weights", "http://[::1", f"http://{'a' * 70}.org/x"]
)
def test_what_is_no_address_is_named(url, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSES_SECONDS", ())
    with pytest.raises(InputError, match=re.escape(url)):
        download.fetch(url, tmp_path / "file")


def test_a_right_file_is_kept_without_asking(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHIER_OFFLINE", "1")
    (tmp_path / "file").write_bytes(CONTENT)
    download.fetch(f"{server.url}/range", tmp_path / "file", sha256=SHA256)
    assert server.asked == []


def test_a_wrong_file_in_the_place_is_named_and_kept(server, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"there already but is not .* 4 bytes"):
        download.fetch(f"{server.url}/range", tmp_path / "file", size=len(CONTENT))
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_offline_refuses_at_once(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHIER_OFFLINE", "1")
    with pytest.raises(InputError, match="TFHIER_OFFLINE forbids"):
        download.fetch(f"{server.url}/range", tmp_path / "file")
    assert server.asked == []


def test_a_full_disk_is_seen_before_the_download(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free=600_000))
    with pytest.raises(InputError, match=r"0\.00 GB free; the download needs"):
        download.fetch(f"{server.url}/range", tmp_path / "file")
    assert not (tmp_path / "file").exists()
    (tmp_path / "file.part").write_bytes(CONTENT[:200_000])
    download.fetch(f"{server.url}/range", tmp_path / "file", size=len(CONTENT))


def write_tar(path, members):
    """Write name -> content; a `tarfile.TarInfo` as content is written as it is."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, dict):
                for field, value in content.items():
                    setattr(member, field, value)
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def test_one_top_folder_becomes_the_folder(tmp_path):
    archive = write_tar(tmp_path / "a.tgz", {"top/a.txt": b"a", "top/sub/b.txt": b"b"})
    folder = download.unpack(archive, tmp_path / "data" / "set")
    assert (folder / "a.txt").read_bytes() == b"a"
    assert (folder / "sub" / "b.txt").read_bytes() == b"b"
    assert os.listdir(folder.parent) == ["set"]
    assert folder.stat().st_mode & 0o444 == 0o444 & ~_umask()


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_several_top_entries_are_kept(tmp_path):
    archive = write_tar(tmp_path / "a.tgz", {"a.txt": b"a", "sub/b.txt": b"b"})
    folder = download.unpack(archive, tmp_path / "set")
    assert sorted(os.listdir(folder)) == ["a.txt", "sub"]


@pytest.mark.parametrize(
    "members",
    [
        {"top/good.txt": b"x", "../evil.txt": b"x"},
        {"/tmp-evil/evil.txt": b"x"},
        {"top/link": {"type": tarfile.SYMTYPE, "linkname": "/etc"}},
        {"top/link": {"type": tarfile.SYMTYPE, "linkname": "../../evil"}},
        {"top/device": {"type": tarfile.CHRTYPE}},
    ],
    ids=["parent", "absolute", "absolute link", "parent link", "device"],
)
def test_a_hostile_archive_leaves_nothing(tmp_path, members):
    archive = write_tar(tmp_path / "evil.tgz", members)
    with pytest.raises(InputError, match="was not unpacked"):
        download.unpack(archive, tmp_path / "data" / "set")
    assert os.listdir(tmp_path / "data") == []
    assert sorted(os.listdir(tmp_path)) == ["data", "evil.tgz"]


@pytest.mark.parametrize("kept", [100, 20_000, 0])
def test_a_broken_archive_leaves_nothing(tmp_path, kept):
    archive = write_tar(tmp_path / "a.tgz", {"top/a.bin": CONTENT[:50_000]})
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"a\.tgz could not be unpacked"):
        download.unpack(archive, tmp_path / "set")
    assert os.listdir(tmp_path) == ["a.tgz"]


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.tgz could not be unpacked"):
        download.unpack(tmp_path / "none.tgz", tmp_path / "set")


def test_a_folder_with_content_is_left_alone(tmp_path):
    archive = write_tar(tmp_path / "a.tgz", {"top/a.txt": b"a"})
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        download.unpack(archive, tmp_path / "set")
    (tmp_path / "set" / "mine.txt").unlink()
    download.unpack(archive, tmp_path / "set")
    assert os.listdir(tmp_path / "set") == ["a.txt"]


def write_zip(path, members):
    """Write name -> content."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


def test_a_zip_is_known_by_its_content(tmp_path):
    members = {"top/": b"", "top/a.txt": b"a", "top/sub/b.bin": CONTENT}
    archive = write_zip(tmp_path / "data.tgz", members)
    folder = download.unpack(archive, tmp_path / "data" / "set")
    assert (folder / "a.txt").read_bytes() == b"a"
    assert (folder / "sub" / "b.bin").read_bytes() == CONTENT
    assert os.listdir(folder.parent) == ["set"]
    assert (folder / "a.txt").stat().st_mode & 0o444 == 0o444 & ~_umask()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("../evil.txt", stat.S_IFREG),
        ("top/../../evil.txt", stat.S_IFREG),
        ("..\\evil.txt", stat.S_IFREG),
        ("/tmp-evil/evil.txt", stat.S_IFREG),
        ("top/link", stat.S_IFLNK),
        ("top/device", stat.S_IFCHR),
    ],
)
def test_a_hostile_zip_leaves_nothing(tmp_path, name, mode):
    archive = tmp_path / "evil.zip"
    write_zip(archive, {"top/good.txt": b"x"})
    with zipfile.ZipFile(archive, "a") as members:
        member = zipfile.ZipInfo(name)
        member.external_attr = (mode | 0o644) << 16
        members.writestr(member, b"/etc/passwd")
    with pytest.raises(InputError, match=r"was not unpacked.*(outside of|a link or)"):
        download.unpack(archive, tmp_path / "data" / "set")
    assert os.listdir(tmp_path / "data") == []
    assert sorted(os.listdir(tmp_path)) == ["data", "evil.zip"]


@pytest.mark.parametrize("kept", [4, 100, 400_000])
def test_a_cut_zip_leaves_nothing(tmp_path, kept):
    archive = write_zip(tmp_path / "a.zip", {"top/a.bin": CONTENT})
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"a\.zip could not be unpacked"):
        download.unpack(archive, tmp_path / "set")
    assert os.listdir(tmp_path) == ["a.zip"]


@pytest.mark.parametrize(
    ("field", "offset"), [("flag_bits", 8), ("compress_type", 10), ("CRC", 16)]
)
def test_a_zip_that_cannot_be_decoded_leaves_nothing(tmp_path, field, offset):
    archive = write_zip(tmp_path / "a.zip", {"top/a.txt": b"content"})
    content = bytearray(archive.read_bytes())
    # In the central directory, whose offsets are fixed by the format.
    place = content.index(b"PK\x01\x02") + offset
    content[place] ^= 0x01 if field == "flag_bits" else 0x33
    if field != "CRC":  # the local header says the same, two bytes earlier
        content[offset - 2] = content[place]
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip could not be unpacked"):
        download.unpack(archive, tmp_path / "set")
    assert os.listdir(tmp_path) == ["a.zip"]


def test_a_zip_that_does_not_fit_on_the_disk_is_not_begun(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "a.zip", {"top/zeros.bin": bytes(5_000_000)})
    assert archive.stat().st_size < 100_000
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free=4_000_000))
    with pytest.raises(InputError, match=r"0\.00 GB free; the content of a\.zip needs"):
        download.unpack(archive, tmp_path / "set")
    assert os.listdir(tmp_path) == ["a.zip"]
