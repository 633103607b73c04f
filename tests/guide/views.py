"""The views of the older guide, written anew: in its style, on real models."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db.models import Avg, Count, Sum
from django.utils import timezone
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from django_partstream import (
    ProgressiveView,
    cached_for,
    lazy,
    safe_call,
    with_timeout,
)
from tests.app.models import Comment, Customer, Follow, Like, Order, Post, Ware

from .serializers import (
    FullOrderSerializer,
    OrderSerializer,
    PostSerializer,
    WareSerializer,
)

#: How often a function ran, by its name.
CALLS: Counter[str] = Counter()
#: What the debug view has printed.
TIMINGS: list[str] = []


class CarrierDown(Exception):
    """The carrier's service does not answer."""


# Basic use.


class MinimalView(ProgressiveView):
    def get_parts(self) -> Any:
        return [
            ("meta", {"timestamp": timezone.now()}),
            ("data", lazy(self.count_customers)),
        ]

    def count_customers(self, request: Any) -> Any:
        return {"customers": Customer.objects.count()}


class OverviewView(ProgressiveView):
    """An immediate part that is a call, without the request; lazy ones with it."""

    chunk_size = 2

    def get_parts(self) -> Any:
        return [
            ("overview", self.get_overview()),
            ("orders", lazy(self.get_orders)),
            ("analytics", lazy(self.get_analytics)),
        ]

    def get_overview(self) -> Any:
        return {"customers": Customer.objects.count(), "at": timezone.now().isoformat()}

    def get_orders(self, request: Any) -> Any:
        orders = Order.objects.select_related("customer").order_by("pk")[:100]

        return OrderSerializer(orders, many=True).data

    def get_analytics(self, request: Any) -> Any:
        return {
            "revenue": Order.objects.aggregate(Sum("total"))["total__sum"],
            "orders_per_customer": self.orders_per_customer(),
        }

    def orders_per_customer(self) -> float:
        return Order.objects.count() / Customer.objects.count()


class CountingView(ProgressiveView):
    """Three parts that say when they are made."""

    def get_parts(self) -> Any:
        return [
            ("immediate", {"fast": "data"}),
            ("lazy", lazy(self.expensive_operation)),
            ("cached", lazy(self.cached_operation)),
        ]

    def expensive_operation(self) -> Any:
        CALLS["expensive"] += 1

        return CALLS["expensive"]

    @cached_for(300)
    def cached_operation(self) -> Any:
        CALLS["cached"] += 1

        return CALLS["cached"]


class MobileView(CountingView):
    chunk_size = 1


class DeskView(CountingView):
    chunk_size = 3
    cursor_ttl = 1800


class ShortLivedView(CountingView):
    cursor_ttl = 0.01


# Robustness.


class RobustView(ProgressiveView):
    chunk_size = 3

    def get_parts(self) -> Any:
        return [
            ("meta", {"timestamp": timezone.now()}),
            ("parcels", lazy(safe_call(self.track_parcels))),
            (
                "carrier",
                lazy(
                    safe_call(
                        self.ask_carrier, fallback={"error": "Service unavailable"}
                    )
                ),
            ),
        ]

    def track_parcels(self, request: Any) -> Any:
        raise CarrierDown("key=secret")

    def ask_carrier(self, request: Any) -> Any:
        raise CarrierDown("key=secret")


class UnguardedView(ProgressiveView):
    def get_parts(self) -> Any:
        return [("carrier", lazy(self.ask_carrier)), ("answer", lazy(lambda: 42))]

    def ask_carrier(self, request: Any) -> Any:
        raise CarrierDown("key=secret")


class TimeoutView(ProgressiveView):
    def get_parts(self) -> Any:
        return [
            ("slow", lazy(with_timeout(self.slow_operation, 0.05))),
            ("in_time", lazy(with_timeout(lambda: "here", 30))),
        ]

    def slow_operation(self, request: Any) -> Any:
        time.sleep(0.6)

        return "too late"


class AnalyticsView(ProgressiveView):
    """Everything that a platform for analytics keeps, for as long as it is good."""

    chunk_size = 2

    def get_parts(self) -> Any:
        return [
            ("meta", {"platform": "Analytics", "user": self.request.user.username}),
            ("realtime", lazy(self.get_realtime)),
            ("historical", lazy(self.get_historical)),
            ("predictions", lazy(self.get_predictions)),
        ]

    @cached_for(30)
    def get_realtime(self, request: Any) -> Any:
        CALLS[f"realtime of {request.user.username}"] += 1

        return {"orders": Order.objects.count(), "for": request.user.username}

    def get_historical(self, request: Any) -> Any:
        return Order.objects.values("placed__year").annotate(orders=Count("pk"))

    def get_predictions(self, request: Any) -> Any:
        return {"next_order": Order.objects.aggregate(mean=Avg("total"))["mean"]}


class LatestView(ProgressiveView):
    """Instances that are kept, and serialised for each request."""

    def get_parts(self) -> Any:
        return [("latest", lazy(self.get_latest, serializer=OrderSerializer))]

    @with_timeout(30)
    @cached_for(300, vary="public")
    @safe_call(fallback=[])
    def get_latest(self) -> Any:
        CALLS["latest"] += 1

        return Order.objects.select_related("customer").order_by("pk")[:2]


class ByHandView(ProgressiveView):
    """Its own use of Django's cache."""

    def get_parts(self) -> Any:
        return [("analytics", lazy(self.get_analytics))]

    def get_analytics(self, request: Any) -> Any:
        key = f"analytics-{request.user.pk}"
        result = cache.get(key)

        if result is None:
            CALLS["by hand"] += 1
            result = {"orders": Order.objects.count()}
            cache.set(key, result, 300)

        return result


# Lists of parts that depend on who asks for what.


class ConditionalView(ProgressiveView):
    chunk_size = 9

    def get_parts(self) -> Any:
        parts: list[Any] = [("public", lazy(self.get_public))]

        if self.request.user.is_authenticated:
            parts.append(("own", lazy(self.get_own)))

        if self.request.user.is_staff:
            parts.append(("admin", lazy(self.get_admin)))

        return parts

    def get_public(self, request: Any) -> Any:
        return Ware.objects.count()

    def get_own(self, request: Any) -> Any:
        return request.user.username

    def get_admin(self, request: Any) -> Any:
        return Customer.objects.count()


class YieldingView(ProgressiveView):
    """Its list of parts is a generator, which asks the database as it goes."""

    def get_parts(self) -> Any:
        for ware in Ware.objects.order_by("name"):
            yield ware.name, lazy(lambda ware=ware: ware.stock)


class DynamicView(ProgressiveView):
    chunk_size = 1

    def get_parts(self) -> Any:
        parts: list[Any] = [("meta", {"shop": "north"})]

        if self.request.GET.get("include_analytics"):
            parts.append(("analytics", lazy(Order.objects.count)))

        if self.request.GET.get("include_reports"):
            parts.append(("reports", lazy(self.get_reports)))

        return parts

    def get_reports(self, request: Any) -> Any:
        return {"of": request.GET["include_reports"]}


# Whole dashboards.


class ShopView(ProgressiveView):
    permission_classes = [IsAuthenticated]
    chunk_size = 3

    def get_parts(self) -> Any:
        return [
            (
                "overview",
                {"store": "North", "user": self.request.user.username},
            ),
            ("recent_orders", lazy(self.get_recent_orders)),
            ("inventory_alerts", lazy(self.get_inventory_alerts)),
            ("sales_analytics", lazy(safe_call(self.get_sales_analytics))),
            ("customer_insights", lazy(safe_call(self.get_customer_insights))),
        ]

    def get_recent_orders(self, request: Any) -> Any:
        orders = Order.objects.select_related("customer").order_by("-placed")[:100]

        return OrderSerializer(orders, many=True).data

    def get_inventory_alerts(self, request: Any) -> Any:
        wares = Ware.objects.filter(stock__lt=10).order_by("name")

        return WareSerializer(wares, many=True).data

    def get_sales_analytics(self, request: Any) -> Any:
        return Order.objects.aggregate(revenue=Sum("total"), mean=Avg("total"))

    def get_customer_insights(self, request: Any) -> Any:
        customers = Customer.objects.count()

        return {
            "customers": customers,
            # Fails where there are none: the part is null then.
            "lifetime_value": Order.objects.aggregate(all=Sum("total"))["all"]
            / customers,
        }


class ShopAdminView(ShopView):
    permission_classes = [IsAuthenticated, IsAdminUser]

    def get_parts(self) -> Any:
        return [*super().get_parts(), ("today", lazy(self.get_today))]

    def get_today(self, request: Any) -> Any:
        today = Order.objects.filter(placed__date=timezone.localdate())

        return {
            "orders": today.count(),
            "revenue": today.aggregate(Sum("total"))["total__sum"] or 0,
            "new_customers": Customer.objects.filter(
                joined__date=timezone.localdate()
            ).count(),
        }


class SocialView(ProgressiveView):
    permission_classes = [IsAuthenticated]

    def get_parts(self) -> Any:
        user: Any = self.request.user

        return [
            (
                "profile",
                {
                    "username": user.username,
                    "followers": Follow.objects.filter(followed=user).count(),
                    "following": Follow.objects.filter(follower=user).count(),
                },
            ),
            ("recent_posts", lazy(self.get_recent_posts)),
            ("engagement", lazy(self.get_engagement)),
            ("best_hour", lazy(self.get_best_hour)),
        ]

    def get_recent_posts(self, request: Any) -> Any:
        posts = Post.objects.filter(author=request.user).order_by("-written")[:20]

        return PostSerializer(posts, many=True).data

    def get_engagement(self, request: Any) -> Any:
        return {
            "likes": Like.objects.filter(post__author=request.user).count(),
            "comments": Comment.objects.filter(post__author=request.user).count(),
        }

    def get_best_hour(self, request: Any) -> Any:
        hours = Post.objects.filter(author=request.user).values("written__hour")

        return hours.annotate(likes=Count("like")).order_by("-likes").first()


# Performance.


class NaiveOrdersView(ProgressiveView):
    def get_parts(self) -> Any:
        return [("orders", lazy(self.get_orders))]

    def get_orders(self, request: Any) -> Any:
        return FullOrderSerializer(Order.objects.all(), many=True).data


class GoodOrdersView(NaiveOrdersView):
    def get_orders(self, request: Any) -> Any:
        orders = (
            Order.objects.select_related("customer")
            .prefetch_related("lines__ware")
            .order_by("-placed")[:100]
        )

        return FullOrderSerializer(orders, many=True).data


class DebugView(OverviewView):
    """Times a part by calling it by hand."""

    def get_parts(self) -> Any:
        if settings.DEBUG:
            started = time.perf_counter()
            orders = self.get_orders(None)
            seconds = time.perf_counter() - started
            TIMINGS.append(f"{len(orders)} orders took {seconds:.2f} seconds")

        return [("orders", lazy(self.get_orders))]


# From other approaches.


class SlowPlainView(APIView):
    """Waits for its slow half before it answers at all."""

    def get(self, request: Any) -> Response:
        return Response({"orders": Order.objects.count(), "analytics": slow()})


class SlowView(ProgressiveView):
    chunk_size = 1

    def get_parts(self) -> Any:
        return [("orders", lazy(Order.objects.count)), ("analytics", lazy(slow))]


def slow() -> str:
    time.sleep(0.5)

    return "at last"


class PlainView(APIView):
    """All at once, as it was before."""

    def get(self, request: Any) -> Response:
        orders = Order.objects.select_related("customer").order_by("pk")

        return Response(
            {
                "orders": OrderSerializer(orders, many=True).data,
                "analytics": expensive_computation(),
            }
        )


class MovedView(ProgressiveView):
    """The same in parts. The older guide returns the QuerySet of instances itself."""

    def get_parts(self) -> Any:
        return [
            (
                "orders",
                lazy(
                    lambda r: Order.objects.select_related("customer").order_by("pk"),
                    serializer=OrderSerializer,
                ),
            ),
            ("analytics", lazy(lambda r: expensive_computation())),
        ]


class MovedAsItWasView(ProgressiveView):
    """The two forms of the older snippet that cannot stay."""

    def get_parts(self) -> Any:
        return [
            ("orders", lazy(lambda r: Order.objects.all())),
            ("first", lazy(lambda r: Order.objects.first())),
            ("analytics", lazy(lambda r: expensive_computation())),
        ]


def expensive_computation() -> Any:
    return {"revenue": Order.objects.aggregate(Sum("total"))["total__sum"]}
