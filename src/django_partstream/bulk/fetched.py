"""The relations that a serializer shows, which are fetched once for many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import ForeignKey, ManyToManyField
from rest_framework.relations import ManyRelatedField, RelatedField
from rest_framework.serializers import BaseSerializer, ListSerializer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import Model

__all__ = ("shown_relations",)

#: As deep as serializers are followed into each other.
DEEPEST = 5


def shown_relations(serializer: Any, model: type[Model]) -> tuple[str, ...]:
    """What `prefetch_related_objects` is to be given. What is no plain relation of the
    model is left to whoever shows it."""
    return tuple(dict.fromkeys(_of(serializer, model, DEEPEST)))


def _of(serializer: Any, model: type[Model], deepest: int) -> Iterator[str]:
    if isinstance(serializer, ListSerializer):
        serializer = serializer.child

    fields = getattr(serializer, "fields", {}) if deepest else {}

    for field in fields.values():
        if field.write_only:
            continue

        names, related = _followed(model, _path(field))

        if names:
            yield "__".join(names)

        if isinstance(field, BaseSerializer) and len(names) == len(field.source_attrs):
            for below in _of(field, related, deepest - 1):
                yield "__".join((*names, below))


def _path(field: Any) -> Sequence[str]:
    """The attributes that showing it goes through, as far as they may be relations."""
    attributes: Sequence[str] = field.source_attrs

    if isinstance(field, RelatedField) and field.use_pk_only_optimization():
        return attributes[:-1]

    if isinstance(field, BaseSerializer | ManyRelatedField | RelatedField):
        return attributes

    return attributes[:-1]


def _followed(
    model: type[Model], path: Sequence[str]
) -> tuple[tuple[str, ...], type[Model]]:
    """The relations at the beginning of the path, and the model that they lead to."""
    names: list[str] = []

    for name in path:
        related = _related(model, name)

        if related is None:
            break

        names.append(name)
        model = related

    return tuple(names), model


def _related(model: type[Model], name: str) -> Any:
    for relation in model._meta.related_objects:
        if relation.get_accessor_name() == name:
            return relation.related_model

    try:
        found = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None

    is_forward = isinstance(found, ForeignKey | ManyToManyField)

    return found.related_model if is_forward and found.name == name else None
