"""Representations, so that DRF's negotiation knows them, and the negotiation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response

from . import encoding
from .bulk.shown import PlainRows
from .transports import ndjson, sse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .transports.streaming import Framing

__all__ = (
    "CSVRenderer",
    "EventRenderer",
    "FrameRenderer",
    "NDJSONRenderer",
    "Negotiation",
    "PageRenderer",
    "PlainRowsRenderer",
    "RowsRenderer",
    "RowsResponse",
)

QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


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


class _LineRenderer(BaseRenderer):
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


class PlainRowsRenderer(JSONRenderer):
    """DRF's own, quicker for rows of which it is known what they are."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        is_stock = (
            self.get_indent(accepted_media_type or "", {**(renderer_context or {})})
            is None
            and self.compact
            and not self.ensure_ascii
        )
        text = encoding.encode_as_drf(data) if is_stock else None

        if text is not None:
            return text

        rendered: bytes = super().render(data, accepted_media_type, renderer_context)

        return rendered


class RowsResponse(Response):
    """The same as DRF's, for rows as they are stored."""

    @property
    def rendered_content(self) -> Any:
        is_plain = type(self.data) is PlainRows and self.data.is_plain

        # A project's own subclass has its reasons.
        if is_plain and type(self.accepted_renderer) is JSONRenderer:
            self.accepted_renderer = PlainRowsRenderer()

        return super().rendered_content


class FrameRenderer(_LineRenderer):
    """A stream of frames in this framing."""

    framing: Framing


class NDJSONRenderer(FrameRenderer):
    framing: Framing = ndjson
    media_type = ndjson.CONTENT_TYPE
    format = "ndjson"


class RowsRenderer(NDJSONRenderer):
    """Rows that are no frames, one a line; of a report, its counts come before them."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if isinstance(data, list):
            return b"".join(encoding.encode(row) + b"\n" for row in data)

        if not isinstance(data, dict) or "results" not in data:
            return super().render(data)

        counts = {name: count for name, count in data.items() if name != "results"}

        return self.render([counts, *data["results"]])


class EventRenderer(FrameRenderer):
    framing: Framing = sse
    media_type = sse.CONTENT_TYPE
    format = "sse"


class CSVRenderer(_LineRenderer):
    media_type = "text/csv"
    format = "csv"


class Negotiation(DefaultContentNegotiation):
    """What the client likes best, by `q` and then by how exactly it says so; where it
    has no preference, the first renderer. `?format=` overrides `Accept`."""

    def select_renderer(
        self,
        request: Any,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        override = self.settings.URL_FORMAT_OVERRIDE
        wanted = format_suffix or (override and request.query_params.get(override))

        if wanted:
            renderer = self.filter_renderers(renderers, wanted)[0]

            return renderer, renderer.media_type

        renderers = [*renderers]
        # An empty header says as little as none.
        accepted = [*map(_accepted, self.get_accept_list(request))] or [("*/*", 1.0)]
        liked = [_liking(renderer.media_type, accepted) for renderer in renderers]
        quality, _ = best = max(liked, default=(0.0, 0))

        if quality == 0:
            raise NotAcceptable(available_renderers=renderers)

        renderer = renderers[liked.index(best)]

        return renderer, renderer.media_type


def _accepted(text: str) -> tuple[str, float]:
    """A media range and its quality; other parameters do not count."""
    media, *parameters = (word.strip().lower() for word in text.split(";"))

    for parameter in parameters:
        name, _, value = parameter.partition("=")

        if name.strip() == "q" and QUALITY.fullmatch(value.strip()):
            return media, float(value)

    return media, 1.0


def _liking(
    media_type: str, accepted: Sequence[tuple[str, float]]
) -> tuple[float, int]:
    """The quality that the most exact range gives this type, and how exact that is."""
    ranges = ("*/*", media_type.partition("/")[0] + "/*", media_type)
    exact, quality = max(
        (
            (ranges.index(media), quality)
            for media, quality in accepted
            if media in ranges
        ),
        default=(0, 0.0),
    )

    return quality, exact
