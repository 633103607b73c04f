"""A client's filters, applied to a queryset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import DataError, connections, models, transaction
from rest_framework.exceptions import ValidationError as InvalidError

from django_partstream.errors import InvalidFilterError

from .fields import filters_of
from .filterset import filterset_of, through
from .lookups import InvalidValueError, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import Q, QuerySet

    from .fields import Filter

__all__ = ("narrowed",)

#: Of one request.
MAX_CONDITIONS = 50


def narrowed(
    view: Any, queryset: QuerySet[Any], asked: Mapping[str, Any]
) -> QuerySet[Any]:
    """The rows of the queryset that fit `asked`: `{"amount": {"gte": 100}, "account":
    1}`, all of it.

    A view with a filterset of django-filter has its filters, and no others. Raises
    InvalidFilterError, which says what is possible.
    """
    if not asked:
        return queryset

    conditions = [*_conditions(asked)]

    if len(conditions) > MAX_CONDITIONS:
        raise InvalidFilterError(f"At most {MAX_CONDITIONS} conditions are taken.")

    filterset = filterset_of(view, queryset)

    if filterset is not None:
        return _tried(through(filterset, view, queryset, conditions))

    known = filters_of(view, queryset.model)
    found = queryset

    for name, lookup, value in conditions:
        if name not in known:
            raise InvalidFilterError(
                f"{name[:80]!r} cannot be filtered by. Possible: "
                f"{', '.join(map(repr, known)) or 'nothing'}.",
                extra={"known": [*known]},
            )

        found = found.filter(_condition(found, name, known[name], lookup, value))

    return _tried(found)


def _conditions(asked: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """Names, look-ups and values, as they came."""
    conditions: list[tuple[str, str, Any]] = []

    for name, value in asked.items():
        if value is None:
            conditions.append((name, "isnull", True))
        elif isinstance(value, dict):
            conditions += [(name, lookup, inner) for lookup, inner in value.items()]
        else:
            conditions.append((name, "exact", value))

    return conditions


def _condition(
    queryset: QuerySet[Any], name: str, known: Filter, lookup: str, value: Any
) -> Q:
    if lookup not in known.lookups:
        raise InvalidFilterError(
            f"{name!r} has no look-up {lookup[:80]!r}. Possible: "
            f"{', '.join(map(repr, known.lookups))}.",
            extra={"known": [*known.lookups]},
        )

    try:
        wanted = value_of(lookup, value, known.read)
        _check_range(queryset, known.column, wanted)
    except InvalidValueError as error:
        raise _refused(name, lookup, str(error)) from error
    except (InvalidError, ValidationError) as error:
        raise _refused(name, lookup, _words(error)) from error
    except (ArithmeticError, TypeError, ValueError) as error:
        raise _refused(name, lookup, "the value is none of this field") from error

    # A pair, never a keyword: `Q` has keywords of its own.
    condition = models.Q((f"{known.path}__{lookup}", wanted))

    if not known.spans:
        return condition

    # Once, however many of the related rows fit.
    rows = queryset.model._base_manager.using(queryset.db).filter(condition)

    return models.Q(("pk__in", rows.values("pk")))


def _refused(name: str, lookup: str, words: str) -> InvalidFilterError:
    return InvalidFilterError(
        f"The filter {name!r} with {lookup!r}: {words}.",
        extra={"errors": [{"pointer": f"/filters/{name}/{lookup}", "detail": words}]},
    )


def _words(error: InvalidError | ValidationError) -> str:
    messages: Any = (
        error.messages if isinstance(error, ValidationError) else error.detail
    )

    return " ".join(map(str, messages)).rstrip(".")


def _check_range(
    queryset: QuerySet[Any], column: models.Field[Any, Any], wanted: Any
) -> None:
    """Numbers that the database's type does not hold cannot be asked for."""
    if not isinstance(column, models.IntegerField):
        return

    operations = connections[queryset.db].ops
    least, most = operations.integer_field_range(column.get_internal_type())
    values = wanted if isinstance(wanted, list | tuple) else [wanted]

    for value in values:
        if not isinstance(value, int):
            continue

        if (least is not None and value < least) or (most is not None and value > most):
            raise InvalidValueError(f"expected a number from {least} to {most}")


def _tried(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """The queryset, which the database has taken: moments at the end of time, or texts
    that it does not hold, are the client's fault."""
    try:
        with transaction.atomic(using=queryset.db):
            queryset.order_by().exists()
    except (DataError, OverflowError, ValueError) as error:
        raise InvalidFilterError(
            "The database cannot compare with one of these values."
        ) from error

    return queryset
