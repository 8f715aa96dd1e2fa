"""What a worker keeps of relationships beside their books is never an old one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from intermediary import ledger, outbox, standings
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import (
    AccountKind,
    CallIncrement,
    Cell,
    ChainInstruction,
    ChainTarget,
    CreditLine,
    DefaultCase,
    Layer,
    MarginCall,
    Party,
    TermsVersion,
)
from intermediary.onboarding import current_terms
from intermediary.standings import Member, Standing
from tests.conftest import TestDatabase
from tests.risk.tick_world import mixed_world

pytestmark = pytest.mark.world(build=mixed_world)
MILLION = 10**12


@pytest.fixture
def clients(committing_db: TestDatabase, db: None, built_world: dict[str, Cell]) -> dict[str, Cell]:
    """The mixed world, in a transaction that is the test's own, so that changes can be undone within it."""
    return built_world


def seen(standing: Standing) -> list[Any]:
    """All that a standing says; rows compare by their keys alone."""
    return [
        standing.state,
        standing.terms,
        standing.allowance,
        dict(standing.holdings),
        [(vault.target.id, vault.asset.code, vault.required_in_force) for vault in standing.vaults],
        dict(standing.calls),
        standing.has_lapsed,
        standing.in_default,
        standing.is_gross,
        [(layer.kind, layer.funded, layer.size_base_units, layer.loss_base_units) for layer in standing.layers],
    ]


def deposit(cell: Cell) -> None:
    lines = [Line(AccountKind.OUTSIDE, "USDC", -MILLION), Line(AccountKind.CLIENT_MARGIN, "USDC", MILLION)]
    ledger.post(entry_id=uuid7(), cell_id=cell.id, kind="deposit", memo="more", lines=lines)


def lock(cell_ids: list[UUID]) -> list[Member]:
    """Lock these, and read them as a tick does."""
    ids = standings.in_order(cell_ids)
    return standings.members(ids, standings.lock_and_name(standings.as_array(ids)))


def require(cell: Cell) -> None:
    vault = ChainTarget.objects.get(cell=cell, kind="VAULT", asset_id="USDC")
    outbox.instruct(target=vault, cell_id=cell.id, kind=ChainInstruction.Kind.REQUIRE, required_base_units=7)


def pay(cell: Cell) -> ChainInstruction:
    return outbox.move(
        effect_id=uuid7(),
        target=ChainTarget.objects.get(cell=cell, kind="VAULT", asset_id="USDC"),
        cell_id=cell.id,
        kind=ChainInstruction.Kind.CREDIT,
        source=AccountKind.FLOAT,
        destination=AccountKind.CLIENT_MARGIN,
        amount_base_units=5,
        memo="gain",
    )


def pay_in_vain(cell: Cell) -> None:
    payment = pay(cell)
    lock([cell.id])  # kept while it is on its way
    ChainInstruction.objects.filter(id=payment.id).update(state="BATCHED")
    outbox.mark_failed(payment.id, failure="refused")


def sign(cell: Cell) -> None:
    terms = replace(current_terms(cell.id), minimum_transfer_base_units=123)
    version, signer = TermsVersion.objects.filter(cell=cell).count() + 1, "0x" + "00" * 20
    TermsVersion.objects.create(
        cell=cell, version=version, body=terms.canonical, hash=terms.hash, client_signer=signer, house_signer=signer
    )


def no_recourse(cell: Cell) -> None:
    Party.objects.filter(cells=cell).update(recourse="NONE")


def no_opinion(cell: Cell) -> None:
    Party.objects.filter(cells=cell).update(netting_opinion="NONE")


CHANGES: dict[str, tuple[str, Callable[[Cell], object]]] = {
    "margin": ("AMPLE", deposit),
    "a number to lock": ("AMPLE", require),
    "a gain on its way": ("IDLE", pay),
    "a gain that the chain refused": ("IDLE", pay_in_vain),
    "terms": ("IDLE", sign),
    "state": ("IDLE", lambda cell: Cell.objects.filter(id=cell.id).update(state="NO_NEW_RISK")),
    "the state of a call": ("CALLED", lambda cell: MarginCall.objects.filter(cell=cell).update(state="AGREED")),
    "what a call asks for": ("CALLED", lambda cell: CallIncrement.objects.filter(cell=cell).update(unmet_base_units=1)),
    "the line": ("LINE", lambda cell: CreditLine.objects.filter(cell=cell).update(state="EXPIRED")),
    "recourse": ("LINE", no_recourse),
    "the netting opinion": ("IDLE", no_opinion),
    "a layer": ("LINE", lambda cell: Layer.objects.filter(cell=cell).update(loss_base_units=1)),
    "a default": ("NOTICED", lambda cell: DefaultCase.objects.filter(cell=cell).update(state="CURED")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_known_and_so_is_that_it_was_undone(clients: dict[str, Cell], what: str) -> None:
    code, change = CHANGES[what]
    cell = clients[code]
    others = [other.id for other in clients.values() if other.id != cell.id]

    def now() -> dict[UUID, Standing]:
        return {member.cell_id: member.standing for member in lock([cell.id for cell in clients.values()])}

    before = now()
    mark = transaction.savepoint()
    change(cell)
    after = now()
    standings.forget()
    assert seen(after[cell.id]) == seen(now()[cell.id])
    assert seen(after[cell.id]) != seen(before[cell.id]) or what == "a gain that the chain refused"
    assert all(after[other] is before[other] for other in others), "nobody else is read again"
    transaction.savepoint_rollback(mark)
    assert seen(now()[cell.id]) == seen(before[cell.id])
