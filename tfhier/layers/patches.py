"""Cut long maps into overlapping patches of equal length."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class Patches(keras.layers.Layer):
    """Cuts maps into patches of `num_frames` that begin every `hop` frames.

    There is always one patch, and then as many as reach the end of the map. What the
    last one lacks is filled with `padding`, so that no frame is left out.

    Args:
        num_frames: int >= 1. Frames of a patch.
        hop: int in [1, num_frames]. Frames from the beginning of one patch to that of
            the next.
        padding: float. What silence is in every mel band. Defaults to 0.

    Input shape:
        (batch, frames, mels); frames may be unknown until the call.

    Output shape:
        (batch, patches, num_frames, mels), with
        patches = 1 + ceil(max(0, frames - num_frames) / hop).

    Example:

    >>> layer = Patches(4, hop=2)
    >>> layer(keras.ops.ones((1, 5, 1)))[0, :, :, 0].numpy().tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0]]
    """

    def __init__(self, num_frames: int, *, hop: int, padding: float = 0.0, **kwargs):
        if not 1 <= hop <= num_frames:
            raise ValueError(
                "Patches needs 1 <= hop <= num_frames, or frames would be left out. "
                f"Received: num_frames={num_frames}, hop={hop}"
            )
        super().__init__(**kwargs)
        self.num_frames = num_frames
        self.hop = hop
        self.padding = padding
        self.built = True

    def call(self, inputs):
        frames = ops.shape(inputs)[1]
        # A tensor where the length is known only when the graph runs.
        largest = max if isinstance(frames, int) else ops.maximum
        rest = largest(frames - self.num_frames, 0)
        patches = 1 - (-rest // self.hop)
        missing = self.num_frames + (patches - 1) * self.hop - frames
        padded = ops.pad(
            inputs, [[0, 0], [0, missing], [0, 0]], constant_values=self.padding
        )
        starts = self.hop * ops.arange(patches, dtype="int32")
        places = starts[:, None] + ops.arange(self.num_frames, dtype="int32")
        return ops.take(padded, places, axis=1)

    def compute_output_shape(self, input_shape):
        batch, frames, mels = input_shape
        patches = None
        if frames is not None:
            patches = 1 - (-max(frames - self.num_frames, 0) // self.hop)
        return (batch, patches, self.num_frames, mels)

    def get_config(self):
        return {
            **super().get_config(),
            "num_frames": self.num_frames,
            "hop": self.hop,
            "padding": self.padding,
        }
