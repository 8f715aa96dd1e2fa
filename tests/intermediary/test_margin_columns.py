"""Columns of margin say what the rules say of each relationship alone."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intermediary import vaults
from intermediary.collateral import value_of_holdings
from intermediary.margin_columns import MarginColumns
from intermediary.models import Asset, ChainTarget, Valuation
from intermediary.standings import Standing
from intermediary.terms import Terms
from intermediary.vaults import Vault

ASSETS = {
    "BTC": Asset(code="BTC", decimals=8, priced_as="BTC"),
    "ETH": Asset(code="ETH", decimals=18, priced_as="ETH"),
    "USDC": Asset(code="USDC", decimals=6, is_settlement=True),
    "USDT": Asset(code="USDT", decimals=6),
}
MARKET = Valuation(prices={"BTC": "94900.17", "ETH": "4016.123456"})
DOLLAR = 10**6
amounts = {"BTC": 10**11, "ETH": 10**22, "USDC": 10**14, "USDT": 10**14}
required = st.integers(0, 2 * 10**14)


def some(most: dict[str, int]) -> st.SearchStrategy[dict[str, int]]:
    """Any of these tokens, each up to its most."""
    return st.fixed_dictionaries({}, optional={code: st.integers(0, top) for code, top in most.items()})


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    """A relationship whose vaults lock anything, or nearly what some requirement asks for."""
    haircuts = {"USDC": draw(st.integers(0, 500))} | draw(some({"BTC": 10_000, "ETH": 9_000, "USDT": 10_000}))
    terms = terms_of(haircuts, unit=draw(st.sampled_from([1, DOLLAR, 10_000 * DOLLAR])), cap=draw(required))
    terms = replace(terms, max_required_by_token=tuple(draw(some(dict.fromkeys(("BTC", "ETH"), 10**20))).items()))
    holdings = draw(some(amounts))
    locked = draw(some(amounts))
    if draw(st.booleans()):
        off = draw(st.integers(-20_000 * DOLLAR, 20_000 * DOLLAR))
        asked = vaults.required_by_token(draw(required), holdings, terms, MARKET, {}, ASSETS.values())
        locked = {code: max(0, amount + (off if code == "USDC" else 0)) for code, amount in asked.items()}
    committed = draw(some(amounts))
    present = [
        Vault(ChainTarget(asset=ASSETS[code]), ASSETS[code], amount, committed.get(code))
        for code, amount in locked.items()
    ]
    return standing_of(terms, holdings, present)


def terms_of(haircut_bps: dict[str, int], unit: int, cap: int) -> Terms:
    """Terms of which only these matter here."""
    words = ("relationship", "agreement", "client", "payout", "rulebook_hash", "ruleset")
    minutes = ("valuation", "acknowledge", "deliver", "grace", "cure", "answer", "exit")
    rest: dict[str, Any] = dict.fromkeys(words, "") | {f"{name}_minutes": 0 for name in minutes}
    return Terms(
        **rest,
        debit_cap_base_units=0,
        minimum_transfer_base_units=0,
        rounding_unit_base_units=unit,
        max_required_base_units=cap,
        haircut_bps=tuple(haircut_bps.items()),
    )


def standing_of(terms: Terms | None, holdings: dict[str, int], present: list[Vault]) -> Standing:
    """With nothing else about it."""
    tokens = {*holdings, *(vault.asset.code for vault in present if vault.required_in_force)}
    return Standing(
        state="OPEN",
        terms=terms,
        allowance=None,
        holdings=holdings,
        vaults=present,
        calls={},
        has_lapsed=False,
        in_default=False,
        is_gross=False,
        layers=(),
        tokens=tuple(tokens),
        key="",
    )


@given(st.lists(st.tuples(standings(), required), max_size=4))
def test_worth_and_locks_are_those_of_each_alone(cases: list[tuple[Standing, int]]) -> None:
    columns = MarginColumns.of([standing for standing, _ in cases], ASSETS)
    asked = np.array([amount for _, amount in cases], dtype=np.int64)
    worth, right = columns.worth(MARKET).tolist(), columns.locks_right(asked, MARKET).tolist()
    for row, (standing, amount) in enumerate(cases):
        assert standing.terms is not None
        assert worth[row] == value_of_holdings(standing.holdings, MARKET, standing.terms, ASSETS)
        due = vaults.requirements(standing.vaults, amount, standing.holdings, standing.terms, MARKET, ASSETS.values())
        assert not (right[row] and due), "whoever surely locks what it should needs no new number"


@given(st.lists(standings(), min_size=1, max_size=4), standings())
def test_changed_rows_are_written_anew(before: list[Standing], now: Standing) -> None:
    columns = MarginColumns.of(before, ASSETS)
    seen = MarginColumns.of(before, ASSETS)
    changed, anew = columns.with_changes({0: now}), MarginColumns.of([now, *before[1:]], ASSETS)
    for one, other in ((changed, anew), (columns, seen)):
        assert one.priced == other.priced
        for name in ("held", "in_force", "counts", "touched", "unit", "cap", "plain"):
            assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "in_force"), name


def test_a_number_that_is_right_is_known_without_exact_arithmetic() -> None:
    """Else every vault would be gone through at every tick."""
    terms = terms_of({"USDC": 0, "BTC": 2_000}, unit=10_000 * DOLLAR, cap=10**15)
    holdings = {"USDC": 6 * 10**12, "BTC": 50 * 10**8}
    asked = vaults.required_by_token(8 * 10**12, holdings, terms, MARKET, {}, ASSETS.values())
    present = [Vault(ChainTarget(asset=ASSETS[code]), ASSETS[code], asked[code]) for code in holdings]
    columns = MarginColumns.of([standing_of(terms, holdings, present)] * 3, ASSETS)
    # In BTC, before a haircut of 20%, for a unit of 10,000.
    near, far = 8 * 10**12 + 7_000 * DOLLAR, 8 * 10**12 + 11_000 * DOLLAR
    assert columns.locks_right(np.array([8 * 10**12, near, far]), MARKET).tolist() == [True, True, False]


def test_what_has_no_price_is_named() -> None:
    terms = terms_of({"USDC": 0, "BTC": 2_000}, unit=1, cap=10**15)
    btc = Vault(ChainTarget(asset=ASSETS["BTC"]), ASSETS["BTC"], 5)
    rows = [standing_of(terms, {"USDC": 7}, []), standing_of(terms, {"BTC": 7}, []), standing_of(terms, {}, [btc])]
    columns = MarginColumns.of([*rows, standing_of(None, {"BTC": 7}, [])], ASSETS)
    unpriced = Valuation(prices={"ETH": "4016"})
    assert columns.is_priced(unpriced).tolist() == [True, False, False, False]
    assert columns.worth(unpriced).tolist() == [7, 0, 0, 0]
