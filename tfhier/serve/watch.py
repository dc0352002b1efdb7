"""What is kept and said of requests: figures for Prometheus, lines on standard error.

Names of models and signatures are those that are served. What a client makes up is
neither counted under its name, where every name would take memory, nor written raw.
"""

import contextlib
import datetime
import json
import sys
import threading
import time
from dataclasses import dataclass, field

from grpc import StatusCode

from tfhier.serve.metrics import Metrics
from tfhier.serve.status import StatusError

_SECONDS_BETWEEN_REFUSALS = 1.0
_LONGEST_MESSAGE = 200


@dataclass
class Asked:
    """One request, filled in while it is answered.

    Args:
        door: str. "REST" or "gRPC".
        method: str. "predict", "classify" ...; "" of requests that compute nothing,
            which are not counted.
        model: str. "" for one that is not served.
        version: int or None. That answers.
        signature: str. "" where it is not known.
        code: grpc.StatusCode.
        message: str. Why it was refused.
        start: float. In seconds of `time.perf_counter`.
    """

    door: str
    method: str = ""
    model: str = ""
    version: int | None = None
    signature: str = ""
    code: StatusCode = StatusCode.OK
    message: str = ""
    start: float = field(default_factory=time.perf_counter)

    def refuse(self, error: StatusError) -> None:
        """Take the status of an error."""
        self.code, self.message = error.code, error.message


class Watch:
    """Counts requests and says them.

    Args:
        logs_all: bool. Whether every request that computes is said, and every refusal;
            or else refusals alone, at most one line a second.
    """

    def __init__(self, *, logs_all: bool):
        self.metrics = Metrics()
        self._logs_all = logs_all
        self._lock = threading.Lock()
        self._last = float("-inf")
        self._left_out = 0

    @contextlib.contextmanager
    def request(self, asked: Asked):
        """Watch a request while it is answered; a StatusError goes on."""
        try:
            yield asked
        except StatusError as error:
            asked.refuse(error)
            raise
        except BaseException as error:
            asked.code, asked.message = StatusCode.INTERNAL, type(error).__name__
            raise
        finally:
            self._end(asked)

    def flush(self) -> None:
        """Say how many refusals were left out, once their second is over."""
        with self._lock:
            is_over = time.monotonic() - self._last >= _SECONDS_BETWEEN_REFUSALS
            if not self._left_out or not is_over:
                return
            left_out, self._left_out = self._left_out, 0
        _say(f"{_now()} {left_out} more refused")

    def _end(self, asked: Asked) -> None:
        seconds = time.perf_counter() - asked.start
        if asked.method:
            self.metrics.count(
                model=asked.model,
                signature=asked.signature,
                door=asked.door,
                method=asked.method,
                status=asked.code.name,
                seconds=seconds,
            )
        is_refused = asked.code is not StatusCode.OK
        if self._logs_all and (asked.method or is_refused):
            _say(_line(asked, seconds))
        elif is_refused:
            self._say_refusal(_line(asked, seconds))

    def _say_refusal(self, line: str) -> None:
        with self._lock:
            if time.monotonic() - self._last < _SECONDS_BETWEEN_REFUSALS:
                self._left_out += 1
                return
            self._last = time.monotonic()
            left_out, self._left_out = self._left_out, 0
        _say(f"{line} ({left_out} more refused before)" if left_out else line)


def _line(asked: Asked, seconds: float) -> str:
    """Return time, door, model, version, signature, status and milliseconds."""
    words = (
        _now(),
        asked.door,
        asked.model or "-",
        "-" if asked.version is None else str(asked.version),
        asked.signature or "-",
        asked.code.name,
        f"{1_000 * seconds:.1f} ms",
    )
    # As JSON, which has no raw line ends and no codes of a terminal.
    message = asked.message[:_LONGEST_MESSAGE]
    return " ".join((*words, json.dumps(message)) if message else words)


def _now() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _say(line: str) -> None:
    # Standard error may be closed long before the server is.
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
