"""Log-mel spectrogram of waveforms."""

import keras
import numpy as np
from keras import ops

from tfhier import mel

# Powers below it have a magnitude without gradient: that of a root is infinite at 0.
_LEAST_POWER = 1e-30

TRANSFORMS = ("fft", "convolution")


@keras.saving.register_keras_serializable(package="tfhier")
class LogMel(keras.layers.Layer):
    """Turns waveforms into log-mel spectrograms, in decibels unless told otherwise.

    By default the waveform is padded by reflection with half a DFT at both ends
    (librosa's `center=True`), the power spectrum is summed into mel bands, and `10
    log10(max(power, floor))` taken. Published networks also sum magnitudes
    (`exponent=1`), take `ln(mels + offset)` or frame without padding.

    The DFT is a fast Fourier transform or, as in PANNs, a strided convolution with
    fixed windowed kernels. They agree to rounding; on a CPU the first is several times
    cheaper, and the second needs built-in operations of TFLite only.

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
        floor: float > 0. Least power in decibels. Defaults to 1e-10, that is -100 dB.
        exponent: 2 or 1. Whether bands sum powers or magnitudes. Defaults to 2.
        offset: float > 0. What is added to every band before its natural logarithm,
            which then takes the place of decibels. Defaults to None: decibels.
        eight_bit: bool. Whether what bands sum is rounded to 255 steps of a frame's
            loudest bin, and the bands themselves to 127 steps, as TFLite's 8-bit
            kernels do it. What lies 48 dB (of magnitudes) below the loudest is lost.
            Defaults to False.
        center: bool. Whether frame t is centred on sample t * hop_length, the ends
            reflected. Else it begins there with the first sample of its window, and
            what does not fill a window is left out. Defaults to True.
        transform: "fft" or "convolution". Defaults to "fft".

    Input shape:
        (batch, samples), float in [-1, 1]; samples >= `min_samples`.

    Output shape:
        (batch, frames, num_mels), in dB re 1 or natural logarithms; frames are
        1 + samples // hop_length, and 1 + (samples - window_length) // hop_length
        without centring.

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
        exponent: int = 2,
        offset: float | None = None,
        eight_bit: bool = False,
        center: bool = True,
        transform: str = "fft",
        **kwargs,
    ):
        _check_frames(num_fft, hop_length, window_length)
        _check_levels(floor, offset, exponent)
        if transform not in TRANSFORMS:
            raise ValueError(
                f"LogMel's transform is one of {', '.join(TRANSFORMS)}. Received: "
                f"transform={transform!r}"
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
        self.exponent = exponent
        self.offset = offset
        self.eight_bit = eight_bit
        self.center = center
        self.transform = transform
        bank = mel.filter_bank(
            sample_rate=sample_rate,
            num_fft=num_fft,
            num_mels=num_mels,
            min_hertz=min_hertz,
            max_hertz=max_hertz,
            scale=scale,
        )
        if eight_bit:
            step = bank.max() / 127
            bank = np.round(bank / step) * step
        # The loudest bin may lie outside all bands.
        inside = np.arange(len(bank)) if eight_bit else np.flatnonzero(bank.any(axis=1))
        # Bins outside all bands are not needed.
        self._bins = slice(int(inside[0]), int(inside[-1]) + 1)
        self._bank = bank[self._bins]  # (bins, mels)
        self._window = self._frame_window()
        if transform == "convolution":
            self._kernel = self._dft_kernel()  # (samples of a frame, 1, 2 * bins)

    def _frame_window(self) -> np.ndarray:
        """Window of all samples of a frame."""
        window = mel.hann_window(self.window_length)
        if self.center:
            before = (self.num_fft - self.window_length) // 2
            after = self.num_fft - self.window_length - before
            return np.pad(window, (before, after))
        # Zeros around it would shift the frames. Without them only phases differ, which
        # no power shows.
        return window

    def _dft_kernel(self) -> np.ndarray:
        """Windowed cosines, then sines, of the used bins."""
        bins = np.arange(self.num_fft // 2 + 1)[self._bins]
        turns = np.outer(np.arange(len(self._window)), bins) / self.num_fft
        angles = 2 * np.pi * (turns % 1.0)
        kernel = np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)
        kernel = self._window[:, None] * kernel
        return kernel[:, None, :].astype(np.float32)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(
                "LogMel expects waveforms of shape (batch, samples). Received: "
                f"input_shape={input_shape}"
            )
        samples = input_shape[1]
        if samples is not None and samples < self.min_samples:
            why = (
                "more than half a DFT, for the reflection at the ends"
                if self.center
                else "one window"
            )
            raise ValueError(
                f"LogMel needs {self.min_samples} samples or more ({why}). Received: "
                f"{samples} samples. Pad the clip."
            )

    def call(self, waveform):
        return self.from_power(self.power(waveform))

    @property
    def min_samples(self) -> int:
        """Fewest samples that a waveform may have."""
        return self.num_fft // 2 + 1 if self.center else self.window_length

    @property
    def first_bin(self) -> int:
        """DFT bin of the first that `power` gives."""
        return self._bins.start

    def power(self, waveform):
        """Return the power spectrum (batch, frames, bins) of the bins inside bands."""
        waveform = ops.cast(waveform, "float32")
        if self.center:
            half = self.num_fft // 2
            waveform = ops.pad(waveform, [[0, 0], [half, half]], mode="reflect")
        if self.transform == "fft":
            frames = ops.extract_sequences(
                waveform, len(self._window), self.hop_length
            ) * ops.convert_to_tensor(self._window, "float32")
            real, imaginary = (
                part[..., self._bins] for part in ops.rfft(frames, self.num_fft)
            )
        else:
            spectrum = ops.conv(
                waveform[..., None],
                ops.convert_to_tensor(self._kernel),
                strides=self.hop_length,
                padding="valid",
                data_format="channels_last",
            )  # (batch, frames, 2 * bins)
            real, imaginary = ops.split(spectrum, 2, axis=-1)
        return ops.square(real) + ops.square(imaginary)

    def from_power(self, power):
        """Return the log-mel (batch, frames, mels) of a power spectrum."""
        spectrum = power
        if self.exponent == 1:
            spectrum = ops.sqrt(ops.maximum(power, _LEAST_POWER))
        if self.eight_bit:
            step = ops.max(spectrum, axis=-1, keepdims=True) / 255
            step = ops.maximum(step, _LEAST_POWER)
            spectrum = step * ops.round(spectrum / step)
        mels = ops.matmul(spectrum, ops.convert_to_tensor(self._bank))
        if self.offset is not None:
            return ops.log(mels + self.offset)
        decibels = 10.0 / np.log(10.0)
        return decibels * ops.log(ops.maximum(mels, self.floor))

    def compute_output_shape(self, input_shape):
        samples = input_shape[1]
        if samples is not None and not self.center:
            samples -= self.window_length
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
            "exponent": self.exponent,
            "offset": self.offset,
            "eight_bit": self.eight_bit,
            "center": self.center,
            "transform": self.transform,
        }


def _check_frames(num_fft: int, hop_length: int, window_length: int | None) -> None:
    """Raise a ValueError for frames that cannot be."""
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


def _check_levels(floor: float, offset: float | None, exponent: int) -> None:
    """Raise a ValueError for levels that no logarithm can be taken of."""
    if floor <= 0 or (offset is not None and offset <= 0):
        raise ValueError(
            "LogMel's floor and its offset, if any, must be positive. Received: "
            f"floor={floor}, offset={offset}"
        )
    if exponent not in (1, 2):
        raise ValueError(
            "LogMel sums powers (exponent=2) or magnitudes (exponent=1). Received: "
            f"exponent={exponent}"
        )
