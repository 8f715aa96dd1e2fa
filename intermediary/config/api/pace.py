"""How often a program may ask: by key, or by address without one. Counted in the web process, of which there is one."""

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from intermediary.models import ApiToken

if TYPE_CHECKING:  # the framework imports this module while it makes that class
    from rest_framework.views import APIView


class _Pace(SimpleRateThrottle):
    def get_cache_key(self, request: Request, view: "APIView") -> str | None:
        """One counter a key, or an address."""
        who = str(request.auth.id) if isinstance(request.auth, ApiToken) else self.get_ident(request)
        return f"pace:{self.scope}:{who}" if self.counts(request) else None

    def counts(self, request: Request) -> bool:
        """Whether this counter is for such a request."""
        raise NotImplementedError


class Anonymous(_Pace):
    """Public data, asked for without a key."""

    scope, rate = "anonymous", "120/min"

    def counts(self, request: Request) -> bool:
        return not isinstance(request.auth, ApiToken)


class Reads(_Pace):
    """A program that looks."""

    scope, rate = "reads", "600/min"

    def counts(self, request: Request) -> bool:
        return isinstance(request.auth, ApiToken) and request.method in ("GET", "HEAD", "OPTIONS")


class Writes(_Pace):
    """A program that asks for something to be done."""

    scope, rate = "writes", "60/min"

    def counts(self, request: Request) -> bool:
        return isinstance(request.auth, ApiToken) and request.method not in ("GET", "HEAD", "OPTIONS")
