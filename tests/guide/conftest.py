"""The shop of the guide, and its addresses."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache

from tests.app.models import Customer, Order, OrderLine, Ware
from tests.guide import views


@pytest.fixture(autouse=True)
def site(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.guide.urls"
    cache.clear()
    views.CALLS.clear()
    views.TIMINGS.clear()
    yield
    cache.clear()


@pytest.fixture
def shop(db: None) -> None:
    fill_shop()


def fill_shop() -> None:
    """Two customers, three orders of two lines each, one ware that runs out."""
    apples = Ware.objects.create(name="apples", stock=3)
    pears = Ware.objects.create(name="pears", stock=50)
    ann, bob = (Customer.objects.create(name=name) for name in ("Ann", "Bob"))

    for customer, total in ((ann, "10.00"), (ann, "20.00"), (bob, "30.00")):
        order = Order.objects.create(customer=customer, total=Decimal(total))
        OrderLine.objects.create(order=order, ware=apples, amount=1)
        OrderLine.objects.create(order=order, ware=pears, amount=2)


@pytest.fixture
def ann(db: None) -> Any:
    return get_user_model().objects.create_user("ann", is_staff=True)


@pytest.fixture
def bob(db: None) -> Any:
    return get_user_model().objects.create_user("bob")
