"""What the contracts of a chain allow, compared with the table of roles: who may call what, after which delay, and
that nobody else may.

Holders and functions are read from the access manager's own events as well as from the table, so a right that nobody
intended is found too. The comparison reads the chain only; it changes nothing.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.conf import settings

from intermediary.errors import Refusal
from intermediary.models import Asset, ChainTarget
from settlement import chains, role_table
from settlement.bindings import contract, decode_event, topic
from settlement.chain import LOG_BLOCKS, Call, Chain
from settlement.holders import HOLDERS, key_address
from settlement.models import Deployment
from settlement.role_table import Role

ADMIN_ROLE = 0
NOBODY = "0x" + "00" * 20
NOTICE_SECONDS = 30 * 24 * 3600  # of a new rulebook; in a demonstration everyone starts together
NAMES = {
    ChainTarget.Kind.RETENTION: "Retention",
    ChainTarget.Kind.ESCROW: "SeriesEscrow",
    ChainTarget.Kind.NOTE: "TrancheNote",
}


class Question(NamedTuple):
    """One view of a contract, and what it must say."""

    about: str
    name: str
    address: str
    function: str
    arguments: tuple[Any, ...]
    wanted: Any

    def call(self) -> Call:
        return contract(self.name).call(self.address, self.function, self.arguments, "latest")

    def said(self, answer: str) -> Any:
        return contract(self.name).decode_result(self.function, bytes.fromhex(answer[2:]))


def assert_as_intended(chain: Chain) -> None:
    """Refuses `role_table_differs` with everything that is off."""
    off = differences(chain)
    if off:
        raise Refusal("role_table_differs", f"The chain's rights are not the table's: {'; '.join(off)}", off=off)


def differences(chain: Chain) -> list[str]:
    """Everything about the deployed contracts of this chain that is not as it should be; empty when all is."""
    missing = list(_without_code(chain))
    if missing:
        return missing
    manager = Deployment.objects.get(name="AccessManager")
    granted, named = _events(chain, manager)
    asked = [
        *_wiring(manager.address),
        *_functions(manager.address, named),
        *_holders(manager.address, granted),
        *_untouched(manager.address),
    ]
    answers = [one.said(answer) for one, answer in zip(asked, chain.batch([one.call() for one in asked]), strict=True)]
    return [
        f"{one.about}: {live}, not {one.wanted}" for one, live in zip(asked, answers, strict=True) if live != one.wanted
    ]


def held_beyond(chain: Chain) -> list[tuple[int, str]]:
    """(role, account) of every role that an account holds and that the table does not give it."""
    manager = Deployment.objects.get(name="AccessManager")
    granted, _ = _events(chain, manager)
    others = sorted(granted - _intended().keys())
    asked = [contract("AccessManager").call(manager.address, "hasRole", one, "latest") for one in others]
    members = [
        contract("AccessManager").decode_result("hasRole", bytes.fromhex(answer[2:]))[0]
        for answer in chain.batch(asked)
    ]
    return [one for one, is_member in zip(others, members, strict=True) if is_member]


def delay_of(role: Role) -> int:
    """Seconds between scheduling and acting; in a demonstration there are none."""
    return role.delay_seconds if settings.MODE == "production" else 0


def notice_seconds() -> int:
    """How long before it holds a rulebook must be published."""
    return NOTICE_SECONDS if settings.MODE == "production" else 0


def restricted() -> dict[str, str]:
    """Address -> name of every contract of this chain with functions that a role may call."""
    deployed = Deployment.objects.filter(name__in=["House", "Eligibility"])
    found = dict(deployed.values_list("address", "name"))
    targets = ChainTarget.objects.filter(kind__in=NAMES, asset__chain__in=chains.asset_chains())
    return found | {one.address: NAMES[ChainTarget.Kind(one.kind)] for one in targets}


def _without_code(chain: Chain) -> Iterator[str]:
    rows = list(Deployment.objects.exclude(name__startswith="payee:"))
    if not any(row.name == "AccessManager" for row in rows):
        yield f"nothing is deployed on chain {chains.here()}"
    codes = chain.batch([("eth_getCode", [row.address, "latest"]) for row in rows])
    yield from (f"{row}: no contract is there" for row, code in zip(rows, codes, strict=True) if len(code) <= 2)


def _wiring(manager: str) -> Iterator[Question]:
    """Contracts that point at each other. Where margin is the settlement token itself nothing is sold, so no desk may
    be sent any of it."""
    settling = set(Asset.objects.filter(is_settlement=True).values_list("code", flat=True))
    of_asset = {row.asset_id: row.address for row in Deployment.objects.filter(name="Token")}
    for row in Deployment.objects.filter(name__in=["House", "Eligibility"]):
        yield Question(f"authority of {row}", row.name, row.address, "authority", (), manager)
        if row.name == "House":
            yield Question(f"token of {row}", row.name, row.address, "token", (), of_asset[row.asset_id])
            yield Question(f"rulebook notice of {row}", row.name, row.address, "rulebookNotice", (), notice_seconds())
        if row.name == "House" and row.asset_id in settling:
            yield Question(f"disposal desk of {row}", row.name, row.address, "disposalDesk", (), NOBODY)


def _functions(manager: str, named: Iterable[tuple[str, bytes]]) -> Iterator[Question]:
    """Every function that a role may call or that was ever given to one; what stands in no row is the
    administrator's."""
    wanted = {
        (address, selector): row.role
        for address, name in restricted().items()
        for row in role_table.rows(name)
        for selector in row.selectors
    }
    for address, selector in sorted({*wanted, *named}):
        about = f"role that may call 0x{selector.hex()} of {address}"
        role = wanted.get((address, selector), ADMIN_ROLE)
        yield Question(about, "AccessManager", manager, "getTargetFunctionRole", (address, selector), role)


def _intended() -> dict[tuple[int, str], tuple[bool, int]]:
    """(role, account) of everybody who should hold a role: (is a member, delay in seconds)."""
    wanted = {
        (role.id, key_address(holder)): (True, delay_of(role))
        for role in role_table.roles()
        for holder in HOLDERS[role.label]
    }
    return wanted | {(ADMIN_ROLE, key_address("admin")): (True, 0)}


def _holders(manager: str, granted: Iterable[tuple[int, str]]) -> Iterator[Question]:
    """Everybody who should hold a role, and everybody who was ever given one: (is a member, delay in seconds)."""
    wanted = _intended()
    labels = {role.id: role.label for role in role_table.roles()} | {ADMIN_ROLE: "ADMIN"}
    for role, account in sorted({*wanted, *granted}):
        about = f"{labels.get(role, role)} of {account} (member, delay)"
        intended = wanted.get((role, account), (False, 0))
        yield Question(about, "AccessManager", manager, "hasRole", (role, account), intended)


def _untouched(manager: str) -> Iterator[Question]:
    """Settings of the manager that nothing of ours changes: each would let somebody round the table."""
    for role in role_table.roles():
        for function in ("getRoleAdmin", "getRoleGuardian", "getRoleGrantDelay"):
            yield Question(f"{function} of {role.label}", "AccessManager", manager, function, (role.id,), 0)
    for address, name in restricted().items():
        for function, wanted in (("isTargetClosed", False), ("getTargetAdminDelay", 0)):
            about = f"{function} of {name} {address}"
            yield Question(about, "AccessManager", manager, function, (address,), wanted)


def _events(chain: Chain, manager: Deployment) -> tuple[set[tuple[int, str]], set[tuple[str, bytes]]]:
    """(role, account) of every grant there ever was, and (contract, function) of every change of a function's role."""
    topics = [[topic("AccessManager", "RoleGranted"), topic("AccessManager", "TargetFunctionRoleUpdated")]]
    head = chain.head()
    starts = range(max(manager.block_number - LOG_BLOCKS, 0), head + 1, LOG_BLOCKS)
    calls: list[Call] = [
        (
            "eth_getLogs",
            [
                {
                    "address": manager.address,
                    "topics": topics,
                    "fromBlock": hex(start),
                    "toBlock": hex(min(start + LOG_BLOCKS - 1, head)),
                }
            ],
        )
        for start in starts
    ]
    granted: set[tuple[int, str]] = set()
    named: set[tuple[str, bytes]] = set()
    for log in (log for part in chain.batch(calls) for log in part):
        event = decode_event(log["topics"], log["data"])
        assert event is not None, "only events of the manager were asked for"
        said = event.arguments
        if event.name == "RoleGranted":
            granted.add((said["roleId"], said["account"]))
        else:
            named.add((said["target"], said["selector"]))
    return granted, named
