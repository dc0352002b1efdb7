"""Summaries as tables of text: figures, the paper's beside them, and differences."""

from collections.abc import Mapping, Sequence

from tfhier import compare, console

# How the tables of the two kinds of test labels are headed.
PARTS = {
    "test": "test, observed labels (%)",
    "test_truth": "test, full truth (%)",
    "test_live": "test, without the EMA (%)",
}


def show(summaries: Sequence[dict]) -> None:
    """Print figures, and differences to the baseline if it is there, a table a part."""
    by_name = {summary["experiment"]: summary for summary in summaries}
    reference = by_name.get(summaries[0]["baseline"])
    for part in PARTS:
        if not all(part in summary for summary in summaries):
            continue
        print(f"\n{result_table(summaries, part)}")
        has_paper = any(compare.paper_figures(s, part) for s in summaries)
        is_theirs = summaries[0]["data"]["kind"] == "published"
        if has_paper and not is_theirs:
            print("(paper: on its own data, not to be compared with these)")
        if part == "test_live":
            print(f"\n{average_table(summaries)}")
        if reference is not None and len(summaries) > 1:
            print(f"\n{difference_table(summaries, reference, part)}")
    if all("conditions" in summary for summary in summaries):
        print(f"\n{condition_table(summaries)}")


def result_table(summaries: Sequence[dict], part: str = "test") -> str:
    """Return yardsticks and experiments as aligned text, the paper's figures beside.

    Args:
        summaries: The experiments' summaries.
        part: "test" (observed labels), "test_truth" (full truth, where it is known) or
            "test_live" (live weights, beside an EMA).
    """
    columns = _columns(summaries[0][part])
    yardsticks = {
        name: found[part]
        for name, found in summaries[0]["yardsticks"].items()
        if part in found
    }
    own = {summary["experiment"]: summary[part] for summary in summaries}
    header = [PARTS[part], *(f"{level} {_NAMES[m]}" for level, m in columns)]
    rows = [
        [name, *(console.percent_with_std(found[lv][m]) for lv, m in columns)]
        for name, found in {**yardsticks, **own}.items()
    ]
    papers = {s["experiment"]: compare.paper_figures(s, part) for s in summaries}
    named = [
        (level, metric)
        for level, metric in columns
        if any(metric in paper.get(level, ()) for paper in papers.values())
    ]
    header += [f"paper {level} {_NAMES[metric]}" for level, metric in named]
    for row in rows:
        paper = papers.get(row[0])
        for level, metric in named:
            if paper is None:
                row.append("")
            else:
                figure = paper.get(level, {}).get(metric)
                row.append("-" if figure is None else f"{figure:.1f}")
    return console.table(header, rows)


# Short names of the figures that the console shows.
_NAMES = {"mAP": "mAP", "uar": "UAR", "parent_error": "parent error"}


def _columns(figures: Mapping[str, Mapping]) -> list[tuple[str, str]]:
    """Return the (level, metric) that the console shows of a part of a summary."""
    return [
        (level, metric)
        for level, found in figures.items()
        for metric in _NAMES
        if metric in found
    ]


def condition_table(summaries: Sequence[dict]) -> str:
    """Return the finest level's figures of each condition, the paper's beside them."""
    conditions = summaries[0]["conditions"]
    level = next(iter(summaries[0]["test"]))
    header, columns = [f"test, {level} (%)"], []
    for name in conditions:
        for metric in ("mAP", "uar"):
            if metric not in conditions[name][level]:
                continue
            cells = [
                console.percent_with_std(s["conditions"][name][level][metric])
                for s in summaries
            ]
            header.append(f"{name} {_NAMES[metric]}")
            columns.append(cells)
            papers = [
                compare.paper_figures(s, "test", name).get(level, {}).get(metric)
                for s in summaries
            ]
            if any(papers):
                header.append(f"paper {name} {_NAMES[metric]}")
                columns.append(["-" if p is None else f"{p:.1f}" for p in papers])
    names = [summary["experiment"] for summary in summaries]
    return console.table(header, list(zip(names, *columns, strict=True)))


def average_table(summaries: Sequence[dict]) -> str:
    """Return what the EMA adds to the live weights of the same runs, in points."""
    columns = _columns(summaries[0]["test_live"])
    rows = average_rows(summaries, columns)
    header = [f"{level} {_NAMES[metric]}" for level, metric in columns]
    return console.table(["EMA minus live weights", *header], rows)


def average_rows(
    summaries: Sequence[dict], columns: Sequence[tuple[str, str]]
) -> list[list[str]]:
    """Return the rows of such a table: experiment, then a difference a column."""
    rows = []
    for summary in summaries:
        gain = compare.paired_differences(
            summary, summary, part="test", baseline_part="test_live"
        )
        cells = [console.interval(gain[level][metric]) for level, metric in columns]
        rows.append([summary["experiment"], *cells])
    return rows


def difference_table(
    summaries: Sequence[dict], reference: dict, part: str = "test"
) -> str:
    """Return paired differences to the baseline in points, with 95 % intervals."""
    columns = [
        (level, metric)
        for level, found in reference[part].items()
        for metric in (_NAMES if "uar" in found else ("mAP", "f1"))
        if metric in found
    ]
    header = [
        f"minus {reference['experiment']}",
        *(f"{level} {_NAMES.get(metric, metric)}" for level, metric in columns),
    ]
    rows = []
    for summary in summaries:
        if summary["experiment"] == reference["experiment"]:
            continue
        found = compare.paired_differences(summary, reference, part=part)
        if not found:
            continue  # no seed in common
        rows.append(
            [
                summary["experiment"],
                *(console.interval(found[level][metric]) for level, metric in columns),
            ]
        )
    return console.table(header, rows)
