"""JSON Lines: an object an event and line, for programs.

Keys: file, start, end, level, label, score, remark; labels, an object of level -> label
("" where it is open), finest level first; site, date_time and event_time (ISO 8601, by
the recorder's clock), which are "", null and null where the file's name does not tell
them; duration and sample_rate of the recording. UTF-8; see `cells` for names that are
none. There is nothing in the file where there is no event.
"""

import json
from datetime import datetime
from pathlib import Path

from tfhier.event_tables.cells import spelled
from tfhier.event_tables.content import Content, iso, span
from tfhier.event_tables.rows import AFTER_LEVELS, BEFORE_LEVELS, rows_of
from tfhier.events import Event
from tfhier.files import write_text

_KEYS = (*BEFORE_LEVELS, "labels", *AFTER_LEVELS)


def write(path: Path, content: Content) -> None:
    """Write a table."""
    lines = (
        _as_text({key: getattr(row, key) for key in _KEYS}) for row in rows_of(content)
    )
    write_text(path, "".join(f"{line}\n" for line in lines))


def line(event: Event) -> str:
    """Return an event of a stream, which has neither a file nor a length."""
    start, end = span(event)
    return _as_text(
        {
            "start": start,
            "end": end,
            "level": event.level,
            "label": event.label,
            "score": round(float(event.score), 6),
            "remark": event.remark,
            "labels": event.labels,
        }
    )


def _as_text(told: dict) -> str:
    return json.dumps(_as_json(told), ensure_ascii=False)


def _as_json(value: object) -> object:
    if isinstance(value, dict):
        return {spelled(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, str):
        return spelled(value)
    if isinstance(value, datetime):
        return iso(value)
    return value
