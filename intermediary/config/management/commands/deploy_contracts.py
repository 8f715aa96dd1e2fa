"""`manage.py deploy_contracts [--chain NAME] [--check]`: put the contracts on a chain, set every right, compare, and
print where everything is. Role worker; signs with the administrator's key alone, and with --check with none.

What stands already is left as it is, so it may be cut off and run again. Exit 1 when the chain's rights are not the
table's.

`--revoke ADDRESS` prints instead the calls that take every role from an address, for whoever holds the administrator's
key to send: of a key in other hands. It signs and sends nothing.
"""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from eth_utils.address import is_address

from intermediary.canonical import sha256_hex
from intermediary.config.chain_command import ChainCommand
from intermediary.errors import Refusal
from intermediary.models import Asset
from settlement import chains, demo_chain, deployment, rights, role_table, tokens
from settlement.bindings import contract, read
from settlement.chain import Chain, all_chains
from settlement.holders import HOLDERS, key_address
from settlement.models import Deployment


class Command(ChainCommand):
    help = "Deploy what is missing of the contracts, set and compare every right, and print it all as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--check", action="store_true", help="compare only; nothing is sent")
        parser.add_argument(
            "--cap", action="append", default=[], metavar="CODE=BASE_UNITS", help="daily outflow cap of a new house"
        )
        parser.add_argument("--revoke", metavar="ADDRESS", help="print the calls that take every role from it")
        parser.add_argument("--rulebook", type=Path, default=settings.BASE_DIR / "docs" / "rulebook.md")
        parser.add_argument("--rulebook-uri", default="/rulebook/")

    def handle(self, *args: Any, **options: Any) -> None:
        nodes = all_chains()
        for node in nodes:
            node.id()
        if options["revoke"]:
            self.stdout.write(json.dumps(_revocations(nodes[0], options["revoke"]), indent=1))
            return
        sent = 0
        try:
            if not options["check"]:
                sent = self._deploy(nodes[0], options)
            off = rights.differences(nodes[0])
        except Refusal as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(json.dumps(_said(nodes[0], sent, off), indent=1))
        if off:
            raise CommandError("The chain's rights are not the table's.")

    def _deploy(self, chain: Chain, options: dict[str, Any]) -> int:
        return deployment.deploy(
            chain=chain,
            assets=tokens.of_this_chain(chain),
            rulebook_hash=sha256_hex(options["rulebook"].read_text()),
            rulebook_uri=options["rulebook_uri"],
            outflow_caps=dict(_cap(said) for said in options["cap"]),
            mine=demo_chain.mine if settings.MODE == "test" else None,
        )


def _revocations(chain: Chain, account: str) -> list[dict[str, str]]:
    """A call of the access manager for each role that the address holds now, the administrator's own included."""
    if not is_address(account):
        raise CommandError(f"--revoke {account}: that is no address.")
    manager, rules = deployment.address_of("AccessManager"), contract("AccessManager")
    labels = {role.id: role.label for role in role_table.roles()} | {rights.ADMIN_ROLE: "ADMIN"}
    return [
        {"role": label, "to": manager, "data": "0x" + rules.encode("revokeRole", (role, account)).hex()}
        for role, label in labels.items()
        if read(chain, manager, "AccessManager", "hasRole", role, account)[0]
    ]


def _cap(said: str) -> tuple[str, int]:
    code, _, amount = said.partition("=")
    if not amount.isdecimal():
        raise Refusal("bad_cap", f"--cap {said}: it is CODE=BASE_UNITS.")
    return code, int(amount)


def _said(chain: Chain, sent: int, off: list[str]) -> dict[str, Any]:
    rows = Deployment.objects.order_by("name", "asset_id")
    return {
        "chain": chains.here(),
        "chain_id": chain.id(),
        "transactions": sent,
        "contracts": [
            {"name": row.name, "asset": row.asset_id, "address": row.address, "block": row.block_number} for row in rows
        ],
        "assets": list(
            Asset.objects.filter(chain__in=chains.asset_chains()).values("code", "decimals", "token_address")
        ),
        "roles": [
            {
                "role": role.label,
                "id": role.id,
                "delay_seconds": rights.delay_of(role),
                "holders": [key_address(holder) for holder in HOLDERS[role.label]],
            }
            for role in role_table.roles()
        ],
        "differences": off,
    }
