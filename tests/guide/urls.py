"""The addresses of the older guide's views."""

from __future__ import annotations

from django.urls import path

from . import mistakes, views

urlpatterns = [
    path("api/minimal/", views.MinimalView.as_view()),
    path("api/dashboard/", views.OverviewView.as_view(), name="dashboard"),
    path("api/counting/", views.CountingView.as_view()),
    path("api/mobile/", views.MobileView.as_view()),
    path("api/desk/", views.DeskView.as_view()),
    path("api/short-lived/", views.ShortLivedView.as_view()),
    path("api/robust/", views.RobustView.as_view()),
    path("api/unguarded/", views.UnguardedView.as_view()),
    path("api/timeout/", views.TimeoutView.as_view()),
    path("api/analytics/", views.AnalyticsView.as_view()),
    path("api/latest/", views.LatestView.as_view()),
    path("api/by-hand/", views.ByHandView.as_view()),
    path("api/conditional/", views.ConditionalView.as_view()),
    path("api/yielding/", views.YieldingView.as_view()),
    path("api/dynamic/", views.DynamicView.as_view()),
    path("api/shop/", views.ShopView.as_view()),
    path("api/shop-admin/", views.ShopAdminView.as_view()),
    path("api/social/", views.SocialView.as_view()),
    path("api/naive-orders/", views.NaiveOrdersView.as_view()),
    path("api/good-orders/", views.GoodOrdersView.as_view()),
    path("api/debug/", views.DebugView.as_view()),
    path("api/slow-plain/", views.SlowPlainView.as_view()),
    path("api/slow/", views.SlowView.as_view()),
    path("api/plain/", views.PlainView.as_view()),
    path("api/moved/", views.MovedView.as_view()),
    path("api/moved-as-it-was/", views.MovedAsItWasView.as_view()),
    *(
        path(f"mistakes/{name}/", view.as_view())
        for name, view in mistakes.VIEWS.items()
    ),
]
