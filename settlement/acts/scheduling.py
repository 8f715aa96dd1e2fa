"""Calls under a delay: whether a key may make one now, must schedule it first, or must wait.

The access manager lets a member of a role with a delay make a call only after it has said so on chain, in the very same
bytes, so long before; a guardian (the administrator) may take that back meanwhile, and after a week it lapses.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from settlement import role_table
from settlement.bindings import contract
from settlement.chain import Call, Chain

LAPSES_AFTER = timedelta(days=7)  # `AccessManager.expiration()`, fixed in its code
LONGEST_DELAY = timedelta(seconds=max(role.delay_seconds for role in role_table.roles()))
AS_SOON_AS_POSSIBLE = 0


class May(Enum):
    """What the manager says of one call by one key."""

    CALL = "call it"
    SCHEDULE = "schedule it first"
    WAIT = "wait until it is ready"
    NEVER = "the key's roles do not allow it"


@dataclass(frozen=True)
class Standing:
    """Of one call by one key. `number` counts how often it was scheduled so far."""

    may: May
    ready_at: datetime | None
    number: int
    now: datetime  # by the latest block


def operation_id(caller: str, to: str, data: bytes) -> bytes:
    """What the manager calls this call by this key."""
    return bytes(keccak(encode(["address", "address", "bytes"], [caller, to, data])))


def standing(chain: Chain, manager: str, caller: str, to: str, data: bytes) -> Standing:
    """How it stands at the latest block."""
    bound, operation = contract("AccessManager"), operation_id(caller, to, data)
    asked: list[Call] = [
        bound.call(manager, "canCall", (caller, to, data[:4]), "latest"),
        bound.call(manager, "getSchedule", (operation,), "latest"),
        bound.call(manager, "getNonce", (operation,), "latest"),
        ("eth_getBlockByNumber", ["latest", False]),
    ]
    allowed, scheduled, counted, block = chain.batch(asked)
    at_once, delay = bound.decode_result("canCall", bytes.fromhex(allowed[2:]))
    ready, number = int(scheduled, 16), int(counted, 16)
    ready_at = datetime.fromtimestamp(ready, UTC) if ready else None
    now = datetime.fromtimestamp(int(block["timestamp"], 16), UTC)
    if at_once or (ready_at is not None and now >= ready_at):
        return Standing(May.CALL, ready_at, number, now)
    if not delay:
        return Standing(May.NEVER, None, number, now)
    return Standing(May.WAIT if ready else May.SCHEDULE, ready_at, number, now)


def schedule(to: str, data: bytes) -> bytes:
    """Calldata that schedules a call as early as its delay allows; sent to the manager by the key that will make it."""
    return contract("AccessManager").encode("schedule", (to, data, AS_SOON_AS_POSSIBLE))


def cancel(caller: str, to: str, data: bytes) -> bytes:
    """Calldata that takes a scheduled call back; sent to the manager by a guardian, or by the key itself."""
    return contract("AccessManager").encode("cancel", (caller, to, data))
