"""What is said over a socket, in the framing of graphql-transport-ws: PROTOCOL
section 5. Values and their wire form only; nothing here is sent or received."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import orjson

from django_partstream import encoding, frames

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from django_partstream.problems import Problem

__all__ = (
    "CONNECTION_ACK",
    "MAX_MESSAGE_BYTES",
    "PING",
    "PROTOCOLS",
    "CloseError",
    "Complete",
    "ConnectionInit",
    "Message",
    "Next",
    "Ping",
    "Pong",
    "Subscribe",
    "complete",
    "counted",
    "error",
    "negotiate",
    "parse",
    "pong",
)

PROTOCOLS = ("graphql-transport-ws", "partstream")
MAX_MESSAGE_BYTES = 64 * 1024
MAX_ID_CHARACTERS = 256
#: Of one snapshot, messages that are kept.
IDS_KEPT = 64
#: What RFC 6455 leaves for the reason of a close.
MAX_REASON_BYTES = 123

CONNECTION_ACK = '{"type":"connection_ack"}'
PING = '{"type":"ping"}'


class CloseError(Exception):
    """The socket is to be closed, with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInit:
    #: As they were sent: see `counted`.
    headers: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    id: str
    url: str
    cursor: str | None
    live: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    id: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    payload: Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Pong:
    pass


Message = ConnectionInit | Subscribe | Complete | Ping | Pong


def negotiate(scope: Mapping[str, Any]) -> str | None:
    """The first sub-protocol of the client's that is ours; None where none is."""
    return next(
        (name for name in scope.get("subprotocols", ()) if name in PROTOCOLS), None
    )


def parse(event: Mapping[str, Any]) -> Message:
    """The message in a `websocket.receive` event.

    Members that nobody asked for are ignored. Raises CloseError 4400, which says what
    is wrong, for anything that is not a message.
    """
    text = event.get("text")

    if text is None:
        raise _bad("A message must be text, not binary.")

    # Half of a surrogate pair is no UTF-8, and so no JSON either.
    encoded = text.encode(errors="surrogatepass")

    if len(encoded) > MAX_MESSAGE_BYTES:
        raise _bad(f"A message must not be larger than {MAX_MESSAGE_BYTES} bytes.")

    try:
        document = orjson.loads(encoded)
    except orjson.JSONDecodeError:
        raise _bad("A message must be JSON.") from None

    if not isinstance(document, dict):
        raise _bad("A message must be a JSON object.")

    match document.get("type"):
        case "connection_init":
            return ConnectionInit(headers=_headers(_payload(document)))
        case "subscribe":
            return _subscribe(document)
        case "complete":
            return Complete(id=_id(document))
        case "ping":
            return Ping(payload=_payload(document))
        case "pong":
            _payload(document)
            return Pong()
        case other:
            raise _bad(f"A message must have a known type, not {_shown(other)}.")


def counted(headers: Mapping[str, Any], allowed: Collection[str]) -> dict[str, str]:
    """Those of the headers that count, by their names in lower case.

    A client must not forge what a proxy sets, so that the others are not even looked
    at. Raises CloseError 4400 for a value that no header can have.
    """
    chosen = {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in allowed
    }

    for name, value in chosen.items():
        if not (isinstance(value, str) and value.isprintable() and _is_latin1(value)):
            raise _bad(f"The header {name!r} must be one line of Latin-1 text.")

    return chosen


def pong(payload: Mapping[str, Any] | None) -> str:
    """The answer to a ping. Raises CloseError 4400 for a payload of absurd depth."""
    message: dict[str, Any] = {"type": "pong"}

    if payload is not None:
        message["payload"] = payload

    try:
        return _wire(message)
    except orjson.JSONEncodeError:
        # It reads 1,024 levels and writes 254.
        raise _bad("'payload' is nested too deeply.") from None


class Next:
    """The frames of one subscription as messages."""

    __slots__ = ("_head",)

    def __init__(self, subscription: str) -> None:
        head = _wire({"id": subscription, "type": "next"})
        # One text for all that have the same.
        self._head = sys.intern(f'{head[:-1]},"payload":')

    def message(self, frame: frames.Frame) -> str:
        if type(frame) is not frames.Progress:
            return self._text(frame)

        # Thousands may follow a job, most of them under the same id.
        kept, texts = _newest.kept
        text = texts.get(self._head) if kept is frame.snapshot else None

        if text is None:
            text = self._text(frame)
            _newest.keep(frame.snapshot, self._head, text)

        return text

    def _text(self, frame: frames.Frame) -> str:
        return f"{self._head}{encoding.encode_frame(frame).decode()}}}"


class _Newest:
    """The snapshot that was sent last in this process, as messages. For any thread."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        #: It, and its messages by the beginning of each.
        self.kept: tuple[object, dict[str, str]] = (None, {})

    def keep(self, snapshot: object, head: str, text: str) -> None:
        kept, texts = self.kept

        if kept is not snapshot:
            self.kept = snapshot, {head: text}
        elif len(texts) < IDS_KEPT:
            texts[head] = text


_newest = _Newest()


def error(subscription: str, problem: Problem) -> str:
    document = {"message": problem.detail, **problem.wire()}
    message = {"id": subscription, "type": "error", "payload": [document]}

    return encoding.encode(message).decode()


def complete(subscription: str) -> str:
    return _wire({"id": subscription, "type": "complete"})


def _subscribe(document: dict[str, Any]) -> Subscribe:
    payload = _payload(document)

    if payload is None:
        raise _bad("'payload' must be an object.")

    url = payload.get("url")
    cursor = payload.get("cursor")
    live = payload.get("live")

    # graphql-ws clients cannot leave `query` out.
    if url is None:
        url = payload.get("query")

    if not isinstance(url, str):
        raise _bad("'payload.url' must be a string.")

    if not isinstance(cursor, str | None):
        raise _bad("'payload.cursor' must be a string or null.")

    if not isinstance(live, bool | None):
        raise _bad("'payload.live' must be true or false.")

    return Subscribe(id=_id(document), url=url, cursor=cursor, live=bool(live))


def _headers(payload: dict[str, Any] | None) -> dict[str, Any]:
    headers = (payload or {}).get("headers")

    if not isinstance(headers, dict | None):
        raise _bad("'payload.headers' must be an object.")

    return headers or {}


def _payload(document: dict[str, Any]) -> dict[str, Any] | None:
    payload = document.get("payload")

    if not isinstance(payload, dict | None):
        raise _bad("'payload' must be an object.")

    return payload


def _id(document: dict[str, Any]) -> str:
    identifier = document.get("id")

    if not (isinstance(identifier, str) and 0 < len(identifier) <= MAX_ID_CHARACTERS):
        raise _bad(f"'id' must be a string of 1 to {MAX_ID_CHARACTERS} characters.")

    return identifier


def _is_latin1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def _wire(message: Mapping[str, Any]) -> str:
    return orjson.dumps(message).decode()


def _shown(value: Any) -> str:
    shown = repr(value)

    return shown if len(shown) <= 40 else f"{shown[:40]}…"


def _bad(reason: str) -> CloseError:
    return CloseError(4400, reason)
