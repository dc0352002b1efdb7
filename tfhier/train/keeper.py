"""What happens at the end of an epoch: validate, keep the best, save a checkpoint."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np

from tfhier import evaluate, metrics
from tfhier.data.bundle import Bundle
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.files import replacing
from tfhier.train.progress import Progress
from tfhier.train.trainer import Trainer

BEST, LIVE, LAST = "best.npz", "live.npz", "last.npz"


class Keeper(keras.callbacks.Callback):
    """Validates, keeps the best epoch and the checkpoint, and stops on NaN.

    `best.npz` holds the body's weights of the best epoch and `last.npz` weights,
    averages, optimizer and history of the last. With an EMA the weights that are
    validated and kept are the averaged ones, and `live.npz` holds the best of the
    others. A kill between two writes does no harm: the epoch is trained again, with the
    same result, and written again.

    Arrays are written by NumPy, not as HDF5: on a full disk h5py ends the process.

    Args:
        folder: Path of the checkpoint.
        bundle: Bundle.
        experiment: Experiment. Says what chooses the epoch.
        rows: int array. Clips that the epoch is chosen on; empty to keep the last.
        progress: Progress to be told.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Bundle,
        experiment: Experiment,
        rows: np.ndarray,
        progress: Progress,
    ):
        super().__init__()
        self.folder = folder
        self.bundle = bundle
        self.experiment = experiment
        self.rows = rows
        self.progress = progress
        self.history: list[dict] = []
        self.epoch = 0

    def restore(self, trainer: Trainer) -> int:
        """Load the checkpoint if there is one; return the epoch to begin with."""
        trainer.optimizer.build(trainer.body.trainable_variables)
        if not (self.folder / LAST).is_file():
            return 0
        self.history = json.loads(_load(self.folder / LAST, _state(trainer)))
        return len(self.history)

    def load_best(self, trainer: Trainer, *, live: bool = False) -> None:
        """Load the weights of the best epoch, with `live` the best not averaged."""
        _load(self.folder / (LIVE if live else BEST), trainer.body.weights)

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
        self.end_epoch(epoch, float(logs["loss"]))
        # For TensorBoard, which has axes for numbers that change.
        logs.update({k: v for k, v in self.history[-1].items() if k != "epoch"})

    def end_epoch(self, epoch: int, loss: float) -> None:
        """Validate the model, keep it if it is the best, and save the checkpoint."""
        row = {"epoch": epoch, "loss": loss, "kept": 0}
        live = self._validate()
        if self.model.averages:
            with self.model.averaged():
                row.update(self._validate())
                row.update({f"live_{name}": value for name, value in live.items()})
                row["kept"] = int(self._is_best(row))
                if row["kept"]:
                    _save(self.folder / BEST, self.model.body.weights)
            if self._is_best(row, prefix="live_"):
                _save(self.folder / LIVE, self.model.body.weights)
        else:
            row.update(live)
            row["kept"] = int(self._is_best(row))
            if row["kept"]:
                _save(self.folder / BEST, self.model.body.weights)
        self.history.append(row)
        _save(self.folder / LAST, _state(self.model), json.dumps(self.history))
        self.progress.epoch(row)

    def _is_best(self, row: dict, *, prefix: str = "") -> bool:
        """Return whether an epoch is better than all before it, or simply the last."""
        if not self.rows.size:
            return row["epoch"] == self.experiment.num_epochs - 1
        by = self.experiment.select_by
        name = f"{prefix}val_{self.bundle.taxonomy.fine}_{by}"
        sign = 1 if by == "loss" else -1
        losses = [_or_infinite(each[name], sign) for each in (*self.history, row)]
        return len(losses) == 1 or losses[-1] < min(losses[:-1])

    def _validate(self) -> dict[str, float]:
        """Return exact metrics of the clips that count: no averages over batches."""
        if not self.rows.size:
            return {}
        scores = evaluate.score(self.model, self.bundle, self.rows)
        found = {}
        for level, (targets, observed) in self.bundle.labellings.items():
            result = metrics.evaluate(
                scores[level],
                targets[self.rows],
                observed[self.rows],
                single_label=metrics.is_single_label(targets, observed),
            )
            for name in ("loss", "mAP", "uar"):
                if name in result:
                    found[f"val_{level}_{name}"] = result[name]
        return found


def _state(trainer: Trainer) -> list[keras.Variable]:
    """All that training changes from step to step."""
    return [*trainer.body.weights, *trainer.averages, *trainer.optimizer.variables]


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


def _or_infinite(value: float | None, sign: int) -> float:
    return np.inf if value is None or np.isnan(value) else sign * value
