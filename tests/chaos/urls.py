"""The addresses of the tests, and one whose rows nothing keeps from coming twice."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import DefaultRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from django_partstream.mixins import BulkOperationsMixin
from tests.app.models import Account


class AccountSerializer(ModelSerializer[Account]):
    class Meta:
        model = Account
        fields = ["id", "name", "tenant"]


class AccountViewSet(BulkOperationsMixin, ModelViewSet[Account]):
    queryset = Account.objects.order_by("pk")
    serializer_class = AccountSerializer


router = DefaultRouter()
router.register("accounts", AccountViewSet, basename="chaos-accounts")

urlpatterns = [
    path("chaos/", include(router.urls)),
    path("", include("tests.urls")),
]
