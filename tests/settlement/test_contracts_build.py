"""The committed artefacts: complete, callable, reproducible, free of addresses. Behaviour is forge's to test."""

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from eth_utils.crypto import keccak

from scripts.install import node_binary
from settlement import role_table

CONTRACTS = Path(__file__).resolve().parents[2] / "settlement" / "contracts"


def load_build() -> ModuleType:
    """build.py as a module; it is a program, not part of a package."""
    spec = importlib.util.spec_from_file_location("contracts_build", CONTRACTS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = load_build()


def artifact(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CONTRACTS / "artifacts" / f"{name}.json").read_text())
    return loaded


def canonical(parameter: dict[str, Any]) -> str:
    """ABI type of a parameter with tuples written out, as a selector is computed from it."""
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(canonical(part) for part in parameter["components"]) + ")" + kind.removeprefix("tuple")


def signatures(name: str, kind: str) -> set[str]:
    return {
        f"{entry['name']}({','.join(canonical(parameter) for parameter in entry['inputs'])})"
        for entry in artifact(name)["abi"]
        if entry["type"] == kind
    }


def test_a_stale_a_missing_and_a_foreign_artefact_are_each_named() -> None:
    compiled = {"House": "a", "Retention": "b"}
    assert BUILD.differing(compiled, compiled) == []
    assert BUILD.differing({"House": "old", "Stranger": "x"}, compiled) == ["House", "Retention", "Stranger"]


def test_a_change_of_a_source_is_a_change_of_the_remembered_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    for name in ("foundry.toml", "package-lock.json", "solc", "solc.cjs", "src/A.sol"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(BUILD, "HERE", tmp_path)
    before = BUILD.sources_hash()
    assert BUILD.sources_hash() == before
    (tmp_path / "src" / "A.sol").write_text("changed")
    assert BUILD.sources_hash() != before


def test_what_was_never_compiled_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BUILD, "MEMORY", tmp_path)
    assert BUILD.remembered() is None
    BUILD.remember({"House": "a"})
    assert BUILD.remembered() == BUILD.digest_of({"House": "a"})


@pytest.mark.parametrize("name", BUILD.NAMES)
def test_an_artefact_is_whole_compact_and_linked(name: str) -> None:
    text = (CONTRACTS / "artifacts" / f"{name}.json").read_text()
    loaded = json.loads(text)
    assert text == json.dumps(loaded, sort_keys=True, separators=(",", ":")) + "\n"
    assert loaded.keys() == {"abi", "bytecode"}
    assert re.fullmatch(r"0x([0-9a-f]{2})+", loaded["bytecode"])


def test_nothing_is_committed_that_is_not_compiled_here() -> None:
    assert sorted(BUILD.committed()) == sorted(BUILD.NAMES)


def test_the_functions_the_platform_calls_are_there() -> None:
    movement = "(address,uint8,uint32,uint96,uint96,bytes32)"
    assert {
        f"postBatch(uint64,bytes32,{movement}[],address,bytes)",
        "noticeDefault(address,uint96,bytes32,address,bytes)",
        "restore(address,uint64,uint96,uint96,bytes32)",
        "writeUp(address,uint64,uint256,uint96,bytes32)",
        "payCoupon(address,uint64,uint256,uint96,bytes32)",
    } <= signatures("House", "function")
    assert "Moved(uint32,uint8,uint96,uint96,bytes32)" in signatures("MarginVault", "event")
    assert "applyLoss(uint64,uint96,uint96,bytes32)" in signatures("Retention", "function")
    assert "noticeLoss(uint64,uint256,uint96,bytes32)" in signatures("SeriesEscrow", "function")


def test_no_function_could_suspend_a_deposit_or_upgrade_a_vault() -> None:
    words = ("pause", "upgrade", "initialize", "setAuthority", "delegate", "approve")
    assert not [name for name in signatures("MarginVault", "function") if any(word in name for word in words)]


def restricted(name: str) -> set[str]:
    """The functions of one source that ask the access manager who may call them."""
    heads = re.findall(r"function (\w+)\([^{]*?\)([^{;]*)\{", (CONTRACTS / "src" / f"{name}.sol").read_text())
    return {function for function, modifiers in heads if "restricted" in modifiers.split()}


@pytest.mark.parametrize("name", ["House", "Retention", "SeriesEscrow", "TrancheNote", "Eligibility"])
def test_the_role_table_names_every_restricted_function_and_no_other(name: str) -> None:
    table = json.loads((CONTRACTS / "roles.json").read_text())["functions"][name]
    stated = [signature for of_role in table.values() for signature in of_role]
    assert sorted(signature.partition("(")[0] for signature in stated) == sorted(restricted(name))
    assert set(stated) <= signatures(name, "function")


def test_the_selectors_of_the_role_table_are_the_contracts_own() -> None:
    named = {selector for row in role_table.rows("House") for selector in row.selectors}
    assert keccak(text="beat()")[:4] in named
    assert all(selector.hex() in artifact("House")["bytecode"] for selector in named)
    assert [role.id for role in role_table.roles()] == list(range(1, 15)), "ids run from 1"


def undocumented(source: str) -> list[str]:
    """External and public functions, public variables, events and errors without a notice above them."""
    lines, found = source.splitlines(), []
    for number, line in enumerate(lines):
        head = re.match(r"    (?:(function|event|error) (\w+)|\S.* public .*?(\w+)(?: =.*|;))", line)
        declaration = line + "".join(lines[number + 1 : number + 12]).split("{")[0].split(";")[0]
        inside = head and head[1] == "function" and not re.search(r"\b(external|public)\b", declaration)
        if head is None or inside or " override" in declaration:
            continue
        above = number - 1
        while lines[above].lstrip().startswith("///") and "@notice" not in lines[above]:
            above -= 1
        if "@notice" not in lines[above]:
            found.append(head[2] or head[3])
    return found


def test_everything_a_caller_meets_is_described() -> None:
    assert undocumented("    function bare() external {}\n") == ["bare"]
    sources = sorted((CONTRACTS / "src").rglob("*.sol"))
    assert {path.name: names for path in sources if (names := undocumented(path.read_text()))} == {}


def test_no_remote_address_stands_in_what_is_committed() -> None:
    for path in (*CONTRACTS.glob("*.json"), *CONTRACTS.glob("*.toml"), *CONTRACTS.glob("artifacts/*.json")):
        assert not re.search(r"https?://", path.read_text()), path.name


def test_the_compiler_wrapper_answers_more_than_a_pipe_holds() -> None:
    """A pipe buffers 64 KiB; the answer to this request is longer and must arrive whole."""
    body = "".join(
        f"function f{i}(uint256 x) external pure returns (uint256) {{ return x * {i}; }}\n" for i in range(400)
    )
    request = {
        "language": "Solidity",
        "sources": {"A.sol": {"content": f"pragma solidity 0.8.30; contract A {{ {body} }}"}},
        "settings": {"outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}}},
    }
    done = subprocess.run(
        [str(CONTRACTS / "solc"), "--standard-json"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,  # one small contract compiles in about a second; a minute means the wrapper hangs
        env={**os.environ, "NODE": str(node_binary())},
    )
    assert len(done.stdout) > 1 << 16
    assert len(json.loads(done.stdout)["contracts"]["A.sol"]["A"]["abi"]) == 400
