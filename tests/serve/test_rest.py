"""The REST door: answers equal to the model's own, and everything that is refused."""

import asyncio
import base64
import contextlib
import gzip
import http.client
import json
import socket
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tests.serve import saved_models
from tests.serve.conftest import LIMIT, running
from tfhier.serve import Options, rest
from tfhier.serve.gate import Gate

CLIPS = [[0.5, -0.25, 0.125, 1.0], [1.0, 2.0, 3.0, 4.5]]


@pytest.fixture
def expected(base):
    return saved_models.direct(
        base / "3", "serving_default", waveform=np.array(CLIPS, np.float32)
    )


def test_columns_are_the_models_own_numbers(clients, expected):
    for inputs in (CLIPS, {"waveform": CLIPS}):
        status, answer = clients.post({"inputs": inputs})
        assert status == 200
        assert set(answer["outputs"]) == {"fine", "coarse"}
        for level, scores in answer["outputs"].items():
            np.testing.assert_array_equal(np.float32(scores), expected[level])


def test_rows_are_the_columns_by_clip(clients, expected):
    for rows in (CLIPS, [{"waveform": clip} for clip in CLIPS]):
        status, answer = clients.post({"instances": rows})
        assert status == 200
        assert len(answer["predictions"]) == 2
        for at, row in enumerate(answer["predictions"]):
            for level, scores in row.items():
                np.testing.assert_array_equal(np.float32(scores), expected[level][at])


@pytest.mark.parametrize("path", ["/versions/3:predict", ":predict", ":PREDICT"])
def test_the_version_in_use_may_be_named(clients, path):
    status, answer = clients.ask("POST", f"/v1/models/tags{path}", {"inputs": CLIPS})
    assert status == 200
    assert len(answer["outputs"]["fine"]) == 2


def test_wav_files_travel_as_base64(clients, base):
    files = [saved_models.wav_bytes(seed=seed) for seed in (1, 2)]
    expected = saved_models.direct(base / "3", "wav_bytes", wav=files)
    rows = [{"b64": _base64(content)} for content in files]
    for body in ({"instances": rows}, {"instances": [{"wav": row} for row in rows]}):
        status, answer = clients.post({**body, "signature_name": "wav_bytes"})
        assert status == 200
        fine = np.float32([row["fine"] for row in answer["predictions"]])
        np.testing.assert_array_equal(fine, expected["fine"])
    status, answer = clients.post({"inputs": rows, "signature_name": "wav_bytes"})
    np.testing.assert_array_equal(np.float32(answer["outputs"]["fine"]), fine)


def test_one_output_is_written_without_its_name(clients):
    body = {"signature_name": "contract"}
    assert clients.post({**body, "instances": ["a", "ß"]}) == (
        200, {"predictions": ["{}: a", "{}: ß"]}
    )  # fmt: skip
    assert clients.post({**body, "inputs": ["a"]}) == (200, {"outputs": ["{}: a"]})


def test_types_keep_their_kind(clients):
    inputs = {
        "count": [2**31 - 1, -5],
        "pair": [[0.1, 1e300], [3, 4]],
        "is_on": [True, False],
    }
    status, answer = clients.post({"inputs": inputs, "signature_name": "mix"})
    assert status == 200
    assert answer["outputs"] == {
        "count": [2**31, -4],
        "pair": [[-0.1, -1e300], [-3.0, -4.0]],
        "is_on": [False, True],
        "raw_bytes": [{"b64": _base64(b"2147483647")}, {"b64": _base64(b"-5")}],
        "total": 2**31 - 6,
    }
    # A scalar output has no rows.
    rows = [{"count": 1, "pair": [1, 2], "is_on": True}]
    status, answer = clients.post({"instances": rows, "signature_name": "mix"})
    assert (status, answer["error"]) == (
        400,
        "Tensor name: total has no shape information",
    )


def test_nan_and_infinity_travel_both_ways(clients):
    text = b'{"inputs": [[NaN, 0, 0, 0], [Infinity, 0, 0, 0], [0, -Infinity, 0, 0]]}'
    status, answer = clients.post(text)
    assert status == 200
    fine = np.array(answer["outputs"]["fine"])
    assert np.isnan(fine[0]).all()
    assert np.isinf(fine[1]).any()
    assert not np.isfinite(fine[2]).all()


BAD_BODIES = {
    b"": "JSON Parse error: The document is empty",
    b"{": "JSON Parse error: .* at offset: 1",
    b"\xff\xfe\x00": "JSON Parse error",
    b"[" * 100_000: "JSON Parse error: The document is nested too deeply",
    b"[1]": "JSON Value: \\[1\\] Is not object",
    b'{"signature_name": 5, "inputs": [1]}': "'signature_name' key must be a string",
    b"{}": "Missing 'inputs' or 'instances' key",
    b'{"inputs": [[1]], "instances": [[1]]}': "expecting only one of",
    b'{"instances": {}}': "to be an list/array",
    b'{"instances": []}': "No values in 'instances' array",
    b'{"instances": [[1, 2, 3, 4], [1, 2, 3]]}': "element: 1 .*size: 4 but got: 3",
    b'{"instances": [[1, 2, 3, 4], [[1, 2], [3, 4]]]}': "shape \\[4\\] but got: \\[2,2",
    b'{"inputs": [[1, 2, 3, 4], [1, 2, 3]]}': "unexpected size: 3 at level: 1",
    b'{"inputs": [[1, [2]]]}': "list at unexpected level: 2",
    b'{"inputs": [[1, 2], 3]}': "3 found at incorrect level",
    b'{"inputs": [1, 2, 3, 4]}': "float32 of shape \\(None, None\\); .* shape \\(4,\\)",
    b'{"inputs": [[]]}': "A clip has 4 samples or more",
    b'{"inputs": [["1", 2, 3, 4]]}': '"1" Type: String is not of expected type: float',
    b'{"inputs": [[null, 2, 3, 4]]}': "null Type: Null is not of expected type",
    b'{"inputs": [[true, 2, 3, 4]]}': "true Type: True is not of expected type",
    b'{"inputs": [[1e39, 2, 3, 4]]}': "Cannot convert JSON value: 1e\\+39 to float",
    b'{"inputs": [[16777217, 2, 3, 4]]}': "16777217 to float without loss",
    b'{"inputs": {"wave": [[1, 2, 3, 4]]}}': "Missing named input: waveform",
    b'{"inputs": {"waveform": [[1]], "x": 1}}': "Sent extra: {x}",
    b'{"instances": [{"wave": [1, 2, 3, 4]}]}': "does not have named input: wave",
    b'{"instances": [[1, 2, 3, 4], {"waveform": [1]}]}': "but got object at item 1",
    b'{"instances": [{"waveform": [1]}, [1]]}': "object but got list at item 1",
    b'{"instances": [{}]}': "keys must be equal to: waveform",
    b'{"inputs": [1], "signature_name": "none"}': 'name: "none" not found in signature',
    b'{"inputs": [1], "signature_name": "wav_bytes"}': "Type: Number .* type: string",
    b'{"inputs": [{"b64": "?"}], "signature_name": "wav_bytes"}': "to base64 decode",
    b'{"inputs": [{"b63": ""}], "signature_name": "wav_bytes"}': "correctly for base64",
    b'{"inputs": ["\\ud800"], "signature_name": "contract"}': "no text that UTF-8",
    b'{"inputs": ["no"], "signature_name": "wav_bytes"}': "Data too short",
    b'{"inputs": [1], "signature_name": "mix"}': "expecting an object as multiple",
    b'{"instances": [1], "signature_name": "mix"}': "expecting list of objects",
    b'{"inputs": {"count": [2147483648], "pair": [[1, 2]], "is_on": [true]},'
    b' "signature_name": "mix"}': "2147483648 Type: Number .* type: int32",
    b'{"inputs": {"count": [1.0], "pair": [[1, 2]], "is_on": [true]},'
    b' "signature_name": "mix"}': "1.0 Type: Number .* type: int32",
    b'{"inputs": {"count": [1], "pair": [[1, 2]], "is_on": [1]},'
    b' "signature_name": "mix"}': "1 Type: Number .* type: bool",
    b'{"inputs": ' + b"[" * 40 + b"]" * 40 + b"}": "nested deeper than 32 levels",
}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"), BAD_BODIES.items(), ids=range(len(BAD_BODIES))
)
def test_bad_bodies_are_answered_with_400(clients, body, message):
    status, answer = clients.post(body)
    assert status == 400
    assert set(answer) == {"error"}
    with pytest.raises(ValueError, match=message):
        raise ValueError(answer["error"])
    assert len(answer["error"]) < 400


def test_an_error_of_the_graph_may_repeat_bytes_that_are_no_text(clients):
    content = b"RIFF\x00\x01\x00\x00\xff\xfe\xfd\xfc" + bytes(100)
    row = {"b64": _base64(content)}
    body = {"inputs": [row], "signature_name": "wav_bytes"}
    status, answer = clients.post(body)
    assert status == 400
    assert "Expected WAVE but found \ufffd" in answer["error"]


def test_errors_of_the_graph_come_without_its_nodes(clients):
    status, answer = clients.post({"inputs": [[99, 0, 0, 0]]})
    assert (status, answer["error"]) == (
        400, "assertion failed: [The first sample is 99.]"
    )  # fmt: skip
    wrong_rate = _base64(saved_models.wav_bytes(rate=8_000))
    body = {"inputs": [{"b64": wrong_rate}], "signature_name": "wav_bytes"}
    status, answer = clients.post(body)
    assert (status, answer["error"]) == (
        400, "assertion failed: [The rate is not 16000 Hz:] [8000]"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v1/models/none:predict", 404, "request: Latest\\(none\\)"),
        ("POST", "/v1/models/tags/versions/2:predict", 404, "Specific\\(tags, 2\\)"),
        ("POST", f"/v1/models/tags/versions/{10**20}:predict", 400, "numeric"),
        ("POST", f"/v1/models/tags/versions/{'9' * 5_000}:predict", 400, "9{40} to nu"),
        ("POST", f"/v1/models/none/versions/{'9' * 5_000}:predict", 400, "9{40} to nu"),
        ("GET", f"/v1/models/tags/versions/{'9' * 5_000}", 400, "9{40} to numeric"),
        ("GET", "/v1/models/tags/versions/%D9%A3", 400, "Malformed request"),
        ("GET", f"/v1/models/tags/versions/{'0' * 5_000}", 404, "version 0 of model"),
        ("POST", "/v1/models/tags/labels/stable:predict", 400, "version label: stable"),
        ("GET", "/v1/models/none", 404, "any versions of model none"),
        ("GET", "/v1/models/none/metadata", 404, "Latest\\(none\\)"),
        ("GET", "/v1/models/tags/versions/2", 404, "version 2 of model tags"),
        ("GET", "/v1/models/tags/labels/stable", 400, "version label: stable"),
        ("GET", "/v1/models", 400, "Missing model name"),
        ("GET", "/v1/other", 400, "Malformed request: GET /v1/other"),
        ("GET", "/", 404, "Malformed request"),
        ("GET", "/v1/models/tags:predict", 405, "Malformed request: GET"),
        ("DELETE", "/v1/models/tags", 405, "Malformed request: DELETE"),
        ("PUT", "/v1/models/tags:predict", 405, "Malformed request"),
        ("POST", "/healthz", 405, "Malformed request"),
        ("POST", "/v1/models/tags:classify", 400, "classification signature"),
        ("POST", "/v1/models/tags:regress", 400, "regression signature"),
        ("POST", "/v1/models/none:regress", 404, "Latest\\(none\\)"),
    ],
)  # fmt: skip
def test_bad_paths_and_methods(clients, method, path, status, message):
    body = {"inputs": CLIPS, "examples": [{}]} if method == "POST" else None
    found, answer = clients.ask(method, path, body)
    assert found == status
    with pytest.raises(ValueError, match=message):
        raise ValueError(answer["error"])


def test_a_version_may_have_zeros_before_it(clients):
    for zeros in ("0", "0" * 5_000):
        path = f"/v1/models/tags/versions/{zeros}3:predict"
        assert clients.ask("POST", path, {"inputs": CLIPS})[0] == 200


def test_status_metadata_and_health(clients):
    state = {
        "version": "3",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    for path in ("/v1/models/tags", "/v1/models/tags/versions/3"):
        assert clients.ask("GET", path) == (200, {"model_version_status": [state]})
    status, answer = clients.ask("GET", "/v1/models/tags/metadata")
    assert status == 200
    assert answer["model_spec"]["version"] == "3"
    definition = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    waveform = definition["inputs"]["waveform"]
    assert waveform["dtype"] == "DT_FLOAT"
    assert [axis["size"] for axis in waveform["tensor_shape"]["dim"]] == ["-1", "-1"]
    assert set(definition["outputs"]) == {"fine", "coarse"}
    assert clients.ask("GET", "/healthz")[0] == 200
    assert clients.ask("GET", "/readyz")[0] == 200


@pytest.mark.parametrize(
    ("is_ready", "is_closed", "expected"),
    [(True, False, 200), (False, False, 503), (True, True, 503)],
)
def test_readiness_is_of_the_models_and_of_the_server(is_ready, is_closed, expected):
    gate = Gate(1)
    if is_closed:
        gate.close()
    models = SimpleNamespace(is_ready=lambda: is_ready)
    core = SimpleNamespace(gate=gate, models=models, options=Options())
    sent = []

    async def send(message):
        sent.append(message)

    for path, status in (("/readyz", expected), ("/healthz", 200)):
        scope = {"type": "http", "method": "GET", "path": path, "headers": []}
        asyncio.run(rest.application(core, None)(scope, None, send))
        assert sent[-2]["status"] == status


def test_bodies_over_the_limit_are_refused(clients):
    # So long that the system's buffers cannot hold it, and over a connection that ends
    # with the answer: who sends all before reading must be answered too.
    status, answer = clients.ask(
        "POST",
        "/v1/models/tags:predict",
        b" " * (40 * LIMIT),
        {"Connection": "close"},
    )
    assert status == 413
    assert f"longer than {LIMIT} bytes" in answer["error"]
    # Without a declared length, and packed into a few bytes.
    body = b'{"inputs": [[' + b"0, " * LIMIT + b"0]]}"
    status, _ = _chunked(clients, body)
    assert status == 413
    status, _ = _packed(clients, gzip.compress(body))
    assert status == 413
    assert clients.post({"inputs": CLIPS})[0] == 200


def test_gzip_is_unpacked(clients):
    whole = gzip.compress(json.dumps({"inputs": CLIPS}).encode())
    assert _packed(clients, whole)[1] == clients.post({"inputs": CLIPS})[1]
    assert _packed(clients, whole[:-10])[1]["error"].endswith("middle of its gzip.")
    assert "no gzip" in _packed(clients, b"{}")[1]["error"]
    assert _packed(clients, whole, encoding="br")[0] == 415


def test_a_client_that_leaves_does_no_harm(clients):
    host, port = clients.rest_address.rsplit(":", 1)
    head = b"POST /v1/models/tags:predict HTTP/1.1\r\nHost: a\r\n"
    for _ in range(20):  # more than there are places
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head + b"Content-Length: 99\r\n\r\n{")
    end = time.monotonic() + 5
    while clients.post({"inputs": CLIPS})[0] != 200:
        assert time.monotonic() < end, "the places are never given back"


def test_float32_survives_json(base):
    """What comes out equals the model's float32 in every bit."""
    rng = np.random.default_rng(5)
    waveform = rng.normal(size=(200, 8)).astype(np.float32) * np.float32(1e-20)
    expected = saved_models.direct(base / "3", "serving_default", waveform=waveform)
    with running({"tags": base}) as clients:
        _, answer = clients.post({"inputs": waveform.astype(float).tolist()})
    for level, scores in answer["outputs"].items():
        np.testing.assert_array_equal(np.float32(scores), expected[level])


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _packed(clients, content: bytes, *, encoding: str = "gzip"):
    return clients.ask(
        "POST", "/v1/models/tags:predict", content, {"Content-Encoding": encoding}
    )


def _chunked(clients, body: bytes) -> tuple[int, dict]:
    """Send a body in chunks, without its length."""
    host, port = clients.rest_address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with contextlib.closing(connection):
        connection.request(
            "POST", "/v1/models/tags:predict", iter([body]), encode_chunked=True
        )
        response = connection.getresponse()
        return response.status, json.loads(response.read())
