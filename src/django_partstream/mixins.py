"""What a DRF viewset inherits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.http import Http404
from rest_framework.viewsets import ModelViewSet

from . import operations, reading
from .bulk.verb import Verb
from .bulk_view import BULK_METHODS, BulkView, is_collection
from .intent import holds_rows, inflate_form
from .routers import ACTIONS, ASYNC_ACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import HttpRequest
    from rest_framework.request import Request

__all__ = (
    "AsyncCreateMixin",
    "AsyncDeleteMixin",
    "AsyncGetMixin",
    "AsyncOperationsMixin",
    "AsyncReplaceMixin",
    "AsyncUpdateMixin",
    "BulkModelViewSet",
    "BulkOperationsMixin",
    "SyncUpsertMixin",
)

#: What an address of jobs, and one of upserts, can do.
ALL = ("get", "post", "put", "patch", "delete")
WRITING = ("post", "put", "patch")

#: What a router maps on an object's address, and we on the collection's as well.
COLLECTION = ("put", "patch", "delete")


class AsyncGetMixin(BulkView):
    """`GET /operations/`: many objects, by their keys or by filters; a few at once, a
    large set as a job that reads them, or as a stream of NDJSON."""

    bulk_methods: ClassVar = {"operations": ("get",)}


class AsyncCreateMixin(BulkView):
    """`POST /operations/`: a job that creates these rows."""

    bulk_methods: ClassVar = {"operations": ("post",)}


class AsyncUpdateMixin(BulkView):
    """`PATCH /operations/`: a job that changes what these rows say; with
    `unique_fields`, an upsert."""

    bulk_methods: ClassVar = {"operations": ("patch",)}


class AsyncReplaceMixin(BulkView):
    """`PUT /operations/`: a job that replaces these rows; with `unique_fields`, an
    upsert."""

    bulk_methods: ClassVar = {"operations": ("put",)}


class AsyncDeleteMixin(BulkView):
    """`DELETE /operations/`: a job that deletes the rows with these keys."""

    bulk_methods: ClassVar = {"operations": ("delete",)}


class AsyncOperationsMixin(BulkView):
    """Jobs, at `/operations/` and as well at `/bulk/`, the older name.

        class ProductViewSet(AsyncOperationsMixin, ModelViewSet):
            queryset = Product.objects.all()
            serializer_class = ProductSerializer

    The collection's own address is as in plain DRF. A viewset that cannot write there
    cannot do it here either.
    """

    bulk_offers: ClassVar = {"operations": ALL, "bulk": ALL}


class SyncUpsertMixin(BulkView):
    """`/upsert/?unique_fields=…` with `POST`, `PATCH` or `PUT`: at most
    `upsert_max_rows` rows, now, answered with counts and keys."""

    bulk_offers: ClassVar = {"upsert": WRITING}


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


class BulkOperationsMixin(BulkView):
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

    Beside it, `/operations/` and `/bulk/` as `AsyncOperationsMixin` has them, and
    `/upsert/` as `SyncUpsertMixin` does.
    """

    bulk_offers: ClassVar = {"operations": ALL, "bulk": ALL, "upsert": WRITING}

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        if isinstance(actions, dict) and "bulk_purpose" not in initkwargs:
            actions = _with_collection(cls, actions, initkwargs)

        return super().as_view(actions, **initkwargs)  # type: ignore[misc]

    def _takes_rows(self, http: HttpRequest) -> bool:
        if not is_collection(self):
            return super()._takes_rows(http)

        return http.method in BULK_METHODS and holds_rows(http)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method in BULK_METHODS and is_collection(self):
            # A form may turn out to hold rows.
            inflate_form(request._request)

        super().initial(request, *args, **kwargs)

    def get_object(self) -> Any:
        if is_collection(self):
            # OPTIONS asks for one, to see whether it may be changed.
            raise Http404

        return super().get_object()

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
        if not is_collection(self):
            return super().update(request, *args, **kwargs)  # type: ignore[misc]

        verb = Verb.UPDATE if kwargs.get("partial") else Verb.REPLACE

        return operations.answer(self, request, verb)

    @extends
    def destroy(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not is_collection(self):
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
        if not is_collection(self):
            return await super().aupdate(request, *args, **kwargs)  # type: ignore[misc]

        verb = Verb.UPDATE if kwargs.get("partial") else Verb.REPLACE

        return await _answered(self, request, verb)

    @extends
    async def adestroy(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not is_collection(self):
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
    names = ASYNC_ACTIONS if is_async else ACTIONS
    more = {method: names[method] for method in COLLECTION}

    return {
        **{method: name for method, name in more.items() if hasattr(cls, name)},
        **actions,
    }


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


class BulkModelViewSet(BulkOperationsMixin, ModelViewSet[Any]):
    """A `ModelViewSet` with bulk operations."""
