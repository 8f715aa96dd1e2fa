"""The worked example, through the whole stack: contracts, vaults, credit line, bond, default, recovery.

The world of `worked_world` is built in a database and on a chain of its own, and its path is walked as the demo's is:
engine, officers, wallets and chain work each market through to rest. The figures are read off ledger, layers and notes
at the end, and stand only if the contracts say the same; nothing here computes a loss.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from bonds.models import SlicePart, Tranche
from intermediary import ledger
from intermediary.config import replay
from intermediary.config.demo import bootstrap, keys, sizing, wallet
from intermediary.config.demo.worked_world import (
    CAST,
    DEFAULTER,
    GAP_AT,
    START,
    market_at,
    path_after_the_gap,
    path_before_the_gap,
)
from intermediary.config.demo.world import Client
from intermediary.config.scratch import OWNER, connected, forked, migrated_database
from intermediary.config.services import Services
from intermediary.models import (
    AccountKind,
    Cell,
    ChainInstruction,
    ChainTarget,
    DefaultCase,
    Layer,
    Lot,
    MarginCall,
    Mark,
    Position,
    UncoveredShare,
    Valuation,
)
from intermediary.money import millions, to_base_units
from intermediary.ports import PlannedTrade
from risk import engine
from risk.gate import EngineGate
from risk.market.snapshot import MarketSnapshot
from settlement import cycle
from settlement.bindings import read
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import address_of
from settlement.models import ReconciliationBreak, ReconciliationRun

USD = 10**6
RECOVERED_USD = 3_400_000
Layers = Mapping[str, Layer]


def run(running: Services, say: bootstrap.Say) -> dict[str, Any]:
    """The example on these services: one world up to the last payment at 95,000, carried on in two ways.

    Returns the figures in $m as decimal strings by moment, and the numbers of the standard ruleset's refusal (base
    units). Raises AssertionError where the chain, or what the other relationships hold, contradicts the figures.
    """
    chain = Chain(running.anvil_url)
    stage = Stage(chain, say)
    with migrated_database(running, "worked_example", clock_from=START) as databases:
        with connected(databases, OWNER):
            stage.builder.people()
        refusal = stage.build()
    with forked(running, "worked_example", "to_78000"):
        found = {"at_78000": stage.fall_to(Decimal(78_000)), "after_recovery": stage.recover()}
    with forked(running, "worked_example", "to_60000"):
        found["at_60000"] = stage.fall_to(Decimal(60_000))
    return {**found, "standard_ruleset_refuses": refusal}


class Stage:
    """The example's world, built on an empty database and chain, and what happens in it."""

    def __init__(self, chain: Chain, say: bootstrap.Say) -> None:
        self.chain, self.say = chain, say
        self.builder = bootstrap.Builder(cast=CAST, chain=chain, feed=path_before_the_gap(), say=say)

    def build(self) -> dict[str, Any]:
        """The world up to the last payment at 95,000; returns how the standard ruleset refuses the trade."""
        self.builder.build_until_trades()
        refusal = self._refusal_under_standard()
        self.builder.build_trades()
        for snapshot in self.builder.feed.bars(START + timedelta(seconds=1), CAST.ends_at):
            self._bar(snapshot)
        assert not MarginCall.objects.exists(), "at 95,000 everybody holds what is required"
        return refusal

    def fall_to(self, gap: Decimal) -> dict[str, str]:
        """The gap, the default and all that follows, until the loss is written down on chain; the figures then."""
        for snapshot in path_after_the_gap(gap).bars(GAP_AT, CAST.ends_at):
            self._bar(snapshot)
        return self._figures()

    def recover(self) -> dict[str, str]:
        """The estate pays 3.4 million and the layers are recomputed; the figures then."""
        self.say(f"a recovery of {RECOVERED_USD:,} dollars")
        asset = ledger.settlement_asset()
        house = address_of("House", asset.code)
        wallet.transfer(self.chain, keys.estate(), asset, house, RECOVERED_USD * USD, mine)
        last = Valuation.objects.latest("as_of")
        self._bar(market_at(last.as_of + timedelta(hours=1), Decimal(last.prices["BTC"])))
        return self._figures()

    def _refusal_under_standard(self) -> dict[str, Any]:
        """The trade of D under the standard ruleset, judged before it is made: refused, with the numbers."""
        cell = self.builder.cells[DEFAULTER]
        first = Valuation.objects.earliest("as_of")
        planned = [
            PlannedTrade(instrument_id, quantity, _mark(first, instrument_id))
            for instrument_id, quantity in sizing.planned(CAST, self.builder.cells)[cell.id]
        ]
        verdict = EngineGate(under="standard").check_trades({cell.id: planned})[cell.id]
        assert not verdict.passed, "the standard ruleset refuses this line"
        return dict(verdict.data)

    def _bar(self, snapshot: MarketSnapshot) -> None:
        """One market, worked through to rest by everybody: engine, officers, wallets, chain."""
        self.say(f"bitcoin at {snapshot.mark('BTC'):,}, {snapshot.as_of:%H:%M}")
        replay.pass_time(snapshot.as_of, self._settle, self._act, CAST)
        tick = engine.open_tick(replay.offer(snapshot), shards=1)
        engine.run_shard(tick.id, 0)
        replay.work_through(self._settle, self._act, CAST)
        replay.expected_nets_to_zero()

    def _settle(self) -> None:
        cycle.settle_all(mine=mine, chain=self.chain)

    def _act(self) -> None:
        wallet.step(self.chain, CAST, mine)

    def _figures(self) -> dict[str, str]:
        """Losses by layer, the notes' factor, UNCOVERED, and what accounts without a linked lot lost; $m."""
        cell = self.builder.cells[DEFAULTER]
        case = DefaultCase.objects.get(cell=cell)
        layers = {layer.kind: layer for layer in Layer.objects.filter(cell=cell)}
        assert_chain_agrees(self.chain, cell, layers)
        return {
            "first_loss": millions(layers[Layer.Kind.FIRST_LOSS].loss_base_units),
            "tail_bond": millions(layers[Layer.Kind.TAIL].loss_base_units),
            "senior_retention": millions(layers[Layer.Kind.SENIOR].loss_base_units),
            "uncovered": millions(case.uncovered_base_units),
            "factor": f"{outstanding_principal() / Decimal(Tranche.objects.get().original_base_units):.2f}",
            "unlinked_lost": millions(self._unlinked_lost(case)),
        }

    def _unlinked_lost(self, case: DefaultCase) -> int:
        """What the relationships without a lot facing the defaulter lost, base units.

        Those with one lost their shares of UNCOVERED and nothing else; nobody's positions were touched.
        """
        linked = set(Lot.objects.filter(opposite=case.cell).values_list("cell_id", flat=True))
        lost = 0
        for client in CAST.clients:
            cell = self.builder.cells[client.key]
            if cell.id == case.cell_id:
                continue
            self._assert_untouched(cell)
            missing = margin_missing(client, cell)
            if cell.id in linked:
                assert missing == shares_of(cell), f"{client.key} was not paid all but its share"
            else:
                assert not shares_of(cell), f"{client.key} bears a share without a linked lot"
                lost += missing
        return lost

    def _assert_untouched(self, cell: Cell) -> None:
        """Every trade that a performing relationship made is still there, in whole."""
        traded = dict(sizing.planned(CAST, self.builder.cells)[cell.id])
        held = dict(Position.objects.filter(cell=cell).values_list("instrument_id", "quantity"))
        assert held == traded, f"a position of {cell.code} was touched"


def margin_missing(client: Client, cell: Cell) -> int:
    """First margin, and what the positions gained since their trade, less what lies in the vault; base units."""
    asset, latest = ledger.settlement_asset(), Valuation.objects.latest("as_of")
    first = Valuation.objects.earliest("as_of")
    gained = Decimal(0)
    for instrument_id, quantity in Position.objects.filter(cell=cell).values_list("instrument_id", "quantity"):
        gained += quantity * (_mark(latest, instrument_id) - _mark(first, instrument_id))
    assert client.first_margin_usd is not None
    held = ledger.balance(cell.id, AccountKind.CLIENT_MARGIN, asset.code)
    return to_base_units(Decimal(client.first_margin_usd) + gained, asset.decimals) - held


def shares_of(cell: Cell) -> int:
    """UNCOVERED that a relationship bears, base units."""
    return sum(UncoveredShare.objects.filter(cell=cell).values_list("amount_base_units", flat=True))


def outstanding_principal() -> int:
    """Principal of the notes that is left, base units, as the bonds' own rows say."""
    return sum(SlicePart.objects.values_list("outstanding_base_units", flat=True))


def assert_chain_agrees(chain: Chain, cell: Cell, layers: Layers) -> None:
    """The contracts hold the same losses as the rows: notes, both retentions, and every balance reconciled."""
    note = Tranche.objects.get().note_address
    assert read(chain, note, "TrancheNote", "principal") == outstanding_principal(), "the notes' principal differs"
    assert read(chain, note, "TrancheNote", "writtenDown") == layers[Layer.Kind.TAIL].loss_base_units
    retention = ChainTarget.objects.get(kind=ChainTarget.Kind.RETENTION, cell=cell)
    for place, kind in enumerate((Layer.Kind.FIRST_LOSS, Layer.Kind.SENIOR)):  # in the order of the contract's enum
        applied = read(chain, retention.address, "Retention", "applied", place)
        assert applied == layers[kind].loss_base_units, f"the chain applied {applied} to {kind}"
    assert not ChainInstruction.objects.exclude(state=ChainInstruction.State.FINAL).exists(), "everything is final"
    assert ReconciliationRun.objects.exists(), "ledger and chain were compared"
    assert not ReconciliationBreak.objects.exists(), "and never differed"


def _mark(valuation: Valuation, instrument_id: UUID) -> Decimal:
    return Mark.objects.get(valuation=valuation, instrument_id=instrument_id).price
