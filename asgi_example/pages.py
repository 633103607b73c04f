"""The page, its modules and its file of flights; who is logged in.

Whole bodies from memory: under ASGI, Django's own file views hand a blocking
iterator to the event loop.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import Http404, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe
from django.views.defaults import page_not_found

from django_partstream.problems import CONTENT_TYPE, Problem

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

HERE = Path(__file__).resolve().parent
JANUARY = HERE / "data" / "flights-2013-01.csv.gz"

#: Folders whose files are served under /static/: the page's and the package's.
ROOTS = (HERE / "static", Path(str(resources.files("django_partstream"))) / "static")

# Said here, not guessed: what `mimetypes` knows depends on the machine, and a
# browser runs no module that is not called JavaScript.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}


@require_safe
def index(request: HttpRequest) -> HttpResponseBase:
    return _serve(request, "index.html")


@require_safe
def static_file(request: HttpRequest, name: str) -> HttpResponseBase:
    return _serve(request, name)


@require_safe
def january(request: HttpRequest) -> HttpResponseBase:
    """The shipped flights: the stored bytes to whoever reads gzip."""
    zipped = "gzip" in request.headers.get("Accept-Encoding", "")
    body = _read(JANUARY, JANUARY.stat().st_mtime_ns)
    response = _answer(
        request,
        body if zipped else gzip.decompress(body),
        media_type="text/csv; charset=utf-8",
    )
    patch_vary_headers(response, ["Accept-Encoding"])

    if zipped:
        response.headers["Content-Encoding"] = "gzip"

    return response


@require_safe
@never_cache
@ensure_csrf_cookie
def session(request: HttpRequest) -> HttpResponseBase:
    """Who asks, and where to log in and out; leaves the `csrftoken` cookie, whose
    value the page sends as `X-CSRFToken`."""
    full: bool = settings.DEMO_FULL
    user = request.user if full else None
    return JsonResponse(
        {
            "full": full,
            "user": user.get_username() if user and user.is_authenticated else None,
            "login_url": reverse("login") if full else None,
            "logout_url": reverse("logout") if full else None,
        }
    )


def _serve(request: HttpRequest, name: str) -> HttpResponseBase:
    # Looked up among the files that are there, so that no name leads elsewhere.
    files = {
        path.relative_to(root).as_posix(): path
        for root in ROOTS
        for path in root.rglob("*")
        if path.suffix in MEDIA_TYPES
    }

    if name not in files:
        raise Http404(f"There is no file {name!r}.")

    path = files[name]
    body = _read(path, path.stat().st_mtime_ns)
    return _answer(request, body, media_type=MEDIA_TYPES[path.suffix])


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> bytes:
    return path.read_bytes()


def _answer(request: HttpRequest, body: bytes, *, media_type: str) -> HttpResponseBase:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    response = HttpResponse(
        body,
        content_type=media_type,
        headers={"ETag": etag, "Cache-Control": "no-cache"},
    )
    return get_conditional_response(request, etag=etag, response=response) or response


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """No view has this address: said as the API says it, where it would be one."""
    if not request.path.startswith("/api/"):
        return page_not_found(request, exception)

    problem = Problem(
        status=404, code="not_found", detail="There is nothing at this address."
    )

    return JsonResponse(problem.wire(), status=404, content_type=CONTENT_TYPE)
