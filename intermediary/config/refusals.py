"""Refusals on their way to a person: problem+json (RFC 9457) for programs, a page for people."""

from collections.abc import Callable

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from intermediary.errors import Refusal

BEFORE_VIEW = "bulkhead.before_view"  # where the savepoint stands among the request's own notes


def problem(refusal: Refusal) -> dict[str, object]:
    """The RFC 9457 body of a refusal."""
    return {
        "type": f"urn:bulkhead:refusal:{refusal.code}",
        "title": refusal.message,
        "status": refusal.status,
        "code": refusal.code,
        "data": refusal.data,
    }


class RefusalMiddleware:
    """Turns a refusal raised by a view into its answer; what the view did is undone.

    The undo goes back to a savepoint, not to the start: the role and tenant of the request stay, so that the answer can
    still be drawn under them.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.META[BEFORE_VIEW] = transaction.savepoint()
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, Refusal):
            return None
        transaction.savepoint_rollback(request.META[BEFORE_VIEW])
        if "text/html" in request.headers.get("Accept", ""):
            return render(request, "refusal.html", {"refusal": exception}, status=exception.status)
        return JsonResponse(problem(exception), status=exception.status, content_type="application/problem+json")
