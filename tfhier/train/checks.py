"""What a run needs of its data and its network, known before anything is trained."""

import keras
import numpy as np

from tfhier import metrics, tagger
from tfhier.data.bundle import Bundle
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.layers import LogMel


def check_embeddings(frontend: LogMel, body: keras.Model, bundle: Bundle) -> None:
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


def check_single_label(experiment: Experiment, bundle: Bundle) -> None:
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


def noise_rows(
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
