"""What a DRF viewset inherits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.http import Http404
from rest_framework.parsers import MultiPartParser
from rest_framework.views import set_rollback

from . import operations, reading
from .bulk.verb import Verb
from .errors import PartstreamError
from .intent import holds_rows, inflate_form
from .parsers import UnreadParser
from .responses import answer_error, as_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from django.http import HttpRequest
    from rest_framework.request import Request

    from .bulk.effects import SideEffects

__all__ = ("BulkOperationsMixin",)

#: Methods of a collection that have rows for their body.
BULK_METHODS = ("POST", "PUT", "PATCH", "DELETE")

#: What a router maps on an object's address, and we on the collection's as well; for
#: viewsets whose handlers are sync, and for those of adrf.
COLLECTION = {"put": "update", "patch": "partial_update", "delete": "destroy"}
ASYNC_COLLECTION = {
    "put": "aupdate",
    "patch": "partial_aupdate",
    "delete": "adestroy",
}


class extends:  # noqa: N801 - it reads as a decorator
    """A method that a class has only where one further up has it too, so that a
    router finds no method that the viewset does not have without us."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn
        self.__doc__ = fn.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner
        self._name = name

    def __get__(self, view: Any, cls: type) -> Any:
        # AttributeError where there is none.
        getattr(super(self._owner, cls), self._name)

        return self._fn if view is None else self._fn.__get__(view, cls)


class BulkOperationsMixin:
    """Bulk operations on the viewset's own address.

        class FlightViewSet(BulkOperationsMixin, ModelViewSet):
            queryset = Flight.objects.all()
            serializer_class = FlightSerializer

    On the collection's address, of what the viewset can do with one object:

    - `POST` of an array creates, `PATCH` and `PUT` of an array update the rows with
      these primary keys, `DELETE` of an array of keys deletes them;
    - `?unique_fields=a,b` makes `POST`, `PATCH` and `PUT` create the rows whose key is
      not there and update the others, with `&update_fields=c` only these fields;
    - `GET ?ids=1,2` gives these objects, in this order.

    Rows are a JSON array, NDJSON or CSV. They are written at once and all or none, or,
    when there are more than `sync_max_rows` or the client sends `Prefer:
    respond-async`, as a job. Whatever else is asked is answered as by plain DRF.
    """

    #: CSV cells that mean null.
    csv_null_values: Iterable[str] = ()
    #: Rows that are answered at once; None: `PARTSTREAM['SYNC_MAX_ROWS']`.
    sync_max_rows: int | None = None
    #: Whether more rows than that become a job; else they are refused.
    jobs: bool = True

    #: What overridden `save()` and `delete()` methods and receivers of signals mean:
    #: rows are written one by one where there are some ("auto"), always ("rows"), or
    #: together although they are then not called ("skip").
    bulk_side_effects: SideEffects = "auto"

    #: The request has rows for its body.
    _is_bulk = False

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        if isinstance(actions, dict):
            actions = _with_collection(cls, actions, initkwargs)

        return super().as_view(actions, **initkwargs)  # type: ignore[misc]

    def initialize_request(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> Request:
        # A failure here would be nobody's: it is told where errors are answered.
        self._is_bulk = (
            request.method in BULK_METHODS
            and _is_collection(self)
            and holds_rows(request)
        )
        initialized: Request = super().initialize_request(  # type: ignore[misc]
            request, *args, **kwargs
        )

        if self._is_bulk:
            initialized.parsers = [MultiPartParser(), UnreadParser()]

        return initialized

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Before the session's CSRF check, which reads forms.
        if request.method in BULK_METHODS and _is_collection(self):
            inflate_form(request._request)

        super().initial(request, *args, **kwargs)  # type: ignore[misc]

    def get_object(self) -> Any:
        if _is_collection(self):
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

    @extends
    def list(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        if "ids" in request.query_params:
            return reading.multi_get(self, request)

        return super().list(request, *args, **kwargs)  # type: ignore[misc]

    @extends
    def create(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        if self._asks_for_rows(request):
            return operations.answer(self, request, Verb.CREATE)

        return super().create(request, *args, **kwargs)  # type: ignore[misc]

    @extends
    def update(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not _is_collection(self):
            return super().update(request, *args, **kwargs)  # type: ignore[misc]

        verb = Verb.UPDATE if kwargs.get("partial") else Verb.REPLACE

        return operations.answer(self, request, verb)

    @extends
    def destroy(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not _is_collection(self):
            return super().destroy(request, *args, **kwargs)  # type: ignore[misc]

        return operations.answer(self, request, Verb.DELETE)

    # What adrf calls. The rows are written in the thread of the request.

    @extends
    async def alist(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        if "ids" in request.query_params:
            return await sync_to_async(reading.multi_get)(self, request)

        return await super().alist(request, *args, **kwargs)  # type: ignore[misc]

    @extends
    async def acreate(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        if await sync_to_async(self._asks_for_rows)(request):
            return await _answered(self, request, Verb.CREATE)

        return await super().acreate(request, *args, **kwargs)  # type: ignore[misc]

    @extends
    async def aupdate(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not _is_collection(self):
            return await super().aupdate(request, *args, **kwargs)  # type: ignore[misc]

        verb = Verb.UPDATE if kwargs.get("partial") else Verb.REPLACE

        return await _answered(self, request, verb)

    @extends
    async def adestroy(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not _is_collection(self):
            return await super().adestroy(request, *args, **kwargs)  # type: ignore[misc]

        return await _answered(self, request, Verb.DELETE)

    def _asks_for_rows(self, request: Request) -> bool:
        return self._is_bulk or _has_rows_in_form(self, request)


async def _answered(view: Any, request: Request, verb: Verb) -> Any:
    return await sync_to_async(operations.answer)(view, request, verb)


def _with_collection(
    cls: type, actions: Mapping[str, str], initkwargs: Mapping[str, Any]
) -> dict[str, str]:
    """The actions of an address; of a collection's, what it does with many rows too."""
    if initkwargs.get("detail") or not {
        "list",
        "create",
        "alist",
        "acreate",
    }.intersection(actions.values()):
        return dict(actions)

    is_async = {"alist", "acreate"}.intersection(actions.values())
    more = ASYNC_COLLECTION if is_async else COLLECTION

    return {
        **{method: name for method, name in more.items() if hasattr(cls, name)},
        **actions,
    }


def _is_collection(view: Any) -> bool:
    return (view.lookup_url_kwarg or view.lookup_field) not in view.kwargs


def _has_rows_in_form(view: Any, request: Request) -> bool:
    """Whether a form asks for an upsert, or has a CSV file that is no field's."""
    if not (request.content_type or "").startswith("multipart/form-data"):
        return False

    if "unique_fields" in request.POST:
        return True

    files = {name: file.content_type for name, file in request.FILES.items()}

    if set(files.values()) != {"text/csv"}:
        return False

    return not files.keys() & view.get_serializer().fields.keys()
