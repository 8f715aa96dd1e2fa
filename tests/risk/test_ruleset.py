"""A ruleset is one value with one hash; the published scenarios are complete and say where they come from."""

from dataclasses import replace
from decimal import Decimal

from risk.margin.ruleset import ruleset
from risk.margin.stress import published_scenarios
from risk.market.parameters import COINS


def test_every_figure_is_in_the_hash() -> None:
    standard = ruleset("standard")
    assert replace(standard, es_quantile=0.98).hash != standard.hash
    assert replace(standard, loss_model=replace(standard.loss_model, rho=0.3)).hash != standard.hash
    assert replace(standard, haircut_bps={"USDC": 51}).hash != standard.hash
    deeper = replace(standard.stress[0], depth_factor=Decimal("0.11"))
    assert replace(standard, stress=(deeper, *standard.stress[1:])).hash != standard.hash
    assert replace(standard).hash == standard.hash


def test_the_text_has_no_float_and_one_form() -> None:
    text = ruleset("standard").canonical_json()
    assert '"es_quantile":"0.99"' in text
    assert text == ruleset("standard").canonical_json()


def test_every_published_scenario_moves_every_coin_and_names_its_source() -> None:
    scenarios = published_scenarios()
    assert len({item.name for item in scenarios}) == len(scenarios) == 13
    for item in scenarios:
        assert set(item.returns) == set(COINS)
        assert all(Decimal(-1) <= value <= Decimal(1) for value in item.returns.values())
        assert "recorded" in item.source or "assumption" in item.source
        assert item.uses_liquidity_model


def test_the_worked_example_has_its_own_path_and_nothing_else() -> None:
    rules = ruleset("worked-example")
    assert [item.name for item in rules.stress] == ["fall_95000_to_78000"]
    assert not rules.admits_es
    assert rules.stress[0].stressed_mark("BTC", Decimal(95_000)) == Decimal(78_000)
    assert rules.stress[0].stressed_mark("ETH", Decimal(4_000)) == Decimal(4_000)
