"""The `Idempotency-Key` header (an IETF draft of the HTTPAPI working group).

A key is its sender's: users never meet each other's. Who is anonymous is known by
nothing else than the key, as an anonymous job is by its id, so that theirs must be as
hard to guess.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, BinaryIO

from .errors import IdempotencyKeyError
from .jobs.submit import Once

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from .intent import Intent

__all__ = ("HEADER", "REPLAYED", "is_kept", "once_of")

HEADER = "Idempotency-Key"
#: Said on the answer to a request that came before.
REPLAYED = "Idempotency-Replayed"

MAX_LENGTH = 255
#: Of an anonymous key; a UUID has 36.
MIN_ANONYMOUS_LENGTH = 32

BLOCK_BYTES = 1024 * 1024


def is_kept(request: Request, intent: Intent) -> bool:
    """Whether what is answered at once is kept for whoever asks again."""
    return HEADER in request.headers and not intent.preferences.rollback


def once_of(
    request: Request,
    *,
    owner: Any,
    asked: Mapping[str, Any],
    stream: BinaryIO | None,
) -> Once | None:
    """The key of this request, and what the request is; None where it has none.

    `asked` is JSON for what is asked beside address and input. The stream is left at
    its beginning. Raises IdempotencyKeyError.
    """
    header = request.headers.get(HEADER)

    if header is None:
        return None

    key = _key(header)

    if owner is None and len(key) < MIN_ANONYMOUS_LENGTH:
        raise IdempotencyKeyError(
            f"The {HEADER} of an anonymous request must have {MIN_ANONYMOUS_LENGTH} "
            "characters or more, for example a random UUID: whoever knows it is "
            "answered with the job."
        )

    whose = "anonymous" if owner is None else f"user {owner.pk}"
    what = {
        "method": request.method,
        "path": request.path,
        "query": sorted(request.query_params.lists()),
        "asked": asked,
        "input": None if stream is None else _digest(stream),
    }

    return Once(key=_sha256(f"{whose} {key}"), request=_sha256(json.dumps(what)))


def _key(header: str) -> str:
    """A structured header's string, or the bare characters of one."""
    text = header.strip()

    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")

    if not 0 < len(text) <= MAX_LENGTH or not (text.isascii() and text.isprintable()):
        raise IdempotencyKeyError(
            f"The {HEADER} must have 1 to {MAX_LENGTH} printable ASCII characters."
        )

    return text


def _digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    stream.seek(0)

    while block := stream.read(BLOCK_BYTES):
        digest.update(block)

    stream.seek(0)

    return digest.hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
