"""Files appear whole or not at all, and one process at a time has a folder."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tfhier import files
from tfhier.errors import InputError


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_when_the_block_succeeds(tmp_path):
    path = tmp_path / "new" / "result.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert names_in(path.parent) == ["result.txt"]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_a_failed_block_leaves_everything_as_it_was(tmp_path, error):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(error), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["result.txt"]


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("epoch3.weights.h5", ".weights.h5"),
        ("best.keras", ".keras"),
        ("scores.npz", ".npz"),
        ("LICENSE", ".part"),
    ],
)
def test_temporary_names_keep_the_ending(tmp_path, name, ending):
    with files.replacing(tmp_path / name) as temporary:
        assert temporary.name.endswith(ending)
        assert temporary.name.startswith(".")


def test_files_have_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    files.write_text(tmp_path / "ours", "")
    modes = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("plain", "ours")]
    assert modes[0] == modes[1]
    umask = os.umask(0o027)
    try:
        files.write_text(tmp_path / "closed", "")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "closed").stat().st_mode) == 0o640


def test_text_is_written_as_it_is(tmp_path):
    files.write_text(tmp_path / "a.txt", "ä\r\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == "ä\r\nb\n".encode()


def test_json_comes_back_and_nan_is_null(tmp_path):
    content = {
        "ä": (1, 2.5, float("nan")),
        "deep": [{"x": np.float64("nan")}, range(2), None, True],
    }
    files.write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "ä" in text
    assert text.endswith("}\n")
    assert files.read_json(tmp_path / "a.json") == {
        "ä": [1, 2.5, None],
        "deep": [{"x": None}, [0, 1], None, True],
    }


def test_what_json_cannot_hold_replaces_nothing(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"a": {1, 2}})
    assert json.loads(path.read_text()) == {"a": 1}
    assert names_in(tmp_path) == ["a.json"]


def test_a_missing_json_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"There is no file .*gone\.json"):
        files.read_json(tmp_path / "gone.json")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b""])
def test_a_broken_json_file_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        files.read_json(tmp_path / "a.json")


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHIER_CACHE", str(tmp_path / "ours"))
    assert files.cache_folder("a", "b") == tmp_path / "ours" / "a" / "b"
    assert (tmp_path / "ours" / "a" / "b").is_dir()
    monkeypatch.delenv("TFHIER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert files.cache_folder() == tmp_path / "xdg" / "tfhier"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.cache_folder("c") == tmp_path / "home" / ".cache" / "tfhier" / "c"


def test_a_lock_is_held_by_one_and_then_free(tmp_path):
    lock = tmp_path / "new" / ".lock"
    with (
        files.locked(lock, task="training a tagger"),
        pytest.raises(InputError, match=r"Another process is training .*new is locked"),
        files.locked(lock, task="training a tagger"),
    ):
        pass
    with files.locked(lock, task="anything"):
        pass


def test_a_lock_ends_with_a_kill(tmp_path, capsys):
    lock = tmp_path / ".lock"
    code = f"""
import time
from tfhier import files
with files.locked({str(lock)!r}, task="x"):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        cwd=Path(files.__file__).parents[1],
    )
    with holder, ThreadPoolExecutor(1) as pool:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(InputError, match="Another process is training"),
            files.locked(lock, task="training"),
        ):
            pass

        def wait() -> None:
            with files.locked(lock, task="training", wait=True):
                pass

        second = pool.submit(wait)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.2)
        holder.kill()
        second.result(timeout=10)
    assert "waiting  for another process, which is training" in capsys.readouterr().out
    assert lock.exists()  # or two could lock two files of one name


def test_a_lock_ends_with_an_error(tmp_path):
    with pytest.raises(RuntimeError), files.locked(tmp_path / ".lock", task="x"):
        raise RuntimeError
    with files.locked(tmp_path / ".lock", task="x"):
        pass


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path):
    with files.new_folder(tmp_path / "new", readme="what") as content:
        (content / "a").write_text("1", encoding="utf-8")
        assert not (tmp_path / "new").exists()
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["README.txt", "a"]
    with pytest.raises(KeyError), files.new_folder(tmp_path / "b", readme="") as made:
        (made / "a").write_text("1", encoding="utf-8")
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    with (
        pytest.raises(InputError, match="exists already"),
        files.new_folder(tmp_path / "new", readme="what"),
    ):
        pass


def test_leftovers_of_a_kill_are_removed_and_those_of_others_are_not(tmp_path):
    old, young = tmp_path / ".new-a.part", tmp_path / ".new-b.part"
    for folder in (old, young):
        (folder / "new" / "audio").mkdir(parents=True)
    long_ago = time.time() - 2 * files.STALE_SECONDS
    os.utime(old, (long_ago, long_ago))
    with files.new_folder(tmp_path / "new", readme=""):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new-b.part", "new"]


def test_an_equal_folder_finished_by_another_process_is_accepted(tmp_path, monkeypatch):
    with files.new_folder(tmp_path / "theirs", readme="seed 4"):
        pass
    replace = os.replace

    def finish_first(source, target):
        if target.parent != tmp_path:
            return replace(source, target)
        shutil.copytree(tmp_path / "theirs", target)
        raise OSError("Directory not empty")

    monkeypatch.setattr(os, "replace", finish_first)
    with files.new_folder(tmp_path / "same", readme="seed 4"):
        pass
    with (
        pytest.raises(OSError, match="not empty"),
        files.new_folder(tmp_path / "other", readme="seed 5"),
    ):
        pass
