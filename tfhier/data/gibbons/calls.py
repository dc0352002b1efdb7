"""Finding calls in the focal recordings of the data set `gibbons`.

What was seen in spectrograms of all twelve recordings: the fundamentals of gibbon calls
(female: 600 to 1400 Hz, a great call of 12 s that ends in a trill; male: 650 to 1400
Hz, short phrases every 5 to 10 s) and of the great argus (650 to 1150 Hz, a note of
about 0.7 s every 1.2 to 2.5 s) lie in one band. Insects begin at 1400 Hz in the argus
recordings, far louder there than the bird, and between 2 and 4 kHz in the others.

So everything is heard through one band-pass, and nothing but the band of the calls is
ever mixed: neither a recorder's hiss above it nor its band limit tells the classes
apart. The price are the second harmonics of gibbons nearby, which forest air takes from
distant ones too.

Conventions: waveforms are float64 (samples,) at 16 kHz; spans are pairs of samples.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

SAMPLE_RATE = 16_000
MAX_SAMPLES = 3 * SAMPLE_RATE

# Hz: silence up to the first, flat between the middle two, silence from the last on.
BAND = (450.0, 550.0, 1250.0, 1350.0)
_SMOOTHING = round(0.05 * SAMPLE_RATE)
_FLOOR_PERCENT = 5.0  # of the smoothed power: the recording without calls
_ABOVE_FLOOR_DB = 10.0
_BELOW_LOUD_DB = 20.0  # below the recording's 99th percentile
# Notes of a trill follow each other faster than this: a trill is one long note.
_LONGEST_GAP = round(0.15 * SAMPLE_RATE)
_SHORTEST_NOTE = round(0.12 * SAMPLE_RATE)
_LEAD = round(0.05 * SAMPLE_RATE)
_STEP = SAMPLE_RATE  # between excerpts of one long note
_FADE = round(0.02 * SAMPLE_RATE)
_HISS_FRAME = 1024


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """One focal recording in the band of the calls.

    Args:
        name: str. Its file without suffix.
        waveform: float64 array (samples,), in band.
        active: bool array (samples,): where something calls.
        notes: int array (notes, 2): spans of notes, or of trills.
        excerpts: int array (excerpts, 2): spans of at most 3 s that begin with a note.
            They overlap where notes follow each other within 3 s.
    """

    name: str
    waveform: np.ndarray
    active: np.ndarray
    notes: np.ndarray
    excerpts: np.ndarray

    @cached_property
    def quiet(self) -> np.ndarray:
        """Mean power spectrum of the quietest 5 % of frames, float64 (513,).

        White noise of power 1 would have 1 in every bin.
        """
        window = np.hanning(_HISS_FRAME)
        frames = np.lib.stride_tricks.sliding_window_view(self.waveform, _HISS_FRAME)
        power = np.abs(np.fft.rfft(frames[:: _HISS_FRAME // 4] * window)) ** 2
        total = power.sum(axis=1)
        quietest = power[total <= np.percentile(total, 5)]
        return quietest.mean(axis=0) / np.sum(window**2)


def listen(name: str, waveform: np.ndarray) -> Recording:
    """Filter a focal recording and find the calls in it; there may be none."""
    waveform = in_band(waveform)
    notes = find_notes(waveform)
    active = np.zeros(len(waveform), bool)
    for start, stop in notes:
        active[start:stop] = True
    return Recording(
        name=name,
        waveform=waveform,
        active=active,
        notes=notes,
        excerpts=excerpts_of(notes, len(waveform)),
    )


def in_band(waveform: np.ndarray) -> np.ndarray:
    """Return a waveform in the band of the calls, without delay."""
    hertz = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE)
    gain = np.interp(hertz, BAND, [0.0, 1.0, 1.0, 0.0])
    gain = np.sin(0.5 * np.pi * gain) ** 2
    return np.fft.irfft(gain * np.fft.rfft(waveform), len(waveform))


def find_notes(waveform: np.ndarray) -> np.ndarray:
    """Find what calls in a waveform in band.

    A note is where the power, smoothed over 50 ms, is 10 dB above the recording's floor
    (its 5th percentile) and no more than 20 dB below what is loud in it (the 99th).
    Gaps of up to 0.15 s are closed, what is shorter than 0.12 s is dropped: clicks.

    Returns:
        int array (notes, 2) of spans in samples, ascending and disjoint.
    """
    if len(waveform) < _SMOOTHING:
        return np.zeros((0, 2), int)
    power = smoothed_power(waveform)
    floor, loud = np.percentile(power, [_FLOOR_PERCENT, 99.0])
    threshold = max(
        floor * 10 ** (_ABOVE_FLOOR_DB / 10), loud / 10 ** (_BELOW_LOUD_DB / 10)
    )
    edges = np.diff(np.concatenate([[False], power > threshold, [False]]).astype(int))
    spans = np.column_stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)])
    if not len(spans):
        return spans
    apart = spans[1:, 0] - spans[:-1, 1] > _LONGEST_GAP
    starts = spans[np.concatenate([[True], apart]), 0]
    stops = spans[np.concatenate([apart, [True]]), 1]
    notes = np.column_stack([starts, stops])
    return notes[stops - starts >= _SHORTEST_NOTE]


def smoothed_power(waveform: np.ndarray) -> np.ndarray:
    """Return the mean square over 50 ms around every sample, (samples,)."""
    total = np.cumsum(np.concatenate([[0.0], waveform**2]))
    power = np.maximum(total[_SMOOTHING:] - total[:-_SMOOTHING], 0.0) / _SMOOTHING
    before = _SMOOTHING // 2
    return np.pad(power, (before, len(waveform) - len(power) - before), mode="edge")


def excerpts_of(notes: np.ndarray, num_samples: int) -> np.ndarray:
    """Cut excerpts of at most 3 s: one from every note, and every second of a long one.

    An excerpt ends with the last note that ends within it, or after 3 s where a note
    goes on. What is left of a long note is worth an excerpt from half a second on.

    Args:
        notes: int array (notes, 2), ascending and disjoint.
        num_samples: int. Length of the recording.

    Returns:
        int array (excerpts, 2) of spans within the recording.
    """
    spans = []
    for start, stop in notes:
        last = max(start, stop - SAMPLE_RATE // 2)
        for begin in range(int(start), int(last) + 1, _STEP):
            begin = max(0, begin - _LEAD) if begin == start else begin
            limit = min(begin + MAX_SAMPLES, num_samples)
            ends = notes[(notes[:, 1] > begin) & (notes[:, 1] <= limit), 1]
            cut = np.any((notes[:, 0] < limit) & (notes[:, 1] > limit))
            end = limit if cut else min(int(ends.max()) + _LEAD, limit)
            spans.append((begin, end))
    return np.array(spans, int).reshape(-1, 2)


def hiss(
    recording: Recording, num_samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Make noise with the spectrum and level of a recording where nothing calls.

    It is Gaussian noise shaped by the spectrum of the quietest frames. Cut-outs would
    be less safe: a great call fills its recording, and between the phrases of the males
    other, distant gibbons can be seen.

    Returns:
        float64 array (num_samples,), in band; at most 3 s.
    """
    hertz = np.fft.rfftfreq(MAX_SAMPLES, 1 / SAMPLE_RATE)
    bins = np.fft.rfftfreq(_HISS_FRAME, 1 / SAMPLE_RATE)
    gain = np.sqrt(np.interp(hertz, bins, recording.quiet))
    white = np.fft.rfft(rng.standard_normal(MAX_SAMPLES))
    return np.fft.irfft(gain * white, MAX_SAMPLES)[:num_samples]


def faded(waveform: np.ndarray) -> np.ndarray:
    """Return a waveform with 20 ms of fade at both ends, so that no cut clicks."""
    length = min(_FADE, len(waveform) // 2)
    ramp = np.sin(0.5 * np.pi * (np.arange(length) + 0.5) / max(length, 1)) ** 2
    result = waveform.copy()
    result[:length] *= ramp
    result[len(result) - length :] *= ramp[::-1]
    return result
