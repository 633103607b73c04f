"""How many statements a request costs, when it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ("Counter", "count_statements")


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Any, *arguments: Any) -> Any:
        self.count += 1

        return execute(*arguments)


def count_statements(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def middleware(request: HttpRequest) -> HttpResponseBase:
        if "X-Count-Statements" not in request.headers:
            return get_response(request)

        counter = Counter()

        with connection.execute_wrapper(counter):
            response = get_response(request)

        response["X-Statements"] = str(counter.count)

        return response

    return middleware
