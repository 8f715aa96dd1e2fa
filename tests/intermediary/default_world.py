"""The worked example's world in the database: D long against W and M, U beside them, layers, vaults, prices.

Through the product's own commands, except for what the chain and the risk workers would do: contracts are rows here,
an instruction becomes final by `settle`, and margin states and the lapsed call are written as those processes would.
Amounts in dollars; the settlement token has six decimals.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import transaction

from intermediary import clock, closeout, defaults, determination, ledger, outbox, trading
from intermediary.closeout_schedule import CloseOutRules, DepthQuote
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import (
    AccountKind,
    CallIncrement,
    Cell,
    ChainInstruction,
    ChainTarget,
    DefaultCase,
    Instrument,
    Layer,
    Lot,
    MarginCall,
    MarginState,
    Proposal,
    TermsVersion,
    Trade,
    Valuation,
)
from intermediary.terms import Terms
from tests.intermediary.builders import assets, client_cell, deposit
from tests.people import person

USD = 10**6
BTC = 10**8
DEPTH = DepthQuote(Decimal(1_000_000_000))
WORKED_EXAMPLE_RULES = CloseOutRules(
    participation_bps=10_000,
    spread_bps=150,
    impact_bps=0,
    pause_move_bps=10_000,
    max_pauses=0,
    cost_bps=0,
    fixed_cost_base_units=171_500 * USD,
)
# A fifth of the depth at each valuation, however soon after the one before.
WORLD_RULES_SLICED = CloseOutRules(participation_bps=2_000, slice_every_s=0)


@dataclass
class World:
    """Handles on what `build` made."""

    maker: User
    checker: User
    bitcoin: Instrument
    cells: dict[str, Cell]
    layers: dict[str, Layer]
    rules: CloseOutRules = WORKED_EXAMPLE_RULES
    last_valuation: Valuation | None = field(default=None)

    @property
    def d(self) -> Cell:
        """The client that defaults."""
        return self.cells["D"]

    def balance(self, kind: AccountKind, asset: str = "USDC", cell: str = "D") -> int:
        """Balance of one account, base units."""
        return ledger.balance(self.cells[cell].id, kind, asset)

    def losses(self) -> list[int]:
        """Loss of first loss, tail and senior retention in thousands of dollars."""
        rows = Layer.objects.filter(cell=self.d).order_by("attach_base_units")
        return [layer.loss_base_units // (1000 * USD) for layer in rows]


def build(*, cure_minutes: int = 0, grace_minutes: int = 0, rules: CloseOutRules = WORKED_EXAMPLE_RULES) -> World:
    """D long 1,000 bitcoin at 95,000 (last paid), W short 600, M short 400, U with 20 million deposited."""
    assets()
    maker, checker = (person(name, is_staff=True) for name in ("maker", "checker"))
    house = Cell.objects.create(code="HOUSE", kind=Cell.Kind.HOUSE)
    Cell.objects.create(code="VENUE", kind=Cell.Kind.VENUE)
    for asset in ("USDC", "WBTC"):
        _target(house, ChainTarget.Kind.HOUSE, asset)
    bitcoin = Instrument.objects.create(code="BTC-PERP", kind=Instrument.Kind.PERPETUAL, underlying="BTC")
    cells = {name: client_cell(name) for name in ("D", "W", "M", "U")}
    for cell in cells.values():
        _terms(cell, cure_minutes, grace_minutes)
        for asset in ("USDC", "WBTC"):
            _target(cell, ChainTarget.Kind.VAULT, asset)
        _target(cell, ChainTarget.Kind.RETENTION, "USDC")
    deposit(cells["D"], 6_000_000 * USD)
    deposit(cells["D"], 50 * BTC, "WBTC")
    for name in ("W", "M", "U"):
        deposit(cells[name], 20_000_000 * USD)
    _trade(cells["D"], cells["W"], bitcoin, Decimal(600))
    _trade(cells["D"], cells["M"], bitcoin, Decimal(400))
    world = World(maker, checker, bitcoin, cells, _layers(cells["D"]), rules)
    for cell in cells.values():
        _fund(cell, AccountKind.FLOAT, 40_000_000)
    return world


Defaulted = tuple[World, DefaultCase]


@transaction.atomic
def before_default() -> World:
    """`build`, for @pytest.mark.world; so are those below."""
    return build()


@transaction.atomic
def terminated_at_78000() -> Defaulted:
    """D's book moved to its close-out cell, its margin seized."""
    world = build()
    return world, terminated(world, 78_000)


@transaction.atomic
def closed_out_at_78000() -> Defaulted:
    """Ready to be determined."""
    world = build()
    case = terminated(world, 78_000)
    close_out(world, case)
    return world, case


@transaction.atomic
def defaulted_at_78000() -> Defaulted:
    """A loss of 8.5 million is allocated to the layers."""
    world = build()
    return world, default_at(world, 78_000)


@transaction.atomic
def defaulted_at_60000() -> Defaulted:
    """A loss beyond all layers is allocated."""
    world = build()
    return world, default_at(world, 60_000)


def value(world: World, price: int, *, age: timedelta = timedelta(0)) -> Valuation:
    """One official valuation at a bitcoin price."""
    world.last_valuation = trading.record_valuation(
        as_of=clock.now() - age,
        source="test",
        snapshot_id=uuid7().hex,
        prices={"BTC": str(price)},
        marks={world.bitcoin.id: Decimal(price)},
    )
    return world.last_valuation


def lapsed_call(
    world: World, valuation: Valuation, *, overdue: timedelta = timedelta(0), independent_dollars: int = 1_000_000
) -> MarginCall:
    """D's margin state at a valuation, and a call on it that has lapsed `overdue` ago."""
    exposure = 1000 * (95_000 - int(valuation.prices["BTC"])) * USD
    MarginState.objects.update_or_create(
        cell=world.d,
        defaults={
            "valuation": valuation, "exposure_base_units": exposure,
            "independent_amount_base_units": independent_dollars * USD,
            "threshold_base_units": 0, "required_base_units": exposure, "held_base_units": 9_000_000 * USD,
            "ruleset_hash": "", "breakdown": [], "admission": {},
        },
    )  # fmt: skip
    due = clock.now() - overdue
    call = MarginCall.objects.create(
        cell=world.d, state=MarginCall.State.LAPSED, amount_base_units=exposure, valuation=valuation, deliver_by=due
    )
    CallIncrement.objects.create(
        cell=world.d, call=call, amount_base_units=exposure, unmet_base_units=exposure, deliver_by=due
    )
    return call


def notice(world: World, call: MarginCall) -> DefaultCase:
    """Proposed by one officer, given by another, final on chain."""
    proposal = defaults.propose_notice(
        maker=world.maker, call_id=call.id, reason="nothing delivered", rules=world.rules
    )
    case = defaults.give_notice(
        checker=world.checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="checked"
    )
    settle()
    return case


def terminated(
    world: World, price: int, *, independent_dollars: int = 1_000_000, age: timedelta = timedelta(0)
) -> DefaultCase:
    """A valuation of that age, a lapsed call, notice, Early Termination Date, seizure final."""
    case = notice(world, lapsed_call(world, value(world, price, age=age), independent_dollars=independent_dollars))
    defaults.set_early_termination(case_id=case.id)
    settle()
    case.refresh_from_db()
    return case


def close_out(world: World, case: DefaultCase) -> None:
    """Everything replaced and sold at the last valuation, sales paid."""
    assert world.last_valuation is not None
    closeout.replace(case_id=case.id, valuation_id=world.last_valuation.id, depth={world.bitcoin.id: DEPTH})
    closeout.dispose_collateral(case_id=case.id, valuation_id=world.last_valuation.id, depth={"WBTC": DEPTH})
    settle()
    owed = closeout.unpaid_disposals_base_units(case.id)
    if owed:
        closeout.book_disposal_receipt(
            case_id=case.id, transaction_hash="0x" + "d1" * 32, log_index=0, amount_base_units=owed
        )


def proposed(world: World, case: DefaultCase) -> Proposal:
    """The determination as the first officer proposes it."""
    return determination.propose_determination(maker=world.maker, case_id=case.id, reason="all replaced")


def determined(world: World, case: DefaultCase) -> DefaultCase:
    """Proposed, approved, allocated, final."""
    proposal = proposed(world, case)
    determination.approve_determination(
        checker=world.checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="recomputed"
    )
    settle()
    case.refresh_from_db()
    return case


def default_at(world: World, price: int) -> DefaultCase:
    """The whole default of D at one price."""
    case = terminated(world, price)
    close_out(world, case)
    return determined(world, case)


def settle() -> None:
    """The chain carries out everything that was instructed."""
    State = ChainInstruction.State
    for instruction in ChainInstruction.objects.filter(state=State.DRAFT).order_by("id"):
        ChainInstruction.objects.filter(id=instruction.id).update(state=State.BATCHED)
        outbox.mark_final(instruction.id, transaction_hash="0x" + "aa" * 32)


def _terms(cell: Cell, cure_minutes: int, grace_minutes: int) -> None:
    terms = Terms(
        relationship=cell.code, agreement="", client="", payout="", rulebook_hash="", ruleset="worked-example",
        minimum_transfer_base_units=0, rounding_unit_base_units=1, haircut_bps=(("USDC", 0), ("WBTC", 2_000)),
        valuation_minutes=5, acknowledge_minutes=0, deliver_minutes=15, grace_minutes=grace_minutes,
        cure_minutes=cure_minutes, answer_minutes=0, exit_minutes=0, debit_cap_base_units=10**15,
        max_required_base_units=10**15,
    )  # fmt: skip
    TermsVersion.objects.create(
        cell=cell, version=1, body=terms.canonical, hash=terms.hash, client_signer="", client_signature="",
        house_signer="", house_signature="",
    )  # fmt: skip


def _target(cell: Cell, kind: ChainTarget.Kind, asset: str) -> None:
    ChainTarget.objects.create(cell=cell, kind=kind, asset_id=asset, address=f"0x{uuid7().hex:0>40}", opened=True)


def _trade(buyer: Cell, seller: Cell, instrument: Instrument, quantity: Decimal) -> None:
    price = Decimal(95_000)
    trade = Trade.objects.create(
        instrument=instrument, buyer=buyer, seller=seller, quantity=quantity, price=price,
        state=Trade.State.NOVATED, novated_at=clock.now(),
    )  # fmt: skip
    for cell, opposite, signed in ((buyer, seller, quantity), (seller, buyer, -quantity)):
        trading.book_leg(cell_id=cell.id, instrument_id=instrument.id, quantity=signed, price=price)
        Lot.objects.create(
            cell=cell, trade=trade, instrument=instrument, opposite=opposite, quantity=signed, open_quantity=signed,
            price=price,
        )  # fmt: skip


def _layers(cell: Cell) -> dict[str, Layer]:
    bands = {
        Layer.Kind.FIRST_LOSS: (0, 1_500_000), Layer.Kind.TAIL: (1_500_000, 7_500_000),
        Layer.Kind.SENIOR: (7_500_000, 10_500_000),
    }  # fmt: skip
    made = {}
    for kind, (attach, detach) in bands.items():
        made[kind.value] = Layer.objects.create(
            cell=cell, kind=kind, attach_base_units=attach * USD, detach_base_units=detach * USD, funded=True,
            slice_id=uuid7() if kind == Layer.Kind.TAIL else None,
        )  # fmt: skip
    _fund(cell, AccountKind.FIRST_LOSS, 1_500_000)
    _fund(cell, AccountKind.SENIOR_RETENTION, 3_000_000)
    return made


def _fund(cell: Cell, kind: AccountKind, dollars: int) -> None:
    ledger.post(
        entry_id=uuid7(), cell_id=cell.id, kind="capital", memo="capital",
        lines=[Line(AccountKind.OUTSIDE, "USDC", -dollars * USD), Line(kind, "USDC", dollars * USD)],
    )  # fmt: skip
