"""A server as a process: ports, limits, its start and its end."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.serve import saved_models
from tests.serve.conftest import Clients, running
from tfhier.errors import InputError
from tfhier.serve import Options, Server, serve
from tfhier.serve.gate import Gate
from tfhier.serve.status import StatusError

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from pathlib import Path
from tfhier.serve import Options, serve
options = Options(rest_port=0, grpc_port=0, shutdown_seconds=float(sys.argv[2]))
serve({"tags": Path(sys.argv[1])}, options)
"""
CLIP = {"inputs": [[1, 2, 3, 4]]}


class Process:
    """A server in a process of its own, and clients of it."""

    def __init__(self, base: Path, *, shutdown_seconds: float = 10):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(base), str(shutdown_seconds)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("ready"):
                break
        said = "".join(self.lines)
        found = re.search(r"^REST +http://(\S+)\ngRPC +(\S+)\n", said, re.M)
        assert found, said
        self.rest_address, self.grpc_address = found.groups()
        self.clients = Clients(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.clients.close()
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str]:
        """Return the exit status and what was printed since it was ready."""
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said


def slow_request(seconds: float) -> predict_pb2.PredictRequest:
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "tags", "wait"
    asked.inputs["seconds"].CopyFrom(tf.make_tensor_proto(np.float32([seconds])))
    return asked


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_a_signal_ends_it_after_the_requests_in_flight(base, capsys, monkeypatch):
    """As in a process of its own: `serve` holds the main thread, a client another."""
    options = Options(rest_port=free_port(), grpc_port=free_port())
    addresses = SimpleNamespace(
        rest_address=f"127.0.0.1:{options.rest_port}",
        grpc_address=f"127.0.0.1:{options.grpc_port}",
    )

    def use() -> tuple:
        clients = Clients(addresses)
        # REST is the last to answer, so the first answer means that all is up.
        end = time.monotonic() + 20
        is_up = False
        while not is_up and time.monotonic() < end:
            time.sleep(0.02)
            with contextlib.suppress(OSError):
                is_up = clients.ask("GET", "/readyz")[0] == 200
        if not is_up:
            return ()  # a signal now would hit the tests themselves
        with ThreadPoolExecutor(2) as pool:
            rest = pool.submit(
                clients.post, {"signature_name": "wait", "inputs": [1.2]}
            )
            by_grpc = pool.submit(
                clients.predictions.Predict, slow_request(1.8), timeout=20
            )
            time.sleep(0.4)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.4)
            with pytest.raises(OSError, match="refused"):
                clients.post(CLIP)
            with pytest.raises(grpc.RpcError) as late:
                clients.predictions.Predict(slow_request(0), timeout=20)
            found = rest.result(), by_grpc.result(), late.value.code()
        clients.close()
        return found

    # It would end the tests.
    monkeypatch.setattr("os._exit", lambda status: pytest.fail("it gave requests up"))
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        client = pool.submit(use)
        serve({"tags": base}, options)
        by_rest, by_grpc, late = client.result()
    assert by_rest == (200, {"outputs": [1.2]})
    assert by_grpc.outputs["waited"].float_val[0] == np.float32(1.8)
    assert late == grpc.StatusCode.UNAVAILABLE
    assert signal.getsignal(signal.SIGTERM) is before
    said = capsys.readouterr().out
    assert f"REST     http://127.0.0.1:{options.rest_port}\n" in said
    assert said.endswith("stopped  every request has its answer\n")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_finished_before_the_end(base, number):
    with Process(base) as server, ThreadPoolExecutor(2) as pool:
        assert server.clients.post(CLIP)[0] == 200
        rest = pool.submit(
            server.clients.post, {"signature_name": "wait", "inputs": [1.5]}
        )
        by_grpc = pool.submit(
            server.clients.predictions.Predict, slow_request(1.5), timeout=20
        )
        time.sleep(0.7)  # both are being worked on
        server.process.send_signal(number)
        time.sleep(0.4)
        with pytest.raises(OSError, match="refused"):
            server.clients.post(CLIP)
        assert rest.result() == (200, {"outputs": [1.5]})
        assert by_grpc.result().outputs["waited"].float_val[0] == 1.5
        assert server.end() == (0, "stopped  every request has its answer\n")


@pytest.mark.slow
def test_what_takes_too_long_is_given_up(base):
    with Process(base, shutdown_seconds=0.5) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.clients.post, {"signature_name": "wait", "inputs": [60.0]})
        time.sleep(0.7)
        before = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        status, said = server.end()
        assert time.monotonic() - before < 5
        assert status == 1
        assert "stopped  without the answers that took longer than 0.5 s" in said


def test_a_port_in_use_is_one_error_before_anything_is_loaded(tmp_path):
    """The models do not exist: the port must be refused before they are looked at."""
    models = {"tags": tmp_path / "none"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for name, word in (("rest_port", "REST"), ("grpc_port", "gRPC")):
            options = Options(**{"rest_port": 0, "grpc_port": 0, name: port})
            with pytest.raises(
                InputError, match=f"The {word} port {port} of 127.0.0.1"
            ):
                Server(models, options).start()


def test_a_failed_start_gives_the_ports_back(tmp_path):
    options = Options(rest_port=free_port(), grpc_port=0)
    for _ in range(2):
        with pytest.raises(InputError, match="There is no folder"):
            Server({"tags": tmp_path / "none"}, options).start()


def test_two_servers_do_not_share_a_port(base):
    with running({"tags": base}) as clients:
        for name, address in (
            ("rest_port", clients.rest_address), ("grpc_port", clients.grpc_address)
        ):  # fmt: skip
            port = int(address.rsplit(":", 1)[1])
            options = Options(**{"rest_port": 0, "grpc_port": 0, name: port})
            second = Server({"tags": base}, options)
            try:
                with pytest.raises(InputError, match="cannot be taken"):
                    second.start()
            finally:
                second.stop()


def test_only_loopback_is_listened_on(base):
    with running({"tags": base}) as clients:
        for address in (clients.rest_address, clients.grpc_address):
            host, port = address.rsplit(":", 1)
            assert host == "127.0.0.1"
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.2", int(port)), timeout=2)


def test_requests_beyond_the_limit_are_refused_at_once(base):
    slow = {"signature_name": "wait", "inputs": [1.5]}
    with (
        running({"tags": base}, max_in_flight=2) as clients,
        ThreadPoolExecutor(2) as pool,
    ):
        held = [pool.submit(clients.post, slow) for _ in range(2)]
        time.sleep(0.5)
        before = time.monotonic()
        status, answer = clients.post(CLIP)
        assert (status, answer["error"][:26]) == (503, "The server is busy with 2 ")
        asked = predict_pb2.PredictRequest()
        asked.model_spec.name = "tags"
        with pytest.raises(grpc.RpcError) as found:
            clients.predictions.Predict(asked, timeout=10)
        assert found.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert clients.ask("GET", "/readyz")[0] == 200
        assert time.monotonic() - before < 0.8
        assert [future.result()[0] for future in held] == [200, 200]
        assert clients.post(CLIP)[0] == 200


def test_two_models_and_a_wav_file(base, tmp_path):
    saved_models.save(tmp_path, 8, gain=0.0)
    with running({"tags": base, "other": tmp_path}) as clients:
        assert clients.post(CLIP, model="other")[1]["outputs"]["coarse"] == [[0, 0]]
        assert clients.post(CLIP)[1]["outputs"]["coarse"] != [[0, 0]]


def test_a_closed_gate_refuses_and_counts():
    gate = Gate(1)
    with gate.place():
        assert gate.in_flight == 1
        with pytest.raises(StatusError, match="busy with 1 requests"), gate.place():
            pass
    assert gate.in_flight == 0
    gate.close()
    with pytest.raises(StatusError, match="shutting down") as found, gate.place():
        pass
    assert found.value.http_status == 503


def test_a_server_without_its_packages_names_the_remedy(base, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'tfhier\[serve\]'"):
        Server({"tags": base}, Options(rest_port=0, grpc_port=0)).start()


def test_no_thread_is_left_behind(base):
    before = set(threading.enumerate())
    with running({"tags": base}) as clients:
        clients.post(CLIP)
        during = {thread.name for thread in set(threading.enumerate()) - before}
        assert {"rest", "versions"} <= during
    end = time.monotonic() + 10
    while left := [thread for thread in threading.enumerate() if thread not in before]:
        assert time.monotonic() < end, left
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rest_port", 70_000, "a whole number from 0 to 65535. Received: 70000"),
        ("grpc_port", "8500", "Received: '8500'"),
        ("max_in_flight", 0, "from 1 to"),
        ("max_rows", 0, "max_rows is a whole number from 1 to"),
        ("max_batch_size", 1.5, "a whole number"),
        ("num_threads", True, "Received: True"),
        ("poll_seconds", 0, "a number from 0.01"),
        ("batch_timeout_ms", float("nan"), "Received: nan"),
        ("batching", 1, "True or False"),
        ("log_requests", "yes", "log_requests is True or False. Received: 'yes'"),
        ("host", "", "a name or an address"),
    ],
)
def test_options_out_of_range_are_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        Options(**{name: value})


def test_importing_the_door_is_light():
    code = "import sys, tfhier.serve; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"tensorflow", "keras", "grpc", "starlette"} & set(done.stdout.split())
