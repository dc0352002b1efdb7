"""Hierarchical and weakly labelled audio tagging in Keras 3 and TensorFlow.

The map of the house; a file uses lower floors and its own folder, never higher ones:

* floor 0, NumPy (`metrics` also scikit-learn): `taxonomy` `experiment` `metrics`
* floor 1, input and blocks: `data/` (tf.data) | `layers/` `frontends` `losses`
* floor 2, models: `backbones/` `heads` `tagger`
* floor 3, work done with models: `train/` `evaluate` `runtime` `report/` `pretrained/`
* floor 4, doors: `__main__` (the command `tfhier`) and `study`, which
  `experiments/run.py` opens

and all the rest in `docs/architecture.md`. Nothing heavy is imported until it is used.
"""

__version__ = "0.1.0"


def load(path, *, window_seconds=0.0, num_threads=1):
    """Load a saved tagger: clips in, scores by label out.

    Args:
        path: str or Path of a `.keras` or `.tflite` file, a SavedModel, or the folder
            of a run, an experiment or exported versions; name of published weights,
            such as "yamnet" (`tfhier list weights`); or URL of a model on a server.
        window_seconds: float. Length of sound that it takes at a time, for long clips;
            0 for whole clips, or the model's own windows.
        num_threads: int. Threads that share the work of a window, of a `.tflite` file.

    Returns:
        `tfhier.runtime.LoadedTagger`, with `tag`, `embed`, `sample_rate` and `levels`.
    """
    from tfhier.runtime import LoadedTagger

    return LoadedTagger(path, window_seconds=window_seconds, num_threads=num_threads)
