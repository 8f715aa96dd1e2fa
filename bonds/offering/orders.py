"""Orders of investors: sealed while the book is open, revealed when it is closed.

While the book is open an order is a commitment, and the public timeline tells of each with its time: nobody at the
house can read an amount, nor slip a bid in later. Then each investor reveals the opening it kept. What is not revealed
in time is no bid: nobody else has the opening, so nobody else can help. Covered clients and their affiliates are barred
when they bid, when they reveal and again when the book is cleared; the database says it once more (B3).
"""

from collections.abc import Sequence
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q

from bonds import timeline
from bonds.models import Offering, Order, Series, SeriesEvent, Slice, Tranche
from bonds.offering import rolling, sealing
from bonds.offering.eligibility import refuse_ineligible, wallet_for
from intermediary import access, audit, clock
from intermediary.errors import BadInput, Refusal
from intermediary.models import Affiliation, Party, Wallet

State = Order.State


def commit(
    *,
    user: User,
    tranche_id: UUID,
    commitment: str,
    conflicts: Sequence[str] = (),
    roll_forward: UUID | None = None,
) -> Order:
    """Seal a bid for a class; a later one replaces it while the book is open. The same commitment again is harmless.

    `commitment`: SHA-256 of the opening (`sealing`), 64 hex digits. `roll_forward`: the election that it is made from;
    the bid is of its wallet then. Refuses a closed book, a covered client and its affiliates, declared ones too, and
    whoever may not hold notes in its wallet.
    """
    party = access.party_for(user)
    tranche = _published_class(tranche_id)
    offering = locked(tranche.series_id, Offering.State.OPEN, code="book_not_open")
    now = clock.now()
    if not offering.opens_at <= now < offering.commits_until:
        raise Refusal("book_is_closed", "The time for bids is over.", commits_until=offering.commits_until.isoformat())
    if not sealing.HEX_64.fullmatch(commitment):
        raise BadInput("commitment_unreadable", "A sealed bid is the SHA-256 of its opening, 64 hex digits.")
    election = rolling.standing(party.id, tranche_id, roll_forward) if roll_forward else None
    wallet = election.wallet if election else wallet_for(party, now)
    if wallet is None:
        raise Refusal("no_proved_wallet", "Notes are held in a wallet whose control you proved.")
    refuse_barred(tranche.series_id, party.id)
    declared = _declared(conflicts)
    refuse_ineligible(party, wallet, now)
    mine = Order.objects.filter(tranche=tranche, party=party, state=State.PLACED).first()
    if mine is not None and _is_same(mine, commitment, declared, wallet, rolls=election is not None):
        return mine
    if mine is not None:
        _withdraw(mine, user)
    if Order.objects.filter(tranche=tranche, commitment=commitment).exists():
        raise Refusal("commitment_used", "This commitment stands in the book already: seal the bid anew.")
    order = Order.objects.create(
        tranche=tranche, party=party, wallet=wallet, commitment=commitment, conflicts=declared, placed_by=user
    )
    order.refresh_from_db(fields=["at"])
    if election is not None:
        rolling.join(order)
    _record(user, "order_sealed", order)
    text = f"Sealed bid for {tranche.symbol}"
    timeline.tell(tranche.series_id, SeriesEvent.Kind.SEALED, text, note=tranche.symbol, commitment=commitment)
    return order


def withdraw_order(*, user: User, order_id: UUID) -> Order:
    """Take one's own sealed bid out of an open book; it stays on the timeline as withdrawn."""
    order = _own(user, order_id)
    locked(order.tranche.series_id, Offering.State.OPEN, code="book_not_open")
    if order.state == State.WITHDRAWN:
        return order
    if clock.now() >= order.tranche.series.offering.commits_until:
        raise Refusal("book_is_closed", "The time for bids is over: a sealed bid stands.")
    _withdraw(order, user)
    return order


def reveal(*, user: User, order_id: UUID, opening: str, nonce: str) -> Order:
    """Open one's own sealed bid. The same opening again is harmless.

    Refuses an opening that is not what was sealed, one for another class or of another bidder, a bad ladder, and any
    that comes too early or too late; the bid stays sealed then.
    """
    order = _own(user, order_id)
    series = order.tranche.series
    offering = locked(series.id, Offering.State.CLOSED, code="not_the_time_to_reveal")
    order = Order.objects.select_for_update().get(id=order.id)
    if order.state == State.REVEALED and order.opening == opening:
        return order
    if clock.now() >= offering.reveals_until:
        raise Refusal("reveal_too_late", "The time to reveal bids is over.", until=offering.reveals_until.isoformat())
    if order.state != State.PLACED:
        raise Refusal("not_sealed", f"This bid is {order.get_state_display().lower()}.", state=order.state)
    refuse_barred(series.id, order.party_id)
    refuse_ineligible(order.party, order.wallet, clock.now())
    found = sealing.read(opening)
    sealing.refuse_other(found, order.commitment, series.code, order.tranche.symbol, order.party_id, nonce)
    sealing.refuse_bad_ladder(found, series.denomination_base_units)
    order.opening, order.nonce, order.state, order.revealed_at = opening, nonce, State.REVEALED, clock.now()
    order.save(update_fields=["opening", "nonce", "state", "revealed_at"])
    _record(user, "order_revealed", order)
    return order


def locked(series_id: UUID, *states: Offering.State, code: str = "wrong_offering_state") -> Offering:
    """The offering of a series under its row lock, after the series' own: all lock in that order, so nobody waits in a
    circle. Refuses any state but these."""
    assert connection.in_atomic_block
    Series.objects.select_for_update().filter(id=series_id).first()
    rows = Offering.objects.select_for_update(of=("self",)).select_related("series")
    found = rows.filter(series_id=series_id).first()
    if found is None:
        raise access.not_found()
    if found.state not in states:
        raise Refusal(code, f"The offering is at: {found.get_state_display().lower()}.", state=found.state)
    return found


def is_barred(series_id: UUID, party_id: UUID) -> bool:
    """Whether the party is a covered client of the series or under common control with one."""
    covered = set(Slice.objects.filter(series_id=series_id).values_list("cell__party_id", flat=True))
    linked = Affiliation.objects.filter(
        Q(party_id=party_id, affiliate_id__in=covered) | Q(affiliate_id=party_id, party_id__in=covered)
    )
    return party_id in covered or linked.exists()


def refuse_barred(series_id: UUID, party_id: UUID) -> None:
    """Refuse a covered client and whoever is under common control with one."""
    if is_barred(series_id, party_id):
        raise Refusal("barred_from_series", "A covered client and its affiliates may not hold the notes of its series.")


def may_hold(series_id: UUID, wallet: Wallet | None) -> bool:
    """Whether units of the series at this wallet are a holding here: an investor's, and of nobody who is barred."""
    if wallet is None or wallet.party.kind != Party.Kind.INVESTOR:
        return False
    return not is_barred(series_id, wallet.party_id)


def _declared(conflicts: Sequence[str]) -> list[str]:
    unknown = sorted(set(conflicts) - set(Order.Conflict.values))
    if unknown:
        raise BadInput("conflict_unknown", "There is no such conflict to declare.", unknown=unknown)
    if Order.Conflict.AFFILIATE in conflicts:
        raise Refusal("barred_from_series", "You declare common control with a covered client: it may not hold these.")
    return sorted(set(conflicts))


def _published_class(tranche_id: UUID) -> Tranche:
    found = Tranche.objects.filter(id=tranche_id).exclude(series__state=Series.State.STRUCTURING).first()
    if found is None:
        raise access.not_found()
    return found


def _own(user: User, order_id: UUID) -> Order:
    party = access.party_for(user)
    rows = Order.objects.select_related("tranche__series__offering", "party", "wallet")
    order = rows.filter(id=order_id, party=party).first()
    if order is None:
        raise access.not_found()
    return order


def _is_same(order: Order, commitment: str, declared: list[str], wallet: Wallet, *, rolls: bool) -> bool:
    said = (order.commitment, order.conflicts, order.wallet_id, order.roll_forwards.exists())
    return said == (commitment, declared, wallet.id, rolls)


def _withdraw(order: Order, user: User) -> None:
    order.state = State.WITHDRAWN
    order.save(update_fields=["state"])
    _record(user, "order_withdrawn", order)
    text, note = f"Sealed bid for {order.tranche.symbol} withdrawn", order.tranche.symbol
    kind = SeriesEvent.Kind.UNSEALED
    timeline.tell(order.tranche.series_id, kind, text, note=note, commitment=order.commitment)


def _record(user: User, action: str, order: Order) -> None:
    audit.record(actor=user.get_username(), action=action, subject=order.id, commitment=order.commitment)
