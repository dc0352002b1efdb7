"""The page on this machine: a server for one reviewer.

    GET  /                          the page with its data
    GET  /review.css, /keep.js ...  what lies beside it
    GET  /clips/TABLE/NUMBER.wav    the sound of an event, .png its spectrogram
    GET  /health                    which table is reviewed
    POST /verdicts                  {"table": ..., "verdicts": see `Session.give`}

It listens on the loopback address. Other sites in the same browser can reach that too,
so requests with another Host (a name that was bound to 127.0.0.1) or from another
origin are refused. TABLE is a digest of the table's events: a page of another table,
left open, gets and gives nothing.
"""

import contextlib
import errno
import json
import re
import socketserver
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tfhier.errors import InputError
from tfhier.review import page
from tfhier.review.session import Session

PORT = 8765  # the same each time, so that a page left open finds a new server

_MOST_BYTES = 1 << 18  # of a request: 200 verdicts are far less
_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
_CLIP = re.compile(r"/clips/([0-9a-f]{16})/(\d{1,9})\.(wav|png)", re.ASCII)
_RANGE = re.compile(r"bytes=(\d{1,12})-(\d{0,12})", re.ASCII)
_HEADERS = {
    # Pictures can come out of the page's own memory, too.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_OTHER_TABLE = "This page is of another table. Load it anew."


class Server(ThreadingHTTPServer):
    """Serves a review until `shutdown`.

    Args:
        session: Session.
        port: int, or None for `PORT` or, where that is taken, any free one.

    Raises:
        InputError: The port is taken.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int | None = None):
        self.session = session
        self._is_full = False
        try:
            super().__init__(("127.0.0.1", PORT if port is None else port), Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            if port is not None:
                raise InputError(
                    f"The port {port} cannot be used ({error.strerror}). Give another "
                    "--port, or none."
                ) from None
            super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def server_bind(self) -> None:
        # Without looking up the machine's name, which takes long where there is no net.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def service_actions(self) -> None:
        """Write the reviewed table in a pause of the reviewer."""
        try:
            self.session.verdicts.merge(only_when_quiet=True)
            self._is_full = False
        except OSError as error:
            if not self._is_full:
                print(
                    f"{self.session.verdicts.path} cannot be written "
                    f"({error.strerror}); the verdicts are in "
                    f"{self.session.verdicts.journal}.",
                    file=sys.stderr,
                )
            self._is_full = True

    def handle_error(self, request: object, client_address: object) -> None:
        # A browser that hangs up, as it does when the next event is shown, is no fault.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    server_version, sys_version = "tfhier", ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        session = self.server.session
        path = self.path.partition("?")[0]
        if path == "/":
            told = session.told(clips=f"clips/{session.digest}/")
            self._answer(page.html(told), "text/html")
        elif path == "/health":
            content = json.dumps({"table": session.digest}).encode()
            self._answer(content, "application/json")
        elif path[1:] in page.ASSETS:
            self._answer(page.asset(path[1:]), page.ASSETS[path[1:]])
        elif clip := _CLIP.fullmatch(path):
            self._clip(clip[1], int(clip[2]), clip[3])
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def do_POST(self) -> None:
        if not self._is_ours():
            return
        if self.path != "/verdicts":
            self._refuse(HTTPStatus.NOT_FOUND, "There is nothing here.")
            return
        # A form of another site cannot send this type.
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Verdicts are JSON.")
            return
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,9}", length, re.ASCII):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "The length is missing.")
            return
        if int(length) > _MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too many verdicts.")
            return
        self._take(self.rfile.read(int(length)))

    def _take(self, content: bytes) -> None:
        session = self.server.session
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self._refuse(HTTPStatus.BAD_REQUEST, "Verdicts are a JSON object.")
            return
        if found.get("table") != session.digest:
            self._refuse(HTTPStatus.CONFLICT, _OTHER_TABLE)
            return
        try:
            session.give(found.get("verdicts"))
        except InputError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except OSError as error:
            self._refuse(
                HTTPStatus.INSUFFICIENT_STORAGE,
                f"{session.verdicts.journal.name} cannot be written "
                f"({error.strerror or error}).",
            )
        else:
            self._answer(b"{}", "application/json")

    def _clip(self, digest: str, number: int, kind: str) -> None:
        session = self.server.session
        if digest != session.digest:
            self._refuse(HTTPStatus.CONFLICT, _OTHER_TABLE)
            return
        if number >= len(session.table.rows):
            self._refuse(HTTPStatus.NOT_FOUND, f"There is no event {number}.")
            return
        try:
            content = session.wav(number) if kind == "wav" else session.png(number)
        except InputError as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
        except OSError as error:
            self._refuse(HTTPStatus.NOT_FOUND, f"It cannot be read ({error.strerror}).")
        else:
            kind_of = {"wav": "audio/wav", "png": "image/png"}[kind]
            self._answer(content, kind_of, cache="private, max-age=3600")

    def _is_ours(self) -> bool:
        """Return whether the page itself, or its user, asks; refuse others."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        # Sent by every browser of today, for images and scripts too.
        site = self.headers.get("Sec-Fetch-Site", "none")
        if (
            _HOST.fullmatch(host)
            and origin in (None, f"http://{host}")
            and site in ("none", "same-origin")
        ):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "Open this page by its own address.")
        return False

    def _answer(self, content: bytes, kind: str, *, cache: str = "no-store") -> None:
        status, first, last = HTTPStatus.OK, 0, len(content) - 1
        # Browsers wind a sound only where they can ask for a part of it.
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked and kind == "audio/wav" and int(asked[1]) <= last:
            status, first = HTTPStatus.PARTIAL_CONTENT, int(asked[1])
            last = min(last, int(asked[2] or last))
        self._head(status, kind, max(0, last + 1 - first), cache)
        if kind == "audio/wav":
            self.send_header("Accept-Ranges", "bytes")
        if status == HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[first : last + 1])

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        content = sentence.encode("utf-8", "backslashreplace")
        # What else was sent was not read.
        self.close_connection = True
        self._head(status, "text/plain", len(content), "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _head(self, status: HTTPStatus, kind: str, length: int, cache: str) -> None:
        is_text = kind.startswith("text/")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if is_text else kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Cache-Control", cache)
        for name, value in _HEADERS.items():
            self.send_header(name, value)

    def log_message(self, *args: object) -> None:
        """Say nothing: the terminal tells the address, and stays readable."""


def serve(server: Server, greet: Callable[[], None] = lambda: None) -> None:
    """Serve until Ctrl-C or a `shutdown`; then the reviewed table is written.

    Args:
        server: Server.
        greet: Function. Called first; Ctrl-C is heeded from there on.
    """
    try:
        with contextlib.suppress(KeyboardInterrupt):
            greet()
            server.serve_forever(poll_interval=0.5)
    finally:
        server.server_close()
        server.session.verdicts.merge()
