"""Which restricted functions officers may call by an act of their own: those of the role table that the outbox does not
send, that take no second key's signature, and for which there is no act with rules of its own."""

from collections.abc import Iterator, Mapping
from typing import Any

from eth_abi.exceptions import EncodingError

from intermediary.errors import BadInput, Refusal
from settlement import rights, role_table
from settlement.acts.singles import plain
from settlement.bindings import contract
from settlement.cited import ACTS
from settlement.holders import HOLDERS

CONTRACTS = ("House", "Retention", "SeriesEscrow", "TrancheNote", "Eligibility")
# Sent by the poster for the ledger, or only with the approver's word: by an act they would move what no entry tells of.
SENT_OTHERWISE = {("House", name) for name in ("postBatch", "beat", "setOutflowCapNow", "amend")} | {
    (act.contract, act.function) for act in ACTS
}
# What an act of another kind makes, with rules that a plain call would pass by.
OF_OTHER_ACTS = {
    "House": ("setOutflowCap", "publishRulebook"),
    "SeriesEscrow": (
        *("setNotes", "addSlice", "openOffering", "allot", "closeOffering", "pull"),
        *("challenge", "rule", "cancelLoss"),
    ),
    "Eligibility": ("set",),
    "TrancheNote": ("suspendTransfers",),
}
NOT_BY_A_CALL = SENT_OTHERWISE | {(name, one) for name, functions in OF_OTHER_ACTS.items() for one in functions}


def callable_functions() -> Iterator[tuple[str, str, str, str]]:
    """(contract, signature, role, key) of everything that may be called so, once for each key that may."""
    for name in CONTRACTS:
        for role in role_table.roles():
            for signature in role_table.functions(name, role.label):
                if (name, signature.partition("(")[0]) not in NOT_BY_A_CALL:
                    for key in HOLDERS[role.label]:
                        yield name, signature, role.label, key


def refuse_unless_callable(body: Mapping[str, Any]) -> None:
    """Refuses `not_callable` for a function, a key or a contract that is none of these, `bad_arguments`."""
    known = {(name, signature.partition("(")[0], key) for name, signature, _, key in callable_functions()}
    name, function = body["contract"], body["function"]
    if (name, function, body["key"]) not in known:
        raise Refusal("not_callable", f"{body['key']} does not call {function} of a {name} by an act.")
    if rights.restricted().get(body["to"]) != name:
        raise Refusal("not_callable", f"{body['to']} is no {name} of this chain.")
    try:
        contract(name).encode(function, [plain(value) for value in body["arguments"]])
    except (EncodingError, ValueError, TypeError) as error:
        raise BadInput("bad_arguments", f"{function} does not take these arguments: {error}") from error
