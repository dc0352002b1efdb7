"""A convolution as one matrix product, for kernels with many channels on a CPU."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class MatmulConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` of stride 1 that multiplies patches by the kernel.

    On a CPU, TensorFlow leaves convolutions to oneDNN. Where few positions meet many
    channels it reads the kernel as it lies in memory, in steps of `4 * filters` bytes;
    from a page (4 KB) a step on, such a convolution may take ten times as long as the
    product of the same matrices (measured with TensorFlow 2.21 on an AVX-512 machine;
    `tests/benchmarks/matmul_conv2d.py` measures it where it runs). The product needs
    room for all patches, kernel height x kernel width times the input. With a GPU in
    the machine this layer is its base class.

    Args:
        filters: int > 0. Output channels.
        kernel_size: int or pair of ints > 0.
        padding: "same" or "valid". Defaults to "valid".
        **kwargs: As of `keras.layers.Conv2D`, without strides, dilation and groups.

    Input shape:
        (batch, height, width, channels); height and width may be unknown until the
        call.

    Output shape:
        (batch, height, width, filters), height and width as the padding leaves them.

    Example:

    >>> layer = MatmulConv2D(1, 3, padding="same", kernel_initializer="ones")
    >>> layer(keras.ops.ones((1, 1, 3, 2))).numpy().ravel().tolist()
    [4.0, 6.0, 4.0]
    """

    def __init__(self, filters, kernel_size, **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        fixed = {
            "strides": (self.strides, (1, 1)),
            "dilation_rate": (self.dilation_rate, (1, 1)),
            "groups": (self.groups, 1),
            "data_format": (self.data_format, "channels_last"),
        }
        for name, (received, expected) in fixed.items():
            if received != expected:
                raise ValueError(
                    f"MatmulConv2D has {name}={expected} only; keras.layers.Conv2D "
                    f"has others. Received: {name}={received}"
                )

    def convolution_op(self, inputs, kernel):
        if keras.distribution.list_devices("gpu"):
            return super().convolution_op(inputs, kernel)
        rows, columns = self.kernel_size
        if self.padding == "same":
            around = [((size - 1) // 2, size // 2) for size in self.kernel_size]
            inputs = ops.pad(inputs, [(0, 0), *around, (0, 0)])
        _, height, width, _ = ops.shape(inputs)
        height, width = height - rows + 1, width - columns + 1
        # A patch lists rows, columns, channels, as the kernel does.
        patches = ops.concatenate(
            [
                inputs[:, row : row + height, column : column + width]
                for row in range(rows)
                for column in range(columns)
            ],
            axis=-1,
        )
        return ops.matmul(patches, ops.reshape(kernel, (-1, self.filters)))
