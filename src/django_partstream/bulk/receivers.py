"""Who hears of every single row."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from django_partstream import conf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db import models
    from django.db.models.signals import ModelSignal

__all__ = ("receivers",)


def receivers(signal: ModelSignal, model: type[models.Model]) -> Iterator[str]:
    """The names of who receives the signal, apart from those that need not hear of
    every row, and our own, which hear of rows that are written together in another
    way."""
    ignored = ("django_partstream", *conf.current().ignore_receivers)

    if not signal.has_listeners(model):
        return

    for live in signal._live_receivers(model):
        for receiver in live:
            unwrapped = inspect.unwrap(receiver)
            name = _name(unwrapped)
            path = f"{getattr(unwrapped, '__module__', '')}.{name}."

            if not path.startswith(tuple(f"{each}." for each in ignored)):
                yield name


def _name(receiver: Callable[..., Any]) -> str:
    return str(getattr(receiver, "__qualname__", type(receiver).__name__))
