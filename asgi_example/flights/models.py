"""The flights that left New York City in 2013, and what they refer to.

The columns are those of the published files. `NA` there is NULL here: a value that
is not known is not an empty text, hence nullable text columns.
"""

from __future__ import annotations

from django.db import models


class Airline(models.Model):
    carrier = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=60)

    def __str__(self) -> str:
        return self.name


class Airport(models.Model):
    faa = models.CharField(max_length=3, primary_key=True)
    name = models.CharField(max_length=80)
    lat = models.FloatField()
    lon = models.FloatField()
    alt = models.IntegerField()
    tz = models.FloatField()
    dst = models.CharField(max_length=1)
    tzone = models.CharField(max_length=40, null=True, blank=True)  # noqa: DJ001

    def __str__(self) -> str:
        return self.name


class Plane(models.Model):
    tailnum = models.CharField(max_length=6, primary_key=True)
    year = models.SmallIntegerField(null=True, blank=True)
    type = models.CharField(max_length=40, null=True, blank=True)  # noqa: DJ001
    manufacturer = models.CharField(max_length=40, null=True, blank=True)  # noqa: DJ001
    model = models.CharField(max_length=40, null=True, blank=True)  # noqa: DJ001
    engines = models.SmallIntegerField(null=True, blank=True)
    seats = models.SmallIntegerField(null=True, blank=True)
    speed = models.SmallIntegerField(null=True, blank=True)
    engine = models.CharField(max_length=20, null=True, blank=True)  # noqa: DJ001

    def __str__(self) -> str:
        return self.tailnum


class Flight(models.Model):
    """One departure. Times of day are local and written as numbers: 517 is 5:17.
    Delays are in minutes; without a `dep_time` the flight was cancelled.

    The aircraft is a plain text: not every one is in the file of planes.
    """

    year = models.SmallIntegerField()
    month = models.SmallIntegerField()
    day = models.SmallIntegerField()
    dep_time = models.SmallIntegerField(null=True, blank=True)
    sched_dep_time = models.SmallIntegerField()
    dep_delay = models.SmallIntegerField(null=True, blank=True)
    arr_time = models.SmallIntegerField(null=True, blank=True)
    sched_arr_time = models.SmallIntegerField()
    arr_delay = models.SmallIntegerField(null=True, blank=True)
    carrier = models.ForeignKey(
        Airline, models.PROTECT, db_column="carrier", related_name="flights"
    )
    flight = models.IntegerField()
    tailnum = models.CharField(max_length=6, null=True, blank=True)  # noqa: DJ001
    origin = models.ForeignKey(
        Airport, models.PROTECT, db_column="origin", related_name="departures"
    )
    dest = models.ForeignKey(
        Airport, models.PROTECT, db_column="dest", related_name="arrivals"
    )
    air_time = models.SmallIntegerField(null=True, blank=True)
    distance = models.IntegerField()
    hour = models.SmallIntegerField()
    minute = models.SmallIntegerField()
    time_hour = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["time_hour", "carrier", "flight"], name="one_flight_an_hour"
            )
        ]

    def __str__(self) -> str:
        return f"{self.carrier_id} {self.flight} {self.origin_id}-{self.dest_id}"
