"""An answer that was given at once, kept for whoever sends the request again.

It is kept as a finished job that nobody is told of, in the transaction that wrote the
rows: either both are there, or neither.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson
from django.db import transaction
from rest_framework.response import Response

from . import encoding, idempotency
from .errors import IdempotencyConflictError, IdempotencyKeyError
from .jobs import inputs, states
from .jobs.submit import KeyTakenError, claim, earlier
from .owners import is_nobody, is_stored, owner_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from .intent import Intent
    from .jobs.submit import Once
    from .models import Job

__all__ = ("KIND", "answered_once")

#: As which the job of such an answer is listed.
KIND = "answer"


def answered_once(
    request: Request,
    intent: Intent,
    write: Callable[[], HttpResponseBase],
    *,
    using: str,
    stream: BinaryIO,
) -> HttpResponseBase:
    """What `write` returns; for an `Idempotency-Key` that came with the same request
    before, what it returned then.

    `using` is the database that `write` writes to; `stream`, the input, is left at its
    beginning. What raises is not kept. Raises the errors of idempotency.
    """
    if not idempotency.is_kept(request, intent):
        return write()

    if not (is_nobody(request.user) or is_stored(request.user)):
        raise IdempotencyKeyError(
            "The Idempotency-Key cannot be heeded for a user that is not in the "
            "database. Send the request without it."
        )

    owner = owner_of(request)
    asked = {
        "verb": intent.verb.value,
        "unique_fields": list(intent.unique_fields),
        "update_fields": intent.update_fields and list(intent.update_fields),
        "prefer": sorted(intent.preferences.values.items()),
    }
    once = idempotency.once_of(request, owner=owner, asked=asked, stream=stream)
    assert once is not None  # for mypy: the header is there

    if using != states.jobs().db:
        raise IdempotencyKeyError(
            "The Idempotency-Key cannot be heeded here: the rows are in another "
            "database than the record of keys. Send the request without it, or with "
            "Prefer: respond-async."
        )

    given = earlier(once)

    if given is None:
        try:
            return _write(write, owner, once, using)
        except KeyTakenError as error:
            given = earlier(once)

            if given is None:
                # Our transaction does not see what theirs wrote.
                raise IdempotencyConflictError from error

    return _replay(given)


def _write(
    write: Callable[[], HttpResponseBase], owner: Any, once: Once, using: str
) -> HttpResponseBase:
    with transaction.atomic(using=using):
        # First, so that who comes at the same time waits here.
        job = claim(kind=KIND, owner=owner, once=once)
        response = write()
        # No stream: what is kept is made whole.
        assert isinstance(response, Response)
        job.spec = {
            "status": response.status_code,
            "headers": {
                name: response[name]
                for name in ("Bulk-Mode", "Preference-Applied")
                if name in response
            },
        }
        job.save(using=using, update_fields=["spec"])
        inputs.keep_here(job, io.BytesIO(encoding.encode(response.data)))

    return response


def _replay(job: Job) -> Response:
    if job.kind != KIND:
        # The same request, which became a job: more rows are answered at once by now.
        raise IdempotencyConflictError(
            "A job was made of the request with this Idempotency-Key. Ask for that."
        )

    with io.BufferedReader(
        inputs.InputReader(job.pk, 0, using=states.jobs().db)
    ) as body:
        response = Response(orjson.loads(body.read()), status=job.spec["status"])

    for name, value in job.spec["headers"].items():
        response[name] = value

    response[idempotency.REPLAYED] = "true"

    return response
