"""The lists that the checks of the contracts work from fit the sources, and the gas is under its gates."""

import re

from scripts.contracts import slither
from scripts.contracts.__main__ import GATES_GAS, gas_story, measured
from scripts.contracts.mutants import LEAST, all_mutants
from scripts.contracts.symbolic import ENDS, rules
from scripts.install import CONTRACTS

SOURCES = {path.name: path.read_text() for path in (CONTRACTS / "src").glob("*.sol")}


def test_every_mutant_can_be_made_and_changes_something() -> None:
    mutants = all_mutants()
    assert len(mutants) >= LEAST
    assert len({(mutant.source, mutant.original, mutant.replacement) for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        assert mutant.apply(SOURCES[mutant.source]) != SOURCES[mutant.source], mutant.rule


def test_every_contract_that_decides_something_is_mutated() -> None:
    deciding = {name for name, text in SOURCES.items() if "revert" in text or "return " in text}
    assert deciding == {mutant.source for mutant in all_mutants()}


def test_an_explanation_names_what_exists_and_gives_a_reason() -> None:
    for (check, place), reason in slither.explained().items():
        contract, _, name = place.partition(".")
        assert re.search(rf"\b(function {name}\(|{name}\()", SOURCES[f"{contract}.sol"]), (check, place)
        assert len(reason.split()) > 8, check


def test_a_finding_is_named_by_contract_and_function() -> None:
    contract = {"type": "contract", "name": "House"}
    function = {"type": "function", "name": "seize", "type_specific_fields": {"parent": contract}}
    line = {"type": "node", "name": "x = 1", "type_specific_fields": {"parent": function}}
    assert [slither.place_of(element) for element in (contract, function, line)] == ["House", *["House.seize"] * 2]


def test_gas_is_under_its_gates_and_no_matter_of_holders() -> None:
    gas = measured()
    assert all(gas[name] <= gate for name, gate in GATES_GAS.items())
    assert gas["write_down_gas_1_holder"] == gas["write_down_gas_1000_holders"]
    assert gas["coupon_gas_1_holder"] == gas["coupon_gas_1000_holders"]
    assert "1.35 x the floor, gate 27,580" in gas_story("debit_gas_marginal", 26_500)


def test_a_rule_counts_as_proved_by_its_own_verdict() -> None:
    assert {"check_two_exits", "check_seize", "check_seq"} <= rules()
    told = "\x1b[32m[PASS]\x1b[0m check_seq() (paths: 3)\n[TIMEOUT] check_seize() (paths: 1)"
    assert ENDS.findall(told) == [("PASS", "check_seq"), ("TIMEOUT", "check_seize")]
