"""JSON Lines: an object an event and line, for programs and tfhier itself.

Keys: file, start, end, level, label, score, remark; labels, an object of level -> label
("" where it is open), finest level first; site, date_time and event_time (ISO 8601, by
the recorder's clock), which are "", null and null where the file's name does not tell
them; duration and sample_rate of the recording. UTF-8; see `cells` for names that are
none. There is nothing in the file where there is no event.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from tfhier.errors import InputError
from tfhier.event_tables.cells import spelled, unspelled
from tfhier.event_tables.content import Content, iso, span
from tfhier.event_tables.rows import Row, check, heard_in, rows_of
from tfhier.events import Event, Heard
from tfhier.files import write_text

_KINDS = {str: "text", float: "number", int: "whole number", dict: "object"}


def write(path: Path, content: Content) -> None:
    """Write a table."""
    lines = (
        json.dumps(_as_json(vars(row)), ensure_ascii=False) for row in rows_of(content)
    )
    write_text(path, "".join(f"{line}\n" for line in lines))


def line(event: Event) -> str:
    """Return an event of a stream, which has neither a file nor a length."""
    start, end = span(event)
    told = {
        "start": start,
        "end": end,
        "level": event.level,
        "label": event.label,
        "score": round(float(event.score), 6),
        "remark": event.remark,
        "labels": event.labels,
    }
    return json.dumps(_as_json(told), ensure_ascii=False)


def _as_json(value: object) -> object:
    if isinstance(value, dict):
        return {spelled(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, str):
        return spelled(value)
    if isinstance(value, datetime):
        return iso(value)
    return value


def read(path: Path) -> list[Heard]:
    """Read a table of `write`; lines may be in any order and fewer.

    Returns:
        List of Heard, of the files that have events.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is no such table, or a line does not fit.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return heard_in(_rows(path, file))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text. Write the table again.") from None


def _rows(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _row(json.loads(line))
            check(row)
        except (InputError, json.JSONDecodeError) as error:
            raise InputError(
                f"{path}, line {number}: {error} Mend or remove this line, or write "
                "the table again."
            ) from None
        yield row


def _row(found: object) -> Row:
    """Return what an object says.

    Raises:
        InputError: It is none, lacks something, or holds a value of another type.
    """
    if not isinstance(found, dict):
        raise InputError(f"expected an object. Received: {found!r:.60}")
    texts = {
        name: _of(found, name, str) for name in ("file", "level", "label", "remark")
    }
    labels = _of(found, "labels", dict)
    for level in labels:
        _of(labels, level, str)
    return Row(
        **{name: unspelled(text) for name, text in texts.items()},
        start=_of(found, "start", float),
        end=_of(found, "end", float),
        score=_of(found, "score", float),
        labels={unspelled(level): unspelled(label) for level, label in labels.items()},
        duration=_of(found, "duration", float),
        sample_rate=_of(found, "sample_rate", int),
    )


def _of(found: dict, name: str, kind: type) -> object:
    value = found.get(name)
    # JSON may write a number without its decimals.
    if not isinstance(value, (int, float) if kind is float else kind):
        raise InputError(f"'{name}' is missing or no {_KINDS[kind]}.")
    return kind(value)
