"""The allocation report: it replays from the file alone, and every tampering is named."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from bonds.offering import report
from bonds.offering.book import Step
from bonds.offering.sealing import Opening, bidder_of
from intermediary.canonical import canonical_json, sha256_hex
from intermediary.ids import uuid7

CLOSE = datetime(2026, 3, 2, 12, tzinfo=UTC)
UNIT = 1_000


def bid(number: int, outcome: str, *steps: tuple[int, int], minimum: int = 0) -> report.SealedBid:
    opening = Opening(
        series="BLK-T",
        note="BLKT0",
        bidder=bidder_of(uuid7(), f"{number:064x}"),
        steps=tuple(Step(spread, amount) for spread, amount in steps),
        minimum_fill_base_units=minimum,
        salt=f"{number:064x}",
    )
    sealed_at = CLOSE - timedelta(minutes=60 - number)
    return report.SealedBid(opening.commitment, sealed_at, outcome, opening.text if outcome == "REVEALED" else "")


@pytest.fixture
def body() -> dict[str, Any]:
    bids = (
        bid(1, "REVEALED", (380, 40 * UNIT), (420, 20 * UNIT)),
        bid(2, "REVEALED", (400, 90 * UNIT), minimum=80 * UNIT),
        bid(3, "REVEALED", (420, 60 * UNIT)),
        bid(4, "UNREVEALED", (100, 100 * UNIT)),
        bid(5, "WITHDRAWN", (100, 100 * UNIT)),
    )
    return report.build(
        series="BLK-T",
        terms_hash="0" * 64,
        rules="bulkhead-book-1",
        denomination_base_units=UNIT,
        commits_until=CLOSE,
        reveals_until=CLOSE + timedelta(hours=1),
        classes=[report.BookOfClass("BLKT0", 100 * UNIT, 100 * UNIT, 100 * UNIT, 1, bids)],
    )


def test_report_replays(body: dict[str, Any]) -> None:
    text = canonical_json(body)
    assert report.differences(text) == []
    result = report.results(text)["BLKT0"]
    assert (result.spread_bps, result.size_base_units, len(result.removed)) == (420, 100 * UNIT, 1)
    assert sorted(result.fills_base_units.values()) == [0, 45 * UNIT, 55 * UNIT]


def first(body: dict[str, Any]) -> dict[str, Any]:
    line: dict[str, Any] = body["classes"][0]["bids"][0]
    return line


def _shift_fill(body: dict[str, Any]) -> None:
    fills = body["classes"][0]["result"]["fills"]
    one, other = (key for key, fill in fills.items() if fill != "0")
    fills[one], fills[other] = str(int(fills[one]) + UNIT), str(int(fills[other]) - UNIT)


TAMPERINGS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda body: first(body).update(opening=first(body)["opening"].replace("380", "300")), "of another commitment"),
    (lambda body: first(body).update(sealed_at=CLOSE.isoformat()), "after the close"),
    (lambda body: first(body).update(outcome="PREFERRED"), "there is no outcome"),
    (lambda body: first(body).update(outcome="BARRED"), "clearing spread|fill of"),
    (lambda body: body["classes"][0]["bids"].append(first(body)), "stands twice"),
    (lambda body: body["classes"][0]["result"].update(spread_bps=419), "clearing spread: the file says 419"),
    (lambda body: body["classes"][0]["result"].update(removed=[]), "orders removed"),
    (lambda body: body["classes"][0].update(cap=str(10 * UNIT)), "fill of|covered"),
    (lambda body: body.update(series="BLK-U"), "its opening is for BLKT0 of BLK-T"),
    (_shift_fill, "fill of"),
    (lambda body: body.update(rules="house-rules"), "not known here"),
    (lambda body: body.pop("classes"), "no report"),
]


@pytest.mark.parametrize(("tamper", "said"), TAMPERINGS)
def test_tampering_is_named(body: dict[str, Any], tamper: Callable[[dict[str, Any]], object], said: str) -> None:
    tamper(body)
    found = report.differences(canonical_json(body))
    assert found
    assert any(part in " ".join(found) for part in said.split("|")), found


@pytest.mark.parametrize("text", ["", "[]", "null", '{"classes": [', '"x"', "{}", "[" * 100_000])
def test_what_is_no_report_is_said_to_be_none(text: str) -> None:
    assert report.differences(text)


def test_command_prints_the_hash_and_fails_on_a_difference(
    body: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    file.write_text(canonical_json(body))
    call_command("verify_allocation", str(file))
    printed = capsys.readouterr().out
    assert sha256_hex(file.read_text()) in printed
    assert "BLKT0: holds; 420 basis points" in printed
    body["classes"][0]["result"]["spread_bps"] = 400
    file.write_text(json.dumps(body, sort_keys=True, separators=(",", ":")))
    with pytest.raises(SystemExit) as stopped:
        call_command("verify_allocation", str(file))
    assert stopped.value.code == 1
    assert "differs: BLKT0: clearing spread" in capsys.readouterr().out
