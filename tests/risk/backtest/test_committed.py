"""The committed figures are what the recorded years give: every walk anew, every book, every stretch."""

import json
from datetime import date
from hashlib import sha256
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from risk.backtest import report
from risk.backtest.basis import Margin, basis_figures, basis_margins, premiums, renewals
from risk.backtest.prices import read_prices
from risk.backtest.report import figures, judge, verdict_body
from risk.backtest.verdicts import conditional_books
from risk.margin.ruleset import ruleset
from risk.market.history import FIVE_MINUTE_FILE, HOURLY_FILE
from risk.market.vol_index import VOL_INDEX_FILE

RULES = ruleset("standard")
CHEAP = ("ewma", "unfiltered")
SAMPLED = 2  # books whose third plain forecast is fitted anew: a fit a year for every book would take ten times as long


def committed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(report.__file__).parent / "data" / "standard.json").read_text())
    return found


def test_every_claim_of_the_coins_holds_and_the_one_of_option_books_that_does_not_is_known() -> None:
    """What fails is named here, so that it cannot go unnoticed either way: docs/backtest.md says why."""
    body = committed()
    assert body["ruleset"] == {"name": RULES.name, "version": RULES.version, "hash": RULES.hash}
    failing = {(row["stretch"], row["claim"]) for row in body["verdicts"] if not row["holds"]}
    assert failing == {(report.OPTIONS, "pinball_ratio_99")}


def test_the_recorded_years_give_the_committed_figures(market_history_dir: Path) -> None:
    kept = committed()
    for part, name in (("file", HOURLY_FILE), ("vol_index", VOL_INDEX_FILE)):
        assert kept[part]["sha256"] == sha256((market_history_dir / name).read_bytes()).hexdigest()
    prices = read_prices(market_history_dir / HOURLY_FILE)
    judged, _ = judge(prices, RULES, vol_index=market_history_dir / VOL_INDEX_FILE, forecasts=CHEAP)
    found = figures(verdict_body(judged))
    for name in ("verdicts", "conditional", "margin", "exceptions"):
        _assert_same(found[name], kept[name], name)
    _check_third_forecast(judged[0], kept)


def _check_third_forecast(judged: report.Judged, kept: dict[str, Any]) -> None:
    """Of some books, chosen by the hash of the recording."""
    random = np.random.default_rng(int(kept["file"]["sha256"][:8], 16))
    some = judged.walk.of_books(random.choice(len(judged.walk.books), SAMPLED, replace=False))
    third = {"gjr": report.plain_forecast(some, "gjr")}
    for stretch in judged.stretches:
        of = next(one for one in kept["conditional"] if one["stretch"] == stretch.name)
        rows = {row["book"]: row["levels"] for row in of["books"]}
        for row in figures({"rows": conditional_books(some, third, stretch), "exceptions": []})["rows"]:
            for label, level in row["levels"].items():
                _assert_same(level["against"], rows[row["book"]][label]["against"], f"{stretch.name} {row['book']}")


def test_the_recorded_premiums_give_the_committed_figures(market_history_dir: Path) -> None:
    prices = read_prices(market_history_dir / HOURLY_FILE)
    two = premiums(prices, market_history_dir / FIVE_MINUTE_FILE)
    assert two is not None
    kept = committed()["basis"]
    margins = {
        date.fromisoformat(day): {coin: Margin(*one) for coin, one in of.items()} for day, of in kept["margins"].items()
    }
    assert set(margins) < set(renewals(two))
    _assert_same(report.rounded(basis_figures(two, margins)), kept["books"], "basis")
    # Scenarios take a second a day: those of one day, chosen by the hash of the recording.
    day = sorted(margins)[int(committed()["file"]["sha256"][:8], 16) % len(margins)]
    for coin, one in basis_margins([day], two.coins, market_history_dir, RULES)[day].items():
        _assert_same(list(one), kept["margins"][day.isoformat()][coin], f"{day} {coin}")


def _assert_same(found: Any, kept: Any, where: str) -> None:
    """Equal, numbers to the digits that are kept; of plain forecasts those that were made anew."""
    if isinstance(kept, dict):
        assert set(found) <= set(kept), where
        for name, value in found.items():
            _assert_same(value, kept[name], f"{where}.{name}")
    elif isinstance(kept, list):
        assert len(found) == len(kept), where
        for place, (one, other) in enumerate(zip(found, kept, strict=True)):
            _assert_same(one, other, f"{where}[{place}]")
    elif isinstance(kept, float):
        assert isclose(found, kept, rel_tol=1e-4, abs_tol=1e-7), (where, found, kept)
    else:
        assert found == kept, where
