"""How the files of published weights are found and fetched."""

import hashlib
import http.server
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tfhier
from tfhier.data import download
from tfhier.errors import InputError
from tfhier.files import locked
from tfhier.pretrained.fetching import locate
from tfhier.pretrained.registry import CHECKPOINTS

ROOT = Path(__file__).parents[2]
YAMNET = ROOT / "../shared/data/yamnet/yamnet.tflite"
CONTENT = np.random.default_rng(0).integers(0, 256, 50_000, dtype=np.uint8).tobytes()
OTHER = bytes(reversed(CONTENT))
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
# A name as PANNs' are, and a published address that quotes it.
CHECKPOINT = replace(
    CHECKPOINTS["panns_cnn10"],
    name="tiny",
    filename="Tiny_mAP=0.500.pth",
    size=len(CONTENT),
    md5=MD5,
)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves by the first folder: good, other (content), half (then drops), gone."""

    def do_GET(self):
        self.server.asked.append(self.path)
        mode = self.path.split("/")[1]
        content = OTHER if mode == "other" else CONTENT
        if mode == "gone" or not self.path.endswith("Tiny_mAP%3D0.500.pth"):
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        start = int(asked[6:-1]) if asked else 0
        self.server.started.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = 20_000 if mode == "half" else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setattr(download, "PAUSES_SECONDS", (0.0,))
    monkeypatch.delenv("TFHIER_OFFLINE", raising=False)
    monkeypatch.delenv("TFHIER_MIRRORS", raising=False)
    monkeypatch.setenv("TFHIER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TFHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked, running.started = [], []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def cached(tmp_path) -> Path:
    return tmp_path / "cache" / "weights" / CHECKPOINT.filename


@pytest.fixture
def by_hand(tmp_path) -> Path:
    path = tmp_path / "data" / "panns" / CHECKPOINT.filename
    path.parent.mkdir(parents=True)
    return path


def published(server, mode: str):
    """The checkpoint, published on a server of our own."""
    return replace(CHECKPOINT, url=f"{server.url}/{mode}/Tiny_mAP%3D0.500.pth")


def test_a_file_is_announced_fetched_once_and_kept(server, cached, capsys):
    checkpoint = published(server, "good")
    assert locate(checkpoint) == cached
    assert cached.read_bytes() == CONTENT
    assert "tiny: Tiny_mAP=0.500.pth, 0.1 MB, licence CC BY 4.0" in (
        capsys.readouterr().out
    )
    assert locate(checkpoint) == cached
    assert capsys.readouterr().out == ""
    assert server.asked == ["/good/Tiny_mAP%3D0.500.pth"]


def test_mirrors_are_asked_first_with_the_name_quoted(server, cached, monkeypatch):
    monkeypatch.setenv("TFHIER_MIRRORS", f"{server.url}/good/deep/")
    assert locate(published(server, "gone")) == cached
    assert server.asked == ["/good/deep/Tiny_mAP%3D0.500.pth"]


def test_a_broken_mirror_is_named_and_the_next_asked(
    server, cached, monkeypatch, capsys
):
    monkeypatch.setenv("TFHIER_MIRRORS", f"{server.url}/gone  {server.url}/good")
    assert locate(published(server, "gone")) == cached
    assert [path.split("/")[1] for path in server.asked] == ["gone", "good"]
    printed = capsys.readouterr().out
    assert f"{server.url}/gone/Tiny_mAP%3D0.500.pth could not be downloaded" in printed
    assert "The next address is tried." in printed


def test_a_mirror_with_another_file_does_not_win(server, cached, monkeypatch, capsys):
    monkeypatch.setenv("TFHIER_MIRRORS", f"{server.url}/other")
    assert locate(published(server, "good")) == cached
    assert cached.read_bytes() == CONTENT
    assert f"its md5 is {hashlib.md5(OTHER).hexdigest()}" in capsys.readouterr().out


def test_what_a_mirror_began_the_next_address_ends(server, cached, monkeypatch):
    monkeypatch.setenv("TFHIER_MIRRORS", f"{server.url}/half")
    assert locate(published(server, "good")) == cached
    assert server.started[-1] == 20_000
    assert cached.read_bytes() == CONTENT


def test_a_part_of_another_file_is_started_anew(server, cached):
    cached.parent.mkdir(parents=True)
    cached.with_name(cached.name + ".part").write_bytes(OTHER[:1000])
    assert locate(published(server, "good")) == cached
    assert server.started == [1000, 0]
    assert cached.read_bytes() == CONTENT


def test_when_all_fail_one_message_names_them_and_the_place(
    server, cached, monkeypatch
):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("TFHIER_MIRRORS", f"{dead} {server.url}/other")
        with pytest.raises(InputError) as caught:
            locate(published(server, "gone"))
    message = str(caught.value)
    for part in (
        "The weights tiny could not be had.",
        f"{dead}/Tiny_mAP%3D0.500.pth could not be downloaded",
        f"What {server.url}/other/Tiny_mAP%3D0.500.pth sent is not the expected file",
        "/gone/Tiny_mAP%3D0.500.pth could not be downloaded: the server answered 404",
        f"put it at {cached}",
        "TFHIER_MIRRORS",
    ):
        assert part in message
    assert message.count("put it at") == 1
    assert not cached.exists()


def test_offline_says_at_once_where_to_put_the_file(
    server, cached, monkeypatch, capsys
):
    monkeypatch.setenv("TFHIER_OFFLINE", "1")
    monkeypatch.setenv("TFHIER_MIRRORS", f"{server.url}/good")
    with pytest.raises(InputError, match=r"TFHIER_OFFLINE forbids.*put it at") as found:
        locate(published(server, "good"))
    assert str(cached) in str(found.value)
    assert server.asked == []
    assert capsys.readouterr().out == ""


def test_a_file_put_by_hand_is_taken_even_offline(server, by_hand, cached, monkeypatch):
    monkeypatch.setenv("TFHIER_OFFLINE", "1")
    by_hand.write_bytes(CONTENT)
    assert locate(published(server, "good")) == by_hand
    by_hand.rename(cached.parent / cached.name)
    assert locate(published(server, "good")) == cached


@pytest.mark.parametrize(
    ("family", "folder", "is_found"),
    [
        ("panns", "weights", True),
        ("panns", "panns", True),
        ("primates", "weights", True),
        ("primates", "primates", False),  # a data set's
        ("panns", "yamnet", False),
    ],
)
def test_a_folder_of_weights_is_no_data_sets(
    server, tmp_path, monkeypatch, family, folder, is_found
):
    monkeypatch.setenv("TFHIER_OFFLINE", "1")
    checkpoint = replace(CHECKPOINT, family=family)
    path = tmp_path / "data" / folder / checkpoint.filename
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    if is_found:
        assert locate(checkpoint) == path
    else:
        with pytest.raises(InputError, match="TFHIER_OFFLINE forbids"):
            locate(checkpoint)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"mine", r"4 bytes, expected 50,000"), (OTHER, f"expected {MD5}")],
)
def test_another_file_of_that_name_is_refused_and_kept(
    server, by_hand, content, message
):
    by_hand.write_bytes(content)
    with pytest.raises(InputError, match=rf"{by_hand.name} is there .*{message}"):
        locate(published(server, "good"))
    assert by_hand.read_bytes() == content
    assert server.asked == []


def test_an_edition_counts_as_the_file(server, by_hand):
    by_hand.write_bytes(OTHER)
    checkpoint = replace(
        published(server, "good"), editions=(hashlib.sha256(OTHER).hexdigest(),)
    )
    assert locate(checkpoint) == by_hand
    by_hand.write_bytes(CONTENT)
    assert locate(checkpoint) == by_hand
    by_hand.write_bytes(b"neither")
    with pytest.raises(InputError, match="is there already"):
        locate(checkpoint)


def test_a_second_process_waits_for_the_first_and_takes_its_file(
    server, cached, capsys
):
    cached.parent.mkdir(parents=True)
    checkpoint = published(server, "gone")
    with ThreadPoolExecutor() as pool:
        with locked(cached.with_name(".tiny.lock"), task="downloading tiny"):
            second = pool.submit(locate, checkpoint)
            while "waiting" not in capsys.readouterr().out and not second.done():
                time.sleep(0.01)
            assert os.listdir(cached.parent) == [".tiny.lock"]
            cached.write_bytes(CONTENT)
        assert second.result() == cached


@pytest.mark.skipif(not YAMNET.is_file(), reason="there is no YAMNet beside the tree")
def test_the_yamnet_at_hand_is_an_edition(server, monkeypatch):
    monkeypatch.setenv("TFHIER_DATA", str(YAMNET.parents[1]))
    monkeypatch.setenv("TFHIER_OFFLINE", "1")
    assert locate(CHECKPOINTS["yamnet"]).resolve() == YAMNET.resolve()


@pytest.mark.skipif(not YAMNET.is_file(), reason="there is no YAMNet beside the tree")
def test_published_weights_are_loaded_by_name(server, monkeypatch, tmp_path):
    monkeypatch.setenv("TFHIER_DATA", str(YAMNET.parents[1]))
    loaded = tfhier.load("yamnet")
    assert loaded.frontend.get_config()["eight_bit"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yamnet").write_text("a file of that name comes first")
    with pytest.raises(InputError, match=r"yamnet is no \.keras file"):
        tfhier.load("yamnet")
