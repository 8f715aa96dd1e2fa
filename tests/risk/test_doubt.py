"""A mark that is less than good takes no new risk, lets everybody have less, and leaves requirements as they are."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from intermediary import clock, ports, trading, withdrawals
from intermediary.config.replay import store_snapshot
from intermediary.config.status import doubtful_marks
from intermediary.errors import Refusal
from intermediary.models import Instrument, MarginState, Mark, Valuation
from intermediary.portal import reads
from intermediary.ports import LayerSizes, PlannedTrade
from risk import engine, scenario_source
from risk.gate import EngineGate
from risk.margin.ruleset import ruleset
from risk.market.quality import MarkQuality, MarkState, SourceSeen
from risk.market.snapshot import MarketSnapshot
from risk.models import ScenarioSource, Tick
from tests.intermediary.margin_world import BTC, MILLION, USD, Client, bitcoin, client
from tests.risk.builders import scenarios, snapshot

pytestmark = pytest.mark.django_db

MARK = Decimal(95_000)
LIMIT = ruleset("standard").doubt_limit_bps


@pytest.fixture
def who() -> Client:
    """Long ten coins, bought in a market that nobody doubts."""
    bitcoin()
    ports.bind_risk_gate(EngineGate())
    found = client("D")
    found.deposit(20 * MILLION)
    official(None)
    trading.book_leg(cell_id=found.cell.id, instrument_id=bitcoin().id, quantity=Decimal(10), price=MARK)
    return found


def quality(state: MarkState, uncertainty_bps: int) -> MarkQuality:
    kraken = SourceSeen("kraken", MARK, 2, 10_000)
    return MarkQuality(state, uncertainty_bps, "marks-1", (kraken, SourceSeen("binance", None, None, 0, "timed out")))


def official(
    doubt: MarkQuality | None, unseen: str = "", lost: tuple[str, ...] = (), peg: MarkQuality | None = None
) -> None:
    """A new official market, with this quality of bitcoin's mark; nobody saw the coin `unseen` for three hours, and the
    coins `lost` have no smile any more; `peg` is the quality of USDC's price."""
    moment, market = clock.now(), snapshot({"BTC": str(MARK)})
    old = moment - timedelta(hours=3)
    seen = {
        coin: replace(item, observed_at=old if coin == unseen else moment) for coin, item in market.underlyings.items()
    }
    qualities = {"BTC": doubt} if doubt else {}
    found = replace(market, as_of=moment, underlyings=seen, qualities=qualities, lost_smiles=lost)
    found = replace(found, peg_quality=peg, peg_observed_at=moment if peg else None)
    tick = engine.open_tick(store_snapshot(found), 1)
    engine.run_shard(tick.id, 0)


def check(who: Client, *quantities: int) -> bool:
    trades = [PlannedTrade(bitcoin().id, Decimal(quantity), MARK) for quantity in quantities]
    return EngineGate().check_trades({who.cell.id: trades})[who.cell.id].passed


@pytest.mark.parametrize(
    "doubt",
    [
        quality(MarkState.SINGLE_SOURCE, 250),
        quality(MarkState.STALE, 40),
        quality(MarkState.DIVIDED, LIMIT + 1),
        quality(MarkState.THIN, LIMIT + 1),
        MarkQuality(
            MarkState.DIVIDED, 120, "marks-1", (SourceSeen("kraken", None, None, 0, "timed out"),)
        ),  # not renewed
    ],
)
def test_no_new_risk_on_a_mark_in_doubt_and_the_numbers_are_said(who: Client, doubt: MarkQuality) -> None:
    official(doubt)
    for quantities in ((1,), (-11,), (-21,), (-5, 10)):  # more, and through nothing to the other side
        with pytest.raises(Refusal, match="mark_doubtful") as refused:
            check(who, *quantities)
    assert refused.value.data == {
        "underlying": "BTC", "state": doubt.state.value, "uncertainty_bps": doubt.uncertainty_bps, "limit_bps": LIMIT,
        "sources": [seen.source for seen in doubt.used],
        "left_out": {seen.source: seen.left_out for seen in doubt.left_out},
    }  # fmt: skip
    with pytest.raises(Refusal, match="mark_doubtful"):
        EngineGate().check_line(who.cell.id, MILLION, LayerSizes(5 * MILLION, 0, 0))
    assert check(who, -1)
    assert check(who, -10)
    assert check(who, -4, -5)


def in_ether(who: Client, quantity: int) -> bool:
    found, _ = Instrument.objects.get_or_create(code="ETH-PERP", kind=Instrument.Kind.PERPETUAL, underlying="ETH")
    planned = [PlannedTrade(found.id, Decimal(quantity), Decimal(4_016))]
    return EngineGate().check_trades({who.cell.id: planned})[who.cell.id].passed


@pytest.fixture
def pledger() -> Client:
    """Margin of 30 coins in bitcoin and a hundred dollars, and ether bought in a market that nobody doubts."""
    ports.bind_risk_gate(EngineGate())
    found = client("D")
    found.deposit(30 * BTC, "WBTC")
    ether = Instrument.objects.create(code="ETH-PERP", kind=Instrument.Kind.PERPETUAL, underlying="ETH")
    official(None)
    trading.book_leg(cell_id=found.cell.id, instrument_id=ether.id, quantity=Decimal(100), price=Decimal(4_016))
    return found


def test_no_new_risk_rests_on_margin_whose_own_mark_is_in_doubt_and_less_of_it_always_passes(pledger: Client) -> None:
    official(None)
    assert in_ether(pledger, 1)
    official(quality(MarkState.SINGLE_SOURCE, 250))
    with pytest.raises(Refusal, match="mark_doubtful") as refused:
        in_ether(pledger, 1)
    assert refused.value.data == {"tokens": ["WBTC"], "underlyings": ["BTC"], "limit_bps": LIMIT}
    with pytest.raises(Refusal, match="mark_doubtful"):
        EngineGate().check_line(pledger.cell.id, MILLION, LayerSizes(5 * MILLION, 0, 0))
    assert in_ether(pledger, -1)
    assert not in_ether(pledger, 10_000), "what does not pass at all is refused by its numbers"
    pledger.deposit(20 * MILLION)
    assert in_ether(pledger, 1), "it rests on dollars now"


def test_no_new_risk_rests_on_margin_whose_own_mark_is_too_old(pledger: Client) -> None:
    official(None, unseen="BTC")
    with pytest.raises(Refusal, match="mark_doubtful"):
        in_ether(pledger, 1)
    assert in_ether(pledger, -1)


@pytest.mark.parametrize(("doubt", "unseen"), [(quality(MarkState.DIVIDED, LIMIT + 1), ""), (None, "BTC")])
def test_what_stays_behind_a_withdrawal_rests_on_no_margin_in_doubt(
    pledger: Client, doubt: MarkQuality | None, unseen: str
) -> None:
    pledger.deposit(MILLION)
    official(doubt, unseen)
    required = MarginState.objects.get(cell=pledger.cell).required_base_units
    assert 0 < required < MILLION
    with pytest.raises(Refusal, match="mark_doubtful") as refused:
        withdraw(pledger, MILLION)
    assert refused.value.data["tokens"] == ["WBTC"]
    assert refused.value.data["available_base_units"] == MILLION - required
    assert withdrawals.available(pledger.cell.id, "USDC") == MILLION - required
    withdraw(pledger, 30 * BTC, "WBTC")


def test_a_mark_within_the_limit_may_be_what_stays_behind_a_withdrawal(pledger: Client) -> None:
    pledger.deposit(MILLION)
    official(quality(MarkState.THIN, 60))
    withdraw(pledger, MILLION)


def withdraw(who: Client, amount: int, asset: str = "USDC") -> None:
    withdrawals.request_withdrawal(user=who.user, cell_id=who.cell.id, asset=asset, amount_base_units=amount)


@pytest.mark.parametrize("doubt", [quality(MarkState.DIVIDED, LIMIT), quality(MarkState.THIN, 60), None])
def test_a_mark_within_the_limit_takes_new_risk(who: Client, doubt: MarkQuality | None) -> None:
    official(doubt)
    assert check(who, 1)


def test_doubt_leaves_the_requirement_as_it_is_and_other_coins_alone(who: Client) -> None:
    official(None)
    sure = MarginState.objects.get(cell=who.cell)
    official(quality(MarkState.SINGLE_SOURCE, 2_000))
    unsure = MarginState.objects.get(cell=who.cell)
    assert [(row.doubt.state, row.doubt.off_by) for row in reads.positions(who.cell) if row.doubt] == [
        ("single source", Decimal("0.2"))
    ]
    assert unsure.valuation != sure.valuation
    # The turnover of an ordinary week moves from second to second, and the two markets may lie in two of them.
    assert unsure.required_base_units == pytest.approx(sure.required_base_units, rel=1e-6)
    assert sure.required_base_units > 0
    ether = Instrument.objects.create(code="ETH-PERP", kind=Instrument.Kind.PERPETUAL, underlying="ETH")
    official(quality(MarkState.SINGLE_SOURCE, 2_000))
    planned = [PlannedTrade(ether.id, Decimal(1), Decimal(4_016))]
    assert EngineGate().check_trades({who.cell.id: planned})[who.cell.id].passed


def test_no_new_risk_while_the_price_of_usdc_is_in_doubt_whatever_the_coin(who: Client) -> None:
    official(None, peg=quality(MarkState.THIN, 60))
    assert check(who, 1)
    official(None, peg=quality(MarkState.STALE, 60))
    with pytest.raises(Refusal, match="mark_doubtful") as refused:
        check(who, 1)
    assert (refused.value.data["underlying"], refused.value.data["state"]) == ("USDC", "stale")
    with pytest.raises(Refusal, match="mark_doubtful"):
        EngineGate().check_line(who.cell.id, MILLION, LayerSizes(5 * MILLION, 0, 0))
    assert check(who, -1)
    (said,) = doubtful_marks(Tick.objects.values_list("snapshot_id", flat=True)[0])
    assert (said.coin, said.price, said.quality.state) == ("USDC", Decimal(1), MarkState.STALE)


# A smile that was lost.


def test_no_new_risk_in_options_on_a_coin_whose_smile_was_lost_and_less_of_them_always_passes(who: Client) -> None:
    expiry = clock.now() + timedelta(days=30)
    call = Instrument.objects.create(
        code="BTC-CALL", kind=Instrument.Kind.CALL, underlying="BTC", strike=Decimal(100_000), expiry=expiry
    )
    official(None)
    price = Mark.objects.get(instrument=call, valuation=Valuation.objects.latest("as_of")).price
    trading.book_leg(cell_id=who.cell.id, instrument_id=call.id, quantity=Decimal(2), price=price)

    def options(quantity: int) -> bool:
        price = Mark.objects.get(instrument=call, valuation=Valuation.objects.latest("as_of")).price
        planned = [PlannedTrade(call.id, Decimal(quantity), price)]
        return EngineGate().check_trades({who.cell.id: planned})[who.cell.id].passed

    official(None)
    assert options(1)
    official(None, lost=("BTC",))
    for quantity in (1, -3):
        with pytest.raises(Refusal, match="smile_lost") as refused:
            options(quantity)
    assert refused.value.data == {"underlyings": ["BTC"]}
    with pytest.raises(Refusal, match="smile_lost"):
        EngineGate().check_line(who.cell.id, MILLION, LayerSizes(5 * MILLION, 0, 0))
    assert options(-1)
    assert check(who, 1), "the coin itself has a price that nobody doubts"
    official(None, lost=("ETH",))
    assert options(1)


# History that ended too long ago.


@pytest.mark.parametrize(
    ("source", "ended_days_ago", "refused"),
    [("live", 3, True), ("live", 2, False), ("live", None, False), ("recording", 400, False)],
)
def test_no_new_risk_in_a_live_market_on_volatility_of_long_ago(
    who: Client, monkeypatch: pytest.MonkeyPatch, source: str, ended_days_ago: int | None, refused: bool
) -> None:
    """Replays and simulated scenarios take it; less of a position always passes."""
    market = official_market(source)
    ended = None if ended_days_ago is None else market.as_of.date() - timedelta(days=ended_days_ago)
    drawn = replace(scenarios(), as_of=market.as_of.date(), recorded_to=ended)
    monkeypatch.setattr("risk.doubt.scenarios_for", lambda *_: drawn)
    assert check(who, -1)
    if not refused:
        assert check(who, 1)
        return
    with pytest.raises(Refusal, match="history_too_old") as told:
        check(who, 1)
    assert ended is not None
    assert told.value.data == {"recorded_to": ended.isoformat(), "age_days": 3, "limit_days": 2}
    with pytest.raises(Refusal, match="history_too_old"):
        EngineGate().check_line(who.cell.id, MILLION, LayerSizes(5 * MILLION, 0, 0))


def test_taking_the_recording_away_lets_no_new_risk_in(who: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it stop anybody from having less, or free margin from leaving."""
    day = official_market("live").as_of.date()
    drawn = {"scenarios": replace(scenarios(), as_of=day, recorded_to=day - timedelta(days=30))}
    for reader in ("risk.doubt", "risk.scenario_source"):
        monkeypatch.setattr(f"{reader}.scenarios_for", lambda *_: drawn["scenarios"])

    def told(code: str) -> Refusal:
        scenario_source.note(Tick.objects.values_list("id", flat=True)[0])
        with pytest.raises(Refusal, match=code) as refused:
            check(who, 1)
        assert check(who, -1)
        with transaction.atomic():
            withdrawals.request_withdrawal(user=who.user, cell_id=who.cell.id, asset="USDC", amount_base_units=USD)
        return refused.value

    told("history_too_old")
    drawn["scenarios"] = replace(scenarios(), as_of=day, recorded_to=None)
    for _ in range(2):  # and the row that is written without it forgets nothing
        assert told("history_gone").data["recorded_to"] == (day - timedelta(days=30)).isoformat()
    row = ScenarioSource.objects.get()
    assert (row.name, row.takes_no_new_risk, row.wants_somebody) == ("simulated", True, True)
    drawn["scenarios"] = replace(scenarios(), as_of=day, recorded_to=day)
    scenario_source.note(Tick.objects.values_list("id", flat=True)[0])
    assert check(who, 1)


def official_market(source: str) -> MarketSnapshot:
    """A new official market of this source, which nobody doubts."""
    moment, market = clock.now(), snapshot({"BTC": str(MARK)})
    seen = {coin: replace(item, observed_at=moment) for coin, item in market.underlyings.items()}
    found = replace(market, as_of=moment, source=source, underlyings=seen)
    engine.run_shard(engine.open_tick(store_snapshot(found), 1).id, 0)
    return found
