"""The demo's wallets at work: clients answer their calls by plain transfers, the market pays for sold margin, a
defaulter's estate pays something later. A process of its own: the web process never holds a client's key.

A client answers after its own delay, out of what its wallet still holds. One of them runs dry in the crash; that is
all there is to its default.
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import transaction

from intermediary import calls, clock, margining, onboarding
from intermediary.config.demo import keys
from intermediary.config.demo.world import Cast, Client
from intermediary.ledger import settlement_asset
from intermediary.models import Asset, ChainInstruction, ChainTarget, DefaultCase, MarginCall
from settlement.bindings import contract, read
from settlement.chain import Chain
from settlement.deployment import address_of
from settlement.signer import Signer
from settlement.transactor import Mine, Transactor

logger = logging.getLogger(__name__)
OPEN = (MarginCall.State.ISSUED, MarginCall.State.AGREED)
DUST = 10**6  # a dollar: what the estate does not bother to send
INITIAL_FUNDS = 10**8 * 10**6  # a hundred million dollars of the demo's own token for the market and for the estate


def step(chain: Chain, cast: Cast, mine: Mine | None) -> None:
    """Everything the wallets want to do now."""
    now = clock.now()
    for client in cast.clients:
        for call in MarginCall.objects.filter(cell__code=client.code, state__in=OPEN, direction="DELIVERY"):
            if now >= call.at + timedelta(minutes=client.answers_after_minutes):
                _answer(chain, cast, client, call, mine)
    _pay_for_sold_margin(chain, mine)
    _pay_from_the_estate(chain, cast, now, mine)


def _answer(chain: Chain, cast: Cast, client: Client, call: MarginCall, mine: Mine | None) -> None:
    """Deliver the whole call if the wallet holds it, then say so; a call is answered once, because it is pledged."""
    asset, signer = settlement_asset(), keys.client(cast, client.key)
    haircut_bps = onboarding.current_terms(call.cell_id).haircut_of(asset.code)
    amount = margining.asset_for_value(calls.unmet(call), asset, Decimal(1), haircut_bps)
    held = balance(chain, asset, signer.address)
    if held < amount:
        logger.warning("%s cannot deliver %s: its wallet holds %s", client.legal_name, amount, held)
        return
    vault = ChainTarget.objects.get(kind=ChainTarget.Kind.VAULT, cell=call.cell_id, asset=asset)
    transfer(chain, signer, asset, vault.address, amount, mine)
    user = User.objects.get(username=f"client.{client.key}")
    with transaction.atomic(durable=True):
        calls.pledge(user=user, call_id=call.id, amount_base_units=amount)


def _pay_for_sold_margin(chain: Chain, mine: Mine | None) -> None:
    """The market pays what it was sold seized tokens for, once the tokens have reached it."""
    sold = ChainInstruction.objects.filter(
        kind=ChainInstruction.Kind.DISPOSE, state=ChainInstruction.State.FINAL, arguments__account="market"
    )
    owed = sum(int(row.arguments["expected_base_units"]) for row in sold)
    asset, signer = settlement_asset(), keys.market()
    paid = _sent_to_house(chain, signer, asset)
    if owed > paid:
        transfer(chain, signer, asset, address_of("House", asset.code), owed - paid, mine)


def _pay_from_the_estate(chain: Chain, cast: Cast, now: datetime, mine: Mine | None) -> None:
    """On the agreed day the estate of a defaulter pays a share of the loss."""
    if now < cast.recovery_at:
        return
    asset, signer = settlement_asset(), keys.estate()
    owing = DefaultCase.objects.filter(state__in=[DefaultCase.State.ALLOCATED, DefaultCase.State.RECOVERY])
    for case in owing.filter(recoveries_base_units=0, loss_base_units__gt=DUST):
        amount = int(Decimal(case.loss_base_units) * cast.recovery_share)
        if _sent_to_house(chain, signer, asset) == 0:
            transfer(chain, signer, asset, address_of("House", asset.code), amount, mine)


def _sent_to_house(chain: Chain, signer: Signer, asset: Asset) -> int:
    """What this wallet has sent to the house, unfinal transfers included: what it started with less what it holds."""
    return INITIAL_FUNDS - balance(chain, asset, signer.address)


def balance(chain: Chain, asset: Asset, address: str) -> int:
    """Tokens at an address, at the head."""
    return int(read(chain, asset.token_address, "DemoUSDC", "balanceOf", address))


def transfer(chain: Chain, signer: Signer, asset: Asset, to: str, amount: int, mine: Mine | None) -> None:
    """A plain token transfer, waited for."""
    sender = Transactor(chain, signer, mine)
    sender.send(asset.token_address, contract("DemoUSDC").encode("transfer", [to, amount]))
    sender.wait()
