"""Backbones by name: functions from a Keras tensor to an embedding (batch, units).

Each takes `width`, a multiplier of its channel counts, and `augment`, a layer placed
behind its input normalisation.
"""

from tfhier.backbones.mlp import mlp
from tfhier.backbones.panns import cnn6, cnn10, cnn14

BACKBONES = {"cnn6": cnn6, "cnn10": cnn10, "cnn14": cnn14, "mlp": mlp}


def describe() -> dict[str, str]:
    """Return a sentence on every backbone: the first line of its documentation."""
    return {name: build.__doc__.splitlines()[0] for name, build in BACKBONES.items()}
