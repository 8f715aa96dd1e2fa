"""Chains by configuration, and nodes that are not of the chain they should be of."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from pytest_django import Settings

from intermediary.errors import Refusal
from settlement import chains
from settlement.chain import Chain, ChainUnreachable, all_chains

TWO: dict[str, Any] = {
    "ethereum": {"id": 1, "rpc_urls": ["http://127.0.0.1:1", "http://127.0.0.1:2"], "tokens": {"USDC": "0xA0"}},
    "other": {"id": 10, "rpc_urls": ["http://127.0.0.1:3"], "finality": "", "confirmations": 64, "fee_cap_wei": 7},
}


def test_without_a_table_the_one_chain_is_what_the_settings_say(settings: Settings) -> None:
    settings.CHAIN_RPC_URLS = ["http://127.0.0.1:1"]
    assert (chains.names(), chains.here()) == (["main"], "main")
    assert (chains.configured().chain_id, chains.configured().finality) == (31337, "finalized")


def test_first_chain_of_the_table_is_meant_where_none_is_named(settings: Settings) -> None:
    settings.CHAINS = TWO
    assert (chains.here(), chains.configured().chain_id) == ("ethereum", 1)
    with chains.on("other"):
        assert [chain.url for chain in all_chains()] == ["http://127.0.0.1:3"]
        assert (chains.configured().confirmations, chains.configured().fee_cap_wei) == (64, 7)
    assert chains.here() == "ethereum"


@pytest.mark.parametrize(
    ("name", "changed", "code"),
    [
        ("third", {}, "unknown_chain"),
        ("other", {"id": 0}, "no_chain_id"),
        ("other", {"confirmations": 0}, "no_finality"),
        ("other", {"rpc_urls": []}, "no_chain_configured"),
    ],
)
def test_what_is_missing_is_refused_by_name(name: str, changed: dict[str, Any], code: str, settings: Settings) -> None:
    settings.CHAINS = TWO | {"other": TWO["other"] | changed}
    with pytest.raises(Refusal, match=code), chains.on(name):
        all_chains()


def test_production_without_a_chain_id_is_refused(settings: Settings) -> None:
    settings.CHAIN_ID, settings.CHAIN_RPC_URLS = 0, ["http://127.0.0.1:1"]
    with pytest.raises(Refusal, match="no_chain_id"):
        all_chains()


def test_node_is_named_by_its_machine_and_never_by_its_key() -> None:
    node = Chain("http://127.0.0.1:1/v2/s3cret?token=t0ken")
    with pytest.raises(ChainUnreachable) as refused:
        node.head()
    assert node.name == "127.0.0.1:1"
    with pytest.raises(ChainUnreachable) as unreadable:
        Chain("http://127.0.0.1:1/v2/s3 cret").head()
    for said in (refused.value, unreadable.value):
        assert said.message.startswith("127.0.0.1:1: ")
        assert "s3" not in f"{said} {said.data}"
        assert "t0ken" not in f"{said} {said.data}"


def test_nodes_may_be_named_in_files(tmp_path: Path) -> None:
    """By the environment of a process alone, as it is read when the process starts."""
    nodes, chains_file = tmp_path / "nodes", tmp_path / "chains.json"
    nodes.write_text("https://one.example/key\nhttps://two.example/key\n")
    chains_file.write_text(json.dumps({"main": {"id": 1, "rpc_urls_file": str(nodes)}}))
    code = "from intermediary.config.settings import *; print(CHAIN_RPC_URLS, CHAINS)"
    environment = {"CHAIN_RPC_URLS_FILE": str(nodes), "CHAINS_FILE": str(chains_file), "BULKHEAD_MODE": "test"}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=configured.BASE_DIR, env=environment, capture_output=True, text=True, check=True)
    found = ["https://one.example/key", "https://two.example/key"]
    assert said.stdout.startswith(str(found))
    assert f"'rpc_urls': {found}" in said.stdout


def test_node_of_another_chain_is_refused_with_both_ids(chain_url: str, settings: Settings) -> None:
    assert Chain(chain_url).id() == 31337
    settings.CHAIN_ID = 1
    with pytest.raises(Refusal, match="wrong_chain") as refused:
        Chain(chain_url).id()
    assert (refused.value.data["found"], refused.value.data["wanted"]) == (31337, 1)


def test_new_connection_is_asked_for_its_chain_again(chain_url: str, settings: Settings) -> None:
    chain = Chain(chain_url)
    chain.id()
    settings.CHAIN_ID = 1
    assert chain.id() == 31337
    chain.close()
    with pytest.raises(Refusal, match="wrong_chain"):
        chain.id()


def test_final_is_what_the_tag_says_and_never_less_deep_than_configured(chain_url: str, settings: Settings) -> None:
    chain = Chain(chain_url)
    for _ in range(6):
        chain.call("evm_mine")
    head = chain.head()
    assert chain.head_and_final() == (head, head - 2)
    settings.CHAIN_CONFIRMATIONS = 5
    assert chain.head_and_final() == (head, head - 5)
    settings.CHAIN_FINALITY, settings.CHAIN_CONFIRMATIONS = "", 3
    assert chain.head_and_final() == (head, head - 3)
