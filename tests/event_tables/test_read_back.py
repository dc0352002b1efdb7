"""CSV and JSON Lines: written out by hand; CSV read back, and mended by hand."""

import csv
import json
import random
import re
from pathlib import Path

import pytest

from tests.event_tables.made import (
    HOSTILE,
    LEVELS,
    NIGHT,
    heard,
    promised,
    sure,
    unsure,
)
from tfhier import event_tables
from tfhier.errors import InputError
from tfhier.event_tables import read
from tfhier.event_tables.cells import unspelled
from tfhier.events import Event

HEADER = (
    "file,start,end,level,label,score,remark,species,family,site,date_time,event_time,"
    "duration,sample_rate"
)
FIRST = (
    "n/KHAO_20230102_030405.wav,1.500,2.250,species,lar,0.900000,,lar,gibbon,KHAO,"
    "2023-01-02T03:04:05.000,2023-01-02T03:04:06.500,60.000,48000"
)
CSV = f"""{HEADER}
{FIRST}
n/KHAO_20230102_030405.wav,10.000,12.062,family,gibbon,0.930000,species uncertain,,\
gibbon,KHAO,2023-01-02T03:04:05.000,2023-01-02T03:04:15.000,60.000,48000
n/b.wav,0.500,3.500,family,gibbon,0.500000,species uncertain,,gibbon,,,,30.500,16000
"""


def write(path, what=NIGHT, levels=LEVELS):
    event_tables.write(path, what, promised(levels))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.csv"


# -- Written ---------------------------------------------------------------------------


def test_a_csv_table_written_out_by_hand(tmp_path):
    # 12.0625 is rounded to even.
    assert write(tmp_path / "e.csv").read_bytes().decode() == CSV


def test_a_csv_table_without_events_is_its_header(tmp_path):
    for what in [(), NIGHT[1:2]]:
        assert write(tmp_path / "e.csv", what).read_text() == f"{HEADER}\n"


def test_json_lines_written_out_by_hand(tmp_path):
    lines = write(tmp_path / "e.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[1]) == {
        "file": "n/KHAO_20230102_030405.wav",
        "start": 10.0,
        "end": 12.062,
        "level": "family",
        "label": "gibbon",
        "score": 0.93,
        "remark": "species uncertain",
        "labels": {"species": "", "family": "gibbon"},
        "site": "KHAO",
        "date_time": "2023-01-02T03:04:05.000",
        "event_time": "2023-01-02T03:04:15.000",
        "duration": 60.0,
        "sample_rate": 48000,
    }
    last = json.loads(lines[2])
    assert (last["site"], last["date_time"], last["event_time"]) == ("", None, None)


def test_json_lines_are_readable_and_begin_with_what_one_looks_for(tmp_path):
    what = [heard("größe.wav", sure(1, 2, label="長臂猿\udce9"))]
    text = write(tmp_path / "e.jsonl", what).read_text(encoding="utf-8")
    assert text.startswith(
        '{"file": "größe.wav", "start": 1.0, "end": 2.0, "level": "species", '
        '"label": "長臂猿\\\\udce9", "score": 0.9, '
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_json_lines_hold_any_text(tmp_path, text):
    what = [heard(f"{text}.wav", sure(1, 2, label=text))]
    (line,) = write(tmp_path / "e.jsonl", what).read_text("utf-8").split("\n")[:-1]
    found = json.loads(line)
    told = [found["file"], found["label"], found["labels"]["species"]]
    assert [*map(unspelled, told)] == [f"{text}.wav", text, text]


def test_an_event_past_midnight_is_of_the_next_day(tmp_path):
    what = [heard("A_20231231_235930.wav", sure(45.25, 46))]
    line = json.loads(write(tmp_path / "e.jsonl", what).read_text())
    assert line["event_time"] == "2024-01-01T00:00:15.250"


def test_numbers_of_numpy_are_written(path, rng):
    score = rng.random(1, "float32")[0]
    rate = rng.integers(9, 10, 1)[0]
    event = sure(score, score + 1, score=score)
    (back,) = read(write(path, [heard("a.wav", event, sample_rate=rate)]))
    assert back.sample_rate == 9
    assert back.events[0].score == pytest.approx(float(score), abs=5e-7)


# -- Read back -------------------------------------------------------------------------


def test_what_was_heard_is_read_back(path):
    first, _, last = NIGHT
    rounded = unsure(10, 12.062)
    assert read(write(path)) == [
        heard(first.file, first.events[0], rounded),
        last,
    ]


def test_nothing_is_read_back(path):
    assert read(write(path, NIGHT[1:2])) == []


def test_random_events_are_read_back(path):
    """In any order of lines, with awkward names and labels of any depth."""
    draw = random.Random(7)
    levels = ("species", "label", "site", "=order", "score (m)", "größe\n\udce9")
    for _ in range(15):
        what = [
            heard(
                f"{number}/{draw.choice(HOSTILE)}",
                *sorted(
                    (random_event(draw, levels) for _ in range(draw.randrange(1, 6))),
                    key=lambda e: (e.start, e.end, e.label),
                ),
                seconds=(1.1e8 + draw.randrange(10_000)) / 1000,  # behind all events
                sample_rate=draw.randrange(1, 400_000),
            )
            for number in range(draw.randrange(5))
        ]
        assert read(write(path, what, levels)) == what


def random_event(draw, levels) -> Event:
    """An event whose numbers survive rounding."""
    start = draw.randrange(10**8)
    depth = draw.randrange(len(levels))
    known = [draw.choice(HOSTILE) for _ in levels[depth:]]
    return Event(
        start=start / 1000,
        end=(start + draw.randrange(1, 10**5)) / 1000,
        level=levels[depth],
        label=known[0],
        score=draw.randrange(10**6 + 1) / 10**6,
        labels=dict(zip(levels, [""] * depth + known, strict=True)),
    )


def test_a_lost_decimal_point_is_told(path):
    write(path)
    header, line, *rest = path.read_text().splitlines(keepends=True)
    cells = line.split(",")
    cells[2] = cells[2].replace(".", "")
    path.write_text("".join([header, ",".join(cells), *rest]))
    with pytest.raises(InputError, match=r"line 2: the event ends at .* but the rec"):
        read(path)


def test_lines_may_be_sorted_and_left_out(path):
    write(path)
    lines = path.read_text().splitlines(keepends=True)
    header, *body = lines
    path.write_text("".join([header, *reversed(body)]))
    last, first = read(path)
    assert last == NIGHT[2]
    assert [event.start for event in first.events] == [1.5, 10.0]
    path.write_text("".join([header, body[0]]))
    assert read(path) == [heard(NIGHT[0].file, NIGHT[0].events[0])]


def test_events_come_by_start_then_end_then_level_and_label(path):
    events = (
        unsure(1, 2), sure(1, 2, label="a"), sure(1, 2, label="b"),
        sure(1, 3, label="a"), sure(2, 3),
    )  # fmt: skip
    (back,) = read(write(path, [heard("a.wav", *reversed(events))]))
    assert back.events == events


def test_what_is_mended_by_hand_is_as_exact_as_the_rest(path):
    write(path, NIGHT[:1])
    text = path.read_text()
    path.write_text(text.replace("1.500,2.250", "1.5001,1.5003"))
    ((first, _),) = (each.events for each in read(path))
    assert (first.start, first.end) == (1.5, 1.501)


def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path):
    """Semicolons, decimal commas, a byte-order mark and columns of one's own."""
    rows = [*csv.reader(CSV.splitlines())]
    with open(tmp_path / "e.csv", "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow([*rows[0], "verdict"])
        for row in rows[1:]:
            numbers = [cell.replace(".", ",") for cell in row]
            writer.writerow([row[0], *numbers[1:-1], row[-1], "yes"])
        writer.writerow([""] * 15)
        writer.writerow([])
    assert read(tmp_path / "e.csv") == read(write(tmp_path / "own.csv"))


def test_a_level_called_as_a_column_has_a_column_of_its_own(tmp_path):
    event = Event(
        start=0, end=1, level="label", label="x", score=1, labels={"label": "x"}
    )
    write(tmp_path / "e.csv", [heard("a.wav", event)], levels=("label",))
    with open(tmp_path / "e.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["label"], row["label (level)"]) == ("x", "x")
    assert read(tmp_path / "e.csv")[0].events == (event,)


def test_an_event_that_does_not_tell_its_labels_is_in_its_level(tmp_path):
    event = Event(start=0, end=1, level="family", label="gibbon", score=1)
    (back,) = read(write(tmp_path / "e.csv", [heard("a.wav", event)]))
    assert back.events[0].labels == {"species": "", "family": "gibbon"}


# -- What cannot be read ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.500", "x", "'x' is not a number"),
        ("1.500", "", "'' is not a number"),
        ("1.500", "nan", "'nan' is not a number"),
        ("1.500", "-1", "0 <= start < end. Received: -1, 2.25"),
        ("2.250", "1.5", "0 <= start < end. Received: 1.5, 1.5"),
        ("2.250", "inf", "'inf' is not a number"),
        ("0.900000", "1.01", "a score lies in [0, 1]. Received: 1.01"),
        (",species,", ",order,", "is one of species, family. Received: 'order'"),
        (",species,lar,", ",species,,", "there is no label in it"),
        ("n/KHAO_20230102_030405.wav", "", "there is no file in it"),
        (",48000", ",0", "a sample rate in Hz. Received: 60, 0"),
        (",60.000", ",-2", "a sample rate in Hz. Received: -2, 48000"),
        (",48000", "", "it has 13 of 14 cells"),
        ("n/KHAO", '"n/KHAO', "unexpected end of data"),
    ],
)
def test_a_line_of_a_csv_table_that_does_not_fit_is_named(tmp_path, old, new, message):
    assert old in FIRST
    path = tmp_path / "e.csv"
    path.write_text(f"{HEADER}\n{FIRST.replace(old, new, 1)}\n")
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert "Mend or remove this line" in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        "file,start,end",
        HEADER.replace("score,", ""),
        HEADER.replace("species,family,", ""),
        HEADER.replace("site,date_time", "date_time,site"),
        "INDIR,FOLDER,IN FILE",
    ],
)
def test_another_csv_table_is_not_read(tmp_path, header):
    (tmp_path / "e.csv").write_text(f"{header}\n")
    with pytest.raises(
        InputError, match="line 1: its columns are .*has file, start, end"
    ):
        read(tmp_path / "e.csv")


def test_other_files_are_not_read(path, tmp_path):
    with pytest.raises(InputError, match="There is no table of events .*events"):
        read(path)
    path.write_bytes(b"file,\xff\xfe\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read(path)
    with pytest.raises(InputError, match="format raven, which is not read back.* csv"):
        read(tmp_path / "x.selections.txt")
    with pytest.raises(InputError, match="does not tell"):
        read(Path("events"))


def test_an_empty_csv_file_is_no_table(tmp_path):
    (tmp_path / "e.csv").write_text("")
    with pytest.raises(InputError, match="e.csv is empty"):
        read(tmp_path / "e.csv")
