"""Calibration of pricing measures: what is refused and dropped, that nothing later is known, and what it finds."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from scipy.special import ndtr, ndtri

from bonds.pricing.calibration.candidates import CANDIDATES, Candidate
from bonds.pricing.calibration.fits import conditional_loss, first_losses, fit, sureness
from bonds.pricing.calibration.level import LevelRule, at_level, deviations, levels
from bonds.pricing.calibration.records import Issues, read_issues
from bonds.pricing.calibration.report import OFFICIAL, calibrate, table
from bonds.pricing.calibration.rolling import errors_bps, gain, predict, predicted_years
from intermediary.errors import BadInput

HEAD = "issue_month,Probability of Attachment,Expected Loss,Coupon Rate"
GOOD = "2023-12-01,0.02228,0.01721,0.12"


def candidate(name: str) -> Candidate:
    return next(one for one in CANDIDATES if one.name == name)


def issues_of(
    *, years: int = 3, a_year: int = 40, load: float = 0.4, floor: float = 0.01, noise: float = 0.0
) -> Issues:
    """Issues of a market that prices by the floored Wang transform itself."""
    random = np.random.default_rng(3)
    count = years * a_year
    expected = random.uniform(0.002, 0.08, count)
    measured = ndtr(ndtri(floor + (1 - floor) * expected) + load + noise * random.standard_normal(count))
    month = np.sort(random.integers(2018 * 12, (2018 + years) * 12, count))
    first = np.where(np.arange(count) % 2 == 0, expected * 1.25, np.nan)
    return Issues(month, expected, first, np.maximum(measured, expected), {}, "")


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: str, head: str = HEAD) -> Path:
        path = tmp_path / "issues.csv"
        path.write_text("\n".join([head, *rows]) + "\n")
        return path

    return write


@pytest.mark.parametrize(
    ("code", "rows", "head"),
    [
        ("calibration.no_rows", [], HEAD),
        ("calibration.no_rows", ["2023-12-01,,0.2,0.1"], HEAD),
        ("calibration.column_missing", [GOOD], HEAD.replace("Coupon Rate", "Coupon")),
        ("calibration.negative", ["2023-12-01,0.02,-0.01,0.12"], HEAD),
        ("calibration.beyond_one", ["2023-12-01,0.02,1.7,12"], HEAD),
        ("calibration.not_a_number", ["2023-12-01,0.02,much,0.12"], HEAD),
        ("calibration.not_a_number", ["2023-12-01,0.02,nan,0.12"], HEAD),
        ("calibration.month", ["December,0.02,0.01,0.12"], HEAD),
        ("calibration.month", ["2023-13-01,0.02,0.01,0.12"], HEAD),
    ],
)
def test_a_file_that_cannot_mean_what_it_says_is_refused_by_name(
    code: str, rows: list[str], head: str, file: Callable[..., Path]
) -> None:
    with pytest.raises(BadInput) as refused:
        read_issues(file(*rows, head=head))
    assert refused.value.code == code


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "issues.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="no UTF-8"):
        read_issues(tmp_path / "issues.csv")


def test_rows_that_say_too_little_are_dropped_and_counted_and_unknown_attachment_stays_unknown(
    file: Callable[..., Path],
) -> None:
    rows = ["2022-01-01,,0.01,0.05", "2021-01-01,0.005,0.01,0.05", "2021-01-01,,,0.05", "2021-02-01,,0.06,0.05"]
    found = read_issues(file(GOOD, *rows, "2021-02-01,,0,0.05"))
    assert found.count == 3
    assert list(found.year) == [2021, 2022, 2023]
    assert found.dropped == {
        "expected loss or coupon is not given": 1,
        "expected loss above the coupon": 1,
        "no expected loss": 1,
    }
    assert list(found.known_first_loss) == [False, False, True]


def test_an_unknown_attachment_is_that_of_the_median_of_issues_that_tell_it() -> None:
    found = issues_of()
    assert conditional_loss(found) == pytest.approx(0.8)
    np.testing.assert_allclose(first_losses(found, 0.8), found.expected_loss / 0.8)


@pytest.mark.parametrize("name", [one.name for one in CANDIDATES if one.fitted])
def test_every_family_finds_the_parameters_that_made_the_spreads(name: str) -> None:
    one, made = candidate(name), issues_of(years=2)
    theta = np.array(one.start) * 1.1
    spread = one.spread(theta, made.expected_loss, first_losses(made, 0.8))
    found = fit(one, Issues(made.month, made.expected_loss, made.first_loss, spread, {}, ""))
    np.testing.assert_allclose(one.spread(found, made.expected_loss, first_losses(made, 0.8)), spread, atol=2e-5)


def test_the_level_knows_earlier_months_only_and_dies_away() -> None:
    rule = LevelRule(half_life_months=2.0, prior_issues=2.0)
    month, deviation = np.array([100, 100, 101]), np.array([0.4, 0.4, 5.0])
    found = levels(rule, month, deviation, [100, 101, 112, 113, 114])
    assert found[0] == 0.0
    weight = 2 * 0.5**0.5
    assert found[1] == pytest.approx(0.4 * weight / (weight + 2))
    late = 0.5**5.5
    assert found[3] == pytest.approx(5.0 * 0.5**6 / (0.5**6 + 2))
    assert found[2] == pytest.approx((0.4 * 2 * 0.5**6 + 5.0 * late) / (2 * 0.5**6 + late + 2))
    assert found[4] == 0.0


def test_a_level_moves_a_measure_to_the_spreads_that_it_was_read_from() -> None:
    measured, spread = np.array([0.02, 0.05]), np.array([0.05, 0.04])
    np.testing.assert_allclose(at_level(measured, deviations(measured, spread)), spread, rtol=1e-12)


def test_a_year_is_predicted_from_the_years_before_it_only() -> None:
    made = issues_of(noise=0.2)
    last = made.year == 2020
    changed = Issues(made.month, made.expected_loss, made.first_loss, np.where(last, 0.3, made.spread), {}, "")
    one = candidate(OFFICIAL)
    before, after = (predict(one, issues, [2019, 2020]) for issues in (made, changed))
    np.testing.assert_array_equal(before.plain, after.plain)
    np.testing.assert_array_equal(before.theta[2020], after.theta[2020])
    first_month = made.month == made.month[last].min()
    np.testing.assert_array_equal(before.at_level[first_month], after.at_level[first_month])


def test_too_few_earlier_issues_are_refused() -> None:
    with pytest.raises(BadInput) as refused:
        predicted_years(issues_of(years=1))
    assert refused.value.code == "calibration.too_few"


def test_a_market_that_prices_by_a_family_is_foretold_and_its_parameters_lie_in_their_intervals() -> None:
    made = issues_of(noise=0.1)
    one = candidate("floored-wang")
    predicted = predict(one, made, [2019, 2020])
    published = predict(candidate("wang-published"), made, [2019, 2020])
    mean, low, high = gain(predicted.plain, published.plain, made, 500, 1)
    assert low <= mean <= high
    assert np.nanmean(errors_bps(predicted.plain, made)) < np.nanmean(errors_bps(published.plain, made))
    load, floor = sureness(one, made, fit(one, made), 30, 1)
    assert load.low - load.standard_error < 0.4 < load.high + load.standard_error
    assert floor.low - floor.standard_error < 0.01 < floor.high + floor.standard_error


def test_the_command_prints_a_table_or_json_and_names_what_it_refuses(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    made = issues_of(years=2, noise=0.1)
    rows = [
        f"{month // 12}-{month % 12 + 1:02d}-01,{'' if np.isnan(first) else first:.6},{expected:.6f},{spread:.6f}"
        if not np.isnan(first)
        else f"{month // 12}-{month % 12 + 1:02d}-01,,{expected:.6f},{spread:.6f}"
        for month, expected, first, spread in zip(
            made.month, made.expected_loss, made.first_loss, made.spread, strict=True
        )
    ]
    path, said = file(*rows), StringIO()
    call_command("calibrate_pricing", str(path), "--json", "--resamples", "2", stdout=said)
    body = json.loads(said.getvalue())
    assert body["predicted_years"] == [2019]
    assert {one["name"] for one in body["measures"]} == {one.name for one in CANDIDATES}
    with pytest.raises(CommandError, match=r"calibration\.no_rows"):
        call_command("calibrate_pricing", str(file()))
    with pytest.raises(CommandError, match="cannot read"):
        call_command("calibrate_pricing", str(tmp_path / "absent.csv"))


def test_on_recorded_cat_bonds_the_official_measure_beats_the_published_ones(market_history_dir: Path) -> None:
    issues = read_issues(market_history_dir / "catbond_artemis_2018_2023.csv")
    assert (issues.count, int((~issues.known_first_loss).sum())) == (327, 167)
    found = calibrate(issues, resamples=2)
    official = found.of(OFFICIAL)
    assert official.at_level.overall == pytest.approx(203.4, abs=0.5)
    assert found.of("wang-published").plain.overall == pytest.approx(261.8, abs=0.5)
    assert found.of("wang-published").plain.all_issues == pytest.approx(267.2, abs=0.5)
    assert found.of("lane-published").plain.overall == pytest.approx(359.1, abs=0.5)
    assert official.plain.overall > official.at_level.overall
    assert official.theta == pytest.approx({"lambda": 0.2434, "c": 0.0396, "p": 0.1519}, rel=0.02)
    assert "feared-wang" in table(found)
