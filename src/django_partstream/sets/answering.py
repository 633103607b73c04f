"""`GET /operations/`: what a few objects, and what a large set, is answered with."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from django.http import StreamingHttpResponse
from rest_framework.response import Response

from django_partstream import conf, preferences, reading
from django_partstream.bulk import rows
from django_partstream.errors import TooManyRowsError
from django_partstream.renderers import NDJSONRenderer
from django_partstream.result_files import off_the_loop
from django_partstream.stream_slots import slots
from django_partstream.streamable import holder_of, is_asgi
from django_partstream.submission import submit_work

from . import lines
from .question import read_question, world
from .work import KIND

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from .question import Question

__all__ = ("answer",)


def answer(view: Any, request: Request) -> HttpResponseBase:
    """Answer a question about many objects. Raises our 4xx errors."""
    question = read_question(request)
    rows_asked = world(view, question.filters)

    # Of primary keys, what is none is said before anything else is done.
    keys = None if question.ids is None else reading.keys_of(rows_asked, question.ids)
    response = _answer(view, request, question, rows_asked, keys)
    # The body of a GET is part of the question, and no cache knows it.
    response["Cache-Control"] = "private, no-store"

    return response


def _answer(
    view: Any,
    request: Request,
    question: Question,
    found: QuerySet[Any],
    keys: list[Any] | None,
) -> HttpResponseBase:
    if isinstance(getattr(request, "accepted_renderer", None), NDJSONRenderer):
        return _stream(view, request, found, keys)

    count = found.order_by().count() if keys is None else len(keys)

    wanted = preferences.parse(request.headers.get("Prefer"))

    if view.jobs and (count >= view.large_set_rows or wanted.respond_async):
        return _submit(view, request, question, count, wanted)

    _check_size(view, count)

    if keys is not None:
        return Response({**reading.by_keys(view, found, keys), "is_async": False})

    shown = [row for row in found if reading.may_see(view, row)]

    return Response(
        {
            "count": len(shown),
            "results": view.get_serializer(shown, many=True).data,
            "operation_type": "multi_get",
            "is_async": False,
        }
    )


def _check_size(view: Any, count: int) -> None:
    limit = view.sync_max_rows or conf.current().sync_max_rows

    if count > limit:
        raise TooManyRowsError(
            f"{count} objects were asked for; at most {limit} are answered at once "
            "here. Ask for them in parts, or with Accept: application/x-ndjson.",
            extra={"limit": limit, "rows": count},
        )


def _stream(
    view: Any, request: Request, found: QuerySet[Any], keys: list[Any] | None
) -> HttpResponseBase:
    """The objects as lines, read in batches while they are sent."""
    limit = getattr(view, "streams_per_user", None) or conf.current().streams_per_user
    slot = slots.take(holder_of(request), limit)
    pieces = lines.begun(lines.in_locale(lines.written(view, found, keys)))
    response: Any = StreamingHttpResponse(
        off_the_loop(pieces, request=request) if is_asgi(request) else pieces,
        content_type=NDJSONRenderer.media_type,
    )
    response._resource_closers.append(slot.give_back)
    response["X-Accel-Buffering"] = "no"
    streaming: HttpResponseBase = response

    return streaming


def _submit(
    view: Any,
    request: Request,
    question: Question,
    count: int,
    wanted: preferences.Preferences,
) -> Response:
    _check_max_rows(count)
    stream = None
    spec: dict[str, Any] = {
        "filters": question.filters,
        "columns": lines.columns(view),
    }

    if question.ids is not None:
        # Read again from any point, as the rows of an upload are.
        stream = io.BytesIO(json.dumps(question.ids).encode())
        inspection = rows.inspect(
            stream,
            content_type="application/json",
            charset=None,
            known=(),
            required=(),
            max_rows=conf.current().max_rows,
        )
        spec["dialect"] = inspection.dialect.as_dict()
        stream.seek(0)

    return submit_work(
        view,
        request,
        kind=KIND,
        spec=spec,
        total=count,
        preferences=wanted,
        stream=stream,
    )


def _check_max_rows(count: int) -> None:
    limit = conf.current().max_rows

    if count > limit:
        raise TooManyRowsError(
            f"{count} objects were asked for; one job reads at most {limit}. Ask for "
            "them in parts.",
            extra={"limit": limit, "rows": count},
        )
