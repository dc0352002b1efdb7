"""CNN10, CNN14 and MobileNetV1 in plain PyTorch: what `tfhier` is timed against.

Written from Kong et al., "PANNs", TASLP 2020 (Sec. II and III), and from the networks
of `tfhier.backbones`: waveform in, probabilities of the classes out. Tensors are named
as in the published state dicts, so that `tfhier.pretrained.panns.convert` makes the
twin.

As somebody at home in PyTorch would write them: maps in the default layout (batch,
channels, frames, mels), ReLU in place, no padding of short clips, and the spectrum by
`torch.stft`. That took a third of the time of a convolution with the DFT as its kernel
(8 clips of 10 s at 32 kHz, PyTorch 2.15, 2 threads).
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tfhier import mel

# Channels and pooling of every block of MobileNetV1; the first is a full convolution.
_SEPARABLE = (
    (32, 2),
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
_DECIBELS = 10.0 / np.log(10.0)


class Spectrogram(nn.Module):
    """Waveform (batch, samples) to power spectrum (batch, bins, frames).

    Args:
        num_fft: int. Points of the DFT, and of the Hann window.
        hop_length: int. Samples between frames.
    """

    def __init__(self, num_fft: int, hop_length: int):
        super().__init__()
        self.num_fft = num_fft
        self.hop_length = hop_length
        window = mel.hann_window(num_fft)
        turns = np.outer(np.arange(num_fft // 2 + 1), np.arange(num_fft)) / num_fft
        kernels = window * np.exp(-2j * np.pi * (turns % 1.0))
        self.register_buffer("window", _float(window), persistent=False)
        # Only to be saved: a published file tells its front end by these kernels.
        self.stft = nn.ModuleDict({"conv_real": nn.Module(), "conv_imag": nn.Module()})
        self.stft["conv_real"].register_buffer("weight", _float(kernels.real[:, None]))
        self.stft["conv_imag"].register_buffer("weight", _float(kernels.imag[:, None]))

    def forward(self, waveform):
        spectrum = torch.stft(
            waveform,
            self.num_fft,
            self.hop_length,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        return torch.view_as_real(spectrum).square().sum(dim=-1)


class LogMel(nn.Module):
    """Power spectrum (batch, bins, frames) to log-mel in dB (batch, mels, frames)."""

    def __init__(self, bank: np.ndarray):
        super().__init__()
        self.register_buffer("melW", _float(bank))

    def forward(self, power):
        mels = torch.matmul(self.melW.T, power)
        return _DECIBELS * torch.log(mels.clamp_min(1e-10))


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions, average pooling, dropout 0.2."""

    def __init__(self, inputs: int, units: int, pool: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, units, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(units)
        self.conv2 = nn.Conv2d(units, units, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(units)
        self.pool = pool

    def forward(self, x):
        x = functional.relu_(self.bn1(self.conv1(x)))
        x = functional.relu_(self.bn2(self.conv2(x)))
        if self.pool > 1:
            x = functional.avg_pool2d(x, self.pool)
        return functional.dropout(x, 0.2, self.training)


class Network(nn.Module):
    """The common shape: front end, `bn0`, maps, pooled embedding, classifier.

    Args:
        blocks: Modules by name, from maps (batch, 1, frames, mels) to maps with `units`
            channels, in their order.
        units: int. Of the embedding.
        frontend: Settings as in `tfhier.frontends.FRONTENDS`.
        num_classes: int.
    """

    def __init__(
        self,
        blocks: Mapping[str, nn.Module],
        units: int,
        *,
        frontend: Mapping,
        num_classes: int,
    ):
        super().__init__()
        hop_length = frontend["hop_length"]
        bank = {key: frontend[key] for key in frontend if key != "hop_length"}
        self.spectrogram_extractor = Spectrogram(frontend["num_fft"], hop_length)
        self.logmel_extractor = LogMel(mel.filter_bank(**bank))
        self.bn0 = nn.BatchNorm1d(frontend["num_mels"])
        self.blocks = tuple(blocks)
        for name, block in blocks.items():
            self.add_module(name, block)
        self.fc1 = nn.Linear(units, units)
        self.fc_audioset = nn.Linear(units, num_classes)
        self.apply(_initialise)

    def forward(self, waveform):
        log_mel = self.logmel_extractor(self.spectrogram_extractor(waveform))
        x = self.bn0(log_mel).transpose(1, 2)[:, None]  # (batch, 1, frames, mels)
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        x = x.mean(dim=3)  # (batch, channels, frames)
        x = x.amax(dim=2) + x.mean(dim=2)
        x = functional.dropout(x, 0.5, self.training)
        x = functional.relu_(self.fc1(x))
        return torch.sigmoid(self.fc_audioset(x))


def build(name: str, *, frontend: Mapping, num_classes: int = 527) -> Network:
    """Return a network of random weights, Glorot uniform as in the project.

    Args:
        name: str. A name of `NETWORKS`.
        frontend: Settings as in `tfhier.frontends.FRONTENDS`, of PANNs' kind.
        num_classes: int.
    """
    blocks, units = NETWORKS[name]()
    return Network(blocks, units, frontend=frontend, num_classes=num_classes)


def _cnn10() -> tuple[dict[str, nn.Module], int]:
    return _conv_blocks((64, 128, 256, 512), (2, 2, 2, 2))


def _cnn14() -> tuple[dict[str, nn.Module], int]:
    return _conv_blocks((64, 128, 256, 512, 1024, 2048), (2, 2, 2, 2, 2, 1))


def _conv_blocks(channels, pools) -> tuple[dict[str, nn.Module], int]:
    """Return the convolution blocks and the channels of the last."""
    inputs = (1, *channels[:-1])
    blocks = {
        f"conv_block{number}": ConvBlock(*sizes)
        for number, sizes in enumerate(zip(inputs, channels, pools, strict=True), 1)
    }
    return blocks, channels[-1]


def _mobilenet_v1() -> tuple[dict[str, nn.Module], int]:
    """Return the blocks of MobileNetV1, numbered layers as published, and its units."""
    units, pool = _SEPARABLE[0]
    blocks = [nn.Sequential(*_pooled_convolution(1, units, pool, groups=1))]
    for channels, pool in _SEPARABLE[1:]:
        blocks.append(
            nn.Sequential(
                *_pooled_convolution(units, units, pool, groups=units),
                nn.Conv2d(units, channels, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
        )
        units = channels
    return {"features": nn.Sequential(*blocks)}, units


def _pooled_convolution(inputs: int, units: int, pool: int, *, groups: int):
    """Return convolution, pooling, normalisation and ReLU, in this order."""
    return (
        nn.Conv2d(inputs, units, 3, padding=1, groups=groups, bias=False),
        nn.AvgPool2d(pool) if pool > 1 else nn.Identity(),
        nn.BatchNorm2d(units),
        nn.ReLU(inplace=True),
    )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _float(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


NETWORKS = {"cnn10": _cnn10, "cnn14": _cnn14, "mobilenet_v1": _mobilenet_v1}
