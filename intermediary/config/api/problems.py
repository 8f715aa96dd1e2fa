"""Everything that goes wrong in the API, told as problem+json (RFC 9457); what the view did before is undone."""

from math import ceil
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest
from rest_framework import exceptions
from rest_framework.response import Response

from intermediary.config.refusals import BEFORE_VIEW, problem
from intermediary.errors import Refusal

CONTENT_TYPE = "application/problem+json"


def told(exception: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to an exception of a view; None for a fault of ours, which the server answers as a 500."""
    _undo(context["request"])
    if isinstance(exception, Refusal):
        headers = {"WWW-Authenticate": "Bearer"} if exception.status == 401 else {}
        return _answer(problem(exception), exception.status, headers)
    if isinstance(exception, Http404):
        exception = exceptions.NotFound()
    elif isinstance(exception, PermissionDenied):
        exception = exceptions.PermissionDenied()
    if not isinstance(exception, exceptions.APIException):
        return None
    return _answer(*_of_the_framework(exception))


def _of_the_framework(error: exceptions.APIException) -> tuple[dict[str, Any], int, dict[str, str]]:
    """A body that was malformed, a method or a form not offered, too many requests."""
    headers = {}
    data: dict[str, Any] = {}
    status, title = error.status_code, str(error.detail)
    if isinstance(error, exceptions.ValidationError):
        # As of every other bad input.
        status, title, data = (
            422,
            "Some of what you sent cannot be read. Nothing was changed.",
            {"fields": error.detail},
        )
    wait: float | None = getattr(error, "wait", None)  # the framework's stubs do not know it
    if wait is not None:
        headers["Retry-After"] = str(max(1, ceil(wait)))
        data = {"retry_after_seconds": max(1, ceil(wait))}
    code = "malformed" if status == 422 else str(error.default_code)
    return (
        {"type": f"urn:bulkhead:refusal:{code}", "title": title, "status": status, "code": code, "data": data},
        status,
        headers,
    )


def _answer(body: dict[str, Any], status: int, headers: dict[str, str]) -> Response:
    return Response(body, status=status, headers=headers, content_type=CONTENT_TYPE)


def _undo(request: Any) -> None:
    inner: HttpRequest = request._request
    savepoint = inner.META.get(BEFORE_VIEW)
    if savepoint is not None:
        transaction.savepoint_rollback(savepoint)
