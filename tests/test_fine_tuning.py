"""`tfhier train`: on one's own recordings, and further on verdicts, from end to end."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import tfhier
from tests.export import models
from tfhier import __main__ as command_line
from tfhier import audio, contract, fine_tuning, saved, tagger
from tfhier.errors import InputError
from tfhier.event_tables import csv_table
from tfhier.event_tables.cells import csv_line
from tfhier.event_tables.rows import column_names
from tfhier.event_tables.verdict import COLUMNS
from tfhier.files import read_json, write_text
from tfhier.train.yardsticks import BEFORE

RATE = 8_000
PITCHES = {"high": 2000.0, "low": 400.0}
SHORT = ("epochs=6", "steps_per_epoch=8")
NETWORK = (
    "frontend=panns_8k", "backbone=cnn6", "width=0.0625", "clip_seconds=1.0",
    "mixup_alpha=0.0", "ema_decay=0.0", "gain_db=0.0", *SHORT,
)  # fmt: skip


def sound(pitch: float, seconds: float, *, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * pitch * rng.uniform(0.95, 1.05) * time)
    return (tone + rng.normal(0, 0.02, time.size)).astype(np.float32)


def run(*arguments: object) -> int:
    return command_line.main([str(each) for each in arguments])


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A detector by `tfhier train`, what it heard in recordings, and verdicts on it."""
    home = tmp_path_factory.mktemp("home")
    for label, pitch in PITCHES.items():
        for number in range(6):
            audio.write(
                home / "calls" / label / f"{number}.wav",
                sound(pitch, 1.0, seed=number),
                sample_rate=RATE,
            )
    assert not run("train", home / "calls", "-o", home / "first", "--set", *NETWORK)
    assert not run("export", home / "first", "--to", "tflite", "--no-times")
    for number in range(6):
        pitch = list(PITCHES.values())[number % 2]
        audio.write(
            home / "card" / f"SITE{number}_20260101_060000.wav",
            sound(pitch, 6.0, seed=10 + number),
            sample_rate=RATE,
        )
    # Whatever it has learned: everything is an event of both labels.
    model, table = home / "first" / "first.tflite", home / "events.csv"
    assert not run(
        "detect", model, home / "card", "-o", table, "--threshold", "0.001"
    )  # fmt: skip
    judge(table)
    return home


def judge(table: Path) -> None:
    """Accept the label of a recording's pitch, and reject the other."""
    rows = [row for row, _ in csv_table.read_rows(table)]
    lines = [csv_line([*column_names(tuple(rows[0].labels)), *COLUMNS])]
    for row in rows:
        is_even = int(Path(row.file).name[4]) % 2 == 0
        is_right = row.label == ("high" if is_even else "low")
        verdict = ("accepted", row.label) if is_right else ("rejected", "")
        lines.append(csv_line([*csv_table.cells_of(row), *verdict, ""]))
    write_text(table.with_name("events-reviewed.csv"), "".join(lines))


@pytest.fixture(scope="module")
def further(home) -> Path:
    status = run(
        "train", "--from", home / "events-reviewed.csv", "--set", *SHORT,
        "learning_rate=0.01",
    )  # fmt: skip
    assert not status
    return home / "first-reviewed"


def test_the_model_is_found_and_the_result_lies_beside_it(further):
    before = saved.read(further.with_name("first") / "seed0" / "best.keras")
    after = saved.read(further / "seed0" / "best.keras")
    bodies = [tagger.backbone_of(tagger.body_of(each)) for each in (before, after)]
    for theirs, ours in zip(*(b.get_weights() for b in bodies), strict=True):
        np.testing.assert_array_equal(theirs, ours)
    kernels = [
        tagger.body_of(each).get_layer("label_classifier").get_weights()[0]
        for each in (before, after)
    ]
    assert abs(kernels[0] - kernels[1]).max() > 1e-3
    promised = contract.read(further / "seed0" / "best.keras")
    assert promised.source.startswith("trained on events-reviewed.csv from trained on")
    assert promised.clip_seconds == 1.0


def test_verdicts_are_learned(home, further):
    models_of = [tfhier.load(home / "first"), tfhier.load(further)]
    right = []
    for loaded in models_of:
        found = []
        for number in range(20, 40):
            label = list(PITCHES)[number % 2]
            clip = sound(PITCHES[label], 1.0, seed=number)
            scores = loaded.tag(clip, sample_rate=RATE)["label"]
            others = [score for name, score in scores.items() if name != label]
            found.append(scores[label] - max(others))
        right.append(np.mean(found))
    assert right[1] > right[0] and right[1] > 0.5


def test_the_model_as_it_was_stands_beside_it(home, further):
    summary = read_json(further / "metrics.json")
    table = str(further.with_name("events-reviewed.csv"))
    assert summary["command"].startswith(f"tfhier train --from {table} --set epochs=6")
    before = summary["yardsticks"][BEFORE]["test"]["label"]
    assert before["mAP"]["mean"] <= summary["test"]["label"]["mAP"]["mean"]
    # What lay below was never judged.
    old, new = (
        np.array(contract.read(folder / "seed0" / "best.keras").thresholds["label"])
        for folder in (home / "first", further)
    )
    assert (new >= old).all()


def test_again_it_is_kept_and_other_verdicts_are_refused(home, further, capsys):
    words = ("train", "--from", home / "events-reviewed.csv", "--set", *SHORT)
    assert not run(*words, "learning_rate=0.01")
    printed = capsys.readouterr().out
    assert "kept     1 finished runs" in printed
    assert "by what tfhier detect noted" in printed
    assert f"next     tfhier export {further} --to tflite" in printed
    assert run(*words, "learning_rate=0.02")
    assert "with other settings: learning_rate" in capsys.readouterr().err


def test_what_cannot_be_trained_is_told(home, further, tmp_path, capsys):
    def told(*arguments) -> str:
        assert run("train", *arguments) == 2
        return capsys.readouterr().err

    table = home / "events-reviewed.csv"
    assert "Give recordings to train on" in told()
    assert "Give recordings to train on" in told(home / "calls", "--from", table)
    assert "Name the folder of the result" in told(home / "calls")
    assert "are for --from" in told(home / "calls", "-o", "x", "--model", "y")
    model = home / "first" / "first.tflite"
    content = model.read_bytes()
    model.write_bytes(content + b" ")
    assert "is another model than the one that found" in told("--from", table)
    model.write_bytes(content)
    copied = shutil.copy(table, tmp_path / "events-reviewed.csv")
    assert "is not noted beside it" in told("--from", copied)
    lone = shutil.copy(home / "first" / "first.tflite", tmp_path / "lone.tflite")
    assert "cannot be trained further" in told("--from", table, "--model", lone)
    other = models.write(tmp_path / "other.keras")
    assert "lies in no folder of a run" in told("--from", table, "--model", other)
    with pytest.raises(InputError, match="There is no model"):
        fine_tuning.trained_of(tmp_path / "none.tflite")


def test_windows_between_events_hold_the_head_by_default(home):
    trained = fine_tuning.trained_of(home / "first")
    experiment = fine_tuning.on_verdicts(trained)
    assert experiment.background == "gaps"
    assert experiment.frozen and experiment.initial_head and experiment.embeds_once
    # Whatever decides the shape of the network is as it was.
    kept = read_json(trained.parent / "experiment.json")
    for name in ("frontend", "backbone", "width", "head", "hidden_units", "loss"):
        assert getattr(experiment, name) == kept[name]


def test_a_site_can_be_the_test(home, tmp_path):
    table, output = home / "events-reviewed.csv", tmp_path / "by-site"
    words = ("train", "--from", table, "-o", output, "--set", *SHORT)
    assert not run(*words, "--test-site", "SITE3")
    tested = (output / "seed0" / "test_clips.csv").read_text().splitlines()[1:]
    assert tested and all("SITE3_" in line for line in tested)
