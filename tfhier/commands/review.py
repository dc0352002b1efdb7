"""tfhier review: listen to events and say which are right."""

import argparse
import signal
import sys
from pathlib import Path

from tfhier import console
from tfhier.errors import InputError

HELP = "listen to events and say which are right"


def add(p: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    p.add_argument("table", type=Path, metavar="EVENTS.csv", help="of tfhier detect")
    p.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write the page as a folder that opens without a server",
    )
    p.add_argument(
        "--port", type=int, help="of the server (default: 8765, or a free one)"
    )
    p.add_argument(
        "--recordings", type=Path, metavar="FOLDER", help="where they lie, if moved"
    )
    p.add_argument(
        "--labels",
        nargs="*",
        default=[],
        metavar="LABEL",
        help="to choose from, beside those of the table",
    )
    p.add_argument(
        "--context",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="shown before and behind an event (default: 2)",
    )
    p.add_argument(
        "--frequencies",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="of the calls in Hz, for the boxes",
    )


def run(args: argparse.Namespace) -> None:
    """Serve the page until stopped, or write it.

    Raises:
        InputError: The table cannot be reviewed, or an argument is of no use.
    """
    from tfhier.event_tables.verdict import reviewed_path
    from tfhier.files import locked
    from tfhier.review import table as tables
    from tfhier.review.verdicts import Verdicts

    if not 0 <= args.context <= 30:
        raise InputError(f"--context is 0 to 30 seconds. Received: {args.context:g}")
    if args.port is not None and not 0 <= args.port < 65536:
        raise InputError(f"--port is 0 to 65535. Received: {args.port}")
    if args.recordings and not args.recordings.is_dir():
        raise InputError(f"There is no folder {args.recordings} of recordings.")
    table = tables.read(args.table)
    if args.output:
        _write(_session(args, table, Verdicts(table)), args.output)
        return
    reviewed = reviewed_path(args.table)
    lock = reviewed.with_name(f".{reviewed.name}.lock")
    with locked(lock, task=f"reviewing {args.table}"):
        _serve(_session(args, table, Verdicts(table)), args.port)


def _session(args: argparse.Namespace, table, verdicts):
    from tfhier.review.excerpts import Excerpts
    from tfhier.review.session import Session

    excerpts = Excerpts(args.table.parent, args.recordings, args.context)
    frequencies = tuple(args.frequencies) if args.frequencies else None
    return Session(
        table, verdicts, excerpts, labels=args.labels, frequencies=frequencies
    )


def _serve(session, port: int | None) -> None:
    from tfhier.review.server import Server, serve

    server = Server(session, port)

    def greet() -> None:
        # A service that is stopped writes its table too; and a shell that starts a
        # command in the background has it ignore Ctrl-C.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)
        console.line("review", f"{server.address}   (Ctrl-C ends it)")
        _show(session)

    serve(server, greet)
    verdicts = session.verdicts
    if verdicts.path.is_file():
        print()
        console.line("kept", f"{len(verdicts.given)} verdicts in {verdicts.path}")


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _write(session, folder: Path) -> None:
    from tfhier.review import folder as folders

    console.line(
        "size", f"at most {folders.num_bytes(session) / 1e6:.0f} MB, in {folder}"
    )
    num_failed = folders.write(session, folder)
    _show(session)
    console.line("page", f"{folder / 'index.html'}: open it in a browser")
    if num_failed:
        print(
            f"The sound of {num_failed} events could not be read; the page says why.",
            file=sys.stderr,
        )


def _show(session) -> None:
    verdicts = session.verdicts
    console.line(
        "events", f"{len(session.table.rows)}, {len(verdicts.given)} of them judged"
    )
    if verdicts.num_elsewhere:
        console.line(
            "others",
            f"{verdicts.num_elsewhere} verdicts on events that the table does not hold "
            "(any more) stay where they are",
        )
