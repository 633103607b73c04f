"""The part of the README that `make bench` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import meter
from .report import measured, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .bars import Result
    from .measuring import Figure, Series
    from .report import Section

__all__ = ("BEGIN", "END", "HEADLINES", "write")

BEGIN = "<!-- results: written by `make bench` -->\n"
END = "<!-- end of results -->\n"
#: Shown before everything else, beside the bars.
HEADLINES = (
    "bulk-postgresql-transactions-create-10000",
    "growth-jobs",
    "six-sync-parts",
)
#: What the bars of these figures and series say, in words.
SENTENCES = {
    ("bulk-postgresql-transactions-create-10000", "ours, minimal"): (
        "Creating 10,000 rows over HTTP with all of DRF's validation takes {} the time "
        "of `bulk_create` with ready instances and neither."
    ),
    ("jobs-1000000", "ours, from the request on"): (
        "A CSV file of a million rows is a job of {} the time of COPY, validated and "
        "exactly once."
    ),
    ("six-sync-parts-first", "ours, NDJSON"): (
        "Of six sync parts of 0.2 s the first byte comes after {},"
    ),
    ("six-sync-parts", "ours, NDJSON"): "the last after {}.",
    ("fan-out-1000", "in memory"): (
        "An event that 1,000 sockets follow costs {} the CPU of a loop over `send`."
    ),
}


def write(
    page: Path,
    folder: str,
    sections: Sequence[Section],
    results: Sequence[Result],
    titles: Mapping[str, str],
) -> None:
    """Put them between the marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    body = [
        *_beginning(folder, sections, results, titles),
        *(line for one in sections for line in _section(one, folder, titles)),
    ]
    content = "\n".join(body)
    page.write_text(f"{before}{BEGIN}\n{content}{END}{after}", encoding="utf-8")


def _beginning(
    folder: str,
    sections: Sequence[Section],
    results: Sequence[Result],
    titles: Mapping[str, str],
) -> list[str]:
    known = [result for result in results if result.value is not None]
    missed = [result for result in known if not result.is_met]
    unknown = [result for result in results if result.value is None]
    shown = {figure.name: figure for one in sections for figure in one.figures}
    told = [f"Of {len(results)} bars {len(known) - len(missed)} are met"]

    if missed:
        told.append(f"{len(missed)} are missed")

    if unknown:
        told.append(f"{len(unknown)} were not measured")

    text = (
        f"{_headline(results)}{', '.join(told)}; each is the median of its rounds, in "
        "this run."
    )

    for section in sections:
        if section.failure:
            text += f" «{titles[section.name]}» failed: {section.failure}."

    lines = [
        "## Bars",
        "",
        text,
        "",
        "| | at most | measured | |",
        "|---|---|--:|---|",
        *(_bar(result) for result in results),
        "",
    ]

    if known:
        lines += _picture("bars", "What is used of what each bar allows", folder)

    for name in HEADLINES:
        if name in shown:
            lines += _picture(name, shown[name].title, folder)

    return lines


def _headline(results: Sequence[Result]) -> str:
    """What the first of the known bars say; none of them, none of it."""
    known = {
        (result.bar.figure, result.bar.series): measured(result)
        for result in results
        if result.value is not None
    }

    return "".join(
        f"{sentence.format(known[bar])} "
        for bar, sentence in SENTENCES.items()
        if bar in known
    )


def _bar(result: Result) -> str:
    verdict = "not measured" if result.value is None else "met"

    if result.value is not None and not result.is_met:
        verdict = "**missed**"

    return (
        f"| {result.bar.what} | {result.bar.asked} | {measured(result)} | {verdict} |"
    )


def _section(section: Section, folder: str, titles: Mapping[str, str]) -> list[str]:
    about = section.about
    versions = ", ".join(
        f"{name} {version}" for name, version in about["versions"].items()
    )
    lines = [f"## {titles[section.name]}", ""]

    for figure in section.figures:
        lines += _figure(figure, folder)

    if section.failure:
        lines += [f"**There is not more of it:** {section.failure}.", ""]

    if section.cuts:
        lines += [f"Cut to stay in time: {'; '.join(section.cuts)}.", ""]

    told = (
        f"*{about['date']}, {section.seconds:.0f} s on {about['cores']} cores of "
        f"{about['processor']}, load {about['load_before']:.1f} before; Python "
        f"{about['python']}, {versions}.*"
    )

    return [*lines, told, ""]


def _figure(figure: Figure, folder: str) -> list[str]:
    goal = f" Goal: {figure.goal}." if figure.goal else ""

    return [
        f"### {figure.title}",
        "",
        f"{figure.note}{goal}",
        "",
        *(_curves(figure) if figure.over else _values(figure)),
        "",
        *_picture(figure.name, figure.title, folder),
    ]


def _values(figure: Figure) -> list[str]:
    costs = [
        what
        for what in meter.COSTS
        if any(series.cost(what) is not None for series in figure.series)
    ]
    # There is no column of nothing.
    has_floor = any(figure.ratio(series) is not None for series in figure.series)
    heads = [
        "",
        f"{figure.unit}, median",
        "quartiles",
        *(["to the floor"] if has_floor else []),
        *costs,
    ]
    rows = [
        [
            _label(series),
            number(series.median),
            " to ".join(number(value) for value in series.spread),
            *([_ratio(figure.ratio(series))] if has_floor else []),
            *(_cost(series.cost(what)) for what in costs),
        ]
        for series in figure.series
    ]

    return _table(heads, rows)


def _curves(figure: Figure) -> list[str]:
    sizes = sorted({size for series in figure.series for size in series.at})
    rows = []

    for series in figure.series:
        values = dict(zip(series.at, series.values, strict=True))
        rows.append([_label(series), *(_cost(values.get(size)) for size in sizes)])

    heads = [
        f"{figure.unit}, medians",
        *(f"{size:,} {figure.over}" for size in sizes),
    ]

    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|---|{'--:|' * (len(heads) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _cost(value: float | None) -> str:
    return "" if value is None else number(value)


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f} x"


def _label(series: Series) -> str:
    return f"**{series.label}**" if series.kind == "ours" else series.label


def _picture(name: str, title: str, folder: str) -> list[str]:
    dark = f'media="(prefers-color-scheme: dark)" srcset="{folder}/{name}-dark.svg"'

    return [
        "<picture>",
        f"<source {dark}>",
        f'<img alt="{title}" src="{folder}/{name}.svg">',
        "</picture>",
        "",
    ]
