"""One run: train a tagger with one seed, keep its best epoch, survive any kill.

A run's folder holds `experiment.json` (what was asked), while it trains a
`checkpoint/`, and when it is done `best.keras`, `taxonomy.csv`, `history.csv` and what
`evaluate` adds.

Everything random is a function of (seed, epoch, step), and model, optimizer and history
are saved after every epoch. A killed run starts its unfinished epoch anew and ends with
the same numbers as an uninterrupted one.
"""

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Protocol

import keras
import numpy as np

from tfhier import evaluate, losses, metrics, tagger
from tfhier.data.bundle import Bundle
from tfhier.data.pipeline import steps_per_epoch, training_batches
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.files import (
    read_json,
    replacing,
    require_space,
    write_json,
    write_text,
)
from tfhier.train.optimizer import adam
from tfhier.train.schedules import WarmupHoldDecay
from tfhier.train.trainer import Trainer


class Progress(Protocol):
    """What a progress display is told (`console.TrainingBar` is one)."""

    def begin(self, epoch: int) -> None:
        """Training begins, with this epoch (above 0 when it resumes)."""

    def step(self, epoch: int, loss: float) -> None:
        """A training step is done."""

    def epoch(self, row: dict) -> None:
        """An epoch is done: a row of the history."""


def request(experiment: Experiment, bundle: Bundle, *, seed: int, fold: int) -> dict:
    """Return what decides a run's numbers, for `experiment.json`."""
    return {
        **experiment.settings(),
        "seed": seed,
        "fold": fold,
        "data": bundle.clips.name,
        "num_clips": len(bundle.clips),
        "data_fingerprint": bundle.fingerprint,
    }


def check_settings(folder: Path, wanted: dict) -> None:
    """Refuse to go on in the folder of a run that was asked for otherwise.

    Raises:
        InputError: The folder holds a run of other settings; they are named.
    """
    if not (folder / "experiment.json").is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(
                f"{folder} holds results but no experiment.json that says of what. "
                "Start over with --fresh, or choose another --output folder."
            )
        return
    there = read_json(folder / "experiment.json")
    defaults = Experiment().settings()
    differing = [
        f"{name} {there.get(name)!r} -> {wanted.get(name)!r}"
        for name in sorted(set(there) | set(wanted))
        # A run made before a setting existed had its default.
        if there.get(name, defaults.get(name)) != wanted.get(name)
    ]
    if differing:
        raise InputError(
            f"{folder} holds a run with other settings: {'; '.join(differing)}. Start "
            "over with --fresh, or keep both with another --output folder."
        )


def is_trained(folder: Path) -> bool:
    """Return whether training in a folder came to its end."""
    return (folder / "history.csv").is_file()


def train(
    experiment: Experiment,
    bundle: Bundle,
    folder: Path,
    *,
    seed: int,
    fold: int,
    parts: np.ndarray,
    progress: Progress,
) -> None:
    """Train one run, from its checkpoint if there is one, and save its best epoch.

    Args:
        experiment: Experiment with an empty grid.
        bundle: Bundle of its data.
        folder: Path of the run.
        seed: int. Of weights, order, crops and augmentation.
        fold: int. Of the cross-validation; 0 without.
        parts: str array (clips,), see `Bundle.deal`.
        progress: Progress to be told.

    Raises:
        InputError: The loss became NaN or infinite.
    """
    keras.utils.clear_session()
    frontend, body = tagger.build(
        experiment, bundle.taxonomy, feature_shape=bundle.feature_shape, seed=seed
    )
    tagger.check_loadable(body)
    # Only now: settings that no model can be built from leave nothing behind.
    write_json(
        folder / "experiment.json", request(experiment, bundle, seed=seed, fold=fold)
    )
    training = np.flatnonzero(parts == "train")
    steps = steps_per_epoch(len(training), experiment.batch_size)
    trainer = _trainer(experiment, bundle, frontend, body, steps=steps, seed=seed)
    keeper = _Keeper(
        folder / "checkpoint", bundle, np.flatnonzero(parts == "validation"), progress
    )
    first_epoch = keeper.restore(trainer)
    progress.begin(first_epoch)
    if first_epoch < experiment.epochs:
        batches = training_batches(
            bundle.source,
            training,
            bundle.labellings,
            batch_size=experiment.batch_size,
            seed=seed,
            first_epoch=first_epoch,
            num_epochs=experiment.epochs,
            crop_samples=crop_samples(experiment, bundle, frontend),
            lengths=bundle.lengths,
        )
        trainer.fit(
            batches,
            initial_epoch=first_epoch,
            epochs=experiment.epochs,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[
                keeper,
                keras.callbacks.TensorBoard(
                    folder / "tensorboard", write_graph=False, update_freq="epoch"
                ),
            ],
        )
    keeper.load_best(trainer)
    # h5py, inside the archive, ends the process when the disk is full: look before.
    require_space(folder, 8 * body.count_params() + 2**20)
    with replacing(folder / "best.keras") as temporary:
        tagger.end_to_end(frontend, body).save(temporary)
    bundle.taxonomy.write(folder / "taxonomy.csv")
    # Last, because it says that training is done: see `is_trained`.
    write_text(folder / "history.csv", _to_csv(keeper.history))
    shutil.rmtree(folder / "checkpoint")


def crop_samples(experiment: Experiment, bundle: Bundle, frontend) -> int:
    """Return the length of training crops in samples; 0 for whole clips or features."""
    if frontend is None or not experiment.crop_seconds:
        return 0
    wanted = round(experiment.crop_seconds * frontend.sample_rate)
    return wanted if wanted < bundle.clip_samples else 0


def _trainer(experiment, bundle, frontend, body, *, steps: int, seed: int) -> Trainer:
    trainer = Trainer(
        body,
        frontend,
        taxonomy=bundle.taxonomy,
        mixup_alpha=experiment.mixup_alpha,
        consistency_weight=experiment.consistency_weight,
        seed=seed,
    )
    rate = WarmupHoldDecay(
        experiment.learning_rate,
        experiment.epochs * steps,
        warmup_steps=experiment.warmup_epochs * steps,
        decay_steps=experiment.decay_epochs * steps,
    )
    trainer.compile(
        optimizer=adam(
            rate,
            weight_decay=experiment.weight_decay,
            decoupled=experiment.decoupled_weight_decay,
        ),
        loss=losses.masked(bundle.taxonomy),
        loss_weights=losses.level_weights(
            bundle.taxonomy, fine_weight=experiment.fine_weight
        ),
    )
    return trainer


class _Keeper(keras.callbacks.Callback):
    """Validates, keeps the best epoch and the checkpoint, and stops on NaN.

    `best.npz` holds the body's weights of the best epoch, `last.npz` weights, optimizer
    and history of the last. A kill between the two writes does no harm: the epoch is
    trained again, with the same result, and `best.npz` written again.

    Arrays are written by NumPy, not as HDF5: on a full disk h5py ends the process.
    """

    def __init__(
        self, folder: Path, bundle: Bundle, rows: np.ndarray, progress: Progress
    ):
        super().__init__()
        self.folder = folder
        self.bundle = bundle
        self.rows = rows
        self.progress = progress
        self.history: list[dict] = []
        self.epoch = 0

    @property
    def _select(self) -> str:
        return f"val_{self.bundle.taxonomy.fine}_loss"

    def restore(self, trainer: Trainer) -> int:
        """Load the checkpoint if there is one; return the epoch to begin with."""
        trainer.optimizer.build(trainer.trainable_variables)
        if not (self.folder / "last.npz").is_file():
            return 0
        self.history = json.loads(_load(self.folder / "last.npz", _state(trainer)))
        return len(self.history)

    def load_best(self, trainer: Trainer) -> None:
        """Load the weights of the epoch with the lowest validation loss."""
        _load(self.folder / "best.npz", trainer.body.weights)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.model.reseed(epoch)

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            raise InputError(
                f"The loss became {loss} in epoch {self.epoch + 1}, step {batch + 1}. "
                "Training stopped; the last whole epoch is kept. Try a lower learning "
                "rate (--set learning_rate=...) and look for broken clips."
            )
        self.progress.step(self.epoch, loss)

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, "loss": float(logs["loss"]), **self._validate()}
        self.history.append(row)
        logs.update(row)  # for TensorBoard
        logs.pop("epoch")
        validation_losses = [_or_infinite(row[self._select]) for row in self.history]
        if epoch == 0 or validation_losses[-1] < min(validation_losses[:-1]):
            _save(self.folder / "best.npz", self.model.body.weights)
        _save(self.folder / "last.npz", _state(self.model), json.dumps(self.history))
        self.progress.epoch(row)

    def _validate(self) -> dict[str, float]:
        """Return exact metrics of the validation clips: no averages over batches."""
        scores = evaluate.score(self.model, self.bundle, self.rows)
        found = {}
        for level, (targets, observed) in self.bundle.labellings.items():
            result = metrics.evaluate(
                scores[level], targets[self.rows], observed[self.rows]
            )
            found[f"val_{level}_loss"] = result["loss"]
            found[f"val_{level}_mAP"] = result["mAP"]
        return found


def _state(trainer: Trainer) -> list[keras.Variable]:
    """All that training changes from step to step."""
    return [*trainer.body.weights, *trainer.optimizer.variables]


def _save(path: Path, variables: list[keras.Variable], history: str = "") -> None:
    arrays = {_key(i, value): np.asarray(value) for i, value in enumerate(variables)}
    with replacing(path) as temporary:
        np.savez(temporary, history=history, **arrays)


def _load(path: Path, variables: list[keras.Variable]) -> str:
    """Set variables from a file of `_save`; return its history."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            for i, variable in enumerate(variables):
                variable.assign(saved[_key(i, variable)])
            return str(saved["history"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"The checkpoint {path} is damaged or of another version ({error}). Delete "
            f"the folder {path.parent}, and the run starts again."
        ) from None


def _key(position: int, variable: keras.Variable) -> str:
    # Paths alone may repeat, and a "/" would be a folder of the archive.
    return f"{position}:{variable.path.replace('/', '.')}"


def _or_infinite(loss: float | None) -> float:
    return np.inf if loss is None or np.isnan(loss) else loss


def _to_csv(history: list[dict]) -> str:
    output = io.StringIO()
    writer = csv.DictWriter(output, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return output.getvalue()
