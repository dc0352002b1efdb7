"""Requests that are meant to do harm: each is refused, and the server goes on."""

import asyncio
import contextlib
import errno
import json
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from tensorflow_serving.apis import predict_pb2

from tests.serve.conftest import running
from tfhier.serve import connections, json_bodies
from tfhier.serve.connections import Complaints
from tfhier.serve.core import Core
from tfhier.serve.status import StatusError
from tfhier.serve.uploads import Budget, Upload

CLIP = {"inputs": [[1, 2, 3, 4]]}
MAX_ROWS = 5


@pytest.fixture(scope="module")
def small(base):
    """Clients of a server with a low limit of rows."""
    with running({"tags": base}, max_rows=MAX_ROWS) as found:
        yield found


def request(signature: str, **inputs: np.ndarray) -> predict_pb2.PredictRequest:
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "tags", signature
    for name, value in inputs.items():
        asked.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return asked


def refusal(clients, asked: predict_pb2.PredictRequest) -> tuple[StatusCode, str]:
    with pytest.raises(grpc.RpcError) as found:
        clients.predictions.Predict(asked, timeout=20)
    return found.value.code(), found.value.details()


def test_few_bytes_do_not_become_millions_of_strings(small):
    """One string for four million took gigabytes before."""
    for signature, name in (("contract", "anything"), ("wav_bytes", "wav")):
        asked = request(signature, **{name: np.array([b""], object)})
        asked.inputs[name].tensor_shape.dim[0].size = 4_000_000
        before = time.monotonic()
        code, said = refusal(small, asked)
        assert time.monotonic() - before < 1
        assert code == StatusCode.INVALID_ARGUMENT
        assert "1 strings for the 4000000 places" in said


@pytest.mark.parametrize(
    ("signature", "name", "row"),
    [("contract", "anything", "a"), ("serving_default", "waveform", [0.0] * 4)],
)
def test_rows_beyond_the_limit_are_refused_at_both_doors(small, signature, name, row):
    for num_rows in (MAX_ROWS, MAX_ROWS + 1):
        rows = [row] * num_rows
        kind = object if row == "a" else np.float32
        asked = request(signature, **{name: np.array(rows, kind)})
        bodies = [
            {"signature_name": signature, form: rows}
            for form in ("inputs", "instances")
        ]
        if num_rows == MAX_ROWS:
            small.predictions.Predict(asked, timeout=20)
            assert [small.post(body)[0] for body in bodies] == [200, 200]
            continue
        expected = f"The request has {num_rows} rows, and {MAX_ROWS} are the limit."
        code, said = refusal(small, asked)
        assert (code, said.startswith(expected)) == (StatusCode.INVALID_ARGUMENT, True)
        for body in bodies:
            status, answer = small.post(body)
            assert (status, answer["error"].startswith(expected)) == (400, True)


def test_numbers_of_one_axis_may_be_one_waveform(small):
    seconds = np.zeros(MAX_ROWS + 1, np.float32)
    answer = small.predictions.Predict(request("wait", seconds=seconds), timeout=20)
    assert len(answer.outputs["waited"].float_val) == MAX_ROWS + 1
    body = {"signature_name": "wait", "inputs": seconds.tolist()}
    assert small.post(body)[0] == 200
    # Listed as rows they are rows.
    status, answer = small.post({"signature_name": "wait", "instances": [0.0] * 6})
    assert (status, "6 rows" in answer["error"]) == (400, True)


@pytest.mark.parametrize(
    "name", ["n" * 20_000, "\N{HONEYBEE}" * 20_000, "\n%" * 20_000]
)
def test_messages_do_not_repeat_long_names(small, name):
    code, said = refusal(small, request(name, x=np.zeros(1)))
    assert code == StatusCode.FAILED_PRECONDITION
    body = {"signature_name": name, "inputs": [1]}
    status, answer = small.post(body)
    assert status == 400
    for message in (said, answer["error"]):
        assert 900 < len(message.encode()) <= 1_000
        assert name[:100] in message
        assert message.endswith("...")


def test_messages_are_cut_at_a_thousand_bytes_of_whole_characters():
    for message, expected in (
        ("a" * 1_000, "a" * 1_000),
        ("a" * 1_001, "a" * 997 + "..."),
        ("\N{HONEYBEE}" * 251, "\N{HONEYBEE}" * 249 + "..."),
        ("\ud800", "\\ud800"),
    ):
        error = StatusError(StatusCode.INTERNAL, message)
        assert error.message == str(error) == expected


@pytest.mark.parametrize(
    "error", [TypeError("an odd\nthing"), MemoryError(), RuntimeError("x" * 5_000)]
)
def test_what_nobody_foresaw_is_one_line_and_an_internal_error(
    small, monkeypatch, capsys, error
):
    def stumble(*args, **kwargs):
        raise error

    expected = "The server met a fault of its own; its log says more."
    with monkeypatch.context() as patch:
        patch.setattr(Core, "predict", stumble)
        asked = request("", waveform=np.zeros((1, 4), np.float32))
        assert refusal(small, asked) == (StatusCode.INTERNAL, expected)
        assert small.post(CLIP) == (500, {"error": expected})
    said, complaints = capsys.readouterr()
    # Refusals are said on standard error, at most one a second.
    assert "Traceback" not in complaints
    for line in said.splitlines():
        assert line.startswith(f"fault    {type(error).__name__}: ")
        assert "(test_attacks.py:" in line
        assert len(line) < 1_100
    assert len(said.splitlines()) == 2
    assert small.post(CLIP)[0] == 200


@contextlib.contextmanager
def sending(clients, parts: list[bytes]):
    """Connections that have sent some bytes each."""
    host, port = clients.rest_address.rsplit(":", 1)
    with contextlib.ExitStack() as ending:
        found = []
        for part in parts:
            connection = socket.create_connection((host, int(port)), timeout=20)
            found.append(ending.enter_context(connection))
            connection.sendall(part)
        yield found


def head(length: int) -> bytes:
    return (
        "POST /v1/models/tags:predict HTTP/1.1\r\nHost: a\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def answer_of(connection: socket.socket) -> tuple[int, dict]:
    """Return status and JSON of the one answer that a connection brings."""
    content = b""
    while not content.endswith(b"}"):
        part = connection.recv(1 << 16)
        assert part, content
        content += part
    return int(content.split()[1]), json.loads(content.partition(b"\r\n\r\n")[2])


def test_half_sent_bodies_shut_nobody_out(base):
    options = {"max_in_flight": 2, "body_seconds": 1.0}
    with running({"tags": base}, **options) as clients:
        before = time.monotonic()
        with sending(clients, [head(99) + b"{"] * 5) as connections:
            time.sleep(0.2)  # they are being read
            assert clients.post(CLIP)[0] == 200
            assert time.monotonic() - before < 0.9
            for connection in connections:
                assert answer_of(connection) == (
                    408, {"error": "The body did not arrive within 1 s."}
                )  # fmt: skip
        assert 0.9 < time.monotonic() - before < 5


def test_the_bytes_of_all_bodies_are_bounded_and_given_back(base):
    limit = 50_000
    options = {"max_request_bytes": limit, "body_seconds": 1.5}
    with running({"tags": base}, **options) as clients:
        almost = head(limit) + b" " * (limit - 1)
        with sending(clients, [almost] * 8) as connections:
            time.sleep(0.5)  # all of it is read
            status, answer = clients.post(CLIP)
            assert status == 503
            assert "399992 bytes of other requests, and 400000 are" in answer["error"]
            assert clients.ask("GET", "/readyz")[0] == 200
            connections[0].sendall(b" ")
            assert answer_of(connections[0])[0] == 400
            assert clients.post(CLIP)[0] == 200
            assert answer_of(connections[1])[0] == 408
        # And by those whose client is gone or who were refused.
        for _ in range(20):
            with sending(clients, [almost]):
                pass
            clients.post(b" " * (limit + 1))
        assert clients.post(CLIP)[0] == 200


@pytest.mark.parametrize("is_short", [True, False])
def test_a_body_gives_back_exactly_what_it_took(is_short):
    budget = Budget(10)
    parts = [b"abc", b"def"] if is_short else [b"abc", b"defghi", b"xyz"]

    async def receive():
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    request = SimpleNamespace(headers={}, receive=receive)
    upload = Upload(request, budget, max_bytes=100, seconds=5)
    if is_short:
        asyncio.run(upload.read())
        assert (upload.content(), budget.taken) == (b"abcdef", 6)
    else:
        with pytest.raises(StatusError, match="9 bytes of other .* 10 are") as found:
            asyncio.run(upload.read())
        assert (found.value.http_status, budget.taken) == (503, 9)
    upload.forget()
    upload.forget()
    assert budget.taken == 0


def test_no_more_bodies_are_parsed_than_threads(base, monkeypatch):
    lock, now, most = threading.Lock(), [], []
    parse = json_bodies.predict_body

    def slow(body):
        with lock:
            now.append(1)
            most.append(len(now))
        time.sleep(0.05)
        with lock:
            now.pop()
        return parse(body)

    monkeypatch.setattr(json_bodies, "predict_body", slow)
    with running({"tags": base}, num_threads=2) as clients, ThreadPoolExecutor(8) as it:
        statuses = [each[0] for each in it.map(clients.post, [CLIP] * 8)]
    assert statuses == [200] * 8
    assert max(most) == 2


def seconds_until_closed(connection: socket.socket) -> float:
    """Return how long a connection lives on, and forget what it brings."""
    before = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(1 << 16):
            pass
    return time.monotonic() - before


def test_connections_that_ask_for_nothing_are_closed(base):
    whole = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    with running({"tags": base}, body_seconds=0.6) as clients:
        with sending(clients, [b"", b"GET /heal", whole]) as silent:
            assert answer_of(silent[2])[0] == 200
            silent[2].sendall(b"G")
            assert 0.3 < seconds_until_closed(silent[0]) < 2
            assert seconds_until_closed(silent[1]) < 0.5
            assert seconds_until_closed(silent[2]) < 0.5
        with sending(clients, [b"GET /"]) as (slow,):
            for _ in range(3):  # byte by byte is no better
                time.sleep(0.15)
                slow.sendall(b"x")
            assert seconds_until_closed(slow) < 0.4
        # Who asks in time stays, also for longer than that.
        with sending(clients, [b""]) as (connection,):
            for _ in range(4):
                connection.sendall(whole[:9])
                time.sleep(0.3)
                connection.sendall(whole[9:])
                assert answer_of(connection) == (200, {"status": "alive"})
        assert clients.post({"signature_name": "wait", "inputs": [1.0]})[0] == 200


def test_silent_connections_of_grpc_are_closed(base):
    with running({"tags": base}, body_seconds=0.6) as clients:
        host, port = clients.grpc_address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            assert seconds_until_closed(connection) < 5
        asked = request("wait", seconds=np.float32([1.0]))
        clients.predictions.Predict(asked, timeout=20)


def test_connections_beyond_the_limit_are_told_so(base, monkeypatch):
    monkeypatch.setattr(connections, "most", lambda: 3)
    with running({"tags": base}) as clients:
        with sending(clients, [b""] * 4) as found:
            status, answer = answer_of(found[3])
            assert (status, answer["error"][:37]) == (
                503, "The server has too many connections. "
            )  # fmt: skip
            assert seconds_until_closed(found[3]) < 1
            with pytest.raises(TimeoutError):
                found[2].settimeout(0.1)
                found[2].recv(1)
        end = time.monotonic() + 5
        while clients.ask("GET", "/healthz")[0] != 200:
            assert time.monotonic() < end, "the connections are never given back"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1024, 512), (1, 1), (resource.RLIM_INFINITY, 2**63 - 1)],
)
def test_half_of_the_files_are_for_connections(monkeypatch, limit, expected):
    monkeypatch.setattr("resource.getrlimit", lambda kind: (limit, limit))
    assert connections.most() == expected


def test_too_few_files_are_told_once_a_minute(monkeypatch, capsys, caplog):
    async def complain(*numbers: int) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(Complaints())
        for now in (1_000, 1_001, 1_059, 1_061):
            monkeypatch.setattr(loop, "time", lambda now=now: now)
            for number in numbers:
                error = OSError(number, "so it is")
                loop.call_exception_handler({"message": "of any", "exception": error})
        monkeypatch.undo()

    asyncio.run(complain(errno.EMFILE, errno.ENFILE))
    said = capsys.readouterr().out.splitlines()
    assert [line[:47] for line in said] == [
        "full     connections have to wait (so it is). Ra"[:47]
    ] * 2
    assert not caplog.records
    # Everything else is the loop's own.
    asyncio.run(complain(errno.EPIPE))
    assert capsys.readouterr().out == ""
    assert [record.getMessage()[:6] for record in caplog.records] == ["of any"] * 4
