"""Folders of recordings, heard by several processes and resumed after any stop."""

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

import tfhier
from tfhier.detect.detector import Detector, hear
from tfhier.detect.journal import Journal, digest_of
from tfhier.detect.options import Options
from tfhier.errors import InputError
from tfhier.events import Heard
from tfhier.files import locked

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
        folder: Path that keeps what was heard, see `Journal`.
        options: Options.
        num_workers: int > 0. Processes. With fewer recordings than processes each
            process computes with several threads.
        fresh: bool. Whether everything is heard anew.

    Raises:
        InputError: The model or an option is unfit, or the folder is of another job.
    """
    files = list({os.path.abspath(file): file for file in files}.values())
    Detector(tfhier.load(model), options)  # what is unfit is told before all else
    journal = Journal(folder)
    with locked(folder.with_name(f".{folder.name}.lock"), task=f"filling {folder}"):
        journal.open(_request(model, options), model, fresh=fresh)
        found: dict[Path, Heard | str | None] = {
            file: journal.read(file) for file in files
        }
        missing = [file for file, heard in found.items() if heard is None]
        if missing:
            found |= _hear_all(model, missing, journal, options, num_workers)
        return Outcome(
            tuple(each for each in found.values() if isinstance(each, Heard)),
            {file: each for file, each in found.items() if isinstance(each, str)},
            len(files) - len(missing),
        )


def _request(model: Path, options: Options) -> dict:
    """Return what decides the events of a recording."""
    settings = dataclasses.asdict(options)
    return {"model": digest_of(model), **settings, "ignored": list(options.ignored)}


def _hear_all(
    model: Path,
    files: Sequence[Path],
    journal: Journal,
    options: Options,
    num_workers: int,
) -> Iterator[tuple[Path, Heard | str]]:
    """Yield recordings, as they are done, with what was heard or was wrong.

    Processes of their own hear them; a bar shows how far they are.
    """
    sizes = {file: _size(file) for file in files}
    pool = _Pool(model, journal, options, num_workers, len(files))
    with tqdm(
        total=sum(sizes.values()),
        desc="detect",
        unit="B",
        unit_scale=True,
        disable=None,
        leave=False,
    ) as bar:
        for file, result in _results(pool, files):
            bar.set_postfix_str(file.name[-24:], refresh=False)
            bar.update(sizes[file])
            yield file, result


def _results(
    pool: "_Pool", files: Iterable[Path]
) -> Iterator[tuple[Path, Heard | str]]:
    """Yield what a pool does; those in hand when a process ended are tried alone."""
    suspects = []
    for file, result in pool.hear(files):
        if result is None:
            suspects.append(file)
        else:
            yield file, result
    # One of those in hand ended its process, and with it all the others.
    for file in suspects:
        for _, result in pool.alone().hear([file]):
            yield file, f"{file}: {_ENDED}." if result is None else result


@dataclass(frozen=True)
class _Pool:
    """Processes that hear recordings; they are spawned anew by every `hear`."""

    model: Path
    journal: Journal
    options: Options
    num_workers: int
    num_files: int

    def alone(self) -> "_Pool":
        return dataclasses.replace(self, num_workers=1, num_files=1)

    def hear(self, files: Iterable[Path]) -> Iterator[tuple[Path, Heard | str | None]]:
        """Yield recordings, as they are done, with what was heard or was wrong.

        It is None of those that were in hand when a process ended.
        """
        waiting = deque(files)
        while waiting:
            in_hand: dict[Future, Path] = {}
            with contextlib.suppress(BrokenProcessPool), self._executor() as executor:
                while waiting or in_hand:
                    while waiting and len(in_hand) < self.num_workers:
                        future = executor.submit(_hear_and_keep, waiting[0])
                        in_hand[future] = waiting.popleft()
                    for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        yield in_hand.pop(future), result
            # When a process ended, others may have kept what they did not yet tell.
            for file in in_hand.values():
                yield file, self.journal.read(file)

    def _executor(self) -> ProcessPoolExecutor:
        threads = max(1, self.num_workers // max(1, self.num_files))
        return ProcessPoolExecutor(
            min(self.num_workers, self.num_files),
            # Everywhere alike, and safe beside threads.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(self.model, self.options, self.journal, threads),
        )


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0


# Of a worker: what it hears with and where it keeps what it heard.
_worker: tuple[Detector, Journal] | None = None


def _begin(model: Path, options: Options, journal: Journal, num_threads: int) -> None:
    global _worker
    # Ctrl-C reaches all processes of a terminal: they just end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tagger = tfhier.load(model, num_threads=num_threads)
    _worker = Detector(tagger, options), journal


def _end_with_parent() -> None:
    """End when the job does, even when that was killed: nobody else would tell."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _hear_and_keep(file: Path) -> Heard | str:
    """Hear a recording and keep and return that, or return what was wrong with it."""
    detector, journal = _worker
    identity = journal.identity(file)
    try:
        heard = hear(detector, file)
    except InputError as error:
        return str(error)
    except OSError as error:
        return f"{file}: cannot be read ({error.strerror or error})."
    # A recorder may still write it: when that is over it is heard whole.
    if journal.identity(file) != identity:
        return f"{file}: {_CHANGED}."
    # What fails here is the disk that is written to: no recording is at fault.
    journal.write(heard, identity)
    return heard
