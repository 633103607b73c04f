"""A serializer that says how its answers are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.serializers import ModelSerializer

if TYPE_CHECKING:
    from django.db.models import QuerySet

__all__ = ("BulkModelSerializer",)


class BulkModelSerializer(ModelSerializer[Any]):
    """A `ModelSerializer` whose `get_queryset()` feeds the answers to bulk requests.

        class ContractSerializer(BulkModelSerializer):
            class Meta:
                model = Contract
                fields = ["id", "number", "customer"]

            def get_queryset(self):
                return Contract.objects.select_related("customer")

    Any serializer does; this one saves a query for each relation that is shown.
    """

    def get_queryset(self) -> QuerySet[Any]:
        """The rows of which those that were written are read; none but these."""
        model: Any = self.Meta.model
        queryset: QuerySet[Any] = model._default_manager.all()

        return queryset
