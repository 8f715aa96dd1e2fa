"""What a remote signer signs, and what it refuses by name."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from settlement.messages import batch_message, cap_message, claim_message
from settlement.signing import messages, policy
from settlement.signing.journal import Journal
from settlement.signing.policy import Spending
from settlement.signing.refused import NotSigned

HOUSE, OTHER, VAULT = (f"0x{number:040x}" for number in (0xA1, 0xB2, 0xC3))
BEAT = "beat()"
SENDS = {
    "role": "poster",
    "transactions": {
        "chain_ids": [1],
        "calls": [{"to": [HOUSE], "functions": [BEAT]}, {"to": "*", "functions": ["applyLoss(uint64)"]}],
        "gas_limit": "100",
        "fee_cap_wei": "50",
        "wei_a_day": "9000",
    },
}
LIMITS = {"movement": "10", "claim": "20", "day": "30", "cap": "40"}
APPROVES = {
    "role": "approver",
    "typed_data": {
        "chain_ids": [1],
        "movements": 2,
        "houses": {HOUSE: {"movement": "10", "claim": "20", "day": "30", "cap": "40"}},
    },
}


def transaction(**changed: Any) -> dict[str, Any]:
    beat = keccak(text=BEAT)[:4]
    fees = {"gas": 100, "maxFeePerGas": 50, "maxPriorityFeePerGas": 1}
    return {"type": 2, "chainId": 1, "nonce": 0, "to": HOUSE, "value": 0, "data": beat, **fees} | changed


def batch(*amounts: int, house: str = HOUSE, chain_id: int = 1) -> dict[str, Any]:
    moves = [
        {"vault": VAULT, "kind": 1, "seq": seq, "amount": amount, "required": 0, "ref": f"0x{seq:064x}"}
        for seq, amount in enumerate(amounts)
    ]
    return batch_message(house, chain_id, 1, "0x" + "00" * 32, moves)


def sending(found: dict[str, Any]) -> Spending:
    allowed = policy.from_json(SENDS).sending
    assert allowed is not None
    return allowed.spending(messages.transaction_of(messages.written(found)))


def approving(found: dict[str, Any]) -> Spending:
    allowed = policy.from_json(APPROVES).approving
    assert allowed is not None
    return allowed.spending(messages.typed_data_of(messages.written(found)))


def test_sending_key_signs_a_known_call_and_counts_the_most_it_may_cost() -> None:
    assert sending(transaction()) == Spending("gas 1", "1:0", 5000, 9000)
    assert sending(transaction(to=OTHER, data=keccak(text="applyLoss(uint64)")[:4])).amount == 5000


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"chainId": 2}, "chain_not_allowed"),
        ({"to": ""}, "creation_refused"),
        ({"to": OTHER}, "function_not_allowed"),
        ({"value": 1}, "value_not_zero"),
        ({"data": b"\x00" * 4}, "function_not_allowed"),
        ({"data": b""}, "function_not_allowed"),
        ({"gas": 101}, "gas_over_limit"),
        ({"maxFeePerGas": 51}, "fee_over_limit"),
        ({"type": 1}, "bad_request"),
        ({"nonce": -1}, "bad_request"),
        ({"accessList": []}, "bad_request"),
    ],
)
def test_sending_key_refuses_by_name(changed: dict[str, Any], code: str) -> None:
    with pytest.raises(NotSigned) as refused:
        sending(transaction(**changed))
    assert refused.value.code == code


def test_contract_outside_of_the_policy_is_refused_even_for_a_known_function() -> None:
    only_house = {"transactions": SENDS["transactions"] | {"calls": [{"to": [HOUSE], "functions": [BEAT]}]}}  # type: ignore[operator]
    allowed = policy.from_json({"role": "poster", **only_house}).sending
    assert allowed is not None
    with pytest.raises(NotSigned) as refused:
        allowed.spending(transaction(to=OTHER))
    assert refused.value.code == "address_not_allowed"


def test_approving_key_signs_batches_and_claims_within_their_amounts() -> None:
    assert approving(batch(10, 5)).amount == 15
    claim = claim_message(HOUSE, 1, VAULT, 7, 20, "0x" + "11" * 32)
    assert (approving(claim).amount, approving(claim).of) == (20, f"claims 1 {HOUSE}".replace("a1", "A1"))


def renamed() -> dict[str, Any]:
    found = batch(1)
    found["types"] = found["types"] | {"Batch": [*found["types"]["Batch"], {"name": "more", "type": "uint8"}]}
    return found


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (batch(1, chain_id=2), "chain_not_allowed"),
        (batch(1, house=OTHER), "house_not_allowed"),
        (batch(1) | {"domain": batch(1)["domain"] | {"name": "Hose"}}, "house_not_allowed"),
        (batch(1, 1, 1), "too_many_movements"),
        (batch(11), "amount_over_limit"),
        (claim_message(HOUSE, 1, VAULT, 7, 21, "0x" + "11" * 32), "claim_over_limit"),
        (cap_message(HOUSE, 1, 41, 1), "cap_over_limit"),
        (batch(1) | {"primaryType": "Permit"}, "type_not_allowed"),
        (renamed(), "type_not_allowed"),
        (batch(1 << 96), "bad_request"),
    ],
)
def test_approving_key_refuses_by_name(message: dict[str, Any], code: str) -> None:
    with pytest.raises(NotSigned) as refused:
        approving(message)
    assert refused.value.code == code


@pytest.mark.parametrize("said", [{"role": "x"}, SENDS | APPROVES, {"role": "x", "typed_data": {"houses": {}}}])
def test_policy_that_does_not_say_exactly_one_thing_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(NotSigned, match="policy"):
        policy.from_json(said)


def test_day_is_counted_once_a_request_and_at_its_dearest(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.sign_off(Spending("gas 1", "1:0", 40, 100), b"\x01" * 32)
    journal.sign_off(Spending("gas 1", "1:0", 60, 100), b"\x02" * 32)
    journal.sign_off(Spending("gas 1", "1:0", 40, 100), b"\x01" * 32)
    with path.open("a") as torn:
        torn.write('{"at": 1')
    again = Journal(path)
    with pytest.raises(NotSigned, match="24 hours"):
        again.sign_off(Spending("gas 1", "1:1", 41, 100), b"\x03" * 32)
    again.sign_off(Spending("gas 1", "1:1", 40, 100), b"\x03" * 32)
    assert len(Journal(path)._days) == 1
    assert json.loads(path.read_text().splitlines()[-1])["key"] == "1:1"


def test_day_forgets_what_is_older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal")
    journal.sign_off(Spending("gas 1", "1:0", 100, 100), b"\x01" * 32)
    monkeypatch.setattr("settlement.signing.journal.DAY_SECONDS", -1)
    journal.sign_off(Spending("gas 1", "1:1", 100, 100), b"\x02" * 32)


def test_line_that_the_disk_takes_a_part_of_is_not_signed_and_spoils_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "journal", os.write
    journal = Journal(path)
    with monkeypatch.context() as patched:
        patched.setattr("settlement.signing.journal.os.write", lambda file, line: write(file, line[:20]))
        with pytest.raises(NotSigned, match="20 of"):
            journal.sign_off(Spending("gas 1", "1:0", 40, 100), b"\x01" * 32)
    journal.sign_off(Spending("gas 1", "1:1", 60, 100), b"\x02" * 32)
    for kept in (journal, Journal(path)):
        with pytest.raises(NotSigned, match="24 hours"):
            kept.sign_off(Spending("gas 1", "1:2", 41, 100), b"\x03" * 32)
    journal.sign_off(Spending("gas 1", "1:2", 40, 100), b"\x03" * 32)


def test_a_cap_at_once_counts_by_itself_and_four_of_the_largest_a_day() -> None:
    found = approving(cap_message(HOUSE, 1, 40, 7))
    assert (found.key.lower(), found.amount, found.limit) == (f"1:{HOUSE}:cap:7".lower(), 40, 160)
