"""The REST door: TensorFlow Serving's paths, and two for health.

GET  /v1/models/M[/versions/V]            where the versions stand
GET  /v1/models/M[/versions/V]/metadata   signatures
POST /v1/models/M[/versions/V]:predict    also classify and regress, which refuse
GET  /healthz   the process is alive      GET /readyz   all models are served
GET  /monitoring/prometheus/metrics       counters and latencies
"""

import asyncio
import contextlib
import json
import re
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from grpc import StatusCode
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tfhier.serve import core as shared
from tfhier.serve import json_answers, json_bodies, json_tensors, metrics
from tfhier.serve.core import Core
from tfhier.serve.models import LoadedVersion
from tfhier.serve.signatures import DEFAULT, Signature
from tfhier.serve.status import StatusError, fault, invalid, wrong_method
from tfhier.serve.uploads import Budget, Upload
from tfhier.serve.watch import Asked

_MODEL = (
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
)
_PREDICT = re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.I)
_STATUS = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.I)
_PAGES = ("/healthz", "/readyz", "/monitoring/prometheus/metrics")
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_LONGEST_BODIES = 8  # as many are held at once
_HIGHEST_VERSION = 2**63 - 1
_MOST_DIGITS = len(str(_HIGHEST_VERSION))


def application(core: Core, executor: Executor) -> Starlette:
    """Return the REST interface of a core.

    Args:
        core: Core.
        executor: Executor. Runs predictions; with fewer threads than the gate has
            places, requests wait in it.
    """

    budget = Budget(_LONGEST_BODIES * core.options.max_request_bytes)

    async def model(request: Request) -> Response:
        upload = Upload(
            request,
            budget,
            max_bytes=core.options.max_request_bytes,
            seconds=core.options.body_seconds,
        )
        try:
            with core.watch.request(Asked("REST")) as asked:
                return await _answer(core, executor, request, upload, asked)
        except StatusError as error:
            headers = {"Allow": error.allowed} if error.allowed else None
            return _error(error.message, error.http_status, headers)
        # One request must never end the others, whatever it stumbled upon.
        except Exception as error:
            return _error(fault(error).message, 500)

    async def healthz(request: Request) -> Response:
        return _json({"status": "alive"})

    async def readyz(request: Request) -> Response:
        if core.models.is_ready() and not core.gate.is_closed:
            return _json({"status": "ready"})
        return _error("Not every model is served.", 503)

    async def figures(request: Request) -> Response:
        return Response(core.watch.metrics.text(), media_type=metrics.CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/monitoring/prometheus/metrics", figures),
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

    def servable(self, core: Core, asked: Asked) -> LoadedVersion:
        return core.find(asked, self.name, version=self.version, label=self.label)


async def _answer(
    core: Core, executor: Executor, request: Request, upload: Upload, asked: Asked
) -> Response:
    path, method = request.scope["path"], request.method
    malformed = f"Malformed request: {method} {path}"
    if found := _PREDICT.fullmatch(path):
        if method != "POST":
            raise wrong_method(malformed, allowed="POST")
        asked.method = found["method"].lower()
        return await _post(core, executor, upload, found, asked)
    if found := _STATUS.fullmatch(path):
        if method not in ("GET", "HEAD"):
            raise wrong_method(malformed, allowed="GET")
        wants_metadata = bool(found["metadata"])
        return _look(core, _target(found), asked, wants_metadata=wants_metadata)
    if path in _PAGES:
        raise wrong_method(malformed, allowed="GET")
    if not path.startswith("/v1/"):
        raise StatusError(StatusCode.NOT_FOUND, malformed)
    if path in ("/v1/models", "/v1/models/"):
        raise invalid("Missing model name in request.")
    raise invalid(malformed)


def _look(
    core: Core, target: _Target, asked: Asked, *, wants_metadata: bool
) -> Response:
    if wants_metadata:
        return _json(shared.metadata_json(target.servable(core, asked)))
    if target.label:
        raise invalid(f"Unrecognized servable version label: {target.label}")
    states = core.models.states(target.name, version=target.version)
    return _json(shared.status_json(states))


async def _post(
    core: Core, executor: Executor, upload: Upload, found: re.Match, asked: Asked
) -> Response:
    if core.models.serves(found["name"]):
        asked.model = found["name"]
    work = _predict if found["method"].lower() == "predict" else _refuse
    try:
        with contextlib.ExitStack() as held:
            held.callback(upload.forget)
            await upload.read()
            # Only now: who sends slowly must not shut the others out.
            held.enter_context(core.gate.place())
            future = executor.submit(work, core, found, upload, asked)
            # The place is taken until the work is done, whoever still waits for it.
            kept = held.pop_all()
            future.add_done_callback(lambda future: kept.close())
        return await asyncio.wrap_future(future)
    except StatusError:
        # Many clients send all before they read: an early answer would be lost to them.
        await upload.drain()
        raise
    except ClientDisconnect:
        # Nobody will read it.
        raise StatusError(StatusCode.CANCELLED, "The client is gone.") from None


def _predict(core: Core, found: re.Match, upload: Upload, asked: Asked) -> Response:
    with core.reading:
        signature, inputs, is_row = _read(core, found, upload, asked)
    outputs = core.predict(signature, inputs)
    with core.reading:
        return _text(json_answers.to_json(outputs, is_row=is_row))


def _read(
    core: Core, found: re.Match, upload: Upload, asked: Asked
) -> tuple[Signature, dict[str, np.ndarray], bool]:
    """Return what a body asks for, and whether as rows."""
    wanted = json_bodies.predict_body(upload.content())
    if wanted.is_row:
        core.check_rows(len(wanted.values))
    servable = _target(found).servable(core, asked)
    name = wanted.signature_name or DEFAULT
    signature = servable.signature(
        name,
        missing=invalid(f'Serving signature name: "{name}" not found in signature def'),
    )
    asked.signature = name
    return signature, json_tensors.inputs_of(wanted, signature), wanted.is_row


def _refuse(core: Core, found: re.Match, upload: Upload, asked: Asked) -> Response:
    """Answer classify and regress, which need signatures of the first TensorFlow."""
    with core.reading:
        name = json_bodies.parse(upload.content()).get("signature_name", "")
    raise shared.refuse_examples(
        _target(found).servable(core, asked), name, asked.method
    )


def _target(found: re.Match) -> _Target:
    text, version = found["version"], None
    if text:
        digits = text.lstrip("0")
        # By their number first: Python turns no more than some thousands into an int.
        if len(digits) > _MOST_DIGITS or int(digits or "0") > _HIGHEST_VERSION:
            raise invalid(f"Failed to convert version: {text:.40} to numeric.")
        version = int(digits or "0")
    return _Target(found["name"], version, found["label"] or "")


def _text(text: str, status: int = 200, headers: dict | None = None) -> Response:
    return Response(text, status, headers, media_type="application/json")


def _json(content: object) -> Response:
    return _text(json.dumps(content, indent=2))


def _error(message: str, status: int, headers: dict | None = None) -> Response:
    return _text(json.dumps({"error": message}), status, headers)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    return _error(error.detail, error.status_code, error.headers)
