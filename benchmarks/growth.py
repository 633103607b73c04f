"""How each headline grows with its size, from what the other sections have measured."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from .measuring import Figure, Series, exponent
from .meter import CPU

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .measuring import Kind

__all__ = ("HEADLINES", "Headline", "measure")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """A cost that was measured at several sizes: one figure for each size, whose name
    ends with it, or one series for each, whose label begins with it."""

    what: str
    #: Of the sizes.
    of: str
    #: The figure, with `{}` where the size stands.
    figure: str
    #: The series as a regular expression, with `{}` where the size stands.
    series: str
    #: Whether a value is that of one of them, not of all.
    is_each: bool = False
    #: A cost of the series instead of its values.
    cost: str | None = None


def _bulk(vendor: str, operation: str, series: str) -> Headline:
    database = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[vendor]

    return Headline(
        what=f"{operation} over HTTP, {database}",
        of="rows",
        figure=f"bulk-{vendor}-transactions-{operation}-{{}}",
        series=series,
    )


HEADLINES: Sequence[Headline] = (
    *(
        _bulk(vendor, operation, "ours, minimal")
        for vendor in ("postgresql", "sqlite")
        for operation in ("create", "upsert", "update")
    ),
    *(_bulk(vendor, "delete", "ours") for vendor in ("postgresql", "sqlite")),
    Headline(
        what="a job",
        of="rows",
        figure="jobs-{}",
        series="ours, from the request on",
    ),
    *(
        Headline(
            what=f"a stream whose parts are each {kind}",
            of="parts",
            figure="parts-streams",
            series=f"{{}} x {kind}",
        )
        for kind in ("a value that is there", "an async function", "a sync function")
    ),
    *(
        Headline(
            what=f"CPU of an event {on}, {layer}",
            of="sockets",
            figure=f"{name}-{{}}",
            series=layer,
            is_each=True,
        )
        for name, on in (("fan-out", "of a job"), ("fan-out-live", "of a live topic"))
        for layer in ("in memory", "channels-redis core", "channels-redis pubsub")
    ),
    Headline(
        what="CPU of a stream for each, when many ask at once",
        of="clients",
        figure="crowd-{}",
        series="ours, NDJSON",
        is_each=True,
        cost=CPU,
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Drawn over the sizes: who is, and what of them."""

    name: str
    title: str
    unit: str
    note: str
    figure: str
    series: Mapping[str, str]
    of: str
    is_each: bool = False


CURVES = (
    Curve(
        name="growth-jobs",
        title="A job, over its rows",
        unit="s",
        note="The figures of jobs, side by side.",
        figure="jobs-{}",
        series={"COPY": "COPY", "ours": "ours, from the request on"},
        of="rows",
    ),
    *(
        Curve(
            name=f"growth-bulk-{vendor}",
            title=f"{database}: create over HTTP, over its rows",
            unit="ms",
            note="The figures of bulk writes, side by side.",
            figure=f"bulk-{vendor}-transactions-create-{{}}",
            series={
                "bulk_create": "bulk_create, ready instances",
                "django-bulk-drf 0.2.91": "django-bulk-drf 0.2.91",
                "plain DRF": "plain DRF",
                "ours, minimal": "ours, minimal",
                "ours, full answer": "ours, full answer",
            },
            of="rows",
        )
        for vendor, database in (("postgresql", "PostgreSQL"), ("sqlite", "SQLite"))
    ),
    Curve(
        name="growth-memory",
        title="Memory that an upload takes, over its rows",
        unit="MiB",
        note="PostgreSQL, create over HTTP: the peak of the server's process less what "
        "it had before.",
        figure="bulk-memory",
        series={
            "ours, minimal": r"{} rows, .* MiB: ours, minimal",
            "ours, full answer": r"{} rows, .* MiB: ours, full answer",
        },
        of="rows",
    ),
    Curve(
        name="growth-fan-out",
        title="CPU of one event of a job, over the sockets that follow it",
        unit="ms",
        note="The figures of fan-out, times their sockets.",
        figure="fan-out-{}",
        series={
            "a loop over ASGI send": "a loop over ASGI send",
            "ours, in memory": "in memory",
            "ours, pubsub": "channels-redis pubsub",
        },
        of="sockets",
        is_each=True,
    ),
)


def measure(figures: Mapping[str, Figure]) -> list[Figure]:
    """What there is of it."""
    found = [(headline, _points(figures, headline)) for headline in HEADLINES]
    grown = [_exponents(headline, points) for headline, points in found]
    series = [one for one in grown if one is not None]
    curves = [_curve(figures, curve) for curve in CURVES]

    if not series:
        return []

    return [
        Figure(
            name="growth",
            title="How each cost grows with its size",
            unit="power of the size",
            goal="1, which is linear, at most",
            note="The power law that fits the medians best, for each round by itself: "
            "0 is a cost that does not grow, 1 one that grows as its size does.",
            series=series,
        ),
        *(curve for curve in curves if curve is not None),
    ]


Points = dict[int, Series]


def _points(figures: Mapping[str, Figure], headline: Headline) -> Points:
    points: Points = {}
    number = r"([\d,]+)"
    name = re.compile(re.escape(headline.figure).replace(r"\{\}", number))
    label = re.compile(headline.series.replace("{}", number))

    for figure in figures.values():
        if (of_name := name.fullmatch(figure.name)) is None:
            continue

        for series in figure.series:
            if of_label := label.fullmatch(series.label):
                (size,) = of_name.groups() or of_label.groups()
                points[int(size.replace(",", ""))] = series

    return dict(sorted(points.items()))


def _exponents(headline: Headline, points: Points) -> Series | None:
    if len(points) < 2:
        return None

    sizes = list(points)
    values = {size: _measured(headline, series) for size, series in points.items()}
    rounds = min(len(of_size) for of_size in values.values())

    if not rounds:
        return None

    return Series(
        label=f"{headline.what}: {sizes[0]:,} to {sizes[-1]:,} {headline.of}",
        kind="ours",
        values=[
            exponent(sizes, [_all(headline, s, values[s][at]) for s in sizes])
            for at in range(rounds)
        ],
    )


def _measured(headline: Headline, series: Series) -> Sequence[float]:
    return series.costs.get(headline.cost, ()) if headline.cost else series.values


def _all(headline: Headline | Curve, size: int, value: float) -> float:
    return value * size if headline.is_each else value


def _curve(figures: Mapping[str, Figure], curve: Curve) -> Figure | None:
    series: list[Series] = []
    sizes: list[int] = []

    for label, of in curve.series.items():
        headline = Headline(what="", of="", figure=curve.figure, series=of)
        points = _points(figures, headline)
        known = {size: _value(curve, size, one) for size, one in points.items()}

        if len(known) > 1:
            sizes = sorted({*sizes, *known})
            kind: Kind = next(iter(points.values())).kind
            series.append(
                Series(label=label, kind=kind, values=list(known.values()), at=[*known])
            )

    if not any(one.kind == "ours" for one in series):
        return None

    return Figure(
        name=curve.name,
        title=curve.title,
        unit=curve.unit,
        note=curve.note,
        series=series,
        over=curve.of,
    )


def _value(curve: Curve, size: int, series: Series) -> float:
    # Microseconds of each, milliseconds of all.
    per = 1e-3 if curve.is_each else 1.0

    return _all(curve, size, series.median) * per
