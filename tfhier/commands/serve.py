"""tfhier serve: exported models over REST and gRPC."""

import argparse
from pathlib import Path

from tfhier.errors import InputError

HELP = "exported models over REST and gRPC"


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    p.add_argument(
        "model",
        nargs="+",
        metavar="MODEL",
        help="a folder with serving/, or NAME=FOLDER",
    )
    p.add_argument("--host", default="127.0.0.1", help="default: this machine only")
    p.add_argument("--rest-port", type=int, default=8501)
    p.add_argument("--grpc-port", type=int, default=8500)
    p.add_argument("--batching", action="store_true", help="join equal requests")
    p.add_argument("--max-batch-size", type=int, default=32)
    p.add_argument(
        "--batch-timeout-ms", type=float, default=5.0, help="that a request waits"
    )
    p.add_argument(
        "--max-request-mb", type=int, default=32, help="longest request, in MiB"
    )
    p.add_argument(
        "--max-in-flight", type=int, default=64, help="requests; more are refused"
    )
    p.add_argument("--threads", type=int, default=4, help="requests at a time")
    p.add_argument(
        "--log-requests",
        action="store_true",
        help="say every request, not refusals only",
    )


def run(args: argparse.Namespace) -> None:
    """Serve exported models until stopped.

    Raises:
        InputError: A model was not exported, or two would have one name.
    """
    from tfhier import model_paths
    from tfhier.serve import Options, serve

    folders: dict[str, Path] = {}
    for called, folder in map(model_paths.serving_folder, args.model):
        if called in folders:
            raise InputError(
                f"{folders[called]} and {folder} would both be served as '{called}'. "
                f"Call one otherwise: {called}-2={folder}"
            )
        folders[called] = folder
    serve(
        folders,
        Options(
            host=args.host,
            rest_port=args.rest_port,
            grpc_port=args.grpc_port,
            max_request_bytes=args.max_request_mb << 20,
            max_in_flight=args.max_in_flight,
            num_threads=args.threads,
            log_requests=args.log_requests,
            batching=args.batching,
            max_batch_size=args.max_batch_size,
            batch_timeout_ms=args.batch_timeout_ms,
        ),
    )
