"""The server's side of the wire: one request, one connection, headers for all."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ("Answer", "LoadError", "Site", "UnreachableError", "refusal", "told")

#: Silence after which a connection counts as lost; a stream pings more often.
SILENCE_SECONDS = 60.0
#: Of a refusal that is no problem document, what is shown.
SHOWN_BYTES = 2000
SAFE = "%/:=&?~#+!$,;'@()*[]"


class LoadError(Exception):
    """The file was refused, or what became of it cannot be told."""


class UnreachableError(OSError):
    """There is no connection, so nothing was sent."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response that was read whole."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Site:
    """Whom requests go to. Credentials in `headers` go nowhere else."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """Raises LoadError for what is no http(s) URL."""
        parts = urlsplit(url)

        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LoadError(
                f"{url!r} is no address of a server; expected one like "
                "https://shop.example/api/contracts/."
            )

        self._url = url
        self._origin = (parts.scheme, parts.netloc)
        self._headers = dict(headers)

    def address(self, path: str) -> str:
        """The whole address of what the server calls `path`. Raises LoadError where
        that is another server's."""
        address = urljoin(self._url, path)
        parts = urlsplit(address)

        if (parts.scheme, parts.netloc) != self._origin:
            raise LoadError(
                f"The server says that the job is at {address}, which is another "
                "server; what was sent to this one is not sent there."
            )

        return address

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] | None = None,
        seconds: float = SILENCE_SECONDS,
    ) -> Iterator[http.client.HTTPResponse]:
        """A response whose body was not read yet. Raises OSError and HTTPException."""
        parts = urlsplit(self.address(path))
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=seconds)
        target = quote(parts.path or "/", safe=SAFE)

        if parts.query:
            target += "?" + quote(parts.query, safe=SAFE)

        try:
            sent = {**self._headers, **(headers or {})}
            chunked = body is not None and "Content-Length" not in sent
            _send(connection, method, target, sent, body, chunked=chunked)

            response = connection.getresponse()
            _check_length(response)

            yield response
        finally:
            connection.close()

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        """The whole answer. Raises as `open` does."""
        with self.open(method, path, **options) as response:
            return Answer(
                status=response.status,
                reason=response.reason,
                headers={name.lower(): text for name, text in response.getheaders()},
                body=response.read(),
            )


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: dict[str, str],
    body: Iterable[bytes] | None,
    *,
    chunked: bool,
) -> None:
    if chunked:
        headers["Transfer-Encoding"] = "chunked"

    try:
        connection.connect()
    except OSError as error:
        raise UnreachableError(str(error) or type(error).__name__) from error

    # A server that has seen enough answers before it has read all; that answer can
    # still be there to be read.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(
            method, target, headers=headers, body=body, encode_chunked=chunked
        )


def _check_length(response: http.client.HTTPResponse) -> None:
    """Of a head that was cut, http.client makes one that says no length, and of what
    comes then a whole body."""
    said = response.length is not None or response.chunked

    if not said and "close" not in response.getheader("Connection", "").lower():
        raise http.client.IncompleteRead(b"")


def refusal(answer: Answer) -> str:
    """What an answer says of why it is none that we want."""
    status = f"{answer.status} {answer.reason}".strip()
    document = answer.json()

    if location := answer.headers.get("location"):
        return f"{status}: it redirects to {location}; send the file there."

    if isinstance(document, dict) and document.get("detail"):
        return "\n".join([f"{status}: {document['detail']}", *_rows(document)])

    text = answer.body[:SHOWN_BYTES].decode(errors="replace").strip()

    return f"{status}: {text}" if text else status


def _rows(document: dict[str, Any]) -> list[str]:
    """The first bad rows of a problem that names them."""
    rows = document.get("rows")

    if not isinstance(rows, list):
        return []

    lines = [f"  row {row.get('row')}: {told(row.get('errors'))}" for row in rows[:10]]

    return [*lines, f"  … and {len(rows) - 10} more"] if len(rows) > 10 else lines


def told(errors: Any) -> str:
    """The errors of a row as one text."""
    return "; ".join(
        f"{str(error.get('pointer', '')).removeprefix('/') or 'row'}: "
        f"{error.get('detail', '')}"
        for error in errors or ()
    )
