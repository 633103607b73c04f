from __future__ import annotations

from rest_framework import serializers

from .models import Contract, Transaction

__all__ = ("MODELS", "SERIALIZERS", "ContractSerializer", "TransactionSerializer")


class TransactionSerializer(serializers.ModelSerializer[Transaction]):
    class Meta:
        model = Transaction
        fields = (
            "id",
            "account",
            "category",
            "datetime",
            "amount",
            "description",
            "reference",
        )


class ContractSerializer(serializers.ModelSerializer[Contract]):
    class Meta:
        model = Contract
        fields = ("id", "number", "status", "value", "since", "signed", "title")


MODELS = {"transactions": Transaction, "contracts": Contract}
SERIALIZERS = {
    "transactions": TransactionSerializer,
    "contracts": ContractSerializer,
}
