"""Versions: which is served, when another takes its place, and what a bad one does."""

import gc
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from tests.serve import saved_models
from tests.serve.conftest import running
from tfhier import members, model_paths
from tfhier.errors import InputError
from tfhier.serve.models import Models
from tfhier.serve.status import StatusError

CLIP = {"inputs": [[1, 2, 3, 4]]}


def wait_until(condition, *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def break_version(base: Path, version: int) -> Path:
    hidden = base / ".part"
    hidden.mkdir()
    (hidden / "saved_model.pb").write_bytes(b"no model")
    return hidden.rename(base / str(version))


def test_only_numbered_folders_with_a_model_are_versions(tmp_path):
    for name in ("1", "007", "10", "x", ".2.part", "-3", "٤"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(b"")
    (tmp_path / "99").mkdir()  # still being copied
    assert set(model_paths.versions(tmp_path)) == {1, 7, 10}


def test_a_higher_version_takes_over_while_requests_finish(tmp_path, base):
    saved_models.copy(base / "3", tmp_path, 1)
    (tmp_path / "later").mkdir()
    later = saved_models.save(tmp_path / "later", 10, gain=2.0)
    slow = {"signature_name": "wait", "inputs": [1.5]}
    answers = []
    with running({"tags": tmp_path}, poll_seconds=0.05) as clients:
        before = clients.post(CLIP)[1]["outputs"]["fine"]
        thread = threading.Thread(target=lambda: answers.append(clients.post(slow)))
        thread.start()
        later.rename(tmp_path / "10")
        wait_until(lambda: clients.ask("GET", "/v1/models/tags/versions/10")[0] == 200)
        wait_until(lambda: clients.post(CLIP)[1]["outputs"]["fine"] != before)
        after = clients.post(CLIP)[1]["outputs"]["fine"]
        np.testing.assert_allclose(after, 2 * np.array(before), rtol=1e-6)
        assert not answers  # it is still with the old version
        thread.join()
        assert answers == [(200, {"outputs": [1.5]})]
        old = clients.ask("POST", "/v1/models/tags/versions/1:predict", CLIP)
        assert old == (
            404, {"error": "Servable not found for request: Specific(tags, 1)"}
        )  # fmt: skip
        states = clients.ask("GET", "/v1/models/tags")[1]["model_version_status"]
        assert [(state["version"], state["state"]) for state in states] == [
            ("10", "AVAILABLE"), ("1", "END")
        ]  # fmt: skip


def test_a_lower_version_changes_nothing(tmp_path, base):
    saved_models.copy(base / "3", tmp_path, 5)
    models = Models({"tags": tmp_path})
    models.load()
    saved_models.copy(base / "3", tmp_path, 4)
    models.poll()
    assert models.find("tags").version == 5
    assert models.find("tags", version=5).version == 5
    with pytest.raises(StatusError, match=r"Specific\(tags, 4\)"):
        models.find("tags", version=4)


def test_a_version_that_is_taken_away_gives_way_to_the_highest_left(tmp_path, base):
    saved_models.copy(base / "3", tmp_path, 1)
    saved_models.save(tmp_path, 2, gain=2.0)
    url, path = "/v1/models/tags", "/v1/models/tags/versions/1:predict"
    with running({"tags": tmp_path}, poll_seconds=0.05) as clients:
        assert clients.ask("POST", path, CLIP)[0] == 404
        twice = clients.post(CLIP)[1]["outputs"]["fine"]
        (tmp_path / "2").rename(tmp_path / ".2")
        wait_until(lambda: clients.ask("POST", path, CLIP)[0] == 200)
        once = clients.post(CLIP)[1]["outputs"]["fine"]
        np.testing.assert_allclose(twice, 2 * np.array(once), rtol=1e-6)
        states = clients.ask("GET", url)[1]["model_version_status"]
        assert [(state["version"], state["state"]) for state in states] == [
            ("2", "END"), ("1", "AVAILABLE")
        ]  # fmt: skip
        (tmp_path / ".2").rename(tmp_path / "2")
        wait_until(lambda: clients.post(CLIP)[1]["outputs"]["fine"] == twice)


def test_without_any_version_the_one_in_use_goes_on(tmp_path, base):
    saved_models.copy(base / "3", tmp_path, 1)
    models = Models({"tags": tmp_path})
    models.load()
    (tmp_path / "1").rename(tmp_path / ".1")
    models.poll()
    assert models.find("tags").version == 1
    assert models.states("tags")[1].state == "AVAILABLE"


def test_the_way_back_leads_past_versions_that_do_not_load(tmp_path, base):
    for version in (1, 2):
        saved_models.copy(base / "3", tmp_path, version)
    models = Models({"tags": tmp_path})
    models.load()
    break_version(tmp_path, 3)
    models.poll()
    assert models.find("tags").version == 2
    (tmp_path / "2").rename(tmp_path / ".2")
    models.poll()
    assert models.find("tags").version == 1


def test_a_replaced_version_is_let_go(tmp_path, base):
    saved_models.copy(base / "3", tmp_path, 1)
    models = Models({"tags": tmp_path})
    models.load()
    held = models.find("tags")
    watched = weakref.ref(held)
    saved_models.copy(base / "3", tmp_path, 2)
    models.poll()
    assert watched().version == 1
    del held
    gc.collect()
    assert watched() is None


def test_a_version_that_does_not_load_is_said_once_and_tried_again_when_mended(
    tmp_path, base, capsys
):
    saved_models.copy(base / "3", tmp_path, 1)
    models = Models({"tags": tmp_path})
    models.load()
    break_version(tmp_path, 2)
    capsys.readouterr()
    for _ in range(3):
        models.poll()
    said = capsys.readouterr().out
    assert said.count("failed") == 1
    assert "cannot be loaded as a SavedModel" in said
    assert "Version 1 goes on" in said
    assert models.find("tags").version == 1
    assert models.is_ready()
    states = models.states("tags")
    assert states[2].state == "END"
    assert "cannot be loaded" in states[2].problem
    assert states[1].state == "AVAILABLE"
    (tmp_path / "2" / "saved_model.pb").unlink()
    (tmp_path / "2").rmdir()
    saved_models.copy(base / "3", tmp_path, 2)
    models.poll()
    assert models.find("tags").version == 2


def with_checksums(folder: Path) -> None:
    content = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "sha256.txt").write_bytes(members.checksums(content))


def test_a_version_that_was_altered_is_refused(tmp_path, base, capsys):
    (tmp_path / "later").mkdir()
    for version in (1, 2):
        with_checksums(saved_models.copy(base / "3", tmp_path / "later", version))
    (tmp_path / "later" / "1").rename(tmp_path / "1")
    models = Models({"tags": tmp_path})
    models.load()
    assert "checksums" not in capsys.readouterr().out
    altered = tmp_path / "later" / "2"
    file = altered / "fingerprint.pb"
    file.write_bytes(file.read_bytes() + b"x")
    altered.rename(tmp_path / "2")
    models.poll()
    models.poll()
    assert models.find("tags").version == 1
    said = capsys.readouterr().out
    assert said.count("fingerprint.pb is not as it was written") == 1
    assert "fingerprint.pb" in models.states("tags")[2].problem


def test_a_version_of_others_has_no_checksums_which_is_said_once(
    tmp_path, base, capsys
):
    saved_models.copy(base / "3", tmp_path, 1)
    models = Models({"tags": tmp_path})
    models.load()
    models.poll()
    said = capsys.readouterr().out
    assert said.count("tags version 1 has no checksums (assets.extra/sha256.txt)") == 1
    assert models.find("tags").version == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path / "none", "There is no folder .*none"),
        (lambda path: path, "holds no version"),
        (lambda path: break_version(path, 1).parent, "cannot be loaded as a Saved"),
        (lambda path: break_version(path, 1), "is a SavedModel itself"),
    ],
    ids=["missing", "empty", "broken", "version"],
)
def test_a_start_without_a_model_is_refused(tmp_path, make, message):
    with pytest.raises(InputError, match=message):
        Models({"tags": make(tmp_path)}).load()


def test_names_that_no_address_can_hold_are_refused(tmp_path):
    for name in ("a/b", "a:b", "", "a b"):
        with pytest.raises(InputError, match="served under a name without"):
            Models({name: tmp_path})
    with pytest.raises(InputError, match="no model to serve"):
        Models({})
