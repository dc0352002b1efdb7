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
from tfhier import evaluate, metrics, saved
from tfhier.errors import InputError
from tfhier.files import read_json
from tfhier.train import checks, keeper
from tfhier.train import run as training
from tfhier.train.request import check_settings, is_trained, run_request
from tfhier.train.trainer import Trainer

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
    check_settings(folder, run_request(experiment, bundle, **where))
    if not is_trained(folder):
        training.train(
            experiment, bundle, folder, **where, parts=parts, progress=progress
        )
    evaluate.evaluate_run(folder, bundle, parts, experiment)
    return progress


def weights_of(folder: Path, name: str = "best.keras") -> list[np.ndarray]:
    return keras.models.load_model(folder / name).get_weights()


def epochs_kept(folder: Path) -> int:
    with np.load(folder / "checkpoint" / "last.npz", allow_pickle=False) as saved:
        return len(json.loads(str(saved["history"])))


def assert_same_results(folder: Path, expected: Path) -> None:
    """Weights, history, thresholds and metrics agree to the last bit."""
    live = "live.keras"
    assert (folder / live).exists() == (expected / live).exists()
    for name in ("history.csv", "metrics.json", "thresholds.json", "experiment.json"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    for name in ("best.keras", live):
        if (expected / name).exists():
            mine, its = weights_of(folder, name), weights_of(expected, name)
            assert len(mine) == len(its) > 3
            assert all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))
    with (
        np.load(folder / "scores.npz", allow_pickle=False) as a,
        np.load(expected / "scores.npz", allow_pickle=False) as b,
    ):
        assert all(np.array_equal(a[name], b[name]) for name in b.files)


# -- Going on after an interruption ----------------------------------------------------


def everything_random(data):
    """All that is drawn or remembered from step to step at once, on audio.

    Four steps an epoch, where a pass over the clips is three.
    """
    return tiny.on_audio(
        data,
        head="resatt",
        epochs=3,
        sampling="balanced",
        steps_per_epoch=4,
        mixup_alpha=0.5,
        time_stretch=0.1,
        pitch_quarter_tones=2,
        roll_seconds=0.1,
        gain_db=3.0,
        noise_rate=0.5,
        noise_label="f",
        amsgrad=True,
        ema_decay=0.8,
        ema_start=3,
        ema_reset_every=5,
    )


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
        # Four steps an epoch: the sixth is the second of the second epoch.
        go(experiment, bundle, tmp_path, Recorder(at_step=6))
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


def test_a_run_with_rates_by_layer_ends_with_the_same_bits(data, tmp_path):
    experiment = tiny.on_features(
        data, epochs=3, backbone_rate=0.5, layer_decay=0.5, amsgrad=True
    )
    bundle = tiny.bundle(data, experiment)
    go(experiment, bundle, tmp_path / "whole")
    with pytest.raises(Interrupted):
        go(experiment, bundle, tmp_path / "killed", Recorder(at_step=6))
    assert go(experiment, bundle, tmp_path / "killed").first_epoch == 1
    assert_same_results(tmp_path / "killed", tmp_path / "whole")
    go(experiment.but(layer_decay=1.0), bundle, tmp_path / "other")
    pairs = zip(
        weights_of(tmp_path / "whole"), weights_of(tmp_path / "other"), strict=True
    )
    assert not all(np.array_equal(a, b) for a, b in pairs)


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
        stop_at(patch, saved, "replacing", lambda path: path.name == "best.keras")
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
        "best.keras", "experiment.json", "history.csv", "live.keras", "metrics.json",
        "scores.npz", "taxonomy.csv", "tensorboard", "test_clips.csv",
        "training_sounds.csv",
        "thresholds.json",
    }  # fmt: skip
    assert (folder / "taxonomy.csv").read_text() == tiny.TAXONOMY
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    levels = [f"val_{level}_{what}" for level in ("fine", "coarse")
              for what in ("loss", "mAP")]  # fmt: skip
    live = [f"live_{name}" for name in levels]
    assert list(rows[0]) == ["epoch", "loss", "kept", *levels, *live]
    assert is_trained(folder)


def test_the_epoch_with_the_lowest_validation_loss_is_kept(data, tmp_path):
    # So high a rate that the last epoch is not the best.
    experiment = tiny.on_features(data, epochs=5, learning_rate=0.5)
    bundle = tiny.bundle(data, experiment)
    rows = go(experiment, bundle, tmp_path).rows
    losses = [row["val_fine_loss"] for row in rows]
    assert np.argmin(losses) < len(losses) - 1
    validation = read_json(tmp_path / "metrics.json")["validation"]["fine"]
    assert validation["loss"] == pytest.approx(min(losses), rel=1e-5)
    lowest = np.minimum.accumulate([np.inf, *losses[:-1]])
    assert [row["kept"] for row in rows] == [int(x) for x in losses < lowest]


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.9, "mixup_alpha": 0.3}])
def test_the_step_is_traced_once(data, tmp_path, monkeypatch, changes):
    traces = []
    monkeypatch.setattr(
        Trainer,
        "train_step",
        lambda self, batch, step=Trainer.train_step: (
            traces.append(batch) or step(self, batch)
        ),
    )
    experiment = tiny.on_audio(data, **changes)
    recorder = go(experiment, tiny.bundle(data, experiment), tmp_path / "run")
    assert (len(traces), len(recorder.losses)) == (1, 6)


def test_training_lowers_the_loss(data, tmp_path):
    experiment = tiny.on_features(data, epochs=12)
    rows = go(experiment, tiny.bundle(data, experiment), tmp_path).rows
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]


def test_other_settings_in_a_folder_are_named(on_features, tmp_path):
    experiment, bundle, folder = on_features
    wanted = run_request(experiment, bundle, seed=0, fold=0)
    changed = wanted | {"learning_rate": 0.5, "head": "gap"}
    with pytest.raises(InputError) as caught:
        check_settings(folder, changed)
    message = str(caught.value)
    assert "head 'gmp' -> 'gap'; learning_rate 0.01 -> 0.5" in message
    assert "--fresh" in message
    assert "epochs" not in message
    check_settings(folder, wanted)
    check_settings(tmp_path, wanted)


# -- Which epoch is kept ---------------------------------------------------------------


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The data set with one label a clip."""
    folder = tmp_path_factory.mktemp("single")
    with tiny.data_set(folder, single_label=True, with_audio=False) as data:
        yield data


@pytest.fixture(scope="module")
def to_the_last(data, tmp_path_factory):
    """An uninterrupted run with an EMA that keeps the last epoch."""
    experiment = tiny.on_features(
        data, selection="last", epochs=3, ema_decay=0.7, ema_start=2
    )
    bundle = tiny.bundle(data, experiment)
    folder = tmp_path_factory.mktemp("last")
    return experiment, bundle, folder, go(experiment, bundle, folder)


def test_the_last_epoch_is_kept_where_no_clip_is_held_out(to_the_last):
    experiment, bundle, folder, progress = to_the_last
    parts = bundle.deal(experiment, seed=0, fold=0)
    assert (parts == "train").sum() == tiny.NUM_TRAIN
    assert [list(row) for row in progress.rows] == [["epoch", "loss", "kept"]] * 3
    assert [row["kept"] for row in progress.rows] == [0, 0, 1]
    found = read_json(folder / "metrics.json")
    assert set(found) == {"test", "test_live", "test_truth", "violation_rate"}
    thresholds = found["test"]["fine"]["per_label"].values()
    assert {label["threshold"] for label in thresholds} == {0.5}


def test_a_killed_run_to_the_last_ends_with_the_same_bits(to_the_last, tmp_path):
    experiment, bundle, expected, _ = to_the_last
    for moment in ({"at_step": 6}, {"after_epoch": 1}):
        with pytest.raises(Interrupted):
            go(experiment, bundle, tmp_path, Recorder(**moment))
    assert go(experiment, bundle, tmp_path).first_epoch == 2
    assert_same_results(tmp_path, expected)


def test_the_live_weights_are_those_of_a_run_without_an_average(to_the_last, tmp_path):
    experiment, bundle, folder, _ = to_the_last
    go(experiment.but(ema_decay=0.0), bundle, tmp_path)
    assert not (tmp_path / "live.keras").exists()
    plain = weights_of(tmp_path)
    live, averaged = weights_of(folder, "live.keras"), weights_of(folder)
    assert all(np.array_equal(a, b) for a, b in zip(live, plain, strict=True))
    pairs = zip(averaged, plain, strict=True)
    assert not any(np.array_equal(a, b) for a, b in pairs if a.ndim == 2)
    found, alone = (read_json(f / "metrics.json") for f in (folder, tmp_path))
    assert found["test_live"] == alone["test"]
    assert found["test_live"] != found["test"]


def test_average_and_live_weights_are_each_kept_at_their_own_best(data, tmp_path):
    # An average that hardly moves gets better for longer than what it follows.
    experiment = tiny.on_features(
        data, epochs=8, learning_rate=0.2, ema_decay=0.97, ema_start=1
    )
    bundle = tiny.bundle(data, experiment)
    rows = go(experiment, bundle, tmp_path).rows
    losses = {
        name: [row[f"{prefix}val_fine_loss"] for row in rows]
        for name, prefix in (("best.keras", ""), ("live.keras", "live_"))
    }
    assert np.argmin(losses["best.keras"]) != np.argmin(losses["live.keras"])
    held = np.flatnonzero(bundle.deal(experiment, seed=0, fold=0) == "validation")
    targets, observed = bundle.labellings["fine"]
    for name, told in losses.items():
        model = keras.models.load_model(tmp_path / name)
        scores = evaluate.score(model, bundle, held)["fine"]
        found = metrics.binary_crossentropy(scores, targets[held], observed[held])
        assert found == pytest.approx(min(told), rel=1e-5)


def test_the_test_clips_choose_where_they_are_asked_to(data, tmp_path):
    experiment = tiny.on_features(data, selection="test", epochs=4, learning_rate=0.3)
    bundle = tiny.bundle(data, experiment)
    parts = bundle.deal(experiment, seed=0, fold=0)
    assert set(parts) == {"train", "test"}
    rows = go(experiment, bundle, tmp_path).rows
    losses = [row["val_fine_loss"] for row in rows]
    assert np.argmin(losses) < len(losses) - 1
    found = read_json(tmp_path / "metrics.json")
    assert found["test"]["fine"]["loss"] == pytest.approx(min(losses), rel=1e-5)
    assert found["validation"] == found["test"]


@pytest.mark.parametrize("by", ["uar", "mAP"])
def test_the_epoch_with_the_highest_figure_is_kept(by, single, tmp_path):
    experiment = tiny.on_features(
        single, select_by=by, epochs=6, learning_rate=0.3, validation_fraction=0.4
    )
    rows = go(experiment, tiny.bundle(single, experiment), tmp_path).rows
    told = [row[f"val_fine_{by}"] for row in rows]
    kept = max(number for number, row in enumerate(rows) if row["kept"])
    assert len(set(told)) > 1
    assert kept == np.argmax(told)
    assert kept != np.argmin([row["val_fine_loss"] for row in rows])
    validation = read_json(tmp_path / "metrics.json")["validation"]["fine"]
    assert validation[by] == pytest.approx(max(told))


# -- What cannot be trained ------------------------------------------------------------


def refused(experiment, bundle, folder, message):
    with pytest.raises(InputError, match=message):
        go(experiment, bundle, folder)
    assert not list(folder.iterdir())  # or a mended command would be refused, too


def test_a_figure_that_the_labels_do_not_have_chooses_no_epoch(data, tmp_path):
    experiment = tiny.on_features(data, select_by="uar")
    bundle = tiny.bundle(data, experiment)
    refused(experiment, bundle, tmp_path, "select_by=uar.*--set select_by=mAP")
    softmax = experiment.but(loss="cce", select_by="loss")
    refused(softmax, bundle, tmp_path, "loss=cce needs clips with exactly one label")
    go(experiment.but(selection="last", epochs=1), bundle, tmp_path)


def test_noise_of_an_unknown_label_is_refused(data, tmp_path):
    experiment = tiny.on_audio(data, noise_rate=0.5, noise_label="rain")
    bundle = tiny.bundle(data, experiment)
    refused(experiment, bundle, tmp_path, "one of the labels a, b, c.*'rain'")


def test_noise_needs_training_clips_that_carry_its_label(data, tmp_path):
    experiment = tiny.on_audio(data, noise_rate=0.5, noise_label="f")
    bundle = tiny.bundle(data, experiment)
    targets, observed = bundle.labellings["fine"]
    parts = bundle.deal(experiment, seed=0, fold=0)
    dealt = np.flatnonzero(parts == "train")
    rows = checks.noise_rows(experiment, bundle, dealt)
    assert 0 < len(rows) < (observed & (targets > 0))[:, 5].sum()
    assert set(rows) == {row for row in dealt if observed[row, 5] and targets[row, 5]}
    targets[parts != "test", 5] = 0
    refused(experiment, bundle, tmp_path, "No training clip is labelled 'f'")


def test_features_are_not_mixed_with_noise(on_features, tmp_path):
    experiment, bundle, expected = on_features
    go(experiment.but(noise_rate=1.0, noise_label="f"), bundle, tmp_path)
    pairs = zip(weights_of(tmp_path), weights_of(expected), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


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
