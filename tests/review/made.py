"""Recordings and tables that the tests of this folder review."""

import os
from pathlib import Path

import numpy as np

from tfhier import audio, event_tables
from tfhier.contract import Contract
from tfhier.events import Event, Heard
from tfhier.review import table as tables
from tfhier.review.excerpts import Excerpts
from tfhier.review.session import Session
from tfhier.review.verdicts import Verdicts
from tfhier.taxonomy import Taxonomy

RATE = 16_000
SECONDS = 20.0
TREE = Taxonomy.parse("species,group\ngibbon,primate\n")
NAMES = (
    "SITE_20240512_050000.wav",
    '<img src=x onerror="document.title=1">\n🦧 =1+1.wav',
    os.fsdecode(b"caf\xe9.wav"),
    "missing_20240512_060000.wav",
)


def event(start: float, label: str = "gibbon", score: float = 0.9) -> Event:
    group = "primate" if label in ("gibbon", "langur", "primate") else "bird"
    species = "" if label == group else label
    return Event(
        start=start,
        end=start + 1.5,
        level="species" if species else "group",
        label=label,
        score=score,
        labels={"species": species, "group": group},
    )


def events() -> tuple[Event, ...]:
    labels = ("gibbon", "langur", "primate", "</script><b>owl</b>", '=x,"y"')
    return tuple(event(3.0 * i + 0.5, label) for i, label in enumerate(labels))


def write(folder: Path, *, found: tuple[Event, ...] | None = None) -> Path:
    """Write a recording of each name but the last, and a table of all."""
    folder.mkdir(exist_ok=True)
    time = np.arange(round(SECONDS * RATE)) / RATE
    tone = (0.3 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.01, len(time)).astype(np.float32)
    heard = []
    for name in NAMES:
        # Under another name first: libsndfile takes no name that is no UTF-8.
        if not name.startswith("missing"):
            audio.write(folder / "new.wav", tone + noise, sample_rate=RATE)
            os.replace(folder / "new.wav", folder / name)
        heard.append(
            Heard(
                file=folder / name,
                seconds=SECONDS,
                sample_rate=RATE,
                events=events() if found is None else found,
            )
        )
    return write_table(folder / "events.csv", heard)


def write_table(path: Path, heard: list[Heard]) -> Path:
    event_tables.write(path, heard, Contract(taxonomy=TREE, sample_rate=RATE))
    return path


def session(path: Path, **settings) -> Session:
    table = tables.read(path)
    return Session(table, Verdicts(table), Excerpts(path.parent), **settings)
