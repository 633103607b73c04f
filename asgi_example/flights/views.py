"""Four collections that take any number of rows, and a dashboard in parts."""

from __future__ import annotations

import functools
from datetime import datetime  # noqa: TC003 - for whoever reads the hints
from typing import TYPE_CHECKING, Any, TypedDict

from django.db.models import Count, F, Q, Sum
from rest_framework.viewsets import ModelViewSet

from django_partstream import ProgressiveView, lazy, topics_for
from django_partstream.errors import PartstreamError
from django_partstream.mixins import BulkOperationsMixin

from .models import Airline, Airport, Flight, Plane
from .serializers import (
    AirlineSerializer,
    AirportSerializer,
    FlightSerializer,
    PlaneSerializer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Minutes; the authorities count a departure as late from here on.
LATE = 15
TOP = 10


class FlightViewSet(BulkOperationsMixin, ModelViewSet[Flight]):
    queryset = Flight.objects.order_by("time_hour", "carrier_id", "flight")
    serializer_class = FlightSerializer
    csv_null_values = ("NA",)


class AirlineViewSet(BulkOperationsMixin, ModelViewSet[Airline]):
    queryset = Airline.objects.order_by("carrier")
    serializer_class = AirlineSerializer
    csv_null_values = ("NA",)


class AirportViewSet(BulkOperationsMixin, ModelViewSet[Airport]):
    queryset = Airport.objects.order_by("faa")
    serializer_class = AirportSerializer
    csv_null_values = ("NA",)


class PlaneViewSet(BulkOperationsMixin, ModelViewSet[Plane]):
    queryset = Plane.objects.order_by("tailnum")
    serializer_class = PlaneSerializer
    csv_null_values = ("NA",)


class Overview(TypedDict):
    flights: int
    airlines: int
    airports: int
    planes: int
    first_hour: datetime | None
    last_hour: datetime | None


class BrokenError(PartstreamError):
    """This part was asked to break."""


class DashboardView(ProgressiveView):
    """A year of departures at a glance: one part for each picture. Every picture reads
    all flights, so each takes its time. A live stream sends them again when flights
    were written."""

    def get_parts(self) -> Sequence[tuple[str, Any]]:
        everything = topics_for(Flight, Airline, Airport, Plane)
        flights = topics_for(Flight)
        return [
            ("overview", lazy(self.overview, topics=everything)),
            *(
                (part.__name__, lazy(self.unless_broken(part), topics=flights))
                for part in (
                    self.busiest_routes,
                    self.delays_by_carrier,
                    self.delays_by_hour,
                    self.monthly,
                    self.slowest_aircraft,
                )
            ),
        ]

    def unless_broken(self, part: Callable[[], Any]) -> Callable[[], Any]:
        """To show a part that fails: `?broken=monthly`, until it is asked for alone."""
        query = self.request.query_params
        broken = query.get("broken") == part.__name__ and "parts" not in query

        @functools.wraps(part)
        def made() -> Any:
            if broken:
                raise BrokenError

            return part()

        return made

    def overview(self) -> Overview:
        hours = Flight.objects.order_by("time_hour").values_list("time_hour", flat=True)
        return {
            "flights": Flight.objects.count(),
            "airlines": Airline.objects.count(),
            "airports": Airport.objects.count(),
            "planes": Plane.objects.count(),
            "first_hour": hours.first(),
            "last_hour": hours.last(),
        }

    # Sums and counts, not Avg: databases do not agree on the last digits of that.

    def busiest_routes(self) -> list[dict[str, Any]]:
        routes = (
            Flight.objects.values("origin", "dest")
            .annotate(
                flights=Count("pk"), delay=Sum("dep_delay"), left=Count("dep_delay")
            )
            .order_by("-flights", "origin", "dest")[:TOP]
        )
        names = dict(Airport.objects.values_list("faa", "name"))
        return [
            {
                "origin": route["origin"],
                "dest": route["dest"],
                "dest_name": names[route["dest"]],
                "flights": route["flights"],
                "average_delay": _average(route["delay"], route["left"]),
            }
            for route in routes
        ]

    def delays_by_carrier(self) -> list[dict[str, Any]]:
        carriers = (
            Flight.objects.values("carrier", name=F("carrier__name"))
            .annotate(
                flights=Count("pk"),
                late=Count("pk", filter=Q(dep_delay__gte=LATE)),
                delay=Sum("dep_delay"),
                left=Count("dep_delay"),
            )
            .order_by("carrier")
        )
        return [
            {
                "carrier": carrier["carrier"],
                "name": carrier["name"],
                "flights": carrier["flights"],
                "late": carrier["late"],
                "average_delay": _average(carrier["delay"], carrier["left"]),
            }
            for carrier in carriers
        ]

    def delays_by_hour(self) -> list[dict[str, Any]]:
        hours = (
            Flight.objects.values("hour")
            .annotate(
                flights=Count("pk"), delay=Sum("dep_delay"), left=Count("dep_delay")
            )
            .order_by("hour")
        )
        return [
            {
                "hour": hour["hour"],
                "flights": hour["flights"],
                "average_delay": _average(hour["delay"], hour["left"]),
            }
            for hour in hours
        ]

    def monthly(self) -> list[dict[str, Any]]:
        months = (
            Flight.objects.values("year", "month")
            .annotate(
                flights=Count("pk"),
                cancelled=Count("pk", filter=Q(dep_time=None)),
                delay=Sum("dep_delay"),
                left=Count("dep_delay"),
            )
            .order_by("year", "month")
        )
        return [
            {
                "year": month["year"],
                "month": month["month"],
                "flights": month["flights"],
                "cancelled": month["cancelled"],
                "average_delay": _average(month["delay"], month["left"]),
            }
            for month in months
        ]

    def slowest_aircraft(self) -> list[dict[str, Any]]:
        slowest = list(
            Flight.objects.exclude(tailnum=None)
            .exclude(dep_delay=None)
            .values("tailnum")
            .annotate(flights=Count("pk"), delay=Sum("dep_delay"))
            .order_by("-delay", "tailnum")[:TOP]
        )
        details = Plane.objects.filter(
            tailnum__in=[aircraft["tailnum"] for aircraft in slowest]
        ).values("tailnum", "manufacturer", "model", "year")
        planes: dict[str | None, Any] = {plane["tailnum"]: plane for plane in details}
        return [
            {
                "tailnum": aircraft["tailnum"],
                "manufacturer": None,
                "model": None,
                "year": None,
                **planes.get(aircraft["tailnum"], {}),
                "flights": aircraft["flights"],
                "delay_minutes": aircraft["delay"],
                "average_delay": _average(aircraft["delay"], aircraft["flights"]),
            }
            for aircraft in slowest
        ]


def _average(total: int | None, count: int) -> float | None:
    return None if total is None else round(total / count, 1)
