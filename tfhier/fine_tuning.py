"""Further training of a saved tagger's head on verdicts of people on its events."""

from pathlib import Path

from tfhier import contract, model_paths
from tfhier.errors import InputError
from tfhier.experiment import Experiment, read_settings

# What decides the shape of a tagger and what its head is taught: a start keeps it.
_KEPT = (
    "frontend", "backbone", "width", "hidden_units", "hidden_dropout", "head",
    "flat_pool", "attention_prior", "attention_scale", "loss", "fine_weight",
    "consistency_weight", "coarse_negatives",
)  # fmt: skip


def on_verdicts(model: Path) -> Experiment:
    """Return the training of a tagger's head on verdicts on its own events.

    The backbone stays as it is, so embeddings are computed once and a training takes
    seconds. The head begins where it was, and the epoch is chosen on verdicts that are
    held out.

    Args:
        model: Path of a run's `best.keras`.

    Raises:
        InputError: The model is no run's, or is not of waveforms in clips.
    """
    request = model.parent / "experiment.json"
    if not request.is_file():
        raise InputError(
            f"{model} lies in no folder of a run (there is no {request}), so how it "
            "was trained is not known. Give the folder: --model saved_models/NAME"
        )
    settings = read_settings(request)
    promised = contract.read(model)
    if not promised.clip_seconds:
        raise InputError(
            f"{model} hears no clips of one length, so none can be cut for it."
        )
    return Experiment(
        row=f"{model_paths.model_name(model)} on verdicts",
        table="On verdicts",
        dataset="verdicts",
        taxonomy="",
        background="gaps",
        clip_seconds=promised.clip_seconds,
        pretrained=str(model.resolve()),
        initial_head=True,
        frozen=True,
        spec_augment=False,
        dropout_scale=0.0,
        batch_size=32,
        epochs=40,
        steps_per_epoch=50,
        learning_rate=3e-3,
        warmup_epochs=0,
        weight_decay=0.0,
        seeds=(0,),
        **{name: settings[name] for name in _KEPT},
    )


def trained_of(name: Path) -> Path:
    """Return the trained model that a file or folder is, or was exported from.

    Args:
        name: Path of a saved tagger in any format, or of a folder of results.

    Returns:
        Path of a `.keras` file.

    Raises:
        InputError: There is none beside it, or it has other labels.
    """
    found = model_paths.find(name)
    if found.suffix == ".keras":
        return found
    home = found.parent.parent if found.is_dir() else found.parent
    try:
        trained = model_paths.find(home)
    except InputError:
        trained = found
    if trained.suffix != ".keras":
        raise InputError(
            f"{found} cannot be trained further, and what it was exported from is not "
            f"in {home}. Say where that is: --model saved_models/NAME"
        )
    if contract.read(trained).taxonomy != contract.read(found).taxonomy:
        raise InputError(
            f"{found} has other labels than {trained} beside it. Say what it was "
            "exported from: --model saved_models/NAME"
        )
    return trained
