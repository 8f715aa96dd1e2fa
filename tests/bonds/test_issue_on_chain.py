"""One series through everything: priced by QuantLib from the engine's models, bought by wallets, held on chain,
written down by a determined loss after its challenge period, written up by a recovery; ledger and chain agree."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client as Browser
from pytest_django import Settings

from bonds.marking import valuation
from bonds.models import EscrowReading, Holding, NoteMark, Series, SliceAct, SliceMark
from bonds.offering import eligibility
from bonds.portal.collateral import call_data
from bonds.servicing import transfers, write_downs
from intermediary import clock, events, ledger
from intermediary.config import collateral, note_register
from intermediary.config.issuance import Bid, issue_series
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line, post
from intermediary.models import AccountKind, DefaultCase, Event, Instrument, Layer, Position, TermsVersion
from risk import engine
from risk.models import Snapshot, Tick
from settlement import cycle
from settlement.bindings import read
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import address_of
from settlement.signer import demo_wallet
from settlement.transactor import Transactor
from tests.bonds import world
from tests.bonds.world import MILLION
from tests.risk.builders import snapshot as market
from tests.settlement import world as chain_world

INVESTORS = ("north", "south", "east")


def opposite_books(chain: Chain) -> list[chain_world.Client]:
    """Two relationships with margin in their vaults, opposite books, and layers of approved lines."""
    chain_world.house_with_contracts(chain.url)
    bitcoin = Instrument.objects.create(code="BTC-PERP", kind=Instrument.Kind.PERPETUAL, underlying="BTC")
    found = [chain_world.client(chain, code, index) for index, code in enumerate(("R1", "R2"))]
    for who, quantity in zip(found, (Decimal(400), Decimal(-400)), strict=True):
        chain_world.deposit(chain, who, 5 * MILLION)
        terms = replace(who.terms, ruleset="standard")
        TermsVersion.objects.create(
            cell=who.cell,
            version=1,
            body=terms.canonical,
            hash=terms.hash,
            client_signer=who.key.address,
            client_signature="0x",
            house_signer=who.key.address,
            house_signature="0x",
        )
        mark = market().mark("BTC")
        Position.objects.create(cell=who.cell, instrument=bitcoin, quantity=quantity, settled_value=quantity * mark)
        with transaction.atomic():
            world.with_layers(who.cell)
    cycle.settle_all(chain=chain)
    return found


def world_of_opposite_books() -> tuple[str, list[chain_world.Client]]:
    return chain_world.on_chain(opposite_books)


pytestmark = pytest.mark.world(build=world_of_opposite_books)


@pytest.fixture
def chain(chain_url: str, settings: Settings, request: pytest.FixtureRequest) -> Chain:
    """See the fixture of the same name in tests.settlement."""
    return chain_world.chain_of_world(chain_url, settings, request)


@pytest.fixture
def clients(chain: Chain, built_world: tuple[str, list[chain_world.Client]]) -> list[chain_world.Client]:
    return built_world[1]


def tick() -> Tick:
    """An official valuation of the market of now."""
    seen = replace(market(), as_of=datetime.now(UTC))
    Snapshot.objects.create(id=seen.id, as_of=seen.as_of, source=seen.source, body=seen.to_json())
    return engine.open_tick(seen.id, 1)


def investors() -> list[User]:
    """People whose wallets two officers let hold notes; the register on chain follows with the issue."""
    people = [world.newcomer(name, demo_wallet(40 + index).address) for index, name in enumerate(INVESTORS)]
    for one in people:
        world.granted(one)
    return people


def issued(chain: Chain, clients: list[chain_world.Client]) -> Series:
    tick()
    bids = [
        Bid(person, demo_wallet(40 + index), 0, 4_000_000 * 10**6 + index * 10**9, 25 * index)
        for index, person in enumerate(investors())
    ]
    terms = world.series_terms([who.cell for who in clients])
    return issue_series(chain=chain, terms=terms, bids=bids, mine=mine)


def deliver() -> None:
    """Tell bonds what has become final, as its consumer does."""
    while True:
        seen = Event.objects.count()
        for event in Event.objects.filter(kind="instruction_final"):
            with transaction.atomic():
                write_downs.on_instruction_final(event)
        cycle.settle_all()
        if Event.objects.count() == seen:
            return


def pass_time(chain: Chain, seconds: int) -> None:
    latest = chain.block("latest")
    assert latest is not None
    chain.call("evm_mine", hex(int(latest["timestamp"], 16) + seconds))


def principal_on_chain(chain: Chain, series: Series) -> int:
    return int(read(chain, world.only_tranche(series).note_address, "TrancheNote", "principal"))


def test_series_lives_through_a_default_on_chain(chain: Chain, clients: list[chain_world.Client]) -> None:
    series = issued(chain, clients)
    assert series.state == Series.State.ON_RISK
    note = world.only_tranche(series)
    assert note.guidance_bps is not None
    assert note.spread_bps is not None
    assert note.spread_bps >= note.guidance_bps > 0
    for holding in Holding.objects.select_related("wallet"):
        held = read(chain, note.note_address, "TrancheNote", "balanceOf", holding.wallet.address)
        assert held == holding.units
    assert Layer.objects.filter(kind=Layer.Kind.TAIL, funded=True).count() == 2
    chain_world.assert_reconciled()

    valuation.remark(tick().id)
    mark = NoteMark.objects.get()
    assert 0 < mark.probability_last_loss <= mark.expected_loss <= mark.probability_first_loss < 1
    assert mark.clean_price is not None
    assert 90 < mark.clean_price < 110

    with transaction.atomic():
        case = world.notice(clients[0].cell)
        event = world.determine(case, 4 * MILLION)
        write_downs.on_loss_determined(event)
    deliver()
    act = SliceAct.objects.get()
    assert act.state == SliceAct.State.CHALLENGE
    assert principal_on_chain(chain, series) == 12 * MILLION
    pass_time(chain, series.challenge_seconds + 60)
    with transaction.atomic():
        assert write_downs.due(clock.now() + timedelta(hours=2)) == 1
    deliver()
    assert world.outstanding(series) == {"R1": 7 * MILLION // 2, "R2": 6 * MILLION}
    assert principal_on_chain(chain, series) == 19 * MILLION // 2
    chain_world.assert_reconciled()

    assert_recovery_reaches_the_holders(chain, series, case)


def assert_recovery_reaches_the_holders(chain: Chain, series: Series, case: DefaultCase) -> None:
    """The house holds the cash of the write-down; a recovery of one million is written up from it."""
    sent = chain_world.give(chain, address_of("House", "USDC"), MILLION)
    with transaction.atomic():
        lines = [Line(AccountKind.OUTSIDE, "USDC", -MILLION), Line(AccountKind.RECOVERY, "USDC", MILLION)]
        entry = derive("house_receipt", sent, 0)
        post(entry_id=entry, cell_id=case.cell_id, kind="recovery", memo="recovery", lines=lines)
        case.loss_base_units -= MILLION
        case.recoveries_base_units += MILLION
        case.save()
        write_downs.bring_to_loss(slice_id=series.slices.get(relationship="R1").id)
    deliver()
    assert world.outstanding(series) == {"R1": 9 * MILLION // 2, "R2": 6 * MILLION}
    principal = principal_on_chain(chain, series)
    assert principal == 21 * MILLION // 2
    assert ledger.balance(case.cell_id, AccountKind.RECOVERY, "USDC") == 0
    note = world.only_tranche(series).note_address
    shares = [
        int(read(chain, note, "TrancheNote", "principalOf", address))
        for address in Holding.objects.values_list("wallet__address", flat=True)
    ]
    assert principal - len(shares) < sum(shares) <= principal
    chain_world.assert_reconciled()


def test_default_turns_the_model_into_an_estimate_and_then_into_the_loss(
    chain: Chain, clients: list[chain_world.Client]
) -> None:
    series = issued(chain, clients)
    valuation.remark(tick().id)
    with transaction.atomic():
        case = world.notice(clients[0].cell)
    valuation.remark(tick().id)
    with transaction.atomic():
        write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    valuation.remark(tick().id)
    marks = SliceMark.objects.filter(slice__series=series, slice__relationship="R1").order_by("id")
    assert list(marks.values_list("basis", flat=True)) == ["MODEL", "ESTIMATE", "DETERMINED"]
    determined = marks[2]
    assert determined.expected_loss == pytest.approx(2.5 / 6)
    assert determined.probability_first_loss == 1
    other = SliceMark.objects.filter(slice__relationship="R2").order_by("id")
    assert set(other.values_list("basis", flat=True)) == {"MODEL"}
    assert other[0].expected_loss == pytest.approx(other[2].expected_loss, rel=1e-6)
    note = NoteMark.objects.order_by("-id").first()
    assert note is not None
    assert note.clean_price is not None
    assert note.clean_price < 85


def test_empty_book_cannot_lose(chain: Chain, clients: list[chain_world.Client]) -> None:
    Position.objects.update(quantity=0, settled_value=0)
    bitcoin = Instrument.objects.get()
    tick()
    with transaction.atomic():
        series = world.deployed(world.series_terms([who.cell for who in clients]))
    note = world.only_tranche(series)
    assert valuation.price_guidance(series.id) == {note.id: 0}
    planned = {clients[0].cell.id: [(bitcoin.id, Decimal(400))], clients[1].cell.id: [(bitcoin.id, Decimal(-400))]}
    assert valuation.price_guidance(series.id, planned)[note.id] > 0


def test_grants_reach_the_register_and_count_when_final(chain: Chain, clients: list[chain_world.Client]) -> None:
    north = world.newcomer("north", demo_wallet(40).address)
    grant = world.granted(north)
    assert note_register.step(chain, mine) == 1, "sent, not final"
    grant.refresh_from_db()
    assert grant.state == "APPROVED"
    sent = chain.head()
    assert note_register.step(chain, mine) == 1
    assert chain.head() == sent, "nothing is sent again while the first is on its way"
    note_register.enter_all(chain, mine)
    grant.refresh_from_db()
    assert grant.state == "ENTERED"
    receipt = chain.receipts([grant.transaction_hash])[0]
    assert receipt is not None
    register = address_of("Eligibility")
    assert receipt["to"].lower() == register.lower()
    assert read(chain, register, "Eligibility", "eligible", demo_wallet(40).address)
    maker, checker = (User.objects.get(username=name) for name in ("maker", "checker"))
    with transaction.atomic():
        asked = eligibility.propose_end(maker=maker, wallet_id=grant.wallet_id, reason="sanctions list")
        eligibility.approve(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")
    note_register.enter_all(chain, mine)
    assert not read(chain, register, "Eligibility", "eligible", demo_wallet(40).address)


def test_notes_sent_by_a_wallet_are_followed_and_by_nobody_else(
    chain: Chain, clients: list[chain_world.Client]
) -> None:
    series = issued(chain, clients)
    note = world.only_tranche(series)
    north, south = demo_wallet(40), demo_wallet(41)
    before = dict(Holding.objects.values_list("wallet__address", "units"))
    sender = Transactor(chain, north, mine)
    with pytest.raises(Refusal, match="ERC7943CannotReceive"):
        sender.call(note.note_address, "TrancheNote", "transfer", demo_wallet(49).address, MILLION)
    sender.call(note.note_address, "TrancheNote", "transfer", south.address, MILLION)
    sender.wait()
    cycle.settle_all()
    told = list(Event.objects.filter(kind=events.NOTE_TRANSFERRED).order_by("id"))
    for event in [*told, *told]:
        with transaction.atomic():
            transfers.on_note_transferred(event)
    after = dict(Holding.objects.values_list("wallet__address", "units"))
    assert after[north.address] == before[north.address] - MILLION
    assert after[south.address] == before[south.address] + MILLION
    for address, units in after.items():
        assert read(chain, note.note_address, "TrancheNote", "balanceOf", address) == units
    assert sum(after.values()) == read(chain, note.note_address, "TrancheNote", "totalSupply")
    assert transfers.misplaced() == []
    assert collateral.look(chain) == 1
    cycle.settle_all()
    assert collateral.look(chain) == 0, "nothing has changed"
    seen = EscrowReading.objects.get()
    assert (seen.balance_base_units, seen.owed_base_units, seen.over_base_units) == (12 * MILLION, 0, 0)
    assert seen.notes[str(note.id)]["supply"] == str(12 * MILLION)
    call = {"to": note.note_address, "data": call_data("balanceOf(address)", south.address)}
    assert int(chain.call("eth_call", call, hex(seen.block_number)), 16) == after[south.address]
    proof = Browser().get(f"/api/v1/series/{series.code}/collateral/proof").json()
    assert (proof["chain_id"], proof["block_hash"]) == (chain.rules.chain_id, seen.block_hash)
    answers = [
        chain.call("eth_call", {"to": one["to"], "data": one["calldata"]}, hex(proof["block_number"]))
        for one in proof["calls"]
    ]
    assert [str(int(answer, 16)) for answer in answers] == [one["said"] for one in proof["calls"]]
    assert len(answers) == 6
