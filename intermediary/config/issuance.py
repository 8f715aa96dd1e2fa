"""A whole issue in one go: structure, contracts, book, wallets' subscriptions, close, risk period.

`bonds` decides and writes rows, `settlement` speaks to the chain, and neither knows the other: here they take turns,
each step in a transaction of its own and no network inside one. Every step of bonds is harmless when repeated. The
investors' side (minting demo cash, approving, subscribing) is theirs: only a demonstration holds their keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from bonds.marking import valuation
from bonds.models import Series, Tranche
from bonds.offering import orders, stages
from bonds.offering.terms import SeriesTerms
from intermediary import clock
from intermediary.config import note_register
from intermediary.config.issuance_spec import chain_spec
from intermediary.errors import Refusal
from settlement import cycle
from settlement import series as on_chain
from settlement.chain import Chain
from settlement.demo_chain import fund_gas
from settlement.deployment import mint_tokens
from settlement.signer import Signer
from settlement.transactor import Mine

ACTOR = "structuring desk"
TIME_TO_SUBSCRIBE = timedelta(days=1)  # of platform time: the demo's wallets pay within minutes


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
        _open_book(chain, terms, series, mine, planned or {})
    _take_orders(series, bids)
    with transaction.atomic(durable=True):
        series = orders.allocate(actor=ACTOR, series_id=series.id)
    if series.state == Series.State.PULLED:
        raise Refusal("book_not_covered", "The orders do not cover every class: the series is pulled.")
    _subscribe(chain, terms, series, bids, mine)
    on_chain.close_offering(chain=chain, escrow=series.escrow_address, mine=mine)
    cycle.settle_all(mine=mine)
    with transaction.atomic(durable=True):
        return stages.issue(actor=ACTOR, series_id=series.id)


def _open_book(
    chain: Chain,
    terms: SeriesTerms,
    series: Series,
    mine: Mine | None,
    planned: Mapping[UUID, Sequence[tuple[UUID, Decimal]]],
) -> None:
    targets = on_chain.deploy_series(chain=chain, spec=chain_spec(terms, clock.now() + TIME_TO_SUBSCRIBE), mine=mine)
    with transaction.atomic(durable=True):
        stages.register_contracts(actor=ACTOR, series_id=series.id, escrow=targets.escrow, notes=list(targets.notes))
    guidance = valuation.price_guidance(series.id, planned)
    with transaction.atomic(durable=True):
        stages.open_book(actor=ACTOR, series_id=series.id, guidance_bps=guidance)


def _take_orders(series: Series, bids: Sequence[Bid]) -> None:
    tranches = list(Tranche.objects.filter(series=series).order_by("seniority"))
    for bid in bids:
        tranche = tranches[bid.class_index]
        assert tranche.guidance_bps is not None, "the book is open, so its guidance is published"
        with transaction.atomic(durable=True):
            orders.place_order(
                user=bid.user,
                tranche_id=tranche.id,
                amount_base_units=bid.amount_base_units,
                minimum_spread_bps=max(0, tranche.guidance_bps + bid.spread_over_guidance_bps),
            )


def _subscribe(chain: Chain, terms: SeriesTerms, series: Series, bids: Sequence[Bid], mine: Mine | None) -> None:
    wallets = {bid.wallet.address: bid.wallet for bid in bids}
    fund_gas(chain, *wallets)
    for index, units_of in enumerate(orders.allotments(series.id)):
        on_chain.allot(chain=chain, escrow=series.escrow_address, tranche=index, units_of=units_of, mine=mine)
        for address, units in units_of.items():
            mint_tokens(chain=chain, asset=terms.currency, to=address, amount_base_units=units, mine=mine)
            on_chain.subscribe(
                chain=chain,
                escrow=series.escrow_address,
                investor=wallets[address],
                tranche=index,
                units=units,
                mine=mine,
            )
