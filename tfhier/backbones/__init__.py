"""Backbones by name: functions from a Keras tensor to an embedding.

An embedding is (batch, units), or (batch, frames, units) that is pooled behind it. Each
function takes a log-mel (batch, frames, mels) or features and, by keyword, `width` (a
multiplier of its channel counts), `dropout_scale` (one of its dropout rates) and
`augment` (a layer to place behind its input normalisation, if it has one, or None).
"""

from tfhier.backbones.mlp import mlp
from tfhier.backbones.mobilenet import mobilenet_v1
from tfhier.backbones.panns import cnn6, cnn10, cnn14
from tfhier.backbones.resnet import resnet22
from tfhier.backbones.wide_resnet import wide_resnet28
from tfhier.backbones.yamnet import yamnet

BACKBONES = {
    "cnn6": cnn6,
    "cnn10": cnn10,
    "cnn14": cnn14,
    "mobilenet_v1": mobilenet_v1,
    "resnet22": resnet22,
    "wide_resnet28": wide_resnet28,
    "yamnet": yamnet,
    "mlp": mlp,
}

# The fewest mel bands that the poolings of a network on maps leave something of; fewer
# frames are padded. Backbones that are not named take features of any shape.
SMALLEST_BANDS = {
    "cnn6": 16,
    "cnn10": 16,
    "cnn14": 32,
    "mobilenet_v1": 32,
    "resnet22": 32,
    "wide_resnet28": 1,
    "yamnet": 1,  # whose published weights want the 64 bands of `yamnet_16k`
}


def describe() -> dict[str, str]:
    """Return a sentence on every backbone: the first line of its documentation."""
    return {name: build.__doc__.splitlines()[0] for name, build in BACKBONES.items()}
