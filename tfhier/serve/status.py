"""How a request fails: one kind of error, told in the words of both protocols."""

import contextlib
import traceback
from pathlib import Path

from grpc import StatusCode

from tfhier import console

_LONGEST = 1_000  # bytes of a message; gRPC fails on those of many thousands
# As the official server translates them; it says 429 where we say 503, which more
# proxies take for "try again".
HTTP_STATUS = {
    StatusCode.CANCELLED: 499,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.NOT_FOUND: 404,
    StatusCode.RESOURCE_EXHAUSTED: 503,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.DEADLINE_EXCEEDED: 504,
}


class StatusError(Exception):
    """A request that is answered with an error.

    Args:
        code: grpc.StatusCode. Its HTTP status is that of `HTTP_STATUS`, else 500.
        message: str. For the client, without traces; it is cut where it is long.
        http_status: int or None. Where HTTP has a closer word.
        allowed: str. The method of HTTP that would do; "" where that is not it.
    """

    def __init__(
        self,
        code: StatusCode,
        message: str,
        http_status: int | None = None,
        *,
        allowed: str = "",
    ):
        self.code = code
        self.message = _cut(message)
        super().__init__(self.message)
        self.http_status = http_status or HTTP_STATUS.get(code, 500)
        self.allowed = allowed


def invalid(message: str) -> StatusError:
    """Return the error of a request that can never succeed as it is."""
    return StatusError(StatusCode.INVALID_ARGUMENT, message)


def wrong_method(message: str, *, allowed: str) -> StatusError:
    """Return the error of a path that is asked by another method of HTTP."""
    return StatusError(StatusCode.UNIMPLEMENTED, message, 405, allowed=allowed)


def fault(error: Exception) -> StatusError:
    """Print a line about an error that nobody foresaw, and return what clients hear."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = _cut(" ".join(f"{type(error).__name__}: {error}".split()))
    # Standard output may be closed long before the server is.
    with contextlib.suppress(OSError):
        console.line("fault", f"{said} ({Path(place.filename).name}:{place.lineno})")
    return StatusError(
        StatusCode.INTERNAL, "The server met a fault of its own; its log says more."
    )


def _cut(message: str) -> str:
    """Return the beginning of a message as text that UTF-8 can hold."""
    # Before it is encoded too: messages may repeat what fills a whole request.
    start = message[: _LONGEST + 1].encode(errors="backslashreplace")
    if len(start) <= _LONGEST:
        return start.decode()
    return start[: _LONGEST - 3].decode(errors="ignore") + "..."
