"""What all bulk viewsets have in common: their options, further addresses, errors."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from django.http import Http404
from rest_framework.parsers import MultiPartParser
from rest_framework.views import set_rollback

from . import operations, sets, upserts
from .bulk.verb import Verb
from .errors import PartstreamError
from .intent import inflate_form
from .parsers import UnreadParser
from .renderers import NDJSONRenderer, RowsRenderer
from .responses import answer_error, as_problem
from .routers import ACTIONS, ASYNC_ACTIONS, Purpose, addresses, has_action
from .target import asked_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from .bulk.effects import SideEffects

__all__ = ("BULK_METHODS", "BulkView", "is_collection")

#: Methods of a collection that have rows for their body.
BULK_METHODS = ("POST", "PUT", "PATCH", "DELETE")

VERBS = {
    "POST": Verb.CREATE,
    "PUT": Verb.REPLACE,
    "PATCH": Verb.UPDATE,
    "DELETE": Verb.DELETE,
}


class BulkView:
    """A viewset with addresses beside its own, at which many rows are read or written.

    They are made by whatever router the viewset is registered with. `self.action` is
    there what DRF calls it ("list", "create", "update", "partial_update", "destroy"),
    so that what a view says about actions holds for many rows as for one.

    A job is done by this view too, rebuilt in a worker for the same user, address,
    query string and `JOB_HEADERS`. A view whose rows, rights or serializers hang on
    more (a credential, what middleware set) has two methods: `job_context(request)`
    returns it as a dict that JSON can hold, `restore_job_context(context)` puts it
    where the view looks for it, on `self.request`.
    """

    #: CSV cells that mean null.
    csv_null_values: Iterable[str] = ()
    #: Bytes of a CSV file in a form; None: `PARTSTREAM['MAX_UPLOAD_BYTES']`.
    csv_max_file_size: int | None = None
    #: Rows that are answered at once; None: `PARTSTREAM['SYNC_MAX_ROWS']`.
    sync_max_rows: int | None = None
    #: How many rows of a job may fail before it is stopped: a number, or "10%" of
    #: them; None: all may. A request's `?max_errors=` goes before.
    max_errors: int | str | None = None
    #: Rows of `/upsert/`; None: `PARTSTREAM['UPSERT_MAX_ROWS']`.
    upsert_max_rows: int | None = None
    #: From how many objects on `GET /operations/` answers with a job.
    large_set_rows: int = 100
    #: Columns that a client may filter by, beside those that the serializer shows as
    #: they are stored; `account__name` goes through a relation.
    bulk_filter_fields: Iterable[str] = ()
    #: Whether more rows than that become a job; else they are refused.
    jobs: bool = True

    #: What overridden `save()` and `delete()` methods and receivers of signals mean:
    #: rows are written one by one where there are some ("auto"), always ("rows"), or
    #: together although they are then not called ("skip").
    bulk_side_effects: SideEffects = "auto"

    #: The further addresses, and the methods of each.
    bulk_methods: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: The same, of methods that a viewset has there only where it has them at its own
    #: addresses; one that has no address of its own has all.
    bulk_offers: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: What the address of this request is for; None at the viewset's own ones.
    bulk_purpose: Purpose | None = None

    #: The request has rows for its body.
    _is_bulk = False
    #: DRF's.
    action_map: dict[str, str]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

        if self.bulk_purpose is not None:
            # Not a viewset's own `create`, which knows of one object.
            for method, name in ACTIONS.items():
                for alias in (name, ASYNC_ACTIONS[method], f"_serve_{name}"):
                    setattr(self, alias, self._serve)

    @classmethod
    def get_extra_actions(cls) -> list[Any]:
        own: list[Any] = super().get_extra_actions()  # type: ignore[misc]
        taken = {action.url_path for action in own if not action.detail}
        further = addresses(cls, cls.methods_of_addresses())

        return [*own, *(one for one in further if one.url_path not in taken)]

    @classmethod
    def methods_of_addresses(cls) -> dict[str, set[str]]:
        """The further addresses of this viewset, and the methods of each."""
        able = {method for method in ACTIONS if has_action(cls, method)} or {*ACTIONS}
        methods: dict[str, set[str]] = {}

        for base in cls.__mro__:
            for path, more in base.__dict__.get("bulk_methods", {}).items():
                methods.setdefault(path, set()).update(more)

            for path, more in base.__dict__.get("bulk_offers", {}).items():
                methods.setdefault(path, set()).update(able.intersection(more))

        return methods

    def initialize_request(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> Request:
        if self.bulk_purpose is not None:
            self.action_map = self._actions_of_drf(self.action_map)

        # A failure here would be nobody's: it is told where errors are answered.
        self._is_bulk = self._takes_rows(request)
        initialized: Request = super().initialize_request(  # type: ignore[misc]
            request, *args, **kwargs
        )

        if self._is_bulk:
            initialized.parsers = [MultiPartParser(), UnreadParser()]

        return initialized

    def _actions_of_drf(self, actions: Mapping[str, str]) -> dict[str, str]:
        named = {
            method: action.removeprefix("_serve_") for method, action in actions.items()
        }

        if self.bulk_purpose is Purpose.QUERY:
            # As which it is asked, here and again in a job.
            named["get"] = named["post"]

        return named

    def _takes_rows(self, http: HttpRequest) -> bool:
        """Whether the body is read by us, and errors are problems."""
        return self.bulk_purpose is not None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Before the session's CSRF check, which reads forms.
        if self.bulk_purpose is not None and request.method in BULK_METHODS:
            inflate_form(request._request)

        with self._as_asked():
            super().initial(request, *args, **kwargs)  # type: ignore[misc]

    def _as_asked(self) -> AbstractContextManager[Any]:
        """A question that came by POST is judged as the GET that it stands for."""
        if self.bulk_purpose is not Purpose.QUERY:
            return contextlib.nullcontext()

        return asked_as(self, "GET", "list")

    def get_renderers(self) -> list[Any]:
        renderers: list[Any] = super().get_renderers()  # type: ignore[misc]

        if self.bulk_purpose in (Purpose.OPERATIONS, Purpose.QUERY):
            renderers.append(NDJSONRenderer())
        elif self._is_bulk:
            renderers.append(RowsRenderer())

        return renderers

    def get_object(self) -> Any:
        if self.bulk_purpose is not None:
            # OPTIONS asks for one, to see whether it may be changed.
            raise Http404

        return super().get_object()  # type: ignore[misc]

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, PartstreamError):
            # As DRF does for its own: ATOMIC_REQUESTS must not commit.
            set_rollback()

            return answer_error(exc)

        response = super().handle_exception(exc)  # type: ignore[misc]

        return as_problem(response, exc) if self._is_bulk else response

    def _serve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer at an address of ours. Sync; adrf calls it in the request's thread."""
        if self.bulk_purpose is Purpose.QUERY or request.method in ("GET", "HEAD"):
            with self._as_asked():
                return sets.answer(self, request)

        verb = VERBS[request.method or ""]

        if self.bulk_purpose is Purpose.UPSERT:
            return operations.answer(self, request, verb, way=upserts.NOW)

        return operations.answer(self, request, verb, way=operations.AS_A_JOB)

    # For viewsets that have no such action of their own.
    _serve_list = _serve_create = _serve_update = _serve
    _serve_partial_update = _serve_destroy = _serve


def is_collection(view: Any) -> bool:
    """Whether the request came to the collection's own address."""
    return (
        view.bulk_purpose is None
        and (view.lookup_url_kwarg or view.lookup_field) not in view.kwargs
    )
