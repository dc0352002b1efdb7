"""The REST door: TensorFlow Serving's paths, and two for health.

GET  /v1/models/M[/versions/V]            where the versions stand
GET  /v1/models/M[/versions/V]/metadata   signatures
POST /v1/models/M[/versions/V]:predict    also classify and regress, which refuse
GET  /healthz   the process is alive      GET /readyz   all models are served
"""

import asyncio
import contextlib
import json
import re
import zlib
from concurrent.futures import Executor
from dataclasses import dataclass

from grpc import StatusCode
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tfhier.serve import core as shared
from tfhier.serve import json_answers, json_bodies, json_tensors
from tfhier.serve.core import Core
from tfhier.serve.models import Servable
from tfhier.serve.signatures import DEFAULT
from tfhier.serve.status import StatusError, fault, invalid

_MODEL = (
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)
_PREDICT = re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.I)
_STATUS = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.I)
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_BODY_SECONDS = 30.0  # a client that sends slower holds a place for nothing
_DRAIN_SECONDS = 5.0
_HIGHEST_VERSION = 2**63 - 1


def application(core: Core, executor: Executor) -> Starlette:
    """Return the REST interface of a core.

    Args:
        core: Core.
        executor: Executor. Runs predictions; with fewer threads than the gate has
            places, requests wait in it.
    """

    async def model(request: Request) -> Response:
        try:
            return await _answer(core, executor, request)
        except StatusError as error:
            return _error(error.message, error.http_status)
        except ClientDisconnect:
            return _error("The client is gone.", 499)  # nobody will read it
        # One request must never end the others, whatever it stumbled upon.
        except Exception as error:
            return _error(fault(error).message, 500)

    async def healthz(request: Request) -> Response:
        return _json({"status": "alive"})

    async def readyz(request: Request) -> Response:
        if core.models.is_ready() and not core.gate.is_closed:
            return _json({"status": "ready"})
        return _error("Not every model is served.", 503)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/{path:path}", model, methods=_METHODS),
        ],
        exception_handlers={HTTPException: _on_http_error},
    )


@dataclass(frozen=True)
class _Target:
    """What a path names."""

    name: str
    version: int | None
    label: str

    def servable(self, core: Core) -> Servable:
        return core.models.find(self.name, version=self.version, label=self.label)


async def _answer(core: Core, executor: Executor, request: Request) -> Response:
    path, method = request.scope["path"], request.method
    malformed = f"Malformed request: {method} {path}"
    if found := _PREDICT.fullmatch(path):
        if method != "POST":
            return _error(malformed, 405, {"Allow": "POST"})
        return await _post(core, executor, request, found)
    if found := _STATUS.fullmatch(path):
        if method not in ("GET", "HEAD"):
            return _error(malformed, 405, {"Allow": "GET"})
        return _look(core, _target(found), wants_metadata=bool(found["metadata"]))
    if path in ("/healthz", "/readyz"):
        return _error(malformed, 405, {"Allow": "GET"})
    if not path.startswith("/v1/"):
        return _error(malformed, 404)
    if path in ("/v1/models", "/v1/models/"):
        raise invalid("Missing model name in request.")
    raise invalid(malformed)


def _look(core: Core, target: _Target, *, wants_metadata: bool) -> Response:
    if wants_metadata:
        return _json(shared.metadata_json(target.servable(core)))
    if target.label:
        raise invalid(f"Unrecognized servable version label: {target.label}")
    states = core.models.states(target.name, version=target.version)
    return _json(shared.status_json(states))


async def _post(
    core: Core, executor: Executor, request: Request, found: re.Match
) -> Response:
    work = _predict if found["method"].lower() == "predict" else _refuse
    upload = _Upload(request, core.max_request_bytes)
    try:
        with contextlib.ExitStack() as place:
            place.enter_context(core.gate.place())
            body = await upload.read()
            future = executor.submit(work, core, found, body)
            # The place is taken until the work is done, whoever still waits for it.
            kept = place.pop_all()
            future.add_done_callback(lambda future: kept.close())
        return await asyncio.wrap_future(future)
    except StatusError:
        # Many clients send all before they read: an early answer would be lost to them.
        await upload.drain()
        raise


def _predict(core: Core, found: re.Match, body: bytes) -> Response:
    asked = json_bodies.predict_body(body)
    if asked.is_row:
        core.check_rows(len(asked.values))
    servable = _target(found).servable(core)
    name = asked.signature_name or DEFAULT
    signature = servable.signature(
        name,
        missing=invalid(f'Serving signature name: "{name}" not found in signature def'),
    )
    inputs = json_tensors.inputs_of(asked, signature)
    outputs = core.predict(signature, inputs)
    return _text(json_answers.to_json(outputs, is_row=asked.is_row))


def _refuse(core: Core, found: re.Match, body: bytes) -> Response:
    """Answer classify and regress, which need signatures of the first TensorFlow."""
    content = json_bodies.parse(body)
    name = content.get("signature_name", "")
    raise shared.refuse_examples(
        _target(found).servable(core), name, found["method"].lower()
    )


def _target(found: re.Match) -> _Target:
    text = found["version"]
    if text and int(text) > _HIGHEST_VERSION:
        raise invalid(f"Failed to convert version: {text} to numeric.")
    return _Target(found["name"], int(text) if text else None, found["label"] or "")


class _Upload:
    """The body of a request, read within a limit of bytes and of time."""

    def __init__(self, request: Request, max_bytes: int):
        self._request = request
        self._max_bytes = max_bytes
        self._is_read = False

    async def read(self) -> bytes:
        """Return the body, unpacked if it came as gzip.

        Raises:
            StatusError: It is too long, too slow, or packed otherwise.
        """
        declared = self._request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise self._too_long()
        parts, size = [], 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while not self._is_read:
                    part = await self._next()
                    size += len(part)
                    if size > self._max_bytes:
                        raise self._too_long()
                    parts.append(part)
        except TimeoutError:
            raise StatusError(
                StatusCode.DEADLINE_EXCEEDED,
                f"The body did not arrive within {_BODY_SECONDS:g} s.",
                http_status=408,
            ) from None
        return self._unpacked(b"".join(parts))

    async def drain(self) -> None:
        """Take what is still to come and forget it, for a few seconds."""
        if self._request.headers.get("expect"):
            return  # the client waits for a word before it sends
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self._is_read:
                    await self._next()
        except (TimeoutError, ClientDisconnect):
            return

    async def _next(self) -> bytes:
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            self._is_read = True
            raise ClientDisconnect
        self._is_read = not message.get("more_body", False)
        return message.get("body", b"")

    def _unpacked(self, body: bytes) -> bytes:
        encoding = self._request.headers.get("content-encoding", "identity").lower()
        if encoding == "identity":
            return body
        if encoding != "gzip":
            raise StatusError(
                StatusCode.INVALID_ARGUMENT,
                f"Bodies are plain or packed by gzip. Received: {encoding}",
                http_status=415,
            )
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            content = unpacker.decompress(body, self._max_bytes)
        except zlib.error as error:
            raise invalid(f"The body is no gzip ({error}).") from None
        if unpacker.unconsumed_tail:
            raise self._too_long()
        if not unpacker.eof:
            raise invalid("The body ends in the middle of its gzip.")
        return content

    def _too_long(self) -> StatusError:
        return StatusError(
            StatusCode.RESOURCE_EXHAUSTED,
            f"The body is longer than {self._max_bytes} bytes, which is the limit. "
            "Send fewer or shorter clips, or start the server with a higher limit.",
            http_status=413,
        )


def _text(text: str, status: int = 200, headers: dict | None = None) -> Response:
    return Response(text, status, headers, media_type="application/json")


def _json(content: object) -> Response:
    return _text(json.dumps(content, indent=2))


def _error(message: str, status: int, headers: dict | None = None) -> Response:
    return _text(json.dumps({"error": message}), status, headers)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    return _error(error.detail, error.status_code, error.headers)
