"""Least privilege of a web request: one transaction, one database role, one tenant.

The web login has no rights of its own (NOINHERIT). A request starts as `bulkhead_portal` with no tenant, which sees
public data and can sign in; once the session names a person, the tenant is set to the parties they act for, or the
role changes to `bulkhead_staff` for officers. A view that forgets its filter still sees only its own client's rows.
"""

from collections.abc import Callable

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse

Handler = Callable[[HttpRequest], HttpResponse]


def assume(role: str) -> None:
    """Take a group role until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE bulkhead_{role}")


def become_tenant(user_id: int, party_ids: list[str]) -> None:
    """Limit row-level security to this person and these parties until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('bulkhead.user', %s, true), set_config('bulkhead.parties', %s, true)",
            [str(user_id), ",".join(party_ids)],
        )


class DatabaseRoleMiddleware:
    """Opens the request's transaction and takes the role with the fewest rights."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            if settings.DATABASE_ROLE == "web":
                assume("portal")
            response = self.get_response(request)
            if response.status_code >= 500:
                transaction.set_rollback(True)
        return response


class TenantMiddleware:
    """Names the tenant, or the staff role, of a signed-in person."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        if user.is_authenticated:
            parties = [str(party_id) for party_id in user.memberships.values_list("party_id", flat=True)]
            become_tenant(user.pk, parties)
            if user.is_staff and settings.DATABASE_ROLE == "web":
                assume("staff")
        return self.get_response(request)
