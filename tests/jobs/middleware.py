"""A middleware that fails a view when it has answered, inside its transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class FailsInside:
    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self._get_response(request)

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> Any:
        if "X-Fail" not in request.headers:
            return None

        from django.db import transaction

        with transaction.atomic():
            view(request, *args, **kwargs)
            raise RuntimeError("the request failed after its job was written")
