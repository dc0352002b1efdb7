"""Verdicts: kept at once, merged whole, and never lost with a table or a power cut."""

import csv
import json

import pytest

from tests.review import made
from tfhier import event_tables
from tfhier.errors import InputError
from tfhier.event_tables.cells import csv_line
from tfhier.event_tables.verdict import COLUMNS, Verdict, reviewed_path
from tfhier.review import table as tables
from tfhier.review.table import key
from tfhier.review.verdicts import Verdicts

AT = "2024-05-12T05:13:44Z"


def opened(path):
    table = tables.read(path)
    return table, Verdicts(table)


def lines_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines_with_ends(path):
    """The lines of a table, some of which go on within quotes."""
    with path.open(encoding="utf-8", newline="") as file:
        return [csv_line(cells) for cells in csv.reader(file)]


def test_the_reviewed_table_is_the_table_with_three_columns(tmp_path):
    path = made.write(tmp_path)
    table, verdicts = opened(path)
    given = {
        key(table.rows[0]): Verdict("accepted", "gibbon", AT),
        key(table.rows[3]): Verdict("rejected", '=x,"y"', AT),
        key(table.rows[12]): Verdict("unsure", "", AT),
    }
    verdicts.give(given)
    verdicts.merge()
    before, after = lines_of(path), lines_of(reviewed_path(path))
    assert [*after[0]] == [*before[0], *COLUMNS]
    assert [{name: line[name] for name in before[0]} for line in after] == before
    assert [line["verdict"] for line in after].count("") == len(after) - 3
    assert after[3]["reviewed_label"] == '\'=x,"y"'  # guarded, for spreadsheets
    assert after[0]["reviewed_at"] == AT
    assert event_tables.read(reviewed_path(path)) == event_tables.read(path)
    assert not verdicts.journal.exists()
    assert opened(path)[1].given == given


def test_verdicts_are_on_disk_before_the_table_is(tmp_path):
    path = made.write(tmp_path)
    table, verdicts = opened(path)
    for number, row in enumerate(table.rows):
        verdicts.give({key(row): Verdict("rejected", "", AT)})
        assert len(opened(path)[1].given) == number + 1
    verdicts.give({key(table.rows[0]): Verdict("accepted", "gibbon", AT)})
    verdicts.give({key(table.rows[1]): Verdict("", "", AT)})  # taken back
    assert not reviewed_path(path).exists()
    again = opened(path)[1]
    assert again.given == verdicts.given
    assert again.given[key(table.rows[0])].verdict == "accepted"
    assert key(table.rows[1]) not in again.given
    again.merge()
    assert opened(path)[1].given == verdicts.given


def test_a_cut_journal_loses_its_last_line_and_no_other(tmp_path):
    path = made.write(tmp_path)
    table, verdicts = opened(path)
    for row in table.rows[:5]:
        verdicts.give({key(row): Verdict("unsure", "", AT)})
    content = verdicts.journal.read_bytes()
    whole = content.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(whole, len(content) - 1):
        verdicts.journal.write_bytes(content[:cut])
        assert len(opened(path)[1].given) == 4
    verdicts.journal.write_bytes(content[:-20])
    # What comes next is not joined to what was cut; nor does damage stop a start.
    opened(path)[1].give({key(table.rows[6]): Verdict("unsure", "", AT)})
    with verdicts.journal.open("ab") as file:
        file.write(b"\0\0\xff{\n")
    assert len(opened(path)[1].given) == 5


def test_a_kill_between_table_and_journal_changes_nothing(tmp_path):
    path = made.write(tmp_path)
    table, verdicts = opened(path)
    for verdict in ("accepted", "", "rejected"):
        label = "gibbon" if verdict == "accepted" else ""
        verdicts.give({key(table.rows[0]): Verdict(verdict, label, AT)})
    journal = verdicts.journal.read_bytes()
    verdicts.merge()
    verdicts.journal.write_bytes(journal)
    assert opened(path)[1].given == verdicts.given


def test_notes_of_people_stay(tmp_path):
    path = made.write(tmp_path)
    text = path.read_text(encoding="utf-8")
    header, _, rest = text.partition("\n")
    path.write_text(f"{header},observer\n{rest}", encoding="utf-8")
    table, verdicts = opened(path)
    verdicts.give({key(table.rows[0]): Verdict("accepted", "gibbon", AT)})
    verdicts.merge()
    reviewed = reviewed_path(path)
    lines = lines_of(reviewed)
    lines[0]["observer"], lines[1]["observer"] = "Ana", "Budi, twice"
    with reviewed.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*lines[0], "note"], restval="")
        writer.writeheader()
        writer.writerows([{**lines[0], "note": "two males"}, *lines[1:]])
    table, verdicts = opened(path)
    verdicts.give({key(table.rows[1]): Verdict("rejected", "", AT)})
    verdicts.merge()
    after = lines_of(reviewed)
    assert (after[0]["observer"], after[0]["note"]) == ("Ana", "two males")
    assert after[1]["observer"] == "Budi, twice"
    assert [line["verdict"] for line in after[:3]] == ["accepted", "rejected", ""]
    assert [*after[0]][-3:] == [*COLUMNS]


def test_verdicts_outlive_a_table_that_is_written_anew(tmp_path):
    path = made.write(tmp_path)
    table, verdicts = opened(path)
    verdicts.give({key(table.rows[0]): Verdict("accepted", "gibbon", AT)})
    verdicts.give({key(table.rows[1]): Verdict("rejected", "gibbon", AT)})
    verdicts.merge()
    # Not merged when the table changes:
    verdicts.give({key(table.rows[2]): Verdict("unsure", "", AT)})
    verdicts.give({key(table.rows[4]): Verdict("unsure", "", AT)})
    kept = [each for each in made.events() if each.label in ("gibbon", '=x,"y"')]
    made.write(tmp_path, found=(*kept, made.event(17.0)))
    table, verdicts = opened(path)
    assert len(verdicts.given) == 2
    assert verdicts.num_elsewhere == 2
    verdicts.give({key(table.rows[0]): Verdict("rejected", "", AT)})
    verdicts.merge()
    assert lines_of(verdicts.path)[-1]["verdict"] == "rejected"
    assert len(lines_of(verdicts.path)) == len(table.rows) + 1
    made.write(tmp_path)  # the first table again
    _, verdicts = opened(path)
    assert verdicts.num_elsewhere == 0
    found = [verdict.verdict for verdict in verdicts.given.values()]
    assert sorted(found) == ["rejected", "rejected", "unsure", "unsure"]


def test_a_reviewed_table_is_gone_on_with_in_itself(tmp_path):
    path = made.write(tmp_path)
    table, verdicts = opened(path)
    verdicts.give({key(table.rows[0]): Verdict("accepted", "gibbon", AT)})
    verdicts.merge()
    path.unlink()
    reviewed = reviewed_path(path)
    table, verdicts = opened(reviewed)
    assert verdicts.path == reviewed
    verdicts.give({key(table.rows[1]): Verdict("rejected", "", AT)})
    verdicts.merge()
    found = [line["verdict"] for line in lines_of(reviewed)]
    assert found[:3] == ["accepted", "rejected", ""]
    assert [*lines_of(reviewed)[0]].count("verdict") == 1


def test_a_spreadsheet_may_have_saved_it(tmp_path):
    path = made.write(tmp_path)
    table, verdicts = opened(path)
    verdicts.give({key(table.rows[0]): Verdict("accepted", "gibbon", AT)})
    verdicts.merge()
    lines = lines_of(verdicts.path)
    with verdicts.path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, [*lines[0]], delimiter=";")
        writer.writeheader()
        for line in lines:
            for name in ("start", "end", "score", "duration"):
                line[name] = line[name].rstrip("0").replace(".", ",")
            writer.writerow(line)
    assert opened(path)[1].given == verdicts.given


def test_other_levels_and_other_words_are_refused(tmp_path):
    path = made.write(tmp_path)
    table, verdicts = opened(path)
    verdicts.give({key(table.rows[0]): Verdict("accepted", "gibbon", AT)})
    verdicts.merge()
    text = verdicts.path.read_text(encoding="utf-8")
    verdicts.path.write_text(text.replace(",accepted,", ",yes,"), encoding="utf-8")
    with pytest.raises(InputError, match="accepted, rejected, unsure.*'yes'"):
        opened(path)
    verdicts.path.write_text(text.replace(",group,", ",order,", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"Received: 'group'|species, order"):
        opened(path)


def test_a_disk_that_is_full_gives_no_verdict(tmp_path, monkeypatch):
    path = made.write(tmp_path)
    table, verdicts = opened(path)
    verdicts.give({key(table.rows[0]): Verdict("accepted", "gibbon", AT)})

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tfhier.review.verdicts.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            verdicts.give({key(table.rows[1]): Verdict("unsure", "", AT)})
    assert [*verdicts.given] == [key(table.rows[0])]


def test_a_line_that_is_there_twice_counts_once(tmp_path):
    path = made.write(tmp_path, found=(made.event(1.0), made.event(1.0)))
    table, _ = opened(path)
    assert len(table.rows) == len(made.NAMES)


def test_events_are_numbered_by_recording_and_time_however_lines_are_sorted(tmp_path):
    path = made.write(tmp_path)
    table, _ = opened(path)
    header, *lines = lines_with_ends(path)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines([header, *lines[:1], *reversed(lines[1:])])
    again, _ = opened(path)
    assert again.rows[:5] == table.rows[:5]
    assert again.rows[5:] == table.rows[15:] + table.rows[10:15] + table.rows[5:10]
    assert [row.event_time for row in again.rows] != [None] * len(again.rows)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no table of events"):
        tables.read(tmp_path / "events.csv")
    with pytest.raises(InputError, match="reads the CSV table"):
        tables.read(tmp_path / "events.jsonl")
    empty = made.write(tmp_path, found=())
    with pytest.raises(InputError, match="holds no events"):
        made.session(empty)


def test_the_journal_is_plain(tmp_path):
    path = made.write(tmp_path)
    table, verdicts = opened(path)
    verdicts.give({key(table.rows[0]): Verdict("accepted", "gibbon", AT)})
    (line,) = filter(None, verdicts.journal.read_text("ascii").splitlines())
    assert json.loads(line) == {
        "event": [*key(table.rows[0])],
        "verdict": "accepted",
        "label": "gibbon",
        "at": AT,
    }
