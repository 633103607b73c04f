"""Which names a client may filter by, and which column each of them is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import models
from rest_framework import serializers

from .lookups import lookups_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Filter", "filters_of")

#: Whose fields show what is stored.
STOCK = ("rest_framework.", "adrf.")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Something that may be filtered by."""

    #: For the ORM; from the view's own code, never from a request.
    path: str
    lookups: tuple[str, ...]
    #: A value out of JSON, as the column's. Raises DRF's and Django's ValidationError.
    read: Callable[[Any], Any]
    column: models.Field[Any, Any]
    #: The path goes through rows of other tables, of which there may be many.
    spans: bool = False


def filters_of(view: Any, model: type[models.Model]) -> dict[str, Filter]:
    """By the name that the client uses: what the serializer shows of the model, as it
    is stored; beside them what the view declares in `bulk_filter_fields`."""
    serializer = view.get_serializer()
    shown = {} if _is_rewritten(serializer) else _shown(serializer, model)

    return {
        **shown,
        **{path: _declared(path, model) for path in view.bulk_filter_fields},
    }


def _is_rewritten(serializer: Any) -> bool:
    """Whether the serializer changes what its fields show: it may hide some of it,
    which a filter would find out."""
    method = type(serializer).to_representation

    return not method.__module__.startswith(STOCK)


def _shown(serializer: Any, model: type[models.Model]) -> dict[str, Filter]:
    found = {}

    for name, field in serializer.fields.items():
        column = _column(model, field.source)
        lookups = lookups_of(field)

        # A field of somebody's own may show less than is stored.
        if (
            column is None
            or field.write_only
            or not lookups
            or not type(field).__module__.startswith(STOCK)
        ):
            continue

        found[name] = _stored(field, column, lookups)

    return found


def _column(model: type[models.Model], source: Any) -> models.Field[Any, Any] | None:
    try:
        column = model._meta.get_field(str(source))
    except FieldDoesNotExist:
        return None

    if not isinstance(column, models.Field) or not column.concrete:
        return None

    return None if column.many_to_many else column


def _stored(
    field: Any, column: models.Field[Any, Any], lookups: tuple[str, ...]
) -> Filter:
    if isinstance(field, serializers.SlugRelatedField):
        related = column.related_model
        assert isinstance(related, type)  # for mypy: a relation's
        target = _column(related, field.slug_field)

        if target is not None:
            return Filter(
                path=f"{column.name}__{field.slug_field}",
                lookups=lookups,
                read=target.to_python,
                column=target,
            )

    if isinstance(field, serializers.RelatedField):
        # Which related rows there are is not for a filter to tell.
        return Filter(
            path=column.name,
            lookups=lookups,
            read=_key_of(column).to_python,
            column=_key_of(column),
        )

    return Filter(path=column.name, lookups=lookups, read=_reader(field), column=column)


def _key_of(column: models.Field[Any, Any]) -> models.Field[Any, Any]:
    """What a relation is stored as."""
    while isinstance(column, models.ForeignKey):
        column = column.target_field

    return column


def _reader(field: Any) -> Callable[[Any], Any]:
    # Not its validators: what is beyond a limit may still be compared with.
    read: Callable[[Any], Any] = field.to_internal_value

    return read


def _declared(path: str, model: type[models.Model]) -> Filter:
    """What a view declares by the ORM's name for it.

    Raises ImproperlyConfigured where there is no such column.
    """
    *way, last = path.split("__")
    at: Any = model
    spans = False

    try:
        for name in way:
            relation = at._meta.get_field(name)
            spans = spans or not (relation.many_to_one or relation.one_to_one)
            at = relation.related_model

        column = _column(at, last)
    except (AttributeError, FieldDoesNotExist):
        column = None

    if column is None:
        raise ImproperlyConfigured(
            f"bulk_filter_fields has {path!r}, which is no column of "
            f"{model._meta.label} nor of what it is related to."
        )

    key = _key_of(column)
    kwargs = serializers.ModelSerializer.serializer_field_mapping
    kind = next((kwargs[cls] for cls in type(key).__mro__ if cls in kwargs), None)
    field = _standard_field(kind, key)

    return Filter(
        path=path,
        lookups=lookups_of(field) if field is not None else ("isnull",),
        read=key.to_python if field is None else _reader(field),
        column=key,
        spans=spans,
    )


def _standard_field(kind: Any, column: models.Field[Any, Any]) -> Any:
    """The serializer field that DRF would make of a column."""
    if kind is None:
        return None

    serializer: Any = serializers.ModelSerializer()
    cls, options = serializer.build_standard_field(column.name, column)

    return cls(**serializer.include_extra_kwargs(options, {}))
