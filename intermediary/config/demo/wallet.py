"""The demo's wallets at work: clients answer their calls by plain transfers, the market pays for sold margin, a
defaulter's estate pays something later. A process of its own: the web process never holds a client's key.

A client answers after its own delay, out of what its wallet still holds. One of them runs dry in the crash; that is
all there is to its default. What is to be paid is always what the chain does not show yet: killed at any moment and
started again, or with a person who pays by hand meanwhile, nobody pays twice.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from intermediary import calls, clock, ledger, margining, onboarding
from intermediary.config.demo import keys
from intermediary.config.demo.wallet_sending import Sent, one_at_a_time, send_tokens, under_way
from intermediary.config.demo.wallet_sending import balance as balance
from intermediary.config.demo.world import Cast, Client
from intermediary.ledger import settlement_asset
from intermediary.models import Asset, ChainInstruction, ChainTarget, DefaultCase, JournalEntry, MarginCall, Wallet
from settlement.bindings import topic
from settlement.chain import Chain
from settlement.deployment import address_of
from settlement.models import ChainBlock
from settlement.signer import Signer
from settlement.transactor import Mine

logger = logging.getLogger(__name__)
DUST = 10**6  # a dollar: what the estate does not bother to send
INITIAL_FUNDS = 10**8 * 10**6  # a hundred million dollars of the demo's own token for the market and for the estate


def step(chain: Chain, cast: Cast, mine: Mine | None) -> None:
    """Everything the wallets want to do now."""
    now = clock.now()
    sent: list[Sent] = []
    clients = {client.code: client for client in cast.clients}
    waiting = MarginCall.objects.filter(cell__code__in=clients, state__in=MarginCall.OPEN_STATES)
    for call in waiting.filter(direction=MarginCall.Direction.DELIVERY).select_related("cell"):
        client = clients[call.cell.code]
        if now >= call.at + timedelta(minutes=client.answers_after_minutes):
            sent += _answer(chain, cast, client, call.id, mine)
    for one in sent:
        one.wait()
    _pay_for_sold_margin(chain, mine)
    _pay_from_the_estate(chain, cast, now, mine)


def transfer(chain: Chain, signer: Signer, asset: Asset, to: str, amount: int, mine: Mine | None) -> None:
    """A plain token transfer, waited for."""
    send_tokens(chain, signer, asset, to, amount, mine).wait()


def _answer(chain: Chain, cast: Cast, client: Client, call_id: UUID, mine: Mine | None) -> Sequence[Sent]:
    """Deliver what is neither booked nor on its way, if the wallet holds all of it, then say so by a pledge."""
    asset, signer, username = settlement_asset(), keys.client(cast, client.key), keys.username_of(client.key)
    sent: list[Sent] = []
    with one_at_a_time():
        if any(under_way(chain, wallet.address) for wallet in keys.people(cast)[username]):
            return []  # its block shows what it pays
        vault = ChainTarget.objects.get(kind=ChainTarget.Kind.VAULT, cell__code=client.code, asset=asset)
        due, coming = _due_and_coming(call_id, asset, _transfers_in_sight(chain, asset, vault))
        missing, held = due - coming, balance(chain, asset, signer.address)
        if missing > held:
            logger.warning("%s cannot deliver %s: its wallet holds %s", client.legal_name, missing, held)
            return []
        if missing > 0:
            sent = [send_tokens(chain, signer, asset, vault.address, missing, mine)]
    if due:
        _pledge(User.objects.get(username=username), call_id, due)
    return sent


def _transfers_in_sight(chain: Chain, asset: Asset, vault: ChainTarget) -> list[dict[str, Any]]:
    """Transfers from the client's proved wallets to its vault in blocks that are not booked as a whole yet."""
    booked = ChainBlock.objects.filter(canonical=True, finalized=True).order_by("-number").first()
    proved = Wallet.objects.filter(party__cells=vault.cell_id).values_list("address", flat=True)
    wanted = {
        "fromBlock": hex(booked.number + 1 if booked else 0),
        "address": asset.token_address,
        "topics": [topic("DemoUSDC", "Transfer"), [_padded(one) for one in proved], _padded(vault.address)],
    }
    return list(chain.call("eth_getLogs", wanted))


@transaction.atomic(durable=True)
def _due_and_coming(call_id: UUID, asset: Asset, transfers: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """What the call still asks for and how much of it is in sight without being booked, base units of the token.

    Read under the cell's lock, which a booking takes as well: a transfer is in one of the two figures, never in both.
    """
    call = MarginCall.objects.get(id=call_id)
    ledger.lock_cells([call.cell_id])
    haircut_bps = onboarding.current_terms(call.cell_id).haircut_of(asset.code)
    due = margining.asset_for_value(calls.unmet(call), asset, Decimal(1), haircut_bps)
    named = {
        margining.deposit_entry_id(log["transactionHash"], int(log["logIndex"], 16)): int(log["data"], 16)
        for log in transfers
    }
    booked = set(JournalEntry.objects.filter(id__in=named).values_list("id", flat=True))
    return due, sum(amount for entry_id, amount in named.items() if entry_id not in booked)


@transaction.atomic(durable=True)
def _pledge(user: User, call_id: UUID, amount_base_units: int) -> None:
    """Say that this much is on its way, once, unless it has arrived meanwhile."""
    call = MarginCall.objects.get(id=call_id)
    ledger.lock_cells([call.cell_id])
    call.refresh_from_db()
    if call.is_open and call.state != MarginCall.State.PLEDGED:
        calls.pledge(user=user, call_id=call_id, amount_base_units=amount_base_units)


def _pay_for_sold_margin(chain: Chain, mine: Mine | None) -> None:
    """The market pays what it was sold seized tokens for, once the tokens have reached it."""
    sold = ChainInstruction.objects.filter(
        kind=ChainInstruction.Kind.DISPOSE, state=ChainInstruction.State.FINAL, arguments__account="market"
    )
    owed = sum(int(row.arguments["expected_base_units"]) for row in sold)
    if owed:
        _pay_house(chain, keys.market(), lambda paid: owed - paid, mine)


def _pay_from_the_estate(chain: Chain, cast: Cast, now: datetime, mine: Mine | None) -> None:
    """On the agreed day the estate of a defaulter pays a share of the loss."""
    if now < cast.recovery_at:
        return
    owing = DefaultCase.objects.filter(state__in=[DefaultCase.State.ALLOCATED, DefaultCase.State.RECOVERY])
    case = owing.filter(recoveries_base_units=0, loss_base_units__gt=DUST).order_by("id").first()
    if case is not None:
        share = int(Decimal(case.loss_base_units) * cast.recovery_share)
        _pay_house(chain, keys.estate(), lambda paid: 0 if paid else share, mine)


def _pay_house(chain: Chain, signer: Signer, still_owed: Callable[[int], int], mine: Mine | None) -> None:
    """Pay the house what is `still_owed` after what this wallet has paid: what it started with less what it holds."""
    asset = settlement_asset()
    with one_at_a_time():
        if under_way(chain, signer.address):
            return
        amount = still_owed(INITIAL_FUNDS - balance(chain, asset, signer.address))
        if amount <= 0:
            return
        sent = send_tokens(chain, signer, asset, address_of("House", asset.code), amount, mine)
    sent.wait()


def _padded(address: str) -> str:
    """An address as a log's topic holds it."""
    return "0x" + address[2:].lower().rjust(64, "0")
