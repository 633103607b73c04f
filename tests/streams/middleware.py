"""Middleware as projects have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


def sync_only(get_response: Callable[[HttpRequest], HttpResponseBase]) -> object:
    """Knows nothing of async, so that Django calls it in a thread."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response["X-Sync"] = "1"

        return response

    return middleware
