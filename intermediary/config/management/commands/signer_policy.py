"""`manage.py signer_policy KEY [--chain NAME]`: a policy for that key's signer, from what is deployed, to be read by a
person, narrowed and put on the signer's machine (docs/signer.md). Role worker."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from intermediary.config.chain_command import ChainCommand
from settlement import chains, poster, role_table
from settlement.bindings import read
from settlement.chain import default_chain
from settlement.holders import HOLDERS
from settlement.models import Deployment
from settlement.packing import BATCH_LIMIT
from settlement.signing.policy import ANY_CONTRACT

FIXED = ("House", "Eligibility")  # the others come with each relationship and series
OPEN = "open((bytes32,bytes32,address,address,uint96,uint96,uint32,uint32,uint32))"
GAS_LIMIT = (poster.BATCH_GAS + poster.MOVEMENT_GAS * BATCH_LIMIT + poster.SPARE_GAS) * 5 // 4
BATCHES_A_DAY = 2000  # of the gas limit at the fee cap; a busy day has some hundreds


class Command(ChainCommand):
    help = "Print a policy for a key's remote signer."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("key", help="poster, operator, approver, ...")

    def handle(self, *args: Any, **options: Any) -> None:
        key = options["key"]
        labels = [label for label, holders in HOLDERS.items() if key in holders]
        if not labels:
            raise CommandError(f"{key} holds no role.")
        said = {"typed_data": _approves()} if labels == ["APPROVER"] else {"transactions": _sends(key, labels)}
        self.stdout.write(json.dumps({"role": key, **said}, indent=1))


def _sends(key: str, labels: list[str]) -> dict[str, Any]:
    rules = chains.configured()
    calls = []
    for name in ("House", "Eligibility", "Retention", "SeriesEscrow", "TrancheNote"):
        functions = [one for label in labels for one in role_table.functions(name, label)]
        known = list(Deployment.objects.filter(name=name).order_by("address").values_list("address", flat=True))
        if functions and (known or name not in FIXED):
            calls.append({"to": known if name in FIXED else ANY_CONTRACT, "functions": functions})
    calls += _of_acts(key, labels)
    return {
        "chain_ids": [rules.chain_id],
        "calls": calls,
        "gas_limit": str(GAS_LIMIT),
        "fee_cap_wei": str(rules.fee_cap_wei),
        "wei_a_day": str(BATCHES_A_DAY * GAS_LIMIT * rules.fee_cap_wei),
    }


def _of_acts(key: str, labels: list[str]) -> list[dict[str, Any]]:
    """What no role must allow and acts on chain need all the same: scheduling under a delay, and taking that back;
    opening vaults; paying subscribers of a pulled series."""
    needed = []
    if any(role.delay_seconds for role in role_table.roles() if role.label in labels):
        needed.append(("AccessManager", ["schedule(address,bytes,uint48)", "cancel(address,address,bytes)"]))
    if key == "onboarder":
        needed.append(("VaultFactory", [OPEN]))
    known = {
        name: list(Deployment.objects.filter(name=name).order_by("address").values_list("address", flat=True))
        for name, _ in needed
    }
    calls: list[dict[str, Any]] = [{"to": known[name], "functions": functions} for name, functions in needed]
    if key == "structurer":
        calls.append({"to": ANY_CONTRACT, "functions": ["refund(uint256,address)"]})
    return calls


def _approves() -> dict[str, Any]:
    """The chain's own cap of a house's outflow a day is a bound of each movement; all that moves is some times more."""
    chain, houses = default_chain(), {}
    for address in Deployment.objects.filter(name="House").order_by("address").values_list("address", flat=True):
        cap = int(read(chain, address, "House", "outflowCap"))
        houses[address] = {"movement": str(cap), "claim": str(cap), "day": str(4 * cap), "cap": str(2 * cap)}
    return {"chain_ids": [chains.configured().chain_id], "movements": BATCH_LIMIT, "houses": houses}
