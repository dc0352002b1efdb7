"""What is counted and said of requests, by the page of figures and standard error."""

import re
import time
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from tensorflow_serving.apis import predict_pb2

from tests.serve.conftest import running
from tfhier.serve import watch
from tfhier.serve.metrics import Metrics
from tfhier.serve.status import StatusError, invalid
from tfhier.serve.watch import Asked, Watch

CLIP = {"inputs": [[1, 2, 3, 4]]}
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (REST|gRPC) (\S+) (\S+) (\S+) "
    r"([A-Z_]+) \d+\.\d ms(?: (\".*\"))?"
)


def figures(clients) -> dict[str, float]:
    """The page of figures: value by name and labels."""
    url = f"http://{clients.rest_address}/monitoring/prometheus/metrics"
    with urllib.request.urlopen(url, timeout=20) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return parsed(reply.read().decode())


def parsed(text: str) -> dict[str, float]:
    assert text.endswith("\n")
    lines = [line for line in text.splitlines() if not line.startswith("# TYPE ")]
    return {
        name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)
    }


def predict_by_grpc(clients, *, signature: str = "") -> None:
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "tags", signature
    asked.inputs["waveform"].CopyFrom(tf.make_tensor_proto(np.ones((1, 4), np.float32)))
    clients.predictions.Predict(asked, timeout=20)


def refused(watched: Watch, message: str = "no") -> None:
    with pytest.raises(StatusError), watched.request(Asked("REST", "predict")):
        raise invalid(message)


# -- Figures ---------------------------------------------------------------------------


def test_requests_are_counted_by_model_signature_door_and_status(base):
    with running({"tags": base}) as clients:
        for _ in range(3):
            assert clients.post(CLIP)[0] == 200
        assert clients.post({"inputs": [[1]]})[0] == 400
        assert clients.post({**CLIP, "signature_name": "made up"})[0] == 400
        assert clients.post(CLIP, model="made_up")[0] == 404
        clients.ask("GET", "/v1/models/tags")
        predict_by_grpc(clients)
        with pytest.raises(grpc.RpcError, match="made up"):
            predict_by_grpc(clients, signature="made up")
        found = figures(clients)
    official, own = ":tensorflow:serving:request_count", "tfhier_serving_request_count"
    counts = {name: value for name, value in found.items() if "request_count" in name}
    tags, default = 'model_name="tags"', 'signature="serving_default"'
    rest, by_grpc = 'entrypoint="REST"', 'entrypoint="gRPC"'
    assert counts == {
        f'{official}{{{tags},status="OK"}}': 4,
        f'{official}{{{tags},status="INVALID_ARGUMENT"}}': 2,
        f'{official}{{{tags},status="FAILED_PRECONDITION"}}': 1,
        f'{official}{{model_name="",status="NOT_FOUND"}}': 1,
        f'{own}{{{tags},{default},{rest},status="OK"}}': 3,
        f'{own}{{{tags},{default},{rest},status="INVALID_ARGUMENT"}}': 1,
        f'{own}{{{tags},signature="",{rest},status="INVALID_ARGUMENT"}}': 1,
        f'{own}{{model_name="",signature="",{rest},status="NOT_FOUND"}}': 1,
        f'{own}{{{tags},{default},{by_grpc},status="OK"}}': 1,
        f'{own}{{{tags},signature="",{by_grpc},status="FAILED_PRECONDITION"}}': 1,
    }
    latency = f':tensorflow:serving:request_latency_count{{{tags},API="predict",'
    assert found[f"{latency}{rest}}}"] == 5
    assert found[f"{latency}{by_grpc}}}"] == 2


def test_a_request_for_which_there_is_no_place_is_counted(base):
    with running({"tags": base}) as clients:
        clients.server._core.gate.close()
        assert clients.post(CLIP)[0] == 503
        with pytest.raises(grpc.RpcError):
            predict_by_grpc(clients)
        name = (
            ':tensorflow:serving:request_count{model_name="tags",status="UNAVAILABLE"}'
        )
        assert figures(clients)[name] == 2


def test_latencies_fall_into_buckets_of_all_that_is_below():
    metrics = Metrics()
    for seconds in (0.0, 10e-6, 11e-6, 0.5, 5_000.0):
        metrics.count(
            model="a", signature="b", door="REST", method="predict", status="OK",
            seconds=seconds,
        )  # fmt: skip
    found = parsed(metrics.text())
    name = ":tensorflow:serving:request_latency"
    labels = 'model_name="a",API="predict",entrypoint="REST"'
    buckets = {
        float(re.search('le="(.*)"', key)[1]): value
        for key, value in found.items()
        if "_bucket" in key
    }
    assert list(buckets) == sorted(buckets)
    assert list(buckets)[:3] == [10, 18, 32.4]
    assert (buckets[10], buckets[18]) == (2, 3)
    for bound, value in buckets.items():
        assert value == sum(1e6 * each <= bound for each in (0, 10e-6, 11e-6, 0.5, 5e3))
    assert buckets[float("inf")] == found[f"{name}_count{{{labels}}}"] == 5
    assert found[f"{name}_sum{{{labels}}}"] == pytest.approx(5_000_500_021)


def test_names_are_written_so_that_they_can_be_read_back():
    metrics = Metrics()
    metrics.count(
        model='a"b\\c\nd', signature="", door="REST", method="predict", status="OK",
        seconds=0.0,
    )  # fmt: skip
    assert 'model_name="a\\"b\\\\c\\nd",status="OK"} 1\n' in metrics.text()


# -- Lines -----------------------------------------------------------------------------


def test_every_request_is_a_line_where_that_is_asked_for(base, capsys):
    with running({"tags": base}, log_requests=True) as clients:
        clients.post(CLIP)
        predict_by_grpc(clients)
        for _ in range(3):
            clients.post(CLIP, model="made_up")
        clients.ask("GET", "/v1/models/tags")
        clients.ask("GET", "/healthz")
        clients.ask("DELETE", "/v1/models/tags")
    found = [LINE.fullmatch(line).groups() for line in lines(capsys)]
    latest = '"Servable not found for request: Latest(made_up)"'
    assert found == [
        ("REST", "tags", "3", "serving_default", "OK", None),
        ("gRPC", "tags", "3", "serving_default", "OK", None),
        *3 * [("REST", "-", "-", "-", "NOT_FOUND", latest)],
        (
            "REST", "-", "-", "-", "UNIMPLEMENTED",
            '"Malformed request: DELETE /v1/models/tags"',
        ),
    ]  # fmt: skip


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_without_it_refusals_are_said_once_a_second_with_those_left_out(
    capsys, monkeypatch
):
    now = 100.0
    monkeypatch.setattr(watch.time, "monotonic", lambda: now)
    watched = Watch(logs_all=False)
    with watched.request(Asked("REST", "predict")):
        pass
    for _ in range(4):
        refused(watched)
    watched.flush()
    (first,) = lines(capsys)
    assert LINE.fullmatch(first)[5] == "INVALID_ARGUMENT"
    now = 101.5
    refused(watched)
    (second,) = lines(capsys)
    assert second.endswith('"no" (3 more refused before)')
    refused(watched)
    watched.flush()
    assert not lines(capsys)
    now = 103.0
    watched.flush()
    watched.flush()
    (third,) = lines(capsys)
    assert third.endswith("Z 1 more refused")


def test_a_server_says_what_it_left_out(base, capsys):
    with running({"tags": base}, poll_seconds=0.05) as clients:
        for _ in range(5):
            clients.post(CLIP, model="made_up")
        time.sleep(1.3)
    assert [line.endswith("4 more refused") for line in lines(capsys)] == [False, True]


def test_what_a_client_wrote_cannot_forge_a_line(capsys):
    watched = Watch(logs_all=True)
    refused(watched, "a\nb\x1b[31m \ud800" + 1_000 * "c")
    (line,) = lines(capsys)
    assert "\x1b" not in line
    assert len(line) < 300
    assert r'"a\nb\u001b[31m \\ud800ccc' in line


def test_a_fault_is_a_fault(capsys):
    watched = Watch(logs_all=False)
    asked = Asked("gRPC", "predict", model="tags")
    with pytest.raises(ZeroDivisionError), watched.request(asked):
        raise ZeroDivisionError
    assert asked.code is StatusCode.INTERNAL
    assert lines(capsys)[0].endswith(' "ZeroDivisionError"')
    assert 'model_name="tags",status="INTERNAL"} 1' in watched.metrics.text()


def test_a_closed_standard_error_does_no_harm(monkeypatch, tmp_path):
    with (tmp_path / "closed").open("w") as closed:
        pass
    monkeypatch.setattr("sys.stderr", closed)
    refused(Watch(logs_all=True))
