"""What we measure ourselves by: each bar of the design, and what came of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from .meter import LEFT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .measuring import Figure, Series

__all__ = ("BARS", "Bar", "Result", "judge", "value")

How = Literal["ratio", "more", "value"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A value of a figure, and what it may be at most (or at least)."""

    what: str
    asked: str
    figure: str
    #: The series; None is the worst of ours.
    series: str | None = None
    #: How the value is meant: as many times another series, so much more than it, or
    #: as it is.
    how: How = "value"
    #: That other series; None is the figure's first floor.
    over: str | None = None
    limit: float
    unit: str = "x"
    better: Literal["lower", "higher"] = "lower"
    #: Of the series, a cost instead of its values.
    cost: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """`value` is None where the bar was not measured."""

    bar: Bar
    value: float | None

    @property
    def is_met(self) -> bool:
        return self.value is not None and self.used <= 1

    @property
    def used(self) -> float:
        """How much of what is allowed is used: above 1 the bar is missed."""
        assert self.value is not None  # asked of what was measured

        if self.bar.better == "higher":
            return self.bar.limit / self.value

        return self.value / self.bar.limit if self.bar.limit else 1.0 + self.value


VENDORS = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


def _bulk() -> Iterator[Bar]:
    for vendor, database in VENDORS.items():
        figure = f"bulk-{vendor}-transactions-{{}}-10000"

        for operation in ("create", "upsert"):
            yield Bar(
                what=f"{database}: {operation} 10,000 rows over HTTP, validated",
                asked="0.8 x `bulk_create` of ready instances",
                figure=figure.format(operation),
                series="ours, minimal",
                how="ratio",
                limit=0.8,
            )
            yield Bar(
                what=f"{database}: {operation} 10,000 rows, with the full answer",
                asked="1.1 x `bulk_create`",
                figure=figure.format(operation),
                series="ours, full answer",
                how="ratio",
                limit=1.1,
            )

        yield Bar(
            what=f"{database}: update 10,000 rows by id",
            asked="0.8 x `bulk_create(update_conflicts)`",
            figure=figure.format("update"),
            series="ours, minimal",
            how="ratio",
            limit=0.8,
        )
        yield Bar(
            what=f"{database}: delete 10,000 rows by id",
            asked="1.2 x `filter(pk__in=…).delete()`",
            figure=figure.format("delete"),
            series="ours",
            how="ratio",
            limit=1.2,
        )
        yield Bar(
            what=f"{database}: POST of one row",
            asked="1.05 x plain DRF",
            figure=f"bulk-{vendor}-one-row",
            series="ours",
            how="ratio",
            over="plain DRF",
            limit=1.05,
        )
        yield Bar(
            what=f"{database}: validation alone",
            asked="60 x the rows a second of DRF's `many=True`, at least",
            figure=f"bulk-{vendor}-validation",
            series="ours",
            how="ratio",
            over="DRF, many=True",
            limit=60,
            better="higher",
        )
        yield Bar(
            what=f"{database}: a tenth of 10,000 rows is bad",
            asked="2 x a clean batch",
            figure=f"bulk-{vendor}-bad-rows",
            series="ours, 10 % bad",
            how="ratio",
            over="ours, 0 % bad",
            limit=2,
        )


def _jobs() -> Iterator[Bar]:
    for rows in (336_776, 1_000_000):
        yield Bar(
            what=f"CSV job of {rows:,} rows, validated, exactly once",
            asked="1.5 x COPY of the file",
            figure=f"jobs-{rows}",
            series="ours, from the request on",
            how="ratio",
            limit=1.5,
        )

    yield Bar(
        what="memory that a job of any size takes, worker or server",
        asked="64 MiB beside what was there",
        figure="jobs-memory",
        limit=64,
        unit="MiB",
    )
    yield Bar(
        what="a worker dies by `kill -9`: until another goes on",
        asked="30 s, a lease and a sweep",
        figure="jobs-rescue",
        limit=30,
        unit="s",
    )

    for vendor, database in VENDORS.items():
        for series, what, limit in (
            ("p99 during the job", "p99 of other requests", 250),
            ("loop late, p99", "p99 of the loop's lag", 50),
        ):
            yield Bar(
                what=f"{database}, an embedded job: {what}",
                asked=f"{limit} ms",
                figure=f"jobs-latency-{vendor}",
                series=series,
                limit=limit,
                unit="ms",
            )


def _streams() -> Iterator[Bar]:
    for transport in ("NDJSON", "SSE", "WebSocket"):
        yield Bar(
            what=f"six sync parts of 0.2 s, {transport}: first byte",
            asked="5 ms",
            figure="six-sync-parts-first",
            series=f"ours, {transport}",
            limit=5,
            unit="ms",
        )
        yield Bar(
            what=f"six sync parts of 0.2 s, {transport}: all of them",
            asked="260 ms",
            figure="six-sync-parts",
            series=f"ours, {transport}",
            limit=260,
            unit="ms",
        )

    yield Bar(
        what="connections that six sync parts leave open",
        asked="0",
        figure="six-sync-parts",
        limit=0,
        unit="",
        cost=LEFT,
    )
    yield Bar(
        what="first frame of a stream",
        asked="1.5 ms more than bare ASGI",
        figure="first-frame",
        series="ours, NDJSON",
        how="more",
        limit=1.5,
        unit="ms",
    )
    yield Bar(
        what="streamed items",
        asked="1.5 x the encoder alone",
        figure="items",
        series="ours, an async generator",
        how="ratio",
        limit=1.5,
    )
    yield Bar(
        what="streamed items against one send for each",
        asked="10 x as many a second, at least",
        figure="items",
        series="ours, an async generator",
        how="ratio",
        over="bare ASGI, one send per item",
        limit=10,
        better="higher",
    )

    for layer in ("in memory", "channels-redis core", "channels-redis pubsub"):
        yield Bar(
            what=f"1,000 sockets on one job, {layer}",
            asked="1.5 x the CPU of a loop over ASGI `send`",
            figure="fan-out-1000",
            series=layer,
            how="ratio",
            limit=1.5,
        )

    yield Bar(
        what="an idle stream",
        asked="30 KiB",
        figure="idle",
        series="ours, NDJSON",
        limit=30,
        unit="KiB",
    )


def _growth() -> Iterator[Bar]:
    yield Bar(
        what="growth of each cost with its size, the worst",
        asked="the 1st power, which is linear (1.1, as it is measured)",
        figure="growth",
        limit=1.1,
        unit="",
    )


BARS: Sequence[Bar] = (*_bulk(), *_jobs(), *_streams(), *_growth())


def judge(figures: Mapping[str, Figure]) -> list[Result]:
    """All bars, by the figures that there are."""
    return [Result(bar, value(bar, figures.get(bar.figure))) for bar in BARS]


def value(bar: Bar, figure: Figure | None) -> float | None:
    """What the figure says of it; None where it does not."""
    if figure is None:
        return None

    if bar.series is None:
        values = [_of(bar, one) for one in figure.series if one.kind == "ours"]
        known = [one for one in values if one is not None]

        return max(known) if known else None

    series, over = figure.find(bar.series), _other(bar, figure)

    if series is None or (found := _of(bar, series)) is None:
        return None

    if bar.how == "value":
        return found

    if over is None:
        return None

    if bar.how == "more":
        return found - over.median

    # Of rates, less is worse where less is better.
    if figure.better == "higher" and bar.better == "lower":
        return over.median / found

    return found / over.median


def _of(bar: Bar, series: Series) -> float | None:
    return series.median if bar.cost is None else series.cost(bar.cost)


def _other(bar: Bar, figure: Figure) -> Series | None:
    if bar.over is not None:
        return figure.find(bar.over)

    return next((one for one in figure.series if one.kind == "floor"), None)
