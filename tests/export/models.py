"""Small taggers, saved, for the tests of exports."""

from pathlib import Path

import keras
import numpy as np

from tests.inventory import settle
from tfhier import saved, tagger
from tfhier.contract import Contract
from tfhier.experiment import Experiment
from tfhier.taxonomy import Taxonomy

RATE = 8_000
TREE = Taxonomy.parse("zebra,animal\na,x\nb,x\nc,y\nd,y\ne,z\n")
SMALL = Experiment(frontend="panns_8k", backbone="cnn6", width=1 / 16, head="resatt")


def build(experiment: Experiment = SMALL, taxonomy: Taxonomy = TREE) -> keras.Model:
    """A tagger whose scores differ from clip to clip and from label to label."""
    frontend, body = tagger.build(experiment, taxonomy)
    rng = np.random.default_rng(5)
    sound = rng.uniform(-0.5, 0.5, (8, frontend.sample_rate)).astype(np.float32)
    sound *= np.geomspace(0.01, 1, 8, dtype=np.float32)[:, None]
    settle(tagger.backbone_of(body), frontend(sound))
    for layer in body.layers:
        if layer.name.endswith("_classifier"):
            kernel, bias = layer.get_weights()
            layer.set_weights([3 * kernel, rng.normal(size=bias.shape)])
    return tagger.end_to_end(frontend, body)


def write(path: Path, model: keras.Model | None = None, **promises) -> Path:
    """Save a tagger of 8 kHz with a contract of choice."""
    facts = {
        "taxonomy": TREE,
        "sample_rate": RATE,
        "clip_seconds": 1.0,
        "source": "nothing",
        **promises,
    }
    saved.write(path, model or build(), Contract(**facts))
    return path


def clip(seconds: float = 1.0, *, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Tones and noise (samples,), each seed its own."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * rng.uniform(100, 0.4 * rate) * time)
    sound = rng.uniform(0.01, 0.4) * tone + 0.02 * rng.normal(size=time.size)
    return sound.astype(np.float32)
