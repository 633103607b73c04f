"""Two tables: one with relations and indexes, one with a unique text."""

from __future__ import annotations

from django.db import models

from .payloads import STATES

__all__ = ("Account", "Category", "Contract", "Transaction")


class Account(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Category(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Transaction(models.Model):
    """Two foreign keys, a unique pair, four indexes beside the primary key."""

    account = models.ForeignKey(Account, models.CASCADE)
    category = models.ForeignKey(Category, models.PROTECT)
    datetime = models.DateTimeField(db_index=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    description = models.CharField(max_length=200, blank=True)
    reference = models.CharField(max_length=40, blank=True)

    class Meta:
        unique_together = [("account", "datetime")]

    def __str__(self) -> str:
        return self.description


class Contract(models.Model):
    """A unique text, and a choice."""

    number = models.CharField(max_length=40, unique=True)
    status = models.CharField(max_length=8, choices=[(s, s) for s in STATES])
    value = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    since = models.DateField()
    signed = models.BooleanField(default=False)
    title = models.CharField(max_length=100, blank=True)

    def __str__(self) -> str:
        return self.number
