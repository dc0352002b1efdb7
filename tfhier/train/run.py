"""One run: train a tagger with one seed, keep its best epoch, survive any kill.

A run's folder holds `experiment.json` (what was asked), while it trains a
`checkpoint/`, and when it is done `best.keras`, `taxonomy.csv`, `history.csv`,
`training_sounds.csv` (where some clips are) and what `evaluate` adds.

Everything random is a function of (seed, epoch, step), and model, optimizer and history
are saved after every epoch. A killed run starts its unfinished epoch anew and ends with
the same numbers as an uninterrupted one.
"""

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfhier import (
    clip_table,
    contract,
    evaluate,
    frontends,
    losses,
    machine,
    saved,
    tagger,
)
from tfhier.contract import Contract
from tfhier.data import sampling
from tfhier.data.bundle import Bundle
from tfhier.data.pipeline import steps_per_epoch, training_batches
from tfhier.experiment import Experiment
from tfhier.files import (
    require_space,
    write_json,
    write_text,
)
from tfhier.layers import LogMel
from tfhier.train import checks, svm
from tfhier.train.keeper import Keeper
from tfhier.train.optimizer import adam, shares
from tfhier.train.progress import Progress
from tfhier.train.request import run_request
from tfhier.train.schedules import WarmupHoldDecay
from tfhier.train.trainer import Trainer


def build(
    experiment: Experiment,
    bundle: Bundle,
    *,
    seed: int,
    parts: np.ndarray,
    initial: Sequence[Path] = (),
) -> tuple[LogMel | None, keras.Model]:
    """Return front end and body of a run, known to be fit for training.

    Nothing is written: what is refused here is refused before anything is lost.

    Args:
        experiment: Experiment with an empty grid.
        bundle: Bundle of its data.
        seed: int. Of the initial weights.
        parts: str array (clips,), see `Bundle.deal`.
        initial: Saved models that the backbone starts from.

    Raises:
        InputError: The network cannot be built or saved, an initial model does not fit,
            is of other code, or the training clips lack labels that a setting needs.
    """
    keras.utils.clear_session()
    frontend, body = tagger.build(
        experiment, bundle.taxonomy, feature_shape=bundle.feature_shape, seed=seed
    )
    saved.check_loadable(body)
    if initial:
        saved.start_from(body, initial, experiment)
    if bundle.embedded is not None:
        checks.check_embeddings(frontend, body, bundle)
    checks.check_single_label(experiment, bundle)
    rows = np.flatnonzero(parts == "train")
    if frontend is not None:
        checks.noise_rows(experiment, bundle, rows)
    if experiment.fit == "svm":
        svm.check_labels(bundle, rows)
    elif experiment.sampling != "uniform":
        sampling.check_labels(experiment.sampling, bundle.positive(rows))
    return frontend, body


def train(
    experiment: Experiment,
    bundle: Bundle,
    folder: Path,
    *,
    seed: int,
    fold: int,
    parts: np.ndarray,
    progress: Progress,
    initial: Sequence[Path] = (),
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
        initial: Saved models that the backbone starts from.

    Raises:
        InputError: The loss became NaN or infinite, an initial model does not fit, or
            the labels lack the noise or the figure to choose by that were asked for.
    """
    frontend, body = build(experiment, bundle, seed=seed, parts=parts, initial=initial)
    promised = contract_of(experiment, bundle, initial)
    # Only now: settings that no run can be made of leave nothing behind.
    wanted = run_request(experiment, bundle, seed=seed, fold=fold, initial=initial)
    write_json(folder / "experiment.json", {**wanted, "code": machine.code_digest()})
    rows = np.flatnonzero(parts == "train")
    steps = experiment.steps_per_epoch or steps_per_epoch(
        len(rows), experiment.batch_size
    )
    whole, heard = tagger.end_to_end(frontend, body), bundle
    if bundle.embedded is not None:
        # What the backbone answers is known: only what comes behind it is trained.
        bundle, frontend, body = bundle.on_embeddings(), None, tagger.head_of(body)
    trainer = _trainer(experiment, bundle, frontend, body, steps=steps, seed=seed)
    keeper = Keeper(
        folder / "checkpoint",
        bundle,
        experiment,
        evaluate.selection_rows(experiment, parts),
        progress,
    )
    first_epoch = keeper.restore(trainer)
    progress.begin(first_epoch)
    # Equal where a kill came after the last epoch.
    if first_epoch < experiment.num_epochs:
        if experiment.fit == "svm":
            keeper.set_model(trainer)
            keeper.end_epoch(0, svm.fit(whole, heard, rows))
        else:
            _descend(
                trainer, keeper, bundle, rows, steps=steps, first_epoch=first_epoch
            )
    _save_models(trainer, keeper, folder, whole, promised)
    bundle.taxonomy.write(folder / "taxonomy.csv")
    if heard.clips.paths is not None:
        clip_table.write_sounds(folder / "training_sounds.csv", heard, rows, seed=seed)
    # Last, because it says that training is done: see `is_trained`.
    write_text(folder / "history.csv", _to_csv(keeper.history))
    shutil.rmtree(folder / "checkpoint")


def _descend(
    trainer: Trainer,
    keeper: Keeper,
    bundle: Bundle,
    rows: np.ndarray,
    *,
    steps: int,
    first_epoch: int,
) -> None:
    """Train by gradient descent from an epoch to the last."""
    experiment, frontend = trainer.experiment, trainer.frontend
    trainer.fit(
        training_batches(
            bundle.source,
            rows,
            bundle.labellings,
            batch_size=experiment.batch_size,
            seed=trainer.seed,
            first_epoch=first_epoch,
            num_epochs=experiment.epochs,
            crop_samples=crop_samples(experiment, bundle, frontend),
            lengths=bundle.lengths,
            sampling=experiment.sampling,
            steps=steps,
            noise_rows=None
            if frontend is None
            else checks.noise_rows(experiment, bundle, rows),
        ),
        initial_epoch=first_epoch,
        epochs=experiment.epochs,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=0,
        callbacks=[
            keeper,
            keras.callbacks.TensorBoard(
                keeper.folder.parent / "tensorboard",
                write_graph=False,
                update_freq="epoch",
            ),
        ],
    )


def contract_of(
    experiment: Experiment, bundle: Bundle, initial: Sequence[Path] = ()
) -> Contract:
    """Return the contract of the tagger that an experiment trains.

    What the saved models behind `initial` came from, and under which licences, stays
    with what is trained from them.
    """
    settings = frontends.FRONTENDS[experiment.frontend]
    started = [contract.read(path) for path in initial]

    def told(field: str) -> list[str]:
        """Return what the starts say in a field, each thing once."""
        said = (getattr(each, field) for each in started)
        return list(dict.fromkeys(filter(None, said)))

    clips = bundle.clips
    made = " (SYNTHETIC: figures on it say nothing of real sound)"
    trained = f"trained on {clips.name}{made * (clips.kind == 'embedded')}"
    return Contract(
        taxonomy=bundle.taxonomy,
        sample_rate=0 if experiment.features else settings["sample_rate"],
        softmax=experiment.loss == "cce",
        clip_seconds=0.0 if experiment.features else float(experiment.clip_seconds),
        source=" from ".join([trained, *told("source")]),
        licence="; ".join(told("licence")),
        citation="; ".join(told("citation")),
    )


def _save_models(
    trainer: Trainer,
    keeper: Keeper,
    folder: Path,
    whole: keras.Model,
    promised: Contract,
) -> None:
    """Save the best epoch; beside an EMA that of the live weights as well.

    Args:
        trainer: Trainer.
        keeper: Keeper of its weights.
        folder: Path of the run.
        whole: The end-to-end tagger, which shares the trainer's weights.
        promised: Contract of the tagger.
    """
    is_live = {"best.keras": False}
    if trainer.averages:
        is_live["live.keras"] = True
    # h5py, inside the archive, ends the process when the disk is full: look before.
    require_space(folder, len(is_live) * (8 * whole.count_params() + 2**20))
    for name, live in is_live.items():
        keeper.load_best(trainer, live=live)
        saved.write(folder / name, whole, promised)


def crop_samples(experiment: Experiment, bundle: Bundle, frontend) -> int:
    """Return the length of training crops in samples; 0 for whole clips or features."""
    if frontend is None or not experiment.crop_seconds:
        return 0
    wanted = round(experiment.crop_seconds * frontend.sample_rate)
    return wanted if wanted < bundle.clip_samples else 0


def _trainer(experiment, bundle, frontend, body, *, steps: int, seed: int) -> Trainer:
    trainer = Trainer(
        body, frontend, taxonomy=bundle.taxonomy, experiment=experiment, seed=seed
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
            shares=_shares(experiment, body),
            weight_decay=experiment.weight_decay,
            decoupled=experiment.decoupled_weight_decay,
            amsgrad=experiment.amsgrad,
        ),
        loss=losses.masked(bundle.taxonomy, softmax=experiment.loss == "cce"),
        loss_weights=losses.level_weights(
            bundle.taxonomy, fine_weight=experiment.fine_weight
        ),
    )
    # Keras's loss makes its counters when it is first computed. Were that in the first
    # step, TensorFlow would trace the step twice.
    nothing = {
        level: np.zeros((1, size), np.float32)
        for level, size in bundle.taxonomy.sizes.items()
    }
    trainer.compute_loss(y=nothing, y_pred=nothing, sample_weight=nothing)
    return trainer


def _shares(experiment: Experiment, body) -> list[float] | None:
    """Return what each variable has of the learning rate; None for all of it."""
    rate, decay = experiment.backbone_rate, experiment.layer_decay
    if rate == decay == 1.0:
        return None
    backbone = tagger.backbone_of(body)
    return shares(body, backbone, backbone_rate=rate, decay=decay)


def _to_csv(history: list[dict]) -> str:
    output = io.StringIO()
    writer = csv.DictWriter(output, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return output.getvalue()
