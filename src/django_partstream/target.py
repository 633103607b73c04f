"""What a view gives to a bulk operation: its rows, serializer, hooks, permissions."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.db import router
from rest_framework import exceptions
from rest_framework.mixins import CreateModelMixin, DestroyModelMixin, UpdateModelMixin
from rest_framework.permissions import BasePermission

from .bulk import pipeline
from .bulk.verb import Verb
from .routers import has_action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import Model

__all__ = ("asked_as", "asks_objects", "hooks_of", "target_of")


#: The request that changes a stored row as each verb does, and the action of a
#: viewset that it would be.
CHANGING = {
    Verb.UPSERT: ("PATCH", "partial_update"),
    Verb.UPDATE: ("PATCH", "partial_update"),
    Verb.PUT: ("PUT", "update"),
    Verb.REPLACE: ("PUT", "update"),
    Verb.DELETE: ("DELETE", "destroy"),
}
CREATING = ("POST", "create")


def target_of(view: Any, verb: Verb, *, text: bool) -> pipeline.Target:
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
        check_object=_object_check(view, verb),
        check_new=_creation_check(view, verb),
        **hooks_of(view),
        side_effects=view.bulk_side_effects,
    )


def hooks_of(view: Any) -> dict[str, Any]:
    """The view's own `perform_…` methods; None for each that it does not override."""
    return {
        "perform_create": _hook(view, "create", CreateModelMixin),
        "perform_update": _hook(view, "update", UpdateModelMixin),
        "perform_destroy": _hook(view, "destroy", DestroyModelMixin),
    }


def _hook(view: Any, what: str, stock: type) -> Any:
    """The view's own `perform_…`, sync or adrf's, where it overrides it."""
    name, async_name = f"perform_{what}", f"perform_a{what}"
    own = getattr(type(view), async_name, None)

    if own is not None and not own.__module__.startswith("adrf."):
        method = getattr(view, async_name)

        return functools.wraps(method)(async_to_sync(method))

    own = getattr(type(view), name, None)

    if own is None or own is getattr(stock, name):
        return None

    return getattr(view, name)


def _creation_check(view: Any, verb: Verb) -> Any:
    """What must be asked before a row is created; None where nothing must.

    A PATCH that creates needs what a POST needs.
    """
    if not verb.creates or view.request.method == "POST":
        return None

    return _denial(view, *CREATING)


def _object_check(view: Any, verb: Verb) -> Any:
    """What must be asked before a stored row is changed; None where nothing must.

    A POST that updates needs what a PATCH needs.
    """
    if not verb.matches:
        return None

    method, action = CHANGING[verb]

    if view.request.method != method:
        deny = _denial(view, method, action)

        if deny is not None:
            return deny

    if not any(map(asks_objects, view.get_permissions())):
        return None

    def check(instance: Model) -> None:
        with asked_as(view, method, action):
            view.check_object_permissions(view.request, instance)

    return check


def asks_objects(permission: Any) -> bool:
    """Whether a permission has something to say of single objects."""
    method = getattr(type(permission), "has_object_permission", None)

    return method is not BasePermission.has_object_permission


def _denial(view: Any, method: str, action: str) -> Any:
    """What raises the view's refusal of such a request; None where it has none."""
    if not _answers(view, method):
        return _refusing(exceptions.PermissionDenied(f"{method} is not allowed here."))

    try:
        with asked_as(view, method, action):
            view.check_permissions(view.request)
    except (exceptions.PermissionDenied, exceptions.NotAuthenticated) as error:
        return _refusing(error)

    return None


def _answers(view: Any, method: str) -> bool:
    """Whether the view answers such a request at some address: a POST that changes a
    stored row does what only a PATCH could."""
    name = method.lower()

    if name not in view.http_method_names:
        return False

    addresses: Any = getattr(view, "methods_of_addresses", dict)()

    return has_action(type(view), name) or any(
        name in methods for methods in addresses.values()
    )


def _refusing(error: Exception) -> Callable[..., None]:
    def deny(*_: Any) -> None:
        raise error

    return deny


@contextlib.contextmanager
def asked_as(view: Any, method: str, action: str) -> Iterator[None]:
    """The view as it would be asked by this method, while the scope is open."""
    http = view.request._request
    before = http.method, view.action
    mapped = getattr(view, "action_map", None) or {}
    http.method, view.action = method, mapped.get(method.lower(), action)

    try:
        yield
    finally:
        http.method, view.action = before
