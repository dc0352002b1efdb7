"""One run: bit-equal after any interruption, its best epoch kept, NaN refused."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests import tiny
from tfhier import evaluate
from tfhier.errors import InputError
from tfhier.files import read_json
from tfhier.train import keeper
from tfhier.train import run as training

ROOT = Path(__file__).parents[2]


class Interrupted(BaseException):
    """What stops a run in these tests; nothing in the library catches it."""


class Recorder:
    """A progress that remembers, and that stops a run at a step or an epoch."""

    def __init__(self, *, at_step: int = -1, after_epoch: int = -1, signal=None):
        self.at_step, self.after_epoch, self.signal = at_step, after_epoch, signal
        self.first_epoch = None
        self.losses: list[float] = []
        self.rows: list[dict] = []

    def begin(self, epoch):
        self.first_epoch = epoch

    def step(self, epoch, loss):
        self.losses.append(loss)
        if len(self.losses) == self.at_step:
            if self.signal:
                os.kill(os.getpid(), self.signal)
            raise Interrupted

    def epoch(self, row):
        self.rows.append(dict(row))
        if row["epoch"] == self.after_epoch:
            raise Interrupted


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data")) as folder:
        yield folder


def go(experiment, bundle, folder, progress=None, *, seed=0, parts=None) -> Recorder:
    """Train and evaluate a run as a sweep does; return the progress."""
    progress = progress or Recorder()
    if parts is None:
        parts = bundle.deal(experiment, seed=seed, fold=0)
    where = {"seed": seed, "fold": 0}
    training.check_settings(folder, training.request(experiment, bundle, **where))
    if not training.is_trained(folder):
        training.train(
            experiment, bundle, folder, **where, parts=parts, progress=progress
        )
    evaluate.evaluate_run(folder, bundle, parts, experiment)
    return progress


def weights_of(folder: Path) -> list[np.ndarray]:
    return keras.models.load_model(folder / "best.keras").get_weights()


def epochs_kept(folder: Path) -> int:
    with np.load(folder / "checkpoint" / "last.npz", allow_pickle=False) as saved:
        return len(json.loads(str(saved["history"])))


def assert_same_results(folder: Path, expected: Path) -> None:
    """Weights, history, thresholds and metrics agree to the last bit."""
    for name in ("history.csv", "metrics.json", "thresholds.json", "experiment.json"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    mine, its = weights_of(folder), weights_of(expected)
    assert len(mine) == len(its) > 3
    assert all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))
    with (
        np.load(folder / "scores.npz", allow_pickle=False) as a,
        np.load(expected / "scores.npz", allow_pickle=False) as b,
    ):
        assert all(np.array_equal(a[name], b[name]) for name in b.files)


# -- Going on after an interruption ----------------------------------------------------


def everything_random(data):
    """Random crops, SpecAugment, dropout and mixup at once, on audio."""
    return tiny.on_audio(data, head="resatt", mixup_alpha=0.5, epochs=3)


@pytest.fixture(scope="module")
def on_audio(data, tmp_path_factory):
    """An uninterrupted run on audio: experiment, bundle and folder."""
    experiment = everything_random(data)
    bundle = tiny.bundle(data, experiment)
    folder = tmp_path_factory.mktemp("audio")
    go(experiment, bundle, folder)
    return experiment, bundle, folder


@pytest.fixture(scope="module")
def on_features(data, tmp_path_factory):
    """An uninterrupted run on features: experiment, bundle and folder."""
    experiment = tiny.on_features(data, mixup_alpha=0.3, epochs=3)
    bundle = tiny.bundle(data, experiment)
    folder = tmp_path_factory.mktemp("features")
    go(experiment, bundle, folder)
    return experiment, bundle, folder


def test_a_run_interrupted_inside_an_epoch_ends_with_the_same_bits(on_audio, tmp_path):
    experiment, bundle, expected = on_audio
    with pytest.raises(Interrupted):
        # Three steps an epoch: the fifth is the second of the second epoch.
        go(experiment, bundle, tmp_path, Recorder(at_step=5))
    assert not (tmp_path / "best.keras").exists()
    assert go(experiment, bundle, tmp_path).first_epoch == 1
    assert_same_results(tmp_path, expected)


def test_a_run_interrupted_again_and_again_ends_with_the_same_bits(
    on_features, tmp_path
):
    experiment, bundle, expected = on_features
    for moment in ({"at_step": 2}, {"after_epoch": 1}):
        with pytest.raises(Interrupted):
            go(experiment, bundle, tmp_path, Recorder(**moment))
    assert go(experiment, bundle, tmp_path).first_epoch == 2
    assert_same_results(tmp_path, expected)


def test_a_run_killed_by_the_system_ends_with_the_same_bits(
    data, on_features, tmp_path
):
    experiment, bundle, expected = on_features
    script = (
        "import sys; from pathlib import Path\n"
        "from tests import tiny; from tests.train import test_run as t\n"
        "data, folder = map(Path, sys.argv[1:])\n"
        "e = tiny.on_features(data, mixup_alpha=0.3, epochs=3)\n"
        "killer = t.Recorder(at_step=6, signal=t.signal.SIGKILL)\n"
        "t.go(e, tiny.bundle(data, e), folder, killer)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, data, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert epochs_kept(tmp_path) == 1
    assert not (tmp_path / "best.keras").exists()
    assert go(experiment, bundle, tmp_path).first_epoch == 1
    assert_same_results(tmp_path, expected)


def stop_at(monkeypatch, module, name, stops):
    """Make a function of a module raise when `stops` says so of its arguments."""
    original = getattr(module, name)

    def stopped(*arguments, **options):
        if stops(*arguments):
            raise Interrupted
        return original(*arguments, **options)

    monkeypatch.setattr(module, name, stopped)


def test_a_kill_between_best_and_last_weights_repeats_the_epoch(
    on_features, tmp_path, monkeypatch
):
    experiment, bundle, expected = on_features
    written = []

    def is_second_last(path):
        written.append(path.name)
        return written.count("last.npz") == 2

    with monkeypatch.context() as patch:
        stop_at(patch, keeper, "replacing", is_second_last)
        with pytest.raises(Interrupted):
            go(experiment, bundle, tmp_path)
    assert "best.npz" in written
    assert go(experiment, bundle, tmp_path).first_epoch == 1
    assert_same_results(tmp_path, expected)


def test_a_kill_after_the_last_epoch_trains_nothing_again(
    on_features, tmp_path, monkeypatch
):
    experiment, bundle, expected = on_features
    with monkeypatch.context() as patch:
        stop_at(patch, training, "replacing", lambda path: path.name == "best.keras")
        with pytest.raises(Interrupted):
            go(experiment, bundle, tmp_path)
    assert go(experiment, bundle, tmp_path).losses == []
    assert_same_results(tmp_path, expected)


def test_a_kill_while_the_checkpoint_is_removed_is_survived(
    on_features, tmp_path, monkeypatch
):
    experiment, bundle, expected = on_features
    remove = training.shutil.rmtree

    def remove_half(folder, *arguments, **options):
        if Path(folder).name != "checkpoint":
            return remove(folder, *arguments, **options)
        for path in Path(folder).glob("*.npz"):
            path.unlink()
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(training.shutil, "rmtree", remove_half)
        with pytest.raises(Interrupted):
            go(experiment, bundle, tmp_path)
    assert go(experiment, bundle, tmp_path).losses == []
    assert_same_results(tmp_path, expected)


def test_undefined_figures_survive_an_interruption(data, tmp_path):
    experiment = tiny.on_features(data)
    bundle = tiny.bundle(data, experiment)
    parts = bundle.deal(experiment, seed=0, fold=0)
    for _, observed in bundle.labellings.values():
        observed[parts == "validation"] = False
    go(experiment, bundle, tmp_path / "whole", parts=parts)
    with pytest.raises(Interrupted):
        go(experiment, bundle, tmp_path / "cut", Recorder(after_epoch=0), parts=parts)
    go(experiment, bundle, tmp_path / "cut", parts=parts)
    assert_same_results(tmp_path / "cut", tmp_path / "whole")


def test_seeds_differ_and_repeat(on_features, tmp_path):
    experiment, bundle, expected = on_features
    go(experiment, bundle, tmp_path / "again")
    assert_same_results(tmp_path / "again", expected)
    go(experiment, bundle, tmp_path / "other", seed=1)
    pairs = zip(weights_of(tmp_path / "other"), weights_of(expected), strict=True)
    assert not any(np.array_equal(a, b) for a, b in pairs if a.ndim == 2)


# -- What a finished run leaves --------------------------------------------------------


def test_a_finished_run_leaves_results_and_no_checkpoint(on_audio):
    _, _, folder = on_audio
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "best.keras", "experiment.json", "history.csv", "metrics.json", "scores.npz",
        "taxonomy.csv", "tensorboard", "thresholds.json",
    }  # fmt: skip
    assert (folder / "taxonomy.csv").read_text() == tiny.TAXONOMY
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    levels = [f"val_{level}_{what}" for level in ("fine", "coarse")
              for what in ("loss", "mAP")]  # fmt: skip
    assert list(rows[0]) == ["epoch", "loss", "kept", *levels]
    assert training.is_trained(folder)


def test_the_epoch_with_the_lowest_validation_loss_is_kept(data, tmp_path):
    # So high a rate that the last epoch is not the best.
    experiment = tiny.on_features(data, epochs=5, learning_rate=0.5)
    bundle = tiny.bundle(data, experiment)
    rows = go(experiment, bundle, tmp_path).rows
    losses = [row["val_fine_loss"] for row in rows]
    assert np.argmin(losses) < len(losses) - 1
    validation = read_json(tmp_path / "metrics.json")["validation"]["fine"]
    assert validation["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_training_lowers_the_loss(data, tmp_path):
    experiment = tiny.on_features(data, epochs=12)
    rows = go(experiment, tiny.bundle(data, experiment), tmp_path).rows
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]


def test_other_settings_in_a_folder_are_named(on_features, tmp_path):
    experiment, bundle, folder = on_features
    wanted = training.request(experiment, bundle, seed=0, fold=0)
    changed = wanted | {"learning_rate": 0.5, "head": "gap"}
    with pytest.raises(InputError) as caught:
        training.check_settings(folder, changed)
    message = str(caught.value)
    assert "head 'gmp' -> 'gap'; learning_rate 0.01 -> 0.5" in message
    assert "--fresh" in message
    assert "epochs" not in message
    training.check_settings(folder, wanted)
    training.check_settings(tmp_path, wanted)


# -- Numbers that are none -------------------------------------------------------------


def exploding(data, **changes):
    """AdamW whose decay multiplies every weight by -10^6 at each step."""
    return tiny.on_features(
        data,
        learning_rate=1e3,
        weight_decay=1e3,
        decoupled_weight_decay=True,
        **changes,
    )


def test_a_loss_that_is_no_number_stops_with_epoch_and_step(data, tmp_path):
    experiment = exploding(data, epochs=20)
    with pytest.raises(InputError, match=r"became (nan|inf) in epoch \d+, step \d+"):
        go(experiment, tiny.bundle(data, experiment), tmp_path)
    assert not (tmp_path / "best.keras").exists()
    assert not (tmp_path / "metrics.json").exists()


def test_the_step_that_is_named_is_the_one(data, tmp_path, monkeypatch):
    experiment = tiny.on_features(data)
    original = training.Trainer.train_step
    calls = []

    def broken(self, batch):
        calls.append(0)
        inputs, targets, weights = batch
        step = keras.ops.cast(self.optimizer.iterations, "float32")
        # Three steps an epoch: the fifth is the second of the second epoch.
        poison = keras.ops.where(step >= 4, float("nan"), 1.0)
        return original(self, (inputs * poison, targets, weights))

    monkeypatch.setattr(training.Trainer, "train_step", broken)
    with pytest.raises(InputError, match=r"became nan in epoch 2, step 2\b"):
        go(experiment, tiny.bundle(data, experiment), tmp_path)
    assert calls
    assert epochs_kept(tmp_path) == 1


# -- Crops -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, 0), (0.4, 6_400), (0.6, 0), (9.0, 0)]
)
def test_crops_are_shorter_than_clips_or_none(on_audio, seconds, expected):
    experiment, bundle, _ = on_audio
    frontend, _ = training.tagger.build(experiment, bundle.taxonomy)
    cropped = experiment.but(crop_seconds=seconds)
    assert training.crop_samples(cropped, bundle, frontend) == expected
    assert training.crop_samples(cropped, bundle, None) == 0
