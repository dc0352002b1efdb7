"""A server in this process, with small models, for the tests of both doors."""

import contextlib
import http.client
import json
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from tests.serve import saved_models
from tfhier.serve import Options, Server

LIMIT = 1 << 20  # bytes of a request


class Clients:
    """What a test asks a server with."""

    def __init__(self, server: Server):
        self.rest_address, self.grpc_address = server.rest_address, server.grpc_address
        self.server = server
        self.channel = grpc.insecure_channel(
            self.grpc_address,
            options=[("grpc.max_receive_message_length", -1)],
        )
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(
            self.channel
        )
        self.status = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def ask(
        self, method: str, path: str, body: object = None, headers: dict | None = None
    ) -> tuple[int, dict]:
        """Return HTTP status and JSON of a request; bytes are sent as they are."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        host, port = self.rest_address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            content = response.read()
            kind = response.getheader("content-type")
            assert kind == "application/json", (kind, content)
            return response.status, json.loads(content) if content else {}

    def post(self, body: object, *, model: str = "tags") -> tuple[int, dict]:
        """Return status and JSON of a prediction."""
        return self.ask("POST", f"/v1/models/{model}:predict", body)

    def close(self) -> None:
        self.channel.close()


@contextlib.contextmanager
def running(models: dict[str, Path], **options):
    """A server on free ports, and clients of it."""
    server = Server(models, Options(rest_port=0, grpc_port=0, **options))
    server.start()
    clients = Clients(server)
    try:
        yield clients
    finally:
        clients.close()
        server.stop()


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    """A base folder with version 3."""
    folder = tmp_path_factory.mktemp("tags")
    saved_models.save(folder, 3)
    return folder


@pytest.fixture(scope="session")
def clients(base):
    """Clients of a server that all tests share."""
    with running({"tags": base}, max_request_bytes=LIMIT, max_in_flight=8) as found:
        yield found
