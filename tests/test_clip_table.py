"""Clips as a table: what is written is read back, and heard at the right place."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tfhier import clip_table
from tfhier.clip_table import Listed
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

AWKWARD = ("plain", "with | bar", "who?", 'said "x"', "a, b", "größe")


def bundle(labels=AWKWARD, *, num_clips=20, **columns) -> SimpleNamespace:
    """What a table is written of: random labels, about half of them observed."""
    rng = np.random.default_rng(3)
    observed = rng.random((num_clips, len(labels))) < 0.5
    targets = (rng.random(observed.shape) < 0.5) & observed
    clips = {
        "keys": np.array([f"clip#{number}" for number in range(num_clips)]),
        "paths": tuple(Path(f"a, b/{number}.wav") for number in range(num_clips)),
        "spans": None,
        "groups": None,
        "conditions": None,
        **columns,
    }
    taxonomy = Taxonomy.flat(labels, level="call")
    return SimpleNamespace(
        clips=SimpleNamespace(**clips),
        taxonomy=taxonomy,
        labellings={"call": (targets.astype(np.float32), observed)},
    )


def written(path: Path, of: SimpleNamespace, rows: np.ndarray) -> Listed:
    num_labels = len(of.taxonomy.labels_of("call"))
    scores = np.full((len(rows), num_labels), 0.5)
    clip_table.write(path, of, rows, scores, scores > 0.4)
    return clip_table.read(path)


# -- Written and read back -------------------------------------------------------------


def test_labels_and_what_was_not_observed_are_read_back(tmp_path):
    of, rows = bundle(), np.array([3, 0, 17, 4])
    found = written(tmp_path / "t.csv", of, rows)
    targets, observed = found.labelling(of.taxonomy)
    expected, known = of.labellings["call"]
    assert len(found) == 4
    np.testing.assert_array_equal(targets, expected[rows])
    np.testing.assert_array_equal(observed, known[rows])
    assert targets.any()
    assert (~observed).any()
    # By name: a taxonomy in another order has other columns.
    other = Taxonomy.flat(AWKWARD[::-1], level="call")
    np.testing.assert_array_equal(found.labelling(other)[0], targets[:, ::-1])


def test_files_and_times_are_read_back(tmp_path):
    starts = np.linspace(0, 9.5, 20).round(3)
    spans = np.stack([starts, starts + 1.25], axis=1)
    of = bundle(spans=spans)
    found = written(tmp_path / "t.csv", of, np.array([19, 1]))
    assert found.files == (of.clips.paths[19], of.clips.paths[1])
    assert found.spans == ((9.5, 10.75), (0.5, 1.75))
    whole = written(tmp_path / "t.csv", bundle(), np.array([19, 1]))
    assert whole.files == found.files
    assert whole.spans == (None, None)


def test_a_table_of_plain_labels_is_easy_to_read(tmp_path):
    of = bundle(("hoot", "bark", "a, b"), num_clips=1, groups=np.array(["dawn"]))
    of.labellings["call"] = (np.float32([[1, 0, 1]]), np.array([[True, False, True]]))
    written(tmp_path / "t.csv", of, np.array([0]))
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == (
        'clip#0,"a, b/0.wav",,,dawn,,"hoot|bark?|a, b","hoot|bark|a, b",'
        "0.5000,0.5000,0.5000"
    )


def test_clips_without_sound_have_a_table_that_cannot_be_heard(tmp_path):
    of = bundle(paths=None)
    with pytest.raises(InputError, match=r"t\.csv lists no audio files of clips"):
        written(tmp_path / "t.csv", of, np.arange(3))
    assert (tmp_path / "t.csv").read_text().splitlines()[1].startswith("clip#0,,,,,,")


def test_a_clip_is_its_stretch_of_its_file(tmp_path):
    sound = np.linspace(-0.5, 0.5, 8_000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", sound, 8_000, subtype="FLOAT")
    soundfile.write(tmp_path / "quiet.wav", np.zeros(100), 8_000)
    files = (tmp_path / "a.wav", tmp_path / "a.wav", tmp_path / "quiet.wav")
    listed = Listed(files, (None, (0.25, 0.75), None), ("", "", ""))
    np.testing.assert_array_equal(listed.waveform(0, sample_rate=8_000), sound)
    cut = listed.waveform(1, sample_rate=8_000)
    np.testing.assert_array_equal(cut, sound[2_000:6_000])
    assert len(listed.waveform(1, sample_rate=4_000)) == 2_000
    assert not listed.waveform(2, sample_rate=8_000).any()


# -- Some of them ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 99, 1_000])
def test_some_clips_are_spread_over_the_table(size, count):
    numbers = range(size)
    listed = Listed(
        tuple(Path(str(n)) for n in numbers),
        tuple((n, n + 1.0) for n in numbers),
        tuple(map(str, numbers)),
    )
    some = listed.some(count)
    places = [int(text) for text in some.truth]
    assert len(some) == min(count, size)
    assert places[0] == 0
    gaps = np.diff(places)
    assert not gaps.size or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)
    assert count == 1 or places[-1] == size - 1
    # The columns stay together.
    assert [str(path) for path in some.files] == list(some.truth)
    assert [start for start, _ in some.spans] == places


# -- Sounds alone ----------------------------------------------------------------------


def test_sounds_are_at_most_a_hundred_drawn_by_the_seed(tmp_path):
    of, path = bundle(num_clips=400), tmp_path / "s.csv"
    rows = np.arange(50, 350)
    clip_table.write_sounds(path, of, rows, seed=1)
    found = clip_table.read(path)
    numbers = [int(file.stem) for file in found.files]
    assert len(set(numbers)) == 100
    assert set(numbers) <= set(rows)
    assert numbers == sorted(numbers)
    assert max(numbers) - min(numbers) > 200
    assert set(found.truth) == {""}
    first = path.read_bytes()
    clip_table.write_sounds(path, of, rows, seed=1)
    assert path.read_bytes() == first
    clip_table.write_sounds(path, of, rows, seed=2)
    assert path.read_bytes() != first
    clip_table.write_sounds(path, of, np.array([7, 3]), seed=1)
    assert [file.stem for file in clip_table.read(path).files] == ["3", "7"]


# -- Tables that cannot be used --------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "key,file,start,end\n",
        "key,path,start,end\na,a.wav,,\n",
        "key,file,start,end\na,a.wav,,\nb,,,\n",
        "key,file,start,end\na,a.wav,,\nb\n",
    ],
)
def test_tables_without_files_are_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    expected = "t.csv lists no audio files of clips (columns key, file, start, end)."
    with pytest.raises(InputError, match=re.escape(expected)):
        clip_table.read(tmp_path / "t.csv")


@pytest.mark.parametrize("times", ["1,", '"1,5",2', "2,1", "1,1", "-1,1", "0,inf"])
def test_times_that_are_no_seconds_are_refused(tmp_path, times):
    (tmp_path / "t.csv").write_text(f"key,file,start,end\na,a.wav,,\nb,b.wav,{times}\n")
    with pytest.raises(InputError, match=r"t\.csv: b has no start and end in seconds"):
        clip_table.read(tmp_path / "t.csv")


@pytest.mark.parametrize("truth", ["dog", "cat|dog", "dog?", "cat??"])
def test_labels_that_the_model_does_not_know_are_named(truth):
    listed = Listed((Path("a.wav"),), (None,), (truth,))
    name = "cat?" if truth == "cat??" else "dog"
    expected = f"has the label '{name}', which the model does not know. Evaluate the"
    with pytest.raises(InputError, match=re.escape(expected)):
        listed.labelling(Taxonomy.flat(["cat", "owl"]))


def test_nothing_said_of_a_label_means_that_it_is_not_heard():
    listed = Listed((Path("a"), Path("b")), (None, None), ("", "owl?|cat"))
    targets, observed = listed.labelling(Taxonomy.flat(["cat", "owl", "fox"]))
    assert targets.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert observed.tolist() == [[True, True, True], [True, False, True]]
