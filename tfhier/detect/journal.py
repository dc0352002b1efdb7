"""What a job has heard so far: a folder beside its table, one file a recording.

    events.csv.parts/job.json          what was asked for, and where the model lay
    events.csv.parts/3f0a...json       one recording and its events
    events.csv.parts/.NAME.digest      what a table is that was written of them

A recording's file is written when all of it was heard, whole or not at all, so that a
killed job loses the recordings in hand and no other. It counts as long as the recording
has the size and the date that it had then.
"""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from tfhier.errors import InputError
from tfhier.events import Event, Heard
from tfhier.files import read_json, write_json, write_text

_JOB = "job.json"
_PLACE = "model_path"  # in it: where the model lies decides nothing


def folder_of(table: Path) -> Path:
    """Return where the journal of a table of events lies."""
    return table.with_name(f"{table.name}.parts")


def digest_of(path: Path) -> str:
    """Return what tells a file, or the files of a SavedModel, from others."""
    within = sorted(each for each in path.rglob("*") if each.is_file())
    digests = []
    for each in within or [path]:
        with each.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if within:
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]
    return digests[0][:12]


def model_of(table: Path) -> tuple[Path, str] | None:
    """Return where the model that a table of events came from lay, and its digest.

    None where that is not known.
    """
    place = folder_of(table) / _JOB
    if not place.is_file():
        return None
    content = read_json(place)
    if not isinstance(content, dict) or not {_PLACE, "model"} <= content.keys():
        return None
    return Path(content[_PLACE]), content["model"]


@dataclasses.dataclass(frozen=True)
class Journal:
    """The folder of a job.

    Args:
        folder: Path.
    """

    folder: Path

    def open(self, wanted: dict, model: Path, *, fresh: bool) -> None:
        """Make the folder, or go on in it.

        Args:
            wanted: What decides the events, as JSON has it.
            model: Path of the model, which may lie elsewhere than before.
            fresh: bool. Whether what was heard before is deleted.

        Raises:
            InputError: The folder is of a job that was asked for otherwise, or holds
                something else.
        """
        request = self.folder / _JOB
        if request.is_file():
            # What a kill left of files that were being written.
            for part in self.folder.glob(".*.json"):
                part.unlink()
        if not request.is_file() and self._holds_another():
            raise InputError(
                f"{self.folder} is not of a job of tfhier (it has no {_JOB}). Give "
                "another --output, or move that folder away."
            )
        if fresh:
            # The request goes last: what a kill leaves of another job is never taken.
            for part in self.folder.glob("*.json"):
                if part != request:
                    part.unlink()
        if not fresh and request.is_file():
            there = read_json(request)
            differing = [
                f"{name} {there.get(name)!r} -> {wanted.get(name)!r}"
                for name in sorted((there.keys() | wanted.keys()) - {_PLACE})
                if there.get(name) != wanted.get(name)
            ]
            if differing:
                raise InputError(
                    f"{self.folder} was begun otherwise: {'; '.join(differing)}. Start "
                    "over with --fresh, or keep both with another --output."
                )
        write_json(request, {**wanted, _PLACE: os.path.abspath(model)})

    def _holds_another(self) -> bool:
        # A kill may have left the request under its temporary name.
        names = os.listdir(self.folder) if self.folder.exists() else []
        return any(not name.startswith(".job-") for name in names)

    def may_write(self, path: Path) -> bool:
        """Return whether a file is not there, or is as this job wrote it.

        Another may be somebody's own, corrected, or another table's.
        """
        note = self._note_of(path)
        return not path.is_file() or (
            note.is_file() and note.read_text("utf-8") == digest_of(path)
        )

    def note_result(self, path: Path) -> None:
        """Keep what a file is that was written of the job."""
        if path.is_file():
            write_text(self._note_of(path), digest_of(path))

    def _note_of(self, path: Path) -> Path:
        return self.folder / f".{path.name}.digest"

    @staticmethod
    def identity(file: Path) -> list[int] | None:
        """Return what changes when a recording is replaced by another: bytes and date.

        None where there is no recording.
        """
        try:
            found = os.stat(file)
        except OSError:  # what is wrong with it hearing it will tell
            return None
        return [found.st_size, found.st_mtime_ns]

    def write(self, heard: Heard, identity: list[int] | None) -> None:
        """Keep what was heard in a recording, and what it was when that began."""
        content = {
            "file": os.fsencode(heard.file).decode("utf-8", "surrogateescape"),
            "identity": identity,
            "seconds": heard.seconds,
            "sample_rate": heard.sample_rate,
            "events": [dataclasses.asdict(event) for event in heard.events],
        }
        # As ASCII: names that are no UTF-8 come back as they were.
        write_text(self._place(heard.file), json.dumps(content) + "\n")

    def read(self, file: Path) -> Heard | None:
        """Return what was heard in a recording; None if that is to be done."""
        place = self._place(file)
        if not place.is_file():
            return None
        content = read_json(place)
        if content["identity"] != self.identity(file):
            return None
        return Heard(
            file=file,
            seconds=content["seconds"],
            sample_rate=content["sample_rate"],
            events=tuple(Event(**event) for event in content["events"]),
        )

    def _place(self, file: Path) -> Path:
        name = hashlib.sha256(os.fsencode(os.path.abspath(file))).hexdigest()
        return self.folder / f"{name[:32]}.json"
