from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from asgi_example.flights.models import Airline, Airport, Plane


@pytest.mark.django_db
def test_reference_rows_are_loaded_once_and_never_overwritten(capsys):
    Airline.objects.create(carrier="AA", name="Mine")

    call_command("load_reference")
    first = capsys.readouterr().out
    call_command("load_reference")
    second = capsys.readouterr().out

    assert first.splitlines() == [
        "airlines.csv: 15 loaded, 16 in all",
        "airports.csv: 1458 loaded, 1458 in all",
        "planes.csv: 3322 loaded, 3322 in all",
    ]
    assert second.splitlines() == [
        "airlines.csv: 0 loaded, 16 in all",
        "airports.csv: 0 loaded, 1458 in all",
        "planes.csv: 0 loaded, 3322 in all",
    ]
    assert Airline.objects.get(carrier="AA").name == "Mine"
    assert Airport.objects.filter(tzone=None).count() == 3
    assert Plane.objects.filter(speed=None).count() == 3299


@pytest.mark.django_db
def test_users_are_made_for_the_demo_only(settings, django_user_model):
    settings.DEMO_FULL = False

    with pytest.raises(CommandError) as refused:
        call_command("seed_users")

    assert str(refused.value) == (
        "Users with published passwords are for the demo only. "
        "Set DEMO_FULL=1 if this is one."
    )
    assert not django_user_model.objects.exists()


@pytest.mark.django_db
def test_users_are_made_once(settings, django_user_model, capsys):
    settings.DEMO_FULL = True

    call_command("seed_users")
    call_command("seed_users")

    assert capsys.readouterr().out.splitlines() == [
        "ann: made, password ann-demo",
        "bob: made, password bob-demo",
        "ann: already there",
        "bob: already there",
    ]
    ann, bob = django_user_model.objects.order_by("username")
    assert ann.check_password("ann-demo")
    assert bob.check_password("bob-demo")
