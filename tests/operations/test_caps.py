"""Caps on chain against the last stress report: what is too small is named with both figures."""

from datetime import UTC, datetime
from typing import Any

import pytest

from intermediary.config.operations import caps
from intermediary.errors import Refusal
from intermediary.ledger import settlement_asset
from intermediary.models import Cell, ChainTarget, TermsVersion
from intermediary.onboarding import current_terms
from risk.models import StressReport, Tick
from settlement.models import ChainBlock, ChainLog
from tests.intermediary import office_world

pytestmark = [pytest.mark.usefixtures("committing_db"), pytest.mark.world(build=office_world.build)]
FAR = 10**9  # a height that no block of the world has


def test_a_cap_below_what_a_stressed_day_needs_is_named(built_world: dict[str, Cell], monkeypatch: Any) -> None:
    monkeypatch.setattr(caps, "_kept", None)
    assert caps.shortfalls({"USDC": 0}) == {}  # nothing was measured yet
    loser, winner = [
        cell for cell in Cell.objects.filter(kind="CLIENT").order_by("code") if TermsVersion.objects.filter(cell=cell)
    ][:2]
    cap = current_terms(loser.id).debit_cap_base_units
    tick = Tick.objects.latest("id")
    for cell, gross in ((loser, cap + 1), (winner, -cap)):
        rows = [{"name": "crash", "gross": gross}, {"name": "calm", "gross": 5}]
        StressReport.objects.update_or_create(cell=cell, defaults={"tick": tick, "body": {"rows": rows}})
    assert caps.stressed_outflow() == cap + 1
    assert caps.shortfalls({"USDC": cap}) == {}  # added up once an hour
    monkeypatch.setattr(caps, "_kept", None)
    assert caps.shortfalls({"USDC": cap}) == {
        f"vault of {loser.code}": (cap, cap + 1),
        "house USDC": (cap, cap + 1),
    }
    assert caps.shortfalls({"USDC": 2 * cap}) == {f"vault of {loser.code}": (cap, cap + 1)}
    caps.refuse_below(winner.id)
    with pytest.raises(Refusal, match="cap_below_stress"):
        caps.refuse_below(loser.id)
    settling = ChainTarget.objects.filter(cell=winner, kind="VAULT", asset__is_settlement=True)
    assert settling.update(creation={"debit_cap": 4}) == 1
    monkeypatch.setattr(caps, "_kept", None)
    assert caps.shortfalls({})[f"vault of {winner.code}"] == (4, 5), "its address commits to less than its terms say"


def limit_said(house: str, vault: str, limit: int, number: int) -> None:
    """The house's event of a credit limit, in a block of its own."""
    block = ChainBlock.objects.create(
        number=number, hash=f"0x{number:064x}", parent_hash="", block_time=datetime(2025, 10, 10, tzinfo=UTC)
    )
    ChainLog.objects.create(
        block=block,
        block_hash=block.hash,
        log_index=0,
        transaction_hash=block.hash,
        address=house,
        topics=["0x00", "0x" + vault[2:].lower().rjust(64, "0")],
        data=f"0x{limit:064x}",
        name="CreditLimitSet",
    )


def test_a_credit_limit_below_the_gain_of_a_stressed_day_is_named(
    built_world: dict[str, Cell], monkeypatch: Any
) -> None:
    monkeypatch.setattr(caps, "_kept", None)
    token, gain = settlement_asset(), 7 * 10**12
    winner = Cell.objects.filter(kind="CLIENT", terms_versions__isnull=False).order_by("code").first()
    assert winner is not None
    rows = [{"name": "crash", "gross": -gain}, {"name": "calm", "gross": 5}]
    tick = Tick.objects.latest("id")
    StressReport.objects.update_or_create(cell=winner, defaults={"tick": tick, "body": {"rows": rows}})
    own, _ = Cell.objects.get_or_create(kind="HOUSE", defaults={"code": "HOUSE"})
    house, _ = ChainTarget.objects.get_or_create(
        kind="HOUSE", asset=token, defaults={"cell": own, "address": "0x" + "Aa" * 20}
    )
    vault, _ = ChainTarget.objects.get_or_create(
        kind="VAULT", asset=token, cell=winner, defaults={"address": "0x" + "Bb" * 20}
    )
    assert f"credit to {winner.code}" not in caps.shortfalls({}), "nothing was said of it"
    limit_said(house.address, vault.address, gain, FAR + 1)
    limit_said(house.address, vault.address, gain - 1, FAR + 2)
    monkeypatch.setattr(caps, "_kept", None)
    assert caps.shortfalls({})[f"credit to {winner.code}"] == (gain - 1, gain)
    limit_said(house.address, vault.address, gain, FAR + 3)
    monkeypatch.setattr(caps, "_kept", None)
    assert f"credit to {winner.code}" not in caps.shortfalls({})
