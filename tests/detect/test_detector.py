"""A recording to events: planted sounds where they are, whatever the blocks."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from tfhier.contract import Contract
from tfhier.detect.detector import Detector
from tfhier.detect.options import Options
from tfhier.errors import InputError
from tfhier.taxonomy import Taxonomy

RATE = 1_000
TREE = Taxonomy.parse("kind,loudness\nlow,loud\nhigh,loud\nbackground,background\n")


def level_meter(**promises) -> SimpleNamespace:
    """A tagger that hears positive samples as `low` and negative ones as `high`."""

    def window_scores(window):
        low, high = window.mean(), -window.mean()
        kinds = np.float32([low, high, 1 - abs(low)])
        return {"kind": kinds, "loudness": np.float32([max(low, high), kinds[2]])}

    promised = Contract(
        **{"taxonomy": TREE, "sample_rate": RATE, "clip_seconds": 0.2} | promises
    )
    return SimpleNamespace(
        taxonomy=TREE,
        contract=promised,
        sample_rate=RATE,
        levels={level: TREE.labels_of(level) for level in TREE.levels},
        window_scores=window_scores,
    )


def plant(seconds: float, *spans: tuple[float, float, float]) -> np.ndarray:
    """Silence with spans (start, end, value)."""
    found = np.zeros(round(seconds * RATE), np.float32)
    for start, end, value in spans:
        found[round(start * RATE) : round(end * RATE)] = value
    return found


def events(waveform, tagger=None, *, sizes=(10**9,), **options):
    detector = Detector(tagger or level_meter(), Options(**options))
    ends = np.cumsum(np.resize(sizes, len(waveform) // min(sizes) + 1))
    cuts = ends[ends < len(waveform)]
    return list(detector.events(np.split(waveform, cuts)))


def spans(found) -> list[tuple]:
    return [(e.start, e.end, e.label) for e in found]


# The last window is filled up with silence, and too faint for an event.
SOUND = plant(9.87, (1.0, 2.0, 0.9), (4.0, 4.8, -0.8), (4.8, 5.4, 0.7), (9.6, 9.87, 1))


def test_sounds_are_found_where_they_are():
    found = events(SOUND, overlap=0.0)
    assert spans(found) == [
        (1.0, 2.0, "low"), (4.0, 4.8, "high"), (4.8, 5.4, "low"), (9.6, 9.8, "low"),
    ]  # fmt: skip
    assert [round(e.score, 4) for e in found] == [0.9, 0.8, 0.7, 1.0]
    assert {e.level for e in found} == {"kind"}


@pytest.mark.parametrize("combine", ["mean", "max"])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75, 0.3])
@pytest.mark.parametrize("smooth_slots", [1, 3])
@pytest.mark.parametrize("max_seconds", [0.0, 0.31])
def test_blocks_change_nothing(combine, overlap, smooth_slots, max_seconds, rng):
    sound = (SOUND + rng.normal(0, 0.3, len(SOUND))).astype(np.float32)
    options = {"combine": combine, "overlap": overlap, "smooth_slots": smooth_slots}
    options["max_seconds"] = max_seconds
    whole = events(sound, **options)
    assert len(whole) > 3
    for sizes in ([1], [7], [1, 500, 3], rng.integers(1, 400, 50).tolist()):
        assert events(sound, sizes=sizes, **options) == whole


def test_events_come_as_they_end():
    """A stream has no end to wait for."""
    heard = []

    def blocks():
        for start in range(0, len(SOUND), 100):
            heard.append(start)
            yield SOUND[start : start + 100]

    detector = Detector(level_meter(), Options(overlap=0.0))
    first = next(iter(detector.events(blocks())))
    assert (first.start, first.end) == (1.0, 2.0)
    assert heard[-1] == 2_100  # the window behind it


def test_a_sound_without_end_comes_in_pieces():
    sound = np.full(100, 0.9, np.float32)
    detector = Detector(level_meter(), Options(overlap=0.0, max_seconds=2.1))
    endless = detector.events(itertools.repeat(sound))
    assert spans(itertools.islice(endless, 3)) == [
        (0.0, 2.0, "low"), (2.0, 4.0, "low"), (4.0, 6.0, "low"),
    ]  # fmt: skip
    by_default = Detector(level_meter(), Options()).events(itertools.repeat(sound))
    assert spans([next(by_default)]) == [(0.0, 300.0, "low")]


def test_what_no_kind_is_sure_of_is_told_above():
    def unsure(window):
        loud = window.mean()
        kinds = np.float32([0.4 * loud, 0.4 * loud, 1 - loud])
        return {"kind": kinds, "loudness": np.float32([loud, 1 - loud])}

    tagger = level_meter()
    tagger.window_scores = unsure
    (event,) = events(plant(5, (1, 2, 0.9)), tagger, overlap=0.0)
    assert (event.level, event.label) == ("loudness", "loud")
    assert event.labels == {"kind": "", "loudness": "loud"}
    assert event.remark == "kind uncertain"


def test_thresholds_are_the_contracts_unless_others_are_chosen():
    bounds = {"kind": (0.85, 0.5, 0.5), "loudness": (1.0, 1.0)}
    precise = {"kind": (0.95, 0.75, 0.5), "loudness": (float("inf"), 1.0)}
    tagger = level_meter(thresholds=bounds, precise={"0.9": precise, "0.5": {**bounds}})
    assert spans(events(SOUND, tagger, overlap=0.0, release=1.0)) == [
        (1.0, 2.0, "low"), (4.0, 4.8, "high"), (9.6, 9.8, "low"),
    ]  # fmt: skip
    assert spans(events(SOUND, tagger, overlap=0.0, precision=0.8)) == [
        (4.0, 4.8, "high"), (9.6, 9.8, "low"),
    ]  # fmt: skip
    chosen = events(SOUND, tagger, overlap=0.0, threshold=0.95, release=1.0)
    assert spans(chosen) == [(9.6, 9.8, "low")]
    with pytest.raises(InputError, match=r"no .* of 0\.95 or more.*\(it has 0.5, 0.9"):
        events(SOUND, tagger, precision=0.95)


def test_windows_are_the_contracts():
    own = level_meter(window_seconds=0.4, hop_seconds=0.1)
    windowing = Detector(own, Options()).windowing
    assert (windowing.length, windowing.hop) == (400, 100)
    assert Detector(own, Options(overlap=0.5)).windowing.hop == 200
    with pytest.raises(InputError, match="hears 0.4 s at a time by itself"):
        Detector(own, Options(window_seconds=1.0))
    trained = Detector(level_meter(), Options()).windowing
    assert (trained.length, trained.hop) == (200, 100)
    longer = Detector(level_meter(), Options(window_seconds=1.0, overlap=0.75))
    assert (longer.windowing.length, longer.windowing.hop) == (1_000, 250)
    with pytest.raises(InputError, match="how much it is to hear at a time: --window"):
        Detector(level_meter(clip_seconds=0.0), Options())
    needy = level_meter(frontend={"center": True, "num_fft": 512, "window_length": 512})
    with pytest.raises(InputError, match="0.2 s are too short: the model needs 0.257"):
        Detector(needy, Options())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"overlap": 1.0}, "less than 1. Received: 1"),
        ({"window_seconds": -1.0}, "0 for the model's own. Received: -1"),
        ({"combine": "sum"}, "by mean or max. Received: sum"),
        ({"threshold": 1.5}, "A threshold lies between 0 and 1. Received: 1.5"),
        ({"precision": 0.0}, "A precision lies between 0 and 1. Received: 0"),
        ({"threshold": 0.5, "precision": 0.5}, "choose one of both"),
        ({"release": 0.0}, "Received: 0"),
    ],
)
def test_options_of_no_sense_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        Options(**options)
