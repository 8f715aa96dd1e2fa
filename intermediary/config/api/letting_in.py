"""Who speaks through the API: the bearer of a key, or nobody.

A browser's session opens nothing here, so no other site can use it. The database role and the tenant that a session
may have brought are put back first: an officer's cookie beside a client's key must not widen what the key sees.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from intermediary import access
from intermediary.api import tokens
from intermediary.config.tenancy import assume
from intermediary.errors import NotAllowed
from intermediary.models import ApiToken

SCHEME = "Bearer"

if TYPE_CHECKING:  # the framework imports this module while it makes that class
    from rest_framework.views import APIView


class Bearer(BaseAuthentication):
    """`Authorization: Bearer <secret>`."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """The key's person and the key; None without one. Raises `Unauthenticated`."""
        access.become_nobody()
        if settings.DATABASE_ROLE == "web":
            assume("portal")
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme != SCHEME or not secret:
            return None
        return tokens.owner_of(secret.strip(), request.META.get("REMOTE_ADDR", ""))

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return SCHEME


class MayDo(BasePermission):
    """The view names in `scopes` what each method needs; one that names nothing is public."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Raises `Unauthenticated`, or a refusal that says which scope is missing."""
        scopes: dict[str, Sequence[str]] = getattr(view, "scopes", {})
        needed = scopes.get(request.method or "", ())
        if not needed:
            return True
        token: Any = request.auth
        if not isinstance(token, ApiToken):
            raise tokens.Unauthenticated
        missing = [scope for scope in needed if scope not in token.scopes]
        if missing:
            raise ScopeMissing(missing)
        return True


class ScopeMissing(NotAllowed):
    """The key is good, but not for this."""

    status = 403

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__("scope_missing", "This key may not do that.", missing=list(missing))
