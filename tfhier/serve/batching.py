"""Requests joined into one computation, and their answers parted again.

Joined are requests to the same signature whose inputs agree in type and in every axis
but the first. The first request to come waits for others and computes for all of them;
so there are no threads of their own, and nothing to stop. Nothing is ever padded.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tfhier.serve.signatures import Signature

Arrays = Mapping[str, np.ndarray]
Compute = Callable[[Signature, Arrays], dict[str, np.ndarray]]


@dataclass(eq=False)
class _Member:
    """One request of a batch; at last it has outputs or an error."""

    inputs: Arrays
    size: int
    outputs: dict[str, np.ndarray] | None = None
    error: Exception | None = None


@dataclass(eq=False)
class _Batch:
    members: list[_Member] = field(default_factory=list)
    full: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def size(self) -> int:
        return sum(member.size for member in self.members)


class Batcher:
    """Joins requests that come at nearly the same time.

    Args:
        compute: Function of a signature and inputs that returns outputs.
        num_threads: int > 0. Computations that run at the same time.
        max_batch_size: int > 0. Rows of a batch at most; a larger request runs alone.
        timeout_seconds: float >= 0. How long the first request waits for others. While
            no thread is free it waits longer, and the batch grows on.
    """

    def __init__(
        self,
        compute: Compute,
        *,
        num_threads: int,
        max_batch_size: int,
        timeout_seconds: float,
    ):
        self._compute = compute
        self._slots = threading.Semaphore(num_threads)
        self._max_batch_size = max_batch_size
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._open: dict[tuple, _Batch] = {}

    def __call__(self, signature: Signature, inputs: Arrays) -> dict[str, np.ndarray]:
        """Compute a request, perhaps together with others.

        Raises:
            StatusError: As `compute` raises it for this request alone.
        """
        size = _rows(inputs)
        if not 0 < size < self._max_batch_size:
            with self._slots:
                return self._compute(signature, inputs)
        key = _key(signature, inputs)
        member = _Member(inputs, size)
        batch, is_first = self._join(key, member)
        if is_first:
            batch.full.wait(self._timeout_seconds)
            with self._slots:
                self._close(key, batch)
                self._compute_batch(signature, batch)
        else:
            batch.done.wait()
        if member.error:
            raise member.error
        return member.outputs

    def _join(self, key: tuple, member: _Member) -> tuple[_Batch, bool]:
        """Put a request into the open batch of its kind, or into a new one."""
        with self._lock:
            batch = self._open.get(key)
            if batch and batch.size + member.size > self._max_batch_size:
                batch.full.set()
                batch = None
            is_first = batch is None
            if is_first:
                batch = self._open[key] = _Batch()
            batch.members.append(member)
            if batch.size == self._max_batch_size:
                del self._open[key]
                batch.full.set()
            return batch, is_first

    def _close(self, key: tuple, batch: _Batch) -> None:
        with self._lock:
            if self._open.get(key) is batch:
                del self._open[key]

    def _compute_batch(self, signature: Signature, batch: _Batch) -> None:
        try:
            if len(batch.members) == 1 or not self._compute_joined(signature, batch):
                for member in batch.members:
                    self._compute_member(signature, member)
        finally:
            batch.done.set()

    def _compute_joined(self, signature: Signature, batch: _Batch) -> bool:
        """Compute all members at once; return whether that was possible."""
        members = batch.members
        joined = {
            name: np.concatenate([member.inputs[name] for member in members])
            for name in members[0].inputs
        }
        try:
            outputs = self._compute(signature, joined)
        except Exception:
            # Perhaps the fault of one of them: each is to have its own answer.
            return False
        if any(_size(array) != batch.size for array in outputs.values()):
            return False  # an output that is not one row a request cannot be parted
        ends = np.cumsum([member.size for member in members])[:-1]
        parted = {name: np.split(array, ends) for name, array in outputs.items()}
        for at, member in enumerate(members):
            member.outputs = {name: parts[at] for name, parts in parted.items()}
        return True

    def _compute_member(self, signature: Signature, member: _Member) -> None:
        try:
            member.outputs = self._compute(signature, member.inputs)
        # Whatever it is belongs to the thread that waits for this member.
        except Exception as error:
            member.error = error


def _size(array: np.ndarray) -> int:
    return array.shape[0] if array.ndim else -1


def _rows(inputs: Arrays) -> int:
    """Return the common size of axis 0; 0 if there is none."""
    sizes = {_size(array) for array in inputs.values()}
    return max(sizes.pop(), 0) if len(sizes) == 1 else 0


def _key(signature: Signature, inputs: Arrays) -> tuple:
    """Return what requests share that can be joined."""
    return (
        signature,
        *(
            (name, str(inputs[name].dtype), inputs[name].shape[1:])
            for name in sorted(inputs)
        ),
    )
