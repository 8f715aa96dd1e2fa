"""Rolling forward: a holder's wish to put the principal that a class repays into a class of the next series.

The contracts keep two series apart, and a bid is sealed by the investor alone, so nothing is netted behind its back. An
election says, before the next book closes, that this wallet means to pay for the next notes out of what these repay;
each repayment that is final is noted on it, and the holder is told. The bid that is made from it, and what of it is
filled and paid, is the sale's business (`bonds.offering.rolling`). Loads no numeric library.
"""

from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from bonds import timeline
from bonds.models import Holding, Offering, RollForward, Series, Tranche
from bonds.offering import eligibility
from bonds.offering.orders import locked, refuse_barred
from bonds.servicing import chain_order, notices
from intermediary import access, audit, clock
from intermediary.errors import BadInput, Refusal
from intermediary.outbox import Place

State = RollForward.State
SPREAD_BPS_MAX = 10_000  # as in the book: more than the principal itself each year is a slip of the keyboard
BEFORE_THE_CLOSE = (Offering.State.ANNOUNCED, Offering.State.GUIDANCE, Offering.State.OPEN)
TOLD = "REPAID_TO_ROLL"  # kind of the notice


def elect(*, user: User, tranche_id: UUID, address: str, into_id: UUID, minimum_spread_bps: int) -> RollForward:
    """Say that what a class repays to the party's wallet `address` is meant for another class. Again it is harmless.

    Refuses who holds nothing of it there, a class whose book is closed or that is repaid already, a covered client of
    the next series and its affiliates, and a wallet that may not hold notes.
    """
    assert connection.in_atomic_block, "an election belongs to a transaction"
    party = access.party_for(user)
    into = Tranche.objects.select_related("series").filter(id=into_id).first()
    if into is None or into.series.state == Series.State.STRUCTURING:
        raise access.not_found()
    offering = locked(into.series_id, *BEFORE_THE_CLOSE, code="book_not_open")
    rows = Holding.objects.select_for_update(of=("self",)).select_related("wallet", "tranche__series")
    held = rows.filter(tranche_id=tranche_id, party=party, wallet__address=address, units__gt=0).first()
    if held is None:
        raise access.not_found()
    timeline.refuse_unless(held.tranche.series, *Series.LIVE)
    if clock.now() >= offering.commits_until:
        raise Refusal("book_is_closed", "The time for bids is over.", commits_until=offering.commits_until.isoformat())
    if not 0 <= minimum_spread_bps <= SPREAD_BPS_MAX:
        raise BadInput(
            "spread_out_of_range", f"A spread lies between 0 and {SPREAD_BPS_MAX:,} basis points.",
            asked_bps=minimum_spread_bps, most_bps=SPREAD_BPS_MAX,
        )  # fmt: skip
    refuse_barred(into.series_id, party.id)
    eligibility.refuse_ineligible(party, held.wallet, clock.now())
    standing = RollForward.objects.select_related("into").filter(
        tranche_id=tranche_id, wallet=held.wallet, state=State.ELECTED
    )
    if (one := standing.first()) is not None:
        if (one.into_id, one.minimum_spread_bps) != (into_id, minimum_spread_bps):
            raise Refusal(
                "elected_already", "What this wallet is repaid is meant for other notes: withdraw that first.",
                into=one.into.symbol, minimum_spread_bps=one.minimum_spread_bps,
            )  # fmt: skip
        return one
    made = RollForward.objects.create(
        tranche_id=tranche_id, party=party, wallet=held.wallet, into=into, minimum_spread_bps=minimum_spread_bps
    )
    audit.record(actor=user.get_username(), action="roll_forward_elected", subject=made.id, into=into.symbol)
    return made


def withdraw(*, user: User, election_id: UUID) -> RollForward:
    """Take one's own election back until the sale has decided it. A bid that was made from it stands by itself."""
    party = access.party_for(user)
    found = RollForward.objects.select_for_update().filter(id=election_id, party=party).first()
    if found is None:
        raise access.not_found()
    if found.state == State.WITHDRAWN:
        return found
    if found.state != State.ELECTED:
        raise Refusal(
            "election_is_over", f"This election is {found.get_state_display().lower()}.", state=found.state,
            repaid_base_units=found.amount_base_units, rolled_base_units=found.rolled_base_units,
        )  # fmt: skip
    found.state = State.WITHDRAWN
    found.save(update_fields=["state"])
    audit.record(actor=user.get_username(), action="roll_forward_withdrawn", subject=found.id)
    return found


def note_repayment(tranche: Tranche, amount_base_units: int, place: Place | None) -> int:
    """So much principal of a class is repaid, at this place of the chain: each standing election on it is told the part
    of its wallet, rounded down. How many were told."""
    standing = RollForward.objects.select_for_update(of=("self",)).filter(tranche=tranche, state=State.ELECTED)
    elections = list(standing.select_related("into").order_by("id"))
    if not elections:
        return 0
    units = {wallet: held for (_, wallet), held in chain_order.units_at(tranche, place).items()}
    text = f"Principal of {tranche.symbol} that you meant for the next series can be claimed"
    told = 0
    for one in elections:
        part = amount_base_units * units.get(one.wallet_id, 0) // tranche.original_base_units
        if not part:
            continue
        one.amount_base_units += part
        one.save(update_fields=["amount_base_units"])
        own = {"amount_base_units": str(part), "repaid_base_units": str(one.amount_base_units), "into": one.into.symbol}
        told += notices.tell_holders_of_class(tranche, TOLD, text, {one.party_id: own})
        eligibility.tell(one.party_id)
    return told
