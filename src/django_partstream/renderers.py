"""Representations, so that DRF's negotiation knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.renderers import BaseRenderer

from . import encoding

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("CSVRenderer", "NDJSONRenderer", "PageRenderer")


class PageRenderer(BaseRenderer):
    """JSON by our own encoder."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else encoding.encode(data)


class _StreamRenderer(BaseRenderer):
    """Takes part in negotiation only: what is streamed is no DRF `Response`."""

    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else encoding.encode(data) + b"\n"


class NDJSONRenderer(_StreamRenderer):
    media_type = "application/x-ndjson"
    format = "ndjson"


class CSVRenderer(_StreamRenderer):
    media_type = "text/csv"
    format = "csv"
