"""Connections of REST: how many there are, and how long one may ask for nothing.

uvicorn closes a connection that rests behind an answer. It waits without end for the
first byte of a new one and for the rest of a head, and takes as many as come.
"""

import asyncio
import errno
import json
import resource
import sys

from uvicorn.protocols.http.h11_impl import H11Protocol

from tfhier import console

_BODY = json.dumps({"error": "The server has too many connections. Try again later."})
_FULL = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(_BODY)}\r\nConnection: close\r\n\r\n{_BODY}"
).encode()
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SILENT_SECONDS = 60.0


class Connection(H11Protocol):
    """A connection that is closed when it asks for nothing.

    Args:
        max_connections: int > 0. Of the server; a further one is told so and closed.
        head_seconds: float > 0. How long the head of a request may take to come.
        **of_uvicorn: What uvicorn gives to every connection.
    """

    def __init__(self, *, max_connections: int, head_seconds: float, **of_uvicorn):
        super().__init__(**of_uvicorn)
        self._max_connections = max_connections
        self._head_seconds = head_seconds
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            transport.write(_FULL)
            transport.close()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()
        else:
            self._forget_end()

    def connection_lost(self, error: Exception | None) -> None:
        self._forget_end()
        super().connection_lost(error)

    def _await_head(self) -> None:
        # Not put off by every byte: a head that comes drop by drop is late too.
        if self._end is None:
            self._end = self.loop.call_later(self._head_seconds, self.transport.abort)

    def _forget_end(self) -> None:
        if self._end:
            self._end.cancel()
            self._end = None


class Complaints:
    """Handles what an event loop cannot hand to anybody, for `set_exception_handler`.

    That there is no file left for another connection is told once a minute; the loop
    itself says so a hundred times a second.
    """

    def __init__(self):
        self._silent_until = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict) -> None:
        """Tell of an error as the loop describes it."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _EXHAUSTED:
            loop.default_exception_handler(context)
        elif loop.time() >= self._silent_until:
            self._silent_until = loop.time() + _SILENT_SECONDS
            console.line(
                "full",
                f"connections have to wait ({error.strerror}). Raise the limit of the "
                "process (ulimit -n), or close connections.",
            )


def most() -> int:
    """Return how many connections the process has files for.

    Half of its files; the others are for gRPC and the models.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else max(1, limit // 2)
