"""A view's own filterset, of django-filter: its filters, asked for in a body.

django-filter is met as an object that a view brings along; it is not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import QueryDict

from django_partstream.errors import InvalidFilterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet

__all__ = ("filterset_of", "through")


def filterset_of(view: Any, queryset: QuerySet[Any]) -> Any:
    """The class of the view's filterset, with its backend; None where it has none."""
    for cls in view.filter_backends:
        backend = cls()
        get = getattr(backend, "get_filterset_class", None)
        found = None if get is None else get(view, queryset)

        if found is not None:
            return backend, found

    return None


def through(
    filterset: Any,
    view: Any,
    queryset: QuerySet[Any],
    conditions: Sequence[tuple[str, str, Any]],
) -> QuerySet[Any]:
    """What the filterset makes of the conditions. Raises InvalidFilterError."""
    backend, cls = filterset
    known = cls.base_filters
    data = QueryDict(mutable=True)

    for name, lookup, value in conditions:
        found = _named(known, name, lookup)

        if found is None:
            raise InvalidFilterError(
                f"{name[:80]!r} with {lookup[:80]!r} cannot be filtered by. Possible: "
                f"{', '.join(map(repr, known))}.",
                extra={"known": [*known]},
            )

        _put(data, found, known[found], value)

    options = backend.get_filterset_kwargs(view.request, queryset, view)
    made = cls(**{**options, "data": data, "queryset": queryset})

    if not made.is_valid():
        raise InvalidFilterError(
            "The filters are not valid.",
            extra={
                "errors": [
                    {"pointer": f"/filters/{name}", "detail": " ".join(messages)}
                    for name, messages in made.errors.items()
                ]
            },
        )

    narrowed: QuerySet[Any] = made.qs

    return narrowed


def _named(known: Any, name: str, lookup: str) -> str | None:
    """The filter that is meant: by its own name, or by what it compares and how."""
    if lookup == "exact" and name in known:
        return name

    if f"{name}__{lookup}" in known:
        return f"{name}__{lookup}"

    return next(
        (
            own
            for own, one in known.items()
            if (one.field_name, one.lookup_expr) == (name, lookup)
        ),
        None,
    )


def _put(data: QueryDict, name: str, known: Any, value: Any) -> None:
    """The value as a form has it."""
    values = value if isinstance(value, list) else [value]

    if any(isinstance(one, dict | list) for one in values):
        raise InvalidFilterError(f"The filter {name!r} takes no structure.")

    texts = [_text(one) for one in values]
    takes_commas = any(cls.__name__ == "BaseCSVFilter" for cls in type(known).__mro__)

    if takes_commas and isinstance(value, list):
        data[name] = ",".join(texts)
    else:
        data.setlist(name, texts)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"

    return "" if value is None else str(value)
