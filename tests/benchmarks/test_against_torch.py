"""What the timings are made of: pairs in turn, ratios, warnings, refusals."""

import math

import numpy as np
import pytest

from tests.benchmarks import against_torch
from tfhier import console


class Clockwork:
    """A side of which every call takes the same time; the order of requests is kept."""

    def __init__(self, name: str, seconds: float, requests: list):
        self.name = name
        self.seconds = seconds
        self.requests = requests

    def __call__(self, request: str, *arguments):
        self.requests.append((self.name, request, *arguments))
        return self.seconds


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(against_torch, "PAUSE_SECONDS", 0.0)


def test_sides_run_in_turn_and_as_often():
    requests, ticks = [], []
    ours = Clockwork("ours", 0.125, requests)
    theirs = Clockwork("theirs", 0.4, requests)
    pairs = against_torch.time_pairs(ours, theirs, 3, lambda: ticks.append(1))
    assert pairs == [(0.125, 0.4)] * 3
    assert len(ticks) == 3
    # Both warmed up, then each tried once: four calls of the faster last half a second.
    assert requests[:2] == [("ours", "seconds", 3), ("theirs", "seconds", 3)]
    assert requests[4:] == [("ours", "seconds", 4), ("theirs", "seconds", 4)] * 3


def test_slow_work_is_called_once_a_run():
    requests = []
    sides = [Clockwork(name, 2.0, requests) for name in ("ours", "theirs")]
    against_torch.time_pairs(*sides, 1, lambda: None)
    assert requests[-1] == ("theirs", "seconds", 1)


def test_ratio_of_equal_pairs_has_no_width():
    found = against_torch.ratio([(0.5, 1.0), (2.0, 4.0), (1.0, 2.0)])
    assert found == pytest.approx({"mean": 2.0, "low": 2.0, "high": 2.0})


def test_ratio_by_hand():
    # Logarithms 0 and ln 4: mean ln 2, half width t(0.975, 1) ln 2, t = 12.7062.
    found = against_torch.ratio([(1.0, 1.0), (1.0, 4.0)])
    half = 12.7062 * math.log(2.0)
    assert found["mean"] == pytest.approx(2.0)
    assert found["low"] == pytest.approx(2.0 * math.exp(-half), rel=1e-4)
    assert found["high"] == pytest.approx(2.0 * math.exp(half), rel=1e-4)


def test_swapped_sides_have_the_inverse_ratio(rng):
    pairs = [tuple(pair) for pair in rng.uniform(1.0, 2.0, (6, 2))]
    found = against_torch.ratio(pairs)
    swapped = against_torch.ratio([(b, a) for a, b in pairs])
    assert swapped["mean"] == pytest.approx(1 / found["mean"])
    assert swapped["low"] == pytest.approx(1 / found["high"])


def test_twins_that_answer_otherwise_are_not_timed():
    def side(answer):
        return lambda request, *_: np.full((2, 3), answer, np.float32)

    against_torch.prepare(side(0.5), side(0.50001), "inference", 2, 100)
    with pytest.raises(RuntimeError, match="twins differ by 0.001"):
        against_torch.prepare(side(0.5), side(0.501), "inference", 2, 100)


def test_a_busy_machine_is_told():
    assert against_torch.busy(0.2) == ""
    assert "load average 2.5" in against_torch.busy(2.5)


def test_the_table_names_machine_versions_and_ratios(capsys):
    line = against_torch.summary("cnn10", "inference", 8, [(0.5, 1.0), (0.25, 0.5)])
    conditions = {
        "processor": "Chip", "num_cores": 4, "threads": 2, "load_average": 0.1,
        "date": "2026-01-02", "ours": "Keras 3", "theirs": "PyTorch 2",
        "channels_last": False, "frontend": "panns_32k", "rounds": 2,
    }  # fmt: skip
    against_torch.show(conditions, [line])
    printed = capsys.readouterr().out
    for piece in (
        "Chip, 2 threads on 4 cores, load average 0.1, 2026-01-02",
        "Keras 3; PyTorch 2, default layout",
        "inference, batch 8",
        "375",
        "750",
        "2.00 [2.00, 2.00]",
    ):
        assert piece in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "1"], "--rounds 2 or more"),
        (["--threads", "0"], "--threads is 1 to"),
        (["--threads", "9999"], "Received: 9999"),
    ],
)
def test_mistakes_are_one_line(arguments, message, capsys):
    status = console.door("against_torch.py", lambda: against_torch.main(arguments))
    assert status == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_without_pytorch_the_remedy_is_named(monkeypatch, capsys):
    monkeypatch.setattr(against_torch.importlib.util, "find_spec", lambda name: None)
    assert console.door("against_torch.py", lambda: against_torch.main([])) == 2
    assert "pip install torch" in capsys.readouterr().err


def test_a_side_that_ends_early_is_told():
    with (
        pytest.raises(against_torch.InputError, match="no_such_side ended early"),
        against_torch.worker("no_such_side", 1) as ask,
    ):
        ask("version")
