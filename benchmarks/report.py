"""Results as a terminal and a file show them."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import meter
from .measuring import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .bars import Result
    from .measuring import Series

__all__ = (
    "Section",
    "bar_lines",
    "environment",
    "growth_curve",
    "lines",
    "measured",
    "number",
    "read",
    "write",
)

PACKAGES = (
    "Django",
    "djangorestframework",
    "adrf",
    "arq",
    "channels",
    "channels_redis",
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "orjson",
    "psycopg",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one benchmark has given so far."""

    name: str
    about: dict[str, Any]
    figures: Sequence[Figure]
    seconds: float = 0.0
    #: What there was no time for.
    cuts: Sequence[str] = ()
    #: Why there is not more of it.
    failure: str = ""

    def json(self) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            "environment": self.about,
            "seconds": round(self.seconds, 1),
            "cuts": list(self.cuts),
            "failure": self.failure,
            "figures": [figure.json() for figure in self.figures],
        }


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


def lines(figure: Figure, *, with_statements: bool = False) -> list[str]:
    """For the terminal."""
    width = max(len(series.label) for series in figure.series)
    better = f"{figure.unit}, {figure.better} is better"
    shown = [f"{figure.title} ({better})"]

    for series in figure.series:
        if figure.over:
            shown.append(f"  {series.label:<{width}} {growth_curve(series)}")
            continue

        low, high = series.spread
        ratio = figure.ratio(series)
        shown.append(
            f"  {series.label:<{width}} {number(series.median):>12}"
            f"   {number(low)} to {number(high)}"
            + ("" if ratio is None else f"   {ratio:.2f} x")
            + "".join(
                f"   {what} {number(cost)}"
                for what in meter.COSTS
                if (cost := series.cost(what)) is not None
            )
        )

        if with_statements and series.kind == "ours":
            shown += [f"    {statement}" for statement in series.statements]

    if "Left out: " in figure.note:
        shown.append(f"  Left out: {figure.note.partition('Left out: ')[2]}")

    return shown


def growth_curve(series: Series) -> str:
    return ", ".join(
        f"{size:,}: {number(value)}"
        for size, value in zip(series.at, series.values, strict=True)
    )


def bar_lines(results: Sequence[Result]) -> list[str]:
    width = max(len(result.bar.what) for result in results)
    known = [result for result in results if result.value is not None]

    return [
        f"Bars: {len(known)} of {len(results)} are measured with these sizes",
        *(
            f"  {result.bar.what:<{width}}  {measured(result):>14}"
            f"  {_verdict(result):<6}  {result.bar.asked}"
            for result in known
        ),
    ]


def measured(result: Result) -> str:
    if result.value is None:
        return ""

    # Two digits tell 1.04 from 1.06 and 0.79 from 0.81.
    value = f"{result.value:.2f}" if abs(result.value) < 10 else number(result.value)

    return f"{value} {result.bar.unit}".strip()


def _verdict(result: Result) -> str:
    return "met" if result.is_met else "MISSED"


def number(value: float) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2

    return f"{value:,.{digits}f}"


def write(folder: Path, section: Section) -> None:
    """One file for each benchmark, every value in it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(section.json(), indent=2, ensure_ascii=False)
    (folder / f"{section.name}.json").write_text(f"{text}\n", encoding="utf-8")


def read(folder: Path, order: Sequence[str]) -> list[Section]:
    """What was written there, of those that are named."""
    found = []

    for name in order:
        path = folder / f"{name}.json"

        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            found.append(
                Section(
                    name=name,
                    about=content["environment"],
                    figures=[Figure.from_json(one) for one in content["figures"]],
                    seconds=content.get("seconds", 0.0),
                    cuts=content.get("cuts", ()),
                    failure=content.get("failure", ""),
                )
            )

    return found
