"""Hierarchical and weakly labelled audio tagging in Keras 3 and TensorFlow.

The map of the house; a file uses lower floors and its own folder, never higher ones:

* floor 0, NumPy (`metrics` also scikit-learn): `audio` `containers` `mel` `taxonomy`
  `metrics` `thresholds` `experiment` `errors` `files` `console`
* floor 1, input and blocks: `data/` (tf.data) | `layers/` `frontends` `augment`
  `losses`
* floor 2, models: `backbones/` `heads` `tagger`
* floor 3, work done with models: `train/` `evaluate` `yardstick` `compare` `explain`
  `plots` `report/` `pretrained/`
* floor 4, doors: `__main__` (the command `tfhier`) and `study`, which
  `experiments/run.py` opens

Nothing heavy is imported until it is used.
"""

__version__ = "0.1.0"


def load(path):
    """Load a saved tagger: clips in, scores by label out.

    Args:
        path: str or Path of a `.keras` file of `tfhier port` or of training.

    Returns:
        `tfhier.runtime.LoadedTagger`, with `tag`, `embed`, `sample_rate` and `levels`.
    """
    from tfhier.runtime import LoadedTagger

    return LoadedTagger(path)
