"""Rolling forward: a holder's wish to put the principal that a class repays into a class of the next series.

The contracts keep two series apart, and a bid is sealed by the investor alone, so nothing is netted behind its back. An
election says, while the next book may still be open, that this wallet means to pay for the next notes out of what
these repay; when a repayment is final, the holder's part of it is noted on the election, and the holder is told to
claim it and to subscribe within the window. What of it is bid and filled is the book's business. Loads no numeric
library.
"""

from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from bonds import timeline
from bonds.models import Holding, Redemption, RollForward, Series, SeriesEvent, SlicePart, Tranche
from bonds.offering.eligibility import refuse_ineligible
from bonds.offering.orders import refuse_barred
from bonds.servicing import notices
from intermediary import access, audit, clock
from intermediary.errors import BadInput, NotAllowed, Refusal

State = RollForward.State
SPREAD_BPS_MAX = 10_000  # as in the book: more than the principal itself each year is a slip of the keyboard


def elect(*, user: User, tranche_id: UUID, into_id: UUID, minimum_spread_bps: int) -> RollForward:
    """Say that a wallet's principal of one class is meant for another. The same election again is harmless.

    Refuses who holds nothing of it, a class that is not offered or is of the same series, a covered client of the next
    series and its affiliates, and a wallet that may not hold notes.
    """
    assert connection.in_atomic_block, "an election belongs to a transaction"
    party = access.party_for(user)
    held = Holding.objects.filter(tranche_id=tranche_id, party=party, units__gt=0).select_related("wallet").first()
    if held is None:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    into = Tranche.objects.select_related("series").filter(id=into_id).first()
    if into is None or into.series.state == Series.State.STRUCTURING:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    timeline.refuse_unless(into.series, Series.State.MARKETING)
    timeline.refuse_unless(Series.objects.get(tranches=tranche_id), *Series.LIVE)
    if not 0 <= minimum_spread_bps <= SPREAD_BPS_MAX:
        raise BadInput("spread_out_of_range", f"A spread lies between 0 and {SPREAD_BPS_MAX} basis points.")
    refuse_barred(into.series_id, party.id)
    refuse_ineligible(party, held.wallet, clock.now())
    standing = RollForward.objects.filter(tranche_id=tranche_id, wallet=held.wallet, state=State.ELECTED).first()
    if standing is not None:
        if (standing.into_id, standing.minimum_spread_bps) != (into_id, minimum_spread_bps):
            raise Refusal("elected_already", "This wallet's principal is meant for another class: withdraw that first.")
        return standing
    made = RollForward.objects.create(
        tranche_id=tranche_id, party=party, wallet=held.wallet, into=into, minimum_spread_bps=minimum_spread_bps
    )
    audit.record(actor=user.get_username(), action="roll_forward_elected", subject=made.id, into=into.symbol)
    return made


def withdraw(*, user: User, election_id: UUID) -> RollForward:
    """Take one's own election back, as long as nothing was repaid for it."""
    party = access.party_for(user)
    found = RollForward.objects.select_for_update().filter(id=election_id, party=party).first()
    if found is None:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    if found.state == State.WITHDRAWN:
        return found
    if found.state != State.ELECTED:
        raise Refusal("election_is_over", "This election has been applied or has lapsed.", state=found.state)
    found.state = State.WITHDRAWN
    found.save(update_fields=["state"])
    audit.record(actor=user.get_username(), action="roll_forward_withdrawn", subject=found.id)
    return found


def apply(redemption: Redemption) -> int:
    """A repayment is final: each election on its class is told what its wallet can claim so far, and is over with the
    last one. How many were told. One for a series that was pulled lapses."""
    elections = RollForward.objects.select_for_update().filter(tranche__parts=redemption.part_id, state=State.ELECTED)
    tranche = Tranche.objects.get(parts=redemption.part_id)
    told: dict[UUID, dict[str, str]] = {}
    for one in elections.select_related("into__series"):
        if one.into.series.state == Series.State.PULLED:
            one.state = State.LAPSED
            one.save(update_fields=["state"])
            continue
        units = Holding.objects.filter(tranche=tranche, wallet=one.wallet_id).values_list("units", flat=True).first()
        one.amount_base_units += redemption.amount_base_units * int(units or 0) // tranche.original_base_units
        if not SlicePart.objects.filter(tranche=tranche, outstanding_base_units__gt=0).exists():
            one.state, one.applied_at = State.APPLIED, clock.now()
        one.save(update_fields=["amount_base_units", "state", "applied_at"])
        told[one.party_id] = {"amount_base_units": str(one.amount_base_units), "into": one.into.symbol}
    text = f"Principal of {tranche.symbol} that you meant for the next series can be claimed"
    return notices.tell_holders_of_class(tranche, SeriesEvent.Kind.REPAID, text, told)
