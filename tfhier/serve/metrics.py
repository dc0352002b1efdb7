"""Counters and latencies of requests, in Prometheus' text format.

Names, labels and buckets that begin with `:tensorflow:serving:` are the official
server's, so that a dashboard of the one reads the other; times are in microseconds.
"""

import bisect
import collections
import itertools
import threading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"
_OWN_COUNT = "tfhier_serving_request_count"
# 10 microseconds to 25 minutes.
_BOUNDS = [10 * 1.8**power for power in range(33)]

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Figures of all requests since the start; safe in many threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counts: collections.Counter[tuple[str, Labels]] = collections.Counter()
        self._buckets: dict[Labels, list[int]] = {}
        self._sums: collections.Counter[Labels] = collections.Counter()

    def count(
        self,
        *,
        model: str,
        signature: str,
        door: str,
        method: str,
        status: str,
        seconds: float,
    ) -> None:
        """Count one request.

        Args:
            model: str. "" for one that is not served.
            signature: str. "" where it is not known.
            door: str. "REST" or "gRPC".
            method: str. "predict", "classify" ...
            status: str. The name of its gRPC status: "OK", "INVALID_ARGUMENT" ...
            seconds: float >= 0. That it took.
        """
        name = ("model_name", model)
        end = ("status", status)
        latency = (name, ("API", method), ("entrypoint", door))
        own = (name, ("signature", signature), ("entrypoint", door), end)
        with self._lock:
            self._counts[_COUNT, (name, end)] += 1
            self._counts[_OWN_COUNT, own] += 1
            buckets = self._buckets.setdefault(latency, [0] * (len(_BOUNDS) + 1))
            buckets[bisect.bisect_left(_BOUNDS, 1e6 * seconds)] += 1
            self._sums[latency] += 1e6 * seconds

    def text(self) -> str:
        """Return the page that Prometheus reads."""
        with self._lock:
            counts, sums = dict(self._counts), dict(self._sums)
            buckets = {labels: list(each) for labels, each in self._buckets.items()}
        lines = []
        for name in (_COUNT, _OWN_COUNT):
            lines.append(f"# TYPE {name} counter")
            lines += [
                f"{name}{_braces(labels)} {value}"
                for (called, labels), value in sorted(counts.items())
                if called == name
            ]
        lines.append(f"# TYPE {_LATENCY} histogram")
        for labels, each in sorted(buckets.items()):
            lines += _histogram(labels, each, sums[labels])
        return "\n".join(lines) + "\n"


def _histogram(labels: Labels, buckets: list[int], total: float) -> list[str]:
    """Return the lines of one histogram; every bucket holds those below it."""
    ends = [*(f"{bound:.6g}" for bound in _BOUNDS), "+Inf"]
    running = list(itertools.accumulate(buckets))
    lines = [
        f"{_LATENCY}_bucket{_braces((*labels, ('le', end)))} {count}"
        for end, count in zip(ends, running, strict=True)
    ]
    lines.append(f"{_LATENCY}_sum{_braces(labels)} {total:.3f}")
    lines.append(f"{_LATENCY}_count{_braces(labels)} {running[-1]}")
    return lines


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
