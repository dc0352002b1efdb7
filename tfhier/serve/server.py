"""A server: its ports, its threads, its start and its end.

TensorFlow is loaded by `start`, after the ports are taken: whoever mistyped one is told
so at once.
"""

import asyncio
import contextlib
import functools
import importlib.util
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tfhier import console
from tfhier.errors import InputError
from tfhier.serve.options import Options

# What the extra `serve` of setup.cfg installs, by the names they are imported by.
PACKAGES = ("tensorflow", "tensorflow_serving", "grpc", "starlette", "uvicorn")
# Above the limit of requests in flight, so that the next one is refused, not queued.
_SPARE_THREADS = 16
# So many connections are taken at once before any is looked at; each needs a file.
_BACKLOG = 128


def serve(models: Mapping[str, Path], options: Options) -> None:
    """Serve models until SIGTERM or SIGINT, then finish what is in flight.

    Prints a line for every model, a line `REST` and a line `gRPC` with the addresses,
    and `ready`. To be called from the main thread. Leaves the process with status 1
    when requests are still in flight after `options.shutdown_seconds`.

    Args:
        models: Base folders by name, each with version folders 1, 2 ...
        options: Options.

    Raises:
        InputError: A port is taken, a package is missing, or a model cannot be loaded.
    """
    received: queue.SimpleQueue = queue.SimpleQueue()  # its put is safe in a handler
    server = Server(models, options)
    with _handling((signal.SIGTERM, signal.SIGINT), received.put):
        try:
            server.start()
            console.line("REST", f"http://{server.rest_address}")
            console.line("gRPC", server.grpc_address)
            console.line("ready", "stop with Ctrl+C")
            received.get()
        finally:
            is_done = server.stop()
    if not is_done:
        console.line(
            "stopped",
            f"without the answers that took longer than {options.shutdown_seconds:g} s",
        )
        sys.stdout.flush()
        # TensorFlow cannot be interrupted, and Python would wait for its threads.
        os._exit(1)
    console.line("stopped", "every request has its answer")


class Server:
    """Models behind REST and gRPC, in threads of this process.

    Args:
        models: Base folders by name.
        options: Options.
    """

    def __init__(self, models: Mapping[str, Path], options: Options):
        self._folders = models
        self._options = options
        self._ending = contextlib.ExitStack()
        self._core = None
        self._deadline = 0.0
        self.rest_address = self.grpc_address = ""

    def start(self) -> None:
        """Take the ports, load the models and answer.

        Raises:
            InputError: A port is taken, a package is missing, or a model cannot be
                loaded. Nothing goes on running then.
        """
        _require_packages()
        try:
            listener = self._listen()
            grpc_server = self._grpc_server()
            with console.without_native_messages():
                from tfhier.serve import grpc_service, rest
                from tfhier.serve.core import Core
                from tfhier.serve.models import Models

            found = Models(self._folders)
            found.load()
            self._core = Core.of(found, self._options)
            self._start_polling(found)
            grpc_service.add_services(grpc_server, self._core)
            grpc_server.start()
            executor = self._executor("rest", self._options.max_in_flight)
            self._start_rest(rest.application(self._core, executor), listener)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> bool:
        """Refuse new requests, finish those in flight and end.

        Returns:
            Whether all requests in flight were answered in time.
        """
        if self._core:
            self._core.gate.close()
        self._deadline = time.monotonic() + self._options.shutdown_seconds
        self._ending.close()
        return not self._core or not self._core.gate.in_flight

    def _listen(self) -> socket.socket:
        """Take the port of REST; clients that connect wait until the start is over."""
        host, port = self._options.host, self._options.rest_port
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )[0]
            listener = socket.socket(family, kind, protocol)
            self._ending.callback(listener.close)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise InputError(
                f"The REST port {port} of {host} cannot be taken ({error.strerror}). "
                "Stop what uses it, or choose another."
            ) from None
        self.rest_address = _address(host, listener.getsockname()[1])
        return listener

    def _executor(self, name: str, num_threads: int) -> ThreadPoolExecutor:
        executor = ThreadPoolExecutor(num_threads, thread_name_prefix=name)
        self._ending.callback(executor.shutdown, wait=False)
        return executor

    def _grpc_server(self):
        import grpc

        host, port = self._options.host, self._options.grpc_port
        server = grpc.server(
            self._executor("grpc", self._options.max_in_flight + _SPARE_THREADS),
            options=[
                ("grpc.max_receive_message_length", self._options.max_request_bytes),
                ("grpc.max_send_message_length", -1),
                # Else a second server would silently share the port.
                ("grpc.so_reuseport", 0),
                (
                    "grpc.server_handshake_timeout_ms",
                    round(1_000 * self._options.body_seconds),
                ),
            ],
        )
        try:
            bound = server.add_insecure_port(_address(host, port))
        except RuntimeError:
            raise InputError(
                f"The gRPC port {port} of {host} cannot be taken. Stop what uses it, "
                "or choose another."
            ) from None
        self._ending.callback(
            lambda: server.stop(max(0.1, self._deadline - time.monotonic())).wait()
        )
        self.grpc_address = _address(host, bound)
        return server

    def _start_rest(self, application: object, listener: socket.socket) -> None:
        import uvicorn

        from tfhier.serve import connections

        rest = uvicorn.Server(
            uvicorn.Config(
                application,
                http=functools.partial(
                    connections.Connection,
                    max_connections=connections.most(),
                    head_seconds=self._options.body_seconds,
                ),
                backlog=_BACKLOG,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(self._options.shutdown_seconds)),
            )
        )

        async def answer() -> None:
            asyncio.get_running_loop().set_exception_handler(connections.Complaints())
            await rest.serve(sockets=[listener])

        thread = threading.Thread(target=lambda: asyncio.run(answer()), name="rest")
        thread.start()

        def end() -> None:
            rest.should_exit = True
            thread.join()

        self._ending.callback(end)
        while not rest.started:
            if not thread.is_alive():
                raise RuntimeError("The REST server ended at its start.")
            time.sleep(0.01)

    def _start_polling(self, models) -> None:
        stopped = threading.Event()

        def poll() -> None:
            while not stopped.wait(self._options.poll_seconds):
                # Standard output may be closed long before the server is.
                with contextlib.suppress(OSError):
                    models.poll()
                self._core.watch.flush()

        thread = threading.Thread(target=poll, name="versions")
        thread.start()

        def end() -> None:
            stopped.set()
            thread.join()

        self._ending.callback(end)


@contextlib.contextmanager
def _handling(signals: tuple[int, ...], handler: Callable[[int], None]):
    """Hand signals to a function while the block runs."""
    before = {
        number: signal.signal(number, lambda number, frame: handler(number))
        for number in signals
    }
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _require_packages() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"Serving needs {', '.join(missing)}. Install with "
            "pip install 'tfhier[serve]'."
        )
