"""10 October 2025 through the whole platform: one default, inside its bond, and nobody else touched.

Requirements are renewed by real Celery workers; the steps of the other processes (poster, approver, watcher, clock,
wallets) run here in order, on the same database, broker and chain, so that a run is the same every time.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import override_settings

from bonds.models import Tranche
from intermediary import ledger, margining, withdrawals
from intermediary.config.celery import app
from intermediary.config.demo import world
from intermediary.config.demo.driver import Driver
from intermediary.ledger import settlement_asset
from intermediary.models import (
    AccountKind,
    Cell,
    DefaultCase,
    Layer,
    Lot,
    MarginCall,
    Position,
    UncoveredShare,
    Withdrawal,
)
from risk.market.feeds import open_feed
from settlement.chain import Chain
from settlement.models import ReconciliationRun
from tests.conftest import RoleSwitch, TestDatabase
from tests.scenarios import invariants
from tests.scenarios.platform import risk_workers, tick_by_workers

BOTTOM = datetime(2025, 10, 10, 21, 20, tzinfo=UTC)  # the bar that closes at the lowest prices
DEFAULTER = "R-108"
# The estate pays nine hours earlier than in the demo: nothing but quiet hours lie between.
ESTATE_PAYS = datetime(2025, 10, 11, 3, tzinfo=UTC)
RECOVERED = datetime(2025, 10, 11, 5, tzinfo=UTC)
CAST = replace(world.DEMO, recovery_at=ESTATE_PAYS)


@pytest.fixture
def platform(
    committing_db: TestDatabase,
    as_role: RoleSwitch,
    chain_url: str,
    valkey_url: str,
    market_history_dir: Path,
    tmp_path: Path,
) -> Iterator[Driver]:
    log = tmp_path / "worker.log"
    app.conf.broker_url = valkey_url
    with (
        override_settings(CHAIN_RPC_URLS=[chain_url], MARKET_HISTORY_DIR=market_history_dir),
        risk_workers(committing_db, valkey_url, market_history_dir, log),
    ):
        ready = Driver(
            Chain(chain_url),
            open_feed(market_history_dir),
            CAST,
            tick=tick_by_workers,
            after_block=invariants.check_at_a_block,
        )
        with psycopg.connect(committing_db.url_of("owner")) as owner:
            owner.execute("SELECT platform_clock_start_replay(%s)", [ready.starts_at])
        with as_role("owner"):
            ready.builder.people()
        ready.builder.build()
        yield ready


def others() -> dict[str, Cell]:
    return {cell.code: cell for cell in Cell.objects.filter(kind=Cell.Kind.CLIENT).exclude(code=DEFAULTER)}


def books() -> dict[str, Any]:
    """Open lots and quantities of every relationship but the defaulter's: what nobody may tear up."""
    cells = [cell.id for cell in others().values()]
    lots = Lot.objects.filter(cell_id__in=cells).order_by("id").values_list("id", "quantity", "open_quantity")
    held = Position.objects.filter(cell_id__in=cells).order_by("id").values_list("id", "quantity")
    return {"lots": list(lots), "positions": list(held)}


def withdraw_all_that_is_free(platform: Driver) -> dict[str, int]:
    """Each performing client takes out its free margin (settlement token), at the bottom of the crash."""
    asked = {}
    for client in platform.cast.clients:
        cell = Cell.objects.get(code=client.code)
        if client.code == DEFAULTER:
            continue
        held = ledger.balance(cell.id, AccountKind.CLIENT_MARGIN, "USDC")
        free = min(margining.free_margin(cell.id), held) * 9 // 10
        if free <= 0:
            continue
        user = User.objects.get(username=f"client.{client.key}")
        with transaction.atomic(durable=True):
            made = withdrawals.request_withdrawal(user=user, cell_id=cell.id, asset="USDC", amount_base_units=free)
        asked[client.code] = free
        assert made.state == Withdrawal.State.INSTRUCTED
    return asked


@pytest.mark.timeout(1800)  # four minutes on a quiet machine; ten were seen where others worked on the same two cores
def test_the_crash_brings_one_default_inside_its_bond_and_touches_nobody_else(platform: Driver) -> None:
    before = books()
    withdrawn: dict[str, int] = {}
    runs = 0
    for snapshot in platform.bars():
        invariants.check_at_rest()
        assert ReconciliationRun.objects.count() > runs, f"no reconciliation at {snapshot.as_of}"
        runs = ReconciliationRun.objects.count()
        assert books() == before, f"a performing client's trade was touched by {snapshot.as_of}"
        if snapshot.as_of == BOTTOM:
            withdrawn = withdraw_all_that_is_free(platform)
            platform.rest()
            assert not Withdrawal.objects.exclude(state=Withdrawal.State.PAID).exists()
        if snapshot.as_of >= RECOVERED:
            break

    case = DefaultCase.objects.get()
    assert case.cell.code == DEFAULTER
    assert len(withdrawn) >= 4, "several clients had free margin at the bottom and took it"
    assert case.state == DefaultCase.State.RECOVERY
    assert case.uncovered_base_units == 0
    assert not UncoveredShare.objects.exists()
    met = MarginCall.objects.filter(state=MarginCall.State.SETTLED)
    assert met.exists(), "calls were made and met"
    assert MarginCall.objects.filter(cell=case.cell, state=MarginCall.State.DEFAULT_NOTICE).count() == 1
    assert not MarginCall.objects.filter(state__in=MarginCall.OPEN_STATES, cell=case.cell).exists()

    determined = case.loss_base_units + case.recoveries_base_units
    layers = {layer.kind: layer for layer in Layer.objects.filter(cell=case.cell)}
    first, tail, senior = (layers[kind] for kind in (Layer.Kind.FIRST_LOSS, Layer.Kind.TAIL, Layer.Kind.SENIOR))
    assert tail.attach_base_units < determined < tail.detach_base_units, "the loss ends inside the bond"
    assert first.loss_base_units + tail.loss_base_units + senior.loss_base_units == case.loss_base_units
    assert all(layer.loss_base_units == 0 for layer in Layer.objects.exclude(cell=case.cell))
    tranche = Tranche.objects.get()
    written_down = sum(part.written_down_base_units - part.written_up_base_units for part in tranche.parts.all())
    assert written_down == tail.loss_base_units
    assert sum(part.written_up_base_units for part in tranche.parts.all()) > 0, "the recovery wrote the notes up"
    house = [AccountKind.FLOAT, AccountKind.HOUSE, AccountKind.RECOVERY, AccountKind.FEES, AccountKind.ROUNDING]
    assert ledger.total(house, settlement_asset().code) > 0
