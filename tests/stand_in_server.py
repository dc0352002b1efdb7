"""A small server that answers as TF Serving's REST API does, for tests of clients."""

import base64
import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import soundfile


def serving(loaded) -> Callable[[str, dict], tuple[int, bytes]]:
    """Return an answer to POST requests from a tagger of `tfhier.load`.

    One output is a list of rows, several are lists by name: what TF Serving makes of
    the key `inputs`.
    """
    rate = loaded.sample_rate

    def rows(request: dict) -> dict[str, list]:
        if request["signature_name"] == "contract":
            return {"contract": [loaded.contract.to_json()] * len(request["inputs"])}
        inputs = request["inputs"]
        if request["signature_name"] == "wav_bytes":
            inputs = [waveform_of(each) for each in inputs]
        found = [loaded.answer(each, sample_rate=rate) for each in inputs]
        names = ["embedding"]
        if request["signature_name"] in ("serving_default", "wav_bytes"):
            names = sorted(loaded.levels)  # a protocol buffer's maps have no order
        return {name: [each[name].tolist() for each in found] for name in names}

    def answer(path: str, request: dict) -> tuple[int, bytes]:
        if path != "/v1/models/bats:predict":
            return 404, json.dumps(
                {"error": f"Malformed request: POST {path}"}
            ).encode()
        found = rows(request)
        return 200, outputs(found if len(found) > 1 else next(iter(found.values())))

    return answer


def waveform_of(row: dict):
    """Return the samples of a WAV file as it travels in JSON, float32 of (samples,)."""
    content = base64.b64decode(row["b64"], validate=True)
    return soundfile.read(io.BytesIO(content), dtype="float32")[0]


def outputs(found: object) -> bytes:
    """Return the body of an answer."""
    return json.dumps({"outputs": found}).encode()


@contextlib.contextmanager
def running(
    answer: Callable[[str, dict], tuple[int, bytes]], *, headers: list | None = None
) -> Iterator[str]:
    """Serve on a free port of this machine; yield http://HOST:PORT.

    The headers of every request join a list.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if headers is not None:
                headers.append(dict(self.headers))
            status, body = answer(self.path, request)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
