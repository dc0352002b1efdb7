"""The model card: what a model is and was measured at, for people (Markdown)."""

from collections.abc import Sequence

from tfhier import console
from tfhier.contract import Contract

# More labels of a level than these are counted, not listed.
_MOST_LABELS = 60


def text(promised: Contract, *, files: Sequence[str] = ()) -> str:
    """Return the card of a model.

    Args:
        promised: Contract.
        files: Lines of Markdown on exported files, such as a table.
    """
    parts = [
        f"# {promised.name or 'A tagger'}",
        _what(promised),
        "## Input",
        _input(promised),
        "## Output",
        *_output(promised),
        "## Measured",
        *_measured(promised),
    ]
    if files:
        parts += ["## Files", *files]
    parts += ["## Where it comes from", _origin(promised, of_files=bool(files))]
    return "\n\n".join(parts) + "\n"


def _what(promised: Contract) -> str:
    sizes = promised.taxonomy.sizes
    levels = ", ".join(f"{level} ({size} labels)" for level, size in sizes.items())
    several = f"on {len(sizes)} levels: {levels}" if len(sizes) > 1 else f"by {levels}"
    return (
        f"Tags sound {several}. Made by tfhier, which reads the contract inside the "
        "file: `tfhier describe`, `tfhier selftest`."
    )


def _input(promised: Contract) -> str:
    rate = promised.sample_rate
    if promised.window_seconds:
        length = (
            f"in windows of {promised.window_seconds:g} s "
            f"({round(promised.window_seconds * rate):,} samples) every "
            f"{promised.hop_seconds:g} s, whose scores are averaged; shorter sound and "
            "the last window are filled up with zeros"
        )
    else:
        length = f"of any length from {promised.min_samples:,} samples on"
        if promised.clip_seconds:
            length += f"; it was trained and tested on {promised.clip_seconds:g} s"
    return (
        f"One channel at {rate:,} Hz, floats in [-1, 1], {length}. Sound of another "
        "rate has to be resampled first; tfhier does."
    )


def _output(promised: Contract) -> list[str]:
    meaning = promised.score_meaning
    found = [
        f"By level, scores in [0, 1] in the order of the labels: {meaning}. A tag is "
        + (
            "given at or above the threshold of its label, fitted on validation clips."
            if promised.thresholds
            else "given at 0.5 or above: no thresholds were fitted."
        )
    ]
    return found + [_labels(promised, level) for level in promised.taxonomy.levels]


def _labels(promised: Contract, level: str) -> str:
    """Return a table of a level's labels, their thresholds and what is below them."""
    labels = promised.taxonomy.labels_of(level)
    if len(labels) > _MOST_LABELS:
        return f"**{level}**: {len(labels)} labels, listed in the contract."
    columns = {level: labels}
    if bounds := promised.thresholds.get(level):
        columns["threshold"] = [f"{bound:.2f}" for bound in bounds]
    depth = promised.taxonomy.depth_of(level)
    if depth:
        below = promised.taxonomy.levels[depth - 1]
        names = promised.taxonomy.labels_of(below)
        columns[f"its {below}"] = [
            ", ".join(names[child] for child in group)
            for group in promised.taxonomy.groups(below)
        ]
    rows = [list(columns), ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _measured(promised: Contract) -> list[str]:
    if not promised.results:
        return [
            "Nothing is on record. Test it on sound of yours before you rely on it."
        ]
    rows = ["| level | figure | value |", "|---|---|---|"]
    rows += [
        f"| {level} | {name} | {console.percent(value)} % |"
        for level, found in promised.results.items()
        for name, value in found.items()
        if name != "loss"
    ]
    return [
        f"{promised.tested[:1].upper()}{promised.tested[1:] or 'Test clips'} of its "
        "own data set. Other places, devices and seasons differ: test it on sound of "
        "yours before you rely on it.",
        "\n".join(rows),
    ]


def _origin(promised: Contract, *, of_files: bool) -> str:
    made = ", ".join(f"{name} {value}" for name, value in promised.versions.items())
    lines = [
        f"* training: {promised.source or 'not stated'}",
        f"* licence of the weights: {promised.licence or 'not stated'}",
        f"* citation: {promised.citation or 'none'}",
        f"* saved with: {made or 'not stated'}",
    ]
    if not of_files:  # else each has its own in the table
        lines.append(f"* weights: {promised.weights}")
    return "\n".join(lines)
