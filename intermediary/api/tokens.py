"""Keys of programs: made by a person on a page, presented with every request, revoked by that person.

A secret is 256 random bits, so its plain SHA-256 is enough to store: there is nothing to guess. It acts for the person
who made it and never as an officer. Expiry and use are told by the wall clock, not by platform time: a replay's clock
must not revive a key. The rows themselves are the record of who made and ended what: the database lets nobody change
them, and a web request may not write the audit trail.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from intermediary import access
from intermediary.errors import BadInput, Refusal
from intermediary.models import ApiToken

PREFIX = "bulkhead_"  # lets scanners of repositories recognise a key that leaked
SHOWN = 4  # characters after the prefix that stay readable
DAYS_MAX = 365
TOKENS_MAX = 20  # live keys a person; more is a program that forgets to revoke
USED_EVERY = timedelta(minutes=1)  # how often use is noted: not a write a request
READ, BID, TRANSFER = "read", "bid", "transfer"
SCOPES = {
    READ: "Read what is yours",
    BID: "Bid in offerings, open and withdraw bids",
    TRANSFER: "Announce transfers of notes",
}


class Unauthenticated(Refusal):
    """No key, or none that counts. Which of its faults it has is not told to whoever presents it."""

    status = 401

    def __init__(self) -> None:
        super().__init__(
            "key_not_accepted", "This needs an API key that is valid, unexpired and used from its network."
        )


@dataclass(frozen=True)
class Issued:
    """A new key: `secret` is shown now and never again."""

    token: ApiToken
    secret: str


def issue(*, user: User, name: str, scopes: Sequence[str], days: int, networks: Sequence[str]) -> Issued:
    """Make a key for this person. Refuses officers, unknown scopes, networks that are none, and too many keys."""
    if user.is_staff or not user.is_active:
        raise Refusal("no_keys_for_officers", "Officers act in person: no program decides for the house.")
    if not name.strip() or len(name) > 60:
        raise BadInput("name_missing", "Give the key a name of at most 60 characters.")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise BadInput("scope_unknown", "Choose what the key may do.", unknown=unknown, known=list(SCOPES))
    if not 1 <= days <= DAYS_MAX:
        raise BadInput("lifetime_out_of_range", f"A key lives 1 to {DAYS_MAX} days.", days=days)
    held = ApiToken.objects.filter(user=user, revoked_at=None, expires_at__gt=_now()).count()
    if held >= TOKENS_MAX:
        raise Refusal("too_many_keys", "Revoke a key before you make another.", held=held, limit=TOKENS_MAX)
    secret = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        name=name.strip(),
        digest=digest_of(secret),
        shown=secret[len(PREFIX) : len(PREFIX) + SHOWN],
        scopes=sorted(set(scopes), key=list(SCOPES).index),
        networks=[str(_network(one)) for one in networks],
        expires_at=_now() + timedelta(days=days),
    )
    return Issued(token, secret)


def revoke(*, user: User, token_id: UUID) -> None:
    """End one of this person's keys; harmless when repeated."""
    token = ApiToken.objects.filter(id=token_id, user=user).first()
    if token is None:
        raise access.not_found()
    ApiToken.objects.filter(id=token.id, revoked_at=None).update(revoked_at=_now())


def owner_of(secret: str, address: str) -> tuple[User, ApiToken]:
    """The person for whom this secret speaks, from this address; row-level security is limited to that person.

    Raises `Unauthenticated` for whatever is wrong with it.
    """
    digest = digest_of(secret)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('bulkhead.api_key', %s, true)", [digest])
    token = ApiToken.objects.filter(digest=digest).first()
    now = _now()
    if token is None or token.revoked_at is not None or token.expires_at <= now or not _from(token, address):
        raise Unauthenticated
    access.become_tenant(token.user_id, [])
    user = User.objects.filter(id=token.user_id, is_active=True, is_staff=False).first()
    if user is None:
        raise Unauthenticated
    access.become_tenant(user.pk, [str(party) for party in user.memberships.values_list("party_id", flat=True)])
    if token.used_at is None or now - token.used_at >= USED_EVERY:
        ApiToken.objects.filter(id=token.id).update(used_at=now)
    return user, token


def digest_of(secret: str) -> str:
    """SHA-256 of the secret, 64 hex digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _from(token: ApiToken, address: str) -> bool:
    if not token.networks:
        return True
    try:
        here = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(here in ipaddress.ip_network(network) for network in token.networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as problem:
        raise BadInput("not_a_network", "A network is written like 203.0.113.0/24.", given=text.strip()) from problem


def _now() -> datetime:
    return datetime.now(UTC)
