"""Least privilege of a web request: one transaction, one database role, one tenant.

The web login has no rights of its own (NOINHERIT). A request starts as `bulkhead_portal` with no tenant, which sees
public data and can sign in; once the session names a person, the tenant is set to the parties they act for, or the
role changes to `bulkhead_staff` for officers. A view that forgets its filter still sees only its own client's rows:
of people, too, it sees the one that the session names or that is signing in.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse

from intermediary import access
from intermediary.access import become_tenant as become_tenant

Handler = Callable[[HttpRequest], HttpResponse]


def assume(role: str) -> None:
    """Take a group role until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE bulkhead_{role}")


class Backend(ModelBackend):
    """Django's own, which says whose row it is about to read."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """The person of this name and password, or nobody."""
        if username is not None:
            access.show_person(username)
        found = super().authenticate(request, username, password, **kwargs)
        return found if isinstance(found, User) else None

    def get_user(self, user_id: int) -> User | None:
        """The person whom a session names."""
        become_tenant(user_id, [])
        found = super().get_user(user_id)
        return found if isinstance(found, User) else None


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
