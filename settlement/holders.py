"""Which key holds which role of the contracts, and the address of each: setting rights needs no one's key but the
administrator's.

In production an address is stated (`SETTLEMENT_<KEY>_ADDRESS`), so that the machine that deploys holds none of the
others; a published key of the demonstration is refused, and all must differ.
"""

import os
from itertools import combinations

from eth_utils.address import is_address, to_checksum_address

from intermediary.errors import Refusal
from settlement import role_table
from settlement.signer import refuse_published, signer_for

# The operator acts through the outbox only; set-up keys never touch money: no key that accepts whom a house may pay
# also has it pay.
HOLDERS: dict[str, tuple[str, ...]] = {role.label: role.holders for role in role_table.roles()}
PAYEES = ("market", "costs")  # accounts that a house may pay; they hold no role
# No two of these may be one key: each is bounded by what another does, signs or takes back (the contracts' readme says
# what two of them could take together).
APART = tuple(dict.fromkeys(("admin", *(key for holders in HOLDERS.values() for key in holders))))


def key_address(name: str) -> str:
    """The address of a key by its name. Refuses `no_key_configured`, `bad_address`, `demo_key_refused`."""
    stated = os.environ.get(f"SETTLEMENT_{name.upper()}_ADDRESS", "")
    if stated and not is_address(stated):
        raise Refusal("bad_address", f"SETTLEMENT_{name.upper()}_ADDRESS is no address.")
    found = str(to_checksum_address(stated)) if stated else signer_for(name).address
    refuse_published(name, found)
    return found


def require_apart() -> None:
    """Refuses `keys_not_apart` when two keys are one."""
    addresses = {name: key_address(name) for name in APART}
    same = [f"{one} and {other}" for one, other in combinations(APART, 2) if addresses[one] == addresses[other]]
    if same:
        raise Refusal("keys_not_apart", f"These must be different keys: {', '.join(same)}.", same=same)
