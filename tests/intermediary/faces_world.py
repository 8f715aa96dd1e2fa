"""A small world to look at: three clients and an investor on the afternoon of the crash, written through real tables.

R-101 is long and warned, with an open call; R-102 is its opposite and covered; R-108 is in default; R-109 has signed
up and holds nothing yet. Numbers are round where a test reads them.
"""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from intermediary import clock, ledger
from intermediary.canonical import canonical_json, sha256_hex
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import (
    AccountKind,
    CallEvent,
    CallIncrement,
    Cell,
    ChainInstruction,
    ChainTarget,
    CreditLine,
    DefaultCase,
    Instrument,
    Layer,
    Lot,
    MarginCall,
    MarginPoint,
    MarginState,
    Mark,
    Party,
    Position,
    Proposal,
    TermsVersion,
    Trade,
    Valuation,
)
from intermediary.terms import Terms
from risk.models import Snapshot, Tick, UncoveredRisk
from tests.intermediary.builders import assets, deposit
from tests.people import member, person

USD = 10**6
START = datetime(2025, 10, 10, 14, tzinfo=UTC)
CLIENTS = {
    "R-101": ("Meridian Basis Fund LP", Party.Kind.FUND, "client.basis"),
    "R-102": ("Kestrel Markets BV", Party.Kind.MARKET_MAKER, "client.maker"),
    "R-108": ("Tidewater Alpha SP", Party.Kind.FUND, "client.directional"),
    "R-109": ("Stiftung Aster", Party.Kind.FOUNDATION, "client.foundation"),
}
LAYERS = {"R-101": (2, 6, 3), "R-102": (1, 3, 2), "R-108": (4, 18, 11)}


@transaction.atomic
def build() -> dict[str, Cell]:
    """Everything; returns the cells by code."""
    assets()
    people()
    cells = {code: relationship(code) for code in CLIENTS}
    valuations = market()
    for code in ("R-101", "R-102", "R-108"):
        credit_line(cells[code], LAYERS[code])
    trading(cells)
    margin(cells, valuations)
    uncovered_risk(cells, valuations[-1])
    call(cells["R-101"], valuations[-1])
    default(cells["R-108"])
    return cells


def people() -> None:
    """Two officers and an investor."""
    for name in ("officer.maker", "officer.checker"):
        person(name, password="demo", first_name=name.title(), is_staff=True)
    investor = Party.objects.create(
        legal_name="Corrib Insurance plc", code="I-201", kind=Party.Kind.INVESTOR, jurisdiction="IE"
    )
    user = person("investor.corrib", password="demo", first_name="Corrib Insurance plc")
    member(user, investor)


def relationship(code: str) -> Cell:
    """A party, its person, its cell, its vaults, its signed terms."""
    name, kind, username = CLIENTS[code]
    party = Party.objects.create(legal_name=name, code=code.replace("R", "P"), kind=kind, jurisdiction="KY")
    user = person(username, password="demo", first_name=name, last_name="client, to look at")
    member(user, party)
    cell = Cell.objects.create(code=code, kind=Cell.Kind.CLIENT, party=party)
    for asset, digit in (("USDC", "1"), ("WBTC", "2")):
        ChainTarget.objects.create(
            kind=ChainTarget.Kind.VAULT, cell=cell, asset_id=asset, opened=True,
            address=f"0x{digit}{sha256_hex(code)[:39]}",
        )  # fmt: skip
    terms = Terms(
        relationship=code, agreement="a" * 64, client="0x" + "c" * 40, payout="0x" + "d" * 40, rulebook_hash="b" * 64,
        ruleset="standard", minimum_transfer_base_units=250_000 * USD, rounding_unit_base_units=10_000 * USD,
        haircut_bps=(("USDC", 50), ("WBTC", 2000)), valuation_minutes=240, acknowledge_minutes=60, deliver_minutes=240,
        grace_minutes=360, cure_minutes=60, answer_minutes=240, exit_minutes=10080,
        debit_cap_base_units=50_000_000 * USD, max_required_base_units=100_000_000 * USD,
    )  # fmt: skip
    TermsVersion.objects.create(
        cell=cell, version=1, body=terms.canonical, hash=terms.hash, client_signer=terms.client,
        client_signature="0x" + "1" * 130, house_signer="0x" + "e" * 40, house_signature="0x" + "2" * 130,
    )  # fmt: skip
    if code != "R-109":
        deposit(cell, 12_500_000 * USD)
        deposit(cell, 20 * 10**8, "WBTC")
    return cell


def market() -> list[Valuation]:
    """Hourly valuations that end in a fall; marks of three instruments at each."""
    for code, kind, coin in (
        ("BTC-PERP", Instrument.Kind.PERPETUAL, "BTC"),
        ("DOGE-PERP", Instrument.Kind.PERPETUAL, "DOGE"),
        ("BTC-SPOT", Instrument.Kind.SPOT, "BTC"),
    ):
        Instrument.objects.create(code=code, kind=kind, underlying=coin)
    found = []
    for step in range(30):
        fall = Decimal(str(round(1 - 0.13 / (1 + math.exp(22 - step)) + 0.004 * math.sin(step), 5)))
        deep = Decimal(str(round(1 - 0.45 / (1 + math.exp(22 - step)) + 0.006 * math.cos(step), 5)))
        prices = {"BTC": 121_900 * fall, "ETH": 4_366 * (fall + deep) / 2, "DOGE": Decimal("0.2525") * deep}
        valuation = Valuation.objects.create(
            as_of=START + timedelta(minutes=15 * step), source="recording", snapshot_id=f"{step:064x}",
            prices={coin: f"{price:f}" for coin, price in prices.items()},
        )  # fmt: skip
        Mark.objects.bulk_create(
            Mark(valuation=valuation, instrument=one, price=round(prices[one.underlying], 8))
            for one in Instrument.objects.all()
        )
        found.append(valuation)
    return found


def approved(cell: Cell, kind: Proposal.Kind, body: dict[str, Any]) -> Proposal:
    """A proposal of one officer that another approved."""
    maker, checker = User.objects.filter(is_staff=True).order_by("username")[:2]
    text = canonical_json(body)
    proposal = Proposal.objects.create(
        kind=kind, cell=cell, body=text, hash=sha256_hex(text), maker=maker, reason="world",
        expires_at=clock.now() + timedelta(days=2),
    )  # fmt: skip
    proposal.state, proposal.checker, proposal.approved_hash = Proposal.State.APPROVED, checker, proposal.hash
    proposal.decision_reason, proposal.decided_at = "agreed", clock.now()
    proposal.save()
    return proposal


def credit_line(cell: Cell, sizes_m: tuple[int, int, int]) -> None:
    """A line and its three layers, in millions."""
    first, tail, senior = (size * 1_000_000 * USD for size in sizes_m)
    numbers = {
        "threshold_base_units": 5_000_000 * USD, "first_loss_base_units": first, "tail_base_units": tail,
        "senior_base_units": senior,
    }  # fmt: skip
    expires_at = clock.now() + timedelta(days=90)
    proposal = approved(cell, Proposal.Kind.CREDIT_LINE, numbers | {"expires_at": expires_at.isoformat()})
    CreditLine.objects.create(
        cell=cell, proposal=proposal, expires_at=expires_at, ruleset_hash="9" * 64,
        admission={"passed": True}, **numbers,
    )  # fmt: skip
    loss = {"R-108": (first, 2_400_000 * USD, 0)}.get(cell.code, (0, 0, 0))
    at = 0
    for kind, size, lost in zip(Layer.Kind.values, (first, tail, senior), loss, strict=True):
        Layer.objects.create(
            cell=cell, kind=kind, attach_base_units=at, detach_base_units=at + size, loss_base_units=lost, funded=True,
            slice_id=uuid7() if kind == Layer.Kind.TAIL else None,
        )  # fmt: skip
        at += size


def trading(cells: dict[str, Cell]) -> None:
    """Novated trades with their lots and positions, and one that waits for R-101."""
    maker = User.objects.get(username="client.maker")
    for buyer, seller, code, quantity, price in (
        ("R-101", "R-102", "BTC-PERP", Decimal(180), Decimal("121500")),
        ("R-102", "R-101", "DOGE-PERP", Decimal(20_000_000), Decimal("0.25")),
        ("R-108", "R-101", "DOGE-PERP", Decimal(30_000_000), Decimal("0.2490")),
    ):
        instrument = Instrument.objects.get(code=code)
        trade = Trade.objects.create(
            instrument=instrument, buyer=cells[buyer], seller=cells[seller], quantity=quantity, price=price,
            state=Trade.State.NOVATED, novated_at=clock.now(),
        )  # fmt: skip
        for own, other, signed in ((buyer, seller, quantity), (seller, buyer, -quantity)):
            Lot.objects.create(
                cell=cells[own], trade=trade, instrument=instrument, opposite=cells[other], quantity=signed,
                open_quantity=signed, price=price,
            )  # fmt: skip
            position, _ = Position.objects.get_or_create(cell=cells[own], instrument=instrument)
            position.quantity += signed
            position.settled_value += signed * price
            position.save()
    Trade.objects.create(
        instrument=Instrument.objects.get(code="BTC-SPOT"), buyer=cells["R-101"], seller=cells["R-102"],
        quantity=Decimal(5), price=Decimal("106000"), submitted_by=maker,
    )  # fmt: skip


def margin(cells: dict[str, Cell], valuations: list[Valuation]) -> None:
    """Current requirements and their history, and one payment of variation margin on its way."""
    lines = [["expected shortfall 99%", 12_200_000.0], ["jump add-on", 4_750_000.0], ["liquidity add-on", 1_550_000.0]]
    stress = {
        "passed": True, "scenario": "s5", "scenario_title": "Altcoins -60%, bitcoin -20%",
        "exposure": 1_234_567_890_123, "position_loss": 21_000_000 * USD, "close_out_cost": 350_000 * USD,
        "margin_value": 13_800_000 * USD, "net_loss": 8_784_567_890_123, "first_loss": 2_000_000 * USD,
        "tail": 6_000_000 * USD, "senior_retention": 3_000_000 * USD, "short_by": 0,
    }  # fmt: skip
    for code, held, required in (("R-101", 13_800_000, 14_734_567), ("R-102", 14_100_000, 6_000_000)):
        MarginState.objects.create(
            cell=cells[code], valuation=valuations[-1], exposure_base_units=1_234_567_890_123 if held < required else 0,
            independent_amount_base_units=18_500_000 * USD, threshold_base_units=5_000_000 * USD,
            required_base_units=required * USD, held_base_units=held * USD, ruleset_hash="9" * 64,
            breakdown={
                "lines": lines, "total": 18_500_000.0, "gross_notional": 41_000_000.0,
                "forecast_loss": {"-5%": 950_000.0, "-10%": 1_900_000.0, "-20%": 3_800_000.0},
                "worst_stress": "Altcoins -60%", "worst_stress_loss": 21_000_000.0,
            },
            admission=stress,
        )  # fmt: skip
        for step, valuation in enumerate(valuations):
            rise = int(required * (0.55 + 0.45 / (1 + math.exp(22 - step))))
            MarginPoint.objects.create(
                cell=cells[code], valuation=valuation, required_base_units=rise * USD, held_base_units=held * USD,
                exposure_base_units=0,
            )  # fmt: skip
    vault = ChainTarget.objects.get(cell=cells["R-101"], asset_id="USDC")
    entry = ledger.post(
        entry_id=uuid7(), cell_id=cells["R-101"].id, kind="debit_instructed", memo="variation margin",
        lines=[
            Line(AccountKind.CLIENT_MARGIN, "USDC", -750_000 * USD),
            Line(AccountKind.IN_TRANSIT, "USDC", 750_000 * USD),
        ],
    )  # fmt: skip
    ChainInstruction.objects.create(
        target=vault, cell=cells["R-101"], seq=1, kind=ChainInstruction.Kind.DEBIT, entry=entry,
        amount_base_units=750_000 * USD, state=ChainInstruction.State.DRAFT,
    )  # fmt: skip


def uncovered_risk(cells: dict[str, Cell], valuation: Valuation) -> None:
    """What the engine measured last, while R-108 still performed too."""
    snapshot = Snapshot.objects.create(id=valuation.snapshot_id, as_of=valuation.as_of, source="recording", body="{}")
    tick = Tick.objects.create(snapshot=snapshot, valuation=valuation, started_at=valuation.as_of)
    for code, probability, expected in (("R-101", 0.0031, 64_000), ("R-102", 0.00002, 190), ("R-108", 0.05, 900_000)):
        UncoveredRisk.objects.create(
            cell=cells[code], tick=tick, probability=probability, expected_base_units=expected * USD,
            layers_base_units=sum(LAYERS[code]) * 1_000_000 * USD,
        )  # fmt: skip


def call(cell: Cell, valuation: Valuation) -> MarginCall:
    """An open call of two parts."""
    made = MarginCall.objects.create(
        cell=cell, amount_base_units=940_000 * USD, valuation=valuation, deliver_by=clock.now() + timedelta(minutes=11)
    )
    for amount, minutes in ((690_000, 11), (250_000, 95)):
        CallIncrement.objects.create(
            cell=cell, call=made, amount_base_units=amount * USD, unmet_base_units=amount * USD,
            deliver_by=clock.now() + timedelta(minutes=minutes),
        )  # fmt: skip
    CallEvent.objects.create(cell=cell, call=made, after="ISSUED", amount_base_units=690_000 * USD, note="issued")
    return made


def default(cell: Cell) -> None:
    """R-108 got its notice."""
    notice = approved(cell, Proposal.Kind.DEFAULT_NOTICE, {"reason": "failure to deliver"})
    DefaultCase.objects.create(
        cell=cell, notice=notice, noticed_at=clock.now(), cure_by=clock.now() + timedelta(minutes=5),
        claim_base_units=9_000_000 * USD, loss_base_units=6_400_000 * USD,
    )  # fmt: skip
    Cell.objects.filter(id=cell.id).update(state=Cell.State.DEFAULTED)
