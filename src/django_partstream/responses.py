"""Problems as HTTP responses."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core import signals
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import Http404, HttpResponse
from django.utils.log import log_response
from rest_framework import exceptions
from rest_framework.views import APIView, set_rollback

from . import encoding
from .errors import PartstreamError
from .problems import CONTENT_TYPE, Problem, problem_of

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

__all__ = ("ProblemMixin", "answer_error", "as_problem", "problem_response")

logger = logging.getLogger(__name__)

#: Of a DRF answer, what a problem in its place must keep.
KEPT_HEADERS = ("WWW-Authenticate", "Retry-After", "Allow")


def problem_response(problem: Problem) -> HttpResponse:
    """The problem as `application/problem+json`, whatever the request accepts."""
    return HttpResponse(
        encoding.encode(problem.wire()),
        status=problem.status,
        content_type=CONTENT_TYPE,
        headers={"Cache-Control": "no-store"},
    )


def answer_error(error: PartstreamError) -> HttpResponse:
    """The response to one of our own errors. One that is the application's fault, not
    just bad luck, is logged, and its text kept from the client."""
    if error.status < 500 or error.retry_after is not None:
        response = problem_response(problem_of(error))

        if error.retry_after is not None:
            response["Retry-After"] = str(error.retry_after)

        return response

    logger.error("%s", error.detail, exc_info=error)

    return problem_response(
        Problem(
            status=error.status,
            code=error.code,
            detail=error.detail if settings.DEBUG else type(error).__doc__ or "",
        )
    )


def as_problem(response: HttpResponseBase, error: Exception) -> HttpResponse:
    """DRF's answer to an error, as a problem."""
    problem = problem_response(
        Problem(
            status=response.status_code,
            code=_code(error),
            detail=_detail(getattr(response, "data", None)),
        )
    )

    for header in KEPT_HEADERS:
        if header in response:
            problem[header] = response[header]

    return problem


class ProblemMixin(APIView):
    """A view whose errors are all problem documents."""

    def handle_exception(self, exc: Exception) -> HttpResponseBase:  # type: ignore[override]
        if isinstance(exc, PartstreamError):
            return answer_error(exc)

        try:
            # DRF decides the status (401 or 403), the headers and what is its own.
            response = super().handle_exception(exc)
        except Exception as error:
            return self._uncaught(error)

        return as_problem(response, exc)

    def _uncaught(self, error: Exception) -> HttpResponse:
        """What Django makes of it, as a problem."""
        if isinstance(error, (BadRequest, SuspiciousOperation)):
            logger.warning("%s", error, exc_info=error)

            return problem_response(
                Problem(
                    status=HTTPStatus.BAD_REQUEST,
                    code="bad_request",
                    detail=_told(error, "The request is malformed."),
                )
            )

        # Error reporters and the test client listen to this.
        signals.got_request_exception.send(sender=type(self), request=self.request)
        set_rollback()
        response = problem_response(
            Problem(
                status=HTTPStatus.INTERNAL_SERVER_ERROR,
                code="error",
                detail=_told(error, "The request could not be served."),
            )
        )
        log_response(
            "%s: %s",
            response.reason_phrase,
            self.request.path,
            response=response,
            request=self.request,
            exception=error,
        )

        return response


def _told(error: Exception, instead: str) -> str:
    return f"{type(error).__name__}: {error}" if settings.DEBUG else instead


def _code(error: Exception) -> str:
    if isinstance(error, Http404):
        return "not_found"

    if isinstance(error, exceptions.APIException):
        codes = error.get_codes()

        return codes if isinstance(codes, str) else str(error.default_code)

    return "permission_denied"


def _detail(data: Any) -> str:
    if isinstance(data, dict) and isinstance(data.get("detail"), str):
        return str(data["detail"])

    return "" if data is None else encoding.encode(data).decode()
