"""The parts of report pages: HTML files that need no network and no script.

Text becomes HTML in this module alone, and is escaped here. Style and plots lie inside
a page; the same plots also lie beside it as PNG files. Figures are in percent; what is
undefined, null in JSON, is called so.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tfhier import compare, console, data, tables
from tfhier.files import replacing
from tfhier.metrics import shown
from tfhier.plots import style
from tfhier.plots.results import METRIC_NAMES

# Text, or text with a small second line.
Cell = str | tuple[str, str]


_STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #666; --line: #ddd;
  --paper: #fff; --mark: #fff3d6; --loud: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --soft: #a5a5a5;
  --line: #444; --paper: #1b1b1b; --mark: #4a3d18; --loud: #c4382f; } }
body { margin: 0 auto; max-width: 1080px; padding: 1.5rem 1rem 4rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: .8rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { margin: .5rem 0; max-width: 44rem; }
.soft, small { color: var(--soft); }
.banner { max-width: none; margin: 1.2rem 0; padding: .8rem 1rem; border-radius: 6px;
  background: var(--loud); color: #fff; font-weight: 600; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem; text-align: right; vertical-align: top;
  white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: .2rem; }
th { font-weight: 600; }
th.group { text-align: center; }
tr.marked td { background: var(--mark); }
table.text td, table.text th { text-align: left; white-space: normal;
  overflow-wrap: break-word; }
table.text th { white-space: nowrap; }
table.text td:first-child { white-space: nowrap; }
small { display: block; font-size: .8em; }
img { display: block; width: 100%; max-width: 900px; height: auto; margin: .8rem 0;
  background: #fff; border-radius: 4px; }
"""


def page(
    title: str, subtitle: str, summaries: Sequence[dict], sections: Sequence[str]
) -> str:
    banner = _banner(summaries[0])
    loud = f'<p class="banner" role="alert">{escape(banner)}</p>' if banner else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="soft">{escape(subtitle)}</p>
{loud}
{"".join(sections)}
</body>
</html>
"""


def _banner(summary: dict) -> str:
    """What a reader must know before any figure; empty on the published data set."""
    made_on = summary["data"]
    rest = "not comparable with published figures"
    if made_on["kind"] == "published":
        return ""
    if made_on["kind"] == "embedded":
        return f"Trained and tested on the {made_on['name']}, SYNTHETIC clips: {rest}"
    published = data.module_of(summary["settings"]["dataset"]).NAME
    if not summary["paper"] and summary["settings"]["dataset"] in _WITHOUT_PAPER:
        return ""
    return (
        f"Trained and tested on '{made_on['name']}', a data set in {published}'s "
        f"layout: {rest}"
    )


def section(title: str, *pieces: str) -> str:
    """Return a titled section; nothing without content."""
    if not pieces:
        return ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{''.join(pieces)}</section>\n"


def text(text: str, tag: str = "p") -> str:
    return f"<{tag}>{escape(text)}</{tag}>\n"


def picture(figure: Figure, path: Path, *, dpi: int = 150) -> str:
    """Write a figure as a file and return it as an image that the page carries."""
    png = style.to_png(figure, dpi=dpi)
    with replacing(path) as temporary:
        temporary.write_bytes(png)
    source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return f'<img src="{source}" alt="{escape(path.stem.replace("_", " "))}">\n'


def file_name(level: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in level)


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    above: Sequence[tuple[str, int]] = (),
    kind: str = "figures",
    marked: Sequence[int] = (),
) -> str:
    """Return a table; `above` are (text, columns) of a first header, `marked` rows."""
    lines = []
    if above:
        groups = "".join(
            f'<th class="group" colspan="{span}">{escape(text)}</th>'
            for text, span in above
        )
        lines.append(f"<tr>{groups}</tr>")
    if any(header):
        lines.append(
            "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in header) + "</tr>"
        )
    for number, row in enumerate(rows):
        css = ' class="marked"' if number in marked else ""
        lines.append(f"<tr{css}>" + "".join(map(_cell, row)) + "</tr>")
    body = "\n".join(lines)
    return f'<div class="scroll"><table class="{kind}">\n{body}\n</table></div>\n'


def _cell(cell: Cell) -> str:
    if isinstance(cell, tuple):
        return f"<td>{escape(cell[0])}<small>{escape(cell[1])}</small></td>"
    return f"<td>{escape(cell)}</td>"


def percent(value: float | None) -> str:
    text = console.percent(value)
    return "undefined" if text == "-" else text


def decimals(value: float | None) -> str:
    return "undefined" if value is None or np.isnan(value) else f"{value:.4f}"


def plain(value: object) -> str:
    """A setting as text: 1e-4 and 0.0001 alike, lists without brackets."""
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}"
    return str(value) or "none"


PARTS = {
    "test": "Against the observed labels",
    "test_truth": "Against the full truth",
    "test_live": "Live weights, without the moving average",
}


# Data of one's own: nobody published anything on it to compare with.
_WITHOUT_PAPER = ("folder", "verdicts", "gibbons")

READING = (
    "Observed labels: those that an annotator gave for a clip, as present or absent. "
    "Training, thresholds and figures look at these and at no others.",
    "Macro mean: ROC-AUC, mAP (the mean of average precision, AP) and F1 are means "
    "over the labels for which they are defined. A label without an observed positive "
    "has no AP and no F1; one without both kinds has no ROC-AUC.",
    "Yardsticks: logistic regression for each label, on the same clips and labels, "
    "from means (or means and standard deviations) over time of log-mels or "
    "precomputed features; where a frozen backbone embeds the clips, also from mean "
    "embeddings; where the head of a saved model was trained further, that model as "
    "it was.",
    "Mean ± standard deviation: over the runs listed here, which differ by seed and, "
    "under cross-validation, by fold.",
)

THRESHOLDS = (
    "Thresholds: F1 needs decisions. Each label has its own threshold, fitted on the "
    "{} clips and applied unchanged to the test clips."
)
NO_THRESHOLDS = (
    "Thresholds: F1 needs decisions. No clips were held out to fit thresholds on: "
    "each is 50 %."
)
UPPER_LEVELS = (
    "Coarse labels: where nobody was asked about them (people who judge events are), "
    "one counts as absent when each of the labels below it that was asked about is "
    "absent. With few labels observed many such negatives are wrong; where the full "
    "truth is known, that table is the one to trust.",
    "Violation rate: of all labels that are decided to be present, the share whose "
    "parent is decided to be absent.",
)


DECISIONS = (
    "Labels that exclude each other: a clip is decided for the label with the highest "
    "score. UAR, the unweighted average recall, is the mean of the labels' recalls; "
    "accuracy is the share of clips decided right; the parent error is the share of "
    "clips decided for a label of another parent. Clips with none, several or unknown "
    "labels are not counted in these. F1 is no matter of that decision but of the "
    "threshold, so it may lie below a label's recall and precision."
)


def reading(summaries: Sequence[dict]) -> list[str]:
    """What a reader must know to read the figures, a sentence or two a paragraph."""
    levels = summaries[0]["test"]
    selection = summaries[0]["settings"]["selection"]
    words = list(READING)
    words.append(NO_THRESHOLDS if selection == "last" else THRESHOLDS.format(selection))
    if len(levels) > 1:
        words += UPPER_LEVELS
    if any("uar" in found for found in levels.values()):
        words.append(DECISIONS)
    return words


def results(summaries: Sequence[dict]) -> list[str]:
    """Yardstick and experiments, every level and metric, a table a part."""
    pieces = []
    for part, title in PARTS.items():
        if not all(part in summary for summary in summaries):
            continue
        columns = columns_of(summaries[0][part])
        rows = [
            [f"yardstick: {name}", *_figures(found[part], {}, columns)]
            for name, found in summaries[0]["yardsticks"].items()
            if part in found
        ]
        for summary in summaries:
            paper = compare.paper_figures(summary, part)
            name = (summary["row"] or summary["experiment"], summary["experiment"])
            rows.append([name, *_figures(summary[part], paper, columns)])
        pieces.append(text(title, "h3"))
        pieces.append(
            table(
                ["%", *(METRIC_NAMES[metric] for _, metric in columns)],
                rows,
                above=[("", 1), *spans(columns)],
            )
        )
        if part == "test_live":
            pieces += _gains_of_averages(summaries, columns)
    if len(summaries[0]["test"]) == 1:
        return pieces
    rates = [
        (summary["experiment"], console.percent(violations(nan_for_none(summary))))
        for summary in summaries
    ]
    pieces.append(text("Violation rate", "h3"))
    pieces.append(table(["experiment", "decisions under an absent parent (%)"], rates))
    return pieces


def _gains_of_averages(
    summaries: Sequence[dict], columns: Sequence[tuple[str, str]]
) -> list[str]:
    """What the moving average adds to the live weights of the same runs."""
    rows = tables.average_rows(summaries, columns)
    words = (
        "In points, the average minus the live weights of the same runs, with 95 % t "
        "intervals where there are several."
    )
    names = [METRIC_NAMES[metric] for _, metric in columns]
    above = [("", 1), *spans(columns)]
    return [text(words), table(["average minus live", *names], rows, above=above)]


def columns_of(figures_of_part: Mapping[str, dict]) -> list[tuple[str, str]]:
    """The (level, metric) that tables show of a part of a summary, or of a run."""
    return [
        (level, metric)
        for level, found in figures_of_part.items()
        for metric in shown(found)
    ]


def spans(columns: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
    """Each level with its number of columns, for a header above them."""
    levels = [level for level, _ in columns]
    return [(level, levels.count(level)) for level in dict.fromkeys(levels)]


def _figures(
    levels: Mapping[str, dict],
    paper: Mapping[str, dict],
    columns: Sequence[tuple[str, str]],
) -> list[Cell]:
    """Mean and standard deviation of every level and metric, the paper's below."""
    cells: list[Cell] = []
    for level, metric in columns:
        figure = levels[level][metric]
        own = percent(figure["mean"])
        if figure["std"] is not None and not np.isnan(figure["std"]):
            own += f" ± {percent(figure['std'])}"
        theirs = paper.get(level, {}).get(metric)
        cells.append(own if theirs is None else (own, f"paper {theirs:.1f}"))
    return cells


def nan_for_none(content):
    """JSON's null back to the NaN it was written for."""
    if isinstance(content, Mapping):
        return {key: nan_for_none(value) for key, value in content.items()}
    if isinstance(content, list):
        return [nan_for_none(value) for value in content]
    return float("nan") if content is None else content


def violations(summary: dict) -> float:
    return float(np.mean([run["violation_rate"] for run in summary["runs"]]))
