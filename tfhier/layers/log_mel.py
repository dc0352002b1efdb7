"""Log-mel spectrogram of waveforms."""

import keras
import numpy as np
from keras import ops

from tfhier import mel


@keras.saving.register_keras_serializable(package="tfhier")
class LogMel(keras.layers.Layer):
    """Turns waveforms into log-mel spectrograms in decibels.

    The DFT is a strided convolution with fixed windowed kernels, as in PANNs, so the
    same layer serves training, SavedModel and TFLite (built-in operations only). The
    waveform is padded by reflection with half a DFT at both ends (librosa's
    `center=True`), the power spectrum is summed into mel bands, and `10
    log10(max(power, floor))` taken.

    Unlike `keras.layers.MelSpectrogram` the floor is absolute: a clip's answer does not
    depend on the other clips of its batch. Power values overflow float16, so the layer
    computes in float32 under any dtype policy.

    It agrees with librosa's float64 to 1e-3 dB wherever a mel cell lies less than 60 dB
    below the loudest cell of its frame (all named front ends, music). Farther down it
    may not: the DFT's float32 sums over the window round by a share of the loudest.

    Args:
        sample_rate: int > 0. In Hz.
        num_fft: int > 0. DFT length in samples.
        hop_length: int > 0. Samples between frames.
        num_mels: int > 0. Mel bands.
        min_hertz: float >= 0. Lower edge of the lowest band.
        max_hertz: float <= sample_rate / 2. Upper edge of the highest band.
        window_length: int in [2, num_fft]. Samples of the periodic Hann window, centred
            in the DFT. Defaults to `num_fft`.
        scale: "slaney" (area-normalised, as PANNs), "htk" or "kaldi"; see `tfhier.mel`.
        floor: float > 0. Least power. Defaults to 1e-10, that is -100 dB.

    Input shape:
        (batch, samples), float in [-1, 1]; samples > num_fft // 2.

    Output shape:
        (batch, 1 + samples // hop_length, num_mels), in dB re 1.

    Example:

    >>> layer = LogMel(sample_rate=16_000, num_fft=512, hop_length=160, num_mels=64,
    ...                min_hertz=50, max_hertz=8_000)
    >>> tuple(layer(keras.ops.zeros((2, 16_000))).shape)
    (2, 101, 64)

    Reference:
        Kong et al., "PANNs", TASLP 2020, Sec. II; Zhong et al. 2023, Sec. 4.2.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        num_fft: int,
        hop_length: int,
        num_mels: int,
        min_hertz: float,
        max_hertz: float,
        window_length: int | None = None,
        scale: mel.Scale = "slaney",
        floor: float = 1e-10,
        **kwargs,
    ):
        if hop_length < 1 or num_fft < 2:
            raise ValueError(
                "LogMel needs num_fft >= 2 and hop_length >= 1 samples. Received: "
                f"num_fft={num_fft}, hop_length={hop_length}"
            )
        if window_length is not None and not 2 <= window_length <= num_fft:
            raise ValueError(
                "LogMel's window must fit into the DFT: 2 <= window_length <= num_fft. "
                f"Received: window_length={window_length}, num_fft={num_fft}"
            )
        if floor <= 0:
            raise ValueError(
                f"LogMel's floor must be positive. Received: floor={floor}"
            )
        kwargs.setdefault("dtype", "float32")
        kwargs.setdefault("trainable", False)
        super().__init__(**kwargs)
        self.sample_rate = sample_rate
        self.num_fft = num_fft
        self.hop_length = hop_length
        self.num_mels = num_mels
        self.min_hertz = min_hertz
        self.max_hertz = max_hertz
        self.window_length = window_length or num_fft
        self.scale = scale
        self.floor = floor
        bank = mel.filter_bank(
            sample_rate=sample_rate,
            num_fft=num_fft,
            num_mels=num_mels,
            min_hertz=min_hertz,
            max_hertz=max_hertz,
            scale=scale,
        )
        inside = np.flatnonzero(bank.any(axis=1))
        self._first_bin = int(inside[0])
        # Bins outside all bands need no kernel.
        used = np.zeros(len(bank), bool)
        used[inside[0] : inside[-1] + 1] = True
        self._bank = bank[used]  # (bins, mels)
        self._kernel = self._dft_kernel(used)  # (num_fft, 1, 2 * bins)

    def _dft_kernel(self, used: np.ndarray) -> np.ndarray:
        """Windowed cosines, then sines, of the used bins."""
        before = (self.num_fft - self.window_length) // 2
        window = np.zeros(self.num_fft)
        window[before : before + self.window_length] = mel.hann_window(
            self.window_length
        )
        turns = np.outer(np.arange(self.num_fft), np.flatnonzero(used)) / self.num_fft
        angles = 2 * np.pi * (turns % 1.0)
        kernel = np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)
        return (window[:, None] * kernel)[:, None, :].astype(np.float32)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(
                "LogMel expects waveforms of shape (batch, samples). Received: "
                f"input_shape={input_shape}"
            )
        samples = input_shape[1]
        if samples is not None and samples <= self.num_fft // 2:
            raise ValueError(
                f"LogMel needs more than {self.num_fft // 2} samples (half a DFT, for "
                f"the reflection at the ends). Received: {samples} samples. Pad the "
                "clip."
            )

    def call(self, waveform):
        return self.from_power(self.power(waveform))

    @property
    def first_bin(self) -> int:
        """DFT bin of the first that `power` gives."""
        return self._first_bin

    def power(self, waveform):
        """Return the power spectrum (batch, frames, bins) of the bins inside bands."""
        half = self.num_fft // 2
        waveform = ops.cast(waveform, "float32")
        padded = ops.pad(waveform, [[0, 0], [half, half]], mode="reflect")
        spectrum = ops.conv(
            padded[..., None],
            ops.convert_to_tensor(self._kernel),
            strides=self.hop_length,
            padding="valid",
            data_format="channels_last",
        )  # (batch, frames, 2 * bins)
        real, imaginary = ops.split(spectrum, 2, axis=-1)
        return ops.square(real) + ops.square(imaginary)

    def from_power(self, power):
        """Return the log-mel (batch, frames, mels) of a power spectrum."""
        mels = ops.matmul(power, ops.convert_to_tensor(self._bank))
        decibels = 10.0 / np.log(10.0)
        return decibels * ops.log(ops.maximum(mels, self.floor))

    def compute_output_shape(self, input_shape):
        samples = input_shape[1]
        frames = None if samples is None else 1 + samples // self.hop_length
        return (input_shape[0], frames, self.num_mels)

    def get_config(self):
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "num_fft": self.num_fft,
            "hop_length": self.hop_length,
            "num_mels": self.num_mels,
            "min_hertz": self.min_hertz,
            "max_hertz": self.max_hertz,
            "window_length": self.window_length,
            "scale": self.scale,
            "floor": self.floor,
        }
