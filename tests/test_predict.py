"""Whole clips through a tagger: arrays, table, lines, and what stops all of it."""

import csv
import os
import re

import numpy as np
import pytest
import soundfile

import tfhier
from tfhier import predict, saved, tagger
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.predict import Predictions
from tfhier.taxonomy import Taxonomy

RATE = 8_000
TREE = Taxonomy.parse('fine,coarse\n"bow, long",strings\nb,strings\nc,"""other"""\n')
SMALL = Experiment(
    frontend="panns_8k", backbone="cnn6", width=1 / 32, head="gmp", spec_augment=False
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model = tagger.end_to_end(*tagger.build(SMALL, TREE))
    bias = tagger.body_of(model).get_layer("fine_classifier").bias
    bias.assign([-0.5, 0.0, 0.5])
    saved.write(path, model, Contract(taxonomy=TREE, sample_rate=RATE))
    return tfhier.load(path)


@pytest.fixture
def clips(rng, tmp_path):
    """Three clips of other lengths: 26, 51 and 36 frames."""
    paths = [tmp_path / name for name in ("b, 1.wav", "a.wav", 'c "x".wav')]
    for path, samples in zip(paths, (2_000, 4_000, 2_800), strict=True):
        soundfile.write(path, rng.uniform(-0.5, 0.5, samples), RATE)
    return paths


def made_up(loaded, *rows, files=("x.wav",)) -> Predictions:
    """Predictions with the given scores of the finest level, a clip each."""
    answers = tuple(
        {"fine": np.array(row, np.float32), "coarse": np.array([0.25, 0.75])}
        for row in rows
    )
    return Predictions(loaded, tuple(files), answers)


def table(path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


# -- Arrays ----------------------------------------------------------------------------


def test_arrays_have_a_row_for_every_clip(loaded, clips, tmp_path):
    found = predict.predict(loaded, clips)
    found.write_npz(tmp_path / "out" / "answers.npz")
    with np.load(tmp_path / "out" / "answers.npz") as file:
        arrays = dict(file)
    assert {name: values.shape for name, values in arrays.items()} == {
        "files": (3,), "log_mel": (3, 51, 64), "num_frames": (3,),
        "embedding": (3, 16), "logits": (3, 3), "fine": (3, 3), "coarse": (3, 2),
        "labels_fine": (3,), "labels_coarse": (2,),
    }  # fmt: skip
    assert arrays["files"].tolist() == [str(path) for path in clips]
    assert arrays["num_frames"].tolist() == [26, 51, 36]
    assert arrays["labels_fine"].tolist() == ["bow, long", "b", "c"]
    assert arrays["labels_coarse"].tolist() == ["strings", '"other"']
    for row, path in enumerate(clips):
        answer = loaded.answer(path)
        for name in ("embedding", "logits", "fine", "coarse"):
            np.testing.assert_array_equal(arrays[name][row], answer[name])
            assert arrays[name].dtype == np.float32
        frames = len(answer["log_mel"])
        np.testing.assert_array_equal(
            arrays["log_mel"][row, :frames], answer["log_mel"]
        )
        assert np.isnan(arrays["log_mel"][row, frames:]).all()


def test_arrays_without_log_mels_hold_all_the_rest(loaded, clips, tmp_path):
    for name, kept in (("all", True), ("rest", False)):
        found = predict.predict(loaded, clips, with_log_mel=kept)
        found.write_npz(tmp_path / f"{name}.npz")
    everything, rest = (np.load(tmp_path / f"{name}.npz") for name in ("all", "rest"))
    assert set(everything) - set(rest) == {"log_mel", "num_frames"}
    for name in rest:
        np.testing.assert_array_equal(rest[name], everything[name])


def test_folders_stand_for_the_audio_files_in_them(clips, tmp_path):
    home = tmp_path / "recordings"
    names = ["b/2.WAV", "a/deep/1.flac", "a/notes.txt", ".wav"]
    names += ["b/._2.WAV", ".Trashes/501/3.wav"]  # as a card has them
    for name in names:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    found = predict.find_clips([clips[1], home, clips[0]])
    assert found == [clips[1], home / "a/deep/1.flac", home / "b/2.WAV", clips[0]]
    (home / "b/2.WAV").unlink()
    with pytest.raises(InputError, match=r"b: there is no audio file .* \.aac, "):
        predict.find_clips([home / "b"])


def test_arrays_need_no_pickle_and_take_any_file_name(loaded, clips, tmp_path):
    odd = tmp_path / os.fsdecode(b"odd \xff\xe4\n.wav")
    clips[0].rename(odd)
    found = predict.predict(loaded, [odd])
    found.write_npz(tmp_path / "answers.npz")
    with np.load(tmp_path / "answers.npz", allow_pickle=False) as file:
        assert file["files"].tolist() == [str(odd)]


# -- Table -----------------------------------------------------------------------------


def test_the_table_is_in_the_order_of_clips_levels_and_scores(loaded, clips, tmp_path):
    found = predict.predict(loaded, clips)
    found.write_csv(tmp_path / "labels.csv", count=2)
    header, *rows = table(tmp_path / "labels.csv")
    assert header == ["file", "level", "rank", "label", "probability"]
    expected = []
    for path in clips:
        for level, scores in loaded.tag(path).items():
            best = sorted(scores, key=scores.get, reverse=True)[:2]
            for rank, label in enumerate(best, start=1):
                row = [path, level, rank, label, f"{scores[label]:.6f}"]
                expected.append([str(cell) for cell in row])
    assert rows == expected
    assert len(rows) == 3 * 2 * 2


def test_known_scores_make_a_known_table(loaded, tmp_path):
    found = made_up(
        loaded, [0.125, 0.5, 0.25], [1e-7, 0.5, 0.5], files=("x, y.wav", "ä.wav")
    )
    found.write_csv(tmp_path / "labels.csv", count=5)
    assert (tmp_path / "labels.csv").read_bytes().decode().splitlines() == [
        "file,level,rank,label,probability",
        '"x, y.wav",fine,1,b,0.500000',
        '"x, y.wav",fine,2,c,0.250000',
        '"x, y.wav",fine,3,"bow, long",0.125000',
        '"x, y.wav",coarse,1,"""other""",0.750000',
        '"x, y.wav",coarse,2,strings,0.250000',
        "ä.wav,fine,1,b,0.500000",  # of equal scores the first label
        "ä.wav,fine,2,c,0.500000",
        'ä.wav,fine,3,"bow, long",0.000000',
        'ä.wav,coarse,1,"""other""",0.750000',
        "ä.wav,coarse,2,strings,0.250000",
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_the_likeliest_labels_are_so_many(loaded, count):
    found = made_up(loaded, [0.125, 0.5, 0.25]).top(0, "fine", count)
    assert found == [("b", 0.5), ("c", 0.25), ("bow, long", 0.125)][:count]


def test_names_that_are_no_utf8_are_written_with_escapes(loaded, tmp_path, capsys):
    found = made_up(loaded, [0.1, 0.2, 0.3], files=(os.fsdecode(b"\xff.wav"),))
    found.write_csv(tmp_path / "labels.csv", count=1)
    assert table(tmp_path / "labels.csv")[1][0] == "\\udcff.wav"
    predict.show(found, count=1)
    assert capsys.readouterr().out.splitlines()[0] == "\\udcff.wav"


def test_lines_for_people(loaded, capsys):
    predict.show(made_up(loaded, [0.125, 0.5, 0.25]), count=2)
    assert capsys.readouterr().out.splitlines() == [
        "x.wav",
        "fine     b 0.500  c 0.250",
        'coarse   "other" 0.750  strings 0.250',
    ]


# -- What stops it ---------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"RIFF", b"no sound"])
def test_one_bad_clip_stops_all_before_anything_is_shown(
    loaded, clips, tmp_path, capsys, content
):
    bad = tmp_path / "bad.wav"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.wav: "):
        predict.predict(loaded, [*clips, bad])
    assert capsys.readouterr().out == ""


def test_bad_clips_are_left_out_and_told_where_that_is_wished(
    loaded, clips, tmp_path, capsys
):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    found = predict.predict(loaded, [bad, *clips], skip_bad=True, with_log_mel=False)
    assert found.files == tuple(clips)
    whole = predict.predict(loaded, clips)
    for one, other in zip(found.answers, whole.answers, strict=True):
        assert set(one) == set(other) - {"log_mel"}
        np.testing.assert_array_equal(one["fine"], other["fine"])
    predict.show(found, count=1)
    assert re.search(r"left out +.*bad\.wav: ", capsys.readouterr().out)
    with pytest.raises(InputError, match=r"None of 1 clips can be used.*bad\.wav: "):
        predict.predict(loaded, [bad], skip_bad=True)


def test_log_mels_that_would_fill_the_memory_are_refused(loaded, clips, monkeypatch):
    one = loaded.answer(clips[1])["log_mel"].nbytes
    monkeypatch.setattr(predict, "MOST_BYTES", 3 * one - 1)
    with pytest.raises(InputError, match=r"log-mels of 3 clips, .*a\.wav.*--no-log"):
        predict.predict(loaded, clips)
    assert len(predict.predict(loaded, clips, with_log_mel=False).answers) == 3
    monkeypatch.setattr(predict, "MOST_BYTES", 3 * one)
    assert len(predict.predict(loaded, clips).answers) == 3


def test_outputs_are_tried_before_there_are_any(tmp_path):
    predict.check_output(tmp_path / "new" / "a.csv", ".csv")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        predict.check_output(tmp_path / "file" / "a.csv", ".csv")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.npy", ".npz"), ("npz", ".npz"), ("a.npz.gz", ".npz"), ("a.tsv", ".csv")],
)
def test_other_suffixes_are_refused(loaded, clips, tmp_path, name, suffix):
    with pytest.raises(InputError, match=rf"{name} is to be a \{suffix} file: let its"):
        predict.check_suffix(tmp_path / name, suffix)
    if suffix == ".npz":
        with pytest.raises(InputError, match="is to be a"):
            predict.predict(loaded, clips[:1]).write_npz(tmp_path / name)
        assert not (tmp_path / name).exists()


def test_levels_beginning_as_arrays_do_are_written(clips, tmp_path):
    taxonomy = Taxonomy.parse("labels2,logits2\na,x\nb,x\n")
    model = tagger.end_to_end(*tagger.build(SMALL, taxonomy))
    path = tmp_path / "model.keras"
    saved.write(path, model, Contract(taxonomy=taxonomy, sample_rate=RATE))
    predict.predict(tfhier.load(path), clips).write_npz(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        assert file["labels_labels2"].tolist() == ["a", "b"]
        assert file["logits2"].shape == (3, 1)


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_a_full_disk_leaves_the_earlier_file(
    loaded, clips, tmp_path, monkeypatch, kind
):
    path = tmp_path / f"out.{kind}"
    path.write_text("earlier")
    found = predict.predict(loaded, clips)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            if kind == "npz":
                found.write_npz(path)
            else:
                found.write_csv(path, count=1)
    assert caught.value.filename == str(path)
    assert path.read_text() == "earlier"
    assert {item.name for item in tmp_path.iterdir()} == {
        path.name, *(clip.name for clip in clips)
    }  # fmt: skip
