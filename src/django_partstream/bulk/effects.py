"""What asks to be called for every single row, so that rows cannot be written
together: overridden methods, signal receivers, fields that do more than hold a value.

Classes of Django's ORM, of DRF and of adrf do not count.
"""

from __future__ import annotations

import inspect
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models import signals
from django.db.models.fields.files import FileDescriptor, ImageFileDescriptor
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from rest_framework.serializers import BaseSerializer, ModelSerializer

from . import columns as cols
from .links import link_field, linking_reason
from .receivers import receivers
from .references import unverified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rest_framework.serializers import Serializer

__all__ = ("SideEffects", "deleting_reason", "per_row_reason")

#: Whether what a model's own saving does besides storing is looked for, always done,
#: or left out.
SideEffects = Literal["auto", "rows", "skip"]

STOCK = ("adrf.", "django.db.", "django_partstream.", "rest_framework.")

MODEL_METHODS = (
    "save",
    "save_base",
    "_save_table",
    "_do_insert",
    "_do_update",
    "__init__",
    "__setattr__",
)
SERIALIZER_METHODS = (
    "create",
    "update",
    "save",
    "is_valid",
    "__init__",
    "get_fields",
    "fields",
)
SIGNALS = {
    "pre_save": signals.pre_save,
    "post_save": signals.post_save,
    "pre_init": signals.pre_init,
    "post_init": signals.post_init,
}
STOCK_DESCRIPTORS = (
    DeferredAttribute,
    FileDescriptor,
    ForeignKeyDeferredAttribute,
    ImageFileDescriptor,
)


def per_row_reason(
    serializer: Serializer[Any],
    model: type[models.Model],
    hooks: dict[str, Callable[..., Any] | None],
    side_effects: SideEffects = "auto",
    using: str = DEFAULT_DB_ALIAS,
) -> str | None:
    """Why rows must be written one by one, naming who asks for it; None where they
    need not be. `hooks` are the view's `perform_…` methods, where it overrides them.
    """
    reasons = chain(
        _of_choice(side_effects),
        _of_view(hooks),
        _of_serializer(serializer, model),
        _of_fields(serializer, model, using, heard=side_effects != "skip"),
        () if side_effects == "skip" else _of_saving(model),
        _of_table(model),
    )

    return next(reasons, None)


def deleting_reason(
    model: type[models.Model],
    hooks: dict[str, Callable[..., Any] | None],
    side_effects: SideEffects = "auto",
) -> str | None:
    """Why rows must be deleted one by one; None where they need not be.

    Receivers do not count: Django's collector calls them for each row of a set.
    """
    reasons = chain(
        _of_choice(side_effects),
        _of_view(hooks),
        () if side_effects == "skip" else _of_deleting(model),
    )

    return next(reasons, None) or _of_relations(model)


def _of_choice(side_effects: SideEffects) -> Iterator[str]:
    if side_effects == "rows":
        yield "bulk_side_effects is 'rows'"


def _of_deleting(model: type[models.Model]) -> Iterator[str]:
    owner = _overriding(model, "delete")

    if owner is not None:
        yield f"{owner.__name__}.delete() is overridden"

    kind = type(model._base_manager.all())

    if inspect.unwrap(kind.delete) is not models.QuerySet.delete:
        yield f"{kind.__name__}.delete() is overridden"


def _of_relations(model: type[models.Model]) -> str | None:
    if _cascades_to_itself(model):
        return f"rows of {model.__name__} refer to each other"

    return None


def _cascades_to_itself(model: type[models.Model]) -> bool:
    """Whether deleting a row may delete others of its own table, or be refused because
    of them: what becomes of a row then depends on those before it."""
    seen: set[Any] = set()
    waiting: list[Any] = [model]

    while waiting:
        for relation in waiting.pop()._meta.related_objects:
            if relation.related_model is model:
                return True

            if relation.on_delete is models.CASCADE and relation not in seen:
                seen.add(relation)
                waiting.append(relation.related_model)

    return False


def _of_view(hooks: dict[str, Callable[..., Any] | None]) -> Iterator[str]:
    for name, hook in hooks.items():
        if hook is not None:
            yield f"{getattr(hook, '__qualname__', name)}() is overridden"


def _of_serializer(
    serializer: Serializer[Any], model: type[models.Model]
) -> Iterator[str]:
    kind = type(serializer)

    if not isinstance(serializer, ModelSerializer):
        yield f"{kind.__name__} is no ModelSerializer"
    elif serializer.Meta.model is not model:
        yield f"{kind.__name__} writes {serializer.Meta.model.__name__}"

    for name in SERIALIZER_METHODS:
        owner = _overriding(kind, name)

        if owner is not None:
            yield f"{owner.__name__}.{name} is overridden"


def _of_fields(
    serializer: Serializer[Any], model: type[models.Model], using: str, *, heard: bool
) -> Iterator[str]:
    kind = type(serializer)
    by_source = cols.columns_by_source(model)
    fields: Any = serializer.fields.values()

    for field in fields:
        if field.read_only:
            continue

        column = by_source.get(field.source)
        link = link_field(model, field.source)

        if isinstance(field, BaseSerializer):
            yield f"{kind.__name__}.{field.field_name} is nested"
        elif link is not None:
            reason = linking_reason(link, using, heard=heard)

            if reason is not None:
                yield reason
        elif column is None:
            yield f"{kind.__name__}.{field.field_name} is no column of its own"
        elif isinstance(column, models.FileField):
            yield f"{kind.__name__}.{field.field_name} is a file"

    for reference in unverified(serializer, model):
        # To an earlier row, perhaps.
        if reference.related_model._meta.concrete_model is model._meta.concrete_model:
            yield f"{kind.__name__} writes {reference.attname} without looking"


def _of_saving(model: type[models.Model]) -> Iterator[str]:
    for method in MODEL_METHODS:
        owner = _overriding(model, method)

        if owner is not None:
            yield f"{owner.__name__}.{method}() is overridden"

    manager = model._default_manager

    for kind in (type(manager), type(manager.get_queryset())):
        if inspect.unwrap(kind.create) is not models.QuerySet.create:
            yield f"{kind.__name__}.create() is overridden"

    for name, signal in SIGNALS.items():
        for receiver in receivers(signal, model):
            yield f"{receiver} receives {name} of {model.__name__}"


def _of_table(model: type[models.Model]) -> Iterator[str]:
    meta = model._meta
    name = model.__name__

    if meta.parents:
        yield f"{name} has more than one table"

    if meta.order_with_respect_to:
        yield f"{name} is ordered with respect to another model"

    if len(meta.pk_fields) > 1:
        yield f"{name} has a composite primary key"

    for column in meta.concrete_fields:
        if not _has_stock_pre_save(column):
            yield f"{type(column).__name__}.pre_save() of {name}.{column.name}"

        descriptor = inspect.getattr_static(model, column.attname, None)

        if type(descriptor) not in STOCK_DESCRIPTORS:
            yield f"{name}.{column.attname} is a {type(descriptor).__name__}"


def _overriding(kind: type, name: str) -> type | None:
    """The class that overrides the method, unless it is a stock one."""
    for owner in kind.__mro__:
        if name in vars(owner):
            is_stock = owner is object or f"{owner.__module__}.".startswith(STOCK)

            return None if is_stock else owner

    return None


def _has_stock_pre_save(column: models.Field[Any, Any]) -> bool:
    return type(column).pre_save.__module__.startswith("django.db.models.")
