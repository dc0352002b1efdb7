"""Clients as TensorFlow Serving's users write them, against this server."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.serve import saved_models
from tests.serve.conftest import running

CLIENTS = Path(__file__).parents[1] / "clients"


@pytest.fixture
def clip(tmp_path) -> Path:
    """A file of three seconds, longer than a command line may be."""
    path = tmp_path / "clip.wav"
    path.write_bytes(saved_models.wav_bytes(3.0))
    return path


def run(*command: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_curl(clients, base, clip):
    address = f"http://{clients.rest_address}"
    done = run("sh", CLIENTS / "rest_client.sh", address, "tags", clip)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["predictions"]
    expected = saved_models.direct(base / "3", "wav_bytes", wav=[clip.read_bytes()])
    for level, scores in expected.items():
        np.testing.assert_array_equal(np.float32(answer[level]), scores[0])


def test_curl_sees_an_error(clients, clip):
    address = f"http://{clients.rest_address}"
    done = run("sh", CLIENTS / "rest_client.sh", address, "none", clip)
    assert done.returncode == 22
    assert json.loads(done.stdout)["error"].endswith("Latest(none)")


def test_curl_is_answered_when_its_file_is_too_long(base, clip):
    """Whether the limit is passed by little or by much, the answer arrives."""
    for max_bytes in (1_000, 100_000):
        with running({"tags": base}, max_request_bytes=max_bytes) as clients:
            address = f"http://{clients.rest_address}"
            done = run("sh", CLIENTS / "rest_client.sh", address, "tags", clip)
        assert done.returncode == 22
        assert f"longer than {max_bytes} bytes" in json.loads(done.stdout)["error"]


@pytest.mark.slow
def test_the_official_stub(clients, base, clip):
    """Slow alone because the client loads TensorFlow."""
    client = CLIENTS / "grpc_client.py"
    assert "tfhier" not in client.read_text(encoding="utf-8")
    done = run(sys.executable, client, clients.grpc_address, "tags", clip)
    assert done.returncode == 0, done.stderr
    expected = saved_models.direct(base / "3", "wav_bytes", wav=[clip.read_bytes()])
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["coarse", "fine"]
    for level, *scores in lines:
        np.testing.assert_array_equal(np.float32(scores), expected[level][0])
    done = run(sys.executable, client, clients.grpc_address, "none", clip)
    assert done.returncode == 1
    assert "Servable not found for request: Latest(none)" in done.stderr
