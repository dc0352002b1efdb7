"""What docs/data.md says of one's own recordings: its Python scores a long file."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from tfhier import audio
from tfhier.data import folder as own
from tfhier.data.folder import raven
from tfhier.data.folder.selections import read_table

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
SECTION = re.search(r"## Your own recordings\n.*?(?=\n## )", TEXT, re.DOTALL).group()
CODE = "\n".join(re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL))
RATE, SECONDS = 16_000, 0.5


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A run's folder with a tagger of three labels that learned nothing."""
    from tfhier import catalogue, tagger
    from tfhier.taxonomy import Taxonomy

    small = catalogue.find(ROOT / "experiments")["own_cnn10"].profile("small")
    taxonomy = Taxonomy.flat(("ape", "background", "owl"))
    run = tmp_path_factory.mktemp("run")
    built = tagger.build(small.but(width=0.05), taxonomy)
    tagger.end_to_end(*built).save(run / "best.keras")
    (run / "experiment.json").write_text(json.dumps({"clip_seconds": SECONDS}))
    return run


@pytest.fixture
def score(tmp_path, model, monkeypatch):
    """A function that runs the code beside a recording and returns its table's path."""
    home = tmp_path / "saved_models" / "own_cnn10@calls"
    home.mkdir(parents=True)
    (home / "seed0").symlink_to(model)
    (tmp_path / "snippet.py").write_text(CODE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run(bounds, seconds):
        (model / "thresholds.json").write_text(json.dumps({"label": bounds}))
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * 48_000))
        audio.write(tmp_path / "long.wav", noise, sample_rate=48_000)
        runpy.run_path(str(tmp_path / "snippet.py"))
        return tmp_path / "long.Table.1.selections.txt"

    return run


def test_its_python_writes_a_selection_table_of_a_long_file(tmp_path, model, score):
    path = score({"ape": 0.0, "background": 0.0, "owl": 1.1}, seconds=1.6)
    table = read_table(path, "\t")
    assert ",".join(table.header) == (
        "Selection,View,Channel,Begin Time (s),End Time (s),Low Freq (Hz),"
        "High Freq (Hz),Annotation,Score"
    )
    rows, _ = raven.read([path], folder=tmp_path)
    # A window every half of 0.5 s, and one that ends where the recording ends.
    starts = np.array([0, 0.25, 0.5, 0.75, 1, 1.1])
    assert [row.labels for row in rows] == [("ape",)] * 6
    np.testing.assert_allclose([row.span[0] for row in rows], starts)
    np.testing.assert_allclose([row.span[1] for row in rows], starts + SECONDS)
    assert {row.file for row in rows} == {tmp_path / "long.wav"}
    # The scores are the tagger's own of these windows.
    import keras

    waveform, _ = audio.read(tmp_path / "long.wav", sample_rate=RATE)
    cut = np.stack([waveform[round(at * RATE) :][:8000] for at in starts])
    expected = keras.models.load_model(model / "best.keras").predict(cut, verbose=0)
    written = [float(cells[-1]) for _, cells in table.lines]
    np.testing.assert_allclose(written, expected["label"][:, 0], atol=6e-4)


def test_a_short_file_is_one_window_and_nothing_found_is_an_empty_table(score):
    path = score({"ape": 0.0, "background": 1.1, "owl": 1.1}, seconds=0.3)
    assert len(read_table(path, "\t").lines) == 1
    path = score(dict.fromkeys(("ape", "background", "owl"), 1.1), seconds=1.0)
    assert raven.is_table(path)
    assert read_table(path, "\t").lines == []


def test_its_table_is_read_as_it_says(tmp_path):
    lines = re.search(r"\n\n((?:      .*\n)+)", SECTION).group(1)
    for number, name in enumerate(("rec1", "rec2", "rec3")):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 20 * 1000)
        (tmp_path / "a").mkdir(exist_ok=True)
        audio.write(tmp_path / "a" / f"{name}.wav", noise, sample_rate=1000)
    table = re.sub(r"(?m)^ +", "", lines) + "a/rec3.wav,chimpanzee,4,5,dusk\n"
    (tmp_path / "calls.csv").write_text(table)
    clips = own.load(tmp_path / "calls.csv")
    assert clips.labels == ("chimpanzee", "mandrill", "rain")
    assert set(clips.groups.tolist()) == {"dawn", "dusk"}
    assert clips.spans.tolist()[:2] == [[12.5, 14.1], [0, 20]]
