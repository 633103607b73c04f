"""Figures as SVG, one for light pages and one for dark ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure as Drawing

from .report import number

if TYPE_CHECKING:
    from pathlib import Path

    from .measuring import Figure

__all__ = ("draw",)

#: Text, then the bars of floors, peers and ours.
THEMES = {
    "": ("#1f2328", {"floor": "#8c959f", "peer": "#bf8700", "ours": "#0969da"}),
    "-dark": ("#e6edf3", {"floor": "#6e7681", "peer": "#d29922", "ours": "#4493f8"}),
}


def draw(figure: Figure, folder: Path) -> None:
    """`<name>.svg` and `<name>-dark.svg`: a bar for each median, its quartiles."""
    for suffix, (ink, colours) in THEMES.items():
        path = folder / f"{figure.name}{suffix}.svg"

        # The same values give the same file; text stays text.
        with mpl.rc_context({"svg.hashsalt": figure.name, "svg.fonttype": "none"}):
            drawing = _drawing(figure, ink, colours)
            drawing.savefig(path, format="svg", metadata={"Date": None})


def _drawing(figure: Figure, ink: str, colours: dict[str, str]) -> Drawing:
    series = list(reversed(figure.series))
    medians = [one.median for one in series]
    spreads = [one.spread for one in series]
    below = [max(0.0, m - low) for m, (low, _) in zip(medians, spreads, strict=True)]
    above = [max(0.0, high - m) for m, (_, high) in zip(medians, spreads, strict=True)]

    drawing = Drawing(figsize=(7.6, 0.9 + 0.36 * len(series)), layout="constrained")
    drawing.patch.set_alpha(0)
    axes = drawing.add_subplot()
    axes.patch.set_alpha(0)
    axes.barh(
        [one.label for one in series],
        medians,
        color=[colours[one.kind] for one in series],
        xerr=[below, above],
        ecolor=ink,
        error_kw={"elinewidth": 1, "capsize": 2},
    )
    ends = [high for _, high in spreads]

    for at, (median, end) in enumerate(zip(medians, ends, strict=True)):
        axes.annotate(
            number(median),
            (max(median, end), at),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=ink,
            fontsize=8,
        )

    axes.set_xlim(0, max([*medians, *ends]) * 1.14 or 1)
    axes.set_title(figure.title, color=ink, fontsize=10, loc="left")
    axes.set_xlabel(f"{figure.unit}, {figure.better} is better", color=ink, fontsize=8)
    axes.tick_params(colors=ink, labelsize=8)

    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(ink)

    return drawing
