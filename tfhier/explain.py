"""What a tagger heard: attention maps of test clips, and its embeddings on a plane.

The clips to show are chosen by a rule that does not look at any score
(`SELECTION_RULE`), so that a page shows what there is and not what looks good.
"""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from tfhier import evaluate, mel, saved, tagger
from tfhier.data.bundle import Bundle
from tfhier.errors import InputError
from tfhier.files import read_json
from tfhier.layers import LogMel
from tfhier.taxonomy import Taxonomy

SELECTION_RULE = (
    "the test clips with the most observed labels, and of equals the first by key; no "
    "score has a say"
)


def attention_examples(
    folder: Path, bundle: Bundle, *, num_examples: int = 4
) -> list[dict]:
    """Explain some test clips by the attention of an experiment's best run.

    Args:
        folder: Path of the experiment, with `metrics.json`.
        bundle: Bundle that it was trained on.
        num_examples: int >= 0. Clips to explain, chosen by `SELECTION_RULE`.

    Returns:
        A list of dicts, empty if the tagger has no residual attention: `key`; `scores`
        (level -> (labels,)); `attention` (upper level -> (labels of the level below,
        labels), columns sum to 1); `targets` and `observed` (level -> (labels,)); for
        audio also `log_mel` (frames, mels) in dB, `hop_seconds` and `band_hertz`
        (mels,).

    Raises:
        InputError: The run's files are missing, or it was tested on other clips.
    """
    wide = _with_attention(folder, bundle)
    if wide is None or not num_examples:
        return []
    rows = test_rows(folder, bundle)
    counts = bundle.labellings[bundle.taxonomy.fine][1][rows].sum(axis=1)
    rows = rows[np.lexsort((bundle.clips.keys[rows], -counts))][:num_examples]
    outputs = evaluate.score(wide, bundle, rows)
    attention = _attention_of(outputs, bundle.taxonomy)
    return [
        {
            "key": str(bundle.clips.keys[row]),
            "scores": {level: outputs[level][i] for level in bundle.taxonomy.levels},
            "attention": {level: maps[i] for level, maps in attention.items()},
            "targets": {
                level: pair[0][row] for level, pair in bundle.labellings.items()
            },
            "observed": {
                level: pair[1][row] for level, pair in bundle.labellings.items()
            },
            **_heard(wide, bundle, row),
        }
        for i, row in enumerate(rows)
    ]


def attention_on_test(folder: Path, bundle: Bundle) -> dict[str, np.ndarray]:
    """Return the attention maps of all test clips of an experiment's best run.

    Args:
        folder: Path of the experiment, with `metrics.json`.
        bundle: Bundle that it was trained on.

    Returns:
        Dict of upper level -> float array (clips, labels of the level below, labels),
        empty if the tagger has no residual attention.

    Raises:
        InputError: As `attention_examples`.
    """
    wide = _with_attention(folder, bundle)
    if wide is None:
        return {}
    outputs = evaluate.score(wide, bundle, test_rows(folder, bundle))
    return _attention_of(outputs, bundle.taxonomy)


def embedding_plane(
    folder: Path, bundle: Bundle, *, max_clips: int = 3000
) -> tuple[np.ndarray, np.ndarray]:
    """Lay the embeddings of an experiment's best run on a plane by t-SNE.

    Args:
        folder: Path of the experiment, with `metrics.json`.
        bundle: Bundle that it was trained on.
        max_clips: int >= 2. Of more test clips so many are drawn at random.

    Returns:
        Tuple of rows, int (clips,), and places, float (clips, 2).

    Raises:
        InputError: The run's files are missing, or it was tested on other clips.
    """
    path = folder / read_json(folder / "metrics.json")["best_run"] / "best.keras"
    model = tagger.embedder(saved.load(path, bundle.taxonomy), bundle.taxonomy)
    rows = test_rows(folder, bundle)
    if len(rows) > max_clips:
        drawn = np.random.default_rng(0).choice(len(rows), max_clips, replace=False)
        rows = rows[np.sort(drawn)]
    embeddings = evaluate.score(model, bundle, rows)
    if len(rows) < 2:
        return rows, np.zeros((len(rows), 2))
    # A network that answers alike to everything has no principal components.
    num_varying = (np.ptp(embeddings, axis=0) > 0).sum()
    method = TSNE(
        random_state=0,
        init="pca" if num_varying > 1 else "random",
        perplexity=min(30.0, (len(rows) - 1) / 3),
    )
    # Beside other jobs its threads wait for each other: 17 s for 40 clips, not 0.1 s.
    with threadpool_limits(1):
        return rows, method.fit_transform(embeddings)


def group_shares(
    attention: Mapping[str, np.ndarray], taxonomy: Taxonomy
) -> dict[str, dict[str, float]]:
    """Return how much of each label's attention lies on its own children.

    Without a prior ResAtt is not told the taxonomy. A share near 1 says then that it
    found the label's children by itself; evenly spread attention has the share
    `children / labels below`.

    Args:
        attention: Dict of upper level -> float array (clips, labels of the level below,
            labels), columns sum to 1.
        taxonomy: Taxonomy of the labels.

    Returns:
        Dict of upper level -> label -> mean share over the clips, in [0, 1].
    """
    shares = {}
    for lower, upper in zip(taxonomy.levels[:-1], taxonomy.levels[1:], strict=True):
        if upper not in attention:
            continue
        under = taxonomy.membership(lower, upper)
        own = np.where(under, attention[upper], 0).sum(axis=1).mean(axis=0, dtype=float)
        shares[upper] = dict(
            zip(taxonomy.labels_of(upper), map(float, own), strict=True)
        )
    return shares


def _with_attention(folder: Path, bundle: Bundle) -> keras.Model | None:
    """The best run's tagger with maps as further outputs; None for other heads."""
    summary = read_json(folder / "metrics.json")
    if summary["settings"]["head"] != "resatt" or len(bundle.taxonomy.levels) == 1:
        return None
    path = folder / summary["best_run"] / "best.keras"
    return tagger.attention_maps(saved.load(path, bundle.taxonomy))


def test_rows(folder: Path, bundle: Bundle) -> np.ndarray:
    """Return the rows of the best run's test clips, in the order of its scores."""
    path = folder / read_json(folder / "metrics.json")["best_run"] / "scores.npz"
    if not path.is_file():
        raise InputError(f"There is no file {path}. Evaluate again with --test-only.")
    with np.load(path, allow_pickle=False) as scores:
        keys = scores["sample_key"]
    rows = np.flatnonzero(np.isin(bundle.clips.keys, keys))
    if len(rows) != len(keys):
        raise InputError(
            f"{path} holds {len(keys)} test clips, but {bundle.clips.name} has only "
            f"{len(rows)} of them. Give the data that the run was tested on."
        )
    return rows


def _attention_of(outputs: Mapping[str, np.ndarray], taxonomy: Taxonomy) -> dict:
    return {level: outputs[f"{level}_attention"] for level in taxonomy.levels[1:]}


def _heard(wide: keras.Model, bundle: Bundle, row: int) -> dict:
    """The clip's log-mel as the tagger's own front end hears it; empty for features."""
    layer = next((item for item in wide.layers if isinstance(item, LogMel)), None)
    if layer is None:
        return {}
    # A band peaks at the edge that its neighbours begin or end at.
    edges = np.linspace(
        mel.hertz_to_mel(layer.min_hertz, scale=layer.scale),
        mel.hertz_to_mel(layer.max_hertz, scale=layer.scale),
        layer.num_mels + 2,
    )
    log_mel = np.asarray(layer(bundle.source.fetch(np.array([row]))))[0]
    if layer.offset is not None:  # natural logarithms of magnitudes or powers
        log_mel = log_mel * 20.0 / (layer.exponent * np.log(10.0))
    return {
        "log_mel": log_mel,
        "hop_seconds": layer.hop_length / layer.sample_rate,
        "band_hertz": mel.mel_to_hertz(edges[1:-1], scale=layer.scale),
    }
