"""Figures as SVG, one for light pages and one for dark ones."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .report import measured, number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from .bars import Result
    from .measuring import Figure, Kind

__all__ = ("draw", "draw_bars")


@dataclasses.dataclass(frozen=True, slots=True)
class Theme:
    suffix: str
    ink: str
    #: Lines that are not to be looked at.
    faint: str
    colours: dict[Kind, str]
    met: str
    missed: str


THEMES = (
    Theme(
        suffix="",
        ink="#1f2328",
        faint="#d1d9e0",
        colours={"floor": "#8c959f", "peer": "#bf8700", "ours": "#0969da"},
        met="#1a7f37",
        missed="#cf222e",
    ),
    Theme(
        suffix="-dark",
        ink="#e6edf3",
        faint="#30363d",
        colours={"floor": "#7d8590", "peer": "#d29922", "ours": "#4493f8"},
        met="#3fb950",
        missed="#f85149",
    ),
)
WIDTH = 8.0
SMALL = 8
MARKERS = "osD^v"
#: Of the width, what the values need that stand behind the longest.
ROOM = 1.16


def draw(figure: Figure, folder: Path) -> None:
    """`<name>.svg` and `<name>-dark.svg`: a bar for each median with its quartiles, or
    a line for each curve."""

    def of(theme: Theme) -> Drawing:
        return _curves(figure, theme) if figure.over else _bars(figure, theme)

    _save(figure.name, folder, of)


def draw_bars(results: Sequence[Result], folder: Path) -> None:
    """What is used of what each bar allows."""
    known = [result for result in results if result.value is not None]

    if known:
        _save("bars", folder, lambda theme: _used(known, theme))


def _save(name: str, folder: Path, drawing: Callable[[Theme], Drawing]) -> None:
    for theme in THEMES:
        # The same values give the same file; text stays text.
        with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
            drawing(theme).savefig(
                folder / f"{name}{theme.suffix}.svg",
                format="svg",
                metadata={"Date": None},
            )


def _empty(rows: float, title: str, theme: Theme) -> tuple[Drawing, Axes]:
    drawing = Drawing(figsize=(WIDTH, rows), layout="constrained")
    drawing.patch.set_alpha(0)
    axes = drawing.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_title(title, color=theme.ink, fontsize=10, loc="left")
    axes.tick_params(colors=theme.ink, labelsize=SMALL, which="both")

    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(theme.ink)

    return drawing, axes


def _bars(figure: Figure, theme: Theme) -> Drawing:
    series = list(reversed(figure.series))
    medians = [one.median for one in series]
    spreads = [one.spread for one in series]
    below = [max(0.0, m - low) for m, (low, _) in zip(medians, spreads, strict=True)]
    above = [max(0.0, high - m) for m, (_, high) in zip(medians, spreads, strict=True)]

    drawing, axes = _empty(0.9 + 0.3 * len(series), figure.title, theme)
    axes.barh(
        range(len(series)),
        medians,
        height=0.7,
        color=[theme.colours[one.kind] for one in series],
        xerr=[below, above],
        ecolor=theme.ink,
        error_kw={"elinewidth": 1, "capsize": 2},
    )
    axes.set_yticks(range(len(series)), [one.label for one in series])
    axes.tick_params(axis="y", length=0)
    ends = [high for _, high in spreads]

    for at, (median, end) in enumerate(zip(medians, ends, strict=True)):
        _write(axes, number(median), max(median, end, 0.0), at, theme)

    axes.set_xlim(min(0.0, *medians), max([*medians, *ends]) * ROOM or 1)
    axes.xaxis.set_major_formatter(FuncFormatter(_tick))
    _name_x(axes, f"{figure.unit}, {figure.better} is better", theme)

    return drawing


def _curves(figure: Figure, theme: Theme) -> Drawing:
    drawing, axes = _empty(4.2, figure.title, theme)
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = sorted({size for series in figure.series for size in series.at})

    for series, marker in zip(figure.series, MARKERS, strict=False):
        colour = theme.colours[series.kind]
        # Those of one kind are told apart by their marks.
        axes.plot(
            series.at,
            series.values,
            marker=marker,
            markersize=5,
            color=colour,
            label=series.label,
            linewidth=2 if series.kind == "ours" else 1.2,
        )

    axes.set_xticks(sizes, [_tick(size, 0) for size in sizes])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(_tick))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, color=theme.faint, linewidth=0.8)
    axes.set_axisbelow(True)
    _name_x(axes, figure.over, theme)
    axes.set_ylabel(figure.unit, color=theme.ink, fontsize=SMALL)
    legend = axes.legend(
        fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )

    for text in legend.get_texts():
        text.set_color(theme.ink)

    return drawing


#: Bars far below what they may be, or above it, are drawn this far.
LEAST_USED, MOST_USED = 0.1, 8.0


def _used(results: Sequence[Result], theme: Theme) -> Drawing:
    results = list(reversed(results))
    title = "What is used of what each bar allows: left of the line it is met"
    drawing, axes = _empty(1.0 + 0.24 * len(results), title, theme)
    axes.set_xscale("log")
    shown = [min(max(one.used, LEAST_USED), MOST_USED) for one in results]
    # On each side, what the text beside a dot needs.
    axes.set_xlim(min(0.5, *shown) / 1.7, max(1.5, *shown) * 1.7)
    axes.axvline(1.0, color=theme.ink, linewidth=1)

    for at, (result, used) in enumerate(zip(results, shown, strict=True)):
        colour = theme.met if result.is_met else theme.missed
        axes.hlines(at, min(used, 1.0), max(used, 1.0), color=colour, linewidth=2)
        axes.plot(used, at, marker="o", markersize=5, color=colour)

        # Beside the dot, away from the line.
        _write(axes, measured(result), used, at, theme, to_left=result.is_met)

    axes.set_yticks(range(len(results)), [result.bar.what for result in results])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.7, len(results) - 0.3)
    low, high = axes.get_xlim()
    ticks = [tick for tick in (0.1, 0.25, 0.5, 1, 2, 4, 8) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g} x" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
    _name_x(axes, "of what is allowed", theme)

    return drawing


def _write(
    axes: Axes, text: str, x: float, y: float, theme: Theme, *, to_left: bool = False
) -> None:
    axes.annotate(
        text,
        (x, y),
        xytext=(-6 if to_left else 5, 0),
        textcoords="offset points",
        ha="right" if to_left else "left",
        va="center",
        color=theme.ink,
        fontsize=SMALL,
    )


def _name_x(axes: Axes, text: str, theme: Theme) -> None:
    axes.set_xlabel(text, color=theme.ink, fontsize=SMALL)


def _tick(value: float, _: int) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:g}"
