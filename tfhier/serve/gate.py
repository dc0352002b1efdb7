"""How many requests are let in, and that none is once the server shuts down."""

import contextlib
import threading
from collections.abc import Iterator

from grpc import StatusCode

from tfhier.serve.status import StatusError


class Gate:
    """Counts the requests in flight and refuses those beyond a limit.

    Args:
        max_in_flight: int > 0.
    """

    def __init__(self, max_in_flight: int):
        self._max_in_flight = max_in_flight
        self._lock = threading.Lock()
        self._in_flight = 0
        self._is_closed = False

    @property
    def in_flight(self) -> int:
        """Requests that are being worked on."""
        return self._in_flight

    @property
    def is_closed(self) -> bool:
        """Whether every new request is refused."""
        return self._is_closed

    def close(self) -> None:
        """Refuse every request from now on."""
        self._is_closed = True

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while a request is worked on.

        Raises:
            StatusError: UNAVAILABLE when the gate is closed, RESOURCE_EXHAUSTED when
                all places are taken.
        """
        with self._lock:
            if self._is_closed:
                raise StatusError(
                    StatusCode.UNAVAILABLE, "The server is shutting down. Try later."
                )
            if self._in_flight >= self._max_in_flight:
                raise StatusError(
                    StatusCode.RESOURCE_EXHAUSTED,
                    f"The server is busy with {self._max_in_flight} requests, as many "
                    "as it takes at once. Try again later.",
                )
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1
