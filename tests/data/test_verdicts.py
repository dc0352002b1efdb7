"""Verdicts on events as clips: what is known of them, and of what nothing is."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tfhier import audio, contract, event_tables
from tfhier.contract import Contract
from tfhier.data import verdicts
from tfhier.errors import InputError
from tfhier.event_tables import csv_table
from tfhier.event_tables.cells import csv_line
from tfhier.event_tables.rows import column_names
from tfhier.event_tables.verdict import COLUMNS
from tfhier.events import Event, Heard
from tfhier.files import write_text
from tfhier.taxonomy import Taxonomy

TREE = Taxonomy.parse(
    "species,group\ngibbon,primate\nlangur,primate\nowl,bird\nbackground,background\n"
)
RATE = 8_000
SECONDS = 60.0


def model(folder: Path, **facts) -> str:
    """A file that is nothing but a contract."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", "{}")
    facts = {"taxonomy": TREE, "sample_rate": RATE, "clip_seconds": 2.0, **facts}
    contract.attach(path, Contract(**facts))
    return str(path)


def event(start: float, label: str, seconds: float = 1.0) -> Event:
    level = "species" if label in TREE.labels_of("species") else "group"
    return Event(
        start=start,
        end=start + seconds,
        level=level,
        label=label,
        score=0.9,
        labels=TREE.lineage(level, label),
    )


def table(folder: Path, *judged: tuple[float, str, str, str], files: int = 1) -> Path:
    """A reviewed table: (start, label, verdict, reviewed label) in each of some files.

    The files have noise of their own, each at a site of its own.
    """
    heard = []
    for number in range(files):
        path = folder / f"SITE{number}_20260101_060000.wav"
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, int(SECONDS * RATE))
        audio.write(path, noise.astype(np.float32), sample_rate=RATE)
        events = tuple(event(*each[:2]) for each in judged)
        heard.append(Heard(file=path, seconds=SECONDS, sample_rate=RATE, events=events))
    plain = folder / "events.csv"
    levels = TREE.levels
    event_tables.write(plain, heard, Contract(taxonomy=TREE, sample_rate=RATE))
    said = {(start, label): rest for start, label, *rest in judged}
    lines = [csv_line([*column_names(levels), *COLUMNS])]
    for row, _ in csv_table.read_rows(plain):
        verdict = said[row.start, row.label]
        lines.append(csv_line([*csv_table.cells_of(row), *verdict, ""]))
    write_text(folder / "events-reviewed.csv", "".join(lines))
    return folder / "events-reviewed.csv"


def load(folder: Path, *judged, files: int = 5, **settings):
    facts = settings.pop("facts", {})
    return verdicts.load(
        table(folder, *judged, files=files),
        clip_seconds=2.0,
        pretrained=model(folder, **facts),
        **settings,
    )


def known(clips, row: int = 0) -> dict[str, float]:
    """What is known of a clip: label -> 0 or 1, of groups with a star."""
    found = {}
    for level, (targets, observed) in {
        "": (clips.targets, clips.observed),
        "*": clips.upper["group"],
    }.items():
        labels = TREE.labels_of("group" if level else "species")
        for at, label in enumerate(labels):
            if observed[row, at]:
                found[label + level] = float(targets[row, at])
    return found


# -- What a verdict says ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "verdict", "heard", "expected"),
    [
        # There, with all above it; of others nothing, but it is not background.
        (
            "gibbon", "accepted", "gibbon",
            {"gibbon": 1, "background": 0, "primate*": 1, "background*": 0},
        ),
        # Not there: that says nothing of other primates, nor of their group.
        ("gibbon", "rejected", "", {"gibbon": 0}),
        # Another in its place.
        (
            "gibbon", "rejected", "langur",
            {
                "gibbon": 0, "langur": 1, "background": 0, "primate*": 1,
                "background*": 0,
            },
        ),
        # Background is nothing else.
        (
            "gibbon", "rejected", "background",
            {
                "gibbon": 0, "langur": 0, "owl": 0, "background": 1, "primate*": 0,
                "bird*": 0, "background*": 1,
            },
        ),
        # A group may be right without a species; without the group there is none.
        (
            "primate", "accepted", "primate",
            {"background": 0, "primate*": 1, "background*": 0},
        ),
        ("primate", "rejected", "", {"gibbon": 0, "langur": 0, "primate*": 0}),
        # A finer label accepts; a coarser one leaves the finer open.
        (
            "primate", "accepted", "langur",
            {"langur": 1, "background": 0, "primate*": 1, "background*": 0},
        ),
        (
            "gibbon", "unsure", "primate",
            {"background": 0, "primate*": 1, "background*": 0},
        ),
        # What the model does not know is none of its labels, and no more is said.
        ("gibbon", "rejected", "dog", {"gibbon": 0}),
    ],
)  # fmt: skip
def test_what_is_known_of_a_clip(tmp_path, label, verdict, heard, expected):
    clips = load(tmp_path, (10.0, label, verdict, heard))
    assert len(clips) == 5
    for row in range(5):
        assert known(clips, row) == expected


def test_events_that_nobody_judged_or_is_sure_of_are_no_clips(tmp_path):
    clips = load(
        tmp_path,
        (10.0, "gibbon", "accepted", "gibbon"),
        (20.0, "gibbon", "", ""),
        (30.0, "gibbon", "unsure", ""),
    )
    assert len(clips) == 5
    assert any("5 clips say nothing of the model's labels" in n for n in clips.notes)


def test_windows_lie_around_events_and_long_ones_have_several(tmp_path):
    clips = load(
        tmp_path, (10.0, "gibbon", "accepted", "gibbon"), (0.1, "owl", "rejected", "")
    )
    spans = {tuple(span) for span in clips.spans.tolist()}
    assert spans == {(9.5, 11.5), (0.0, 2.0)}
    assert clips.max_seconds == 2.0


def test_what_lies_in_the_window_too_is_not_denied(tmp_path):
    clips = load(
        tmp_path,
        (10.0, "gibbon", "accepted", "gibbon"),
        (10.8, "gibbon", "rejected", "background"),
        (11.0, "owl", "rejected", ""),
    )
    at = {span[0]: row for row, span in enumerate(clips.spans[:3].tolist())}
    # The window of the second holds the end of the first: only gibbons are said to be
    # absent there, and that is no longer known.
    assert len(at) == 2
    assert known(clips, at[9.5])["gibbon"] == 1
    assert known(clips, at[10.5]) == {"owl": 0, "bird*": 0} or known(
        clips, at[10.5]
    ) == {"owl": 0}


def test_labels_that_exclude_each_other_are_all_known(tmp_path):
    clips = load(
        tmp_path,
        (10.0, "gibbon", "accepted", "gibbon"),
        (20.0, "owl", "rejected", ""),
        (30.0, "owl", "rejected", "langur"),
        facts={"softmax": True},
    )
    assert len(clips) == 10 and clips.observed.all()
    assert (clips.targets.sum(axis=1) == 1).all()
    assert any("5 clips say too little" in note for note in clips.notes)


def test_what_contradicts_together_is_not_denied(tmp_path):
    # Judged apart, each is possible; of one window the group would be there and not.
    clips = load(
        tmp_path,
        (10.0, "primate", "accepted", "primate"),
        (10.1, "gibbon", "rejected", ""),
        (9.9, "langur", "rejected", ""),
        (30.0, "owl", "rejected", ""),
    )
    for row in range(len(clips)):
        found = known(clips, row)
        if "primate*" in found:
            assert found["primate*"] == 1 or "gibbon" in found


@pytest.mark.parametrize("with_background", [True, False])
def test_windows_between_events_are_background(tmp_path, with_background):
    tree = TREE
    if not with_background:
        tree = Taxonomy.parse("species,group\ngibbon,primate\nlangur,primate\n")
    judged = [(float(at), "gibbon", "accepted", "gibbon") for at in (5, 15, 25)]
    # Nobody judged this one: what is in it is not known, so it is no background.
    clips = load(
        tmp_path,
        *judged,
        (40.0, "gibbon", "", ""),
        background="gaps",
        facts={"taxonomy": tree},
    )
    gaps = np.array([not known_gibbon for known_gibbon in clips.targets[:, 0]])
    assert gaps.sum() == 15 == (~gaps).sum()  # as many as there are clips of events
    assert clips.observed[gaps].all()
    labels = tree.labels_of("species")
    expected = [float(name == "background") for name in labels]
    assert (clips.targets[gaps] == expected).all()
    busy = [(at, at + 1.0) for at in (5.0, 15.0, 25.0, 40.0)]
    for start, end in clips.spans[gaps]:
        assert all(end <= first - 0.5 or start >= last + 0.5 for first, last in busy)


# -- Parts -----------------------------------------------------------------------------


def test_recordings_are_not_divided_where_there_are_five(tmp_path):
    judged = [(float(at), "gibbon", "accepted", "gibbon") for at in range(5, 50, 5)]
    clips = load(tmp_path, *judged, (55.0, "gibbon", "rejected", ""))
    for file in set(clips.paths):
        own = {
            part
            for path, part in zip(clips.paths, clips.parts, strict=True)
            if path == file
        }
        assert len(own) == 1
    assert {"train", "test"} == set(clips.parts.tolist())


def test_a_site_can_be_the_test(tmp_path):
    judged = (10.0, "gibbon", "accepted", "gibbon")
    clips = load(tmp_path, judged, test_groups=("SITE3",))
    tested = {
        path.name
        for path, part in zip(clips.paths, clips.parts, strict=True)
        if part == "test"
    }
    assert tested == {"SITE3_20260101_060000.wav"}
    with pytest.raises(InputError, match=r"the site 'SITE9'.*Close: SITE"):
        load(tmp_path, judged, test_groups=("SITE9",))


def test_one_recording_is_divided_by_time(tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "BLOCK_SECONDS", (10.0,))
    pairs = [("accepted", "gibbon"), ("rejected", "")]
    # Every fifth window overlaps the one behind it, also where a stretch ends.
    judged = [
        (at + 0.8 * (number % 5 == 4), "gibbon", *pairs[number % 2])
        for number, at in enumerate(np.arange(1.0, 56.0, 2.0).tolist())
    ]
    clips = load(tmp_path, *judged, files=1)
    assert set(clips.parts.tolist()) == {"train", "test"}
    order = np.argsort(clips.spans[:, 0])
    parts, spans = clips.parts[order], clips.spans[order]
    # No sound is on both sides.
    for part, end, following, start in zip(
        parts[:-1], spans[:-1, 1], parts[1:], spans[1:, 0], strict=True
    ):
        assert part == following or start >= end
    assert any("too few to set one aside" in note for note in clips.notes)


# -- What does not fit -----------------------------------------------------------------


def test_one_clear_error(tmp_path):
    accepted = (10.0, "gibbon", "accepted", "gibbon")
    with pytest.raises(InputError, match=r"tfhier review writes it"):
        verdicts.load(tmp_path / "none.csv", clip_seconds=2.0, pretrained="x")
    with pytest.raises(InputError, match=r"holds no verdict. Judge events first"):
        load(tmp_path, (10.0, "gibbon", "", ""))
    with pytest.raises(InputError, match=r"a verdict is accepted, rejected, unsure"):
        load(tmp_path, (10.0, "gibbon", "yes", ""))
    with pytest.raises(InputError, match=r"at 10 s is rejected as 'primate', but was"):
        load(tmp_path, (10.0, "primate", "rejected", "gibbon"))
    with pytest.raises(InputError, match=r"species 'gibbon' is no label of the model"):
        load(tmp_path, accepted, facts={"taxonomy": Taxonomy.flat(["gibbon"])})
    with pytest.raises(InputError, match=r"leaves no clip.*2 clips? say nothing"):
        load(tmp_path, (10.0, "gibbon", "unsure", ""), files=2)
    path = table(tmp_path, accepted)
    (tmp_path / "SITE0_20260101_060000.wav").rename(tmp_path / "moved.wav")
    with pytest.raises(InputError, match=r"1 of 1 recordings.*--recordings FOLDER"):
        verdicts.load(path, clip_seconds=2.0, pretrained=model(tmp_path))
    path.with_suffix(".journal").write_text("{}\n")
    with pytest.raises(InputError, match=r"holds verdicts that are not in"):
        verdicts.load(path, clip_seconds=2.0, pretrained=model(tmp_path))


def test_background_is_none_of_the_labels_of_a_model_without_it(tmp_path):
    tree = Taxonomy.parse("species,group\ngibbon,primate\nlangur,primate\nowl,bird\n")
    clips = load(
        tmp_path,
        (10.0, "gibbon", "rejected", "background"),
        (20.0, "owl", "accepted", "owl"),
        facts={"taxonomy": tree},
    )
    at = int(np.flatnonzero(clips.spans[:, 0] < 15)[0])
    assert clips.observed[at].all() and not clips.targets[at].any()


@pytest.mark.parametrize(
    ("judged", "message"),
    [
        ((10.0, "gibbon", "accepted", "owl"), "is accepted as 'gibbon', but was heard"),
        ((10.0, "gibbon", "accepted", "background"), "but was heard as 'background'"),
        ((10.0, "gibbon", "rejected", "Owl"), "which the model calls 'owl'. Write it"),
        ((10.0, "gibbon", "rejected", "Background"), "the model calls 'background'"),
    ],
)
def test_what_contradicts_or_is_misspelt_is_told(tmp_path, judged, message):
    with pytest.raises(InputError, match=message):
        load(tmp_path, judged)


def test_an_event_on_two_lines_has_one_verdict(tmp_path):
    path = table(tmp_path, (10.0, "gibbon", "accepted", "gibbon"), files=5)
    header, first, *rest = path.read_text().splitlines(keepends=True)
    settings = {"clip_seconds": 2.0, "pretrained": model(tmp_path)}
    path.write_text("".join([header, first, first, *rest]))
    assert len(verdicts.load(path, **settings)) == 5
    path.write_text(
        "".join([header, first, first.replace("accepted", "rejected"), *rest])
    )
    with pytest.raises(InputError, match="is there twice, accepted and rejected"):
        verdicts.load(path, **settings)


def test_what_spreadsheets_make_of_verdicts_is_understood(tmp_path):
    path = table(tmp_path, (10.0, "gibbon", "accepted", "gibbon"), files=5)
    text = path.read_text().replace(",verdict,", ",Verdict,")
    path.write_text(text.replace(",accepted,", ",ACCEPTED,"))
    clips = verdicts.load(path, clip_seconds=2.0, pretrained=model(tmp_path))
    assert known(clips)["gibbon"] == 1


def test_labels_that_the_model_does_not_know_are_named(tmp_path):
    clips = load(tmp_path, (10.0, "gibbon", "rejected", "dog"))
    assert any("The model has no dog" in note for note in clips.notes)


def test_a_recording_is_the_one_that_was_judged(tmp_path):
    path = table(tmp_path, (10.0, "gibbon", "accepted", "gibbon"), files=5)
    settings = {"clip_seconds": 2.0, "pretrained": model(tmp_path)}
    other = np.random.default_rng(9).uniform(-0.5, 0.5, 20 * RATE)
    audio.write(
        tmp_path / "SITE0_20260101_060000.wav",
        other.astype(np.float32),
        sample_rate=RATE,
    )
    with pytest.raises(InputError, match=r"lasts 20.0 s, but .* 60.0 s. Another file"):
        verdicts.load(path, **settings)


def test_recordings_of_one_name_are_not_taken_for_each_other(tmp_path):
    judged = (10.0, "gibbon", "accepted", "gibbon")
    path = table(tmp_path, judged, files=2)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (tmp_path / "SITE0_20260101_060000.wav").rename(shelf / "REC.wav")
    text = path.read_text().replace(str(tmp_path), "E:")
    for number in range(2):
        name = f"SITE{number}_20260101_060000.wav"
        text = text.replace(f"E:/{name}", f"E:/night{number}/REC.wav")
    path.write_text(text)
    with pytest.raises(InputError, match="would both be .*REC.wav. Keep the folders"):
        verdicts.load(
            path, clip_seconds=2.0, pretrained=model(tmp_path), recordings=str(shelf)
        )


def test_recordings_that_were_moved_are_found(tmp_path):
    judged = (10.0, "gibbon", "accepted", "gibbon")
    path = table(tmp_path, judged, (20.0, "owl", "rejected", ""), files=5)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for file in tmp_path.glob("*.wav"):
        file.rename(shelf / file.name)
    clips = verdicts.load(
        path, clip_seconds=2.0, pretrained=model(tmp_path), recordings=str(shelf)
    )
    assert {file.parent for file in clips.paths} == {shelf}
