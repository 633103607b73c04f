"""What a view gives to a bulk operation: its rows, serializer, hooks, permissions."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.db import router
from rest_framework import exceptions
from rest_framework.mixins import CreateModelMixin, UpdateModelMixin
from rest_framework.permissions import BasePermission

from .bulk import pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model

__all__ = ("target_of",)


def target_of(view: Any, *, text: bool) -> pipeline.Target:
    """The target of a bulk operation on this view, which has its request.

    `text`: the input's values are text, as in CSV.
    """
    queryset = view.filter_queryset(view.get_queryset())
    # Matched where it is written: a replica may not know the row yet.
    using = queryset._db or router.db_for_write(queryset.model)

    return pipeline.Target(
        get_serializer=view.get_serializer,
        queryset=queryset.using(using),
        null_values=frozenset(view.csv_null_values),
        text=text,
        check_object=_object_check(view),
        perform_create=_overridden(view, "perform_create", CreateModelMixin),
        perform_update=_overridden(view, "perform_update", UpdateModelMixin),
    )


def _overridden(view: Any, name: str, stock: type) -> Any:
    own = getattr(type(view), name, None)

    if own is None or own is getattr(stock, name):
        return None

    return getattr(view, name)


def _object_check(view: Any) -> Any:
    """What must be asked before a stored row is changed; None where nothing must.

    A POST that updates needs what a PATCH needs.
    """
    denied = _update_denied(view)

    if denied is not None:

        def deny(_: Model) -> None:
            raise denied

        return deny

    if not any(map(_asks_objects, view.get_permissions())):
        return None

    def check(instance: Model) -> None:
        with _as_update(view):
            view.check_object_permissions(view.request, instance)

    return check


def _asks_objects(permission: Any) -> bool:
    method = getattr(type(permission), "has_object_permission", None)

    return method is not BasePermission.has_object_permission


def _update_denied(view: Any) -> exceptions.APIException | None:
    try:
        with _as_update(view):
            view.check_permissions(view.request)
    except (exceptions.PermissionDenied, exceptions.NotAuthenticated) as error:
        return error

    return None


@contextlib.contextmanager
def _as_update(view: Any) -> Iterator[None]:
    """The view as it would be asked for a PATCH, while the scope is open."""
    http, action = view.request._request, view.action
    method, http.method, view.action = http.method, "PATCH", "partial_update"

    try:
        yield
    finally:
        http.method, view.action = method, action
