"""What the demo tells: its events one by one, and how they compare with the truth."""

from collections.abc import Iterator

from tfhier import console, event_metrics
from tfhier.data.forest.soundscapes import Planted
from tfhier.detect.demo import Demo
from tfhier.event_metrics import Matches
from tfhier.events import Event

# dB over the weather, from and below; together `forest.SNR`.
_BANDS = ((-5.0, 0.0), (0.0, 10.0), (10.0, 20.0))
NOTICE = (
    "SYNTHETIC: a made forest, and a model trained on nothing but such. What it finds "
    "says nothing about real primates."
)


def events(demo: Demo) -> str:
    """Return the events as a table, each with what is true of it."""
    rows = [
        [
            clock(event.start),
            f"{event.end - event.start:.1f}",
            event.label,
            f"{event.score:.2f}",
            _verdict(event, demo),
        ]
        for event in demo.heard.events
    ]
    return console.table(["begin", "seconds", "label", "score", "in truth"], rows)


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds: "3:07.5"."""
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def lines(demo: Demo) -> Iterator[tuple[str, str]]:
    """Yield topics and what is said of each: recall, precision, false alarms."""
    levels = demo.taxonomy.levels
    for level in levels:
        yield level, _counts(_count(demo, level))
    finest, coarsest = levels[0], levels[-1]
    found, _ = event_metrics.matched(demo.heard.events, demo.truth.events, level=finest)
    told = []
    for low, high in _BANDS:
        own = [
            bool(is_found)
            for is_found, call in zip(found, demo.made.calls, strict=True)
            if low <= call.snr < high
        ]
        told.append(f"{low:g} to {high:g} dB {sum(own)} of {len(own)}")
    yield "loudness", f"calls found by {finest}, over the weather: {', '.join(told)}"
    hours = demo.heard.seconds / 3600
    alarms = [_count(demo, level).num_false for level in (coarsest, finest)]
    yield (
        "alarms",
        f"{alarms[0]} false by {coarsest}, {alarms[0] / hours:.1f} an hour; "
        f"{alarms[1]} by {finest}, {alarms[1] / hours:.1f} an hour",
    )
    yield (
        "rule",
        "an event and a call match if they have the same label on a level and overlap; "
        "intervals are 95 % (Wilson)",
    )


def _count(demo: Demo, level: str) -> Matches:
    return event_metrics.count(demo.heard.events, demo.truth.events, level=level)


def _counts(found: Matches) -> str:
    return (
        f"{found.num_found} of {found.num_calls} calls found, "
        f"recall {_share(found.num_found, found.num_calls)}; "
        f"{found.num_right} of {found.num_events} events right, "
        f"precision {_share(found.num_right, found.num_events)}"
    )


def _share(count: int, total: int) -> str:
    low, high = event_metrics.interval(count, total)
    share = console.percent(count / total if total else None)
    return f"{share} % [{console.percent(low)}, {console.percent(high)}]"


def _verdict(event: Event, demo: Demo) -> str:
    """Return what sounded during an event: "right", or calls, or other sounds."""
    calls = [each for each in demo.made.calls if _overlap(event, each)]
    levels = demo.taxonomy.levels
    if calls:
        _, right = event_metrics.matched([event], demo.truth.events, level=event.level)
        if right[0]:
            remark = "" if event.level == levels[0] else f", a {calls[0].label}"
            return f"right{remark}"
        return f"wrong: {calls[0].label}"
    others = [each.label for each in demo.made.others if _overlap(event, each)]
    return f"false alarm: {', '.join(dict.fromkeys(others)) or 'weather'}"


def _overlap(event: Event, planted: Planted) -> bool:
    return event.start < planted.end and planted.start < event.end
