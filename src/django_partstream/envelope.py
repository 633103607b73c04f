"""What a job keeps of its request, and the view rebuilt from it.

Never credentials or cookies: the job's owner is in its row.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import json
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import EmptyResultSet
from django.core.handlers.wsgi import WSGIRequest
from django.urls import Resolver404, resolve
from django.utils import timezone, translation

from . import conf
from .errors import JobUnavailableError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.db.models import QuerySet
    from rest_framework.request import Request

__all__ = ("Envelope", "same_rows")

#: Headers that a view may always read again in a worker; beside them `JOB_HEADERS`.
KEPT_HEADERS = ("accept", "accept-language")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A request without its body and its credentials."""

    method: str
    #: Without the script prefix, as the URLconf sees it.
    path: str
    query: str
    #: Scheme and host, for absolute links.
    origin: str
    headers: Mapping[str, str]
    language: str | None
    time_zone: str
    #: What the view's `job_context` gave.
    context: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, view: Any, request: Request) -> Self:
        """The envelope of a request in flight to this view.

        Raises JobUnavailableError where the view's `job_context` is no JSON.
        """
        return cls(
            method=request.method or "POST",
            path=request.path_info,
            query=request.META.get("QUERY_STRING", ""),
            origin=f"{request.scheme}://{request.get_host()}",
            headers={
                name: request.headers[name]
                for name in (*KEPT_HEADERS, *conf.current().job_headers)
                if name in request.headers
            },
            language=translation.get_language(),
            time_zone=timezone.get_current_timezone_name(),
            context=_context(view, request),
        )

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @contextlib.contextmanager
    def locale(self) -> Iterator[None]:
        """The language and time zone of the request, while the scope is open."""
        try:
            zone: Any = ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            zone = None

        with translation.override(self.language), timezone.override(zone):
            yield

    def view(self, user: Any) -> Any:
        """The view that this request went to, ready to be asked for its queryset and
        serializer as `user` (None: anonymous).

        Authentication is not run; the view's `restore_job_context` is, and then its
        permissions: raises what its `check_permissions` raises. Raises NotFoundError
        where the address is gone.
        """
        try:
            match = resolve(self.path)
        except Resolver404 as error:
            raise NotFoundError(f"There is no view at {self.path!r} now.") from error

        callback: Any = match.func

        if not hasattr(callback, "cls"):
            raise NotFoundError(f"There is no REST view at {self.path!r} now.")

        view = callback.cls(**getattr(callback, "initkwargs", {}))
        actions = getattr(callback, "actions", None)

        if actions is not None:
            view.action_map = actions

        view.args, view.kwargs = match.args, match.kwargs
        http = self._http_request(user, match)
        view.request = request = view.initialize_request(
            http, *match.args, **match.kwargs
        )
        view.headers = view.default_response_headers
        view.format_kwarg = view.get_format_suffix(**match.kwargs)
        renderer, media_type = view.perform_content_negotiation(request, force=True)
        request.accepted_renderer, request.accepted_media_type = renderer, media_type
        request.version, request.versioning_scheme = view.determine_version(
            request, *match.args, **match.kwargs
        )

        if self.context is not None:
            view.restore_job_context(self.context)

        view.check_permissions(request)

        return view

    def _http_request(self, user: Any, match: Any) -> Any:
        parts = urlsplit(self.origin)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            # WSGI wants the bytes of the path as Latin-1 (PEP 3333).
            "PATH_INFO": self.path.encode().decode("latin-1"),
            "QUERY_STRING": self.query,
            "SERVER_NAME": parts.hostname or "localhost",
            "SERVER_PORT": str(parts.port or (443 if parts.scheme == "https" else 80)),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": parts.netloc,
            "wsgi.input": io.BytesIO(),
            "wsgi.url_scheme": parts.scheme,
        }

        for name, value in self.headers.items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value

        request: Any = WSGIRequest(environ)
        request.resolver_match = match
        request.user = request._force_auth_user = user or AnonymousUser()
        request._force_auth_token = None
        request._dont_enforce_csrf_checks = True

        return request


def _context(view: Any, request: Request) -> dict[str, Any] | None:
    give = getattr(view, "job_context", None)

    if give is None:
        return None

    context = give(request)
    name = type(view).__name__

    if not hasattr(view, "restore_job_context"):
        raise JobUnavailableError(
            f"{name} has job_context() but no restore_job_context(context), which "
            "would take it up in the worker. Add it."
        )

    try:
        # As it will come back.
        return dict(json.loads(json.dumps(context)))
    except (TypeError, ValueError) as error:
        raise JobUnavailableError(
            f"{name}.job_context() must return a dict that JSON can hold: {error}."
        ) from error


def same_rows(one: QuerySet[Any], other: QuerySet[Any]) -> bool:
    """Whether two querysets are the same query, moments in it apart: `timezone.now()`
    is never the same."""
    return _sql(one) == _sql(other)


def _sql(queryset: QuerySet[Any]) -> tuple[str, tuple[Any, ...]] | None:
    try:
        sql, parameters = queryset.query.sql_with_params()
    except EmptyResultSet:
        return None

    return sql, tuple(
        repr(value) for value in parameters if not isinstance(value, datetime.date)
    )
