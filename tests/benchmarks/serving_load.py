"""Ask a served model from many clients at once, over REST and gRPC, and check it all.

    python tests/benchmarks/serving_load.py BASE_FOLDER --signature wav_bytes

Two servers run beside each other on this machine, one that joins requests and one
that does not. They are loaded in turns (A B A B ...), so that what else the machine
does hits both. Every answer is compared with the SavedModel called directly. It ends by
itself, after the requests or after `--limit-seconds`.
"""

import argparse
import base64
import contextlib
import http.client
import io
import json
import re
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import soundfile
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import tfhier
from tfhier import console, machine
from tfhier.model_paths import versions

MODEL = "model"
CLIPS = 16  # different ones; each is asked for again and again
ANSWER_SECONDS = 30
SERVER = """
import sys
from pathlib import Path
from tfhier.serve import Options, serve
options = Options(rest_port=0, grpc_port=0, batching=sys.argv[2] == "joined")
serve({"model": Path(sys.argv[1])}, options)
"""


@dataclass
class Found:
    """What the requests of one kind met."""

    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0
    errors: int = 0
    difference: float = 0.0


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("base", type=Path, help="folder with the version folders")
    p.add_argument("--signature", default="serving_default")
    p.add_argument("--requests", type=int, default=2_000, help="of each kind")
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--rounds", type=int, default=4, help="turns of each kind")
    p.add_argument("--seconds", type=float, default=1.0, help="length of a clip")
    p.add_argument("--sample-rate", type=int, default=16_000)
    p.add_argument("--keras", help="the model that it was exported from, compared too")
    p.add_argument("--limit-seconds", type=float, default=600)
    args = p.parse_args()
    end = time.monotonic() + args.limit_seconds
    found = versions(args.base)
    signature = tf.saved_model.load(str(found[max(found)])).signatures[args.signature]
    clips = make_clips(signature, round(args.seconds * args.sample_rate), args)
    if args.keras:
        difference = from_keras(clips, args)
        console.line("Keras", f"answers of the SavedModel differ by {difference:.1e}")
    found: dict[tuple[str, str], Found] = {}
    with contextlib.ExitStack() as servers:
        addresses = {
            kind: servers.enter_context(serving(args.base, kind))
            for kind in ("single", "joined")
        }
        share = -(-args.requests // args.rounds)
        for turn in range(-1, args.rounds):  # the first is to warm up
            for protocol, door in (("REST", rest_door), ("gRPC", grpc_door)):
                for kind, address in addresses.items():
                    ask = door(address[protocol], args.signature, clips)
                    into = found.setdefault((protocol, kind), Found())
                    number = share if turn >= 0 else 4 * args.clients
                    load(ask, clips, number, args.clients, end, into)
                    if turn < 0:
                        found[protocol, kind] = Found()
    show(found, args)


@dataclass(frozen=True)
class Clip:
    """One request: its input, by name, and the outputs of the model itself."""

    name: str
    value: np.ndarray  # (1, samples), or (1,) of bytes
    outputs: dict[str, np.ndarray]


def make_clips(signature: Callable, samples: int, args) -> list[Clip]:
    """Return clips of noise in the kind that a signature takes."""
    ((name, spec),) = signature.structured_input_signature[1].items()
    clips = []
    for seed in range(CLIPS):
        noise = np.random.default_rng(seed).uniform(-0.5, 0.5, samples)
        if spec.dtype == tf.string:
            value = np.array([wav_bytes(noise, args.sample_rate)], dtype=object)
        else:
            value = noise[None].astype(np.float32)
        outputs = signature(**{name: tf.constant(value)})
        clips.append(
            Clip(name, value, {key: part.numpy() for key, part in outputs.items()})
        )
    return clips


def from_keras(clips: list[Clip], args) -> float:
    """Return the largest difference of any score from those of the Keras model."""
    tagger = tfhier.load(args.keras)
    differences = []
    for clip in clips:
        heard, rate = clip.value[0], args.sample_rate
        if isinstance(heard, bytes):
            heard, rate = soundfile.read(io.BytesIO(heard), dtype="float32")
        for level, scores in tagger.scores(heard, sample_rate=rate).items():
            differences.append(np.abs(clip.outputs[level][0] - scores).max())
    return float(np.max(differences))


def wav_bytes(waveform: np.ndarray, sample_rate: int) -> bytes:
    """Return a 16-bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.round(waveform * 32_767).astype("<i2").tobytes())
    return buffer.getvalue()


@contextlib.contextmanager
def serving(base: Path, kind: str) -> Iterator[dict[str, str]]:
    """Run a server in a process of its own; give its addresses by protocol."""
    command = [sys.executable, "-c", SERVER, str(base), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            addresses = {}
            for line in process.stdout:
                if found := re.match(r"(REST|gRPC) +(?:http://)?(\S+)$", line):
                    addresses[found[1]] = found[2]
                if line.startswith("ready"):
                    break
            if not addresses:
                raise SystemExit("The server did not start; its error stands above.")
            yield addresses
        finally:
            process.terminate()
            process.communicate()


def rest_door(address: str, signature: str, clips: list[Clip]) -> Callable:
    """Return what asks for one clip over REST, each client on its own connection."""
    bodies = [
        json.dumps({"signature_name": signature, "inputs": _as_json(clip)}).encode()
        for clip in clips
    ]

    @contextlib.contextmanager
    def client() -> Iterator[Callable[[int], Callable[[], dict]]]:
        connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)
        path = f"/v1/models/{MODEL}:predict"

        def ask(at: int) -> Callable[[], dict]:
            connection.request("POST", path, bodies[at])
            response = connection.getresponse()
            content = response.read()
            if response.status != 200:
                raise OSError(content)
            return lambda: _by_name(json.loads(content)["outputs"], clips[at])

        with contextlib.closing(connection):
            yield ask

    return client


def grpc_door(address: str, signature: str, clips: list[Clip]) -> Callable:
    """Return what asks for one clip over gRPC, each client on its own channel."""
    requests = []
    for clip in clips:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = MODEL
        request.model_spec.signature_name = signature
        request.inputs[clip.name].CopyFrom(tf.make_tensor_proto(clip.value))
        requests.append(request)

    @contextlib.contextmanager
    def client() -> Iterator[Callable[[int], Callable[[], dict]]]:
        # A pool of its own, or all channels would share one connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(address, options=options) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

            def ask(at: int) -> Callable[[], dict]:
                answer = stub.Predict(requests[at], timeout=ANSWER_SECONDS)
                return lambda: {
                    name: tf.make_ndarray(proto)
                    for name, proto in answer.outputs.items()
                }

            yield ask

    return client


def load(
    door: Callable,
    clips: list[Clip],
    number: int,
    clients: int,
    end: float,
    into: Found,
) -> None:
    """Send requests from several clients at once, and note what came back."""

    def one_client(first: int) -> tuple[list[float], list, int]:
        times, answers, errors = [], [], 0
        with door() as ask:
            for count in range(first, number, clients):
                if time.monotonic() > end:
                    break
                before = time.perf_counter()
                try:
                    answer = ask(count % len(clips))
                except (OSError, http.client.HTTPException, grpc.RpcError):
                    errors += 1
                    continue
                times.append(1_000 * (time.perf_counter() - before))
                answers.append((count % len(clips), answer))
        return times, answers, errors

    before = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        parts = list(pool.map(one_client, range(clients)))
    into.seconds += time.perf_counter() - before
    for times, answers, errors in parts:
        into.milliseconds += times
        into.errors += errors
        for at, answer in answers:
            for name, array in answer().items():
                if array.dtype.kind == "f":
                    away = np.abs(array - clips[at].outputs[name]).max(initial=0)
                    into.difference = max(into.difference, float(away))
                elif not np.array_equal(array, clips[at].outputs[name]):
                    into.errors += 1


def _as_json(clip: Clip) -> list:
    if clip.value.dtype == object:
        return [{"b64": base64.b64encode(value).decode()} for value in clip.value]
    return clip.value.astype(float).tolist()


def _by_name(outputs: object, clip: Clip) -> dict[str, np.ndarray]:
    """Return outputs of REST, which leaves the name of a single one out."""
    if len(clip.outputs) == 1:
        outputs = {next(iter(clip.outputs)): outputs}
    return {
        name: np.array(values, clip.outputs[name].dtype)
        for name, values in outputs.items()
    }


def show(found: dict[tuple[str, str], Found], args) -> None:
    """Print a line for every kind of request."""
    facts = machine.describe()
    console.line("machine", f"{facts['processor']}, {facts['num_cores']} cores")
    console.line("versions", f"TensorFlow {facts['tensorflow']}, {facts['date']}")
    console.line(
        "load",
        f"{args.clients} clients, {args.rounds} turns each, {args.signature}, clips of "
        f"{args.seconds:g} s",
    )
    rows = []
    for (protocol, kind), part in sorted(found.items()):
        times = part.milliseconds or [float("nan")]
        rows.append(
            [
                f"{protocol} {kind}",
                str(len(part.milliseconds)),
                str(part.errors),
                f"{part.difference:.1e}",
                f"{np.percentile(times, 50):.1f}",
                f"{np.percentile(times, 95):.1f}",
                f"{len(part.milliseconds) / part.seconds:.0f}",
            ]
        )
    header = ["door", "answers", "errors", "max |diff|", "p50 ms", "p95 ms", "per s"]
    print(f"\n{console.table(header, rows)}")


if __name__ == "__main__":
    main()
