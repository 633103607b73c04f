"""The guide's own test: Django's TestCase with DRF's APIClient."""

# ruff: noqa: PT009 - a TestCase as the users of the guide write theirs.

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.test import TestCase, override_settings
from rest_framework.test import APIClient

from tests.app.models import Customer, Order


@override_settings(ROOT_URLCONF="tests.guide.urls")
class DashboardTest(TestCase):
    """Rows that were never committed are seen by every part, in its savepoint."""

    def setUp(self) -> None:
        self.api = APIClient()
        ann = Customer.objects.create(name="Ann")
        Order.objects.create(customer=ann, total=Decimal("12.50"))

    def get(self, url: str) -> dict[str, Any]:
        response = self.api.get(url)
        self.assertEqual(response.status_code, 200)
        data: dict[str, Any] = response.json()
        self.assertIn("results", data)
        self.assertIn("cursor", data)

        return data

    def test_progressive_loading(self) -> None:
        first = self.get("/api/dashboard/")
        self.assertEqual(first["results"][1]["orders"][0]["total"], "12.50")
        self.assertTrue(first["cursor"])

        second = self.get(f"/api/dashboard/?cursor={first['cursor']}")
        self.assertEqual(second["results"][0]["analytics"]["revenue"], 12.5)
        self.assertIsNone(second["cursor"])

    def test_composed_parts_see_the_rows_too(self) -> None:
        self.api.force_authenticate(get_user_model().objects.create_user("ann"))

        first = self.get("/api/shop/")
        second = self.get(f"/api/shop/?cursor={first['cursor']}")

        self.assertEqual(
            second["results"],
            [
                {"sales_analytics": {"revenue": 12.5, "mean": 12.5}},
                {"customer_insights": {"customers": 1, "lifetime_value": 12.5}},
            ],
        )

    def test_permissions_hold(self) -> None:
        self.assertEqual(self.api.get("/api/shop/").status_code, 403)
