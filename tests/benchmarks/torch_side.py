"""What the project is timed against: the same network and step in plain PyTorch."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch_networks
from torch.nn import functional


class Side:
    """A network as a user of PyTorch has it, in eager mode.

    Args:
        threads: int > 0. That an operation may use.
        network: str. A name of `torch_networks.NETWORKS`.
        frontend: Settings as in `tfhier.frontends.FRONTENDS`.
        channels_last: bool. Whether maps lie in memory as in TensorFlow.
    """

    def __init__(
        self, threads: int, network: str, frontend: Mapping, channels_last: bool
    ):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self._network = torch_networks.build(network, frontend=frontend)
        self._network.eval().to(memory_format=layout)
        self.work: Callable[[], object] | None = None

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the network's state dict."""
        found = self._network.state_dict()
        return {name: tensor.numpy() for name, tensor in found.items()}

    def answer(self, waveform: np.ndarray) -> np.ndarray:
        """Return probabilities (batch, classes) of waveforms (batch, samples)."""
        with torch.inference_mode():
            return self._network(torch.from_numpy(waveform)).numpy()

    def prepare_inference(self, waveform: np.ndarray) -> None:
        """Let `work` be to answer to waveforms."""
        self.work = lambda: self.answer(waveform)

    def prepare_training(self, waveform: np.ndarray, targets: np.ndarray) -> None:
        """Let `work` be a training step on waveforms and targets."""
        network = self._network.train()
        # Its default loop over the tensors took twice as long or more.
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

        def step() -> float:
            optimizer.zero_grad()
            answers = network(torch.from_numpy(waveform))
            loss = functional.binary_cross_entropy(answers, torch.from_numpy(targets))
            loss.backward()
            optimizer.step()
            return loss.item()

        self.work = step

    def version(self) -> str:
        return f"PyTorch {torch.__version__}"
