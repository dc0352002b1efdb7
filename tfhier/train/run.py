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
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfhier import (
    contract,
    evaluate,
    frontends,
    losses,
    machine,
    metrics,
    saved,
    tagger,
)
from tfhier.contract import Contract
from tfhier.data import sampling
from tfhier.data.bundle import Bundle
from tfhier.data.pipeline import steps_per_epoch, training_batches
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.files import (
    read_json,
    require_space,
    write_json,
    write_text,
)
from tfhier.layers import LogMel
from tfhier.train import svm
from tfhier.train.keeper import Keeper
from tfhier.train.optimizer import adam, shares
from tfhier.train.progress import Progress
from tfhier.train.schedules import WarmupHoldDecay
from tfhier.train.trainer import Trainer


def request(
    experiment: Experiment,
    bundle: Bundle,
    *,
    seed: int,
    fold: int,
    initial: Sequence[Path] = (),
) -> dict:
    """Return what decides a run's numbers, for `experiment.json`.

    Args:
        experiment: Experiment with an empty grid.
        bundle: Bundle of its data.
        seed: int.
        fold: int.
        initial: Saved models that the backbone starts from.
    """
    started = [saved.digest(path) for path in initial]
    return {
        **experiment.settings(),
        "seed": seed,
        "fold": fold,
        "data": bundle.clips.name,
        "num_clips": len(bundle.clips),
        "data_fingerprint": bundle.fingerprint,
        **({"initial_models": started} if started else {}),
    }


def check_settings(folder: Path, wanted: dict) -> None:
    """Refuse to go on in the folder of a run that was asked for otherwise.

    By other code it may have been made: not every change of it changes numbers.

    Raises:
        InputError: The folder holds a run of other settings; they are named.
    """
    if not (folder / "experiment.json").is_file():
        # A hidden name is what a kill left of a file that was being written.
        if folder.is_dir() and any(path.name[0] != "." for path in folder.iterdir()):
            raise InputError(
                f"{folder} holds results but no experiment.json that says of what. "
                "Start over with --fresh, or choose another --output folder."
            )
        return
    there = read_json(folder / "experiment.json")
    defaults = Experiment().settings()
    differing = [
        f"{name} {there.get(name)!r} -> {wanted.get(name)!r}"
        for name in sorted((set(there) | set(wanted)) - {"code"})
        # A run made before a setting existed had its default.
        if there.get(name, defaults.get(name)) != wanted.get(name)
    ]
    if there.get("data_fingerprint") != wanted["data_fingerprint"]:
        raise InputError(
            f"{folder} holds a run on other clips or labels ({there.get('num_clips')} "
            f"clips of {there.get('data')} then, {wanted['num_clips']} of "
            f"{wanted['data']} now). Keep both with another --output folder, or delete "
            "that run with --fresh."
        )
    if differing:
        raise InputError(
            f"{folder} holds a run with other settings: {'; '.join(differing)}. Start "
            "over with --fresh, or keep both with another --output folder."
        )


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
        _check_embeddings(frontend, body, bundle)
    _check_single_label(experiment, bundle)
    rows = np.flatnonzero(parts == "train")
    if frontend is not None:
        _noise_rows(experiment, bundle, rows)
    if experiment.fit == "svm":
        svm.check_labels(bundle, rows)
    elif experiment.sampling != "uniform":
        sampling.check_labels(experiment.sampling, bundle.positive(rows))
    return frontend, body


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
    wanted = request(experiment, bundle, seed=seed, fold=fold, initial=initial)
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
            else _noise_rows(experiment, bundle, rows),
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


def _check_embeddings(frontend: LogMel, body: keras.Model, bundle: Bundle) -> None:
    """Raise an InputError unless the known embeddings are those of a run's backbone.

    Layers of the same names and shapes may still be joined otherwise.
    """
    first = np.zeros(1, int)
    backbone = tagger.backbone_of(body)
    own = np.asarray(backbone(frontend(bundle.source.fetch(first)), training=False))
    known = bundle.embedded.fetch(first)
    if own.shape != known.shape or np.abs(own - known).max() > 1e-3 * np.abs(own).max():
        raise InputError(
            f"{bundle.embedded.model} has the weights of this backbone, but embeds "
            "clips otherwise: it was saved by other code. Train or port it again."
        )


def _check_single_label(experiment: Experiment, bundle: Bundle) -> None:
    """Raise an InputError for settings that need labels that exclude each other."""
    is_chosen_by_recall = (
        experiment.selection != "last" and experiment.select_by == "uar"
    )
    needing = {
        "loss=cce": experiment.loss == "cce",
        "select_by=uar": is_chosen_by_recall,
    }
    wanted = [name for name, is_asked in needing.items() if is_asked]
    if not wanted:
        return
    labelling = bundle.labellings[bundle.taxonomy.fine]
    # A softmax would learn nothing from the others.
    is_fit = (
        metrics.has_one_label(*labelling)[bundle.usable].all()
        if experiment.loss == "cce"
        else metrics.is_single_label(*labelling)
    )
    if not is_fit:
        raise InputError(
            f"{' and '.join(wanted)} need{'s' * (len(wanted) == 1)} clips with exactly "
            f"one label each, and all labels known. Those of {bundle.clips.name} have "
            "none, several or unknown ones. Use --set loss=bce, --set select_by=mAP."
        )


def _noise_rows(
    experiment: Experiment, bundle: Bundle, training: np.ndarray
) -> np.ndarray | None:
    """Return the training clips that serve as noise, None if none is asked for."""
    if not experiment.noise_rate:
        return None
    labels = bundle.taxonomy.labels_of(bundle.taxonomy.fine)
    if experiment.noise_label not in labels:
        raise InputError(
            f"noise_label is one of the labels {', '.join(labels)}. Received: "
            f"'{experiment.noise_label}'"
        )
    column = labels.index(experiment.noise_label)
    rows = training[bundle.positive(training)[:, column]]
    if not rows.size:
        raise InputError(
            f"No training clip is labelled '{experiment.noise_label}', so there is no "
            "noise to mix in. Choose another noise_label, or --set noise_rate=0."
        )
    return rows


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

    return Contract(
        taxonomy=bundle.taxonomy,
        sample_rate=0 if experiment.features else settings["sample_rate"],
        softmax=experiment.loss == "cce",
        source=" from ".join([f"trained on {bundle.clips.name}", *told("source")]),
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
