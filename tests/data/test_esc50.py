"""ESC-50 and ESC-10 from tiny copies of the published layout, and from real folds."""

import contextlib
import csv
import http.server
import io
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tfhier.data import download, esc10, esc50
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

DATA = Path(
    os.environ.get("TFHIER_DATA") or Path(__file__).parents[2] / "../shared/data"
)
COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file", "take")


def row_of(fold, target, take="A", suffix=".wav"):
    """A row as the published table has it; the source is the same for all takes."""
    source = str(1000 * fold + target)
    return {
        "filename": f"{fold}-{source}-{take}-{target}{suffix}",
        "fold": str(fold),
        "target": str(target),
        "category": esc50.LABELS[target],
        "esc10": str(esc50.LABELS[target] in esc50.ESC10_LABELS),
        "src_file": source,
        "take": take,
    }


def write_layout(folder, rows, *, suffix=".wav", silent=()):
    """Write the table and, but for `silent` rows, a short sound a row."""
    (folder / "meta").mkdir(parents=True)
    (folder / "audio").mkdir()
    with open(folder / "meta" / "esc50.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    sound = io.BytesIO()
    soundfile.write(
        sound, 0.1 * np.ones(160), 16000, format="OGG" if suffix == ".ogg" else "WAV"
    )
    for at, row in enumerate(rows):
        if at not in silent:
            file = (folder / "audio" / row["filename"]).with_suffix(suffix)
            file.write_bytes(sound.getvalue())
    return folder


def all_rows(takes="ABCDEFGH"):
    """2,000 rows: eight takes of 50 classes in five folds."""
    return [
        row_of(fold, target, take)
        for fold in range(1, 6)
        for target in range(50)
        for take in takes
    ]


SOME = [row_of(fold, target) for fold in (1, 2, 3, 4, 5) for target in (0, 1, 7, 41)]


# -- Loading ---------------------------------------------------------------------------


def test_the_whole_set_is_the_published_one(tmp_path):
    folder = write_layout(tmp_path / "esc50", all_rows())
    clips, subset = esc50.load(folder), esc10.load(folder)
    assert (clips.name, clips.kind, len(clips)) == ("ESC-50", "published", 2000)
    assert (subset.name, subset.kind, len(subset)) == ("ESC-10", "published", 400)
    assert clips.labels == esc50.LABELS
    assert subset.labels == esc10.LABELS
    assert clips.notes == subset.notes == ()
    assert np.bincount(clips.folds).tolist() == [0, 400, 400, 400, 400, 400]
    assert np.bincount(subset.folds).tolist() == [0, 80, 80, 80, 80, 80]
    assert subset.targets.sum(axis=0).tolist() == [40] * 10
    assert esc50.validate(folder) == []


def test_neither_a_missing_clip_nor_a_missing_fold_is_the_published_set(tmp_path):
    rows = all_rows()
    without_one = write_layout(tmp_path / "one", rows[:-1])
    moved = [row | {"fold": "4"} if row["fold"] == "5" else row for row in rows]
    without_fold = write_layout(tmp_path / "fold", moved)
    for folder in (without_one, without_fold):
        clips = esc50.load(folder)
        assert (clips.name, clips.kind) == ("part of ESC-50", "other")
    assert esc10.load(without_one).kind == "published"


def test_a_clip_has_its_class_its_fold_and_its_source(tmp_path):
    clips = esc50.load(write_layout(tmp_path / "esc50", SOME))
    assert clips.keys[5] == "2-2001-A-1"
    assert clips.paths[5] == tmp_path / "esc50" / "audio" / "2-2001-A-1.wav"
    assert clips.labels[clips.targets[5].argmax()] == "rooster"
    assert (clips.targets.sum(axis=1) == 1).all()
    assert clips.observed.all()
    assert (clips.folds[5], clips.groups[5]) == (2, "2001")
    assert set(clips.parts.tolist()) == {""}
    assert (clips.spans, clips.max_seconds) == (None, 5.0)
    # Neither the number of clips nor that of a class is the published one.
    assert (clips.name, clips.kind) == ("part of ESC-50", "other")


def test_esc10_takes_its_classes_only(tmp_path):
    clips = esc10.load(write_layout(tmp_path / "esc50", SOME))
    heard = [clips.labels[at] for at in clips.targets.argmax(axis=1)]
    assert heard == ["dog", "rooster", "chainsaw"] * 5
    assert (clips.name, clips.kind) == ("part of ESC-10", "other")
    named = esc10.load(tmp_path, kind="embedded", name="ours")
    assert (named.name, named.kind) == ("ours", "embedded")


def test_the_folder_above_will_do_and_ogg_stands_for_wav(tmp_path):
    write_layout(tmp_path / "ESC-50-master", SOME, suffix=".ogg")
    clips = esc50.load(tmp_path)
    assert {path.suffix for path in clips.paths} == {".ogg"}
    assert len(clips) == 20


def test_a_fold_without_any_audio_is_left_out_with_a_note(tmp_path):
    silent = [at for at, row in enumerate(SOME) if row["fold"] in "35"]
    clips = esc50.load(write_layout(tmp_path / "esc50", SOME, silent=silent))
    assert sorted(set(clips.folds.tolist())) == [1, 2, 4]
    assert len(clips) == 12
    assert clips.notes == ("Folds 1, 2, 4 only: the published set has 5.",)


def test_a_source_in_two_folds_is_noted(tmp_path):
    rows = [row | {"src_file": "77"} if row["target"] == "0" else row for row in SOME]
    clips = esc50.load(write_layout(tmp_path / "esc50", rows))
    assert "1 source recordings have clips in more than one" in clips.notes[0]
    assert "77" in clips.notes[0]


def test_a_missing_file_in_a_fold_with_others_is_an_error(tmp_path):
    folder = write_layout(tmp_path / "esc50", SOME, silent=[2, 4, 5, 6, 7])
    with pytest.raises(InputError, match=r"1 of 16 clips .*audio: 1-1007-A-7\.wav"):
        esc50.load(folder)
    # The missing clip is none of the subset.
    assert len(esc10.load(folder)) == 12


def test_no_audio_at_all_is_an_error(tmp_path):
    folder = write_layout(tmp_path / "esc50", SOME, silent=range(20))
    with pytest.raises(InputError, match="20 of 20 clips have no audio file"):
        esc50.load(folder)
    (folder / "audio").rmdir()
    with pytest.raises(InputError, match="no folder 'audio'"):
        esc50.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category": "cat"}, r"line 3: target 1 is 'rooster' in ESC-50, not 'cat'"),
        ({"target": "50"}, r"line 3: target 50 is 'None'"),
        ({"fold": "6"}, r"line 3: expected a fold from 1 to 5.*fold=6"),
        ({"fold": "one"}, r"line 3: expected a fold"),
        ({"esc10": "False"}, r"line 3: .* esc10 true for its ten classes only"),
        ({"filename": SOME[0]["filename"]}, r"lists 1-1000-A-0\.wav more than once"),
    ],
)
def test_a_table_that_does_not_fit_is_an_error(tmp_path, change, message):
    rows = [SOME[0], SOME[1] | change, *SOME[2:]]
    folder = write_layout(tmp_path / "esc50", rows)
    with pytest.raises(InputError, match=message):
        esc50.load(folder)


def test_a_table_of_other_columns_is_an_error(tmp_path):
    folder = write_layout(tmp_path / "esc50", SOME)
    table = folder / "meta" / "esc50.csv"
    text = table.read_text()
    for broken, message in (
        (text.replace("src_file", "source"), "It lacks: src_file"),
        ("", "It lacks: filename, fold"),
    ):
        table.write_text(broken)
        with pytest.raises(InputError, match=message):
            esc50.load(folder)
    table.write_bytes(text.encode("utf-16"))
    with pytest.raises(InputError, match="is not UTF-8 text"):
        esc50.load(folder)
    table.unlink()
    with pytest.raises(InputError, match=r"no meta/esc50\.csv.*tfhier prepare esc50"):
        esc50.load(folder)


def test_classes_agree_with_the_taxonomies_of_the_package():
    full, subset = Taxonomy.read("esc50"), Taxonomy.read("esc10")
    assert full.labels[0] == esc50.LABELS
    assert subset.labels[0] == esc10.LABELS
    # The subset's category of every class is that of the full set.
    assert subset.labels[1] == full.labels[1]
    places = [full.labels[0].index(label) for label in subset.labels[0]]
    assert np.array_equal(
        np.asarray(subset.parents[0]), np.asarray(full.parents[0])[places]
    )


# -- Validation and download -----------------------------------------------------------


def test_validation_names_what_differs(tmp_path):
    folder = write_layout(tmp_path / "esc50", SOME)
    (folder / "audio" / SOME[3]["filename"]).write_bytes(b"no sound")
    few, broken = esc50.validate(folder)
    assert few.startswith("20 clips, 0 to 5 a class, in folds [1, 2, 3, 4, 5]")
    assert SOME[3]["filename"] in broken and "cannot be opened" in broken
    assert "no meta/esc50.csv" in esc50.validate(tmp_path / "none")[0]


@contextlib.contextmanager
def serving(content):
    """Serve some bytes at any address; yield the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/master.zip"
        server.shutdown()
        thread.join()


def zipped(folder):
    """A folder as the host archives it: one top folder."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, "ESC-50-master" / file.relative_to(folder))
    return content.getvalue()


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setattr(download, "PAUSES_SECONDS", ())
    monkeypatch.delenv("TFHIER_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_prepare_downloads_unpacks_and_checks(tmp_path, monkeypatch, online, capsys):
    content = zipped(write_layout(tmp_path / "source", all_rows()))
    with serving(content) as url:
        monkeypatch.setitem(esc50.REMOTE, "url", url)
        home = esc50.prepare(tmp_path / "data")
    assert home == tmp_path / "data" / "esc50"
    assert esc50.load(home).kind == "published"
    said = capsys.readouterr().out
    assert "CC BY-NC 3.0" in said and url in said and "is complete in" in said
    # The archive is kept, and a second call needs no server.
    assert (tmp_path / "data" / "ESC-50-master.zip").read_bytes() == content
    assert esc10.prepare(home) == home
    assert "no longer needed" not in capsys.readouterr().out


def test_prepare_refuses_what_is_not_the_published_set(tmp_path, monkeypatch, online):
    content = zipped(write_layout(tmp_path / "source", SOME))
    with serving(content) as url:
        monkeypatch.setitem(esc50.REMOTE, "url", url)
        with pytest.raises(InputError, match=r"1 problem\(s\): 20 clips.*Move the"):
            esc50.prepare(tmp_path / "data")


def test_the_default_place_is_that_of_all_data(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHIER_DATA", str(tmp_path))
    assert esc50.default_folder() == esc10.default_folder() == tmp_path / "esc50"


# -- Real material ---------------------------------------------------------------------


@pytest.fixture
def real():
    path = DATA / "esc50"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def test_the_real_folds_load(real):
    clips = esc50.load(real)
    assert (clips.kind, len(clips)) == ("other", 1600)
    assert np.bincount(clips.folds).tolist() == [0, 400, 400, 400, 400]
    assert clips.targets.sum(axis=0).tolist() == [32] * 50
    assert clips.notes[0] == "Folds 1, 2, 3, 4 only: the published set has 5."
    # In the authors' own table two recordings are in two folds each.
    assert "131943, 134049" in clips.notes[1]


def test_the_real_subset_loads(real):
    clips = esc10.load(real)
    assert (clips.kind, len(clips)) == ("other", 320)
    assert np.bincount(clips.folds).tolist() == [0, 80, 80, 80, 80]
    assert clips.targets.sum(axis=0).tolist() == [32] * 10
    assert len(clips.notes) == 1
