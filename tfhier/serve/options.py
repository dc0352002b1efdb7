"""What can be set of a server."""

from dataclasses import dataclass

from tfhier.errors import InputError

_HIGHEST_PORT = 65_535


@dataclass(frozen=True, kw_only=True)
class Options:
    """What can be set of a server.

    Args:
        host: str. Address to listen on; the default is reached from this machine alone.
        rest_port: int in [0, 65535]. Of HTTP; 0 lets the system choose one, which is
            printed at the start.
        grpc_port: int in [0, 65535]. Of gRPC; 0 as above.
        max_request_bytes: int > 0. Longest body or message that is accepted, and the
            largest tensor that one may declare.
        max_rows: int > 0. Rows of a request: what REST's "instances" lists, and the
            size of axis 0 of every input, but for numbers of one axis, which may be one
            waveform.
        max_in_flight: int > 0. Requests of both protocols that are worked on or wait;
            further ones are refused at once.
        num_threads: int > 0. Computations that run at the same time, and bodies of
            REST that are read.
        batching: bool. Whether requests are joined whose inputs differ in the size of
            axis 0 alone. They are never padded.
        max_batch_size: int > 0. Rows along axis 0 of a joined request at most.
        batch_timeout_ms: float >= 0. How long the first request of a batch waits for
            others, in milliseconds.
        body_seconds: float > 0. How long the body of a REST request may take to come,
            and before it its head; also, how long the first words of a gRPC client.
        poll_seconds: float > 0. Between two looks for new versions of the models.
        shutdown_seconds: float > 0. How long requests in flight may take when the
            server is told to stop.
        log_requests: bool. Whether every request is said in a line on standard error,
            and not refusals alone.

    Raises:
        InputError: A value is of another type or outside these ranges.
    """

    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500
    max_request_bytes: int = 32 << 20
    max_rows: int = 1_024
    max_in_flight: int = 64
    num_threads: int = 4
    batching: bool = False
    max_batch_size: int = 32
    batch_timeout_ms: float = 5.0
    body_seconds: float = 10.0
    poll_seconds: float = 2.0
    shutdown_seconds: float = 10.0
    log_requests: bool = False

    def __post_init__(self):
        if not isinstance(self.host, str) or not self.host:
            raise InputError(f"host is a name or an address. Received: {self.host!r}")
        for name in ("batching", "log_requests"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise InputError(f"{name} is True or False. Received: {value!r}")
        for name in ("rest_port", "grpc_port"):
            self._check(name, kinds=(int,), low=0, high=_HIGHEST_PORT)
        for name in (
            "max_request_bytes", "max_rows", "max_in_flight", "num_threads",
            "max_batch_size",
        ):  # fmt: skip
            self._check(name, kinds=(int,), low=1)
        self._check("batch_timeout_ms", kinds=(int, float), low=0)
        for name in ("body_seconds", "poll_seconds", "shutdown_seconds"):
            self._check(name, kinds=(int, float), low=0.01)

    def _check(
        self, name: str, *, kinds: tuple, low: float, high: float = 2**31 - 1
    ) -> None:
        value = getattr(self, name)
        if type(value) not in kinds or not low <= value <= high:
            kind = "a whole number" if kinds == (int,) else "a number"
            raise InputError(
                f"{name} is {kind} from {low} to {high}. Received: {value!r}"
            )
