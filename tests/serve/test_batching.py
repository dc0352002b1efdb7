"""Joined requests: what is joined, what is not, and that nobody pays for another."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from tests.serve import saved_models
from tests.serve.conftest import running
from tfhier.serve.batching import Batcher
from tfhier.serve.signatures import Signature
from tfhier.serve.status import StatusError, invalid

SIGNATURE = Signature("serving_default", SignatureDef(), dict)
OTHER = Signature("other", SignatureDef(), dict)


class Recorder:
    """Doubles what it is given, and remembers the shapes."""

    def __init__(self):
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, signature, inputs):
        x = inputs["x"]
        self.shapes.append(x.shape)
        if (x == 13).any():
            raise invalid("13 is unlucky")
        if (x == 14).any():
            raise MemoryError("14 is a fault")
        if signature is OTHER:
            return {"y": 2 * x, "mean": x.mean()}  # the second cannot be parted
        return {"y": 2 * x}


def ask(batcher, arrays, *, signature=SIGNATURE) -> list:
    """Ask for all arrays at the same moment; errors come back as values."""
    start = threading.Barrier(len(arrays))

    def one(array):
        start.wait()
        try:
            return batcher(signature, {"x": array})["y"]
        except (StatusError, MemoryError) as error:
            return error

    with ThreadPoolExecutor(len(arrays)) as pool:
        return list(pool.map(one, arrays))


def batcher(
    recorder, *, size: int = 8, seconds: float = 0.2, threads: int = 4
) -> Batcher:
    return Batcher(
        recorder, num_threads=threads, max_batch_size=size, timeout_seconds=seconds
    )


def test_equal_shapes_are_joined_and_parted():
    recorder = Recorder()
    arrays = [np.full((1 + at % 2, 3), at, np.float32) for at in range(4)]  # 6 rows
    for array, found in zip(arrays, ask(batcher(recorder), arrays), strict=True):
        np.testing.assert_array_equal(found, 2 * array)
    assert recorder.shapes == [(6, 3)]


def test_a_full_batch_does_not_wait():
    recorder = Recorder()
    before = time.monotonic()
    ask(batcher(recorder, size=4, seconds=30), [np.ones((1, 2))] * 4)
    assert time.monotonic() - before < 10
    assert recorder.shapes == [(4, 2)]


def test_other_shapes_types_and_signatures_are_not_joined():
    recorder = Recorder()
    joins = batcher(recorder)
    arrays = [np.ones((1, 2)), np.ones((1, 3)), np.ones((1, 2), np.float32)]
    ask(joins, arrays)
    assert sorted(recorder.shapes) == [(1, 2), (1, 2), (1, 3)]
    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(ask, joins, [np.ones((1, 5))], signature=signature)
            for signature in (SIGNATURE, OTHER)
        ]
        assert all(future.result() for future in both)
    assert recorder.shapes[3:] == [(1, 5), (1, 5)]


def test_batches_stay_within_their_limit():
    recorder = Recorder()
    arrays = [np.full((3, 1), at) for at in range(5)]
    found = ask(batcher(recorder, size=7, seconds=0.05), arrays)
    for array, answer in zip(arrays, found, strict=True):
        np.testing.assert_array_equal(answer, 2 * array)
    assert sum(shape[0] for shape in recorder.shapes) == 15
    assert max(shape[0] for shape in recorder.shapes) <= 7
    # Alone, at once, and without waiting for others.
    ask(batcher(recorder, size=2, seconds=30), [np.ones((9, 1))])
    assert recorder.shapes[-1] == (9, 1)


@pytest.mark.parametrize(
    ("value", "kind"), [(13, StatusError), (14, MemoryError)], ids=["refused", "fault"]
)
def test_an_error_hits_only_who_made_it(value, kind):
    recorder = Recorder()
    arrays = [np.full((1, 2), number) for number in (1, value, 3)]
    found = ask(batcher(recorder, size=3, seconds=30), arrays)
    np.testing.assert_array_equal(found[0], [[2, 2]])
    assert isinstance(found[1], kind)
    np.testing.assert_array_equal(found[2], [[6, 6]])
    assert recorder.shapes == [(3, 2), (1, 2), (1, 2), (1, 2)]


def test_outputs_that_are_not_rows_are_never_parted():
    recorder = Recorder()
    arrays = [np.full((1, 2), at) for at in range(3)]
    found = ask(batcher(recorder, size=3, seconds=30), arrays, signature=OTHER)
    for array, answer in zip(arrays, found, strict=True):
        np.testing.assert_array_equal(answer, 2 * array)
    assert recorder.shapes == [(3, 2), (1, 2), (1, 2), (1, 2)]


@pytest.mark.parametrize("size", [1, 4])  # alone, and as batches of one
def test_no_more_computations_than_threads(size):
    running_now, most = [], []

    def slow(signature, inputs):
        running_now.append(1)
        most.append(len(running_now))
        time.sleep(0.02)
        running_now.pop()
        return {"y": inputs["x"]}

    ask(
        batcher(slow, size=size, seconds=0.01, threads=2),
        [np.ones((1, at)) for at in range(8)],
    )
    assert max(most) == 2


def test_a_server_that_joins_answers_the_same(base, rng):
    clips = rng.normal(size=(24, 1, 40)).astype(np.float32)
    clips[5, 0, 0] = 99  # which the graph refuses
    expected = [
        saved_models.direct(base / "3", "serving_default", waveform=clip)["fine"]
        for clip in np.where(clips == 99, 0, clips)
    ]
    options = {"batching": True, "max_batch_size": 8, "batch_timeout_ms": 50}
    bodies = [{"inputs": clip.astype(float).tolist()} for clip in clips]
    with running({"tags": base}, **options) as clients, ThreadPoolExecutor(12) as pool:
        found = list(pool.map(clients.post, bodies))
    for at, (status, answer) in enumerate(found):
        if at == 5:
            assert (status, answer["error"]) == (
                400, "assertion failed: [The first sample is 99.]"
            )  # fmt: skip
        else:
            assert status == 200
            np.testing.assert_array_equal(
                np.float32(answer["outputs"]["fine"]), expected[at]
            )
