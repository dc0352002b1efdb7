"""How a request fails: one kind of error, told in the words of both protocols."""

from grpc import StatusCode

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
        message: str. For the client, without traces.
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
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status or HTTP_STATUS.get(code, 500)
        self.allowed = allowed


def invalid(message: str) -> StatusError:
    """Return the error of a request that can never succeed as it is."""
    return StatusError(StatusCode.INVALID_ARGUMENT, message)


def wrong_method(message: str, *, allowed: str) -> StatusError:
    """Return the error of a path that is asked by another method of HTTP."""
    return StatusError(StatusCode.UNIMPLEMENTED, message, 405, allowed=allowed)
