"""Linear support vector machines in place of a trained head.

The challenge's baseline and Pellegrini 2021 (Sec. 5) classify embeddings that way. Here
the machines become the weights of the head's own classifier, so a tagger so made is
evaluated, explained and exported like any other.
"""

import keras
import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tfhier import evaluate, metrics, tagger
from tfhier.data.bundle import Bundle
from tfhier.errors import InputError

# Cost of a violated margin on standardised embeddings. The paper names none.
COST = 1e-3


def fit(model: keras.Model, bundle: Bundle, rows: np.ndarray) -> float:
    """Fit one machine a label of the finest level and put them into the classifier.

    Each label against the rest, over the clips where it was observed, both sides
    weighted alike. Scores are sigmoids of the margins; they rank as the margins do.

    Args:
        model: Tagger, end to end, whose backbone is trained.
        bundle: Bundle.
        rows: int array. Training clips.

    Returns:
        Binary cross-entropy of the training clips.

    Raises:
        InputError: A label lacks positive or negative training clips.
    """
    check_labels(bundle, rows)
    taxonomy = bundle.taxonomy
    classifier = tagger.body_of(model).get_layer(f"{taxonomy.fine}_classifier")
    embeddings = evaluate.score(tagger.embedder(model, taxonomy), bundle, rows)
    scaler = StandardScaler().fit(embeddings)
    scaled = scaler.transform(embeddings)
    targets, observed = (table[rows] for table in bundle.labellings[taxonomy.fine])
    kernel = np.zeros((embeddings.shape[1], targets.shape[1]))
    bias = np.zeros(targets.shape[1])
    for label in range(targets.shape[1]):
        seen = observed[:, label]
        positive = targets[seen, label] > 0
        machine = LinearSVC(C=COST, class_weight="balanced", random_state=0)
        machine.fit(scaled[seen], positive)
        kernel[:, label] = machine.coef_[0] / scaler.scale_
        bias[label] = machine.intercept_[0] - kernel[:, label] @ scaler.mean_
    classifier.set_weights([kernel, bias])
    margins = embeddings.astype(np.float64) @ kernel + bias
    scores = 1.0 / (1.0 + np.exp(-np.clip(margins, -50, 50)))
    return metrics.binary_crossentropy(scores, targets, observed)


def check_labels(bundle: Bundle, rows: np.ndarray) -> None:
    """Raise an InputError if a label lacks positive or negative training clips."""
    taxonomy = bundle.taxonomy
    targets, observed = (table[rows] for table in bundle.labellings[taxonomy.fine])
    for label, name in enumerate(taxonomy.labels_of(taxonomy.fine)):
        positive = targets[observed[:, label], label] > 0
        if positive.all() or not positive.any():
            raise InputError(
                f"A support vector machine needs clips with and without '{name}' to "
                "train on. Leave the label out, or use fit='gradient'."
            )
