"""Folders of recordings, heard by several processes and resumed after any stop."""

import dataclasses
import hashlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

import tfhier
from tfhier.detect.detector import Detector, hear
from tfhier.detect.options import Options
from tfhier.detect.parts import Parts
from tfhier.errors import InputError
from tfhier.event_tables import cells
from tfhier.events import Heard
from tfhier.files import locked, write_text

_ENDED = "the process that heard it was ended, by the system or by a decoder's fault"
_CHANGED = (
    "it changed while it was heard. When it is finished the same command hears it"
)


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Args:
        heard: Tuple of Heard, in the order of the recordings.
        failed: dict of path -> what was wrong with a recording.
        num_before: int. Recordings that an earlier run of the job had heard.
    """

    heard: tuple[Heard, ...]
    failed: dict[Path, str]
    num_before: int


def run(
    model: Path,
    files: Sequence[Path],
    folder: Path,
    options: Options,
    *,
    num_workers: int,
    fresh: bool = False,
) -> Outcome:
    """Hear recordings, those that were not heard yet, showing a bar.

    Args:
        model: Path of a saved tagger, best a `.tflite` file.
        files: Paths of recordings. One that is given twice is heard once.
        folder: Path that keeps what was heard, see `Parts`.
        options: Options.
        num_workers: int > 0. Processes. With fewer recordings than processes each
            process computes with several threads.
        fresh: bool. Whether everything is heard anew.

    Raises:
        InputError: The model or an option is unfit, or the folder is of another job.
    """
    files = list({os.path.abspath(file): file for file in files}.values())
    Detector(tfhier.load(model), options)  # what is unfit is told before all else
    parts = Parts(folder)
    with locked(folder.with_name(f".{folder.name}.lock"), task=f"filling {folder}"):
        parts.open(_request(model, options), fresh=fresh)
        parts.note_model(model)
        before = {file: parts.read(file) for file in files}
        missing = [file for file in files if before[file] is None]
        failed = {}
        if missing:
            failed = _hear_all(model, missing, parts, options, num_workers)
        found = {file: before[file] or parts.read(file) for file in files}
        failed = {
            file: failed.get(file, f"{file}: {_CHANGED}.")
            for file in files
            if not found[file]
        }
        heard = tuple(each for each in found.values() if each)
        return Outcome(heard, failed, len(files) - len(missing))


def write_failed(path: Path, failed: Mapping[Path, str]) -> None:
    """Write the recordings that could not be heard: file, reason; header in any case.

    Names are spelled as in the table of events.
    """
    rows = [(str(file), reason) for file, reason in failed.items()]
    lines = [
        cells.csv_line([cells.quotable(text) for text in row])
        for row in [("file", "reason"), *rows]
    ]
    write_text(path, "".join(lines))


def _request(model: Path, options: Options) -> dict:
    """Return what decides the events of a recording."""
    settings = dataclasses.asdict(options)
    return {"model": _digest(model), **settings, "ignored": list(options.ignored)}


def _digest(model: Path) -> str:
    """Return what tells a model, a file or a SavedModel, from others."""
    within = sorted(each for each in model.rglob("*") if each.is_file())
    digests = []
    for each in within or [model]:
        with each.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if within:
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]
    return digests[0][:12]


def _hear_all(
    model: Path,
    files: Sequence[Path],
    parts: Parts,
    options: Options,
    num_workers: int,
) -> dict[Path, str]:
    """Hear recordings by processes of their own; return what was wrong with some."""
    sizes = {file: _size(file) for file in files}
    pool = _Pool(model, parts, options, num_workers, len(files))
    failed = {}
    with tqdm(
        total=sum(sizes.values()),
        desc="detect",
        unit="B",
        unit_scale=True,
        disable=None,
        leave=False,
    ) as bar:

        def done(file: Path, reason: str) -> None:
            if reason:
                failed[file] = reason
            bar.set_postfix_str(file.name[-24:], refresh=False)
            bar.update(sizes[file])

        suspects = pool.hear(files, done)
        # One of those in hand ended its process, and with it all the others.
        for file in suspects:
            if pool.alone().hear([file], done):
                done(file, f"{file}: {_ENDED}.")
    return failed


@dataclass(frozen=True)
class _Pool:
    """Processes that hear recordings; they are spawned anew by every `hear`."""

    model: Path
    parts: Parts
    options: Options
    num_workers: int
    num_files: int

    def alone(self) -> "_Pool":
        return dataclasses.replace(self, num_workers=1, num_files=1)

    def hear(self, files: Iterable[Path], done) -> list[Path]:
        """Hear recordings; return those that were in hand when a process ended.

        Args:
            files: Paths.
            done: Function of a recording and what was wrong with it, "" for nothing.
        """
        waiting, suspects = deque(files), []
        while waiting:
            in_hand: dict[Future, Path] = {}
            try:
                with self._executor() as executor:
                    while waiting or in_hand:
                        while waiting and len(in_hand) < self.num_workers:
                            file = waiting.popleft()
                            in_hand[executor.submit(_hear_and_keep, file)] = file
                        for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
                            reason = future.result()
                            done(in_hand.pop(future), reason)
            except BrokenProcessPool:
                for file in in_hand.values():
                    if self.parts.read(file):
                        done(file, "")
                    else:
                        suspects.append(file)
        return suspects

    def _executor(self) -> ProcessPoolExecutor:
        threads = max(1, self.num_workers // max(1, self.num_files))
        return ProcessPoolExecutor(
            min(self.num_workers, self.num_files),
            # Everywhere alike, and safe beside threads.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(self.model, self.options, self.parts, threads),
        )


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0


# Of a worker: what it hears with and where it keeps what it heard.
_worker: tuple[Detector, Parts] | None = None


def _begin(model: Path, options: Options, parts: Parts, num_threads: int) -> None:
    global _worker
    # Ctrl-C reaches all processes of a terminal: they just end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tagger = tfhier.load(model, num_threads=num_threads)
    _worker = Detector(tagger, options), parts


def _end_with_parent() -> None:
    """End when the job does, even when that was killed: nobody else would tell."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _hear_and_keep(file: Path) -> str:
    """Hear a recording and keep that; return what was wrong with it, "" for nothing."""
    detector, parts = _worker
    # What is added while it is heard, by a recorder that still writes, is heard anew.
    identity = parts.identity(file)
    try:
        heard = hear(detector, file)
    except InputError as error:
        return str(error)
    except OSError as error:
        return f"{file}: cannot be read ({error.strerror or error})."
    # What fails here is the disk that is written to: no recording is at fault.
    parts.write(heard, identity)
    return ""
