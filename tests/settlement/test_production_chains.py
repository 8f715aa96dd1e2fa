"""What production refuses to start with, and policies made from what is deployed."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from intermediary.errors import Refusal
from settlement.bindings import contract
from settlement.chain import Chain
from settlement.checks import chains_are_safe
from settlement.deployment import address_of
from settlement.signing import policy
from tests.settlement.world import CAP, house_alone

TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
GOOD: dict[str, Any] = {
    "id": 1,
    "rpc_urls": ["https://one.example", "https://two.example"],
    "tokens": {"USDC": f"{TOKEN}:settlement"},
}


def said(settings: Settings, **changed: Any) -> list[str]:
    settings.MODE, settings.CHAINS = "production", {"main": GOOD | changed}
    return [str(one.id) for one in chains_are_safe(None)]


def test_two_nodes_of_a_real_chain_are_fine(settings: Settings) -> None:
    assert said(settings) == []
    assert said(settings, rpc_urls=["http://127.0.0.1:8545", "https://two.example"]) == []


@pytest.mark.parametrize(
    ("changed", "ids"),
    [
        ({"id": 0}, ["settlement.E001"]),
        ({"finality": "", "confirmations": 0}, ["settlement.E001"]),
        ({"rpc_urls": []}, ["settlement.E002"]),
        ({"rpc_urls": ["https://one.example/a", "https://one.example/b"]}, ["settlement.E003"]),
        ({"rpc_urls": ["http://one.example", "https://two.example"]}, ["settlement.E004"]),
        ({"id": 31337}, ["settlement.E005"]),
        ({"tokens": {}}, ["settlement.E006"]),
    ],
)
def test_what_is_missing_or_unsafe_is_an_error(changed: dict[str, Any], ids: list[str], settings: Settings) -> None:
    assert said(settings, **changed) == ids


@pytest.mark.parametrize("command", ["watcher", "poster", "approver", "reconcile"])
def test_no_process_of_production_starts_on_the_word_of_one_node(command: str, settings: Settings) -> None:
    settings.MODE, settings.CHAINS = (
        "production",
        {"main": GOOD | {"rpc_urls": ["https://one.example/a", "https://one.example/b"]}},
    )
    with pytest.raises(Refusal, match="one_node_only"):
        call_command(command)


def test_keys_in_the_wrong_place_are_errors(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTLEMENT_APPROVER_SIGNER", "unix:/run/approver")
    assert said(settings) == []
    settings.DATABASE_ROLE = "web"
    assert said(settings) == ["settlement.E007"]
    settings.DATABASE_ROLE = "poster"
    monkeypatch.setenv("SETTLEMENT_POSTER_KEYSTORE", "/run/poster.json")
    assert said(settings) == ["settlement.E008"]


def test_demonstration_is_not_checked(settings: Settings) -> None:
    settings.CHAINS = {"main": {"id": 31337, "rpc_urls": []}}
    assert list(chains_are_safe(None)) == []


@pytest.mark.world(build=house_alone)
def test_policy_of_each_key_names_its_functions_and_can_be_read(chain: Chain) -> None:
    found = {}
    for key in ("poster", "operator", "approver", "onboarder", "structurer"):
        out = io.StringIO()
        call_command("signer_policy", key, stdout=out)
        found[key] = policy.from_json(json.loads(out.getvalue()))
    house = address_of("House", "USDC")
    poster, operator, approver = (found[key] for key in ("poster", "operator", "approver"))
    assert poster.sending is not None
    assert [calls.contracts for calls in poster.sending.calls] == [frozenset({house})]
    assert len(poster.sending.calls[0].selectors) == 2
    assert operator.sending is not None
    assert operator.sending.calls[-2].contracts is None
    scheduling = operator.sending.calls[-1]
    assert scheduling.contracts == frozenset({address_of("AccessManager")})
    assert scheduling.selectors == {contract("AccessManager").selector(name) for name in ("schedule", "cancel")}
    onboarder, structurer = found["onboarder"].sending, found["structurer"].sending
    assert onboarder is not None
    assert onboarder.calls[-1].selectors == {contract("VaultFactory").selector("open")}
    assert structurer is not None
    assert structurer.calls[-1].selectors == {contract("SeriesEscrow").selector("refund")}
    assert approver.approving is not None
    assert (approver.approving.houses[house].movement, approver.approving.houses[house].cap) == (CAP, 2 * CAP)
    with pytest.raises(CommandError, match="holds no role"):
        call_command("signer_policy", "nobody")
