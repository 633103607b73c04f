"""What a DRF viewset inherits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.parsers import MultiPartParser

from . import operations
from .errors import PartstreamError
from .intent import inflate_form
from .parsers import UnreadParser
from .responses import answer_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest
    from rest_framework.request import Request

__all__ = ("BulkOperationsMixin",)


class BulkOperationsMixin:
    """Bulk operations on the viewset's own address.

        class FlightViewSet(BulkOperationsMixin, ModelViewSet):
            queryset = Flight.objects.all()
            serializer_class = FlightSerializer

    `POST ?unique_fields=a,b` with a JSON array or CSV creates the rows whose key is
    not there and updates the others: at once and all or none, or, when there are more
    than `sync_max_rows` or the client sends `Prefer: respond-async`, as a job. Every
    other request is answered as by plain DRF.
    """

    #: CSV cells that mean null.
    csv_null_values: Iterable[str] = ()
    #: Rows that are answered at once; None: `PARTSTREAM['SYNC_MAX_ROWS']`.
    sync_max_rows: int | None = None

    def initialize_request(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> Request:
        initialized: Request = super().initialize_request(  # type: ignore[misc]
            request, *args, **kwargs
        )

        if request.method == "POST" and "unique_fields" in request.GET:
            initialized.parsers = [MultiPartParser(), UnreadParser()]

        return initialized

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Before the session's CSRF check, which reads forms.
        if request.method == "POST":
            inflate_form(request._request)

        super().initial(request, *args, **kwargs)  # type: ignore[misc]

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not _is_upsert(request):
            return super().create(request, *args, **kwargs)  # type: ignore[misc]

        return operations.upsert(self, request)

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, PartstreamError):
            return answer_error(exc)

        return super().handle_exception(exc)  # type: ignore[misc]


def _is_upsert(request: Request) -> bool:
    if "unique_fields" in request.query_params:
        return True

    # Form fields beside a file count as well.
    is_form = (request.content_type or "").startswith("multipart/form-data")

    return is_form and "unique_fields" in request.POST
