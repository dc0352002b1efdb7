"""Bodies of REST requests, read within limits of bytes and of time.

A client that sends slowly, or never, holds no place among the requests in flight, only
the bytes that came; those of all clients together are bounded too.
"""

import asyncio
import threading
import zlib

from grpc import StatusCode
from starlette.requests import ClientDisconnect, Request

from tfhier.serve.status import StatusError, invalid

_DRAIN_SECONDS = 5.0


class Budget:
    """The bytes of all bodies that are being read or worked on.

    Args:
        max_bytes: int > 0.
    """

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._taken = 0

    @property
    def taken(self) -> int:
        """Bytes that are held now."""
        return self._taken

    def take(self, num_bytes: int) -> None:
        """Hold some bytes.

        Raises:
            StatusError: RESOURCE_EXHAUSTED: there are not so many left. None is held.
        """
        with self._lock:
            if self._taken + num_bytes > self._max_bytes:
                raise StatusError(
                    StatusCode.RESOURCE_EXHAUSTED,
                    f"The server holds {self._taken} bytes of other requests, and "
                    f"{self._max_bytes} are the limit. Try again later.",
                )
            self._taken += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """Hold some bytes no longer."""
        with self._lock:
            self._taken -= num_bytes


class Upload:
    """The body of one request.

    Args:
        request: Request.
        budget: Budget. What the body is taken from.
        max_bytes: int > 0. The longest body, as it comes and unpacked.
        seconds: float > 0. How long it may take to come.
    """

    def __init__(
        self, request: Request, budget: Budget, *, max_bytes: int, seconds: float
    ):
        self._request = request
        self._budget = budget
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._encoding = request.headers.get("content-encoding", "identity").lower()
        self._parts: list[bytes] = []
        self._size = 0
        self._is_read = False

    async def read(self) -> None:
        """Wait for the whole body.

        Raises:
            StatusError: It is too long, too slow or packed otherwise than by gzip, or
                the budget is spent.
        """
        if self._encoding not in ("identity", "gzip"):
            raise StatusError(
                StatusCode.INVALID_ARGUMENT,
                f"Bodies are plain or packed by gzip. Received: {self._encoding}",
                http_status=415,
            )
        declared = self._request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise self._too_long()
        try:
            async with asyncio.timeout(self._seconds):
                while not self._is_read:
                    self._keep(await self._next())
        except TimeoutError:
            self._is_read = True  # it was waited for long enough
            raise StatusError(
                StatusCode.DEADLINE_EXCEEDED,
                f"The body did not arrive within {self._seconds:g} s.",
                http_status=408,
            ) from None

    def content(self) -> bytes:
        """Return the body that was read, unpacked if it came as gzip.

        Raises:
            StatusError: It is too long, or no gzip.
        """
        body = b"".join(self._parts)
        if self._encoding == "identity":
            return body
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

    def forget(self) -> None:
        """Give the bytes back to the budget."""
        self._budget.give_back(self._size)
        self._parts, self._size = [], 0

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

    def _keep(self, part: bytes) -> None:
        if self._size + len(part) > self._max_bytes:
            raise self._too_long()
        self._budget.take(len(part))
        self._parts.append(part)
        self._size += len(part)

    def _too_long(self) -> StatusError:
        return StatusError(
            StatusCode.RESOURCE_EXHAUSTED,
            f"The body is longer than {self._max_bytes} bytes, which is the limit. "
            "Send fewer or shorter clips, or start the server with a higher limit.",
            http_status=413,
        )
