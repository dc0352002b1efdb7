"""The networks that timings compare with are those of the project."""

import numpy as np
import pytest

from tfhier.frontends import FRONTENDS
from tfhier.pretrained import panns

torch = pytest.importorskip("torch")

# Trained ones of the published networks, all 527 classes (Kong et al. 2020).
NUM_PARAMETERS = {
    "cnn10": 5_219_279,
    "mobilenet_v1": 4_796_303,
    "cnn14": 80_753_615,
}
NETWORKS = (
    "cnn10",
    "mobilenet_v1",
    pytest.param("cnn14", marks=pytest.mark.slow),
)


def network(name: str, frontend: str = "panns_32k"):
    """A network in evaluation mode with random biases, scales and statistics.

    The statistics are nearly those of sounds: normalised maps tell clips apart.
    """
    from tests.benchmarks import torch_networks  # which needs PyTorch

    torch.manual_seed(8)
    made = torch_networks.build(name, frontend=FRONTENDS[frontend])
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0.0, 0.2)
                module.momentum = 0.9
        made.fc1.bias.normal_(0.0, 0.2)
        made.fc_audioset.bias.normal_(0.0, 0.2)
        made(torch.from_numpy(sounds()))
    return made.eval()


def sounds() -> np.ndarray:
    """Four clips of two seconds at 32 kHz: noise, in one a tone later.

    The noise stays under the tone. In bands without any, rounding is all that is left.
    """
    rng = np.random.default_rng(8)
    waveform = rng.normal(0.0, 0.1, (4, 64_000)).astype(np.float32)
    waveform[1, 32_000:] += np.sin(np.arange(32_000) / 3)
    return waveform


def tensors(made) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in made.state_dict().items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_port_answers_alike(name):
    made = network(name)
    ported = panns.convert(tensors(made))
    assert ported.notes[0] == f"The network is {name} at width 1, with 527 classes."
    assert "panns_32k, by the tensors" in ported.notes[1]
    with torch.inference_mode():
        theirs = made(torch.from_numpy(sounds())).numpy()
    ours = ported.tagger(sounds(), training=False)["label"].numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    # Answers to classes and to clips differ by far more than that.
    assert theirs.std(axis=1).min() > 0.05
    assert np.abs(theirs[0] - theirs[1]).max() > 0.05


def test_the_other_front_end_is_told_by_its_tensors():
    ported = panns.convert(tensors(network("mobilenet_v1", "panns_16k")))
    assert "panns_16k, by the tensors" in ported.notes[1]
    assert ported.contract.sample_rate == 16_000


@pytest.mark.parametrize("name", NUM_PARAMETERS)
def test_as_many_weights_are_trained_as_in_the_published_networks(name):
    trained = [weight.numel() for weight in network(name).parameters()]
    assert sum(trained) == NUM_PARAMETERS[name]


def test_dropout_only_acts_in_training():
    made = network("mobilenet_v1")
    waveform = torch.from_numpy(sounds())
    with torch.inference_mode():
        assert torch.equal(made(waveform), made(waveform))
        made.train()
        assert not torch.equal(made(waveform), made(waveform))
