"""How often a program may ask: by key, or by address without one. Counted in the web process, of which there is one."""

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from intermediary.models import ApiToken

if TYPE_CHECKING:  # the framework imports this module while it makes that class
    from rest_framework.views import APIView


READING = ("GET", "HEAD", "OPTIONS")


class _Pace(SimpleRateThrottle):
    with_key = True

    def get_cache_key(self, request: Request, view: "APIView") -> str | None:
        """One counter a key, or an address; none for a request that is another counter's."""
        token = request.auth if isinstance(request.auth, ApiToken) else None
        if (token is not None) != self.with_key or not self.counts(request.method or ""):
            return None
        return f"pace:{self.scope}:{token.id if token else self.get_ident(request)}"

    def counts(self, method: str) -> bool:
        """Whether this counter is for such a method."""
        return True


class Anonymous(_Pace):
    """Public data, asked for without a key."""

    scope, rate = "anonymous", "120/min"
    with_key = False


class Reads(_Pace):
    """A program that looks."""

    scope, rate = "reads", "600/min"

    def counts(self, method: str) -> bool:
        """Methods that change nothing."""
        return method in READING


class Writes(_Pace):
    """A program that asks for something to be done."""

    scope, rate = "writes", "60/min"

    def counts(self, method: str) -> bool:
        """All others."""
        return method not in READING
