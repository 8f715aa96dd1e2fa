"""The faces' small world with what only officers see: a line proposed, a call lapsed, a replay, a receipt to book."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User

from intermediary import clock
from intermediary.canonical import canonical_json, sha256_hex
from intermediary.config.models import Replay
from intermediary.config.officers import make_officer
from intermediary.models import (
    CallIncrement,
    Cell,
    CloseOutSlice,
    DefaultCase,
    DefaultEvent,
    Instrument,
    Layer,
    MarginCall,
    Proposal,
    RecoveryReceipt,
    Valuation,
)
from intermediary.receipts import receipt_entry_id
from settlement.models import ChainBlock, HouseReceipt, ReconciliationBreak, ReconciliationRun
from tests.intermediary import faces_world
from tests.intermediary.faces_world import START, USD
from tests.people import as_owner

STRESS = [
    ("Bitcoin -30% in an hour", 9_100_000, 12_400_000, 0),
    ("Altcoins -60%, bitcoin -20%", 21_350_000, 13_800_000, 7_550_000),
    ("Ether -45%, the rest -25%", 15_200_000, 13_100_000, 2_100_000),
]


def build() -> dict[str, Cell]:
    """Everything; returns the cells by code."""
    cells = faces_world.build()
    with as_owner():
        for officer in User.objects.filter(is_staff=True):
            make_officer(officer)
    line_proposal(cells["R-101"])
    lapsed_call(cells["R-102"])
    story(DefaultCase.objects.get(cell=cells["R-108"]))
    chain(cells["R-108"])
    replay()
    return cells


def line_proposal(cell: Cell, maker: str = "officer.maker") -> Proposal:
    """A larger line for this relationship, proposed and not decided, with the numbers of its admission test."""
    body = {
        "threshold_base_units": 6_500_000 * USD, "first_loss_base_units": 2_500_000 * USD,
        "tail_base_units": 6_000_000 * USD, "senior_base_units": 3_000_000 * USD,
        "expires_at": "2026-01-08T14:00:00+00:00", "admission": admission(),
    }  # fmt: skip
    return propose(cell, Proposal.Kind.CREDIT_LINE, body, maker)


def admission() -> dict[str, Any]:
    """A passed test as the gate reports it."""
    rows = [
        {"title": title, "loss": loss * USD, "margin_value": value * USD, "net_loss": net * USD, "short_by": 0}
        for title, loss, value, net in STRESS
    ]
    return {
        "passed": True, "stressed_loss_base_units": 7_550_000 * USD, "resources_base_units": 11_500_000 * USD,
        "binding_scenario": STRESS[1][0],
        "data": {
            "passed": True, "exposure": 0, "position_loss": 21_000_000 * USD, "close_out_cost": 350_000 * USD,
            "margin_value": 13_800_000 * USD, "net_loss": 7_550_000 * USD, "short_by": 0, "stress": rows,
        },
    }  # fmt: skip


def propose(cell: Cell, kind: Proposal.Kind, body: dict[str, Any], maker: str) -> Proposal:
    """A proposal that waits for a second person."""
    text = canonical_json(body)
    return Proposal.objects.create(
        kind=kind, cell=cell, body=text, hash=sha256_hex(text), maker=User.objects.get(username=maker),
        reason="Larger basis book; the tail bond covers the added stress.",
        expires_at=clock.now() + timedelta(hours=48),
    )  # fmt: skip


def lapsed_call(cell: Cell) -> MarginCall:
    """A call that was not met in time."""
    due = clock.now() - timedelta(minutes=3)
    made = MarginCall.objects.create(
        cell=cell, state=MarginCall.State.LAPSED, amount_base_units=2_100_000 * USD,
        valuation=Valuation.objects.order_by("-as_of")[0], deliver_by=due,
    )  # fmt: skip
    CallIncrement.objects.create(
        cell=cell, call=made, amount_base_units=2_100_000 * USD, unmet_base_units=1_600_000 * USD, deliver_by=due
    )
    return made


def story(case: DefaultCase) -> None:
    """Events, slices and a first recovery of a case."""
    for before, after, note in (("", "NOTICE", "Default notice given."), ("NOTICE", "ETD_SET", "Positions moved.")):
        DefaultEvent.objects.create(
            cell=case.cell, case=case, before=before, after=after, note=note, data={"claim_base_units": 9_000_000 * USD}
        )
    for quantity, price in ((9_000_000, "0.1511"), (12_000_000, "0.1487")):
        CloseOutSlice.objects.create(
            cell=case.cell, case=case, instrument=Instrument.objects.get(code="DOGE-PERP"), quantity=Decimal(quantity),
            mark=Decimal("0.1525"), price=Decimal(price), depth_usd=Decimal(7_400_000),
        )  # fmt: skip
    RecoveryReceipt.objects.create(
        cell=case.cell, case=case, amount_base_units=400_000 * USD, source="estate, first distribution",
        net_loss_before_base_units=6_800_000 * USD, net_loss_after_base_units=6_400_000 * USD,
    )  # fmt: skip
    assert Layer.objects.filter(cell=case.cell).exists()


def chain(cell: Cell) -> None:
    """Blocks, a comparison with one break, and money that nobody has booked."""
    for number in (1, 2, 3):
        ChainBlock.objects.create(
            number=number, hash=f"0x{number:064x}", parent_hash=f"0x{number - 1:064x}", block_time=START,
            finalized=number == 1,
        )  # fmt: skip
    ReconciliationRun.objects.create(block_number=1, block_hash=f"0x{1:064x}", comparisons=42, breaks=1)
    ReconciliationBreak.objects.create(
        kind=ReconciliationBreak.Kind.UNKNOWN_SENDER, place="vault of R-108", cell=cell, asset_id="USDC",
        ledger_value="0", chain_value="150000", first_block=1,
    )  # fmt: skip
    HouseReceipt.objects.create(
        asset_id="USDC", sender="0x" + "7e" * 20, amount_base_units=3_400_000 * USD, transaction_hash="0x" + "ab" * 32,
        log_index=2, block_number=1, entry_key=receipt_entry_id("0x" + "ab" * 32, 2),
    )  # fmt: skip


def replay() -> Replay:
    """A replay on the evening of the crash."""
    return Replay.objects.create(
        seconds_a_bar=Decimal(8), source="recording", started_at=START, bar_at=START + timedelta(hours=7),
        next_bar_at=START + timedelta(hours=7, minutes=5), ends_at=START + timedelta(hours=34),
    )  # fmt: skip
