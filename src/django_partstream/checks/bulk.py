"""Checks of bulk views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Info
from django.db import router

from . import project

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("check_modes",)


def check_modes(**_: Any) -> list[CheckMessage]:
    """Which bulk views write or delete row by row, and who asks for it."""
    from django_partstream.bulk_view import BulkView  # needs the models

    classes = (cls for cls in project.view_classes() if issubclass(cls, BulkView))

    return [
        Info(
            f"{cls.__name__} {what} rows one by one: {reason}.",
            hint="Each row then takes statements of its own, under a savepoint. "
            "Receivers that need not hear of every row can be named in "
            "PARTSTREAM['IGNORE_RECEIVERS']; bulk_side_effects = 'skip' on the view "
            "leaves out what the model's saving or deleting does.",
            id="partstream.I003",
        )
        for cls in sorted(classes, key=lambda cls: cls.__qualname__)
        for what, reason in _reasons(cls)
    ]


def _reasons(cls: Any) -> Iterator[tuple[str, str]]:
    from django_partstream.bulk.effects import deleting_reason, per_row_reason
    from django_partstream.target import hooks_of

    if cls.queryset is None or cls.serializer_class is None:
        # They are made for each request.
        return

    model = cls.queryset.model
    hooks = hooks_of(cls())
    destroy = {"perform_destroy": hooks.pop("perform_destroy")}
    effects = cls.bulk_side_effects
    using = router.db_for_write(model)

    try:
        serializer = cls.serializer_class(data={})
        writing = per_row_reason(serializer, model, hooks, effects, using)
    except Exception:
        # Without a request, it may not say what fields it has.
        writing = None

    if writing is not None and _may(cls, "create", "update"):
        yield "writes", writing

    deleting = deleting_reason(model, destroy, effects)

    if deleting is not None and _may(cls, "destroy"):
        yield "deletes", deleting


def _may(cls: Any, *actions: str) -> bool:
    return any(hasattr(cls, name) for name in actions)
