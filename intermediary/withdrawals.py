"""Withdrawals: a client takes free margin out of its own vault to its own payout address.

Free is what is held after haircut beyond the requirement; the requirement, the tokens and the answer are the cell's
own, so nothing that happens in another relationship can delay one (X2). The amount leaves the margin when it is
instructed, so it can be asked for once only; the withdrawal is paid when the chain is final.
"""

from collections.abc import Collection, Mapping
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from intermediary import access, audit, clock, events, ledger, outbox, ports, vaults
from intermediary.collateral import asset_within_value, balances, coming_base_units, price_of, value_of_holdings
from intermediary.errors import BadInput, Refusal
from intermediary.ids import derive
from intermediary.margining import required_now
from intermediary.models import (
    AccountKind,
    Asset,
    ChainInstruction,
    ChainTarget,
    DefaultCase,
    Event,
    MarginState,
    Valuation,
    Withdrawal,
)
from intermediary.onboarding import current_terms
from intermediary.terms import Terms

# Until the loss is allocated nobody knows what of a defaulter's margin is a surplus.
UNALLOCATED_STATES = ("NOTICE", "ETD_SET", "REPLACING", "DETERMINED")


def request_withdrawal(*, user: User, cell_id: UUID, asset: str, amount_base_units: int) -> Withdrawal:
    """Send free margin to the payout address, or refuse with the numbers.

    Raises `exceeds_free_margin`, `price_stale` (tokens that need a price only), `mark_doubtful` (where what is left
    rests on a price that is too unsure), `requirement_pending`, `in_default`.
    """
    assert connection.in_atomic_block, "a withdrawal belongs to a transaction"
    cell = access.cell_for(user, cell_id)
    if amount_base_units <= 0:
        raise BadInput("amount_not_positive", "An amount is above zero.", amount_base_units=amount_base_units)
    ledger.lock_cells([cell.id])
    token = Asset.objects.filter(code=asset).first()
    present = vaults.vaults_of(cell.id)
    vault = present.get(asset)
    if token is None or vault is None:
        raise BadInput("asset_unknown", "This relationship has no vault for this token.", asset=asset)
    _refuse_in_default(cell.id)
    terms, (required, valuation) = current_terms(cell.id), required_now(cell.id)
    if not token.is_settlement:
        _refuse_stale(valuation, terms)
    left = _holdings_after(cell.id, token, amount_base_units, required, valuation, terms)
    withdrawal = Withdrawal.objects.create(
        cell=cell, asset=token, amount_base_units=amount_base_units, requested_by=user
    )
    wanted = vaults.required_by_token(required, left, terms, valuation, vaults.caps(present))[token.code]
    _instruct(withdrawal, vault, min(wanted, left[token.code]))
    held = value_of_holdings(left, valuation, terms)
    MarginState.objects.filter(cell=cell).update(held_base_units=held)
    audit.record(
        actor=user.get_username(), action="withdrawal.request", subject=withdrawal.id, amount=amount_base_units
    )
    events.notify(events.PAGES_CHANNEL, f"cell:{cell.id}")
    return withdrawal


def on_instruction_final(event: Event) -> None:
    """The chain paid. Harmless when repeated and for other movements."""
    _finish(event, Withdrawal.State.PAID, None)


def on_instruction_failed(event: Event) -> None:
    """The chain refused: the tokens are margin again, the client may ask once more."""
    _finish(event, Withdrawal.State.REFUSED, {"code": "failed_on_chain", "message": event.payload["failure"]})


def available(cell_id: UUID, asset: str) -> int:
    """The most of a token that may leave now, base units: what is held of it, worth no more than what is free."""
    terms, (required, valuation) = current_terms(cell_id), required_now(cell_id)
    holdings, token = balances(cell_id), Asset.objects.get(code=asset)
    unsure = _unsure(holdings, valuation, terms)
    return _available(cell_id, holdings, token, required, valuation, terms, unsure)


def _available(
    cell_id: UUID,
    holdings: Mapping[str, int],
    token: Asset,
    required: int,
    valuation: Valuation | None,
    terms: Terms,
    unsure: Collection[str],
) -> int:
    """What is left must cover the requirement, without any token whose own price is unsure; such a token leaves whole
    where the others cover it."""
    lying = holdings.get(token.code, 0) - coming_base_units(cell_id, token.code)
    held, haircut_bps = max(0, lying), terms.haircut_of(token.code)
    if required == 0 or haircut_bps >= 10_000:
        return held
    free = value_of_holdings(_without(holdings, unsure), valuation, terms) - required
    if token.code in unsure:
        return held if free >= 0 else 0
    return min(held, asset_within_value(max(0, free), token, price_of(token, valuation), haircut_bps))


def _unsure(holdings: Mapping[str, int], valuation: Valuation | None, terms: Terms) -> dict[str, str]:
    """Tokens of these whose price nobody may rely on now, with what they are priced as."""
    priced = dict(Asset.objects.filter(code__in=holdings).exclude(priced_as="").values_list("code", "priced_as"))
    if valuation is None or not priced:
        return {}
    if clock.now() - valuation.as_of > terms.oldest_price:
        return priced
    coins = ports.unsure_marks(valuation.snapshot_id, terms.ruleset, clock.now())
    return {code: coin for code, coin in priced.items() if coin in coins}


def _without(holdings: Mapping[str, int], tokens: Collection[str]) -> dict[str, int]:
    """The holdings in all other tokens."""
    return {code: amount for code, amount in holdings.items() if code not in tokens}


def _holdings_after(
    cell_id: UUID, token: Asset, amount: int, required: int, valuation: Valuation | None, terms: Terms
) -> Mapping[str, int]:
    """What is left in the vaults; refuses when that is not there or does not cover the requirement."""
    holdings = balances(cell_id)
    unsure = _unsure(holdings, valuation, terms)
    most = _available(cell_id, holdings, token, required, valuation, terms, unsure)
    if amount > most and amount <= _available(cell_id, holdings, token, required, valuation, terms, ()):
        raise Refusal(
            "mark_doubtful",
            "What would be left covers the requirement only by tokens whose price is too unsure for that now.",
            tokens=sorted(unsure),
            underlyings=sorted(set(unsure.values())),
            requested_base_units=amount,
            available_base_units=most,
            required_base_units=required,
        )
    if amount > most:
        raise Refusal(
            "exceeds_free_margin",
            "This is more than the margin that is free.",
            requested_base_units=amount,
            available_base_units=most,
            held_base_units=holdings.get(token.code, 0),
            required_base_units=required,
            asset=token.code,
        )
    return holdings | {token.code: holdings[token.code] - amount}


def _refuse_in_default(cell_id: UUID) -> None:
    case = DefaultCase.objects.filter(cell_id=cell_id).exclude(state__in=["CURED", "CLOSED"]).first()
    if case is not None and (case.state in UNALLOCATED_STATES or case.loss_base_units > 0):
        raise Refusal(
            "in_default",
            "This relationship is in default; its margin secures the close-out.",
            loss_base_units=case.loss_base_units,
        )


def _refuse_stale(valuation: Valuation | None, terms: Terms) -> None:
    age = clock.now() - valuation.as_of if valuation is not None else None
    if age is None or age > terms.oldest_price:
        raise Refusal(
            "price_stale",
            "The last official price is too old to release this token; the settlement token can be withdrawn.",
            age_seconds=int(age.total_seconds()) if age is not None else None,
            limit_seconds=int(terms.oldest_price.total_seconds()),
        )


def _instruct(withdrawal: Withdrawal, vault: ChainTarget, required_after: int) -> None:
    instruction = outbox.move(
        effect_id=derive("withdrawal", withdrawal.id),
        target=vault,
        cell_id=withdrawal.cell_id,
        kind=ChainInstruction.Kind.RETURN,
        source=AccountKind.CLIENT_MARGIN,
        destination=AccountKind.OUTSIDE,
        amount_base_units=withdrawal.amount_base_units,
        memo="withdrawal of free margin",
        required_base_units=required_after,
    )
    withdrawal.entry = instruction.entry
    withdrawal.state = Withdrawal.State.INSTRUCTED
    withdrawal.save(update_fields=["entry", "state"])


def _finish(event: Event, state: Withdrawal.State, refusal: dict[str, str] | None) -> None:
    found = Withdrawal.objects.filter(entry__instructions=event.payload["instruction_id"]).first()
    if found is None:
        return
    ledger.lock_cells([found.cell_id])
    withdrawal = Withdrawal.objects.get(id=found.id)
    if withdrawal.state != Withdrawal.State.INSTRUCTED:
        return
    withdrawal.state, withdrawal.refusal = state, refusal
    withdrawal.save(update_fields=["state", "refusal"])
    events.notify(events.PAGES_CHANNEL, f"cell:{withdrawal.cell_id}")
