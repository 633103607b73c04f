"""How the body of a bulk request is parsed: not at all.

It is read as a stream, once, by the operation itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.parsers import BaseParser

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

__all__ = ("UnreadParser",)


class UnreadParser(BaseParser):
    """Leaves any body where it is.

    DRF's session authentication looks for a CSRF token in `request.POST`, for which
    DRF would parse the body, whatever its type.
    """

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        return {}
