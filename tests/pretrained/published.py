"""State dicts as the published code would save them, made from models of ours.

The way back from our names and layouts to PyTorch's, written apart from the rules that
lead here; and the front end's tensors, from plain formulas.
"""

from collections.abc import Mapping

import keras
import numpy as np
import scipy.signal

from tfhier import mel, tagger
from tfhier.experiment import Experiment
from tfhier.taxonomy import Taxonomy

NETWORKS = {  # a width at which each is small
    "cnn6": 1 / 16,
    "cnn10": 1 / 16,
    "cnn14": 1 / 32,
    "mobilenet_v1": 1 / 16,
    "resnet22": 1 / 32,
    "wide_resnet28": 1 / 8,
}
LEAVES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "kernel": "weight",
    "bias": "bias",
}


def body(backbone: str, *, num_classes: int = 7, **more) -> keras.Model:
    """A body with the head flat over `label`, of random weights and statistics."""
    settings = {"width": NETWORKS[backbone], "head": "flat", "spec_augment": False}
    taxonomy = Taxonomy.flat([f"l{number}" for number in range(num_classes)])
    experiment = Experiment(backbone=backbone, **(settings | more))
    model = tagger.build(experiment, taxonomy)[1]
    rng = np.random.default_rng(5)
    for variable in model.weights:
        drawn = rng.normal(0.0, 0.5, variable.shape).astype(np.float32)
        is_variance = variable.path.endswith("variance")
        variable.assign(np.abs(drawn) + 0.5 if is_variance else drawn)
    return model


def name_of(path: str) -> str:
    """Published name of one of our variables."""
    layer, leaf = path.split("/")
    if layer == "label_classifier":
        layer = "fc_audioset"
    else:
        layer = layer.replace("_", ".")
        for words in ("conv_block_after", "conv_block", "down_sample"):
            layer = layer.replace(words.replace("_", "."), words)
    return f"{layer}.{LEAVES[leaf]}"


def turned(values: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    """Values in PyTorch's layout."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return np.moveaxis(values, (2, 3), (0, 1))
    if values.ndim == 4:
        return np.moveaxis(values, (3, 2), (0, 1))
    return values.T


def state_dict(model: keras.Model) -> dict[str, np.ndarray]:
    """What the published code would save of a body, without the front end."""
    tensors = {}
    for layer in model.layers:
        for variable in layer.weights:
            name = name_of(variable.path)
            tensors[name] = turned(np.array(variable), layer)
            if name.endswith("running_var"):
                counter = name.replace("running_var", "num_batches_tracked")
                tensors[counter] = np.array(1_234)
    return tensors


def front_end(settings: Mapping, *, bank: np.ndarray | None = None) -> dict:
    """Tensors of a front end with these settings of `LogMel`."""
    num_fft = settings["num_fft"]
    half = num_fft // 2 + 1
    window = scipy.signal.get_window("hann", num_fft)
    kernels = (np.fft.fft(np.eye(num_fft))[:half] * window)[:, None]
    if bank is None:
        chosen = {key: settings[key] for key in settings if key != "hop_length"}
        bank = mel.filter_bank(**chosen)
    return {
        "spectrogram_extractor.stft.conv_real.weight": kernels.real.astype(np.float32),
        "spectrogram_extractor.stft.conv_imag.weight": kernels.imag.astype(np.float32),
        "logmel_extractor.melW": bank,
    }
