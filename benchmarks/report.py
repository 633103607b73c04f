"""Results as a terminal, a file and a page show them."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .measuring import Figure

__all__ = ("environment", "lines", "write_page", "write_results")

BEGIN = "<!-- results: written by `make bench` -->\n"
END = "<!-- end of results -->\n"
PACKAGES = (
    "Django",
    "djangorestframework",
    "adrf",
    "channels",
    "channels_redis",
    "starlette",
    "uvicorn",
    "uvloop",
    "orjson",
    "psycopg",
)


def environment() -> dict[str, Any]:
    """What the numbers depend on, and who they do not name."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()

    names = [line for line in text.splitlines() if line.startswith("model name")]

    return names[0].partition(":")[2].strip() if names else platform.machine()


def lines(figure: Figure) -> list[str]:
    """For the terminal."""
    width = max(len(series.label) for series in figure.series)
    shown = [f"{figure.title} ({figure.unit}, {figure.better} is better)"]

    for series in figure.series:
        low, high = series.spread
        ratio = figure.ratio(series)
        shown.append(
            f"  {series.label:<{width}} {number(series.median):>12}"
            f"   {number(low)} to {number(high)}"
            + ("" if ratio is None else f"   {ratio:.2f} x")
        )

    return shown


def number(value: float) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2

    return f"{value:,.{digits}f}"


def write_results(
    folder: Path, name: str, figures: Sequence[Figure], about: dict[str, Any]
) -> None:
    """One file for each benchmark, every value in it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "benchmark": name,
        "environment": about,
        "figures": [figure.json() for figure in figures],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def write_page(page: Path, folder: Path, order: Sequence[str]) -> None:
    """Put what `folder` holds between the marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    results = [
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in order
        if (folder / f"{name}.json").exists()
    ]
    body = "".join(_section(result, folder.name) for result in results)
    page.write_text(f"{before}{BEGIN}{body}{END}{after}", encoding="utf-8")


def _section(result: dict[str, Any], folder: str) -> str:
    about = result["environment"]
    versions = ", ".join(
        f"{name} {version}" for name, version in about["versions"].items()
    )
    parts = [_figure(figure, folder) for figure in result["figures"]]
    parts.append(
        f"*{about['date']}, {about['cores']} cores of {about['processor']}, load "
        f"{about['load_before']:.1f} before; Python {about['python']}, {versions}.*\n"
    )

    return "\n".join(["", *parts, ""])


def _figure(figure: dict[str, Any], folder: str) -> str:
    floor = next(
        (one["median"] for one in figure["series"] if one["kind"] == "floor"), None
    )
    rows = [
        f"| {_label(one)} | {number(one['median'])} "
        f"| {number(one['quartiles'][0])} to {number(one['quartiles'][1])} "
        f"| {_ratio(one['median'], floor, figure['better'])} |"
        for one in figure["series"]
    ]
    goal = f" Goal: {figure['goal']}." if figure["goal"] else ""
    name = figure["name"]

    return "\n".join(
        [
            f"### {figure['title']}",
            "",
            f"{figure['note']}{goal}",
            "",
            f"| | {figure['unit']}, median | quartiles | to the floor |",
            "|---|--:|--:|--:|",
            *rows,
            "",
            "<picture>",
            _source(f"{folder}/{name}-dark.svg"),
            f'<img alt="{figure["title"]}" src="{folder}/{name}.svg">',
            "</picture>",
            "",
        ]
    )


def _source(path: str) -> str:
    return f'<source media="(prefers-color-scheme: dark)" srcset="{path}">'


def _label(series: dict[str, Any]) -> str:
    label = series["label"]

    return f"**{label}**" if series["kind"] == "ours" else str(label)


def _ratio(median: float, floor: float | None, better: str) -> str:
    if not floor or not median:
        return ""

    return f"{floor / median if better == 'higher' else median / floor:.2f} x"
