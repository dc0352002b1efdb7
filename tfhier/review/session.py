"""A review: a table, the verdicts on it, and what the page is told of its events.

Conventions: the page knows events by their number and labels by their `shown` name, and
names no files: what it asks for is looked up here.
"""

import functools
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import numpy as np

from tfhier import audio
from tfhier.errors import InputError
from tfhier.event_tables import raven
from tfhier.event_tables.cells import csv_line, one_line, quotable
from tfhier.event_tables.rows import Row
from tfhier.event_tables.verdict import VERDICTS, Verdict
from tfhier.review import spectrogram
from tfhier.review.excerpts import Excerpts
from tfhier.review.table import Key, Table, key
from tfhier.review.verdicts import Verdicts
from tfhier.taxonomy import BACKGROUND

_NUM_KEPT = 6  # excerpts: the one that is shown, those fetched ahead, the last ones


class Session:
    """A review of a table.

    Args:
        table: Table.
        verdicts: Verdicts on it.
        excerpts: Excerpts of its recordings.
        labels: Iterable of str. To choose from, beside those of the table.
        frequencies: (low, high) in Hz or None. Where the calls lie; the height of the
            boxes.

    Raises:
        InputError: The table has no events, or the frequencies are none.
    """

    def __init__(
        self,
        table: Table,
        verdicts: Verdicts,
        excerpts: Excerpts,
        *,
        labels: Iterable[str] = (),
        frequencies: tuple[float, float] | None = None,
    ):
        if not table.rows:
            raise InputError(f"{table.path} holds no events: there is none to review.")
        if frequencies and not 0 <= frequencies[0] < frequencies[1]:
            raise InputError(
                "--frequencies are a lower and an upper end in Hz, 0 <= low < high. "
                f"Received: {frequencies[0]:g} {frequencies[1]:g}"
            )
        self.table = table
        self.verdicts = verdicts
        self.excerpts = excerpts
        self.digest = table.digest
        self._frequencies = frequencies
        self._above = table.above()
        given = (verdict.label for verdict in verdicts.given.values())
        # The page has a key for background: none of the labels.
        names = {*self._above, *labels, *given, BACKGROUND} - {""}
        self._labels = {shown(name): name for name in sorted(names)}
        self._read = functools.lru_cache(_NUM_KEPT)(self._excerpt)

    def wav(self, number: int) -> bytes:
        """Return the sound of an event's excerpt as a WAV file.

        Raises:
            InputError: It cannot be read.
        """
        sample_rate = self.table.rows[number].sample_rate
        return audio.to_wav(self._read(number), sample_rate=sample_rate)

    def png(self, number: int) -> bytes:
        """Return the spectrogram of an event's excerpt as a PNG file.

        Raises:
            InputError: It cannot be read.
        """
        sample_rate = self.table.rows[number].sample_rate
        return spectrogram.png(spectrogram.picture(self._read(number), sample_rate))

    def give(self, entries: object) -> None:
        """Keep verdicts of the page.

        Args:
            entries: List of [number, verdict, label, at], as JSON has them; label and
                at as in `Verdict`, the label by its shown name.

        Raises:
            InputError: One of them is none; then none is kept.
            OSError: They cannot be written.
        """
        if not isinstance(entries, list):
            raise InputError("Verdicts are a list.")
        self.verdicts.give(dict(map(self._checked, entries)))

    def told(self, *, clips: str) -> dict:
        """Return what the page is told, as JSON has it.

        Args:
            clips: str. Where sounds and pictures lie, relative to the page.
        """
        files: dict[str, int] = {}
        events = []
        for row in self.table.rows:
            place = files.setdefault(row.file, len(files))
            events.append({**self._event(row), "file": place})
        return {
            "table": self.digest,
            "name": shown(self.table.path.name),
            "reviewed_name": shown(self.verdicts.path.name),
            "clips": clips,
            "files": [
                {
                    "name": shown(Path(file).name),
                    "folder": shown(str(Path(file).parent)),
                }
                for file in files
            ],
            "labels": [
                {"name": name, "above": sorted(map(shown, self._above.get(label, ())))}
                for name, label in self._labels.items()
            ],
            "events": events,
        }

    def csv_parts(self) -> dict:
        """Return what the page needs to write the reviewed table itself.

        Its lines are `starts` by number, then a comma, verdict, label and time; `cells`
        are labels as the table spells them, by their shown names.
        """
        return {
            "header": self.verdicts.header(),
            "starts": [self.verdicts.line_start(row) for row in self.table.rows],
            "others": self.verdicts.other_lines(),
            "cells": {
                name: csv_line([quotable(label)]).removesuffix("\n")
                for name, label in self._labels.items()
            },
        }

    def _excerpt(self, number: int) -> np.ndarray:
        return self.excerpts.read(self.table.rows[number])

    def _event(self, row: Row) -> dict:
        start, end = self.excerpts.span(row)
        low, high = None, None
        if self._frequencies:
            low, high = raven.band(self._frequencies, row.sample_rate)
        event_time = row.event_time
        told = {
            "start": row.start,
            "end": row.end,
            "from": start,
            "to": end,
            "rate": row.sample_rate,
            "low": low,
            "high": high,
            "level": shown(row.level),
            "label": shown(row.label),
            "score": row.score,
            "remark": shown(row.remark),
            "time": event_time and event_time.isoformat(" ", timespec="seconds"),
        }
        if verdict := self.verdicts.given.get(key(row)):
            told |= {
                "verdict": verdict.verdict,
                "reviewed": shown(verdict.label),
                "at": verdict.at,
            }
        return told

    def _checked(self, entry: object) -> tuple[Key, Verdict]:
        """Return the verdict of the page.

        Raises:
            InputError: It is none.
        """
        is_entry = isinstance(entry, list) and len(entry) == 4
        number, verdict, label, at = entry if is_entry else (None,) * 4
        is_number = isinstance(number, int) and not isinstance(number, bool)
        if not (is_number and 0 <= number < len(self.table.rows)):
            raise InputError(f"There is no event {number!r:.40}.")
        if verdict not in ("", *VERDICTS):
            raise InputError(f"A verdict is {', '.join(VERDICTS)}, or empty.")
        if not isinstance(label, str) or (label and label not in self._labels):
            raise InputError(f"The label is none of the table's: {label!r:.80}")
        if verdict == "accepted" and not label:
            raise InputError("An accepted event has a label.")
        if not (isinstance(at, str) and _is_time(at)):
            raise InputError("A verdict has a time, as in 2024-05-12T05:13:44Z.")
        own = key(self.table.rows[number])
        return own, Verdict(verdict, self._labels.get(label, ""), at)


def shown(text: str) -> str:
    """Return text as the page shows it: UTF-8 on one line, whatever it holds."""
    # Behind a dot nothing looks like a formula, which would be guarded.
    return one_line(f".{text}")[1:]


def _is_time(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text, re.ASCII):
        return False
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False
