"""Backbones by name: functions from a Keras tensor to an embedding (batch, units).

Each takes a log-mel (batch, frames, mels) or features and, by keyword, `width` (a
multiplier of its channel counts), `dropout_scale` (one of its dropout rates) and
`augment` (a layer to place behind its input normalisation, or None).
"""

from tfhier.backbones.mlp import mlp
from tfhier.backbones.panns import cnn6, cnn10, cnn14

BACKBONES = {"cnn6": cnn6, "cnn10": cnn10, "cnn14": cnn14, "mlp": mlp}

# The fewest frames and mels that the poolings of a network on maps leave something of.
# Backbones that are not named take features of any shape.
SMALLEST_MAP = {"cnn6": 16, "cnn10": 16, "cnn14": 32}


def describe() -> dict[str, str]:
    """Return a sentence on every backbone: the first line of its documentation."""
    return {name: build.__doc__.splitlines()[0] for name, build in BACKBONES.items()}
