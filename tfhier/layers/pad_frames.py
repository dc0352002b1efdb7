"""Pad short maps with zero frames, so that poolings along time leave something."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class PadFrames(keras.layers.Layer):
    """Appends zero frames to maps with fewer than `min_frames`; identity for others.

    A network that pools time by 16 has nothing left of 8 frames. Behind a normalisation
    (PANNs' `bn0`) zero is each band's mean, so the added frames are as neutral as what
    SpecAugment masks. The zeros are appended, as silence is to short clips.

    Args:
        min_frames: int >= 1.

    Input shape:
        (batch, frames, mels); frames may be unknown until the call.

    Output shape:
        (batch, max(frames, min_frames), mels)

    Example:

    >>> layer = PadFrames(3)
    >>> layer(keras.ops.ones((1, 2, 1))).numpy().ravel().tolist()
    [1.0, 1.0, 0.0]
    """

    def __init__(self, min_frames: int, **kwargs):
        if min_frames < 1:
            raise ValueError(
                "PadFrames needs a least number of frames >= 1. Received: "
                f"min_frames={min_frames}"
            )
        super().__init__(**kwargs)
        self.min_frames = min_frames
        self.built = True

    def call(self, inputs):
        frames = ops.shape(inputs)[1]
        if not isinstance(frames, int):  # known only when the graph runs
            missing = ops.maximum(self.min_frames - frames, 0)
        elif frames < self.min_frames:
            missing = self.min_frames - frames
        else:
            return inputs
        return ops.pad(inputs, [[0, 0], [0, missing], [0, 0]])

    def compute_output_shape(self, input_shape):
        batch, frames, mels = input_shape
        if frames is not None:
            frames = max(frames, self.min_frames)
        return (batch, frames, mels)

    def get_config(self):
        return {**super().get_config(), "min_frames": self.min_frames}
