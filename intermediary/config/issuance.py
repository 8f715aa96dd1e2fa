"""A whole issue in one go: structure, sealed bids, clearing, contracts, wallets' subscriptions, close, risk period.

`bonds` decides and writes rows, `settlement` speaks to the chain, and neither knows the other: here they take turns,
each step in a transaction of its own and no network inside one. Every step of bonds is harmless when repeated. The
investors' side (minting demo cash, approving, subscribing) is theirs: only a demonstration holds their keys.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from bonds.marking import valuation
from bonds.models import Allocation, Offering, Order, Series, Tranche
from bonds.offering import clearing, orders, plan, sale, sealing, stages
from bonds.offering.book import Step
from bonds.offering.terms import SeriesTerms
from intermediary import access, clock
from intermediary.config import note_register, note_sale
from intermediary.errors import Refusal
from settlement import cycle
from settlement import series as on_chain
from settlement.bindings import read
from settlement.chain import Chain
from settlement.demo_chain import fund_gas
from settlement.deployment import mint_tokens
from settlement.signer import Signer
from settlement.transactor import Mine

ACTOR = "structuring desk"
WINDOW = timedelta(hours=1)  # of bidding and of revealing
TIME_TO_PAY = timedelta(days=1)  # of platform time: the demo's wallets pay within minutes
STEPS_MAX = 12  # deploy, allot, paid, closed, issued take five; finality trails by a few looks


@dataclass(frozen=True)
class Bid:
    """An investor's order, stated against the guidance that is priced first."""

    user: User
    wallet: Signer
    class_index: int
    amount_base_units: int
    spread_over_guidance_bps: int


def issue_series(
    *,
    chain: Chain,
    terms: SeriesTerms,
    bids: Sequence[Bid],
    mine: Mine | None,
    planned: Mapping[UUID, Sequence[tuple[UUID, Decimal]]] | None = None,
) -> Series:
    """Issue a series to these investors; it ends on risk with its tail layers funded.

    `planned`: (instrument, signed quantity) that the relationships will trade once covered, priced into the guidance.
    The investors' wallets are granted eligibility by now; what of it is not in the register on chain is entered first.
    Raises `book_not_covered` when the bids leave a class unsold (the series is pulled).
    """
    note_register.enter_all(chain, mine)
    with transaction.atomic(durable=True):
        series = stages.structure(actor=ACTOR, terms=terms)
    if series.state == Series.State.STRUCTURING:
        _open_book(terms, series, planned or {})
    offering = Offering.objects.select_related("series").get(series=series)
    if offering.state in Offering.BEFORE_CLEARING:
        _take_bids(offering, bids)
    with transaction.atomic(durable=True):
        offering.refresh_from_db()
        if offering.state != Offering.State.PULLED:
            clearing.allocate(actor=ACTOR, series_id=series.id, report_hash=offering.report_hash)
    if offering.state == Offering.State.PULLED:
        raise Refusal("book_not_covered", f"The series is pulled: {offering.pulled_because}")
    _settle(chain, offering, bids, mine)
    return Series.objects.get(id=series.id)


def _open_book(terms: SeriesTerms, series: Series, planned: Mapping[UUID, Sequence[tuple[UUID, Decimal]]]) -> None:
    opens_at = clock.now()
    with transaction.atomic(durable=True):
        sale.announce(actor=ACTOR, series_id=series.id, plan=plan.plain(terms, opens_at, WINDOW, TIME_TO_PAY))
    guidance = valuation.price_guidance(series.id, planned)
    with transaction.atomic(durable=True):
        sale.guide(actor=ACTOR, series_id=series.id, guidance_bps=guidance)
        sale.advance(opens_at)


def _take_bids(offering: Offering, bids: Sequence[Bid]) -> None:
    """Sealed, then revealed. The demonstration does not wait for the clock: it lets each window end when all have bid,
    which nobody can do in production."""
    tranches = list(Tranche.objects.filter(series=offering.series).order_by("seniority"))
    sealed = [_seal(tranches[bid.class_index], bid) for bid in bids]
    with transaction.atomic(durable=True):
        sale.advance(offering.commits_until)
    for bid, order, opening, nonce in sealed:
        with transaction.atomic(durable=True):
            orders.reveal(user=bid.user, order_id=order.id, opening=opening, nonce=nonce)
    with transaction.atomic(durable=True):
        sale.advance(offering.reveals_until)


def _seal(tranche: Tranche, bid: Bid) -> tuple[Bid, Order, str, str]:
    assert tranche.guidance_bps is not None, "the book is open, so its guidance is published"
    party = access.party_for(bid.user)
    spread = max(0, tranche.guidance_bps + bid.spread_over_guidance_bps)
    nonce = secrets.token_hex(32)
    opening = sealing.Opening(
        series=tranche.series.code,
        note=tranche.symbol,
        bidder=sealing.bidder_of(party.id, nonce),
        steps=(Step(spread, bid.amount_base_units),),
        minimum_fill_base_units=0,
        salt=secrets.token_hex(32),
    )
    with transaction.atomic(durable=True):
        order = orders.commit(user=bid.user, tranche_id=tranche.id, commitment=opening.commitment)
    return bid, order, opening.text, nonce


def _settle(chain: Chain, offering: Offering, bids: Sequence[Bid], mine: Mine | None) -> None:
    """Contracts, allotments, the wallets' payments, and everything until the series is on risk."""
    wallets = {bid.wallet.address: bid.wallet for bid in bids}
    fund_gas(chain, *wallets)
    for _ in range(STEPS_MAX):
        note_sale.step(chain, offering, mine)
        _pay(chain, offering, wallets, mine)
        cycle.settle_all(mine=mine)
        if Offering.objects.filter(id=offering.id, state=Offering.State.SETTLED).exists():
            return
    raise Refusal("not_settled", "The notes were not paid for and delivered in time.", series=offering.series.code)


def _pay(chain: Chain, offering: Offering, wallets: Mapping[str, Signer], mine: Mine | None) -> None:
    """What the investors' own wallets do once they are allotted units; the demonstration gives them the cash."""
    series = Series.objects.get(id=offering.series_id)
    if not series.escrow_address:
        return
    tranches = list(Tranche.objects.filter(series=series).order_by("seniority").values_list("id", flat=True))
    due = Allocation.objects.filter(tranche__series=series, state=Allocation.State.DUE).select_related("order__wallet")
    for one in due:
        index, address = tranches.index(one.tranche_id), one.order.wallet.address
        units = int(read(chain, series.escrow_address, "SeriesEscrow", "allotment", index, address))
        if not units:
            continue
        mint_tokens(chain=chain, asset=series.currency_id, to=address, amount_base_units=units, mine=mine)
        on_chain.subscribe(
            chain=chain,
            escrow=series.escrow_address,
            investor=wallets[address],
            tranche=index,
            units=units,
            mine=mine,
        )
