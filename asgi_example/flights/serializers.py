from __future__ import annotations

from rest_framework import serializers

from .models import Airline, Airport, Flight, Plane


class AirlineSerializer(serializers.ModelSerializer[Airline]):
    class Meta:
        model = Airline
        fields = "__all__"


class AirportSerializer(serializers.ModelSerializer[Airport]):
    class Meta:
        model = Airport
        fields = "__all__"


class PlaneSerializer(serializers.ModelSerializer[Plane]):
    class Meta:
        model = Plane
        fields = "__all__"


class FlightSerializer(serializers.ModelSerializer[Flight]):
    class Meta:
        model = Flight
        fields = "__all__"
