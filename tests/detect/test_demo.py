"""The demo: a synthetic recording that was not trained on, heard as any other."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tfhier
from tfhier import __main__ as command_line
from tfhier import audio, contract, event_metrics, event_tables
from tfhier.data import forest
from tfhier.data.forest import soundscapes
from tfhier.data.forest.soundscapes import Planted, Soundscape
from tfhier.detect import demo
from tfhier.detect.demo import report
from tfhier.detect.options import Options
from tfhier.events import Event, Heard

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> demo.Demo:
    """Four minutes, of a seed of its own."""
    folder = tmp_path_factory.mktemp("demo")
    return demo.run(folder, Options(), num_workers=2, seconds=240.0, seed=77)


def test_the_recording_and_its_truth_lie_side_by_side(found):
    waveform, rate = audio.read(found.heard.file)
    assert (rate, len(waveform)) == (16_000, 240 * 16_000)
    np.testing.assert_allclose(waveform, found.made.waveform, atol=2**-15)
    [truth] = event_tables.read(found.truth_table)
    assert truth.file == found.heard.file and truth.seconds == 240.0
    assert found.truth_table.parent == found.heard.file.parent
    assert len(truth.events) == len(found.made.calls) == 16
    for event, call in zip(truth.events, found.made.calls, strict=True):
        assert 0 <= event.start < event.end <= 240
        assert event.start == pytest.approx(call.start, abs=5e-4)
        assert event.labels == {"species": call.label, "group": "primate"}


def test_most_calls_are_found_and_most_events_are_right(found):
    """Also on a recording that nothing was chosen on; the README has real figures."""
    for level, least in (("species", 0.7), ("group", 0.7)):
        counts = event_metrics.count(
            found.heard.events, found.truth.events, level=level
        )
        assert counts.recall >= least and counts.precision >= least


def test_nothing_of_the_training_is_in_the_demo():
    mine = (demo.SEED, demo.PART, demo.SITE)
    trained = {
        (0, origin, first + number)
        for part, (origin, first) in soundscapes.PARTS.items()
        for number in range(100)
    }
    assert mine not in trained
    assert {origin for seed, origin, _ in trained if seed == demo.SEED} == set()
    place = forest.find_site(demo.SITE, seed=demo.SEED, part=demo.PART)
    animals = {
        forest.find_individual(
            label, which, seed=demo.SEED, part=demo.PART, site=demo.SITE
        )
        for label in forest.LABELS[1:]
        for which in range(forest.NUM_INDIVIDUALS)
    }
    for seed, part, site in sorted(trained):
        other = forest.find_site(site, seed=seed, part=part)
        assert other.levels != place.levels and other.cricket != place.cricket
        assert animals.isdisjoint(
            forest.find_individual(label, which, seed=seed, part=part, site=site)
            for label in forest.LABELS[1:]
            for which in range(forest.NUM_INDIVIDUALS)
        )


def test_parts_of_the_training_share_no_site():
    """Sites count from each part's first one, and validation begins beyond training."""
    origins = [origin for origin, _ in soundscapes.PARTS.values()]
    assert origins == ["train", "train", "devel"]
    assert soundscapes.PARTS["validation"][1] >= 100


def test_the_model_is_small_and_says_what_it_is():
    promised = contract.read(demo.MODEL)
    assert demo.MODEL.stat().st_size < 600_000
    assert "SYNTHETIC" in promised.source and "primates_demo" in promised.source
    assert promised.licence.startswith("Apache-2.0")
    assert promised.taxonomy.levels == ("species", "group")
    assert promised.taxonomy.labels_of("species") == forest.LABELS
    assert promised.thresholds and promised.clip_seconds == 2.0
    difference, tolerance = tfhier.load(demo.MODEL).selftest()
    assert difference <= tolerance


def test_the_command_end_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "SECONDS", 60.0)
    monkeypatch.setattr(demo, "SEED", 77)
    table = tmp_path / "events.csv"
    assert command_line.main(["detect", "--demo", "-o", str(table)]) == 0
    said = capsys.readouterr().out
    folder = tmp_path / "cache" / "SYNTHETIC-demo"
    for wanted in (
        "SYNTHETIC",
        str(folder / "forest.wav"),
        str(folder / "forest-truth.csv"),
        "1 min with 4 calls",
        " of 4 calls found, recall ",
        "an hour",
        "tfhier detect MODEL.tflite recordings/ -o events.csv",
    ):
        assert wanted in said
    assert "SYNTHETIC" in table.read_text().splitlines()[1]
    [heard] = event_tables.read(table)
    assert heard.file == folder / "forest.wav"
    # Again, with other rules and no table: begun anew, beside the recording.
    assert command_line.main(["detect", "--demo", "--threshold", "0.99"]) == 0
    assert (folder / "events.csv").is_file()


@pytest.mark.parametrize("more", [["m.tflite"], ["m.tflite", "a.wav"], ["--stream"]])
def test_the_demo_takes_no_other_model_or_recording(more, capsys):
    assert command_line.main(["detect", "--demo", *more]) == 2
    assert "brings its own model" in capsys.readouterr().err


def test_without_the_demo_a_model_is_asked_for(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["detect", "-o", "events.csv"])
    assert "MODEL" in capsys.readouterr().err


def test_the_report_tells_right_from_wrong(found):
    """Worked by hand: two calls, one found; a coo and a drop taken for calls."""

    def event(start, end, label, *, level="species"):
        labels = {"species": label, "group": "primate"}
        if level == "group":
            labels["species"] = ""
        return Event(
            start=start, end=end, level=level, label=label, score=0.5, labels=labels
        )

    made = Soundscape(
        waveform=np.zeros(0, np.float32),
        calls=(
            Planted(label="guenon", start=10, end=11, snr=15, meters=9, individual=0),
            Planted(label="mandrill", start=20, end=21, snr=-3, meters=9, individual=0),
        ),
        others=(Planted(label="coos", start=40, end=41, snr=5, meters=9),),
    )
    heard = Heard(
        file=Path("forest.wav"),
        seconds=1800.0,
        sample_rate=16_000,
        events=(
            event(9, 12, "guenon"),
            event(20, 22, "chimpanzee"),
            event(20.5, 22, "primate", level="group"),
            event(40, 42, "mandrill"),
            event(67.46, 68, "mandrill"),
        ),
    )
    truth = replace(heard, events=demo.truth_of(made, found.taxonomy))
    own = replace(found, made=made, heard=heard, truth=truth)
    table = [line.split(maxsplit=4) for line in report.events(own).splitlines()]
    assert [row[-1] for row in table[1:]] == [
        "right",
        "wrong: mandrill",
        "right, a mandrill",
        "false alarm: coos",
        "false alarm: weather",
    ]
    assert table[5][:2] == ["1:07.5", "0.5"]
    told = dict(report.lines(own))
    assert told["species"].startswith("1 of 2 calls found, recall 50.0 %")
    assert "1 of 4 events right, precision 25.0 %" in told["species"]
    assert told["group"].startswith("2 of 2 calls found, recall 100.0 %")
    assert "3 of 5 events right, precision 60.0 %" in told["group"]
    assert told["loudness"].endswith(
        "-5 to 0 dB 0 of 1, 0 to 10 dB 0 of 0, 10 to 20 dB 1 of 1"
    )
    assert "2 false by group, 4.0 an hour; 3 by species, 6.0 an hour" in told["alarms"]


def test_the_demo_needs_nothing_but_a_litert_runtime(tmp_path):
    code = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "scipy", "sklearn"):
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Refuse())
from pathlib import Path
from tfhier.data.forest import soundscapes
from tfhier.detect import demo
from tfhier.detect.demo import report
from tfhier.detect.detector import Detector
from tfhier.detect.options import Options
import tfhier

made = soundscapes.render(30.0, seed=7, part="devel", site=0)
tagger = tfhier.load(demo.MODEL)
print(len(list(Detector(tagger, Options()).events([made.waveform[::2]]))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
