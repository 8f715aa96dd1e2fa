"""The one way to fetch an object on behalf of a person.

An object that does not exist and one that belongs to somebody else give the same refusal, so that asking tells
nothing. Officers act for the house and its venue account, never for a client; a client's people act for their party's
relationships only. Row-level security says the same once more in the database of a web request.
"""

from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from intermediary.errors import NotAllowed
from intermediary.models import Cell, MarginCall, Membership, Party, Trade


def party_for(user: User) -> Party:
    """The party that this person acts for; the first joined when there are several."""
    found = Party.objects.filter(members__user_id=user.pk).order_by("members__id").first() if user.is_active else None
    if found is None:
        raise not_found()
    return found


def cell_for(user: User, code_or_id: str | UUID) -> Cell:
    """A relationship of this person's parties, by its public code or its id."""
    key = {"id": code_or_id} if isinstance(code_or_id, UUID) else {"code": code_or_id}
    found = Cell.objects.filter(kind=Cell.Kind.CLIENT, party__members__user_id=user.pk, **key).first()
    if found is None or not user.is_active:
        raise not_found()
    return found


def call_for(user: User, call_id: UUID) -> MarginCall:
    """A margin call on one of this person's relationships."""
    found = MarginCall.objects.filter(id=call_id, cell__party__members__user_id=user.pk).first()
    if found is None or not user.is_active:
        raise not_found()
    return found


def trade_for(user: User, trade_id: UUID) -> Trade:
    """A trade that this person may act on, for one side or the other."""
    found = Trade.objects.select_related("buyer", "seller", "instrument").filter(id=trade_id).first()
    if found is None or not (may_act_for(user, found.buyer) or may_act_for(user, found.seller)):
        raise not_found()
    return found


def may_act_for(user: User, cell: Cell) -> bool:
    """Whether this person speaks for the cell: its party's people for a client, officers for house and venue."""
    if not user.is_active:
        return False
    if cell.kind == Cell.Kind.CLIENT:
        return Membership.objects.filter(party__cells=cell, user_id=user.pk).exists()
    return user.is_staff and cell.kind in (Cell.Kind.HOUSE, Cell.Kind.VENUE)


def require_officer(user: User) -> None:
    """Refuse whoever is not an active officer of the intermediary. Superusers get no bypass: they must be officers."""
    if not (user.is_active and user.is_staff):
        raise not_found()


def become_tenant(user_id: int, party_ids: list[str]) -> None:
    """Limit row-level security to this person and these parties until the transaction ends."""
    _set("bulkhead.user", str(user_id))
    _set("bulkhead.parties", ",".join(party_ids))


def become_nobody() -> None:
    """Take the tenant away: what is left is public."""
    _set("bulkhead.user", "")
    _set("bulkhead.parties", "")


def show_person(username: str) -> None:
    """Let row-level security show one person's row to whoever signs in as them, until the transaction ends."""
    _set("bulkhead.signing_in", username)


def show_people_of_the_demo() -> None:
    """Let it show everybody's, until the transaction ends: the demonstration lists its log-ins, nothing else does."""
    assert settings.MODE == "demo", "people are listed in the demonstration only"
    _set("bulkhead.demo_people", "on")


def _set(name: str, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true)", [name, value])


def not_found() -> NotAllowed:
    """The one refusal for absent and not yours."""
    return NotAllowed("not_found", "There is no such object, or it is not yours.")
