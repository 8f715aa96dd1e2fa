"""The credit support formula, what margin is worth, deposits, assessment, and the number the vaults lock."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from intermediary import charges, clock, collateral, ledger, margining, variation, vaults, withdrawals
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models import (
    AccountKind,
    Asset,
    Cell,
    ChainInstruction,
    ChainTarget,
    JournalEntry,
    MarginCall,
    MarginPoint,
    MarginState,
    Party,
    Position,
)
from intermediary.onboarding import current_terms
from tests.intermediary.builders import assets
from tests.intermediary.margin_world import BTC, HOUR, MILLION, USD, assess, client, key_of, traded, value

MTA, UNIT = MILLION // 4, MILLION // 100


@pytest.mark.parametrize(
    ("exposure", "independent", "threshold", "held", "expected"),
    [
        ("18.17", "10", "2", "10.12", margining.Delivery(16_050_000 * USD)),
        ("0.24", "0", "0", "0", None),
        ("0", "10", "0", "10.994999", margining.Return(990_000 * USD)),
        ("1.234567", "0", "0", "0", margining.Delivery(1_240_000 * USD)),
        ("0.25", "0", "0", "0", margining.Delivery(250_000 * USD)),
        ("-5", "3", "0", "0", None),
    ],
)
def test_the_formula_gives_its_golden_numbers(
    exposure: str, independent: str, threshold: str, held: str, expected: object
) -> None:
    e, i, t, h = (int(Decimal(text) * MILLION) for text in (exposure, independent, threshold, held))
    assert margining.csa(e, i, t, h, MTA, UNIT) == expected


amounts = st.integers(0, 2**60)


@given(st.integers(-(2**60), 2**60), amounts, amounts, amounts, st.integers(0, 2**40), st.integers(1, 2**40))
def test_after_a_delivery_or_a_return_the_formula_gives_none(
    exposure: int, independent: int, threshold: int, held: int, mta: int, unit: int
) -> None:
    found = margining.csa(exposure, independent, threshold, held, mta, unit)
    if found is None:
        return
    delivered = found.amount_base_units if isinstance(found, margining.Delivery) else -found.amount_base_units
    assert delivered
    assert margining.csa(exposure, independent, threshold, held + delivered, mta, unit) is None


@given(st.integers(-(2**60), 2**60), amounts, amounts, amounts, st.integers(0, 2**40), st.integers(1, 2**40))
def test_nothing_is_delivered_beyond_need_and_nothing_returned_that_is_needed(
    exposure: int, independent: int, threshold: int, held: int, mta: int, unit: int
) -> None:
    required = margining.required_for(exposure, independent, threshold)
    found = margining.csa(exposure, independent, threshold, held, mta, unit)
    if isinstance(found, margining.Delivery):
        assert 0 <= held + found.amount_base_units - required < unit
        assert found.amount_base_units >= mta
    elif isinstance(found, margining.Return):
        assert 0 <= held - found.amount_base_units - required < unit
    else:
        assert abs(required - held) < max(mta, unit) or (held > required and held - required < unit)


@pytest.mark.parametrize(
    ("held", "level"), [(1_500, None), (1_499, 150), (1_250, 150), (1_249, 125), (1_099, 110), (1_000, 110), (999, 100)]
)
def test_warnings_come_before_a_call(held: int, level: int | None) -> None:
    assert margining.warning_level(held, 1_000) == level
    assert margining.warning_level(held, 0) is None


@pytest.mark.django_db
@given(st.integers(1, 10**15), st.decimals("0.01", "200000", places=2), st.integers(0, 9_999))
def test_the_asset_delivered_for_a_value_is_worth_it_and_no_less_would_be(
    wanted: int, price: Decimal, haircut_bps: int
) -> None:
    wbtc = Asset(code="WBTC", decimals=8, priced_as="BTC")
    assets()
    amount = margining.asset_for_value(wanted, wbtc, price, haircut_bps)
    assert collateral.value_after_haircut(amount, wbtc, price, haircut_bps) >= wanted
    assert collateral.value_after_haircut(amount - 1, wbtc, price, haircut_bps) < wanted


@pytest.mark.django_db
def test_held_counts_each_token_after_its_haircut_rounded_down() -> None:
    d = client("D")
    d.deposit(6 * MILLION)
    d.deposit(50 * BTC + 1, "WBTC")
    assert margining.held_after_haircut(d.cell.id, value(78_000).id) == 6 * MILLION + 3_120_000 * USD + 624
    bare = current_terms(d.cell.id).__class__(**{**current_terms(d.cell.id).__dict__, "haircut_bps": (("USDC", 0),)})
    assert margining.held_after_haircut(d.cell.id, None, bare) == 6 * MILLION, "a token outside the terms is worth 0"


@pytest.mark.django_db
def test_a_deposit_is_credited_once_a_log_and_a_strangers_stays_in_suspense() -> None:
    d = client("D")
    for _ in range(2):
        margining.credit_deposit(
            target=d.vault(), amount_base_units=7, sender=d.key.address.lower(), transaction_hash="0xab", log_index=3,
            block_number=9,
        )  # fmt: skip
    d.deposit(5, sender=key_of("stranger").address)
    d.deposit(0)
    assert d.held() == 7
    assert ledger.balance(d.cell.id, AccountKind.SUSPENSE, "USDC") == 5
    assert JournalEntry.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("state", Cell.State.values)
def test_a_deposit_is_credited_in_every_state_of_the_cell(state: str) -> None:
    d, w = client("D"), client("W")
    traded(d, w, 1, 100_000)
    Cell.objects.filter(id=d.cell.id).update(state=state) if state != "OPEN" else None
    margining.stop_clocks("chain unseen")
    d.deposit(9)
    d.deposit(3, "WBTC")
    assert (d.held(), d.held("WBTC")) == (9, 3)


@pytest.mark.django_db
def test_assess_records_calls_and_locks_and_repeating_it_changes_nothing() -> None:
    d, w = client("D"), client("W")
    d.deposit(2 * MILLION)
    traded(d, w, 100, 100_000)
    valuation = value(95_000)
    for _ in range(2):
        state = assess(d, valuation, 3 * MILLION + 1)
        assert state.exposure_base_units == 500_000 * USD
        assert state.required_base_units == 3_500_000 * USD + 1
        assert state.headroom_base_units == -1_500_000 * USD - 1
        call = MarginCall.objects.get(cell=d.cell)
        assert call.amount_base_units == 1_510_000 * USD
        assert MarginPoint.objects.filter(cell=d.cell).count() == 1
        require = ChainInstruction.objects.get(cell=d.cell, kind="REQUIRE")
        assert (require.target, require.required_base_units) == (d.vault(), 3_500_000 * USD + 1)


@pytest.mark.django_db
def test_an_older_valuation_does_not_replace_a_newer_one() -> None:
    d = client("D")
    old, new = value(95_000), value(96_000)
    assess(d, new, 5 * MILLION)
    assert assess(d, old, 9 * MILLION).independent_amount_base_units == 5 * MILLION


@pytest.mark.django_db
def test_a_requirement_is_of_a_valuation_that_exists() -> None:
    d = client("D")
    state = assess(d, value(95_000), 5 * MILLION)
    with pytest.raises(IntegrityError, match="no_such_valuation"), transaction.atomic():
        MarginState.objects.filter(id=state.id).update(valuation=uuid7())


@pytest.mark.django_db
def test_a_failed_admission_stops_new_risk_and_a_passed_one_allows_it() -> None:
    d = client("D")
    for passed, state in ((False, "NO_NEW_RISK"), (False, "NO_NEW_RISK"), (True, "OPEN")):
        assess(d, value(95_000), 0, passed=passed)
        assert Cell.objects.get(id=d.cell.id).state == state


@pytest.mark.django_db
def test_the_vaults_lock_the_settlement_token_first_and_hear_of_changes_beyond_the_unit() -> None:
    d = client("D")
    d.deposit(1 * MILLION)
    d.deposit(100 * BTC, "WBTC")
    assess(d, value(50_000), 3 * MILLION)
    assert vaults.required_in_force(d.vault()) == 1 * MILLION
    assert vaults.required_in_force(d.vault("WBTC")) == 50 * BTC, "2 million / 50,000 / (1 - 20%)"
    sent = ChainInstruction.objects.count()
    assess(d, value(50_000), 3 * MILLION + 5_000 * USD)
    assert ChainInstruction.objects.count() == sent
    assess(d, value(50_000), 9 * MILLION)
    assert vaults.required_in_force(d.vault()) == 5 * MILLION, "what is missing is locked in the settlement token"
    assert vaults.required_in_force(d.vault("WBTC")) == 100 * BTC
    assess(d, value(50_000), 0)
    assert vaults.required_in_force(d.vault()) == vaults.required_in_force(d.vault("WBTC")) == 0


@pytest.mark.django_db
def test_a_vault_locks_no_more_than_it_can_whatever_the_newest_terms_say() -> None:
    """Its address commits to the cap of the terms it was opened under; beyond that the chain refuses the number."""
    d, w = client("D"), client("W")
    caps = {"USDC": 4 * MILLION, "WBTC": 30 * BTC}
    for asset, most in caps.items():
        ChainTarget.objects.filter(id=d.vault(asset).id).update(creation={"max_required": most})
    d.deposit(9 * MILLION)
    d.deposit(100 * BTC, "WBTC")
    traded(d, w, 1, 50_000)
    assess(d, value(50_000), 12 * MILLION)
    assert {asset: vaults.required_in_force(d.vault(asset)) for asset in caps} == caps
    asked = ChainInstruction.objects.count()
    assess(d, value(50_000), 11 * MILLION)
    assert ChainInstruction.objects.count() == asked, "nothing is instructed that says the same"
    withdrawn = withdrawals.request_withdrawal(user=d.user, cell_id=d.cell.id, asset="USDC", amount_base_units=MILLION)
    assert withdrawn.entry is not None
    assert withdrawn.entry.instructions.get().required_base_units == 4 * MILLION
    charged = charges.take_free_margin(
        effect_id=uuid7(), cell_id=d.cell.id, amount_base_units=MILLION, destination=AccountKind.FEES, memo="fee"
    )
    assert charged is not None
    assert charged.required_base_units == 4 * MILLION


@pytest.mark.django_db
def test_what_a_credit_locks_is_within_what_the_vault_can() -> None:
    d, w = client("D"), client("W")
    for who in (d, w):
        who.deposit(20 * MILLION)
    traded(d, w, 1_000, 100_000)
    ChainTarget.objects.filter(id=w.vault().id).update(creation={"max_required": 3 * MILLION})
    valuation = value(95_000)
    assess(w, valuation, 7 * MILLION)
    credit = variation.settle(cell_id=w.cell.id, valuation_id=valuation.id)
    assert credit is not None
    assert (credit.kind, credit.required_base_units) == ("CREDIT", 3 * MILLION)


@pytest.mark.django_db
def test_nothing_is_unsecured_without_a_line_or_in_trouble() -> None:
    d = client("D", recourse=Party.Recourse.NONE)
    assert margining.threshold_of(d.cell.id) == 0
    assert assess(d, value(95_000), MILLION).required_base_units == MILLION


@pytest.mark.django_db
def test_a_trade_after_the_last_valuation_leaves_the_requirement_unknown() -> None:
    d, w = client("D"), client("W")
    d.deposit(5 * MILLION)
    assert margining.free_margin(d.cell.id) == 5 * MILLION
    assess(d, value(100_000), 0)
    traded(d, w, 1, 100_000)
    with pytest.raises(Refusal, match="requirement_pending"):
        margining.free_margin(d.cell.id)
    assess(d, value(100_000), 2 * MILLION)
    assert margining.free_margin(d.cell.id) == 3 * MILLION
    assert Position.objects.filter(cell=d.cell).count() == 1
    d.deposit(1 * MILLION)
    assert MarginState.objects.get(cell=d.cell).held_base_units == 6 * MILLION


@pytest.mark.django_db
def test_clocks_stop_once_and_resume() -> None:
    first = margining.stop_clocks("watcher down")
    assert margining.stop_clocks("again") == first
    ended = margining.resume_clocks()
    assert [stop.id for stop in ended] == [first.id]
    assert margining.resume_clocks() == []
    assert clock.now() - first.started_at < HOUR + timedelta(0)
